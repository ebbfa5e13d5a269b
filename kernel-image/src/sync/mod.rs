//! Locks and cells that processors share.

mod aligned;
mod bootcell;
mod chosen;
mod spin;

use crate::arch::lock_kind;
use crate::cmdline::options;

pub use aligned::Aligned;
pub use bootcell::BootCell;
pub use chosen::{Chosen, LockKind};
pub use spin::{Kind, SpinGuard, SpinLock};

/// Obeys `lock=`. On the boot processor, on the boot page tables, which let code be written.
pub fn init() {
    if options().lock == LockKind::Ticket {
        lock_kind::set_ticket();
    }
}
