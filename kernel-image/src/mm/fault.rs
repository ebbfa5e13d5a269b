//! Page faults: demand zero and copy-on-write.
//!
//! A fault has already dropped the TLB entries of its address on this
//! processor (SDM vol. 3A, "Invalidation of TLBs and Paging-Structure Caches"),
//! so making an entry present needs no flush: what is not present is in no TLB.
//! Giving the address *another* frame does: between the fault and the PTE write
//! the processor may have filled the old entry again, and reads through it
//! would see the other process's frame. Making an entry writable with the same
//! frame would be safe without, at the price of spurious faults; it flushes as
//! well (as 2.4 did), so that kernel code that must not fault can rely on it.
//!
//! Frames are cleared and copied through the strategy's own kmap. A copy
//! needs two kmaps at a time; `kmap::map_pair` sees to it that holders of one
//! who wait for a second cannot use up the window.

use super::address_space::{AddressSpace, Protection, user_bits};
use super::page::{Frame, PAGE_SIZE};
use super::page_table::Entry;
use super::{flush, frame, kernel_space, page_table as pt};
use crate::{kmap, memlayout, sched};

/// The error code's bits (SDM vol. 3A, "Interrupt 14").
const WRITE: u32 = 1 << 1;

/// What the address was to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load or an instruction fetch.
    Read,
    /// A store.
    Write,
}

/// Why a fault could not be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not an address that the process may use so.
    BadAddress,
    /// No frame or page table was left.
    NoMemory,
}

/// Repairs a page fault at `address` with the processor's error code, or says why not.
///
/// In task context with interrupts as the faulting code had them; may sleep in a kmap, so only
/// code that may sleep may touch user memory that has not been checked with `user::prefault`.
pub fn handle(address: u32, error: u32) -> Result<(), Fault> {
    let access = if error & WRITE != 0 { Access::Write } else { Access::Read };
    let space = sched::current().mm.get().ok_or(Fault::BadAddress)?;
    make_usable(space, address, access)
}

/// Sees to it that the running process can access `address` in this way.
pub fn make_usable(space: &AddressSpace, address: u32, access: Access) -> Result<(), Fault> {
    if address >= memlayout::user_end() {
        return Err(Fault::BadAddress);
    }
    let area = space.area(address).ok_or(Fault::BadAddress)?;
    if access == Access::Write && area.protection == Protection::ReadOnly {
        return Err(Fault::BadAddress);
    }
    let slot = kernel_space::user_slot(space.root(), address).map_err(|_| Fault::NoMemory)?;
    let entry = slot.read();
    if !entry.present() {
        let frame = zeroed_frame().ok_or(Fault::NoMemory)?;
        slot.write(Entry::new(frame, user_bits(area.protection)));
    } else if access == Access::Write && !entry.has(pt::RW) {
        unshare(space, address, slot, entry.frame())?;
    }
    // Else the entry allows it already.
    Ok(())
}

/// Gives the process a frame of its own in place of `shared`.
fn unshare(space: &AddressSpace, address: u32, slot: pt::Slot, shared: Frame) -> Result<(), Fault> {
    if shared.page().count() == 1 {
        // Everybody else has copied or ended: nobody can become an owner but through this process.
        slot.change(0, pt::RW | pt::D);
        space.flush_here(flush::Scope::Page(address));
        return Ok(());
    }
    let own = frame::alloc(kmap::wanted_frames()).ok_or(Fault::NoMemory)?;
    let (from, to) = kmap::map_pair(shared, own);
    // SAFETY: two different frames, each mapped for one page, `own` known to nobody else.
    unsafe {
        let (from, to) = (from.address() as *const u32, to.address() as *mut u32);
        core::ptr::copy_nonoverlapping(from, to, PAGE_SIZE as usize / 4);
    }
    kmap::unmap_pair(from, to);
    slot.write(Entry::new(own, user_bits(Protection::ReadWrite)));
    space.flush_here(flush::Scope::Page(address));
    frame::put(shared);
    Ok(())
}

/// A frame full of zeros for user memory or a file.
pub fn zeroed_frame() -> Option<Frame> {
    let frame = frame::alloc(kmap::wanted_frames())?;
    let mapping = kmap::map(frame, kmap::Use::Clear);
    // SAFETY: the frame is this function's alone and mapped for one page.
    unsafe { (mapping.address() as *mut u32).write_bytes(0, PAGE_SIZE as usize / 4) };
    kmap::unmap(mapping);
    Some(frame)
}
