//! The fast array in front of the TLBs: a host shortcut that must not show.
//!
//! A direct-mapped copy of entries that the first-level data TLB holds, with the
//! rights of the current privilege already checked. Its invariants: (F1) every entry is backed by a
//! valid first-level entry; (F2) that entry is not stale, so a stale use always
//! reaches the oracle; (F3) it is writable only if a write needs no look: dirty
//! known to be set, frame not watched. A hit stamps the backing entry as a slow
//! hit would, so replacement is the same with the front array off.
//!
//! Beside it, by frame, stand the bits of the lines that the first-level data cache
//! holds ([`Lines`]): one tag compare and one bit test cover a TLB hit and a cache
//! hit with the right that is wanted.

use super::tlb::{self, Entry, NOWHERE, Touch};
use super::{Mmu, Privilege};
use crate::addr::Frame;
use crate::bus::Bus;
use crate::cache::{self, Lines, Want};
use crate::cpu::Cpu;

/// Page number that no address has: an empty slot of the front array.
pub(super) const NO_PAGE: u32 = u32::MAX;
/// Slots per privilege in the front array.
pub(super) const FRONT: usize = 256;

/// One slot of the array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front {
    /// Linear page that may be read through this slot.
    read: u32,
    /// Linear page that may be written through this slot.
    write: u32,
    /// Frame's slot in the RAM arena.
    slot: u32,
    /// Where the frame's lines stand.
    lines: u32,
    /// How a use of the first-level entry behind it is recorded.
    touch: Touch,
    /// The page is part of a large one.
    large: bool,
}

/// No TLB entry behind: paging is off.
const NO_TOUCH: Touch = Touch { word: NOWHERE, keep: 0, set: 0 };
pub(super) const EMPTY: Front =
    Front { read: NO_PAGE, write: NO_PAGE, slot: 0, lines: 0, touch: NO_TOUCH, large: false };

impl Mmu {
    /// Arena offset for reading `bytes` at `lin`, if the front array covers it. The offset is good to the end of the page.
    #[inline(always)]
    pub fn hit_read(&mut self, lin: u32, bytes: u32) -> Option<usize> {
        self.hit::<false>(lin, bytes)
    }

    /// The same for writing.
    #[inline(always)]
    pub fn hit_write(&mut self, lin: u32, bytes: u32) -> Option<usize> {
        self.hit::<true>(lin, bytes)
    }

    #[inline(always)]
    fn hit<const WRITE: bool>(&mut self, lin: u32, bytes: u32) -> Option<usize> {
        let f = &self.front[(self.half | (lin >> 12) as usize & (FRONT - 1)) & (2 * FRONT - 1)];
        // The page of the last byte: an access that crosses cannot match, since neighbours have other slots.
        let last = lin.wrapping_add(bytes - 1);
        if (if WRITE { f.write } else { f.read }) != last >> 12 {
            return None;
        }
        let lines = self.lines.get(f.lines as usize)?;
        let lines = if WRITE { lines.write } else { lines.read };
        if lines >> (lin >> 6 & 63) & lines >> (last >> 6 & 63) & 1 == 0 {
            return None;
        }
        let time = if self.timed == 0 {
            0
        } else {
            self.tick += 1;
            self.tick
        };
        tlb::record(&mut self.stamps, f.touch, time);
        Some(((f.slot as usize) << 12) | (lin & 0xfff) as usize)
    }

    /// Where the lines of the frame with this arena offset stand: all in one place if there are no caches.
    #[inline(always)]
    fn lines_index(&self, at: usize) -> usize {
        if self.options.caches { (at >> 12) + 1 } else { 0 }
    }

    /// Is the line at an arena offset in the first-level cache, with the right that is wanted?
    #[inline]
    pub fn covers(&self, at: usize, want: Want) -> bool {
        let lines = self.lines.get(self.lines_index(at)).copied().unwrap_or_default();
        let lines = if want == Want::Write { lines.write } else { lines.read };
        lines >> (at >> 6 & 63) & 1 != 0
    }

    /// The line at an arena offset came into the first-level cache.
    pub(crate) fn set_lines(&mut self, at: usize, writable: bool) {
        let index = self.lines_index(at);
        if index >= self.lines.len() {
            // In larger steps: frames are touched in order.
            self.lines.resize(index + 64, Lines::default());
        }
        let bit = 1 << (at >> 6 & 63);
        let lines = &mut self.lines[index];
        lines.read |= bit;
        lines.write = if writable { lines.write | bit } else { lines.write & !bit };
    }

