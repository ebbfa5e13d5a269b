//! Which pairs of instructions become one operation.
//!
//! `cmp` and `test` of bytes and dwords, `inc` and `dec` of a 32-bit register, each
//! followed by a conditional jump, in flat 32-bit code. (The handlers are in
//! `exec/fused.rs`.)

use super::form::{Form, PlaceKind, Shape, Width};
use super::pick::pick_condition;
use crate::cpu::exec::arith::{Cmp, Dec, Inc};
use crate::cpu::exec::fused::{self, Compare};
use crate::cpu::exec::logic::Test;
use crate::cpu::exec::operand::{Flat, Near};
use crate::cpu::op::{Handler, Op};
use iced_x86::{Mnemonic, OpKind};

/// What must be remembered of an instruction to fuse the next one with it.
#[derive(Clone, Copy)]
pub(super) struct Head {
    mnemonic: Mnemonic,
    shape: Shape,
    width: Width,
    place: PlaceKind,
}

/// The head of a pair, if the instruction can be one.
pub(super) fn head(f: &Form) -> Option<Head> {
    use Mnemonic as M;
    let fits = match f.i.mnemonic() {
        M::Cmp | M::Test => match f.shape {
            Shape::RR | Shape::RI => f.width != Width::Word,
            Shape::RM | Shape::MR | Shape::MI => f.width != Width::Word && f.place != PlaceKind::Any,
            _ => false,
        },
        M::Inc | M::Dec => f.shape == Shape::R && f.width == Width::Dword,
        _ => false,
    };
    (fits && f.flat32()).then_some(Head {
        mnemonic: f.i.mnemonic(),
        shape: f.shape,
        width: f.width,
        place: f.place,
    })
}

/// Turns `op`, decoded from `head`, into the pair of it and the conditional jump `f`. False if it cannot be.
pub(super) fn fuse(head: Head, op: &mut Op, f: &Form, length: u8) -> bool {
    if !f.i.is_jcc_short_or_near() || f.i.op0_kind() != OpKind::NearBranch32 || !f.flat32() {
        return false;
    }
    let cc = f.condition();
    op.run = match head.mnemonic {
        Mnemonic::Cmp => compare::<Cmp>(head, cc),
        Mnemonic::Test => compare::<Test>(head, cc),
        Mnemonic::Inc => pick_condition!(cc, fused::jump_r, Inc),
        _ => pick_condition!(cc, fused::jump_r, Dec),
    };
    op.len += length;
    op.bits |= Op::FUSED;
    let target = f.i.near_branch32();
    let through = u32::from(op.at) + u32::from(op.len);
    match head.shape {
        Shape::RI => (op.disp, op.mask) = (target, through),
        Shape::RM | Shape::MR => (op.imm, op.mask) = (target, through),
        Shape::MI => op.mask = target,
        _ => (op.imm, op.disp) = (target, through),
    }
    true
}

fn compare<O: Compare>(head: Head, cc: u8) -> Handler {
    match head.width {
        Width::Byte => compare_width::<u8, O>(head, cc),
        _ => compare_width::<u32, O>(head, cc),
    }
}

fn compare_width<W: crate::cpu::word::Word, O: Compare>(head: Head, cc: u8) -> Handler {
    use fused::{jump_mi, jump_mr, jump_ri, jump_rm, jump_rr};
    match (head.shape, head.place) {
        (Shape::RI, _) => pick_condition!(cc, jump_ri, W, O),
        (Shape::RM, PlaceKind::Near) => pick_condition!(cc, jump_rm, W, Near, O),
        (Shape::RM, _) => pick_condition!(cc, jump_rm, W, Flat, O),
        (Shape::MR, PlaceKind::Near) => pick_condition!(cc, jump_mr, W, Near, O),
        (Shape::MR, _) => pick_condition!(cc, jump_mr, W, Flat, O),
        (Shape::MI, PlaceKind::Near) => pick_condition!(cc, jump_mi, W, Near, O),
        (Shape::MI, _) => pick_condition!(cc, jump_mi, W, Flat, O),
        _ => pick_condition!(cc, jump_rr, W, O),
    }
}
