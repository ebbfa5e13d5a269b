//! Bit tests and bit scans.
//!
//! With a register offset, a bit test in memory reaches beyond its operand: the
//! offset is signed and selects a word of a bit string. Bit tests set CF and leave
//! the other flags; scans set ZF and, of a zero operand, leave the destination.
//! (SDM vol. 1, "Bit and Byte Instructions".)

use super::operand::{Any, Place};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::op::{Op, Step};
use crate::cpu::word::Word;

/// What becomes of the tested bit.
pub trait BitChange: 'static {
    /// False for `bt`, which only reads.
    const WRITES: bool = true;
    /// The operand with the bit of `mask` changed.
    fn apply(v: u32, mask: u32) -> u32;
}

/// `bt`.
pub struct Bt;
/// `bts`.
pub struct Bts;
/// `btr`.
pub struct Btr;
/// `btc`.
pub struct Btc;

impl BitChange for Bt {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply(v: u32, _mask: u32) -> u32 {
        v
    }
}

impl BitChange for Bts {
    #[inline(always)]
    fn apply(v: u32, mask: u32) -> u32 {
        v | mask
    }
}

impl BitChange for Btr {
    #[inline(always)]
    fn apply(v: u32, mask: u32) -> u32 {
        v & !mask
    }
}

impl BitChange for Btc {
    #[inline(always)]
    fn apply(v: u32, mask: u32) -> u32 {
        v ^ mask
    }
}

#[inline(always)]
fn change<W: Word, O: BitChange>(cpu: &mut Cpu, v: W, offset: u32) -> W {
    let bit = offset & (W::BITS - 1);
    cpu.flags.set_cf(v.to_u32() >> bit & 1 != 0);
    W::from_u32(O::apply(v.to_u32(), 1 << bit))
}

/// Register, register.
pub fn bit_rr<W: Word, O: BitChange>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (v, offset) = (W::reg(&cpu.regs, op.dst), W::reg(&cpu.regs, op.src).to_u32());
    let r = change::<W, O>(cpu, v, offset);
    if O::WRITES {
        r.set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// Register, immediate.
pub fn bit_ri<W: Word, O: BitChange>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let v = W::reg(&cpu.regs, op.dst);
    let r = change::<W, O>(cpu, v, op.imm);
    if O::WRITES {
        r.set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// Memory, immediate: the bit lies within the operand.
pub fn bit_mi<W: Word, O: BitChange>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if O::WRITES {
        Any::modify(cpu, bus, op, |cpu, v: W| change::<W, O>(cpu, v, op.imm))
    } else {
        let v: W = Any::load(cpu, bus, op)?;
        change::<W, O>(cpu, v, op.imm);
        Ok(())
    }
}

/// Memory, register: the bit lies anywhere in a bit string.
pub fn bit_mr<W: Word, O: BitChange>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let offset = W::reg(&cpu.regs, op.src).sign_extend();
    let word = (offset as i32 >> W::BITS.trailing_zeros()) as u32;
    let ea = op.ea(cpu).wrapping_add(word.wrapping_mul(W::BYTES)) & op.mask;
    if O::WRITES {
        cpu.modify_at(bus, op, ea, |cpu, v: W| change::<W, O>(cpu, v, offset))
    } else {
        let v: W = cpu.load_at(bus, op, op.seg, ea)?;
        change::<W, O>(cpu, v, offset);
        Ok(())
    }
}

/// A scan for a set bit.
pub trait Scan: 'static {
    /// Number of the bit found; the operand is not zero.
    fn find(v: u32) -> u32;
}

/// `bsf`.
pub struct Bsf;
/// `bsr`.
pub struct Bsr;

impl Scan for Bsf {
    #[inline(always)]
    fn find(v: u32) -> u32 {
        v.trailing_zeros()
    }
}

impl Scan for Bsr {
    #[inline(always)]
    fn find(v: u32) -> u32 {
        31 - (v | 1).leading_zeros()
    }
}

#[inline(always)]
fn scan<W: Word, O: Scan>(cpu: &mut Cpu, op: &Op, v: W) {
    // ZF tells whether the operand was zero; the other flags are undefined and follow it too.
    cpu.flags.logic(v);
    if v.to_u32() != 0 {
        W::from_u32(O::find(v.to_u32())).set_reg(&mut cpu.regs, op.dst);
    }
}

/// Register, register.
pub fn scan_rr<W: Word, O: Scan>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let v = W::reg(&cpu.regs, op.src);
    scan::<W, O>(cpu, op, v);
    Ok(())
}

/// Register, memory.
pub fn scan_rm<W: Word, O: Scan>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v: W = Any::load(cpu, bus, op)?;
    scan::<W, O>(cpu, op, v);
    Ok(())
}
