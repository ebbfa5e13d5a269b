//! Access to the running process's memory from kernel code.
//!
//! A page of user memory is made usable *before* it is touched, and stays so
//! until the caller has done: reclaim leaves it alone (`AddressSpace::pin_for_use`),
//! and another thread that wants to take it away waits (`keep_layout`). So a copy cannot
//! fault but for a translation that is behind, which is repaired without
//! sleeping, and no kmap is ever asked for while another is held: the deadlock
//! of "a copy to user space that faults while a page is mapped" does not arise.
//!
//! With `user-copy=fault` it does, where the page is one of a file: `read` and `write` map
//! the page first, and the copy takes its faults as they come (`arch::copy`), as
//! `file_read_actor` and `generic_file_write` of Linux 2.4. A fault may want a table, a
//! frame and a kmap to clear it, and sleep for each with the page in its hands.
//! Nothing is made usable or pinned, and the layout's lock is not held but by the fault itself:
//! another thread may take the memory away in the middle of the copy, which then ends with an error and
//! has copied a part (Linux tells how much; here it is not said). So schemes whose slots
//! forbid to sleep are refused, and a shared window is one of `kmap::pools`, whose book tells
//! who is stuck. There copies of pages on write go through the processor's slots, so
//! nobody needs the right to two (`kmap/pair.rs`), which would be no protection against
//! holders of one who want two more.
//!
//! `peek` and what the kernel copies to its own memory hold no page of a file, here and
//! there: `access_process_vm` goes through a buffer of the kernel's.

use core::ops::Range;

use super::fault::{self, Access, Fault};
use super::page::{Frame, PAGE_SIZE};
use super::{swap, swapped};
use crate::arch::copy::{self, GivenUp};
use crate::cmdline::options;
use crate::kmap::axes::named;
use crate::kmap::{self, Use};
use crate::memlayout;
use crate::sched::{self, ReadGuard};

named! {
    /// When the user's side of a copy is made usable, by the values of `user-copy=`.
    UserCopy {
        /// Before the page of the file is mapped.
        Before "before",
        /// By the faults of the copy, with that page mapped.
        Fault "fault",
    }
}

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

/// Does the process's side of a copy become usable only when the copy comes to it?
#[inline(always)]
pub fn copies_fault() -> bool {
    options().user_copy == UserCopy::Fault
}

/// Copies `bytes` of the page of a file in `frame` to the process's memory at `buffer`, which is written
/// (`Access::Write`), or from there; how many. What is not usable there becomes so while the page is mapped.
pub fn exchange(frame: Frame, bytes: Range<u32>, buffer: u32, access: Access) -> Result<u32, Fault> {
    let len = bytes.len() as u32;
    let end = buffer.checked_add(len).ok_or(Fault::BadAddress)?;
    if end > memlayout::user_end() {
        return Err(Fault::BadAddress);
    }
    let mapping = kmap::map(frame, Use::File);
    let page = (mapping.address() + bytes.start) as *mut u8;
    // SAFETY: the range lies in one mapped page, the buffer in the user half.
    let copied = unsafe {
        match access {
            Access::Write => copy::repair(buffer as *mut u8, page, len),
            Access::Read => copy::repair(page, buffer as *const u8, len),
        }
    };
    kmap::unmap(mapping);
    copied.map(|()| len).map_err(|GivenUp| Fault::BadAddress)
}

/// Copies from the process into `to`.
pub fn copy_in(to: &mut [u8], address: u32) -> Result<(), Fault> {
    let _usable = prefault(address, to.len() as u32, Access::Read)?;
    // SAFETY: `prefault` checked that the range is user memory that can be read.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, to.as_mut_ptr(), to.len()) };
    Ok(())
}
