//! Multiplication and division.
//!
//! `mul` and `imul` set CF = OF when the upper half carries information; the flags
//! that the manual leaves undefined follow the low half of the result. Divisions
//! leave all flags; a quotient that does not fit, or a zero divisor, is #DE.
//! (SDM vol. 1, "Multiply and Divide Instructions".)

use super::operand::Place;
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::op::{Op, Step};
use crate::cpu::word::Word;

/// An operation on the accumulator pair (AH:AL, DX:AX, EDX:EAX) and one operand.
pub trait Wide: 'static {
    /// Changes the pair; flags are set. Raises #DE without having changed anything.
    fn apply<W: Word>(cpu: &mut Cpu, b: W) -> Step;
}

/// `mul`.
pub struct Mul;
/// One-operand `imul`.
pub struct Imul;
/// `div`.
pub struct Div;
/// `idiv`.
pub struct Idiv;

/// The accumulator pair as one number.
#[inline(always)]
fn pair<W: Word>(cpu: &Cpu) -> u64 {
    let (eax, edx) = (cpu.regs[0], cpu.regs[2]);
    match W::BITS {
        8 => u64::from(eax & 0xffff),
        16 => u64::from(eax & 0xffff | edx << 16),
        _ => u64::from(eax) | u64::from(edx) << 32,
    }
}

/// Replaces the low and high halves of the accumulator pair.
#[inline(always)]
fn set_pair<W: Word>(cpu: &mut Cpu, low: u32, high: u32) {
    W::from_u32(low).set_reg(&mut cpu.regs, 0);
    // AH is register 4 of the byte registers, DX and EDX are register 2.
    W::from_u32(high).set_reg(&mut cpu.regs, if W::BITS == 8 { 4 } else { 2 });
}

#[cold]
fn divide_error(cpu: &mut Cpu) -> Step {
    cpu.raise(Exception::plain(vector::DE))
}

impl Wide for Mul {
    #[inline(always)]
    fn apply<W: Word>(cpu: &mut Cpu, b: W) -> Step {
        let a = W::reg(&cpu.regs, 0);
        let wide = u64::from(a.to_u32()) * u64::from(b.to_u32());
        let high = (wide >> W::BITS) as u32;
        set_pair::<W>(cpu, wide as u32, high);
        cpu.flags.shifted(W::from_u32(wide as u32), high != 0, high != 0);
        Ok(())
    }
}

impl Wide for Imul {
    #[inline(always)]
    fn apply<W: Word>(cpu: &mut Cpu, b: W) -> Step {
        let a = W::reg(&cpu.regs, 0);
        let wide = i64::from(a.sign_extend() as i32) * i64::from(b.sign_extend() as i32);
        let low = W::from_u32(wide as u32);
        let over = wide != i64::from(low.sign_extend() as i32);
        set_pair::<W>(cpu, wide as u32, (wide >> W::BITS) as u32);
        cpu.flags.shifted(low, over, over);
        Ok(())
    }
}

impl Wide for Div {
    #[inline(always)]
    fn apply<W: Word>(cpu: &mut Cpu, b: W) -> Step {
        let (a, b) = (pair::<W>(cpu), u64::from(b.to_u32()));
        let Some(quotient) = a.checked_div(b) else { return divide_error(cpu) };
        if quotient >> W::BITS != 0 {
            return divide_error(cpu);
        }
        set_pair::<W>(cpu, quotient as u32, (a % b) as u32);
        Ok(())
    }
}

impl Wide for Idiv {
    #[inline(always)]
    fn apply<W: Word>(cpu: &mut Cpu, b: W) -> Step {
        let unused = 64 - 2 * W::BITS;
        let a = (pair::<W>(cpu) << unused) as i64 >> unused;
        let b = i64::from(b.sign_extend() as i32);
        let (Some(quotient), Some(rest)) = (a.checked_div(b), a.checked_rem(b)) else {
            return divide_error(cpu);
        };
        if i64::from(W::from_u32(quotient as u32).sign_extend() as i32) != quotient {
            return divide_error(cpu);
        }
        set_pair::<W>(cpu, quotient as u32, rest as u32);
        Ok(())
    }
}

/// With a register.
pub fn wide_r<W: Word, O: Wide>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let b = W::reg(&cpu.regs, op.dst);
    O::apply(cpu, b)
}

/// With a memory operand.
pub fn wide_m<W: Word, P: Place, O: Wide>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let b: W = P::load(cpu, bus, op)?;
    O::apply(cpu, b)
}

#[inline(always)]
fn signed_product<W: Word>(cpu: &mut Cpu, op: &Op, a: W, b: W) {
    let wide = i64::from(a.sign_extend() as i32) * i64::from(b.sign_extend() as i32);
    let low = W::from_u32(wide as u32);
    let over = wide != i64::from(low.sign_extend() as i32);
    low.set_reg(&mut cpu.regs, op.dst);
    cpu.flags.shifted(low, over, over);
}

/// `imul reg, reg`.
pub fn imul_rr<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (a, b) = (W::reg(&cpu.regs, op.dst), W::reg(&cpu.regs, op.src));
    signed_product(cpu, op, a, b);
    Ok(())
}

/// `imul reg, mem`.
pub fn imul_rm<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let b: W = P::load(cpu, bus, op)?;
    let a = W::reg(&cpu.regs, op.dst);
    signed_product(cpu, op, a, b);
    Ok(())
}

/// `imul reg, reg, imm`.
pub fn imul_rri<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let a = W::reg(&cpu.regs, op.src);
    signed_product(cpu, op, a, W::from_u32(op.imm));
    Ok(())
}

/// `imul reg, mem, imm`.
pub fn imul_rmi<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let a: W = P::load(cpu, bus, op)?;
    signed_product(cpu, op, a, W::from_u32(op.imm));
    Ok(())
}
