//! `none`: `batched` without its flush. The control: it is wrong, and every
//! test for stale uses must catch it.
//!
//! *Protocol.* That of `batched`, line by line, but nothing is invalidated at
//! the wrap or anywhere else.
//! *Who waits for whom.* As in `batched`; the wrap waits for nobody.
//! *What may stay stale.* Everything, until the TLB happens to evict it.
//! *Invariants.* Of B1 only "the PTE is not present" is left.
//! *Idea.* Nobody's.

use super::{Kmap, Use, batched};
use crate::mm::Frame;

/// See the module.
pub struct NoInvalidation;

impl Kmap for NoInvalidation {
    fn init(slots: usize) {
        batched::Batched::init(slots);
    }

    fn map(frame: Frame, _: Use) -> u32 {
        batched::kmap(frame, || ())
    }

    fn unmap(frame: Frame, _: Use) {
        batched::kunmap(frame);
    }
}
