//! The areas of an address space: which addresses a process may touch, and how.
//! `vm_area_struct` of Linux, as an array in order of address.

use super::page::PAGE_SIZE;
use crate::memlayout;
use crate::planted::{self, Fault};

/// What a process may do with an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Text and constants, and what `mprotect` made so.
    ReadOnly,
    /// Data, stack and mmap.
    ReadWrite,
}

/// Where private memory comes from: what its pages are found by when they are to go (`rmap`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What `rmap=` keeps the areas that may hold the same pages together by: the number of a list or a family; 0: nothing.
    pub group: u32,
    /// The address that the memory had when it was mapped. An area that is moved keeps it.
    pub home: u32,
}

/// What a fork makes of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Each process has its own: copied when written.
    Private(Origin),
    /// All see the same frames. They are there from the beginning, so that no process has to know where another one's
    /// page is that it has never touched.
    Shared,
    /// The same in large pages: the area is a number of them (`large`).
    Large,
    /// All see the pages of a file, which come on demand.
    File {
        /// The file.
        file: u32,
        /// The page of it that the area begins with.
        first: u32,
    },
}

impl Sharing {
    /// Private memory that is new: the address space says where it comes from.
    pub const NEW: Sharing = Sharing::Private(Origin { group: 0, home: 0 });

    /// The same for memory that is mapped at `start`.
    pub fn born(self, group: u32, start: u32) -> Sharing {
        match self {
            Sharing::Private(_) => Sharing::Private(Origin { group, home: start }),
            other => other,
        }
    }

    /// Has each process its own?
    pub fn is_private(self) -> bool {
        matches!(self, Sharing::Private(_))
    }
}

/// Pages `start..end` (addresses, page aligned) that the process may use.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// First address.
    pub start: u32,
    /// First address behind it.
    pub end: u32,
    /// Rights of ring 3.
    pub protection: Protection,
    /// Whose it is after a fork.
    pub sharing: Sharing,
}

impl Area {
    /// The file and the page of it that an address of the area stands for, if it is one of a mapped file.
    pub fn page_of_file(self, address: u32) -> Option<(u32, u32)> {
        match self.sharing {
            Sharing::File { file, first } => Some((file, first + (address - self.start) / PAGE_SIZE)),
            _ => None,
        }
    }

    /// Where the page at an address of a private area comes from.
    pub fn origin_of(self, address: u32) -> Option<Origin> {
        let Sharing::Private(Origin { group, home }) = self.sharing else { return None };
        let page = (address - self.start) & !(PAGE_SIZE - 1);
        Some(Origin { group, home: home.wrapping_add(page) })
    }

    /// The address that a page from there has in it, if it can be here.
    fn address_of(&self, page: Origin) -> Option<u32> {
        let Sharing::Private(own) = self.sharing else { return None };
        let offset = page.home.wrapping_sub(own.home);
        (own.group == page.group && offset < self.end - self.start).then_some(self.start + offset)
    }

    /// The part of it from `start` on, which lies in it.
    pub fn from(self, start: u32) -> Area {
        let sharing = match self.sharing {
            Sharing::File { file, first } => {
                Sharing::File { file, first: first + (start - self.start) / PAGE_SIZE }
            }
            Sharing::Private(origin) if !planted::is(Fault::RmapNotSplit) => {
                Sharing::Private(Origin { home: origin.home.wrapping_add(start - self.start), ..origin })
            }
            other => other,
        };
        Area { start, sharing, ..self }
    }
}

/// Why memory could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame, no page table or no place for another area.
    NoMemory,
    /// Not page aligned, empty, outside the user half, in use, or not in use; the edge of it in a large page.
    BadRange,
}

/// Whole pages of the user half, at least one?
pub fn check(start: u32, end: u32) -> Result<(), MapError> {
    if !(start | end).is_multiple_of(PAGE_SIZE) || start >= end || end > memlayout::user_end() {
        return Err(MapError::BadRange);
    }
    Ok(())
}

/// Most areas of one address space.
const AREAS: usize = 128;

/// The list.
pub struct Areas {
    count: usize,
    list: [Area; AREAS],
}

