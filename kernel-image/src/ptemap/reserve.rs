//! `reserve`: one pool, of which a task takes all that it may need at once.
//!
//! *Protocol.* That of `kmap/pools.rs` with its reserve: a task's first kmap, of
//! a page or of a table, takes `MAX_NR_TASK_KMAPS` slots (`reserve=`: 3, or 2) or sleeps
//! with none.
//!
//! *Who waits for whom.* Who holds no slot for who holds some.
//! *What can deadlock.* Nothing, as long as no path holds more than are reserved.
//! The longest holds two, a table and a page or two tables; with `user-copy=fault`
//! three, a page of a file, a table and a page to be cleared, and two do not do.
//! The price: slots that nobody uses.
//!
//! *Idea.* Dickins and Arcangeli, January 2002; two should do, said Dickins.

use super::{PteMap, Role, kmap};
use crate::kmap::pools::{Reuse, Series};
use crate::mm::Frame;

/// See the module.
pub struct Reserve;

impl PteMap for Reserve {
    const MAY_SLEEP: bool = true;

    fn map(frame: Frame, _: Role) -> u32 {
        kmap::map(frame, Series::Default, Reuse::Mapped)
    }

    fn unmap(frame: Frame, _: Role, address: u32) {
        kmap::unmap(frame, address);
    }
}
