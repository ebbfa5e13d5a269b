//! The pool of counted slots: what `batched`, `batched-range` and `shared-invlpg`
//! have in common, which is the pkmap of Linux 2.4 but for the way in which the next
//! slot is found.
//!
//! ```text
//!  kmap(p):    low page -> direct address;  lock
//!              if p.virtual is none { map_new(p) };  count[slot] += 1;  unlock       // reuse: no PTE write, no flush
//!  map_new(p): the strategy's next slot with count 0
//!              none: sleep with the lock released, look at p.virtual again, start again
//!              write PTE := p;  count = 1;  p.virtual = address                      // no invlpg needed, by B1
//!  kunmap(p):  lock;  count -= 1;  1: what the strategy does then;  unlock;  wake sleepers
//! ```
//!
//! Invariants.
//! - (B1) count 0: the PTE is not present and no TLB anywhere holds the slot.
//! - (B2) count 1: the PTE is present, `page.virtual` is valid, nobody uses it.
//! - (B3) count n > 1: n - 1 users, the PTE may not change.
//!
//! A count becomes 0 only by a completed invalidation: that is the strategy's part.

use super::pools::{POOLS, Series};
use super::{direct_address, window};
use crate::arch::insn;
use crate::marks;
use crate::mm::{Frame, is_low};
use crate::planted::{self, Fault};
use crate::sched::WaitQueue;
use crate::sync::{Aligned, Chosen, SpinGuard, SpinLock};
use core::ops::Range;
use shootdown_abi::{Counter, Table};

/// The slots and the place in them. With page tables in the window (`pools`) they are divided; the fields for that stay
/// as they are without.
pub struct Pool {
    /// The slot given out last.
    pub cursor: usize,
    /// First slot of the part that slots are given out of, and the first one behind it.
    pub part: Range<usize>,
    /// See the invariants.
    pub count: &'static mut [u16],
    /// Tasks that sleep for a slot.
    waiting: u32,
    /// Which part that is, of how many.
    selected: usize,
    parts: usize,
    /// The cursor of each part that is not selected.
    cursors: [usize; POOLS],
    /// Uses of all slots (`pools`).
    pub holds: u32,
    /// Slots that tasks have reserved and do not use (`pools`).
    pub reserved: u32,
}

/// `kmap_lock`. Never taken with interrupts off: its holder waits for acknowledgements. It and all that it guards but the counts
/// are one line, which every user takes from the last one.
pub static POOL: Aligned<SpinLock<Pool, Chosen>> = Aligned::new(SpinLock::new(Pool {
    cursor: 0,
    part: 0..0,
    count: &mut [],
    waiting: 0,
    selected: 0,
    parts: 1,
    cursors: [0; POOLS],
    holds: 0,
    reserved: 0,
}));
const _: () = assert!(size_of::<SpinLock<Pool, Chosen>>() <= 64);
/// `pkmap_map_wait`.
static SLOT_UNUSED: WaitQueue = WaitQueue::new();

/// The pool, locked.
pub type Locked = SpinGuard<'static, Pool, Chosen>;

/// Makes `slots` slots with count 0; at boot.
pub fn init(slots: usize) {
    let mut pool = POOL.lock();
    pool.count = window::table(slots, 0);
    pool.part = 0..slots;
    window::tell_table(Table::Counts, pool.count);
}

impl Pool {
    /// Moves the cursor to the next slot and returns it.
    pub fn advance(&mut self) -> usize {
        self.cursor = if self.cursor + 1 == self.part.end { self.part.start } else { self.cursor + 1 };
        self.cursor
    }

    /// Divides the slots evenly among so many parts; at boot.
    pub fn divide(&mut self, parts: usize) {
        self.parts = parts;
        self.part = self.range(0);
        for part in 0..parts {
            self.cursors[part] = self.range(part).start;
        }
    }

    fn range(&self, part: usize) -> Range<usize> {
        let (slots, parts) = (self.count.len(), self.parts);
        slots * part / parts..slots * (part + 1) / parts
    }

