//! Files: sets of pages that live until the machine stops, and the page cache.
//!
//! ```text
//!  file n -> index frames (low) -> frames of 1024 numbers (low) -> pages (HIGHMEM first)
//! ```
//!
//! All pages of a file are allocated and cleared when it is created, so the
//! index never changes afterwards and is read without a lock. With `disk=PAGES` files
//! have places on the device instead, and pages come and go (`stored`). A page's
//! content is reached only through the chosen kmap, and through the PTEs of processes
//! that have mapped the file.

use super::fault::Access;
use super::page::{Frame, PAGE_SIZE};
use super::{direct_map, fault, frame, kernel_space, stored};
use crate::sync::SpinLock;
use core::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// Most files.
pub const FILES: usize = 64;
/// Frame numbers in an index frame.
const PER_FRAME: u32 = PAGE_SIZE / 4;
/// Most pages of a file: one top frame of index frames, 4 GiB.
pub const PAGES: u32 = PER_FRAME * PER_FRAME;

struct File {
    /// Physical address of the top frame.
    top: AtomicU32,
    /// Pages; 0: no such file. Written last.
    pages: AtomicU32,
}

static TABLE: [File; FILES] = [const { File { top: AtomicU32::new(0), pages: AtomicU32::new(0) } }; FILES];
/// Where each file begins on the device, if it has a place there.
static BEGINS: [AtomicU32; FILES] = [const { AtomicU32::new(0) }; FILES];

/// What was given to files so far.
struct Used {
    /// Files, under creation or finished.
    files: usize,
    /// Pages of the device that are left, and the first of them.
    device: u32,
    next: u32,
}

static USED: SpinLock<Used> = SpinLock::new(Used { files: 0, device: 0, next: 0 });
/// Pages of the device for files; 0: files stay in memory.
static DEVICE: AtomicU32 = AtomicU32::new(0);

/// Do files have places on the device, so that their pages come and go?
#[inline(always)]
pub fn is_stored() -> bool {
    DEVICE.load(Relaxed) != 0
}

/// The pages of the device that are for files; at boot.
pub fn set_device(first: u32, pages: u32) {
    DEVICE.store(pages, Relaxed);
    let mut used = USED.lock();
    (used.device, used.next) = (pages, first);
}

/// Why a file could not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// No pages, or more than [`PAGES`].
    BadSize,
    /// No frames, no room on the device, or [`FILES`] files exist.
    NoMemory,
}

/// Word `index` of the index frame at physical address `table`.
fn word(table: u32, index: u32) -> &'static AtomicU32 {
    // SAFETY: index frames are low frames that belong to a file for ever; only this function touches them.
    unsafe { AtomicU32::from_ptr(direct_map(table).cast::<u32>().add((index % PER_FRAME) as usize)) }
}

/// Creates a file of `pages` cleared pages and returns its number.
pub fn create(pages: u32) -> Result<u32, CreateError> {
    if pages == 0 || pages > PAGES {
        return Err(CreateError::BadSize);
    }
    let (number, place) = {
        let mut used = USED.lock();
        if used.files == FILES || is_stored() && used.device < pages {
            return Err(CreateError::NoMemory);
        }
        used.files += 1;
        used.device = used.device.saturating_sub(pages);
        used.next += pages;
        (used.files - 1, used.next - pages)
    };
    let top = kernel_space::cleared_table().ok_or(CreateError::NoMemory)?.phys() as u32;
    if fill(number as u32, top, pages).is_none() {
        discard(top);
        return Err(CreateError::NoMemory);
    }
    TABLE[number].top.store(top, Release);
    BEGINS[number].store(place, Release);
    TABLE[number].pages.store(pages, Release);
    Ok(number as u32)
}

fn fill(number: u32, top: u32, pages: u32) -> Option<()> {
    for i in 0..pages {
        let index = word(top, i / PER_FRAME);
        if index.load(Acquire) == 0 {
            index.store(kernel_space::cleared_table()?.phys() as u32, Release);
        }
        if is_stored() {
            word(index.load(Acquire), i).store(stored::HOLE, Release);
            continue;
        }
        let page = fault::zeroed_frame()?;
        page.page().set_file(number, i);
        word(index.load(Acquire), i).store(page.0, Release);
    }
    Some(())
}

/// Gives back what a creation that ran out of memory has taken. Frame 0 is never handed out, so 0 means none.
fn discard(top: u32) {
    for i in 0..PER_FRAME {
        let index = word(top, i).load(Acquire);
        if index == 0 {
            break;
        }
        for j in 0..PER_FRAME {
            let page = word(index, j).load(Acquire);
            if page == 0 || stored::is_word(page) {
                break;
            }
            frame::put(Frame(page));
        }
        frame::put(Frame::containing(index as u64));
    }
    frame::put(Frame::containing(top as u64));
}

/// Pages of file `file`; 0: there is none yet.
pub fn pages(file: u32) -> u32 {
    TABLE.get(file as usize).map_or(0, |file| file.pages.load(Acquire))
}

/// The word of a page in the index, if there is such a page.
fn entry(file: u32, page: u32) -> Option<&'static AtomicU32> {
    let file = TABLE.get(file as usize)?;
    if page >= file.pages.load(Acquire) {
        return None;
    }
    Some(word(word(file.top.load(Acquire), page / PER_FRAME).load(Acquire), page))
}

/// Where page `page` of file `file` is noted and stored, if both exist.
pub(super) fn place(file: u32, page: u32) -> Option<stored::Place> {
    let word = entry(file, page)?;
    Some(stored::Place { word, page: BEGINS[file as usize].load(Acquire) + page })
}

/// The frame of page `page` of file `file`, if both exist and its frame is its own for good.
pub fn frame_of(file: u32, page: u32) -> Option<Frame> {
    let number = entry(file, page)?.load(Acquire);
    (!stored::is_word(number)).then_some(Frame(number))
}

/// Why a page of a file cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// There is no such file, or it is shorter.
    NoPage,
    /// There was no frame for it.
    NoMemory,
}

/// The frame of page `page` of file `file`, with the caller as an owner more.
pub fn owned(file: u32, page: u32) -> Result<Frame, Absent> {
    if let Some(frame) = frame_of(file, page) {
        frame.page().get();
        return Ok(frame);
    }
    let place = place(file, page).ok_or(Absent::NoPage)?;
    stored::get(file, page, &place).ok_or(Absent::NoMemory)
}

/// Calls `work`, which reads or writes page `page` of file `file`, with its frame. The page stays in memory so long.
#[inline(always)]
pub fn with_page<R>(
    file: u32,
    page: u32,
    access: Access,
    work: impl FnOnce(Frame) -> R,
) -> Result<R, Absent> {
    if let Some(frame) = frame_of(file, page) {
        return Ok(work(frame));
    }
    let frame = owned(file, page)?;
    let result = work(frame);
    if access == Access::Write {
        frame.page().set_dirty();
    }
    frame::put(frame);
    Ok(result)
}

/// A mapping of a frame loses the right to write it.
pub(super) fn was_writable(frame: Frame) {
    if is_stored() && frame.page().is_cached() {
        frame.page().set_dirty();
    }
}
