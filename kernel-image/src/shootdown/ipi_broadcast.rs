//! `ipi-broadcast`: every other processor is interrupted and flushes, whatever it runs.
//!
//! *Protocol.* As `ipi-sync`, but one ICR write ("all excluding self") instead
//! of one for each target, and no mask is looked at, neither by the initiator
//! nor by the targets: a processor that has another space loaded loses its
//! translations for nothing.
//!
//! *Who waits for whom.* The initiator for all processors that are online.
//!
//! *What may stay stale, until when.* As `ipi-sync`.
//!
//! *Idea.* `smp_flush_tlb` of Linux 2.0 and 2.2, from before `cpu_vm_mask` was
//! used. One message is what it has in its favour, on a machine whose
//! interrupts leave the sender one after the other.

use super::{Request, Shootdown};
use crate::mm::AddressSpace;
use crate::mm::flush::{self, Scope, To};

/// See the module.
pub struct IpiBroadcast;

impl Shootdown for IpiBroadcast {
    fn flush(space: &AddressSpace, scope: Scope) {
        scope.drop_here();
        flush::ask(To::AllOthers, &Request::new(space, scope), || ());
    }

    fn flush_other(space: &AddressSpace, scope: Scope) {
        flush::ask(To::AllOthers, &Request::new(space, scope), || ());
    }

    fn on_request(request: &Request, me: usize) {
        request.scope.drop_here();
        flush::acknowledge(me);
    }
}
