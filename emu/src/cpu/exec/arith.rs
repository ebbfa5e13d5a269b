//! Addition, subtraction and comparison.
//!
//! An operation is a type with one function from two operands to a result that
//! also sets the flags ([`Binary`]); the forms (`_rr` ... `_mi`) are shared by all
//! of them and by those of `logic.rs`. (SDM vol. 1, "Binary Arithmetic
//! Instructions".)

use super::operand::{Place, load_then, modify_by};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::flags::Flags;
use crate::cpu::op::{Op, Step};
use crate::cpu::word::Word;

/// An operation of two operands that sets flags.
pub trait Binary: 'static {
    /// False for comparisons, which leave the destination alone.
    const WRITES: bool = true;
    /// The result; flags are set.
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W;
}

/// An operation of one operand.
pub trait Unary: 'static {
    /// The result; flags are set where the operation sets any.
    fn apply<W: Word>(flags: &mut Flags, a: W) -> W;
}

/// `add`.
pub struct Add;
/// `adc`.
pub struct Adc;
/// `sub`.
pub struct Sub;
/// `sbb`.
pub struct Sbb;
/// `cmp`.
pub struct Cmp;
/// `inc`.
pub struct Inc;
/// `dec`.
pub struct Dec;
/// `neg`.
pub struct Neg;

impl Binary for Add {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        let r = W::from_u32(a.to_u32().wrapping_add(b.to_u32()));
        flags.add(a, b, r);
        r
    }
}

impl Binary for Adc {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        let carry = u32::from(flags.cf());
        let r = W::from_u32(a.to_u32().wrapping_add(b.to_u32()).wrapping_add(carry));
        flags.add(a, b, r);
        r
    }
}

impl Binary for Sub {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        let r = W::from_u32(a.to_u32().wrapping_sub(b.to_u32()));
        flags.sub(a, b, r);
        r
    }
}

impl Binary for Sbb {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        let borrow = u32::from(flags.cf());
        let r = W::from_u32(a.to_u32().wrapping_sub(b.to_u32()).wrapping_sub(borrow));
        flags.sub(a, b, r);
        r
    }
}

impl Binary for Cmp {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        Sub::apply(flags, a, b)
    }
}

impl Unary for Inc {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W) -> W {
        let r = W::from_u32(a.to_u32().wrapping_add(1));
        flags.inc(a, r);
        r
    }
}

impl Unary for Dec {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W) -> W {
        let r = W::from_u32(a.to_u32().wrapping_sub(1));
        flags.dec(a, r);
        r
    }
}

impl Unary for Neg {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W) -> W {
        Sub::apply(flags, W::default(), a)
    }
}

/// Register, register.
pub fn binary_rr<W: Word, O: Binary>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (a, b) = (W::reg(&cpu.regs, op.dst), W::reg(&cpu.regs, op.src));
    let r = O::apply(&mut cpu.flags, a, b);
    if O::WRITES {
        r.set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// Register, immediate.
pub fn binary_ri<W: Word, O: Binary>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let a = W::reg(&cpu.regs, op.dst);
    let r = O::apply(&mut cpu.flags, a, W::from_u32(op.imm));
    if O::WRITES {
        r.set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// Register, memory.
pub fn binary_rm<W: Word, P: Place, O: Binary>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    load_then::<W, P, _>(cpu, bus, op, |cpu, op, b| {
        let a = W::reg(&cpu.regs, op.dst);
        let r = O::apply(&mut cpu.flags, a, b);
        if O::WRITES {
            r.set_reg(&mut cpu.regs, op.dst);
        }
        Ok(())
    })
}

/// Memory, register.
pub fn binary_mr<W: Word, P: Place, O: Binary>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if O::WRITES {
        modify_by::<W, P, _>(cpu, bus, op, |cpu, op, a| {
            let b = W::reg(&cpu.regs, op.src);
            O::apply(&mut cpu.flags, a, b)
        })
    } else {
        load_then::<W, P, _>(cpu, bus, op, |cpu, op, a| {
            let b = W::reg(&cpu.regs, op.src);
            O::apply(&mut cpu.flags, a, b);
            Ok(())
        })
    }
}

/// Memory, immediate.
pub fn binary_mi<W: Word, P: Place, O: Binary>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if O::WRITES {
        modify_by::<W, P, _>(cpu, bus, op, |cpu, op, a| O::apply(&mut cpu.flags, a, W::from_u32(op.imm)))
    } else {
        load_then::<W, P, _>(cpu, bus, op, |cpu, op, a| {
            O::apply(&mut cpu.flags, a, W::from_u32(op.imm));
            Ok(())
        })
    }
}

/// One register.
pub fn unary_r<W: Word, O: Unary>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let a = W::reg(&cpu.regs, op.dst);
    O::apply(&mut cpu.flags, a).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// One memory operand.
pub fn unary_m<W: Word, P: Place, O: Unary>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    modify_by::<W, P, _>(cpu, bus, op, |cpu, _, a| O::apply(&mut cpu.flags, a))
}
