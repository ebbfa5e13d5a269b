//! What reclaim and the swap device mean for the PTEs of a space: they change
//! while nobody of the space looks. Every change of a present entry is made
//! under the lock of the tables, and an entry that is not present and not
//! nothing names a page of the device.

use super::address_space::AddressSpace;
use super::area::Origin;
use super::fault::Access;
use super::page::{Frame, PAGE_SIZE};
use super::page_table::{self as pt, Entry};
use super::swap::{self, Place};
use super::{frame, page_cache};
use crate::ptemap::Role;
use crate::sync::SpinGuard;

use super::address_space::Guarded;

/// What a search in a space has met.
#[derive(Clone, Copy)]
pub struct Mapped {
    /// Where.
    pub address: u32,
    /// Whether the processor has used it since the last search.
    pub accessed: bool,
}

impl AddressSpace {
    /// The lock of the tables, if PTEs may change without the running task or another thread doing it.
    pub(super) fn hold_tables(&self) -> Option<SpinGuard<'_, Guarded>> {
        swap::is_on().then(|| self.tables.lock())
    }

    /// Looks for the PTE that maps `frame` in `from..end`, and clears its accessed bit; counts PTEs looked at.
    pub fn find(&self, frame: Frame, from: u32, end: u32, visited: &mut u32) -> Option<Mapped> {
        let mut at = from;
        while let Some(part) = self.next_part(at, end, Role::Reclaim) {
            let tables = self.tables.lock();
            if tables.ended {
                return None;
            }
            for (address, slot) in part.used() {
                *visited += 1;
                let entry = slot.read();
                if entry.present() && entry.frame() == frame {
                    let accessed = entry.has(pt::A);
                    if accessed {
                        slot.change(pt::A, 0);
                    }
                    return Some(Mapped { address, accessed });
                }
            }
            at = part.end;
        }
        None
    }

    /// Looks for it in all private areas.
    pub fn find_anywhere(&self, frame: Frame, visited: &mut u32) -> Option<Mapped> {
        let mut i = 0;
        while let Some(area) = self.nth_area(i) {
            if area.sharing.is_private()
                && let Some(mapped) = self.find(frame, area.start, area.end, visited)
            {
                return Some(mapped);
            }
            i += 1;
        }
        None
    }

    /// Looks for it at the addresses that memory from there has here.
    pub fn find_from(&self, frame: Frame, origin: Origin, visited: &mut u32) -> Option<Mapped> {
        let mut from = 0;
        while let Some(address) = self.with_areas(|areas| areas.address_of(origin, from)) {
            if let Some(mapped) = self.find(frame, address, address + PAGE_SIZE, visited) {
                return Some(mapped);
            }
            from = address + PAGE_SIZE;
        }
        None
    }

    /// Does `address` of a private area stand for `frame`?
    pub fn maps(&self, frame: Frame, address: u32) -> bool {
        let Some(table) = self.lookup(address, Role::Reclaim) else { return false };
        let tables = self.tables.lock();
        let entry = table.slot(address).read();
        let stands = !tables.ended && entry.present() && entry.frame() == frame;
        drop(tables);
        stands && self.area(address).is_some_and(|area| area.sharing.is_private())
    }

    /// Lets the PTE of `address` name a page of the device, if it maps `frame` and nobody relies on that. The caller
    /// flushes, and gives up the owner of the frame that the PTE was.
    pub fn swap_out(&self, address: u32, frame: Frame, place: Place) -> bool {
        let Some(table) = self.lookup(address, Role::Reclaim) else { return false };
        let slot = table.slot(address);
        let tables = self.tables.lock();
        let entry = slot.read();
        let fits = entry.present() && entry.frame() == frame && !tables.ended && !frame.page().is_pinned();
        if fits {
            swap::get(place);
            slot.write(Entry::swapped(place));
        }
        fits
    }

    /// The page of the device that a PTE names, with an owner more: else it could be given to others and come back to
    /// this very PTE, with other content, while it is read.
    pub(super) fn hold_swapped(&self, slot: pt::Slot<'_>) -> Option<Place> {
        let _tables = self.hold_tables()?;
        let place = slot.read().place()?;
        swap::get(place);
        Some(place)
    }

    /// The frame behind `address`, which the running task may use so, kept where it is; none if it is not there.
    pub(super) fn pin_for_use(&self, address: u32, access: Access) -> Option<Frame> {
        if let Some((_, first)) = self.pin_large(address, access) {
            first.page().pin();
            return Some(first);
        }
        let table = self.lookup(address, Role::Only)?;
        let slot = table.slot(address);
        let _tables = self.tables.lock();
        let entry = slot.read();
        if !entry.has(access.needs()) {
            return None;
        }
        let page = entry.frame().page();
        page.get();
        page.pin();
        Some(entry.frame())
    }
}

/// What a child of fork gets for an entry of its parent, without the rights `lost`: an owner more of what it stands for.
/// With the tables of both held.
pub(super) fn share(entry: Entry, lost: u32) -> Entry {
    match entry.place() {
        Some(place) => {
            swap::get(place);
            entry
        }
        None => {
            entry.frame().page().get();
            Entry(entry.0 & !u64::from(lost))
        }
    }
}

/// Ends what [`AddressSpace::pin_for_use`] began.
pub(super) fn unpin(frame: Frame) {
    frame.page().unpin();
    frame::put(frame);
}

/// An entry that is in no table and no TLB any more: its frame or its page of the device loses an owner.
pub(super) fn give_up(entry: Entry) {
    if entry.present() {
        if entry.has(pt::RW) {
            page_cache::was_writable(entry.frame());
        }
        frame::put(entry.frame());
    } else if let Some(place) = entry.place() {
        swap::put(place);
    }
}
