//! Large pages for shared memory (`shm-pages=large`): a PDE maps 4 MiB, with PAE 2 MiB, and the
//! processes that share it need no page table for it.
//!
//! ```text
//!  mmap(bytes, SHARED), bytes >= a large page
//!  | large page | large page | ... | what is less than one, in small pages |
//!  ^ aligned, where no page table is                              ^ an area of its own
//! ```
//!
//! *Frames.* Neighbours, taken and cleared at the mapping (`frame::alloc_large`); no block, no memory. The first
//! stands for all: it has their owners, one for each PDE, and a PDE is given up like a PTE.
//!
//! *Where.* A page table lives as long as its space, so a span that ever had one is passed over.
//!
//! *What is refused.* To cut a large page: `munmap` and `mprotect` take whole ones; `mremap` takes none.
//!
//! *Flushing.* `invlpg` anywhere in a large page drops all of it (SDM vol. 3A, "Operations that Invalidate TLBs and
//! Paging-Structure Caches"), so one that goes is flushed like a page.
//!
//! Left out: taking a large page apart, and swapping it out; shared memory stays in memory anyway.
//!
//! *Idea.* van Riel, January 2002, against page tables that fill low memory.

use super::address_space::{AddressSpace, user_bits};
use super::area::{Area, MapError, Protection, Sharing};
use super::fault::{self, Access};
use super::flush::Scope;
use super::frame;
use super::page::{Frame, PAGE_SIZE};
use super::page_table::{self as pt, Entry, Slot};
use super::swapped;
use crate::cmdline::options;
use crate::kmap;
use crate::kmap::axes::named;

named! {
    /// What shared memory is mapped by.
    ShmPages {
        /// Small pages, through page tables.
        Small "small",
        /// Large pages, as far as it is as long.
        Large "large",
    }
}

/// May there be large pages in user space?
#[inline]
pub fn wanted() -> bool {
    options().shm_pages == ShmPages::Large
}

/// Bytes of a large page.
pub fn span() -> u32 {
    pt::format().table_span()
}

