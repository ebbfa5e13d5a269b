//! Pushes and pops, EFLAGS on the stack, stack frames.
//!
//! The stack pointer moves last, so that a faulting push or pop can be repeated.
//! (SDM vol. 1, "Procedure Calls, Interrupts, and Exceptions"; POPF in vol. 2.)

use super::operand::{Any, FlatStack, Place, Stack, hit_stack, load_stack, move_stack, store_stack};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::Exception;
use crate::cpu::flags::{AC, DF, ID, IF, IOPL, NT, RF, TF, VIF, VIP, VM};
use crate::cpu::op::{Op, SS, Step};
use crate::cpu::word::Word;
use crate::mmu::Access;

/// `push reg`.
pub fn push_r<W: Word, S: Stack>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v = W::reg(&cpu.regs, op.dst);
    S::push(cpu, bus, op, v)
}

/// `push imm`, sign-extended by the decoder.
pub fn push_i<W: Word, S: Stack>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    S::push(cpu, bus, op, W::from_u32(op.imm))
}

/// `push mem`.
pub fn push_m<W: Word, P: Place, S: Stack>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v: W = P::load(cpu, bus, op)?;
    S::push(cpu, bus, op, v)
}

/// `pop reg`; `pop esp` keeps the value popped.
pub fn pop_r<W: Word, S: Stack>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v: W = S::pop(cpu, bus, op)?;
    v.set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `pop reg` with a flat 32-bit stack.
pub fn pop_flat(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let Some(v) = hit_stack::<u32>(cpu, bus) else { return pop_flat_slow(cpu, bus, op) };
    cpu.regs[4] = cpu.regs[4].wrapping_add(4);
    cpu.regs[(op.dst & 7) as usize] = v;
    Ok(())
}

#[cold]
#[inline(never)]
fn pop_flat_slow(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    pop_r::<u32, FlatStack>(cpu, bus, op)
}

/// `pop mem`; an address with ESP as base uses the value after the pop.
pub fn pop_m<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let esp = cpu.regs[4];
    let v: W = cpu.pop(bus, op)?;
    Any::store(cpu, bus, op, v).inspect_err(|_| cpu.regs[4] = esp)
}

/// `pusha`, `pushad`. Beyond the limit nothing is written; with real-mode segments that is #GP, not #SS.
pub fn pusha<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if !cpu.seg[usize::from(SS)].is_flat_data() {
        check_room::<W>(cpu)?;
    }
    // The top of the stack first: a fault in the middle leaves ESP, and repeating writes the same values.
    for i in 0..8u8 {
        let v = W::reg(&cpu.regs, i);
        let offset = -(W::BYTES as i32) * (i32::from(i) + 1);
        if bus.code_writes.is_empty() {
            store_stack(cpu, bus, op, offset, v)?;
        } else {
            // It may have overwritten itself, and is not begun again.
            bus.at_once(|bus| store_stack(cpu, bus, op, offset, v))?;
        }
    }
    move_stack(cpu, -(W::BYTES as i32) * 8);
    Ok(())
}

/// Checks all the places that `pusha` writes.
fn check_room<W: Word>(cpu: &mut Cpu) -> Step {
    for i in 1..=8 {
        let ea = cpu.regs[4].wrapping_sub(W::BYTES * i) & cpu.stack_mask();
        if let Err(flow) = cpu.segment_check(SS, ea, W::BYTES, Access::Write) {
            return if cpu.real_segments() { cpu.raise(Exception::GP0) } else { Err(flow) };
        }
    }
    Ok(())
}

/// `popa`, `popad`: the image of ESP is skipped.
pub fn popa<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let mut values = [W::default(); 8];
    for (i, v) in values.iter_mut().enumerate() {
        *v = load_stack(cpu, bus, op, W::BYTES * i as u32)?;
    }
    for (i, v) in values.into_iter().enumerate() {
        let number = 7 - i as u8;
        if number != 4 {
            v.set_reg(&mut cpu.regs, number);
        }
    }
    move_stack(cpu, W::BYTES as i32 * 8);
    Ok(())
}

