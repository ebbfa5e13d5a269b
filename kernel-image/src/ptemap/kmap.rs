//! `kmap`: page tables are mapped in the shared window, among the pages.
//!
//! *Protocol.* That of `kmap/pools.rs` with one pool. A table stays mapped while
//! a page is allocated and cleared (a fault) and while the other table is mapped
//! (fork, `mremap`).
//!
//! *Who waits for whom.* Holders of a slot sleep for a second one.
//! *What can deadlock.* Just that: with as many tasks between their first and
//! their second kmap as there are slots, nobody ever gives one back. A window of
//! 1024 slots hides it; 16 do not.
//!
//! *Idea.* The first form of pte-highmem (Arcangeli, January 2002), before its
//! deadlocks were found in the thread.

use super::{PteMap, Role};
use crate::kmap::pools::{self, Reuse, Series, Wait};
use crate::mm::{Frame, is_low};

/// See the module.
pub struct Kmap;

impl PteMap for Kmap {
    const MAY_SLEEP: bool = true;

    fn map(frame: Frame, _: Role) -> u32 {
        map(frame, Series::Default, Reuse::Mapped)
    }

    fn unmap(frame: Frame, _: Role, address: u32) {
        unmap(frame, address);
    }
}

/// An address of the window; the task sleeps until there is one.
pub(super) fn map(frame: Frame, series: Series, reuse: Reuse) -> u32 {
    match pools::map(frame, series, reuse, Wait::Sleep) {
        Some(address) => address,
        None => unreachable!("a task that may sleep gets a slot"),
    }
}

/// The end of an address that [`map`] has given.
pub(super) fn unmap(frame: Frame, address: u32) {
    if !is_low(frame) {
        pools::unmap(address);
    }
}
