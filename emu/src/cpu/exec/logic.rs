//! Bitwise operations; their forms are in `arith.rs`.
//!
//! CF and OF are cleared; AF, which the manual leaves undefined, is cleared too.
//! (SDM vol. 1, "Logical Instructions".)

use super::arith::{Binary, Unary};
use crate::cpu::flags::Flags;
use crate::cpu::word::Word;

/// `and`.
pub struct And;
/// `or`.
pub struct Or;
/// `xor`.
pub struct Xor;
/// `test`.
pub struct Test;
/// `not`: no flags.
pub struct Not;

impl Binary for And {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        let r = W::from_u32(a.to_u32() & b.to_u32());
        flags.logic(r);
        r
    }
}

impl Binary for Or {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        let r = W::from_u32(a.to_u32() | b.to_u32());
        flags.logic(r);
        r
    }
}

impl Binary for Xor {
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        let r = W::from_u32(a.to_u32() ^ b.to_u32());
        flags.logic(r);
        r
    }
}

impl Binary for Test {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<W: Word>(flags: &mut Flags, a: W, b: W) -> W {
        And::apply(flags, a, b)
    }
}

impl Unary for Not {
    #[inline(always)]
    fn apply<W: Word>(_flags: &mut Flags, a: W) -> W {
        W::from_u32(!a.to_u32())
    }
}
