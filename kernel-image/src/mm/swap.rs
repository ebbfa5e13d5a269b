//! The swap device: the pages of the device that private memory goes to (`swap=PAGES`).
//!
//! *The map* has a word for each page of the device: how many owners it has,
//! and whether it is being written. Owners are PTEs that name the page (an
//! entry that is not present, see `page_table::Entry::swapped`; fork copies it),
//! reclaim while it writes, and whoever is about to read. The last one's `put`
//! makes the page free.
//!
//! *There is no swap cache.* A page that was shared by fork is read once for
//! each process that touches it again, and is that one's own from then on; a page
//! that was read and not written is written again when it goes. Linux 2.2 and
//! 2.4 keep the frame to be found by its place on the device. So nobody here
//! waits for a page that somebody else is reading, only for one that is being
//! written.
//!
//! The lock of the map is a leaf.

use super::page::{Frame, PAGE_SIZE};
use super::{device, direct_map, frame, reclaim};
use crate::marks;
use crate::sched::WaitQueue;
use crate::sync::SpinLock;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use shootdown_abi::Counter;

/// Most pages of a device: the number stands in bits 12 to 31 of an entry, and is not 0 there.
pub const MOST: u32 = (1 << 20) - 1;

/// A page of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u32);

/// Pages of the device; 0: there is none.
static PAGES: AtomicU32 = AtomicU32::new(0);

/// Bit of a word of the map: the page is being written.
const BUSY: u32 = 1 << 31;

struct Map {
    /// Physical address of the words, in low memory.
    table: u32,
    /// Where the next free page is looked for.
    next: u32,
    /// Pages with owners.
    used: u32,
}

static MAP: SpinLock<Map> = SpinLock::new(Map { table: 0, next: 0, used: 0 });
/// Those who want to read a page that is being written.
static WRITTEN: WaitQueue = WaitQueue::new();

impl Map {
    fn word(&self, place: Place) -> &'static AtomicU32 {
        assert!(place.0 < PAGES.load(Relaxed), "page {} of the swap device does not exist", place.0);
        let word = direct_map(self.table).wrapping_add(place.0 as usize * 4).cast::<u32>();
        // SAFETY: `init` gave the table a word for each page of the device, in low memory, for good.
        unsafe { AtomicU32::from_ptr(word) }
    }

    fn put(&mut self, place: Place) {
        let word = self.word(place);
        let owners = word.load(Relaxed);
        assert!(owners & !BUSY != 0, "page {} of the swap device has no owner to go", place.0);
        word.store(owners - 1, Relaxed);
        if owners == 1 {
            self.used -= 1;
        }
    }
}

/// Is there a device, so that user memory may be taken away at any moment?
#[inline(always)]
pub fn is_on() -> bool {
    PAGES.load(Relaxed) != 0
}

/// How large it is; at boot, when RAM is divided.
pub fn set_pages(pages: u32) {
    PAGES.store(pages, Relaxed);
}

/// Makes the map; at boot, when frames can be had.
pub fn init() {
    if !is_on() {
        return;
    }
    let pages = PAGES.load(Relaxed);
    let frames = frame::frames_in(u64::from(pages) * 4);
    let table = frame::alloc_contiguous(frames, 1).expect("no memory for the map of the swap device");
    // SAFETY: just allocated, in the direct map.
    unsafe { direct_map(table.phys() as u32).write_bytes(0, (frames * PAGE_SIZE) as usize) };
    MAP.lock().table = table.phys() as u32;
}

/// Has every page of the device an owner?
pub fn is_full() -> bool {
    MAP.lock().used == PAGES.load(Relaxed)
}

/// A page without owners, which is being written and the caller's from now on; none if the device is full.
pub fn reserve() -> Option<Place> {
    let pages = PAGES.load(Relaxed);
    let mut map = MAP.lock();
    if map.used == pages {
        return None;
    }
    loop {
        let place = Place(map.next);
        map.next = if map.next + 1 < pages { map.next + 1 } else { 0 };
        if map.word(place).load(Relaxed) == 0 {
            map.word(place).store(BUSY | 1, Relaxed);
            map.used += 1;
            return Some(place);
        }
    }
}

/// One owner more of a page that has one.
pub fn get(place: Place) {
    let map = MAP.lock();
    let word = map.word(place);
    word.store(word.load(Relaxed) + 1, Relaxed);
}

/// One owner less.
pub fn put(place: Place) {
    MAP.lock().put(place);
}

/// Copies `frame` to a page that the caller has reserved.
pub fn write(place: Place, frame: Frame) {
    device::write(frame, place.0);
}

/// What the caller has reserved is written, or not needed: it is no longer an owner.
pub fn settle(place: Place) {
    let mut map = MAP.lock();
    let word = map.word(place);
    word.store(word.load(Relaxed) & !BUSY, Relaxed);
    map.put(place);
    drop(map);
    WRITTEN.wake_all();
}

/// A new frame with the content of a page of which the caller is an owner; none if memory is out. Sleeps while the page
/// is being written.
pub fn read(place: Place) -> Option<Frame> {
    let mut map = MAP.lock();
    while map.word(place).load(Relaxed) & BUSY != 0 {
        WRITTEN.sleep_on(map);
        map = MAP.lock();
    }
    drop(map);
    let frame = reclaim::user_frame()?;
    device::read(place.0, frame);
    marks::count(Counter::SwapIns, 1);
    Some(frame)
}
