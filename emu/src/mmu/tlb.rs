//! One TLB array: sets, ways, replacement. A model, not a cache for speed: an
//! entry keeps answering until it is invalidated or evicted, whatever has become
//! of its PTE.
//!
//! Sizes and policy come from the preset. Entries that were filled from a PTE
//! keep its physical address, so that the oracle can tell which entries a PTE
//! write makes stale. (SDM vol. 3A, "Translation Lookaside Buffers (TLBs)".)
//!
//! An entry that software invalidates leaves a *ghost*: its page and frame stay in its place, which
//! counts as invalid, so that a later miss can be told to be the price of that flush. A fill takes the
//! place of its page's own ghost, else an invalid way, else that of the ghost that the policy would
//! evict, else that of the policy's victim. With LRU and full flushes ghosts and entries together are
//! exactly the array that was never flushed. They approximate it otherwise: after a partial flush a
//! fill takes a ghost's place where the other array would evict an entry used longer ago; with
//! tree-PLRU and random replacement the other array may evict an entry while ghosts are left; with
//! FIFO a refilled entry is younger than it would be.
//!
//! What replacement remembers lives outside, in one array of the processor
//! ([`Stamps`]), and a use is recorded by one masked store ([`Touch`]), so that the
//! fast path needs to know neither the array nor the policy:
//!
//! | policy | word | a use stores |
//! |---|---|---|
//! | LRU | per entry | the time |
//! | tree-PLRU | per set: the tree's bits | the bits on the way's path, pointing away from it |
//! | FIFO | per entry: time of the fill | nothing |
//! | random | none | nothing |

/// How a set chooses its victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// True least recently used.
    Lru,
    /// A binary tree of bits per set, as in caches.
    TreePlru,
    /// The oldest fill leaves.
    Fifo,
    /// A seeded pseudo-random way.
    Random,
}

/// Number of entries that all arrays of one processor may have together.
pub const MAX_ENTRIES: usize = 4096;

/// The replacement state of every array of a processor.
pub type Stamps = [u64; MAX_ENTRIES];

/// How a use of an entry is recorded: `word = word & keep | set | time` ([`record`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Which word of [`Stamps`].
    pub word: u16,
    /// Bits that stay (trees have at most 16 ways).
    pub keep: u16,
    /// Bits that are set.
    pub set: u16,
}

/// What software did to invalidate an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// `invlpg`.
    Page,
    /// A CR3 load, or whatever else spares global entries.
    NonGlobal,
    /// CR4.PGE toggled, or whatever else drops global entries too.
    Global,
}

/// A cached translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Linear address >> 12 for a small page, >> 22 or >> 21 for a large one.
    pub tag: u32,
    /// Frame number of the page (of its first 4 KiB, for a large page).
    pub frame: u32,
    /// See the constants of [`Entry`].
    pub bits: u8,
    /// Physical address of the PTE (PDE of a large page) that it was filled from.
    pub origin: u64,
    /// The change that made it stale, as the oracle's number; 0 = it still agrees with its PTE.
    pub stale: u32,
    /// What made it a ghost; `None` for a valid entry.
    pub flushed: Option<Flush>,
}

/// Tag of an invalid entry: no page has it, so that a lookup need not look at the valid bit.
const NO_TAG: u32 = u32::MAX;

/// Set in the tag of a ghost: no page has such a tag either.
const GHOST_TAG: u32 = 1 << 30;

impl Default for Entry {
    /// An invalid entry.
    fn default() -> Entry {
        Entry { tag: NO_TAG, frame: 0, bits: 0, origin: 0, stale: 0, flushed: None }
    }
}

impl Entry {
    /// The entry holds a translation.
    pub const VALID: u8 = 1;
    /// Writable (both levels).
    pub const WRITE: u8 = 2;
    /// User may access (both levels).
    pub const USER: u8 = 4;
    /// Global: survives a CR3 load.
    pub const GLOBAL: u8 = 8;
    /// Dirty bit is known to be set.
    pub const DIRTY: u8 = 16;
    /// A 4 MiB or 2 MiB page.
    pub const LARGE: u8 = 32;
    /// Filled from an 8-byte entry.
    pub const PAE: u8 = 64;

    /// Does the entry hold a translation?
    pub fn valid(&self) -> bool {
        self.bits & Entry::VALID != 0
    }

    /// The tag of the page that it is, or as a ghost was, about.
    pub fn page(&self) -> u32 {
        if self.flushed.is_some() { self.tag & !GHOST_TAG } else { self.tag }
    }