    /// The line may not be written any more or, if even reading is lost, left the first-level cache.
    pub(crate) fn clear_lines(&mut self, at: usize, lost: Want) {
        let index = self.lines_index(at);
        if let Some(lines) = self.lines.get_mut(index) {
            let bit = 1 << (at >> 6 & 63);
            lines.write &= !bit;
            if lost == Want::Read {
                lines.read &= !bit;
            }
        }
    }

    /// As [`Mmu::hit_read`], with the number of bytes from there to the end of the page whose lines are all present.
    #[inline]
    pub fn span_read(&mut self, lin: u32, bytes: u32) -> Option<(usize, u32)> {
        let at = self.hit::<false>(lin, bytes)?;
        let lines = self.lines.get(self.lines_index(at)).copied().unwrap_or_default();
        Some((at, cache::run_of(lines.read, at)))
    }

    /// The same for writing.
    #[inline]
    pub fn span_write(&mut self, lin: u32, bytes: u32) -> Option<(usize, u32)> {
        let at = self.hit::<true>(lin, bytes)?;
        let lines = self.lines.get(self.lines_index(at)).copied().unwrap_or_default();
        Some((at, cache::run_of(lines.write, at)))
    }

    /// Does a hit in the front array hold for accesses with this privilege?
    pub fn front_is_for(&self, privilege: Privilege) -> bool {
        self.half == if privilege == Privilege::User { FRONT } else { 0 }
    }

    /// Lets the front array be used (where host shortcuts are on at all), or makes every access take the slow path.
    pub(crate) fn use_front(&mut self, on: bool) {
        self.front_used = on && self.options.front;
        self.clear_front();
    }

    /// Empties the front array, without touching the TLBs.
    pub fn clear_front(&mut self) {
        self.front.fill(EMPTY);
    }

    /// No write to this frame may pass unseen any more.
    pub fn revoke_write(&mut self, slot: usize) {
        for f in self.front.iter_mut() {
            if f.slot as usize == slot >> 12 {
                f.write = NO_PAGE;
            }
        }
    }

    fn forget_page(&mut self, page: u32) {
        for half in [0, FRONT] {
            let f = &mut self.front[half | (page as usize & (FRONT - 1))];
            if f.read == page || f.write == page {
                *f = EMPTY;
            }
        }
    }

    /// Drops the front slots behind a first-level entry that ends or changes.
    pub(crate) fn forget_entry(&mut self, e: &Entry) {
        if e.has(Entry::LARGE) {
            let shift = self.large_shift() - 12;
            for f in self.front.iter_mut().filter(|f| f.large && f.read >> shift == e.tag) {
                *f = EMPTY;
            }
        } else {
            self.forget_page(e.tag);
        }
    }
}

/// Lets the next access to the page take the short way.
#[allow(clippy::too_many_arguments)]
pub(super) fn install(
    cpu: &mut Cpu,
    bus: &Bus,
    page: u32,
    frame: u32,
    at: usize,
    e: &Entry,
    touch: Touch,
    privilege: Privilege,
) {
    let m = &mut cpu.mmu;
    let user = privilege == Privilege::User;
    let writable = e.has(Entry::WRITE) || (!user && !m.write_protect);
    let write =
        if writable && e.has(Entry::DIRTY) && !bus.ram.watched(Frame(frame)) { page } else { NO_PAGE };
    let half = if user { FRONT } else { 0 };
    let lines = m.lines_index(at) as u32;
    m.front[half | (page as usize & (FRONT - 1))] =
        Front { read: page, write, slot: (at >> 12) as u32, lines, touch, large: e.has(Entry::LARGE) };
}

/// The same with paging off, where a page is its own frame.
pub(super) fn install_unpaged(cpu: &mut Cpu, bus: &Bus, frame: u32, at: usize) {
    let write = if bus.ram.watched(Frame(frame)) { NO_PAGE } else { frame };
    let m = &mut cpu.mmu;
    let lines = m.lines_index(at) as u32;
    m.front[m.half | (frame as usize & (FRONT - 1))] =
        Front { read: frame, write, slot: (at >> 12) as u32, lines, touch: NO_TOUCH, large: false };
}
