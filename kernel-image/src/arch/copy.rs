//! Copies that may fault at a user address. The code is in `copy.s`; the page
//! fault asks here whether it was interrupted in one of them, as Linux asks its
//! table of exceptions, and goes on behind the copy if the address cannot be
//! had.
//!
//! | function   | the user address has no page             | it may not be used so |
//! |------------|------------------------------------------|-----------------------|
//! | [`there`]  | the copy is given up; nobody sleeps       | given up              |
//! | [`repair`] | as for ring 3: it gets one, which may sleep | given up           |

use core::arch::global_asm;

global_asm!(include_str!("copy.s"));

unsafe extern "C" {
    fn copy_if_there(to: *mut u8, from: *const u8, bytes: u32) -> u32;
    static copy_if_there_end: u8;
    fn copy_and_repair(to: *mut u8, from: *const u8, bytes: u32) -> u32;
    static copy_and_repair_end: u8;
}

/// A copy was given up; part of it may have been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp;

/// Copies, if all pages of the user range are there.
///
/// # Safety
/// One range has to be mapped kernel memory that is the caller's, the other below `memlayout::user_end`.
pub unsafe fn there(to: *mut u8, from: *const u8, bytes: u32) -> Result<(), GivenUp> {
    // SAFETY: promised by the caller; a fault at the user's address ends the copy.
    outcome(unsafe { copy_if_there(to, from, bytes) })
}

/// Copies; faults at the user range are repaired as those of ring 3. The caller may sleep.
///
/// # Safety
/// As for [`there`].
pub unsafe fn repair(to: *mut u8, from: *const u8, bytes: u32) -> Result<(), GivenUp> {
    // SAFETY: promised by the caller; a fault at the user's address is repaired or ends the copy.
    outcome(unsafe { copy_and_repair(to, from, bytes) })
}

fn outcome(given_up: u32) -> Result<(), GivenUp> {
    if given_up == 0 { Ok(()) } else { Err(GivenUp) }
}

/// Where the code goes on that was interrupted at `eip` by a fault that may not be repaired, if that is known.
pub fn without_repair(eip: u32) -> Option<u32> {
    behind(eip, copy_if_there as *const () as u32, &raw const copy_if_there_end as u32)
}

/// The same for a fault that could not be repaired.
pub fn after_failure(eip: u32) -> Option<u32> {
    behind(eip, copy_and_repair as *const () as u32, &raw const copy_and_repair_end as u32)
}

fn behind(eip: u32, begin: u32, end: u32) -> Option<u32> {
    (begin..end).contains(&eip).then_some(end)
}
