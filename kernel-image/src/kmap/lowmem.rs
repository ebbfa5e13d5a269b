//! `lowmem`: every page is in the direct map. The baseline.
//!
//! *Protocol.* None: the address of a page is a sum.
//! *Who waits for whom.* Nobody.
//! *What may stay stale.* Nothing: the direct map never changes.
//! *Invariant.* File and anonymous pages come from NORMAL and DMA only
//! (`wanted_frames`), so there is no page without a direct address; how many
//! pages there can be is what it costs.
//! *Idea.* Linux before 2.3.23, and a machine with less than a gigabyte since.

use super::{Kmap, Use, direct_address};
use crate::mm::Frame;

/// See the module.
pub struct Lowmem;

impl Kmap for Lowmem {
    fn map(frame: Frame, _: Use) -> u32 {
        direct_address(frame).expect("a page in HIGHMEM under kmap=lowmem")
    }

    fn unmap(_: Frame, _: Use) {}
}
