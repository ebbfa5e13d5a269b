//! Bounce pages: how pages go to and from a device that does not reach all memory.
//!
//! ```text
//!  out   frame --copy--> bounce page --device--> page of the device
//!  in    page of the device --device--> bounce page --copy--> frame
//! ```
//!
//! A controller of 1999 has 32 address bits: with PAE there are frames that it
//! cannot name. With `bounce=on` the device (`device`) reaches frames below `bounce-limit=` (4 GiB)
//! alone, and what lies higher goes through a page below, which costs a copy
//! more. `create_bounce` and `copy_to_high_bh_irq` of Linux 2.4 (`mm/highmem.c`).
//! With `bounce=off` it reaches everything.
//!
//! *The pool.* Bounce pages are low frames, taken at boot (`bounce-pages=`). Linux asks
//! the allocator and has a pool of 32 for when that fails; here the pool is
//! all there is, so that memory which is short cannot hold up what makes
//! room. Who finds it empty sleeps until a page comes back (`bounce_waits`).
//!
//! *Who waits for whom.* The holder of a bounce page may wait for slots of the
//! window, and nobody asks for a bounce page with a slot in his hands: so whoever
//! has one gets on. The lock of the pool is a leaf.
//!
//! *Trap.* The page belongs to the transfer until the device has done, not until
//! it is filled: given back earlier, it is filled by somebody else while the
//! device reads it (fault `bounce-early`).

use super::fault;
use super::frame::{self, Want};
use super::page::Frame;
use crate::cmdline::Options;
use crate::planted::{self, Fault};
use crate::sched::WaitQueue;
use crate::sync::SpinLock;
use crate::{marks, refuse};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use shootdown_abi::Counter;

/// Most pages of the pool.
pub const MOST: usize = 64;

/// First frame that the device does not reach; beyond all frames where there is nothing to bounce.
static LIMIT: AtomicU32 = AtomicU32::new(Frame::NONE);

struct Pool {
    pages: [Frame; MOST],
    /// So many of them are free.
    free: usize,
}

static POOL: SpinLock<Pool> = SpinLock::new(Pool { pages: [Frame(0); MOST], free: 0 });
/// Those who found it empty.
static BACK: WaitQueue = WaitQueue::new();

/// Fills the pool; at boot, when frames can be had.
pub fn init(options: &Options) {
    if !options.bounce {
        return;
    }
    let limit = options.bounce_limit.map_or(1 << 20, |bytes| frame::frames_in(u64::from(bytes)));
    let mut pool = POOL.lock();
    for i in 0..options.bounce_pages as usize {
        match frame::alloc(Want::Low) {
            Some(page) if page.0 < limit => pool.pages[i] = page,
            Some(page) => refuse!(
                "memory: bounce-limit={}K: bounce pages have to lie below, but low memory is free from {}K on; accepted: a larger bounce-limit=",
                limit * 4,
                page.0 * 4
            ),
            None => refuse!("memory: no room for bounce-pages={}", options.bounce_pages),
        }
        pool.free = i + 1;
    }
    LIMIT.store(limit, Relaxed);
}

/// A page of the pool; sleeps until there is one.
fn take() -> Frame {
    let mut pool = POOL.lock();
    while pool.free == 0 {
        marks::count(Counter::BounceWaits, 1);
        BACK.sleep_on(pool);
        pool = POOL.lock();
    }
    pool.free -= 1;
    marks::count(Counter::Bounces, 1);
    pool.pages[pool.free]
}

fn give_back(page: Frame) {
    let mut pool = POOL.lock();
    let free = pool.free;
    pool.pages[free] = page;
    pool.free += 1;
    drop(pool);
    BACK.wake_all();
}

/// Can the device not reach it?
#[inline]
fn is_beyond(frame: Frame) -> bool {
    frame.0 >= LIMIT.load(Relaxed)
}

/// Copies a frame to a page of the device.
pub fn write(frame: Frame, device: Frame) {
    if !is_beyond(frame) {
        return fault::copy_page(frame, device);
    }
    let page = take();
    fault::copy_page(frame, page);
    if planted::is(Fault::BounceEarly) {
        give_back(page);
        // As long as a disk would take to begin.
        (0..20).for_each(|_| planted::linger());
        return fault::copy_page(page, device);
    }
    fault::copy_page(page, device);
    give_back(page);
}

/// Copies a page of the device to a frame, which is the caller's alone.
pub fn read(device: Frame, frame: Frame) {
    if !is_beyond(frame) {
        return fault::copy_page(device, frame);
    }
    let page = take();
    fault::copy_page(device, page);
    fault::copy_page(page, frame);
    give_back(page);
}
