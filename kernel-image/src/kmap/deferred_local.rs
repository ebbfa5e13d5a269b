//! `deferred-local`: `deferred-seq` in which the processor that finds itself out
//! of date invalidates only itself. It never sends an IPI.
//!
//! *Protocol.* That of `deferred`, with
//!
//! ```text
//!  conflict:  invlpg(K);  stamp[me][K] = K.born         // preemption off from the check to the stamp
//! ```
//!
//! With `how=cr3` it loads CR3 instead, which brings it up to date for all slots.
//!
//! That is enough: D1 speaks of the finder's TLB alone. Others that are out of
//! date for the same slot find out by themselves, each at its own first use.
//!
//! *Who waits for whom.* A task sleeps while every slot is pinned. Nobody waits
//! for another processor, ever.
//!
//! *What may stay stale, until when.* As in `deferred-seq`, and longer: no
//! conflict of somebody else flushes a processor by the way. What it keeps of
//! slots that it does not use ends only with its own CR3 loads or by eviction.
//!
//! *Idea.* Ours, from Tweedie's ("Linux and physical memory", 1999): his
//! sequence numbers already tell each processor what it needs to know, so that
//! the flush of the others in a conflict buys them nothing that they cannot
//! have by themselves, one `invlpg` at a time.

use super::axes::How;
use super::deferred::{self, Conflict, Deferred};
use super::{inval, window};
use crate::mm::flush;

/// See the module.
pub type DeferredLocal = Deferred<Local>;

/// `conflict=local`.
pub struct Local;

impl Conflict for Local {
    fn resolve(cpu: usize, k: usize, born: u64) {
        if inval::is_by(How::Cr3) && !inval::omitted() {
            flush::local_non_global();
        } else {
            inval::page_here(window::address(k));
            deferred::write_stamp(cpu, k, born);
        }
    }
}
