//! Physical frames: three zones, as Linux 2.4 has them.
//!
//! ```text
//!  DMA      below 16 MiB                        reachable by the direct map
//!  NORMAL   16 MiB .. end of the direct map     reachable by the direct map
//!  HIGHMEM  the rest                            reachable only through a kmap
//! ```
//!
//! A zone is a handful of ranges and three free lists. A range has a watermark:
//! frames above it were never handed out and have no meaningful `Page` yet, so
//! 64 GiB cost nothing at boot. Freed frames go to the head of a list and are
//! taken from there first: the order is the same in every run.
//!
//! Large pages come from what was never handed out, and stay whole on a list of their own until nothing else is
//! left. Left out: joining single frames again, buddy orders in between, balancing. A request that cannot be met
//! fails at once; user memory asks `reclaim` to see to it first.
//!
//! The zone's lock is taken with interrupts off, as in 2.4: a frame may go
//! back in the middle of a context switch. It is a leaf: its holder waits for nobody.

pub use super::page::Frame;
use super::page::PAGE_SHIFT;
use super::page_table as pt;
use crate::marks;
use crate::sync::{Aligned, SpinLock};
use shootdown_abi::Mark;

/// Where a frame may come from, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A frame that the direct map reaches: NORMAL, then DMA.
    Low,
    /// HIGHMEM, then NORMAL, then DMA; leaves the reserve of the low zones alone.
    High,
}

/// The zones, by index into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Below 16 MiB.
    Dma = 0,
    /// The rest of the direct map.
    Normal = 1,
    /// Outside the direct map.
    High = 2,
}

/// Most ranges of one zone; a PC's map has two or three.
const RANGES: usize = 16;

/// Frames `next..end` of a range were never handed out, `first..next` were.
#[derive(Clone, Copy)]
struct Fresh {
    first: u32,
    next: u32,
    end: u32,
}

struct ZoneState {
    fresh: [Fresh; RANGES],
    ranges: usize,
    /// Free list of single frames.
    single: u32,
    /// Free list of pairs (even frame and its neighbour), by the even one.
    pair: u32,
    /// Free list of the frames of large pages, by the first one.
    large: u32,
    /// Frames that can be handed out.
    free: u32,
    /// Frames that requests for [`Want::High`] leave alone.
    reserve: u32,
}

static ZONES: [Aligned<SpinLock<ZoneState>>; 3] =
    [const { Aligned::new(SpinLock::new(ZoneState::EMPTY)) }; 3];

impl ZoneState {
    const EMPTY: ZoneState = ZoneState {
        fresh: [Fresh { first: 0, next: 0, end: 0 }; RANGES],
        ranges: 0,
        single: Frame::NONE,
        pair: Frame::NONE,
        large: Frame::NONE,
        free: 0,
        reserve: 0,
    };

    fn take_single(&mut self) -> Option<Frame> {
        if self.single != Frame::NONE {
            let frame = Frame(self.single);
            self.single = frame.page().next();
            self.free -= 1;
            return Some(frame);
        }
        if let Some(frame) = self.take_fresh(1, 1) {
            return Some(frame);
        }
        self.break_up()
    }

    /// The last resort: the first frame of a pair, or of a large page, whose others become single ones.
    #[cold]
    fn break_up(&mut self) -> Option<Frame> {
        let (frame, behind) = match self.take_pair() {
            Some(frame) => (frame, 1),
            None => (self.take_large()?, of_large_page() - 1),
        };
        (frame.0 + 1..=frame.0 + behind).for_each(|other| self.put_single(Frame(other)));
        Some(frame)
    }

    /// Takes the frames of a large page that was given back.
    fn take_large(&mut self) -> Option<Frame> {
        if self.large == Frame::NONE {
            return None;
        }
        let first = Frame(self.large);
        self.large = first.page().next();
        self.free -= of_large_page();
        Some(first)
    }

