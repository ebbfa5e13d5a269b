//! Shifts and rotates, single and double.
//!
//! The count is cut to five bits; a count of zero changes nothing, not even a
//! flag. Where the manual leaves OF undefined (counts over one) it is set by the
//! same formula as for one; AF is cleared. Rotates change only CF and OF.
//! (SDM vol. 1, "Shift and Rotate Instructions".)

use super::operand::{Any, Place};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::flags::Flags;
use crate::cpu::op::{Op, Step};
use crate::cpu::word::Word;

/// A shift or rotate by a count of 1..=31.
pub trait Shift: 'static {
    /// The result; flags are set.
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W;
}

/// `shl`.
pub struct Shl;
/// `shr`.
pub struct Shr;
/// `sar`.
pub struct Sar;
/// `rol`.
pub struct Rol;
/// `ror`.
pub struct Ror;
/// `rcl`.
pub struct Rcl;
/// `rcr`.
pub struct Rcr;

/// The top bit of an operand.
#[inline(always)]
fn top<W: Word>(v: u32) -> bool {
    v >> (W::BITS - 1) & 1 != 0
}

impl Shift for Shl {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W {
        let wide = u64::from(a.to_u32()) << count;
        let r = W::from_u32(wide as u32);
        let cf = wide >> W::BITS & 1 != 0;
        flags.shifted(r, cf, cf != top::<W>(r.to_u32()));
        r
    }
}

impl Shift for Shr {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W {
        let r = W::from_u32(a.to_u32() >> count);
        let cf = a.to_u32() >> (count - 1) & 1 != 0;
        flags.shifted(r, cf, top::<W>(a.to_u32()));
        r
    }
}

impl Shift for Sar {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W {
        let wide = a.sign_extend() as i32;
        let r = W::from_u32((wide >> count) as u32);
        let cf = (wide >> (count - 1)) & 1 != 0;
        flags.shifted(r, cf, false);
        r
    }
}

impl Shift for Rol {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W {
        let n = count % W::BITS;
        let v = a.to_u32();
        let r = if n == 0 { a } else { W::from_u32(v << n | v >> (W::BITS - n)) };
        let cf = r.to_u32() & 1 != 0;
        flags.rotated(cf, cf != top::<W>(r.to_u32()));
        r
    }
}

impl Shift for Ror {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W {
        let n = count % W::BITS;
        let v = a.to_u32();
        let r = if n == 0 { a } else { W::from_u32(v >> n | v << (W::BITS - n)) };
        let cf = top::<W>(r.to_u32());
        flags.rotated(cf, cf != top::<W>(r.to_u32() << 1));
        r
    }
}

impl Shift for Rcl {
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W {
        let width = W::BITS + 1;
        let n = count % width;
        let v = u64::from(flags.cf()) << W::BITS | u64::from(a.to_u32());
        let turned = if n == 0 { v } else { v << n | v >> (width - n) };
        let r = W::from_u32(turned as u32);
        let cf = turned >> W::BITS & 1 != 0;
        flags.rotated(cf, cf != top::<W>(r.to_u32()));
        r
    }
}

impl Shift for Rcr {
    fn apply<W: Word>(flags: &mut Flags, a: W, count: u32) -> W {
        let width = W::BITS + 1;
        let n = count % width;
        let v = u64::from(flags.cf()) << W::BITS | u64::from(a.to_u32());
        let turned = if n == 0 { v } else { v >> n | v << (width - n) };
        let r = W::from_u32(turned as u32);
        let cf = turned >> W::BITS & 1 != 0;
        flags.rotated(cf, top::<W>(r.to_u32()) != top::<W>(r.to_u32() << 1));
        r
    }
}

/// Register by an immediate that is not zero.
pub fn shift_ri<W: Word, O: Shift>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let a = W::reg(&cpu.regs, op.dst);
    O::apply(&mut cpu.flags, a, op.imm & 31).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// Register by CL.
pub fn shift_rc<W: Word, O: Shift>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let count = cpu.regs[1] & 31;
    if count != 0 {
        let a = W::reg(&cpu.regs, op.dst);
        O::apply(&mut cpu.flags, a, count).set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// Memory by an immediate.
pub fn shift_mi<W: Word, P: Place, O: Shift>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let count = op.imm & 31;
    P::modify(cpu, bus, op, |cpu, a: W| if count == 0 { a } else { O::apply(&mut cpu.flags, a, count) })
}

/// Memory by CL.
pub fn shift_mc<W: Word, P: Place, O: Shift>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let count = cpu.regs[1] & 31;
    P::modify(cpu, bus, op, |cpu, a: W| if count == 0 { a } else { O::apply(&mut cpu.flags, a, count) })
}

/// A shift of two operands as one: `shld`, `shrd`.
pub trait DoubleShift: 'static {
    /// The result; flags are set. The count is 1..=31.
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W, count: u32) -> W;
}

/// `shld`.
pub struct Shld;
/// `shrd`.
pub struct Shrd;

// A count over 16 with 16-bit operands is undefined by the manual; processors shift in the
// destination again behind the source.

impl DoubleShift for Shld {
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W, count: u32) -> W {
        let (av, bv) = (u64::from(a.to_u32()), u64::from(b.to_u32()));
        let wide = if W::BITS == 16 { av << 32 | bv << 16 | av } else { av << 32 | bv };
        let shifted = wide << count;
        let r = W::from_u32((shifted >> 32) as u32);
        let cf = if W::BITS == 16 { shifted >> 48 & 1 != 0 } else { av >> (32 - count) & 1 != 0 };
        flags.shifted(r, cf, top::<W>(a.to_u32()) != top::<W>(r.to_u32()));
        r
    }
}

impl DoubleShift for Shrd {
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W, count: u32) -> W {
        let (av, bv) = (u64::from(a.to_u32()), u64::from(b.to_u32()));
        let wide = if W::BITS == 16 { av << 32 | bv << 16 | av } else { bv << 32 | av };
        let r = W::from_u32((wide >> count) as u32);
        let cf = wide >> (count - 1) & 1 != 0;
        flags.shifted(r, cf, top::<W>(a.to_u32()) != top::<W>(r.to_u32()));
        r
    }
}

/// Whether the count of a double shift is an immediate or CL.
pub trait Count: 'static {
    /// The count, 0..=31.
    fn get(cpu: &Cpu, op: &Op) -> u32;
}

/// The immediate.
pub struct ByImmediate;
/// CL.
pub struct ByCl;

impl Count for ByImmediate {
    #[inline(always)]
    fn get(_cpu: &Cpu, op: &Op) -> u32 {
        op.imm & 31
    }
}

impl Count for ByCl {
    #[inline(always)]
    fn get(cpu: &Cpu, _op: &Op) -> u32 {
        cpu.regs[1] & 31
    }
}

/// Register, register.
pub fn double_r<W: Word, O: DoubleShift, C: Count>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let count = C::get(cpu, op);
    if count != 0 {
        let (a, b) = (W::reg(&cpu.regs, op.dst), W::reg(&cpu.regs, op.src));
        O::apply(&mut cpu.flags, a, b, count).set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// Memory, register.
pub fn double_m<W: Word, O: DoubleShift, C: Count>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let count = C::get(cpu, op);
    let b = W::reg(&cpu.regs, op.src);
    Any::modify(cpu, bus, op, |cpu, a: W| if count == 0 { a } else { O::apply(&mut cpu.flags, a, b, count) })
}
