//! Locks and cells that processors share.

mod aligned;
mod bootcell;
mod spin;

pub use aligned::Aligned;
pub use bootcell::BootCell;
pub use spin::{SpinGuard, SpinLock};
