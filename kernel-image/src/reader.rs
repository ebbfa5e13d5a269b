//! Readers of pages that are no processes: the timer interrupt (`irq-kmap=1`)
//! and `kwatch` (`thread-kmap=1`), as drivers and the threads of the page cache
//! are in a real kernel. Off unless asked for.
//!
//! Each reads some words of the next page of the first file through a kmap of
//! its own kind. An interrupt may come while a task holds slots of the same
//! processor; a kernel thread runs on whatever page tables were left to it.
//! What it reads is not looked at, since a process may be writing the page:
//! whether the right page was read is the oracle's business.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::cmdline::options;
use crate::kmap::{self, Mapping, Use};
use crate::mm::Frame;
use crate::mm::page_cache;

/// Words that are read of a page, and how far they are apart.
const WORDS: u32 = 16;
const STRIDE: u32 = 64;

/// Reads so far, on all processors.
static READS: AtomicU32 = AtomicU32::new(0);

/// A page of the first file, another one each time.
fn next_page() -> Option<Frame> {
    let pages = page_cache::pages(0);
    if pages == 0 {
        return None;
    }
    page_cache::frame_of(0, READS.fetch_add(1, Relaxed) % pages)
}

fn read(mapping: &Mapping) {
    for i in 0..WORDS {
        // SAFETY: the page is mapped and the offset lies within it. Volatile, so that it is really read.
        unsafe { ((mapping.address() + i * STRIDE) as *const u32).read_volatile() };
    }
}

/// At each timer interrupt, with interrupts off.
#[inline]
pub fn in_interrupt() {
    if options().irq_kmap
        && let Some(frame) = next_page()
    {
        let mapping = kmap::map_in_interrupt(frame);
        read(&mapping);
        kmap::unmap(mapping);
    }
}

/// In each round of `kwatch`.
pub fn in_thread() {
    if options().thread_kmap
        && let Some(frame) = next_page()
    {
        let mapping = kmap::map(frame, Use::Thread);
        read(&mapping);
        kmap::unmap(mapping);
    }
}
