//! `lazy`: a processor that only borrows the space's page tables is not
//! interrupted, and flushes when it comes back to the space.
//!
//! *Protocol.*
//!
//! ```text
//!  initiator, for each processor c of the mask     processor c
//!  lazy(c)?  no -> c is interrupted                begins to run the kernel only: lazy(c) = 1
//!            yes -> stale |= c;  fence             comes back: lazy(c) = 0;  fence
//!                   lazy(c)?  no -> c is             c in stale -> clear it, load CR3
//!                                   interrupted
//! ```
//!
//! One of the two sees what the other has written (each writes, then reads,
//! with a fence between). So either c finds its mark before any user code
//! runs there, or the initiator sees it awake and interrupts it; both happen at
//! worst, and one flush was too many. The rest is `ipi-sync`.
//!
//! *Who waits for whom.* The initiator for those processors of the mask that
//! run a thread of the space. Nobody for idle processors and kernel threads.
//!
//! *What may stay stale, until when.* A lazy processor keeps everything until
//! it comes back or loads another root, for as long as it likes, and the frames
//! are somebody else's long before. The kernel touches no user address there:
//! the one rule that everything rests on. Speculation may fill more from the
//! tables that are there; they are the present ones.
//!
//! *Idea.* Lazy TLB of Linux 2.4, where the first interrupt took a lazy
//! processor off the space; left out of the mask altogether by van Riel, "x86,
//! tlb: make lazy TLB mode lazier" (Linux 4.20).

use super::{Request, Shootdown};
use crate::mm::flush::{self, Scope, To};
use crate::mm::{self, AddressSpace};
use core::sync::atomic::{Ordering::SeqCst, fence};

/// See the module.
pub struct Lazy;

impl Shootdown for Lazy {
    fn flush(space: &AddressSpace, scope: Scope) {
        scope.drop_here();
        Self::flush_other(space, scope);
    }

    fn flush_other(space: &AddressSpace, scope: Scope) {
        let (mut left, mut awake) = (space.loaded_elsewhere(), 0);
        while left != 0 {
            let cpu = left.trailing_zeros() as usize;
            left &= left - 1;
            if mm::is_lazy(cpu) {
                space.mark_stale(cpu);
                fence(SeqCst);
                if mm::is_lazy(cpu) {
                    continue;
                }
            }
            awake |= 1 << cpu;
        }
        flush::ask(To::Each(awake), &Request::new(space, scope), || ());
    }

    fn must_load(space: &AddressSpace, cpu: usize) -> bool {
        fence(SeqCst);
        space.take_stale(cpu)
    }
}
