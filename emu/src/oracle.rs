//! The stale-translation oracle.
//!
//! It knows which PTE each cached translation came from. When that PTE loses or
//! changes its frame or rights, the surviving entries are marked with the number
//! of the *change*; using one is a *stale use*. It is *harmful* once the guest has
//! declared the old frame free (`FrameFreed`) or the page handed on (`SlotGiven`)
//! after the change. The time from a change to the end of its last surviving
//! entry is the *exposure* of that mapping.
//!
//! How it finds the entries: every frame that a walk reads is *watched* (RAM's
//! TABLE bit), so that writes to it take the slow path, and has a *shadow*: per
//! entry, which processors may hold a translation from it, and for which linear
//! address. A write to an entry that nobody holds costs one look.
//!
//! Setting A or D, not-present to present and read-only to read-write are no
//! changes; the same value restored clears the mark (`mmu/invalidate.rs`).

use crate::addr::Frame;
use crate::config::MAX_CPUS;
use crate::mmu::Access;
use crate::mmu::tlb::Entry;
use crate::observe::{EventBuffer, Wanted, What};
use crate::stats::Counters;
use hdrhistogram::Histogram;
use std::collections::HashMap;

/// Whether a watched entry maps a page or names a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A PTE, or the PDE of a large page.
    Leaf,
    /// A PDE that names a page table.
    Table,
}

/// A write to a PTE or PDE that some TLB may have cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PteWrite {
    /// Physical address of the entry.
    pub pa: u64,
    /// 8-byte entries?
    pub pae: bool,
    /// What the entry was used as.
    pub source: Source,
    /// The one linear page (or region) that it was used for; `None`: several.
    pub linear: Option<u32>,
    /// Bit n: processor n may hold a translation from it.
    pub holders: u64,
    /// Clock of the writer.
    pub cycle: u64,
    /// The writer.
    pub writer: u8,
    /// Order of the write among the oracle's events.
    pub order: u64,
    /// Number of the change that its survivors carry; 0 = none so far.
    pub change: u32,
}

/// A stale use, as reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleUse {
    /// Who used it.
    pub cpu: u8,
    /// At which cycle of its clock.
    pub cycle: u64,
    /// The linear address used.
    pub linear: u32,
    /// The frame that the stale entry gave.
    pub old_frame: u32,
    /// Cycles since the PTE changed.
    pub age: u64,
    /// Who changed the PTE.
    pub writer: u8,
    /// The old frame had been declared free, or the page handed on.
    pub harmful: bool,
    /// Read, write or fetch.
    pub access: Access,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    cycle: u64,
    writer: u8,
    order: u64,
    survivors: u32,
}

const ENTRIES: usize = 1024;
/// Shadow note: no linear address yet.
const UNUSED: u32 = 0;
/// Shadow note: used for more than one linear address.
const SEVERAL: u32 = 2;
/// Shadow note bit: the linear address in the upper bits is the only one.
const ONE: u32 = 1;
/// Shadow note bit: used as a PDE that names a table.
const AS_TABLE: u32 = 4;

#[derive(Clone)]
struct Shadow {
    frame: u32,
    pae: bool,
    holders: Box<[u64; ENTRIES]>,
    notes: Box<[u32; ENTRIES]>,
}

/// At most this many stale uses are kept in full.
const REPORTS: usize = 32;

/// The oracle of one machine.
#[derive(Clone)]
pub struct Oracle {
    /// Shadow number + 1 per frame, 0 = none.
    index: Vec<u32>,
    shadows: Vec<Shadow>,
    free_shadows: Vec<u32>,
    changes: Vec<Change>,
    free_changes: Vec<u32>,
    order: u64,
    freed: HashMap<u32, u64>,
    given: HashMap<u32, u64>,
    /// PTE writes that other processors have still to be checked for.
    pub(crate) writes: Vec<PteWrite>,
    reports: Vec<StaleUse>,
    /// The last use of each processor: an instruction that was put off makes its accesses again, at the same cycle.
    last: Vec<Option<(u64, u32, Access)>>,
    exposure: Histogram<u64>,
}

impl Oracle {
    /// An oracle for a physical map of `frames` frames.
    pub fn new(frames: usize) -> Oracle {
        Oracle {
            index: vec![0; frames],
            shadows: Vec::new(),
            free_shadows: Vec::new(),
            // Number 0 means "not stale".
            changes: vec![Change { cycle: 0, writer: 0, order: 0, survivors: 0 }],
            free_changes: Vec::new(),
            order: 0,
            freed: HashMap::new(),
            given: HashMap::new(),
            writes: Vec::new(),
            reports: Vec::new(),
            last: vec![None; MAX_CPUS],
            exposure: crate::histogram::new(),
        }
    }

