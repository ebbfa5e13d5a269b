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

use super::{direct_address, window};
use crate::marks;
use crate::mm::{Frame, is_low};
use crate::planted::{self, Fault};
use crate::sched::WaitQueue;
use crate::sync::{SpinGuard, SpinLock};
use shootdown_abi::{Counter, Table};

/// The slots and the place in them.
pub struct Pool {
    /// The slot given out last.
    pub cursor: usize,
    /// See the invariants.
    pub count: &'static mut [u16],
    /// Tasks that sleep for a slot.
    waiting: u32,
}

/// `kmap_lock`. Never taken with interrupts off: its holder waits for acknowledgements.
pub static POOL: SpinLock<Pool> = SpinLock::new(Pool { cursor: 0, count: &mut [], waiting: 0 });
/// `pkmap_map_wait`.
static SLOT_UNUSED: WaitQueue = WaitQueue::new();

/// The pool, locked.
pub type Locked = SpinGuard<'static, Pool>;

/// Makes `slots` slots with count 0; at boot.
pub fn init(slots: usize) {
    let mut pool = POOL.lock();
    pool.count = window::table(slots, 0);
    window::tell_table(Table::Counts, pool.count);
}

impl Pool {
    /// Moves the cursor to the next slot and returns it.
    pub fn advance(&mut self) -> usize {
        self.cursor = if self.cursor + 1 == self.count.len() { 0 } else { self.cursor + 1 };
        self.cursor
    }

    /// Takes a slot that nobody uses from its page. What is left is to invalidate it: until then nobody may get it.
    pub fn take_back(&mut self, slot: usize) {
        self.count[slot] = 0;
        window::clear(slot).page().set_kva(0);
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
        pool.waiting += 1;
        SLOT_UNUSED.sleep_on(pool);
        pool = POOL.lock();
        pool.waiting -= 1;
        // Somebody else may have mapped the page meanwhile.
        if frame.page().kva() != 0 && !planted::is(Fault::NoRecheck) {
            return pool;
        }
    };
    window::give(slot, frame);
    pool.count[slot] = 1;
    frame.page().set_kva(window::address(slot));
    marks::count(Counter::Maps, 1);
    pool
}

/// Ends one use; with the last one `unused` may do something about the slot, under the lock.
pub fn kunmap(frame: Frame, unused: impl FnOnce(&mut Pool, usize)) {
    if is_low(frame) {
        return;
    }
    let wake = {
        let mut pool = POOL.lock();
        let waiting = pool.waiting != 0;
        let slot = window::slot_of(frame.page().kva());
        let count = &mut pool.count[slot];
        assert!(*count >= 2, "kunmap of a page that nobody uses");
        *count -= 1;
        let last = *count == 1;
        if last {
            unused(&mut pool, slot);
        }
        waiting && last
    };
    if wake {
        SLOT_UNUSED.wake_all();
    }
}
