//! Locks and cells that processors share.

mod bootcell;
mod spin;

pub use bootcell::BootCell;
pub use spin::{SpinGuard, SpinLock};
