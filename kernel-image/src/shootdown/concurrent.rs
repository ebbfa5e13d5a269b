//! `concurrent`: the initiator flushes itself while the interrupts are on their way.
//!
//! *Protocol.* As `ipi-sync`, with the initiator's own flush between sending
//! the interrupts and waiting for the acknowledgements, where it costs nothing
//! as long as the others take longer.
//!
//! *Who waits for whom.* As `ipi-sync`.
//!
//! *What may stay stale, until when.* As `ipi-sync`; the initiator's own
//! entries live a little longer, but it runs nothing else meanwhile.
//!
//! *Idea.* Amit, Tai and Wei, "Don't shoot down TLB shootdowns!" (EuroSys
//! 2020); Linux from 5.13 on ("flush remote and local TLBs concurrently").

use super::{Request, Shootdown};
use crate::mm::AddressSpace;
use crate::mm::flush::{self, Scope, To};

/// See the module.
pub struct Concurrent;

impl Shootdown for Concurrent {
    fn flush(space: &AddressSpace, scope: Scope) {
        let others = space.loaded_elsewhere();
        if others == 0 {
            scope.drop_here();
        } else {
            flush::ask(To::Each(others), &Request::new(space, scope), || scope.drop_here());
        }
    }
}
