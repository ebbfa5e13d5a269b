//! `series`: the window is divided into pools, so that who holds a slot of one
//! waits for a slot of another: as posted.
//!
//! *Protocol.* That of `kmap/pools.rs` with three pools:
//!
//! | path     | first table | second table | page |
//! |----------|-------------|--------------|------|
//! | fault    | PAGETABLE   |              | DEFAULT |
//! | fork     | PAGETABLE (child) | PAGETABLE2 (parent) | |
//! | `mremap` | PAGETABLE   | PAGETABLE    |      |
//!
//! `page.virtual` is one for all pools: a page that has a slot keeps it,
//! whatever pool it is of.
//!
//! *Who waits for whom.* Meant: holders of PAGETABLE for DEFAULT and PAGETABLE2.
//! *What can deadlock.* Two things. `mremap` waits for PAGETABLE while it holds
//! it. And a frame that was a page and is a table now is found in DEFAULT, so a
//! fault may hold a slot of DEFAULT, in the place of one of PAGETABLE, and wait
//! for another.
//!
//! *Idea.* Arcangeli, pte-highmem-5, 22 January 2002.

use super::{PteMap, Role, kmap};
use crate::kmap::pools::{Reuse, Series as Pool};
use crate::mm::Frame;

/// See the module.
pub struct Series;

impl PteMap for Series {
    const MAY_SLEEP: bool = true;

    fn map(frame: Frame, role: Role) -> u32 {
        let pool = if role == Role::ForkParent { Pool::PageTable2 } else { Pool::PageTable };
        kmap::map(frame, pool, Reuse::Mapped)
    }

    fn unmap(frame: Frame, _: Role, address: u32) {
        kmap::unmap(frame, address);
    }
}