/// In virtual-8086 mode with IOPL below 3, instructions that touch IF raise #GP(0).
fn virtual_8086_check(cpu: &mut Cpu) -> Step {
    if cpu.v86() && cpu.flags.iopl() < 3 { cpu.raise(Exception::GP0) } else { Ok(()) }
}

/// `pushf`, `pushfd`: RF and VM read as zero.
pub fn pushf<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    virtual_8086_check(cpu)?;
    let v = cpu.flags.get() & !(RF | VM);
    cpu.push(bus, op, W::from_u32(v))
}

/// `popf`, `popfd`: IOPL changes only in ring 0, IF only with CPL <= IOPL. Ends the block,
/// for interrupts may be open now, or single-stepping on.
pub fn popf<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    virtual_8086_check(cpu)?;
    let new = cpu.pop::<W>(bus, op)?.to_u32();
    let mut may = TF | DF | NT | AC | ID;
    if cpu.cpl <= cpu.flags.iopl() {
        may |= IF;
    }
    if cpu.cpl == 0 {
        may |= IOPL;
    }
    may |= crate::cpu::flags::ARITH;
    if W::BITS == 16 {
        may &= 0xffff;
    }
    // VM, VIF and VIP stay; RF is cleared by the 32-bit form.
    let mut old = cpu.flags.get();
    if W::BITS == 32 {
        old &= !(RF | if cpu.v86() { 0 } else { VIF | VIP });
    }
    cpu.flags.set((old & !may) | (new & may));
    cpu.review_debug();
    cpu.review_interrupts_after(bus, op);
    cpu.end_block(op)
}

/// `enter`: imm = frame size | nesting level << 16.
pub fn enter<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let (size, level) = (op.imm & 0xffff, op.imm >> 16 & 31);
    let mask = cpu.stack_mask();
    let bytes = W::BYTES as i32;
    let (esp, ebp) = (cpu.regs[4], cpu.regs[5]);
    if level > 0 {
        // It is not begun twice: what is pushed may overwrite the display, or the instruction.
        cpu.need_care()?;
    }
    store_stack(cpu, bus, op, -bytes, W::from_u32(ebp))?;
    // A 16-bit stack pointer wraps alone: the upper half of ESP stays, and is pushed so.
    let frame = (esp & !mask) | (esp.wrapping_sub(W::BYTES) & mask);
    // Copies the display of the enclosing frames, then adds this one's.
    bus.at_once(|bus| {
        for i in 1..level {
            let from = ebp.wrapping_sub(W::BYTES * i) & mask;
            let v: W = cpu.load_at(bus, op, SS, from)?;
            store_stack(cpu, bus, op, -bytes * (i as i32 + 1), v)?;
        }
        if level > 0 {
            store_stack(cpu, bus, op, -bytes * (level as i32 + 1), W::from_u32(frame))?;
        }
        Ok(())
    })?;
    let new = frame.wrapping_sub(W::BYTES * level).wrapping_sub(size);
    // The new top of the stack must be writable; the frame pointer changes only then.
    bus.at_once(|bus| cpu.probe_write(bus, op, SS, new & mask, W::BYTES))?;
    // The frame pointer is as wide as the operand, and never wider than the stack pointer.
    if W::BITS == 16 || mask == 0xffff {
        (frame as u16).set_reg(&mut cpu.regs, 5);
    } else {
        cpu.regs[5] = frame;
    }
    cpu.regs[4] = (esp & !mask) | (new & mask);
    Ok(())
}

/// `leave`: ESP = EBP, then pops EBP.
pub fn leave<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let mask = cpu.stack_mask();
    let ebp = cpu.regs[5];
    let v: W = cpu.load_at(bus, op, SS, ebp & mask)?;
    cpu.regs[4] = (cpu.regs[4] & !mask) | (ebp.wrapping_add(W::BYTES) & mask);
    v.set_reg(&mut cpu.regs, 5);
    Ok(())
}

/// `leave` with a flat 32-bit stack.
pub fn leave_flat(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let ebp = cpu.regs[5];
    let v = super::operand::load_flat(cpu, bus, op, ebp)?;
    cpu.regs[4] = ebp.wrapping_add(4);
    cpu.regs[5] = v;
    Ok(())
}