    /// A walk on processor `cpu` used the entry at `pa` for `linear`. True if its frame was not watched before.
    pub(crate) fn used_entry(&mut self, cpu: usize, pa: u64, linear: u32, source: Source, pae: bool) -> bool {
        let frame = (pa >> 12) as usize;
        let Some(slot) = self.index.get_mut(frame) else { return false };
        let fresh = *slot == 0;
        if fresh {
            let shadow = Shadow {
                frame: frame as u32,
                pae,
                holders: Box::new([0; ENTRIES]),
                notes: Box::new([UNUSED; ENTRIES]),
            };
            *slot = match self.free_shadows.pop() {
                Some(n) => {
                    self.shadows[n as usize] = shadow;
                    n + 1
                }
                None => {
                    self.shadows.push(shadow);
                    self.shadows.len() as u32
                }
            };
        }
        let s = &mut self.shadows[*slot as usize - 1];
        s.pae = pae;
        let i = (pa as usize & 0xfff) >> 2;
        s.holders[i] |= 1 << (cpu & 63);
        let note = (linear & !0xfff) | ONE | if source == Source::Table { AS_TABLE } else { 0 };
        let old = &mut s.notes[i];
        if *old == UNUSED {
            *old = note;
        } else if *old != note {
            *old = SEVERAL | (note & AS_TABLE);
        }
        fresh
    }

    /// Bytes `[pa, pa + len)` of a watched table frame were written. Gives the writes that concern some TLB.
    pub(crate) fn table_written(
        &mut self,
        cpu: usize,
        pa: u64,
        len: u32,
        cycle: u64,
    ) -> [Option<PteWrite>; 2] {
        let mut out = [None; 2];
        let Some(&slot) = self.index.get((pa >> 12) as usize) else { return out };
        if slot == 0 {
            return out;
        }
        let s = &self.shadows[slot as usize - 1];
        let width = if s.pae { 8 } else { 4 };
        let first = (pa & 0xfff) / width;
        let last = ((pa & 0xfff) + u64::from(len) - 1) / width;
        for (n, entry) in (first..=last).enumerate().take(2) {
            let i = (entry * width) as usize >> 2;
            if s.holders[i & (ENTRIES - 1)] == 0 {
                continue;
            }
            let note = s.notes[i & (ENTRIES - 1)];
            self.order += 1;
            out[n] = Some(PteWrite {
                pa: (pa & !0xfff) + entry * width,
                pae: s.pae,
                source: if note & AS_TABLE != 0 { Source::Table } else { Source::Leaf },
                linear: (note & ONE != 0).then_some(note & !0xfff),
                holders: s.holders[i & (ENTRIES - 1)],
                cycle,
                writer: cpu as u8,
                order: self.order,
                change: 0,
            });
        }
        out
    }

    /// An entry survives a change: its number, to be kept in the entry.
    pub(crate) fn survivor(&mut self, w: &mut PteWrite) -> u32 {
        // Survivors of one write share a number, while one of them lives.
        if let Some(c) = self.changes.get_mut(w.change as usize)
            && w.change != 0
            && c.order == w.order
            && c.survivors > 0
        {
            c.survivors += 1;
            return w.change;
        }
        let change = Change { cycle: w.cycle, writer: w.writer, order: w.order, survivors: 1 };
        let n = match self.free_changes.pop() {
            Some(n) => {
                self.changes[n as usize] = change;
                n
            }
            None => {
                self.changes.push(change);
                (self.changes.len() - 1) as u32
            }
        };
        w.change = n;
        n
    }

    /// A mark is cleared because the PTE has its old value again: no exposure.
    pub(crate) fn restored(&mut self, number: u32) {
        self.release(number, None);
    }

    /// A cached translation is gone (evicted, invalidated, flushed).
    #[inline]
    pub(crate) fn ended(&mut self, e: &Entry, now: u64) {
        if e.stale != 0 {
            self.release(e.stale, Some(now));
        }
    }

    /// The same for a paging-structure-cache entry, by change number (0 = it was not stale).
    pub(crate) fn ended_change(&mut self, number: u32, now: u64) {
        if number != 0 {
            self.release(number, Some(now));
        }
    }

    fn release(&mut self, number: u32, now: Option<u64>) {
        let Some(c) = self.changes.get_mut(number as usize) else { return };
        c.survivors = c.survivors.saturating_sub(1);
        if c.survivors == 0 {
            if let Some(now) = now {
                self.exposure.saturating_record(now.saturating_sub(c.cycle));
            }
            self.free_changes.push(number);
        }
    }