    /// What is left of a valid entry that a flush of this kind, or (`None`) the processor itself, drops.
    fn remains(&self, flush: Option<Flush>) -> Entry {
        match flush {
            None => Entry::default(),
            Some(_) => Entry {
                tag: self.tag | GHOST_TAG,
                bits: self.bits & !Entry::VALID,
                stale: 0,
                flushed: flush,
                ..*self
            },
        }
    }

    /// Are all these bits set?
    #[inline(always)]
    pub fn has(&self, bits: u8) -> bool {
        self.bits & bits == bits
    }
}

/// The word of [`Stamps`] that nobody reads.
pub const NOWHERE: u16 = MAX_ENTRIES as u16 - 1;

/// All ones for the policy whose words hold times, else zero.
pub fn timed(policy: Replacement) -> u64 {
    if policy == Replacement::Lru { u64::MAX } else { 0 }
}

/// Records a use; `time` is already masked by [`timed`].
#[inline(always)]
pub fn record(stamps: &mut Stamps, t: Touch, time: u64) {
    let word = &mut stamps[t.word as usize & (MAX_ENTRIES - 1)];
    let new = (*word & u64::from(t.keep)) | u64::from(t.set) | time;
    // A tree mostly has these bits already, and a store that is left out is one that nobody waits for.
    if *word != new {
        *word = new;
    }
}

/// A set-associative array of entries.
#[derive(Clone, Debug)]
pub struct Tlb {
    entries: Vec<Entry>,
    /// When each was filled, in cycles: for display only, so it stands apart from what lookups read.
    filled: Vec<u64>,
    /// Where this array's stamps begin.
    first_stamp: usize,
    set_mask: u32,
    ways: usize,
    policy: Replacement,
    random: u64,
    /// How many of the entries are ghosts: mostly none, and then nobody looks for one.
    ghosts: usize,
}

impl Tlb {
    /// An empty array. `entries` is a multiple of `ways` and their quotient a power of two (the preset's validation);
    /// its stamps begin at `first_stamp`.
    pub fn new(entries: usize, ways: usize, policy: Replacement, seed: u64, first_stamp: usize) -> Tlb {
        let sets = (entries / ways.max(1)).max(1);
        Tlb {
            entries: vec![Entry::default(); sets * ways],
            filled: vec![0; sets * ways],
            first_stamp,
            set_mask: sets as u32 - 1,
            ways,
            policy,
            random: seed | 1,
            ghosts: 0,
        }
    }

    /// Ways per set.
    pub fn ways(&self) -> usize {
        self.ways
    }

    /// The entry at `index` was filled at cycle `now`.
    pub fn set_filled(&mut self, index: usize, now: u64) {
        if let Some(filled) = self.filled.get_mut(index) {
            *filled = now;
        }
    }

    /// Cycle at which the entry at `index` was filled.
    pub fn filled(&self, index: usize) -> u64 {
        self.filled.get(index).copied().unwrap_or(0)
    }

