//! `none`: `batched` without its flush. The control: it is wrong, and every
//! test for stale uses must catch it.
//!
//! *Protocol.* For file pages that of `batched`, line by line, but nothing is
//! invalidated at the wrap or anywhere else.
//! *Who waits for whom.* As in `batched`; the wrap waits for nobody.
//! *What may stay stale.* Everything, until the TLB happens to evict it.
//! *Invariants.* Of B1 only "the PTE is not present" is left.
//!
//! *Departure.* The kernel's own clearing and copying of new pages goes through
//! the slots of `atomic`. Else a stale slot would clear somebody's stack or
//! program, and the machine would die before a workload could say that the
//! data of its files are wrong. Slots of the window only ever map file pages,
//! so what is spoilt are files.
//!
//! *Idea.* Nobody's.

use super::atomic::Atomic;
use super::{Kmap, Use, batched, pool};
use crate::mm::Frame;

/// See the module.
pub struct NoInvalidation;

impl Kmap for NoInvalidation {
    fn init(slots: usize) {
        pool::init(slots);
    }

    fn map(frame: Frame, usage: Use) -> u32 {
        match usage {
            Use::File => pool::kmap(frame, |pool| batched::next(pool, || ())),
            Use::Clear | Use::CopyFrom | Use::CopyTo => Atomic::map(frame, usage),
        }
    }

    fn unmap(frame: Frame, usage: Use) {
        match usage {
            Use::File => pool::kunmap(frame, |_, _| ()),
            Use::Clear | Use::CopyFrom | Use::CopyTo => Atomic::unmap(frame, usage),
        }
    }
}
