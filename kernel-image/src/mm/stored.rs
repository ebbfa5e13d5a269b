//! Files that are larger than memory: pages that come from the device when they are
//! used, and go back there when memory is short (`disk=PAGES`).
//!
//! The word of such a page in the index is marked, and says where the page is:
//!
//! ```text
//!  HOLE ----------.                        .--> a frame: in memory, clean or dirty
//!  (never used)    >--> BUSY (being read) -'      |
//!  STORED --------'                               |
//!    ^                                            |
//!    '--------- reclaim, clean and unused --------'
//! ```
//!
//! *Owners.* The cache is one owner of each frame in memory; each system call that
//! works on it and each PTE of a mapping another. Only a frame that is the cache's
//! alone goes: so nobody ever uses one that is somebody else's already.
//!
//! *Dirty.* A page is dirty when the device does not have what it holds. `write`
//! says so after its copy, while it is an owner. Reclaim takes it back *before* it
//! copies the page to the device: taken back afterwards, what somebody has written
//! meanwhile would count as stored, and be lost (fault `clean-late`). What is mapped
//! is dirty as long as somebody may write it through a PTE, and that is noted when
//! the PTE loses that right. The PTE's own dirty bit would tell more exactly, but is
//! set from the beginning here.
//!
//! *Who waits for whom.* `CACHE` is a leaf. Who wants a page that is being read sleeps
//! until it is there. Nobody waits for one that is being written: reclaim alone
//! writes, as an owner more, which keeps others from doing the same.
//!
//! Left out: reading ahead, a daemon that writes (`bdflush`), `fsync`.

use super::page::Frame;
use super::{device, fault, frame, page_cache, reclaim};
use crate::marks;
use crate::planted::{self, Fault};
use crate::sched::WaitQueue;
use crate::sync::SpinLock;
use core::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use shootdown_abi::Counter;

/// Set in each word. Other files have the bare number of a frame.
const MARK: u32 = 1 << 31;
/// Neither in memory nor on the device: zeros.
pub const HOLE: u32 = MARK;
/// On the device alone. The first frames are the BIOS's, and no page's.
const STORED: u32 = MARK | 1;
/// On its way into memory.
const BUSY: u32 = MARK | 2;

/// Is it the word of a page that comes and goes?
#[inline(always)]
pub const fn is_word(number: u32) -> bool {
    number & MARK != 0
}

/// What of the words changes, changes under this lock.
static CACHE: SpinLock<()> = SpinLock::new(());
/// Those who want a page that is being read.
static DONE: WaitQueue = WaitQueue::new();

/// A page of a file: its word in the index, and where it is on the device.
pub struct Place {
    pub word: &'static AtomicU32,
    pub page: u32,
}

/// The frame of page `index` of a file, with the caller as an owner more; none if memory is out. May sleep.
pub fn get(file: u32, index: u32, place: &Place) -> Option<Frame> {
    loop {
        let guard = CACHE.lock();
        match place.word.load(Acquire) {
            BUSY => DONE.sleep_on(guard),
            from @ (HOLE | STORED) => {
                place.word.store(BUSY, Relaxed);
                drop(guard);
                let frame = bring(from, place.page);
                let guard = CACHE.lock();
                if let Some(frame) = frame {
                    let page = frame.page();
                    page.set_cached(file, index);
                    page.get();
                    if from == HOLE {
                        page.set_dirty();
                    }
                }
                place.word.store(frame.map_or(from, |frame| MARK | frame.0), Release);
                drop(guard);
                DONE.wake_all();
                return frame;
            }
            word => {
                let frame = Frame(word & !MARK);
                frame.page().get();
                frame.page().set_used();
                return Some(frame);
            }
        }
    }
}

/// A new frame with what a page holds that is not in memory.
fn bring(from: u32, page: u32) -> Option<Frame> {
    if from == HOLE {
        return fault::zeroed_frame();
    }
    let frame = reclaim::user_frame()?;
    device::read(page, frame);
    marks::count(Counter::FileIns, 1);
    Some(frame)
}

/// Sees to it that memory loses a page of a file, if nobody else uses it, or used it since this was last asked; written to
/// the device before, if need be. Is the frame free?
pub fn evict(frame: Frame) -> bool {
    let page = frame.page();
    let guard = CACHE.lock();
    // A look without a lock has found it: it may be another's by now.
    let Some(place) = page.place_in_file().and_then(|(file, index)| page_cache::place(file, index)) else {
        return false;
    };
    if place.word.load(Relaxed) != MARK | frame.0 || page.count() != 1 || page.take_used() {
        return false;
    }
    let mut guard = guard;
    if page.is_dirty() {
        let late = planted::is(Fault::CleanLate);
        if !late {
            page.set_clean();
        }
        page.get();
        drop(guard);
        device::write(frame, place.page);
        marks::count(Counter::FileOuts, 1);
        if late {
            // As long as a disk would take to say that it has done.
            (0..20).for_each(|_| planted::linger());
        }
        guard = CACHE.lock();
        if late {
            page.set_clean();
        }
        // The cache is still an owner.
        page.put();
        if page.count() != 1 || page.is_dirty() {
            return false;
        }
    }
    place.word.store(STORED, Release);
    drop(guard);
    frame::put_is_last(frame)
}
