//! Access to the running process's memory from kernel code.
//!
//! A page of user memory is made usable *before* it is touched, and stays so
//! until the caller has done: nothing is swapped out, and another thread that
//! wants to take it away waits (`AddressSpace::keep_layout`). So a copy cannot
//! fault but for a translation that is behind, which is repaired without
//! sleeping, and no kmap is ever asked for while another is held: the deadlock
//! of "a copy to user space that faults while a page is mapped" does not arise here.

use super::fault::{self, Access, Fault};
use super::page::PAGE_SIZE;
use crate::memlayout;
use crate::sched::{self, ReadGuard};

/// User memory that stays usable until this is dropped.
#[must_use]
pub struct Usable(#[allow(dead_code, reason = "it is held, not looked at")] Option<ReadGuard<'static>>);

/// Makes `len` bytes at `address` usable, or says why they are not. The caller has nothing else made usable.
pub fn prefault(address: u32, len: u32, access: Access) -> Result<Usable, Fault> {
    let end = address.checked_add(len).ok_or(Fault::BadAddress)?;
    if end > memlayout::user_end() {
        return Err(Fault::BadAddress);
    }
    let space = sched::current().mm.get().ok_or(Fault::BadAddress)?;
    let layout = space.keep_layout();
    let mut at = address & !(PAGE_SIZE - 1);
    while at < end {
        fault::make_usable(space, at, access)?;
        at += PAGE_SIZE;
    }
    Ok(Usable(layout))
}

/// Copies from the process into `to`.
pub fn copy_in(to: &mut [u8], address: u32) -> Result<(), Fault> {
    let _usable = prefault(address, to.len() as u32, Access::Read)?;
    // SAFETY: `prefault` checked that the range is user memory that can be read.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, to.as_mut_ptr(), to.len()) };
    Ok(())
}
