//! `peek`: a look into another process's memory, as `ptrace` has it
//! (`access_process_vm` of Linux 2.4): find the frame in its page tables, get an
//! owner more for it, map it, copy, give it back.
//!
//! The process goes on meanwhile. It may unmap the page: then the frame is freed
//! by whoever of the two is later. A page that it has never touched is not made
//! for the sake of a look; it reads as zeros, or as the page of the file that is mapped there.

use super::address_space::AddressSpace;
use super::fault::{Access, Fault};
use super::frame;
use super::page::Frame;
use super::{page_cache, swap};
use crate::ptemap::Role;

/// A frame with an owner more, given back when this is dropped.
pub struct Pinned {
    frame: Frame,
    /// The frame that has the owners: of a large page the first, else the same.
    owned: Frame,
}

impl Pinned {
    /// The frame.
    pub fn frame(&self) -> Frame {
        self.frame
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        frame::put(self.owned);
    }
}

impl From<Frame> for Pinned {
    fn from(frame: Frame) -> Pinned {
        Pinned { frame, owned: frame }
    }
}

/// The frame behind `address` of another process, or a new one with what is on the swap device for it; none if the page
/// was never touched and belongs to no file.
pub fn pin(space: &AddressSpace, address: u32) -> Result<Option<Pinned>, Fault> {
    let area = space.area(address).ok_or(Fault::BadAddress)?;
    if let Some((file, page)) = area.page_of_file(address) {
        return page_cache::owned(file, page).map(|frame| Some(frame.into())).map_err(|_| Fault::NoMemory);
    }
    if let Some((frame, owned)) = space.pin_large(address, Access::Read) {
        return Ok(Some(Pinned { frame, owned }));
    }
    let Some(mut table) = space.lookup(address, Role::Only) else { return Ok(None) };
    loop {
        if let Some(entry) = space.pin(table.slot(address)) {
            return Ok(Some(entry.frame().into()));
        }
        let Some(place) = space.hold_swapped(table.slot(address)) else {
            // Never touched, unless it came back just now.
            if table.slot(address).read().present() {
                continue;
            }
            return Ok(None);
        };
        let copy = table.across(|| swap::read(place));
        swap::put(place);
        return copy.map(|frame| Some(frame.into())).ok_or(Fault::NoMemory);
    }
}