    /// All entries, set by set, valid or not.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn set(&self, tag: u32) -> usize {
        (tag & self.set_mask) as usize * self.ways
    }

    /// Index of the valid entry with this tag. Touches nothing.
    #[inline(always)]
    pub fn find(&self, tag: u32) -> Option<usize> {
        let base = self.set(tag);
        let ways = self.entries.get(base..base + self.ways)?;
        ways.iter().position(|e| e.tag == tag).map(|way| base + way)
    }

    /// The ghost of the page with this tag.
    #[inline]
    pub fn ghost(&self, tag: u32) -> Option<&Entry> {
        if self.ghosts == 0 {
            return None;
        }
        self.find(tag | GHOST_TAG).and_then(|i| self.entries.get(i))
    }

    /// Invalidates the entry with this tag and returns it. A flush leaves a ghost, the processor itself does not.
    #[inline(always)]
    pub fn take(&mut self, tag: u32, flush: Option<Flush>) -> Option<Entry> {
        let base = self.set(tag);
        let ways = self.entries.get_mut(base..base + self.ways)?;
        let e = ways.iter_mut().find(|e| e.tag == tag)?;
        let remains = e.remains(flush);
        self.ghosts += usize::from(flush.is_some());
        Some(std::mem::replace(e, remains))
    }

    /// The entry at an index from [`Tlb::find`].
    #[inline]
    pub fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// The same, to change its dirty or stale state.
    pub fn entry_mut(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }

    fn stamp_index(&self, index: usize) -> usize {
        (self.first_stamp + index) % MAX_ENTRIES
    }

    /// The word of a set's tree: that of its first way.
    fn tree_index(&self, index: usize) -> usize {
        self.stamp_index(index - index % self.ways)
    }

    /// How a use of the entry at `index` is recorded.
    pub fn touch_of(&self, index: usize) -> Touch {
        match self.policy {
            Replacement::Lru => Touch { word: self.stamp_index(index) as u16, keep: 0, set: 0 },
            Replacement::Fifo | Replacement::Random => Touch { word: NOWHERE, keep: 0, set: 0 },
            Replacement::TreePlru => {
                let way = index % self.ways;
                let (mut node, mut low, mut span) = (1u32, 0, self.ways.next_power_of_two());
                let (mut keep, mut set) = (u16::MAX, 0);
                while span > 1 {
                    span /= 2;
                    let right = way >= low + span;
                    // The bit points away from the way just used.
                    if right {
                        keep &= !(1 << node);
                        low += span;
                    } else {
                        set |= 1 << node;
                    }
                    node = node * 2 + u32::from(right);
                }
                Touch { word: self.tree_index(index) as u16, keep, set }
            }
        }
    }

    /// Records a use of the entry for replacement. `now` grows with every access.
    pub fn touch(&self, index: usize, now: u64, stamps: &mut Stamps) {
        record(stamps, self.touch_of(index), now & timed(self.policy));
    }

    /// Puts an entry in, into a way without a valid entry if its set has one, and returns its index with
    /// the entry that had to leave.
    pub fn fill(&mut self, entry: Entry, now: u64, stamps: &mut Stamps) -> (usize, Option<Entry>) {
        let base = self.set(entry.tag);
        let index = base + self.place(base, entry.tag, stamps);
        let old = std::mem::replace(&mut self.entries[index], entry);
        self.ghosts -= usize::from(old.flushed.is_some());
        if self.policy == Replacement::Fifo {
            stamps[self.stamp_index(index)] = now;
        } else {
            self.touch(index, now, stamps);
        }
        (index, old.valid().then_some(old))
    }

    /// The way of the set at `base` that a fill for `tag` takes.
    fn place(&mut self, base: usize, tag: u32, stamps: &Stamps) -> usize {
        let set = &self.entries[base..base + self.ways];
        if self.ghosts == 0 {
            let free = set.iter().position(|e| e.tag == NO_TAG);
            return free.unwrap_or_else(|| self.victim(base, stamps, false));
        }
        let (mut free, mut haunted) = (None, false);
        for (way, e) in set.iter().enumerate() {
            if e.tag == tag | GHOST_TAG {
                return way;
            } else if e.tag == NO_TAG {
                free = free.or(Some(way));
            } else {
                haunted |= e.flushed.is_some();
            }
        }
        free.unwrap_or_else(|| self.victim(base, stamps, haunted))
    }

    /// The way that has to leave; one of the ghosts, if the set is `haunted`.
    #[inline(always)]
    fn victim(&mut self, base: usize, stamps: &Stamps, haunted: bool) -> usize {
        let random = match self.policy {
            Replacement::Random => self.draw(),
            _ => 0,
        };
        let may = |way: &usize| !haunted || self.entries[base + way].flushed.is_some();
        let way = match self.policy {
            Replacement::Lru | Replacement::Fifo => {
                (0..self.ways).filter(may).min_by_key(|&w| stamps[self.stamp_index(base + w)])
            }
            Replacement::TreePlru => {
                let tree = stamps[self.tree_index(base)];
                let (mut node, mut low, mut span) = (1usize, 0, self.ways.next_power_of_two());
                while span > 1 {
                    span /= 2;
                    let middle = (low + span).min(self.ways);
                    let end = (middle + span).min(self.ways);
                    // Ways that do not exist (ways not a power of two) are never chosen.
                    let right = if tree >> node & 1 != 0 {
                        (middle..end).any(|w| may(&w))
                    } else {
                        !(low..middle).any(|w| may(&w))
                    };
                    if right {
                        low += span;
                    }
                    node = node * 2 + usize::from(right);
                }
                Some(low)
            }
            Replacement::Random => (0..self.ways).map(|n| (random + n) % self.ways).find(may),
        };
        way.unwrap_or(0)
    }

    /// A pseudo-random way.
    fn draw(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % self.ways
    }

    /// Flushes every entry for which `gone` says so, telling each to `dropped`.
    pub fn flush(&mut self, flush: Flush, gone: impl Fn(&Entry) -> bool, mut dropped: impl FnMut(&Entry)) {
        for e in self.entries.iter_mut() {
            if e.valid() && gone(e) {
                dropped(e);
                *e = e.remains(Some(flush));
                self.ghosts += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
