//! `struct page`: what the kernel knows about each frame, 32 bytes per frame.
//!
//! ```text
//!  0      4      8      12     16     20     24     28     32
//!  +------+------+------+------+------+------+------+------+
//!  | count| kva  | next | file | index| kind | pins | flags|
//!  +------+------+------+------+------+------+------+------+
//! ```
//!
//! The array covers every frame below the end of RAM: 64 GiB are 16 Mi frames
//! and 512 MiB of the low zone. Nobody clears half a gigabyte at boot: an entry
//! has a meaning only from the moment when `frame` hands its frame out for
//! the first time (and writes it), and `frame` keeps a watermark that says
//! which frames that are. RAM is not expected to be zero.
//!
//! `kva` is `page->virtual` of Linux 2.4 and `page->kva` of Tweedie's
//! proposal: the address of the frame in the shared window, 0 for none. It
//! belongs to the frame, not to its owner: it stays when the frame is freed
//! and allocated again, because the slot still maps this frame. Only the
//! strategy that owns the window writes it, under its lock.

use super::area::Origin;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

/// Bytes of a frame and of a page.
pub const PAGE_SIZE: u32 = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// Number of a 4 KiB frame: physical address / 4096. 24 bits reach 64 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(pub u32);

impl Frame {
    /// No frame: the end of a list.
    pub const NONE: u32 = u32::MAX;

    /// The frame that holds a physical address.
    pub const fn containing(phys: u64) -> Frame {
        Frame((phys >> PAGE_SHIFT) as u32)
    }

    /// Physical address of the first byte.
    pub const fn phys(self) -> u64 {
        (self.0 as u64) << PAGE_SHIFT
    }

    /// The page structure of this frame. Valid for frames that were handed out at least once.
    pub fn page(self) -> &'static Page {
        let array = ARRAY.load(Relaxed);
        debug_assert!(!array.is_null());
        // SAFETY: `install` gave an array with an entry for each frame of RAM, mapped for good,
        // and only `frame` makes `Frame` values out of numbers.
        unsafe { &*array.add(self.0 as usize) }
    }
}

/// What the kernel knows about one frame.
#[repr(C)]
pub struct Page {
    /// Owners: PTEs that map it, or the file, or the kernel. 0: free.
    count: AtomicU32,
    /// Address in the shared window, 0: none.
    kva: AtomicU32,
    /// Next frame of the free list.
    next: AtomicU32,
    /// File it belongs to, plus 1; 0: none. Of private memory the group that it comes from.
    file: AtomicU32,
    /// Index within the file. Of private memory its home.
    index: AtomicU32,
    /// What reclaim may do with it: [`KEPT`], [`ANONYMOUS`] or [`CACHED`]; [`LARGE`].
    kind: AtomicU32,
    /// System calls that rely on its being where it is (`user`).
    pins: AtomicU32,
    /// Of a page of a file: [`DIRTY`], [`USED`].
    flags: AtomicU32,
}

const _: () = assert!(size_of::<Page>() == 32);

/// Nothing may be done with it.
const KEPT: u32 = 0;
/// It is private memory of processes, and can be written to the swap device.
const ANONYMOUS: u32 = 1;

/// It is a page of a file that has a place on the device.
const CACHED: u32 = 2;

/// Nothing either: it stands for a large page, whose first frame it is.
const LARGE: u32 = 3;

/// The device does not have what it holds.
const DIRTY: u32 = 1 << 0;
/// It was asked for since reclaim last looked.
const USED: u32 = 1 << 1;

static ARRAY: AtomicPtr<Page> = AtomicPtr::new(core::ptr::null_mut());

/// Declares where the array lies. Called once, before the first frame is handed out.
pub fn install(array: *mut Page) {
    ARRAY.store(array, Relaxed);
}

impl Page {
    /// Gives the entry its first meaning: a frame that was never handed out before.
    pub fn first_use(&self) {
        self.count.store(0, Relaxed);
        self.kva.store(0, Relaxed);
        self.next.store(Frame::NONE, Relaxed);
        self.file.store(0, Relaxed);
        self.index.store(0, Relaxed);
        self.kind.store(KEPT, Relaxed);
        self.pins.store(0, Relaxed);
        self.flags.store(0, Relaxed);
    }

