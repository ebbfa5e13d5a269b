//! `batched`: one shared window used in rotation; all processors flush once
//! per wrap. The pkmap of Linux 2.4.
//!
//! *Protocol.* That of `pool`, with
//!
//! ```text
//!  next slot:  count 0, cursor ascending; at each wrap flush_zero()
//!  flush_zero: slots with count 1: count = 0, clear PTE, p.virtual = none;  flush all processors
//!  flush:      IPI to ALL others, wait until the handlers have FINISHED, flush here; preemption off throughout
//!  last use:   nothing; the page keeps its slot
//! ```
//!
//! *Who waits for whom.* A task sleeps while every slot is in use. The task
//! whose kmap wraps waits, under the lock, until every other processor has
//! flushed (idle ones too); all other kmaps spin on the lock meanwhile, with
//! interrupts on, so that they answer. Spinning with interrupts off would be a
//! deadlock.
//!
//! *What may stay stale, until when.* A page keeps its slot after its last
//! kunmap (count 1), deliberately: kmapping it again is free. PTEs cleared at
//! the wrap stay in TLBs until the flush is done, and nobody can get such a slot
//! before, since the lock is held.
//!
//! *Invariants.* B1 to B3 of `pool`. A count becomes 0 only by a completed
//! flush. The flush comes when the *cursor* wraps, even if slots with count 0
//! remain.
//!
//! The PTEs are global as Linux's were (`kmap_prot = PAGE_KERNEL`), so the
//! flush toggles CR4.PGE; with `global-kmap=0` it loads CR3, and `how=invpcid` drops
//! everything by one instruction where the processor has it.
//!
//! *Idea.* Molnar 1999, Arcangeli (`arch/i386/mm/highmem.c` and `mm/highmem.c` of 2.4).

use super::pool::{self, Locked, POOL};
use super::{Kmap, Use, inval};
use crate::marks;
use crate::mm::Frame;
use crate::mm::flush::{self, Kind, Own};
use crate::planted::{self, Fault};
use shootdown_abi::Counter;

/// See the module.
pub struct Batched;

impl Kmap for Batched {
    fn init(slots: usize) {
        pool::init(slots);
    }

    fn map(frame: Frame, _: Use) -> u32 {
        pool::kmap(frame, next::<Everything>)
    }

    fn unmap(frame: Frame, _: Use) {
        pool::kunmap(frame, |_, _| ());
    }
}

/// What a strategy does at the wrap.
pub(super) trait AtWrap {
    /// A wrap begins.
    fn begin() {}
    /// It has taken a slot from its page.
    fn taken_back(_slot: usize) {}
    /// Every processor forgets the slots that were taken back; returns when all have.
    fn flush();
}

pub(super) struct Everything;

impl AtWrap for Everything {
    fn flush() {
        if planted::is(Fault::Cr3Flush) {
            flush::all_cpus(Kind::NonGlobal, Own::Last);
        } else {
            inval::everywhere(0);
        }
    }
}

/// The next slot with count 0. Within its callers, as it was when there was one: a call is a twentieth of a kmap.
#[inline(always)]
pub(super) fn next<W: AtWrap>(mut pool: Locked) -> (Locked, Option<usize>) {
    let mut left = pool.part.len();
    while left > 0 {
        let slot = pool.advance();
        if slot == pool.part.start {
            pool = flush_zero::<W>(pool);
            left = pool.part.len();
        }
        if pool.count[slot] == 0 {
            return (pool, Some(slot));
        }
        left -= 1;
    }
    (pool, None)
}

/// Takes every slot that nobody uses from its page and flushes. The lock is held until it is done.
fn flush_zero<W: AtWrap>(mut pool: Locked) -> Locked {
    if planted::is(Fault::FlushFirst) {
        W::flush();
    }
    W::begin();
    for slot in 0..pool.count.len() {
        if pool.count[slot] == 1 {
            pool.take_back(slot);
            W::taken_back(slot);
        }
    }
    marks::count(Counter::Wraps, 1);
    if planted::is(Fault::DropLock) {
        drop(pool);
        W::flush();
        return POOL.lock();
    }
    if !planted::is(Fault::FlushFirst) {
        W::flush();
    }
    pool
}