    fn take_pair(&mut self) -> Option<Frame> {
        if self.pair == Frame::NONE {
            return None;
        }
        let frame = Frame(self.pair);
        self.pair = frame.page().next();
        self.free -= 2;
        Some(frame)
    }

    fn put_single(&mut self, frame: Frame) {
        frame.page().set_next(self.single);
        self.single = frame.0;
        self.free += 1;
    }

    /// Takes `n` neighbouring frames, the first a multiple of `align`, that were never handed out.
    /// What the alignment skips goes to the free list.
    fn take_fresh(&mut self, n: u32, align: u32) -> Option<Frame> {
        for i in 0..self.ranges {
            let Fresh { next, end, .. } = self.fresh[i];
            let first = next.next_multiple_of(align);
            if first >= end || end - first < n {
                continue;
            }
            self.fresh[i].next = first + n;
            for frame in next..first + n {
                Frame(frame).page().first_use();
            }
            self.free -= first - next + n;
            for frame in next..first {
                self.put_single(Frame(frame));
            }
            return Some(Frame(first));
        }
        None
    }
}

/// Gives frames `first..end` to a zone. Called at boot only.
///
/// Panics if the zone has no room for a further range: the memory map is then unlike any PC's.
pub fn add_range(zone: Zone, first: u32, end: u32) {
    if first >= end {
        return;
    }
    let mut z = ZONES[zone as usize].lock_irqsave();
    let n = z.ranges;
    assert!(n < RANGES, "too many ranges of memory in one zone");
    z.fresh[n] = Fresh { first, next: first, end };
    z.ranges = n + 1;
    z.free += end - first;
    if zone != Zone::High {
        z.reserve = z.free / 64;
    }
}

/// Leaves the low zones to the kernel: what is wanted [`Want::High`] comes from HIGHMEM alone, if there is any. At boot,
/// where user memory can be reclaimed and so need not take what page tables and stacks have to come from.
pub fn keep_low() {
    if ZONES[Zone::High as usize].lock_irqsave().ranges == 0 {
        return;
    }
    for zone in [Zone::Dma, Zone::Normal] {
        ZONES[zone as usize].lock_irqsave().reserve = u32::MAX;
    }
}

/// Frames that a request can still be met with before it meets the reserves.
pub fn spare(want: Want) -> u32 {
    let spare = |&zone: &Zone| {
        let z = ZONES[zone as usize].lock_irqsave();
        z.free.saturating_sub(z.reserve)
    };
    zones(want).iter().map(spare).sum()
}

/// The first run of frames at or above `from` that were handed out at least once, so that their pages say something.
pub fn known(from: u32) -> Option<core::ops::Range<u32>> {
    let of_zone = |zone: &Aligned<SpinLock<ZoneState>>| {
        let z = zone.lock_irqsave();
        let runs = z.fresh[..z.ranges].iter().filter(|r| r.first < r.next && from < r.next);
        runs.map(|r| r.first.max(from)..r.next).min_by_key(|run| run.start)
    };
    ZONES.iter().filter_map(of_zone).min_by_key(|run| run.start)
}

fn zones(want: Want) -> &'static [Zone] {
    match want {
        Want::Low => &[Zone::Normal, Zone::Dma],
        Want::High => &[Zone::High, Zone::Normal, Zone::Dma],
    }
}

/// A frame with one owner and undefined content, or `None` if memory is used up.
pub fn alloc(want: Want) -> Option<Frame> {
    for &zone in zones(want) {
        let taken = {
            let mut z = ZONES[zone as usize].lock_irqsave();
            if want == Want::High && z.free <= z.reserve { None } else { z.take_single() }
        };
        if let Some(frame) = taken {
            frame.page().set_count(1);
            marks::mark(Mark::FrameUsed, frame.0);
            return Some(frame);
        }
    }
    None
}