    /// A stale entry was used.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn used(
        &mut self,
        cpu: usize,
        count: &mut Counters,
        events: &mut EventBuffer,
        e: &Entry,
        linear: u32,
        access: Access,
        now: u64,
    ) {
        let Some(&c) = self.changes.get(e.stale as usize) else { return };
        let page = if e.has(Entry::LARGE) {
            let mask = if e.has(Entry::PAE) { 0x1ff } else { 0x3ff };
            e.frame + ((linear >> 12) & mask)
        } else {
            e.frame
        };
        let after = |t: Option<&u64>| t.is_some_and(|&t| t > c.order);
        let harmful = after(self.freed.get(&page)) || after(self.given.get(&(linear >> 12)));
        self.report(
            count,
            events,
            StaleUse {
                cpu: cpu as u8,
                cycle: now,
                linear,
                old_frame: page,
                age: now.saturating_sub(c.cycle),
                writer: c.writer,
                harmful,
                access,
            },
        );
    }

    /// A walk used a paging-structure-cache entry that memory no longer agrees with.
    pub(crate) fn walked_stale(
        &mut self,
        cpu: usize,
        count: &mut Counters,
        events: &mut EventBuffer,
        c: (u32, u32),
        linear: u32,
        now: u64,
    ) {
        let (number, table) = c;
        let Some(&c) = self.changes.get(number as usize) else { return };
        let harmful = self.freed.get(&table).is_some_and(|&t| t > c.order);
        self.report(
            count,
            events,
            StaleUse {
                cpu: cpu as u8,
                cycle: now,
                linear,
                old_frame: table,
                age: now.saturating_sub(c.cycle),
                writer: c.writer,
                harmful,
                access: Access::Read,
            },
        );
    }

    /// A walk read a table in a frame that the guest has declared free: always harmful.
    pub(crate) fn walked_freed(
        &mut self,
        cpu: usize,
        count: &mut Counters,
        events: &mut EventBuffer,
        frame: u32,
        linear: u32,
        now: u64,
    ) {
        self.report(
            count,
            events,
            StaleUse {
                cpu: cpu as u8,
                cycle: now,
                linear,
                old_frame: frame,
                age: 0,
                writer: cpu as u8,
                harmful: true,
                access: Access::Read,
            },
        );
    }

    fn report(&mut self, count: &mut Counters, events: &mut EventBuffer, u: StaleUse) {
        let this = Some((u.cycle, u.linear, u.access));
        if let Some(last) = self.last.get_mut(usize::from(u.cpu))
            && std::mem::replace(last, this) == this
        {
            return;
        }
        count.stale_uses += 1;
        count.harmful_uses += u64::from(u.harmful);
        // The first ones, but a harmful one takes the place of a harmless one.
        if self.reports.len() < REPORTS {
            self.reports.push(u);
        } else if u.harmful
            && let Some(r) = self.reports.iter_mut().find(|r| !r.harmful)
        {
            *r = u;
        }
        events.push(Wanted::STALE, u.cpu.into(), u.cycle, What::Stale(u));
    }

    /// The guest declares a frame free.
    pub(crate) fn frame_freed(&mut self, frame: Frame) {
        self.order += 1;
        self.freed.insert(frame.0, self.order);
    }

    /// The guest hands a linear page to another use.
    pub(crate) fn slot_given(&mut self, page: u32) {
        self.order += 1;
        self.given.insert(page, self.order);
    }

    /// Forgets the shadow of a frame that holds no tables any more.
    pub(crate) fn drop_shadow(&mut self, frame: Frame) {
        if let Some(slot) = self.index.get_mut(frame.0 as usize)
            && *slot != 0
        {
            let n = *slot - 1;
            *slot = 0;
            debug_assert_eq!(self.shadows[n as usize].frame, frame.0);
            self.free_shadows.push(n);
        }
    }

    /// The change that made an entry stale ([`Entry::stale`]): cycle and writer.
    pub fn change(&self, number: u32) -> Option<(u64, u8)> {
        let number = usize::try_from(number).ok().filter(|&n| n > 0)?;
        self.changes.get(number).map(|c| (c.cycle, c.writer))
    }

    /// Stale uses in full: the first ones, harmful ones preferred.
    pub fn reports(&self) -> &[StaleUse] {
        &self.reports
    }

    /// Time from a PTE change to the end of its last surviving entry, in cycles.
    pub fn exposure(&self) -> &Histogram<u64> {
        &self.exposure
    }
}
