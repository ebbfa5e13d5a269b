//! `shared-invlpg`: one shared window; each reuse of a slot is shot down on all
//! processors, page by page. The straw man of "cross-CPU interrupts for every
//! mapping".
//!
//! *Protocol.* That of `pool`, with
//!
//! ```text
//!  next slot:    the next one without users, cursor ascending
//!                count 1: clear PTE, p.virtual = none;  IPI to all: invlpg(slot), wait for all;  count = 0
//!  last use:     nothing; the page keeps its slot
//!  with when=unmap (shared-flush=unmap)
//!  last use:     clear PTE, p.virtual = none;  IPI to all: invlpg(slot), wait for all;  count = 0
//!  next slot:    the next one with count 0
//! ```
//!
//! *Who waits for whom.* A task sleeps while every slot is in use. Each kmap of
//! a page that has no slot (each last kunmap) waits, under the lock, until every
//! other processor has invalidated, idle ones too; all other kmaps spin on the
//! lock meanwhile, with interrupts on, so that they answer.
//!
//! *What may stay stale, until when.* Nothing that anybody could use: from the
//! change of a PTE to the last acknowledgement the lock is held and the slot is
//! nobody's.
//!
//! *Invariants.* B1 to B3 of `pool`.
//!
//! *Idea.* Nobody's proposal: what the schemes of 1999-2002 were made to avoid.
//! `shared-flush=unmap` is the immediate flush of kernel mappings that Piggin
//! compares with a lazy one ("mm: vmap rewrite", 2008), with `invlpg` for its
//! global flush.

use super::axes::When;
use super::pool::{self, Locked, Pool};
use super::{Kmap, Use, inval, window};
use crate::marks;
use crate::mm::Frame;
use shootdown_abi::Counter;

/// See the module.
pub struct SharedInvlpg;

impl Kmap for SharedInvlpg {
    fn init(slots: usize) {
        pool::init(slots);
    }

    fn map(frame: Frame, _: Use) -> u32 {
        pool::kmap(frame, next)
    }

    fn unmap(frame: Frame, _: Use) {
        pool::kunmap(frame, unused);
    }
}

/// The last use of a slot has ended.
pub(super) fn unused(pool: &mut Pool, slot: usize) {
    if inval::is_at(When::Unmap) {
        shoot_down(pool, slot);
    }
}

/// The next slot that nobody uses, invalid everywhere. Within its callers, as it was when there was one: a call is a twentieth of a kmap.
#[inline(always)]
pub(super) fn next(mut pool: Locked) -> (Locked, Option<usize>) {
    for _ in 0..pool.part.len() {
        let slot = pool.advance();
        if pool.count[slot] == 1 {
            shoot_down(&mut pool, slot);
        }
        if pool.count[slot] == 0 {
            return (pool, Some(slot));
        }
    }
    (pool, None)
}

/// Takes a slot that nobody uses from its page; back when no processor holds it any more.
fn shoot_down(pool: &mut Pool, slot: usize) {
    pool.take_back(slot);
    marks::count(Counter::Recycles, 1);
    inval::everywhere(window::address(slot));
}
