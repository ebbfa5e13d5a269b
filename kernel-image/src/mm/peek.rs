//! `peek`: a look into another process's memory, as `ptrace` has it
//! (`access_process_vm` of Linux 2.4): find the frame in its page tables, get an
//! owner more for it, map it, copy, give it back.
//!
//! The process goes on meanwhile. It may unmap the page: then the frame is freed
//! by whoever of the two is later. A page that it has never touched is not made
//! for the sake of a look; it reads as zeros.

use super::address_space::AddressSpace;
use super::fault::Fault;
use super::frame;
use super::page::Frame;

/// A frame with an owner more, given back when this is dropped.
pub struct Pinned(Frame);

impl Pinned {
    /// The frame.
    pub fn frame(&self) -> Frame {
        self.0
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        frame::put(self.0);
    }
}

/// The frame behind `address` of another process; none if the page was never touched.
pub fn pin(space: &AddressSpace, address: u32) -> Result<Option<Pinned>, Fault> {
    space.area(address).ok_or(Fault::BadAddress)?;
    let entry = space.lookup(address).and_then(|slot| space.pin(slot));
    Ok(entry.map(|entry| Pinned(entry.frame())))
}