impl AddressSpace {
    /// The PDE of a user address, if it maps a large page.
    pub(super) fn large(&self, address: u32) -> Option<Slot<'static>> {
        if !wanted() {
            return None;
        }
        pt::pde(self.root, address).filter(|pde| pde.read().has(pt::P | pt::PS))
    }

    /// Is the address in a large page that may be used so?
    #[cold]
    pub(super) fn large_allows(&self, address: u32, access: Access) -> bool {
        self.large(address).is_some_and(|pde| pde.read().has(access.needs()))
    }

    /// The PDEs that map large pages in `start..end`, with their addresses.
    fn large_pages(&self, start: u32, end: u32) -> impl Iterator<Item = (u32, Slot<'static>)> {
        let end = if wanted() { end } else { 0 };
        let spans = (start & !(span() - 1)..end).step_by(span() as usize);
        spans.filter_map(|address| Some((address, self.large(address)?)))
    }

    /// Maps `bytes` (whole pages, at least one large one) of new shared memory at or above `from`; returns the address.
    /// With the layout held.
    pub(super) fn map_large(&self, from: u32, bytes: u32) -> Result<u32, MapError> {
        let start = self.room_for_large(from, bytes)?;
        let middle = start + bytes / span() * span();
        let protection = Protection::ReadWrite;
        let large = Area { start, end: middle, protection, sharing: Sharing::Large };
        let rest = Area { start: middle, end: start + bytes, protection, sharing: Sharing::Shared };
        self.with_areas(|areas| {
            areas.insert(large)?;
            if rest.start < rest.end {
                areas.insert(rest).or_else(|error| areas.remove(large.start, large.end).and(Err(error)))?;
            }
            Ok(())
        })?;
        let made = self.populate_large(large).and_then(|()| self.populate(rest));
        match made {
            Ok(()) => Ok(start),
            Err(error) => self.remove(start, start + bytes).and(Err(error)),
        }
    }

    /// The lowest address at or above `from` where a large page may begin, `bytes` are free, and no page table is where
    /// the PDEs of large pages go.
    fn room_for_large(&self, from: u32, bytes: u32) -> Result<u32, MapError> {
        let mut at = from;
        loop {
            let start = at.checked_next_multiple_of(span()).ok_or(MapError::NoMemory)?;
            at = self.with_areas(|areas| areas.room(start, bytes))?;
            if at != start {
                continue;
            }
            match self.next_table(start, start + bytes / span() * span()) {
                None => return Ok(start),
                Some(taken) => at = pt::format().next_table(taken),
            }
        }
    }

    fn populate_large(&self, area: Area) -> Result<(), MapError> {
        for address in (area.start..area.end).step_by(span() as usize) {
            let first = zeroed_large().ok_or(MapError::NoMemory)?;
            let pde = pt::pde(self.root, address).ok_or(MapError::NoMemory)?;
            let _tables = self.tables.lock();
            pde.write(Entry::new(first, user_bits(area.protection) | pt::PS));
        }
        Ok(())
    }

    /// Takes the large pages of `start..end` away, which cuts none: PDE cleared, flushed, then the frames given up. With
    /// the layout held.
    pub(super) fn zap_large(&self, start: u32, end: u32) {
        for (address, pde) in self.large_pages(start, end) {
            let entry = pde.read();
            {
                let _tables = self.tables.lock();
                pde.write(Entry::NONE);
            }
            self.forget(&[entry], Scope::Page(address));
        }
    }

    /// Gives up the large pages of an area whose space nobody runs in any more.
    pub(super) fn release_large(&self, area: Area) {
        if !matches!(area.sharing, Sharing::Large) {
            return;
        }
        for (_, pde) in self.large_pages(area.start, area.end) {
            let entry = pde.read();
            pde.write(Entry::NONE);
            swapped::give_up(entry);
        }
    }

    /// Lets `child`, which has the area already, have its large pages too.
    pub(super) fn share_large(&self, child: &AddressSpace, area: Area) -> Option<()> {
        if !matches!(area.sharing, Sharing::Large) {
            return Some(());
        }
        for (address, pde) in self.large_pages(area.start, area.end) {
            pt::pde(child.root, address)?.write(swapped::share(pde.read(), 0));
        }
        Some(())
    }

    /// Gives the large pages of `start..end`, which cuts none, other rights. Returns how many have lost some, and the last
    /// of them.
    pub(super) fn protect_large(&self, start: u32, end: u32, protection: Protection) -> (u32, u32) {
        let (mut changed, mut last) = (0, start);
        for (address, pde) in self.large_pages(start, end) {
            let _tables = self.tables.lock();
            match protection {
                Protection::ReadWrite => pde.change(0, pt::RW | pt::D),
                Protection::ReadOnly if pde.read().has(pt::RW) => {
                    pde.change(pt::RW, 0);
                    (changed, last) = (changed + 1, address);
                }
                Protection::ReadOnly => {}
            }
        }
        (changed, last)
    }

    /// The frame behind an address in a large page that may be used so, and the one that stands for the large page, with
    /// an owner more.
    pub(super) fn pin_large(&self, address: u32, access: Access) -> Option<(Frame, Frame)> {
        let pde = self.large(address)?;
        let tables = self.tables.lock();
        let entry = pde.read();
        if tables.ended || !entry.has(access.needs() | pt::PS) {
            return None;
        }
        let first = entry.frame();
        first.page().get();
        Some((Frame(first.0 + address % span() / PAGE_SIZE), first))
    }
}

/// The frames of a large page, full of zeros.
fn zeroed_large() -> Option<Frame> {
    let first = frame::alloc_large(kmap::wanted_frames())?;
    (first.0..first.0 + frame::of_large_page()).for_each(|frame| fault::clear(Frame(frame)));
    Some(first)
}
