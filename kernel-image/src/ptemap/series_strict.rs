//! `series-strict`: pools that have nothing in common, taken in one order.
//!
//! *Protocol.* That of `kmap/pools.rs` with three pools:
//!
//! | path         | first table | second table | page |
//! |--------------|-------------|--------------|------|
//! | fault        | PAGETABLE   |              | DEFAULT |
//! | fork, `mremap` | PAGETABLE2 | PAGETABLE   |      |
//!
//! Only DEFAULT looks at `page.virtual`: a table gets a slot of its own at each
//! kmap, of the pool that its path asks for.
//!
//! *Who waits for whom.* Holders of PAGETABLE2 for PAGETABLE, those of PAGETABLE
//! for DEFAULT, those of DEFAULT for nobody: what a copy that faults looks up, it
//! looks up by a slot of the processor (`Role::Look`).
//! *What can deadlock.* Nothing. The price: no table is ever found mapped, so
//! each kmap of one writes a PTE, and the cursor wraps that much sooner. With
//! `user-copy=fault` the order is gone: who copies holds DEFAULT and waits for PAGETABLE,
//! and for DEFAULT again to clear a page.
//!
//! *Idea.* As amended in the thread on pte-highmem, January 2002.

use super::{PteMap, Role, kmap};
use crate::kmap::pools::{Reuse, Series};
use crate::mm::Frame;

/// See the module.
pub struct SeriesStrict;

impl PteMap for SeriesStrict {
    const MAY_SLEEP: bool = true;

    fn map(frame: Frame, role: Role) -> u32 {
        let first = matches!(role, Role::ForkChild | Role::MoveFrom);
        kmap::map(frame, if first { Series::PageTable2 } else { Series::PageTable }, Reuse::Never)
    }

    fn unmap(frame: Frame, _: Role, address: u32) {
        kmap::unmap(frame, address);
    }
}
