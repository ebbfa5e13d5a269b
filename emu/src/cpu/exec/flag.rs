//! Instructions on single flags, and the flag byte in AH.
//!
//! CLI and STI need CPL <= IOPL (in virtual-8086 mode IOPL = 3; its extensions are
//! not modelled). STI opens interrupts only after the instruction that follows.
//! (SDM vol. 1, "Flag Control (EFLAG) Instructions".)

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::Exception;
use crate::cpu::flags::{AF, ARITH, CF, DF, FIXED, IF, OF, PF, SF, ZF};
use crate::cpu::op::{Op, Step};
use crate::cpu::word::Word;

/// The flags that LAHF and SAHF move.
const LOW: u32 = SF | ZF | AF | PF | CF;

/// `clc`.
pub fn clc(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    cpu.flags.set_cf(false);
    Ok(())
}

/// `stc`.
pub fn stc(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    cpu.flags.set_cf(true);
    Ok(())
}

/// `cmc`.
pub fn cmc(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let cf = cpu.flags.cf();
    cpu.flags.set_cf(!cf);
    Ok(())
}

/// `cld`.
pub fn cld(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    cpu.flags.rest &= !DF;
    Ok(())
}

/// `std`.
pub fn std(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    cpu.flags.rest |= DF;
    Ok(())
}

/// May this code change IF?
fn check(cpu: &mut Cpu) -> Step {
    if cpu.cpl > cpu.flags.iopl() { cpu.raise(Exception::GP0) } else { Ok(()) }
}

/// `cli`.
pub fn cli(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    check(cpu)?;
    cpu.flags.rest &= !IF;
    cpu.review_interrupts_after(bus, op);
    cpu.end_block(op)
}

/// `sti`.
pub fn sti(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    check(cpu)?;
    if !cpu.flags.interrupts() {
        cpu.flags.rest |= IF;
        cpu.shadow = true;
        cpu.review_interrupts_after(bus, op);
    }
    cpu.end_block(op)
}

/// `lahf`.
pub fn lahf(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let v = cpu.flags.get() & LOW | FIXED;
    (v as u8).set_reg(&mut cpu.regs, 4);
    Ok(())
}

/// `sahf`: OF stays.
pub fn sahf(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let new = u32::from(u8::reg(&cpu.regs, 4)) & LOW;
    let kept = cpu.flags.get() & OF;
    cpu.flags.set_arith((new | kept) & ARITH);
    Ok(())
}

/// `salc`: AL = CF ? 0xff : 0.
pub fn salc(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let v = if cpu.flags.cf() { 0xffu8 } else { 0 };
    v.set_reg(&mut cpu.regs, 0);
    Ok(())
}
