//! `lowmem`: page tables lie in low memory, and their address is a sum.
//!
//! *Who waits for whom.* Nobody. *What can deadlock.* Nothing. The price is low
//! memory: a process that touches a page of each of its 4 MiB (PAE: 2 MiB) takes
//! as many frames of it, and with enough processes there is none left while
//! HIGHMEM is empty (van Riel, January 2002).
//!
//! *Idea.* Linux before 2.5.

use super::{PteMap, Role};
use crate::memlayout;
use crate::mm::Frame;

/// See the module.
pub struct Lowmem;

impl PteMap for Lowmem {
    const MAY_SLEEP: bool = true;

    #[inline(always)]
    fn map(frame: Frame, _: Role) -> u32 {
        memlayout::direct(frame.phys() as u32) as u32
    }

    #[inline(always)]
    fn unmap(_: Frame, _: Role, _: u32) {}
}
