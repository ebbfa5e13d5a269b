//! `deferred-seq`: one shared window with LRU recycling; a slot is remapped
//! without telling anybody, and a processor that may be out of date finds out
//! by sequence numbers when it comes to use it. Then everybody flushes.
//!
//! *Protocol.* That of `deferred`, with
//!
//! ```text
//!  conflict:  every processor loads CR3 (which samples the epoch before), this one first;  wait for all
//! ```
//!
//! *Who waits for whom.* A task sleeps while every slot is pinned. In a
//! conflict the finder waits for all processors, with interrupts on and no lock
//! held. Recycling waits for nobody.
//!
//! *What may stay stale, until when.* After a recycle every other processor
//! may hold the old translation for as long as it likes, unbounded by design:
//! it is harmless until the processor uses the slot, and `ensure` comes first.
//!
//! *Idea.* Tweedie, "Linux and physical memory", 1999: a window of about
//! 100 MB, LRU, `page->kva`, and a sequence number *per processor* that counts
//! its whole flushes, which means a vector of snapshots in each slot. One global
//! `epoch` and `seen[c]` say the same in constant time. He has no pins; they
//! are our addition. It is not free between conflicts: a recycle costs one
//! local `invlpg`.

use super::deferred::{Conflict, Deferred};
use super::inval;
use crate::mm::flush::{self, Kind, Own};

/// See the module.
pub type DeferredSeq = Deferred<Everywhere>;

/// `conflict=everywhere`.
pub struct Everywhere;

impl Conflict for Everywhere {
    fn resolve(_: usize, _: usize, _: u64) {
        if !inval::omitted() {
            flush::all_cpus(Kind::NonGlobal, Own::First);
        }
    }
}
