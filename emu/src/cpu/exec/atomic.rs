//! Exchange-and-add, compare-and-exchange.
//!
//! Processors take turns instruction by instruction, so every read-modify-write is
//! indivisible; the LOCK prefix changes only the cost. (SDM vol. 3A, "Locked Atomic
//! Operations".)

use super::arith::{Add, Binary, Cmp};
use super::operand::Place;
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::flags::ZF;
use crate::cpu::op::{Flow, Op, Step};
use crate::cpu::word::Word;

/// `xadd reg, reg`.
pub fn xadd_rr<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (a, b) = (W::reg(&cpu.regs, op.dst), W::reg(&cpu.regs, op.src));
    let sum = Add::apply(&mut cpu.flags, a, b);
    // The sum last: it stays when both are the same register.
    a.set_reg(&mut cpu.regs, op.src);
    sum.set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `xadd mem, reg`.
pub fn xadd_mr<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    P::modify(cpu, bus, op, |cpu, a: W| {
        let b = W::reg(&cpu.regs, op.src);
        a.set_reg(&mut cpu.regs, op.src);
        Add::apply(&mut cpu.flags, a, b)
    })
}

/// `cmpxchg reg, reg`.
pub fn cmpxchg_rr<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (accumulator, old) = (W::reg(&cpu.regs, 0), W::reg(&cpu.regs, op.dst));
    Cmp::apply(&mut cpu.flags, accumulator, old);
    if accumulator == old {
        W::reg(&cpu.regs, op.src).set_reg(&mut cpu.regs, op.dst);
    } else {
        old.set_reg(&mut cpu.regs, 0);
    }
    Ok(())
}

/// `cmpxchg mem, reg`: writes in either case.
pub fn cmpxchg_mr<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    P::modify(cpu, bus, op, |cpu, old: W| {
        let accumulator = W::reg(&cpu.regs, 0);
        Cmp::apply(&mut cpu.flags, accumulator, old);
        if accumulator == old {
            W::reg(&cpu.regs, op.src)
        } else {
            old.set_reg(&mut cpu.regs, 0);
            old
        }
    })
}

/// `cmpxchg8b mem`: compares with EDX:EAX, stores ECX:EBX; writes in either case.
pub fn cmpxchg8b(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let ea = op.ea(cpu);
    let lin = ea.wrapping_add(cpu.seg[usize::from(op.seg & 7)].base);
    let privilege = cpu.privilege();
    cpu.check_alignment(lin, 8, privilege)?;
    // One access of eight bytes: a 16-bit offset does not wrap within it.
    let upper = ea.wrapping_add(4);
    // The upper half is written back as it is: should the lower half fault, nothing has changed.
    let mut high = 0u32;
    let upper_half = cpu.modify_at(bus, op, upper, |_, v| {
        high = v;
        v
    });
    if upper_half == Err(Flow::Fault) {
        // A fault of the lower half is that of the operand's first byte, and comes first.
        cpu.probe_write(bus, op, op.seg, ea, 4)?;
    }
    upper_half?;
    let mut equal = false;
    cpu.modify_at(bus, op, ea, |cpu, low| {
        equal = (low, high) == (cpu.regs[0], cpu.regs[2]);
        if equal {
            return cpu.regs[3];
        }
        (cpu.regs[0], cpu.regs[2]) = (low, high);
        low
    })?;
    cpu.flags.put(ZF, equal);
    if equal { bus.at_once(|bus| cpu.store_at(bus, op, op.seg, upper, cpu.regs[1])) } else { Ok(()) }
}
