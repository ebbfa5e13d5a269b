//! Decimal adjustments of AL and AX.
//!
//! (SDM vol. 1, "Decimal Arithmetic Instructions".)

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::flags::AF;
use crate::cpu::op::{Op, Step};
use crate::cpu::word::Word;

fn set(cpu: &mut Cpu, al: u8, af: bool, cf: bool) {
    al.set_reg(&mut cpu.regs, 0);
    cpu.flags.logic(al);
    cpu.flags.put(AF, af);
    cpu.flags.set_cf(cf);
}

/// `daa`: packed decimal after an addition.
pub fn daa(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let old = u8::reg(&cpu.regs, 0);
    let low = old & 15 > 9 || cpu.flags.af();
    let high = old > 0x99 || cpu.flags.cf();
    let al = old.wrapping_add(if low { 6 } else { 0 }).wrapping_add(if high { 0x60 } else { 0 });
    set(cpu, al, low, high);
    Ok(())
}

/// `das`: packed decimal after a subtraction.
pub fn das(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let old = u8::reg(&cpu.regs, 0);
    let low = old & 15 > 9 || cpu.flags.af();
    let high = old > 0x99 || cpu.flags.cf();
    let al = old.wrapping_sub(if low { 6 } else { 0 }).wrapping_sub(if high { 0x60 } else { 0 });
    set(cpu, al, low, high || (low && old < 6));
    Ok(())
}

/// Unpacked decimal: adds `by` to AX if AL's low digit overflowed.
fn unpacked(cpu: &mut Cpu, by: u16) {
    let adjust = u8::reg(&cpu.regs, 0) & 15 > 9 || cpu.flags.af();
    let ax = u16::reg(&cpu.regs, 0).wrapping_add(if adjust { by } else { 0 });
    (ax & 0xff0f).set_reg(&mut cpu.regs, 0);
    set(cpu, ax as u8 & 15, adjust, adjust);
}

/// `aaa`: unpacked decimal after an addition.
pub fn aaa(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    unpacked(cpu, 0x106);
    Ok(())
}

/// `aas`: unpacked decimal after a subtraction.
pub fn aas(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    unpacked(cpu, 0x106u16.wrapping_neg());
    Ok(())
}

/// `aam`: AL to two digits of base `imm`; #DE for base 0.
pub fn aam(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let al = u8::reg(&cpu.regs, 0);
    let base = op.imm as u8;
    let (Some(high), Some(low)) = (al.checked_div(base), al.checked_rem(base)) else {
        return cpu.raise(Exception::plain(vector::DE));
    };
    high.set_reg(&mut cpu.regs, 4);
    set(cpu, low, false, false);
    Ok(())
}

/// `aad`: two digits of base `imm` to AL.
pub fn aad(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (al, ah) = (u8::reg(&cpu.regs, 0), u8::reg(&cpu.regs, 4));
    let sum = al.wrapping_add(ah.wrapping_mul(op.imm as u8));
    0u8.set_reg(&mut cpu.regs, 4);
    set(cpu, sum, false, false);
    Ok(())
}
