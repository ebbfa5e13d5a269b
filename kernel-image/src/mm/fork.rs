//! `fork` with copy-on-write: parent and child share every frame, read-only,
//! until one of them writes (`fault`).
//!
//! The parent's writable entries lose a right, so its TLB must forget them
//! before either process runs in ring 3: one CR3 load here, and `stale` for the
//! processors that may keep the parent's CR3 lazily. The child's root is new
//! and is in no TLB.

use super::address_space::AddressSpace;
use super::page::PAGE_SIZE;
use super::page_table::{self as pt, Entry};
use super::{flush, kernel_space};

/// A copy of the running process's address space `parent`, or `None` without memory.
pub fn fork(parent: &AddressSpace) -> Option<&'static AddressSpace> {
    let child = AddressSpace::new()?;
    let shared = share(parent, child);
    parent.flush_here(flush::Scope::Space);
    if shared.is_none() {
        child.release();
        return None;
    }
    Some(child)
}

/// Lets `child` have every area and frame of `parent`.
fn share(parent: &AddressSpace, child: &AddressSpace) -> Option<()> {
    let mut i = 0;
    while let Some(area) = parent.nth_area(i) {
        child.map(area.start, area.end, area.protection).ok()?;
        let mut at = area.start;
        while let Some((address, slot)) = parent.next_present(at, area.end) {
            let to = kernel_space::user_slot(child.root(), address).ok()?;
            let entry = slot.read();
            if entry.has(pt::RW) {
                slot.change(pt::RW, 0);
            }
            entry.frame().page().get();
            to.write(Entry(entry.0 & !(pt::RW as u64)));
            at = address + PAGE_SIZE;
        }
        i += 1;
    }
    Some(())
}
