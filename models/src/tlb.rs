//! What the TLBs of two processors may hold for the slots of a window.
//!
//! A processor may fill an entry from a present PTE whenever it likes (a prefetch, a
//! branch that it takes back), and drop any entry whenever it likes. Both change
//! nothing but that one entry. So instead of a step for each fill and each drop, the
//! *set* of pages that an entry could stand for is kept: it gains the page of the PTE
//! all the time, and an invalidation empties it. A use is stale in some run of the
//! explicit model if and only if the set has another page than the one meant: for a
//! page in the set there is a run that filled it and dropped nothing since. That is
//! exact, and saves a factor of some hundred states.
//!
//! Left out: large pages, paging-structure entries, A and D bits.

/// Processors.
pub const CPUS: usize = 2;
/// Slots, at most.
pub const SLOTS: usize = 2;
/// A page's number, from 1 on; 0 is none.
pub type Page = u8;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tlbs([[u8; SLOTS]; CPUS]);

impl Tlbs {
    /// The processor may have an entry of the slot that stands for `page`; for nothing if that is none.
    pub fn fill(&mut self, cpu: usize, slot: usize, page: Page) {
        if page != 0 {
            self.0[cpu][slot] |= 1 << page;
        }
    }

    /// The processor drops its entry of the slot.
    pub fn invlpg(&mut self, cpu: usize, slot: usize) {
        self.0[cpu][slot] = 0;
    }

    /// The processor drops everything.
    pub fn flush(&mut self, cpu: usize) {
        self.0[cpu] = [0; SLOTS];
    }

    /// The same with slots and pages under other names: `slot_of` and `page_of` give the old ones.
    pub fn renamed(&self, slot_of: [usize; SLOTS], page_of: &[Page]) -> Tlbs {
        let bits = |old: u8| (1..page_of.len()).fold(0, |new, page| new | (old >> page_of[page] & 1) << page);
        Tlbs(self.0.map(|row| slot_of.map(|slot| bits(row[slot]))))
    }

    /// May the processor have an entry of the slot?
    pub fn holds_any(&self, cpu: usize, slot: usize) -> bool {
        self.0[cpu][slot] != 0
    }

    /// A page other than `page` that the processor's entry of the slot may stand for.
    pub fn stale(&self, cpu: usize, slot: usize, page: Page) -> Option<Page> {
        (1..8).find(|other| *other != page && self.0[cpu][slot] & (1 << other) != 0)
    }
}