/// Two neighbouring low frames, the first even, each with one owner: an 8 KiB stack.
pub fn alloc_pair() -> Option<Frame> {
    for &zone in zones(Want::Low) {
        let taken = {
            let mut z = ZONES[zone as usize].lock_irqsave();
            z.take_pair().or_else(|| z.take_fresh(2, 2))
        };
        if let Some(frame) = taken {
            for frame in [frame, Frame(frame.0 + 1)] {
                frame.page().set_count(1);
                marks::mark(Mark::FrameUsed, frame.0);
            }
            return Some(frame);
        }
    }
    None
}

/// `n` neighbouring low frames, the first a multiple of `align` (a power of two), for good: tables
/// that are as old as the machine. Comes from what was never handed out.
pub fn alloc_contiguous(n: u32, align: u32) -> Option<Frame> {
    for &zone in zones(Want::Low) {
        let taken = ZONES[zone as usize].lock_irqsave().take_fresh(n, align);
        if let Some(first) = taken {
            for frame in first.0..first.0 + n {
                Frame(frame).page().set_count(1);
                marks::mark(Mark::FrameUsed, frame);
            }
            return Some(first);
        }
    }
    None
}

/// Frames of a large page.
pub fn of_large_page() -> u32 {
    pt::format().table_span() >> PAGE_SHIFT
}

/// The frames of a large page, neighbours of undefined content, of which the first has the owners of all: one. `None` if
/// nowhere are so many together. What an alignment skips goes to the free list, a thousand frames at most and with
/// interrupts off: a large page costs that much to get anyway.
pub fn alloc_large(want: Want) -> Option<Frame> {
    let n = of_large_page();
    for &zone in zones(want) {
        let taken = {
            let mut z = ZONES[zone as usize].lock_irqsave();
            let kept = if want == Want::High { z.reserve } else { 0 };
            if z.free < kept.saturating_add(n) { None } else { z.take_large().or_else(|| z.take_fresh(n, n)) }
        };
        if let Some(first) = taken {
            for frame in first.0..first.0 + n {
                Frame(frame).page().set_count(1);
                marks::mark(Mark::FrameUsed, frame);
            }
            first.page().set_large();
            return Some(first);
        }
    }
    None
}

/// The zone of a frame.
pub fn zone_of(frame: Frame) -> Zone {
    if !super::is_low(frame) {
        // First: with a small normal= HIGHMEM begins below the end of what DMA can be.
        Zone::High
    } else if frame.phys() < DMA_END {
        Zone::Dma
    } else {
        Zone::Normal
    }
}

/// First physical address behind the DMA zone.
pub const DMA_END: u64 = 16 << 20;

/// Takes one owner from the frame and frees it if that was the last.
pub fn put(frame: Frame) {
    let _ = put_is_last(frame);
}

/// The same: was it the last?
pub fn put_is_last(frame: Frame) -> bool {
    let last = frame.page().put();
    if last && frame.page().is_large() {
        free_large(frame);
    } else if last {
        frame.page().forget();
        // The mark comes before anybody else can be given the frame.
        marks::mark(Mark::FrameFreed, frame.0);
        ZONES[zone_of(frame) as usize].lock_irqsave().put_single(frame);
    }
    last
}

/// The large page that begins with this frame has lost its last owner.
#[cold]
fn free_large(first: Frame) {
    first.page().forget();
    for frame in first.0..first.0 + of_large_page() {
        marks::mark(Mark::FrameFreed, frame);
    }
    let mut z = ZONES[zone_of(first) as usize].lock_irqsave();
    first.page().set_next(z.large);
    z.large = first.0;
    z.free += of_large_page();
}

/// Frees a pair from [`alloc_pair`], of which the caller is the only owner.
pub fn free_pair(first: Frame) {
    for frame in [first, Frame(first.0 + 1)] {
        assert!(frame.page().put(), "half of a pair has another owner");
        marks::mark(Mark::FrameFreed, frame.0);
    }
    let mut z = ZONES[zone_of(first) as usize].lock_irqsave();
    first.page().set_next(z.pair);
    z.pair = first.0;
    z.free += 2;
}

/// Frames in `bytes`, rounded up.
pub const fn frames_in(bytes: u64) -> u32 {
    ((bytes + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT) as u32
}
