//! `scan`: nothing is kept; all page tables of all processes are gone through
//! until as many PTEs have been found as the page has owners.
//!
//! *Cost.* Nothing where pages are mapped. For a victim, half of all PTEs on average,
//! and all of them if an owner is none (a system call that relies on the page).
//!
//! *Who waits for whom.* Each table's PTEs are gone through under the lock of its
//! space: its threads' faults wait so long.
//!
//! *Idea.* None: what is left when nothing is kept. `swap_out` of Linux to 2.4
//! turns it round: it goes through page tables and takes what it meets there, from one
//! process, so that a shared page is free only when the hand has met all its owners.

use super::{Found, Rmap};
use crate::mm::{Frame, spaces};

/// See the module.
pub struct Scan;

impl Rmap for Scan {
    fn find(frame: Frame, found: &mut Found) {
        for space in spaces::each() {
            if found.is_complete() {
                break;
            }
            found.look(space, |space, visited| space.find_anywhere(frame, visited));
        }
    }
}
