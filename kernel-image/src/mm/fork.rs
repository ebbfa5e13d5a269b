//! `fork` with copy-on-write: parent and child share every frame of private
//! areas, read-only, until one of them writes (`fault`). Frames of shared areas
//! stay writable in both.
//!
//! The parent's writable entries lose a right, so whatever TLB holds them must
//! forget them before either process runs in ring 3 (`shootdown`). The child's
//! root is new and is in no TLB.

use super::address_space::AddressSpace;
use super::area::{Area, Sharing};
use super::flush;
use super::page_table as pt;
use super::swapped;
use crate::ptemap::Role;
use crate::{rmap, shootdown};

/// A copy of the running process's address space `parent`, or `None` without memory.
pub fn fork(parent: &AddressSpace) -> Option<&'static AddressSpace> {
    let child = AddressSpace::new()?;
    rmap::forked(parent, child);
    let _layout = parent.change_layout();
    let shared = share(parent, child);
    shootdown::flush(parent, flush::Scope::Space);
    if shared.is_none() {
        child.remove_thread(0);
        return None;
    }
    Some(child)
}

/// Lets `child` have every area and frame of `parent`.
fn share(parent: &AddressSpace, child: &AddressSpace) -> Option<()> {
    let mut i = 0;
    while let Some(area) = parent.nth_area(i) {
        let sharing = match area.sharing {
            Sharing::Private(origin) => Sharing::Private(rmap::inherited(child, origin)?),
            other => other,
        };
        child.with_areas(|areas| areas.insert(Area { sharing, ..area })).ok()?;
        parent.share_large(child, area)?;
        let lost = if sharing.is_private() { pt::RW } else { 0 };
        let mut at = area.start;
        while let Some(address) = parent.next_table(at, area.end) {
            at = area.end.min(pt::format().next_table(address));
            child.make_table(address).ok()?;
            // Two tables at once: the child's, and within that the parent's.
            let table = child.lookup(address, Role::ForkChild)?;
            let Some(part) = parent.next_part(address, at, Role::ForkParent) else { continue };
            for (address, slot) in part.used() {
                // The parent's before the child's, the older space's before the younger one's.
                let _held = (parent.hold_tables(), child.hold_tables());
                let entry = slot.read();
                if entry.has(pt::P | pt::RW) && lost != 0 {
                    slot.change(lost, 0);
                }
                table.slot(address).write(swapped::share(entry, lost));
            }
        }
        i += 1;
    }
    Some(())
}
