//! `early-ack`: a target acknowledges when its handler begins, and flushes then.
//!
//! *Protocol.* As `ipi-sync`, but the target copies the request, clears its
//! bit, and only then flushes; interrupts stay off until it has.
//!
//! *Who waits for whom.* The initiator until every processor of the mask is in
//! its handler. It does not wait for their flushes.
//!
//! *What may stay stale, until when.* The target's entries outlive the
//! acknowledgement, and so the frame may be free and somebody else's while they
//! exist. Nothing uses them: until its flush the target runs only this
//! handler, which touches no user address. What a processor *does by itself*
//! with them is the limit: it may walk through a cached page-directory entry at
//! any moment, so no page table may be freed on the strength of an early
//! acknowledgement. Linux excludes exactly that case (`freed_tables`), and code
//! that touches user memory from an NMI; here tables live as long as the space,
//! and there are no NMI handlers.
//!
//! *Idea.* Amit, Tai and Wei, "Don't shoot down TLB shootdowns!" (EuroSys
//! 2020); Linux from 5.13 on for flushes that free no tables.

use super::{Request, Shootdown};
use crate::mm::AddressSpace;
use crate::mm::flush::{self, Scope, To};
use crate::mm::is_loaded;

/// See the module.
pub struct EarlyAck;

impl Shootdown for EarlyAck {
    fn flush(space: &AddressSpace, scope: Scope) {
        scope.drop_here();
        flush::ask(To::Each(space.loaded_elsewhere()), &Request::new(space, scope), || ());
    }

    fn on_request(request: &Request, me: usize) {
        flush::acknowledge(me);
        // The initiator may be gone: its space is only compared with.
        if is_loaded(me, request.space) {
            request.scope.drop_here();
        }
    }
}
