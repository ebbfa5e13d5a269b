//! Memory that a load maps, moves and gives back itself.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shootdown_abi::syscall;

use crate::pattern::WORDS;
use crate::sys::{self, PAGE, Result};

/// Memory of its own, all zero at first. It is not given back by itself.
pub struct Region {
    address: u32,
    pages: u32,
}

impl Region {
    /// New shared memory of that many pages.
    pub fn shared(pages: u32) -> Result<Region> {
        Ok(Region { address: sys::map(pages, syscall::SHARED)?, pages })
    }

    /// New private memory of that many pages.
    pub fn new(pages: u32) -> Result<Region> {
        Ok(Region { address: sys::map(pages, syscall::PRIVATE)?, pages })
    }

    /// Pages `first..first + pages` of a file, of which nobody else writes the same words meanwhile.
    pub fn of_file(file: u32, first: u32, pages: u32) -> Result<Region> {
        Ok(Region { address: sys::map_file(file, first, pages)?, pages })
    }

    /// The same after a fork: the memory at the address that the parent had it at, which nobody else uses here.
    pub fn at(address: u32, pages: u32) -> Region {
        Region { address, pages }
    }

    /// Where it is.
    pub fn address(&self) -> u32 {
        self.address
    }

    /// How many pages it has.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Words `first..first + count` of a page; both within the region.
    pub fn words(&mut self, page: u32, first: u32, count: u32) -> &mut [u32] {
        assert!(page < self.pages && first + count <= WORDS, "a place outside the region");
        let place = self.address + page * PAGE + first * 4;
        // SAFETY: the kernel gave this range to this region alone, which is borrowed as long.
        unsafe { core::slice::from_raw_parts_mut(place as *mut u32, count as usize) }
    }

    /// Copies words `first..` of a page, which may become zero meanwhile.
    pub fn copy(&self, page: u32, first: u32, into: &mut [u32]) {
        assert!(
            page < self.pages && first as usize + into.len() <= WORDS as usize,
            "a place outside the region"
        );
        let place = (self.address + page * PAGE + first * 4) as *const u32;
        for (i, word) in into.iter_mut().enumerate() {
            // SAFETY: within the region, whose owner does not write while others have it. Volatile: the kernel may empty it.
            *word = unsafe { place.add(i).read_volatile() };
        }
    }

    /// Gives it back.
    pub fn unmap(self) -> Result<()> {
        sys::unmap(self.address, self.pages)
    }

    /// May it be written?
    pub fn protect(&mut self, protection: u32) -> Result<()> {
        sys::protect(self.address, self.pages, protection)
    }

    /// Moves it to another address.
    pub fn relocate(&mut self) -> Result<()> {
        self.address = sys::remap(self.address, self.pages, self.pages)?;
        Ok(())
    }
}

/// Private memory of its own in chunks, each of which can be moved by itself.
pub struct Chunks {
    /// Where they are.
    places: &'static mut [u32],
    /// Pages of each.
    pages: u32,
}

impl Chunks {
    /// New memory of as many chunks of `pages` as there are words for their places.
    pub fn new(pages: u32, places: &'static mut [u32]) -> Result<Chunks> {
        let mut at = Region::new(places.len() as u32 * pages)?.address();
        for place in &mut *places {
            *place = at;
            at += pages * PAGE;
        }
        Ok(Chunks { places, pages })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.places.len() as u32
    }

    /// Words `first..first + count` of a page, counted over all chunks; both within them.
    pub fn words(&mut self, page: u32, first: u32, count: u32) -> &mut [u32] {
        assert!(first + count <= WORDS, "a place outside the page");
        let place = self.places[(page / self.pages) as usize] + page % self.pages * PAGE + first * 4;
        // SAFETY: the kernel gave this range to these chunks alone, which are borrowed as long.
        unsafe { core::slice::from_raw_parts_mut(place as *mut u32, count as usize) }
    }

    /// Moves one of them to another address.
    pub fn relocate(&mut self, chunk: u32) -> Result<()> {
        let place = &mut self.places[chunk as usize];
        *place = sys::remap(*place, self.pages, self.pages)?;
        Ok(())
    }
}

/// Memory that all processes see which are forked after it was made.
#[derive(Clone, Copy)]
pub struct Shared(&'static [AtomicU32]);

impl Shared {
    /// New memory of that many pages.
    pub fn new(pages: u32) -> Result<Shared> {
        let address = sys::map(pages, syscall::SHARED)?;
        // SAFETY: the kernel gave us this range, zeroed, page aligned, for good; it is only used by atomic accesses.
        Ok(Shared(unsafe {
            core::slice::from_raw_parts(address as *const AtomicU32, (pages * WORDS) as usize)
        }))
    }

    fn words(&self, page: u32, first: u32, count: usize) -> &[AtomicU32] {
        let at = (page * WORDS + first) as usize;
        &self.0[at..at + count]
    }

    /// Copies words `first..` of a page.
    pub fn read(&self, page: u32, first: u32, into: &mut [u32]) {
        let from = self.words(page, first, into.len());
        for (to, from) in into.iter_mut().zip(from) {
            *to = from.load(Relaxed);
        }
    }

    /// Writes words `first..` of a page.
    pub fn write(&self, page: u32, first: u32, from: &[u32]) {
        for (to, from) in self.words(page, first, from.len()).iter().zip(from) {
            to.store(*from, Relaxed);
        }
    }
}
