//! RAM at boot: which of it is DMA, NORMAL and HIGHMEM, and where the page
//! array goes.
//!
//! ```text
//!  0      1 MiB        reserved_end   16 MiB             low_end              RAM end
//!  +------+------------+--------------+-----------+------+--------------------+
//!  | BIOS | image,     | DMA          | page array| NORMAL   HIGHMEM          |
//!  |      | module     |              |           |      |                    |
//!  +------+------------+--------------+-----------+------+--------------------+
//!          <--------------- direct map ------------------>
//! ```
//!
//! Everything below 1 MiB is left alone: the BIOS's tables, the application
//! processors' start code. The page array goes to NORMAL if there is one large
//! enough, so that DMA stays free. The device (`swap=`, `disk=`) is cut off the end of
//! RAM, or of what the direct map reaches under a strategy that maps nothing
//! else. With `highmem=off` RAM ends for the kernel where the direct map does.
//! What does not fit is refused with the sum.

use core::sync::atomic::Ordering::Relaxed;

use super::frame::{self, DMA_END, Zone};
use super::page::{self, Frame, PAGE_SIZE, Page};
use super::page_table::Format;
use super::{LOW_FRAMES, device, direct_map, page_cache, swap};
use crate::cmdline::Options;
use crate::memlayout::{self, WINDOW_END};
use crate::multiboot::{self, Region};
use crate::{kmap, refuse};

const MIB: u64 = 1 << 20;
/// The direct map is made of large pages; both formats' sizes divide this.
const GRAIN: u64 = 4 * MIB;
/// What the kernel needs of low memory besides the page array, at least.
const LEAST_LOW: u64 = 4 * MIB;
/// What the device has to leave of the RAM that it is cut off.
const LEAST_BESIDE: u64 = MIB;

/// End of the memory that the format can address.
fn addressable(format: Format) -> u64 {
    match format {
        Format::TwoLevel => 4 << 30,
        Format::Pae => 64 << 30,
    }
}

/// RAM below `limit`, as whole frames.
fn ram(limit: u64) -> impl Iterator<Item = Region> {
    let page = PAGE_SIZE as u64;
    multiboot::info()
        .regions()
        .iter()
        .map(move |r| Region { start: r.start.next_multiple_of(page), end: r.end.min(limit) / page * page })
        .filter(|r| r.start < r.end)
}

/// Sets up the zones and the page array; returns the end of the direct map in bytes.
pub fn init(options: &Options, format: Format, slots: u32, window: u32) -> u32 {
    let limit = addressable(format);
    let low_end = low_end(options, limit, slots, window);
    let limit = if options.highmem { limit } else { low_end };
    let frames = (ram(limit).map(|r| r.end).max().unwrap_or(0) / PAGE_SIZE as u64) as u32;
    let module_end = multiboot::info().module.map_or(0, |m| m.end);
    let reserved_end = memlayout::image_phys().end.max(module_end) as u64;
    let reserved_end = reserved_end.next_multiple_of(PAGE_SIZE as u64);
    if reserved_end > low_end {
        refuse!(
            "memory: image and module end at {reserved_end:#x}, above the direct map's end {low_end:#x}; accepted: a larger normal="
        );
    }
    let array = frames as u64 * size_of::<Page>() as u64;
    let start = array_start(limit, reserved_end, low_end, array, frames);
    page::install(direct_map(start as u32).cast());
    LOW_FRAMES.store((low_end / PAGE_SIZE as u64) as u32, Relaxed);
    let array_end = start + array.next_multiple_of(PAGE_SIZE as u64);
    let kept = place_of_device(options, limit, low_end, array_end);
    for region in ram(limit) {
        let above = |r: Region, edge: u64| Region { start: r.start.max(edge), ..r };
        let below = |r: Region, edge: u64| Region { end: r.end.min(edge), ..r };
        let usable = above(region, reserved_end);
        let rest = above(usable, array_end);
        for part in [below(usable, start), below(rest, kept.start), above(rest, kept.end)] {
            add(Zone::Dma, below(part, DMA_END.min(low_end)));
            add(Zone::Normal, below(above(part, DMA_END), low_end));
            add(Zone::High, above(part, low_end));
        }
    }
    device::set(Frame::containing(kept.start));
    swap::set_pages(options.swap);
    page_cache::set_device(options.swap, options.disk);
    low_end as u32
}

/// The RAM that plays the device: above the page array, at the end of the last region that can be reached.
fn place_of_device(options: &Options, limit: u64, low_end: u64, array_end: u64) -> Region {
    let bytes = device::pages(options) as u64 * PAGE_SIZE as u64;
    let edge = if kmap::is_direct(options) { low_end } else { u64::MAX };
    let last = ram(limit).filter(|r| r.start < edge).map(|r| Region { end: r.end.min(edge), ..r });
    let last = last.max_by_key(|r| r.end).unwrap_or(Region { start: 0, end: 0 });
    let room = last.end.saturating_sub(last.start.max(array_end));
    if bytes > 0 && bytes + LEAST_BESIDE > room {
        refuse!(
            "memory: swap={} and disk={} pages are {}K, and {}M have to be left; at the end of {} {}K are free; accepted: more memory or a smaller swap= or disk=",
            options.swap,
            options.disk,
            bytes >> 10,
            LEAST_BESIDE / MIB,
            if edge == low_end { "low memory" } else { "RAM" },
            room >> 10
        );
    }
    let end = last.end.max(array_end);
    Region { start: end - bytes, end }
}

fn add(zone: Zone, part: Region) {
    frame::add_range(zone, (part.start / PAGE_SIZE as u64) as u32, (part.end / PAGE_SIZE as u64) as u32);
}

/// End of the direct map: the least of what fits under the window, `normal=` and the RAM that there is.
fn low_end(options: &Options, limit: u64, slots: u32, window: u32) -> u64 {
    let base = memlayout::page_offset();
    let room = (window - base) as u64;
    let asked = options.normal.map_or(room, u64::from);
    if !asked.is_multiple_of(GRAIN) || asked < 2 * GRAIN {
        refuse!("memory: normal={}K is unusable; accepted: a multiple of 4M from 8M on", asked >> 10);
    }
    if asked > room {
        refuse!(
            "memory: normal={}M does not fit: from {base:#x} to {WINDOW_END:#x} there are {}M, less {}M for a window of {slots} slots leaves {}M",
            asked / MIB,
            (WINDOW_END - base) as u64 / MIB,
            (WINDOW_END - window) as u64 / MIB,
            room / MIB
        );
    }
    let top = ram(limit).filter(|r| r.start < asked).map(|r| r.end.min(asked)).max().unwrap_or(0);
    top / GRAIN * GRAIN
}

/// Where the page array goes.
fn array_start(limit: u64, reserved_end: u64, low_end: u64, bytes: u64, frames: u32) -> u64 {
    let fits = |start: u64| {
        let end = start + bytes;
        end + LEAST_LOW <= low_end && ram(limit).any(|r| r.start <= start && end <= r.end)
    };
    match [DMA_END.max(reserved_end), reserved_end].into_iter().find(|&s| fits(s)) {
        Some(start) => start,
        None => refuse!(
            "memory: {frames} frames need a page array of {}K ({} bytes each), and {}M for the rest of the kernel; below {}M only {}K are free; accepted: less memory, a larger normal= or a smaller window=",
            bytes >> 10,
            size_of::<Page>(),
            LEAST_LOW / MIB,
            low_end / MIB,
            low_end.saturating_sub(reserved_end) >> 10
        ),
    }
}