impl Areas {
    /// No address may be touched.
    pub const fn new() -> Areas {
        let empty = Area { start: 0, end: 0, protection: Protection::ReadOnly, sharing: Sharing::NEW };
        Areas { count: 0, list: [empty; AREAS] }
    }

    /// All of them, in order of address.
    pub fn all(&self) -> &[Area] {
        &self.list[..self.count]
    }

    /// The area that holds an address.
    #[inline]
    pub fn holding(&self, address: u32) -> Option<Area> {
        self.all().iter().find(|a| a.start <= address && address < a.end).copied()
    }

    /// The lowest address at or above `from` that a page of private memory may have.
    pub fn address_of(&self, page: Origin, from: u32) -> Option<u32> {
        self.all().iter().filter_map(|area| area.address_of(page)).find(|&address| address >= from)
    }

    /// Is there memory of this group?
    pub fn has_group(&self, group: u32) -> bool {
        self.all().iter().any(|a| matches!(a.sharing, Sharing::Private(origin) if origin.group == group))
    }

    /// The lowest address at or above `from` with `bytes` (whole pages) free from there.
    pub fn room(&self, from: u32, bytes: u32) -> Result<u32, MapError> {
        let mut start = from;
        for area in self.all() {
            if area.end > start && area.start < start.saturating_add(bytes) {
                start = area.end;
            }
        }
        match start.checked_add(bytes) {
            Some(end) if end <= memlayout::user_end() => Ok(start),
            _ => Err(MapError::NoMemory),
        }
    }

    /// Adds an area where there is none.
    pub fn insert(&mut self, new: Area) -> Result<(), MapError> {
        if self.count == AREAS {
            return Err(MapError::NoMemory);
        }
        if self.all().iter().any(|a| a.start < new.end && new.start < a.end) {
            return Err(MapError::BadRange);
        }
        let at = self.all().iter().position(|a| a.start > new.start).unwrap_or(self.count);
        self.list.copy_within(at..self.count, at + 1);
        self.list[at] = new;
        self.count += 1;
        Ok(())
    }

    fn delete(&mut self, i: usize) {
        self.list.copy_within(i + 1..self.count, i);
        self.count -= 1;
    }

    /// Is this address within a large page?
    pub fn cuts_large(&self, address: u32) -> bool {
        let area = self.holding(address);
        area.is_some_and(|a| a.sharing == Sharing::Large && !address.is_multiple_of(super::large::span()))
    }

    /// Cuts `start..end` out of whatever areas it meets.
    pub fn remove(&mut self, start: u32, end: u32) -> Result<(), MapError> {
        let mut i = 0;
        while i < self.count {
            let area = self.list[i];
            match (area.start < start, end < area.end) {
                _ if area.end <= start || end <= area.start => i += 1,
                (false, false) => self.delete(i),
                (true, false) => {
                    self.list[i].end = start;
                    i += 1;
                }
                (false, true) => {
                    self.list[i] = area.from(end);
                    i += 1;
                }
                (true, true) => {
                    if self.count == AREAS {
                        return Err(MapError::NoMemory);
                    }
                    self.list[i].end = start;
                    return self.insert(area.from(end));
                }
            }
        }
        Ok(())
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Gives `start..end`, of which every page has to be in an area, other rights.
    pub fn protect(&mut self, start: u32, end: u32, protection: Protection) -> Result<(), MapError> {
        let mut at = start;
        while at < end {
            at = self.holding(at).ok_or(MapError::BadRange)?.end;
        }
        // Two cuts at most, each of which makes one area of two.
        if self.count + 2 > AREAS {
            return Err(MapError::NoMemory);
        }
        self.cut(start);
        self.cut(end);
        let count = self.count;
        for area in &mut self.list[..count] {
            if start <= area.start && area.end <= end {
                area.protection = protection;
            }
        }
        Ok(())
    }

    /// Lets an area that goes across `address` end there and another one begin. There is room for it.
    fn cut(&mut self, address: u32) {
        if let Some(i) = self.all().iter().position(|a| a.start < address && address < a.end) {
            self.list.copy_within(i..self.count, i + 1);
            self.count += 1;
            self.list[i].end = address;
            self.list[i + 1] = self.list[i + 1].from(address);
        }
    }
}
