//! `mprotect`: other rights for pages that are there.
//!
//! Rights are taken from the PTEs at once, and translations that have more are
//! shot down before the call returns. Rights are given to the area only, and to
//! the PTEs of shared ones: a private page may still be another process's too,
//! so its next write faults and finds out (`fault`). A translation with less
//! rights than its PTE is harmless: the fault that it leads to drops it.

use super::address_space::AddressSpace;
use super::area::{self, MapError, Protection};
use super::flush::Scope;
use super::{page_cache, page_table as pt};
use crate::ptemap::Role;
use crate::shootdown;

/// Gives the pages `start..end` of the running process these rights. All of them have to be in areas.
pub fn protect(space: &AddressSpace, start: u32, end: u32, protection: Protection) -> Result<(), MapError> {
    area::check(start, end)?;
    let _layout = space.change_layout();
    space.check_edges(start, end)?;
    space.with_areas(|areas| areas.protect(start, end, protection))?;
    let (mut changed, mut last) = space.protect_large(start, end, protection);
    let mut at = start;
    while let Some(part) = space.next_part(at, end, Role::Only) {
        for (address, slot) in part.used() {
            let shared = || space.area(address).is_some_and(|area| !area.sharing.is_private());
            let _held = space.hold_tables();
            match protection {
                Protection::ReadOnly if slot.read().has(pt::P | pt::RW) => {
                    slot.change(pt::RW, 0);
                    page_cache::was_writable(slot.read().frame());
                    (changed, last) = (changed + 1, address);
                }
                Protection::ReadWrite if shared() => slot.change(0, pt::RW | pt::D),
                _ => {}
            }
        }
        at = part.end;
    }
    match changed {
        0 => {}
        1 => shootdown::flush(space, Scope::Page(last)),
        _ => shootdown::flush(space, Scope::Space),
    }
    Ok(())
}
