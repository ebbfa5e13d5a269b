//! How the PTEs of a page are found: reverse mappings, which reclaim needs to
//! take a page from all who have it.
//!
//! | file       | looks at                                   | keeps |
//! |------------|--------------------------------------------|-------|
//! | `scan`     | all PTEs of all processes, until it has as many as the page has owners | nothing |
//! | `vma_list` | one PTE of each area that may have got the page by fork | a list for each private area, and in the page which |
//! | `family`   | one PTE of each process that is related by fork | in the page which family, and its address |
//!
//! The question is LaHaise's and Tweedie's ("reverse pte lookups", linux-mm, March 1998):
//! what does it cost to keep such a thing, and what to do without. What a search
//! costs is counted: searches, the spaces or areas that they looked into, and
//! PTEs (`Counter::PtesVisited`). An entry that stands for nothing counts as little as it does in a scan.
//!
//! What both have in common is the *origin* of private memory (`mm::Origin`): the *group* that it
//! is kept in, and its *home*, the address that it had when it was mapped. A private area knows
//! both and keeps them through fork, split and `mremap`; a page gets those of the area that it comes
//! to be in, in the two words that a page of a file has for file and index. So what was moved has
//! another address than its home, and nothing has to be written into its pages.
//!
//! Rules. A search is made in task context, may sleep and holds no lock when it
//! returns; so what it found is looked at again under the lock of the tables.
//! It may miss PTEs: then the page is not freed, and nothing else is wrong. It may
//! do so only while somebody changes what it goes over, though: with `rmap-audit=1`
//! each search is made by `scan` as well, and a PTE that only `scan` finds ends the machine (`audit`).

mod audit;
mod family;
mod scan;
mod vma_list;

use crate::cmdline::options;
use crate::kmap::axes::named;
use crate::marks;
use crate::mm::{AddressSpace, Frame, Mapped, Origin, Visit};
use core::sync::atomic::{AtomicBool, AtomicU32};
use shootdown_abi::Counter;

named! {
    /// The schemes, by the values of `rmap=`.
    Scheme {
        /// All page tables of all processes.
        Scan "scan",
        /// Areas that may have pages of one origin are on a list.
        VmaList "vma-list",
        /// The same address in all processes that are related by fork.
        Family "family",
    }
}

/// What a scheme does. All are unit types.
trait Rmap {
    /// The group of new private memory of a space; `None` without memory.
    fn born(_space: &AddressSpace) -> Option<u32> {
        Some(0)
    }

    /// The group of memory that `child` gets from its parent, where it is of `group`.
    fn inherited(_child: &AddressSpace, group: u32) -> Option<u32> {
        Some(group)
    }

    /// A space comes to be by fork, before it has an area.
    fn forked(_parent: &AddressSpace, _child: &AddressSpace) {}

    /// Private memory of a space is no longer at home, before its PTEs move.
    fn moved(_space: &AddressSpace) {}

    /// A space has fewer areas than before.
    fn gone(_space: &AddressSpace) {}

    /// Notes the PTEs that map an anonymous page.
    fn find(frame: Frame, found: &mut Found);
}

/// What the schemes keep of an address space.
pub struct Kept {
    /// `family`: which one; 0: none yet.
    family: AtomicU32,
    /// `family`: is memory elsewhere than at home?
    moved: AtomicBool,
    /// `vma_list`: the first of its lists; 0: none.
    lists: AtomicU32,
}

impl Kept {
    /// Of a space without areas.
    pub const fn new() -> Kept {
        Kept { family: AtomicU32::new(0), moved: AtomicBool::new(false), lists: AtomicU32::new(0) }
    }
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
    /// Spaces or areas that were looked into.
    steps: u32,
}

impl Found {
    fn new(frame: Frame) -> Found {
        let owners = frame.page().count() as usize;
        Found { places: [const { None }; MOST], count: 0, owners, accessed: false, visited: 0, steps: 0 }
    }

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

    /// Is there nothing left to be found, or no room for it?
    fn is_complete(&self) -> bool {
        self.count == self.owners.min(MOST)
    }

    /// Looks into a space in the way of `search`, which counts the PTEs that it looks at, and notes what it has found.
    fn look(&mut self, space: Visit, search: impl FnOnce(&Visit, &mut u32) -> Option<Mapped>) {
        self.steps += 1;
        if let Some(mapped) = search(&space, &mut self.visited) {
            self.accessed |= mapped.accessed;
            self.places[self.count] = Some((space, mapped.address));
            self.count += 1;
        }
    }
}

/// Evaluates an expression with `$s` standing for the type of the chosen scheme.
macro_rules! chosen {
    ($s:ident => $e:expr) => {
        match options().rmap {
            Scheme::Scan => {
                type $s = scan::Scan;
                $e
            }
            Scheme::VmaList => {
                type $s = vma_list::VmaList;
                $e
            }
            Scheme::Family => {
                type $s = family::Family;
                $e
            }
        }
    };
}

/// The group of new private memory of a space; `None` without memory. Until an area has it, the caller says
/// [`gone`] if there will be none.
pub fn born(space: &AddressSpace) -> Option<u32> {
    chosen!(S => S::born(space))
}

/// What `child` gets from its parent by fork comes from here. `None` without memory.
pub fn inherited(child: &AddressSpace, origin: Origin) -> Option<Origin> {
    let group = chosen!(S => S::inherited(child, origin.group))?;
    Some(Origin { group, ..origin })
}

/// `child` comes to be by fork, before it has an area.
pub fn forked(parent: &AddressSpace, child: &AddressSpace) {
    chosen!(S => S::forked(parent, child));
}

/// Private memory of a space is no longer at home: its areas say so, its PTEs are about to move.
pub fn moved(space: &AddressSpace) {
    chosen!(S => S::moved(space));
}

/// A space has fewer areas than before.
pub fn gone(space: &AddressSpace) {
    chosen!(S => S::gone(space));
}

/// The PTEs of an anonymous page, as far as the chosen scheme finds them.
pub fn find(frame: Frame) -> Found {
    let found = search(frame);
    marks::count(Counter::RmapSearches, 1);
    marks::count(Counter::RmapSteps, found.steps);
    marks::count(Counter::PtesVisited, found.visited);
    if options().rmap_audit {
        audit::check(frame, &found);
    }
    found
}

fn search(frame: Frame) -> Found {
    let mut found = Found::new(frame);
    chosen!(S => S::find(frame, &mut found));
    found
}
