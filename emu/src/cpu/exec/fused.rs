//! A comparison and the conditional jump behind it, as one operation.
//!
//! Compiled code ends most blocks with such a pair. Together they cost one dispatch,
//! and most conditions follow from the operands without a detour over the flags,
//! which are set all the same. Only flat 32-bit code is fused, so the address mask
//! is free to hold something else:
//!
//! | form | target in | fall-through in |
//! |---|---|---|
//! | `_rr`, `_r` | `imm` | `disp` |
//! | `_ri` | `disp` | `mask` |
//! | `_rm`, `_mr` | `imm` | `mask` |
//! | `_mi` | `mask` | `at` + `len` |
//!
//! Both are distances from the block's start, as in `branch.rs`. Only the comparison
//! can fault, before anything has changed; `at` names it.

use super::arith::{Binary, Cmp, Dec, Inc, Unary};
use super::logic::Test;
use super::operand::{Place, load_then};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::flags::Flags;
use crate::cpu::op::{Flow, Op, Step};
use crate::cpu::word::Word;

/// A comparison that can be fused.
pub trait Compare: Binary {
    /// Condition `CC`, from the operands or from the flags that they have set.
    fn holds<W: Word, const CC: u8>(flags: &Flags, a: W, b: W) -> bool;
}

impl Compare for Test {
    #[inline(always)]
    fn holds<W: Word, const CC: u8>(flags: &Flags, _a: W, _b: W) -> bool {
        flags.condition(CC)
    }
}

impl Compare for Cmp {
    #[inline(always)]
    fn holds<W: Word, const CC: u8>(flags: &Flags, a: W, b: W) -> bool {
        let (unsigned, signed) = ((a.to_u32(), b.to_u32()), (a.sign_extend() as i32, b.sign_extend() as i32));
        match CC {
            2 => unsigned.0 < unsigned.1,
            3 => unsigned.0 >= unsigned.1,
            4 => a == b,
            5 => a != b,
            6 => unsigned.0 <= unsigned.1,
            7 => unsigned.0 > unsigned.1,
            12 => signed.0 < signed.1,
            13 => signed.0 >= signed.1,
            14 => signed.0 <= signed.1,
            15 => signed.0 > signed.1,
            _ => flags.condition(CC),
        }
    }
}

/// A counting step that can be fused: `inc` or `dec` of a register.
pub trait Count: Unary {}
impl Count for Inc {}
impl Count for Dec {}

#[inline(always)]
fn go(cpu: &mut Cpu, holds: bool, target: u32, through: u32) -> Step {
    cpu.eip = cpu.eip.wrapping_add(if holds { target } else { through });
    Err(Flow::Branch)
}

#[inline(always)]
fn compare<W: Word, O: Compare, const CC: u8>(cpu: &mut Cpu, a: W, b: W) -> bool {
    O::apply(&mut cpu.flags, a, b);
    O::holds::<W, CC>(&cpu.flags, a, b)
}

/// Register, register.
pub fn jump_rr<W: Word, O: Compare, const CC: u8>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (a, b) = (W::reg(&cpu.regs, op.dst), W::reg(&cpu.regs, op.src));
    let holds = compare::<W, O, CC>(cpu, a, b);
    go(cpu, holds, op.imm, op.disp)
}

/// Register, immediate.
pub fn jump_ri<W: Word, O: Compare, const CC: u8>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let a = W::reg(&cpu.regs, op.dst);
    let holds = compare::<W, O, CC>(cpu, a, W::from_u32(op.imm));
    go(cpu, holds, op.disp, op.mask)
}

/// Register, memory.
pub fn jump_rm<W: Word, P: Place, O: Compare, const CC: u8>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    load_then::<W, P, _>(cpu, bus, op, |cpu, op, b| {
        let a = W::reg(&cpu.regs, op.dst);
        let holds = compare::<W, O, CC>(cpu, a, b);
        go(cpu, holds, op.imm, op.mask)
    })
}

/// Memory, register.
pub fn jump_mr<W: Word, P: Place, O: Compare, const CC: u8>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    load_then::<W, P, _>(cpu, bus, op, |cpu, op, a| {
        let b = W::reg(&cpu.regs, op.src);
        let holds = compare::<W, O, CC>(cpu, a, b);
        go(cpu, holds, op.imm, op.mask)
    })
}

/// Memory, immediate.
pub fn jump_mi<W: Word, P: Place, O: Compare, const CC: u8>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    load_then::<W, P, _>(cpu, bus, op, |cpu, op, a| {
        let holds = compare::<W, O, CC>(cpu, a, W::from_u32(op.imm));
        go(cpu, holds, op.mask, u32::from(op.at) + u32::from(op.len))
    })
}

/// `inc` or `dec` of a 32-bit register.
pub fn jump_r<O: Count, const CC: u8>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let r = O::apply(&mut cpu.flags, cpu.regs[(op.dst & 7) as usize]);
    cpu.regs[(op.dst & 7) as usize] = r;
    let holds = cpu.flags.condition(CC);
    go(cpu, holds, op.imm, op.disp)
}
