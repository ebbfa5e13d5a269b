//! `ipi-sync`: whoever has the address space loaded is interrupted, and waited for.
//!
//! ```text
//!  initiator                                  processors of the mask
//!  write PTEs
//!  flush here
//!  mask = loaded, without this one
//!  take the call lock, write the request
//!  one ICR write for each of the mask  --->   interrupt, flush if the space is loaded, clear the own bit
//!  wait until all bits are clear      <---
//!  give frames up
//! ```
//!
//! *Who waits for whom.* The initiator for every processor of the mask, those
//! too that are idle and only keep the space's CR3. A processor that has
//! interrupts off holds it up. Other initiators wait for the call lock, with
//! interrupts on, so they answer meanwhile.
//!
//! *What may stay stale, until when.* Between the write of a PTE and the
//! acknowledgement other threads may use the old translation: that is a race
//! in the program, and the frame is still theirs. After `flush` nothing is.
//!
//! *Idea.* `flush_tlb_others` of Linux 2.4 (i386), after Black, Rashid et al.,
//! "Translation Lookaside Buffer Consistency: A Software Approach" (1989), whose
//! Mach algorithm also stopped the targets. In 2.4 a lazy processor that is hit
//! leaves the space for good; here it flushes like the others, and `lazy` is a
//! scheme of its own.

use super::{Request, Shootdown};
use crate::mm::AddressSpace;
use crate::mm::flush::{self, Scope, To};

/// See the module.
pub struct IpiSync;

impl Shootdown for IpiSync {
    fn flush(space: &AddressSpace, scope: Scope) {
        scope.drop_here();
        flush::ask(To::Each(space.loaded_elsewhere()), &Request::new(space, scope), || ());
    }
}
