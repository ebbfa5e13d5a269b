//! The block device: a range of RAM that the zones do not hand out, in pages.
//!
//! ```text
//!  0                swap               swap + disk
//!  +----------------+------------------+
//!  | pages of       | pages of files   |
//!  | processes      | (page_cache)     |
//!  | (swap)         |                  |
//!  +----------------+------------------+
//! ```
//!
//! What a disk would do by DMA the processor does by a copy, through two kmaps of
//! the strategy in use, or through a page that the device reaches (`bounce`);
//! seeking, queues and a driver are left out.

use super::bounce;
use super::frame::{self, Want};
use super::page::Frame;
use crate::cmdline::Options;
use crate::kmap;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The frame that plays page 0; the others follow.
static FIRST: AtomicU32 = AtomicU32::new(0);

/// Pages that are asked for.
pub fn pages(options: &Options) -> u32 {
    options.swap + options.disk
}

/// Where it lies; at boot, when RAM is divided.
pub fn set(first: Frame) {
    FIRST.store(first.0, Relaxed);
}

/// Gives its pages a meaning; at boot, when frames can be had.
pub fn init(options: &Options) {
    let pages = pages(options);
    for number in 0..pages {
        let page = frame_of(number).page();
        page.first_use();
        page.set_count(1);
    }
    // What goes to a device can be reclaimed, and so need not take what page tables and stacks have to come from.
    if pages > 0 && kmap::wanted_frames() == Want::High {
        frame::keep_low();
    }
}

fn frame_of(page: u32) -> Frame {
    Frame(FIRST.load(Relaxed) + page)
}

/// Copies a frame to a page.
pub fn write(frame: Frame, page: u32) {
    bounce::write(frame, frame_of(page));
}

/// Copies a page to a frame, which is the caller's alone.
pub fn read(page: u32, frame: Frame) {
    bounce::read(frame_of(page), frame);
}
