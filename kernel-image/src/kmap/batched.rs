//! `batched`: one shared window used in rotation; all processors flush once
//! per wrap. The pkmap of Linux 2.4.
//!
//! *Protocol.*
//!
//! ```text
//!  kmap(p):    low page -> direct address;  lock
//!              if p.virtual is none { map_new(p) };  count[slot] += 1;  unlock       // reuse: no PTE write, no flush
//!  map_new(p): the next slot with count 0, cursor ascending; at each wrap flush_zero()
//!              none: sleep with the lock released, look at p.virtual again, start again
//!              write PTE := p;  count = 1;  p.virtual = address                      // no invlpg, by B1
//!  flush_zero: slots with count 1: count = 0, clear PTE, p.virtual = none;  flush all processors
//!  kunmap(p):  lock;  count -= 1;  unlock;  wake sleepers if it is now 1
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
//! *Invariants.*
//! - (B1) count 0: the PTE is not present and no TLB anywhere holds the slot.
//! - (B2) count 1: the PTE is present, `page.virtual` is valid, nobody uses it.
//! - (B3) count n > 1: n - 1 users, the PTE may not change.
//!
//! A count becomes 0 only by a completed flush. The flush comes when the
//! *cursor* wraps, even if slots with count 0 remain.
//!
//! The PTEs are global as Linux's were (`kmap_prot = PAGE_KERNEL`), so the
//! flush toggles CR4.PGE; with `global-kmap=0` it loads CR3.
//!
//! *Idea.* Molnar 1999, Arcangeli (`arch/i386/mm/highmem.c` and `mm/highmem.c` of 2.4).

use super::planted::{self, Fault};
use super::window::{self, Global};
use super::{Kmap, Use, direct_address};
use crate::marks;
use crate::mm::flush::{self, Kind, Own};
use crate::mm::{Frame, is_low};
use crate::sched::WaitQueue;
use crate::sync::{SpinGuard, SpinLock};
use shootdown_abi::Counter;

/// See the module.
pub struct Batched;

struct Pool {
    /// The slot given out last.
    cursor: usize,
    /// See the invariants.
    count: &'static mut [u16],
    /// Tasks that sleep for a slot.
    waiting: u32,
}

/// `kmap_lock`. Never taken with interrupts off: its holder waits for acknowledgements.
static POOL: SpinLock<Pool> = SpinLock::new(Pool { cursor: 0, count: &mut [], waiting: 0 });
/// `pkmap_map_wait`.
static SLOT_UNUSED: WaitQueue = WaitQueue::new();

type Locked = SpinGuard<'static, Pool>;

impl Kmap for Batched {
    fn init(slots: usize) {
        POOL.lock().count = window::table(slots, 0);
    }

    fn map(frame: Frame, _: Use) -> u32 {
        kmap(frame, flush_all)
    }

    fn unmap(frame: Frame, _: Use) {
        kunmap(frame);
    }
}

/// Every processor drops the window; back when all have.
fn flush_all() {
    let by_cr3 = window::global() == Global::No || planted::is(Fault::Cr3Flush);
    flush::all_cpus(if by_cr3 { Kind::NonGlobal } else { Kind::Global }, Own::Last);
}

/// `kmap` with the given way to flush: `none` has another one.
pub(super) fn kmap(frame: Frame, flush_all: fn()) -> u32 {
    if let Some(address) = direct_address(frame) {
        return address;
    }
    let mut pool = POOL.lock();
    if frame.page().kva() == 0 {
        pool = map_new(pool, frame, flush_all);
    }
    let address = frame.page().kva();
    let count = &mut pool.count[window::slot_of(address)];
    assert!(*count >= 1, "a mapped page whose slot has count 0");
    *count += 1;
    address
}

/// Gives `frame` a slot. The lock is released only while it sleeps.
fn map_new(mut pool: Locked, frame: Frame, flush_all: fn()) -> Locked {
    let slots = pool.count.len();
    let mut left = slots;
    loop {
        pool.cursor = if pool.cursor + 1 == slots { 0 } else { pool.cursor + 1 };
        if pool.cursor == 0 {
            pool = flush_zero(pool, flush_all);
            left = slots;
        }
        if pool.count[pool.cursor] == 0 {
            break;
        }
        left -= 1;
        if left > 0 {
            continue;
        }
        pool.waiting += 1;
        SLOT_UNUSED.sleep_on(pool);
        pool = POOL.lock();
        pool.waiting -= 1;
        // Somebody else may have mapped the page meanwhile.
        if frame.page().kva() != 0 && !planted::is(Fault::NoRecheck) {
            return pool;
        }
        left = slots;
    }
    let slot = pool.cursor;
    window::give(slot, frame);
    pool.count[slot] = 1;
    frame.page().set_kva(window::address(slot));
    marks::count(Counter::Maps, 1);
    pool
}

/// Takes every slot that nobody uses from its page and flushes. The lock is held until it is done.
fn flush_zero(mut pool: Locked, flush_all: fn()) -> Locked {
    if planted::is(Fault::FlushFirst) {
        flush_all();
    }
    for slot in 0..pool.count.len() {
        if pool.count[slot] == 1 {
            pool.count[slot] = 0;
            window::clear(slot).page().set_kva(0);
        }
    }
    marks::count(Counter::Wraps, 1);
    if planted::is(Fault::DropLock) {
        drop(pool);
        flush_all();
        return POOL.lock();
    }
    if !planted::is(Fault::FlushFirst) {
        flush_all();
    }
    pool
}

/// Ends one use.
pub(super) fn kunmap(frame: Frame) {
    if is_low(frame) {
        return;
    }
    let wake = {
        let mut pool = POOL.lock();
        let waiting = pool.waiting != 0;
        let count = &mut pool.count[window::slot_of(frame.page().kva())];
        assert!(*count >= 2, "kunmap of a page that nobody uses");
        *count -= 1;
        waiting && *count == 1
    };
    if wake {
        SLOT_UNUSED.wake_all();
    }
}
