//! Files: sets of page-cache pages that live until the machine stops.
//!
//! ```text
//!  file n -> index frames (low) -> frames of 1024 numbers (low) -> pages (HIGHMEM first)
//! ```
//!
//! All pages of a file are allocated and cleared when it is created, so the
//! index never changes afterwards and is read without a lock. A page's content
//! is reached only through the chosen kmap, and through the PTEs of processes that
//! have mapped the file. Its frames stay its own as long as the machine runs: reclaim leaves them alone.

use super::page::{Frame, PAGE_SIZE};
use super::{direct_map, fault, frame, kernel_space};
use crate::sync::SpinLock;
use core::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};

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
/// Files created so far, under creation or finished.
static USED: SpinLock<usize> = SpinLock::new(0);

/// Why a file could not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// No pages, or more than [`PAGES`].
    BadSize,
    /// No frames, or [`FILES`] files exist.
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
    let number = {
        let mut used = USED.lock();
        if *used == FILES {
            return Err(CreateError::NoMemory);
        }
        *used += 1;
        *used - 1
    };
    let top = kernel_space::cleared_table().ok_or(CreateError::NoMemory)?.phys() as u32;
    if fill(number as u32, top, pages).is_none() {
        discard(top);
        return Err(CreateError::NoMemory);
    }
    TABLE[number].top.store(top, Release);
    TABLE[number].pages.store(pages, Release);
    Ok(number as u32)
}

fn fill(number: u32, top: u32, pages: u32) -> Option<()> {
    for i in 0..pages {
        let index = word(top, i / PER_FRAME);
        if index.load(Acquire) == 0 {
            index.store(kernel_space::cleared_table()?.phys() as u32, Release);
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
            if page == 0 {
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

/// The frame of page `page` of file `file`, with the caller as an owner more.
pub fn owned(file: u32, page: u32) -> Option<Frame> {
    let frame = frame_of(file, page)?;
    frame.page().get();
    Some(frame)
}

/// The frame of page `page` of file `file`, if both exist.
pub fn frame_of(file: u32, page: u32) -> Option<Frame> {
    let file = TABLE.get(file as usize)?;
    if page >= file.pages.load(Acquire) {
        return None;
    }
    let index = word(file.top.load(Acquire), page / PER_FRAME).load(Acquire);
    Some(Frame(word(index, page).load(Acquire)))
}