    /// Number of owners.
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Sets the number of owners of a frame that nobody else knows yet.
    pub fn set_count(&self, count: u32) {
        self.count.store(count, Relaxed);
    }

    /// One owner more.
    pub fn get(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    /// One owner less; true if that was the last.
    pub fn put(&self) -> bool {
        let before = self.count.fetch_sub(1, core::sync::atomic::Ordering::AcqRel);
        assert!(before != 0, "a frame without owner was released");
        before == 1
    }

    /// Address in the shared window, 0: none.
    pub fn kva(&self) -> u32 {
        self.kva.load(Relaxed)
    }

    /// Sets the address in the shared window, under the lock of the strategy that owns it.
    pub fn set_kva(&self, address: u32) {
        self.kva.store(address, Relaxed);
    }

    /// Successor in the free list ([`Frame::NONE`]: the last).
    pub fn next(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// Sets the successor, under the zone's lock.
    pub fn set_next(&self, next: u32) {
        self.next.store(next, Relaxed);
    }

    /// Declares the page a part of a file.
    pub fn set_file(&self, file: u32, index: u32) {
        self.file.store(file + 1, Relaxed);
        self.index.store(index, Relaxed);
    }

    /// The same, of a file that has a place on the device. Said of a frame that nobody else knows yet; until it is freed.
    pub fn set_cached(&self, file: u32, index: u32) {
        self.set_file(file, index);
        self.flags.store(0, Relaxed);
        self.kind.store(CACHED, Relaxed);
    }

    /// Is it a page of such a file?
    #[inline]
    pub fn is_cached(&self) -> bool {
        self.kind.load(Relaxed) == CACHED
    }

    /// File and index within it, if it is a page of such a file.
    pub fn place_in_file(&self) -> Option<(u32, u32)> {
        self.is_cached().then(|| (self.file.load(Relaxed).wrapping_sub(1), self.index.load(Relaxed)))
    }

    /// The device does not have what it holds.
    pub fn set_dirty(&self) {
        self.flags.fetch_or(DIRTY, Relaxed);
    }

    /// Does it not?
    pub fn is_dirty(&self) -> bool {
        self.flags.load(Relaxed) & DIRTY != 0
    }

    /// The device is about to have it.
    pub fn set_clean(&self) {
        self.flags.fetch_and(!DIRTY, Relaxed);
    }

    /// Somebody has asked for it.
    pub fn set_used(&self) {
        self.flags.fetch_or(USED, Relaxed);
    }

    /// Has somebody, since the last time?
    pub fn take_used(&self) -> bool {
        self.flags.fetch_and(!USED, Relaxed) & USED != 0
    }

    /// Declares it private memory of processes: what reclaim may take. Said of a frame that nobody else knows yet; until it
    /// is freed.
    pub fn set_anonymous(&self, origin: Origin) {
        self.file.store(origin.group, Relaxed);
        self.index.store(origin.home, Relaxed);
        self.kind.store(ANONYMOUS, Relaxed);
    }

    /// Where private memory comes from. A look without a lock: the frame may be somebody else's already, so that both words
    /// mean anything.
    pub fn origin(&self) -> Origin {
        Origin { group: self.file.load(Relaxed), home: self.index.load(Relaxed) }
    }

    /// May reclaim take it? A look without a lock: the page may be another's already.
    #[inline]
    pub fn can_go(&self) -> bool {
        matches!(self.kind.load(Relaxed), ANONYMOUS | CACHED)
    }

    /// Declares it the first frame of a large page, of which it has the owners; until it is freed.
    pub fn set_large(&self) {
        self.kind.store(LARGE, Relaxed);
    }

    /// Is it the first frame of a large page?
    pub fn is_large(&self) -> bool {
        self.kind.load(Relaxed) == LARGE
    }

    /// It is free from now on.
    #[inline]
    pub fn forget(&self) {
        self.kind.store(KEPT, Relaxed);
    }

    /// A system call more that relies on its being mapped. Under the lock of the tables that map it.
    pub fn pin(&self) {
        self.pins.fetch_add(1, Relaxed);
    }

    /// One less.
    pub fn unpin(&self) {
        self.pins.fetch_sub(1, Relaxed);
    }

    /// Does a system call rely on its being mapped? Under the lock of the tables that map it.
    pub fn is_pinned(&self) -> bool {
        self.pins.load(Relaxed) != 0
    }
}
