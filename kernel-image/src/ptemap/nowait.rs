//! `nowait`: the usual kmap if nobody has to wait for it, else an atomic one.
//!
//! *Protocol.*
//!
//! ```text
//!  map(t):     low table -> direct address
//!              a slot of the window as in `kmap`, if t has one or one is free (a wrap's flush is no wait for a task)
//!              none: as in `atomic`
//!  across(f):  unmap;  f(), which may sleep;  map
//! ```
//!
//! The caller does not know which of the two it got, so it may not sleep with
//! either.
//!
//! *Who waits for whom.* Nobody for a slot. *What can deadlock.* Nothing: a task
//! that sleeps for a page's slot holds no table.
//!
//! *Idea.* Named in the thread on pte-highmem, January 2002, against both: a
//! persistent slot is found mapped again, and no processor is held by it.

use super::atomic::Atomic;
use super::{PteMap, Role, kmap};
use crate::kmap::pools::{self, Reuse, Series, Wait};
use crate::memlayout::ATOMIC_BASE;
use crate::mm::{Frame, is_low};

/// See the module.
pub struct Nowait;

impl PteMap for Nowait {
    const MAY_SLEEP: bool = false;

    fn map(frame: Frame, role: Role) -> u32 {
        pools::map(frame, Series::Default, Reuse::Mapped, Wait::Never)
            .unwrap_or_else(|| Atomic::map(frame, role))
    }

    fn unmap(frame: Frame, role: Role, address: u32) {
        if !is_low(frame) && address >= ATOMIC_BASE {
            Atomic::unmap(frame, role, address);
        } else {
            kmap::unmap(frame, address);
        }
    }
}