    /// From here on slots come out of this part; undivided, there is one only.
    pub fn select(&mut self, part: usize) {
        let part = if self.parts == 1 { 0 } else { part };
        if part != self.selected {
            self.cursors[self.selected] = self.cursor;
            (self.selected, self.cursor, self.part) = (part, self.cursors[part], self.range(part));
        }
    }

    /// The part that a slot belongs to.
    pub fn series_of(&self, slot: usize) -> Series {
        let part = (0..self.parts).find(|&part| self.range(part).contains(&slot));
        Series::ALL[part.unwrap_or(0)]
    }

    /// Does a task sleep for a slot?
    pub fn somebody_waits(&self) -> bool {
        self.waiting != 0
    }

    /// Points a slot with count 0 to `frame`; nobody uses it yet.
    pub fn place(&mut self, slot: usize, frame: Frame) {
        window::give(slot, frame);
        self.count[slot] = 1;
        marks::count(Counter::Maps, 1);
    }

    /// Takes a slot that nobody uses from its page. What is left is to invalidate it: until then nobody may get it.
    pub fn take_back(&mut self, slot: usize) {
        self.count[slot] = 0;
        let page = window::clear(slot).page();
        // A page table may have several (`series-strict`), none of which is the page's.
        if page.kva() == window::address(slot) {
            page.set_kva(0);
        }
    }
}

/// A kernel address of `frame`. `next` finds a slot with count 0, or none if all are in use; it may release the lock.
pub fn kmap(frame: Frame, next: impl Fn(Locked) -> (Locked, Option<usize>)) -> u32 {
    if let Some(address) = direct_address(frame) {
        return address;
    }
    let mut pool = POOL.lock();
    if frame.page().kva() == 0 {
        pool = map_new(pool, frame, next);
    }
    let address = frame.page().kva();
    let count = &mut pool.count[window::slot_of(address)];
    assert!(*count >= 1, "a mapped page whose slot has count 0");
    *count += 1;
    address
}

/// Gives `frame` a slot. The lock is released while it sleeps.
fn map_new(mut pool: Locked, frame: Frame, next: impl Fn(Locked) -> (Locked, Option<usize>)) -> Locked {
    let slot = loop {
        let found;
        (pool, found) = next(pool);
        if let Some(slot) = found {
            break slot;
        }
        pool = sleep(pool);
        // Somebody else may have mapped the page meanwhile.
        if frame.page().kva() != 0 && !planted::is(Fault::NoRecheck) {
            return pool;
        }
    };
    pool.place(slot, frame);
    frame.page().set_kva(window::address(slot));
    pool
}

/// Sleeps until a use has ended, with the lock released.
pub fn sleep(mut pool: Locked) -> Locked {
    pool.waiting += 1;
    SLOT_UNUSED.sleep_on(pool);
    let mut pool = POOL.lock();
    pool.waiting -= 1;
    pool
}

/// Releases the lock after a use has ended, and wakes those that sleep if that is something to them.
pub fn wake(pool: Locked, matters: bool) {
    let wake = pool.waiting != 0 && matters;
    drop(pool);
    if wake {
        SLOT_UNUSED.wake_all();
    }
}

/// Ends one use; with the last one `unused` may do something about the slot, under the lock.
pub fn kunmap(frame: Frame, unused: impl FnOnce(&mut Pool, usize)) {
    if is_low(frame) {
        return;
    }
    let mut pool = if planted::is(Fault::IrqsOff) { lock_with_interrupts_off() } else { POOL.lock() };
    let slot = window::slot_of(frame.page().kva());
    let count = &mut pool.count[slot];
    assert!(*count >= 2, "kunmap of a page that nobody uses");
    *count -= 1;
    let last = *count == 1;
    if last {
        unused(&mut pool, slot);
    }
    wake(pool, last);
}

/// The fault `irqs-off`: whoever holds the lock may wait for this processor to answer a flush, which it does not.
#[cold]
fn lock_with_interrupts_off() -> Locked {
    insn::cli();
    let pool = POOL.lock();
    insn::sti();
    pool
}
