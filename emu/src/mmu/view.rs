//! Looking at the TLBs of a processor, for display: every array with its sets and
//! ways, what each place holds, and since when. Touches nothing.

use super::tlb::{Entry, Tlb};
use super::{LARGE_TAG, Mmu, Paging};

/// What an array caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// 4 KiB pages.
    Small,
    /// Large pages: 4 MiB, or 2 MiB with PAE.
    Large,
    /// Both.
    Both,
}

/// One array of one processor.
pub struct ArrayView<'a> {
    /// `data`, `data-large`, `instruction`, `instruction-large`, `second`.
    pub name: &'static str,
    /// What it caches.
    pub holds: Holds,
    tlb: &'a Tlb,
    large_shift: u32,
}

impl<'a> ArrayView<'a> {
    /// Number of sets.
    pub fn sets(&self) -> usize {
        self.tlb.entries().len() / self.tlb.ways().max(1)
    }

    /// Ways of each set.
    pub fn ways(&self) -> usize {
        self.tlb.ways()
    }

    /// What a place holds: a valid entry, the ghost of a flushed one (see [`super::tlb`]), or neither.
    pub fn entry(&self, set: usize, way: usize) -> Option<&'a Entry> {
        (way < self.ways()).then(|| self.tlb.entries().get(set * self.ways() + way)).flatten()
    }

    /// All that hold a translation.
    pub fn valid(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.tlb.entries().iter().filter(|e| e.valid())
    }

    /// Cycle of its processor at which what a place holds was filled.
    pub fn filled(&self, set: usize, way: usize) -> u64 {
        self.tlb.filled(set * self.ways() + way)
    }

    /// First linear address of the page of an entry of this array.
    pub fn linear(&self, entry: &Entry) -> u32 {
        let large = entry.has(Entry::LARGE);
        let tag = entry.page() & if large { !LARGE_TAG } else { u32::MAX };
        tag << if large { self.large_shift } else { 12 }
    }
}

impl Mmu {
    /// How linear addresses become physical now.
    pub fn paging(&self) -> Paging {
        self.paging
    }

    /// Every array of the processor.
    pub fn arrays(&self) -> impl Iterator<Item = ArrayView<'_>> {
        let view = |name, holds, tlb| ArrayView { name, holds, tlb, large_shift: self.large_shift() };
        let second = self.second.as_ref().map(|s| {
            let holds = if s.holds_large { Holds::Both } else { Holds::Small };
            view("second", holds, &s.tlb)
        });
        [
            view("data", Holds::Small, &self.data.small),
            view("data-large", Holds::Large, &self.data.large),
            view("instruction", Holds::Small, &self.instruction.small),
            view("instruction-large", Holds::Large, &self.instruction.large),
        ]
        .into_iter()
        .chain(second)
    }
}
