//! Access to the running process's memory from kernel code.
//!
//! A page of user memory is made usable *before* it is touched, and stays so
//! until the caller has done: reclaim leaves it alone (`AddressSpace::pin_for_use`),
//! and another thread that wants to take it away waits (`keep_layout`). So a copy cannot
//! fault but for a translation that is behind, which is repaired without
//! sleeping, and no kmap is ever asked for while another is held: the deadlock
//! of "a copy to user space that faults while a page is mapped" does not arise here.

use super::fault::{self, Access, Fault};
use super::page::{Frame, PAGE_SIZE};
use super::{swap, swapped};
use crate::memlayout;
use crate::sched::{self, ReadGuard};

/// User memory that stays usable until this is dropped.
#[must_use]
pub struct Usable {
    _layout: Option<ReadGuard<'static>>,
    /// Where there is a swap device: its frames. No system call takes more than a page at a time.
    pinned: [Option<Frame>; 2],
}

impl Drop for Usable {
    fn drop(&mut self) {
        self.pinned.iter().flatten().for_each(|&frame| swapped::unpin(frame));
    }
}

/// Makes `len` bytes at `address` usable, or says why they are not. The caller has nothing else made usable.
pub fn prefault(address: u32, len: u32, access: Access) -> Result<Usable, Fault> {
    let end = address.checked_add(len).ok_or(Fault::BadAddress)?;
    if end > memlayout::user_end() {
        return Err(Fault::BadAddress);
    }
    let space = sched::current().mm.get().ok_or(Fault::BadAddress)?;
    let mut usable = Usable { _layout: space.keep_layout(), pinned: [None; 2] };
    let first = address & !(PAGE_SIZE - 1);
    for (i, at) in (first..end).step_by(PAGE_SIZE as usize).enumerate() {
        fault::make_usable(space, at, access)?;
        if swap::is_on() {
            // Between the two it may have been taken away.
            while usable.pinned[i].is_none() {
                usable.pinned[i] = space.pin_for_use(at, access);
                if usable.pinned[i].is_none() {
                    fault::make_usable(space, at, access)?;
                }
            }
        }
    }
    Ok(usable)
}

/// Copies from the process into `to`.
pub fn copy_in(to: &mut [u8], address: u32) -> Result<(), Fault> {
    let _usable = prefault(address, to.len() as u32, Access::Read)?;
    // SAFETY: `prefault` checked that the range is user memory that can be read.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, to.as_mut_ptr(), to.len()) };
    Ok(())
}
