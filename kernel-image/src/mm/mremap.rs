//! `mremap`: pages move to other addresses; their frames stay what they are.
//!
//! Each PTE is cleared before its value is written to the new place, and old
//! translations are shot down before the call returns and with it the new
//! address becomes known. No frame is freed, so a translation that survived would
//! show the right page at the wrong address, until the page is freed one day:
//! nothing would know of the old address then.
//!
//! What is in large pages cannot move (`large`). The area keeps its origin, by which its pages are found when they are to go (`rmap`).

use super::address_space::AddressSpace;
use super::area::{self, Area, MapError, Sharing};
use super::flush::Scope;
use super::page::PAGE_SIZE;
use super::page_table::{self as pt, Entry};
use crate::memlayout::mmap_base;
use crate::ptemap::Role;
use crate::{rmap, shootdown};

/// Moves the pages `start..start + old` (bytes), which lie in one area, to where `new` bytes are free; returns the new
/// address. What is more is new memory, what is less is given up. What is shared cannot grow.
pub fn mremap(space: &AddressSpace, start: u32, old: u32, new: u32) -> Result<u32, MapError> {
    let end = start.checked_add(old).ok_or(MapError::BadRange)?;
    area::check(start, end)?;
    if new == 0 || !new.is_multiple_of(PAGE_SIZE) {
        return Err(MapError::BadRange);
    }
    let _layout = space.change_layout();
    let area = space.area(start).filter(|a| end <= a.end && !matches!(a.sharing, Sharing::Large));
    let area = area.ok_or(MapError::BadRange)?;
    if !area.sharing.is_private() && new > old {
        return Err(MapError::BadRange);
    }
    let kept = old.min(new);
    let to = space.with_areas(|areas| areas.room(mmap_base(), new))?;
    // Page tables first: nothing may go wrong once pages move.
    let mut at = to;
    while at < to + kept {
        space.make_table(at).map_err(|_| MapError::NoMemory)?;
        at = pt::format().next_table(at);
    }
    space.with_areas(|areas| {
        areas.insert(Area { start: to, end: to + new, ..area.from(start) })?;
        areas.remove(start, end).inspect_err(|_| {
            // It had just been put in: it can be taken out.
            let _ = areas.remove(to, to + new);
        })
    })?;
    rmap::moved(space);
    move_pages(space, start, to, kept);
    space.zap_all(start + kept, end);
    Ok(to)
}

/// Moves the PTEs of `bytes` and has the old translations forgotten.
fn move_pages(space: &AddressSpace, from: u32, to: u32, bytes: u32) {
    let (mut moved, mut last, mut at) = (0, from, from);
    while at < from + bytes {
        // As far as the pages go to one table.
        let target = to + (at - from);
        let end = (from + bytes).min(at.saturating_add(pt::format().next_table(target) - target));
        let Some(part) = space.next_part(at, end, Role::MoveFrom) else {
            at = end;
            continue;
        };
        if let Some(table) = space.lookup(target, Role::MoveTo) {
            for (address, slot) in part.used() {
                space.move_entry(slot, table.slot(to + (address - from)));
                (moved, last) = (moved + 1, address);
            }
        }
        at = part.end;
    }
    match moved {
        0 => {}
        1 => shootdown::flush(space, Scope::Page(last)),
        _ => shootdown::flush(space, Scope::Space),
    }
}

impl AddressSpace {
    fn move_entry(&self, from: pt::Slot<'_>, to: pt::Slot<'_>) {
        let _tables = self.tables.lock();
        let entry = from.read();
        from.write(Entry::NONE);
        to.write(entry);
    }
}
