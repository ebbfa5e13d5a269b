//! How the PTEs of a page are found: reverse mappings, which reclaim needs to
//! take a page from all who have it.
//!
//! | file   | looks at                                   | keeps |
//! |--------|--------------------------------------------|-------|
//! | `scan` | all PTEs of all processes, until it has as many as the page has owners | nothing |
//!
//! The question is LaHaise's and Tweedie's ("reverse pte lookups", linux-mm, March 1998):
//! what does it cost to keep such a thing, and what to do without. What a search
//! costs is counted in PTEs (`Counter::PtesVisited`).
//!
//! Rules. A search is made in task context, may sleep and holds no lock when it
//! returns; so what it found is looked at again under the lock of the tables.
//! It may miss PTEs: then the page is not freed, and nothing else is wrong.

mod scan;

use crate::cmdline::options;
use crate::kmap::axes::named;
use crate::mm::{Frame, Mapped, Visit};

named! {
    /// The schemes, by the values of `rmap=`.
    Scheme {
        /// All page tables of all processes.
        Scan "scan",
    }
}

/// What a scheme does. All are unit types.
trait Rmap {
    /// Notes the PTEs that map an anonymous page.
    fn find(frame: Frame, found: &mut Found);
}

/// Most PTEs that one search notes; a page with more is taken from its owners bit by bit.
const MOST: usize = 24;

/// What a search has found.
pub struct Found {
    places: [Option<(Visit, u32)>; MOST],
    count: usize,
    /// PTEs that there may be.
    owners: usize,
    accessed: bool,
    visited: u32,
}

impl Found {
    /// The PTEs: each one's space and address.
    pub fn places(&self) -> impl Iterator<Item = (&Visit, u32)> {
        self.places.iter().flatten().map(|(space, address)| (space, *address))
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Has a processor set the accessed bit of one of them?
    pub fn accessed(&self) -> bool {
        self.accessed
    }

    /// PTEs looked at.
    pub fn visited(&self) -> u32 {
        self.visited
    }

    /// Is there nothing left to be found, or no room for it?
    fn is_complete(&self) -> bool {
        self.count == self.owners.min(MOST)
    }

    /// Looks into a space in the way of `search`, which counts the PTEs that it looks at, and notes what it has found.
    fn look(&mut self, space: Visit, search: impl FnOnce(&Visit, &mut u32) -> Option<Mapped>) {
        if let Some(mapped) = search(&space, &mut self.visited) {
            self.accessed |= mapped.accessed;
            self.places[self.count] = Some((space, mapped.address));
            self.count += 1;
        }
    }
}

/// The PTEs of an anonymous page, as far as the chosen scheme finds them.
pub fn find(frame: Frame) -> Found {
    let owners = frame.page().count() as usize;
    let mut found = Found { places: [const { None }; MOST], count: 0, owners, accessed: false, visited: 0 };
    match options().rmap {
        Scheme::Scan => scan::Scan::find(frame, &mut found),
    }
    found
}
