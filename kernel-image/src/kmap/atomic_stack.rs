//! `atomic-stack`: every processor has a stack of slots; who comes last goes
//! first, and nobody has to name what a slot is for.
//!
//! *Protocol.*
//!
//! ```text
//!  map(p):    preemption off;  low page -> direct address
//!             push;  slot = (this CPU, top);  write PTE(slot) := p
//!  unmap(p):  clear PTE(slot);  invlpg(slot);  pop            // flush BEFORE the pop
//!             preemption on
//!  with atomic-flush=map: invlpg after the write, none at unmap
//! ```
//!
//! *Who waits for whom.* Nobody. As in `atomic`, the task keeps its processor
//! from map to unmap.
//!
//! *What may stay stale, until when.* A slot above the top holds nothing: no
//! PTE, no entry in this processor's TLB. Between clearing the PTE and the
//! `invlpg` the entry is stale, and the slot still belongs to the one that
//! unmaps: an interrupt in between pushes the next one. Popped first, the slot
//! could be taken by an interrupt that finds it not flushed, and that does no
//! `invlpg` itself. With `atomic-flush=map` entries stay stale above the top,
//! and whoever pushes flushes.
//!
//! *Invariants.* Slots are given back in the opposite order (asserted): so the
//! number of slots bounds how deep uses nest, not how many kinds there are. An
//! interrupt leaves the stack as it was, so that the processor's own plain
//! loads and stores of the top are enough. Nobody sleeps from map to unmap.
//!
//! *Idea.* Zijlstra, "mm: strictly nested kmap_atomic()", 2009, in Linux from
//! 2.6.37 on, which flushes at unmap; Corbet, LWN 13 October 2009. The types
//! that it does away with are in `atomic`.

use super::atomic::{self, ALWAYS_SLOTS};
use super::axes::When;
use super::{Kmap, Use, direct_address, inval};
use crate::mm::page_table::Entry;
use crate::mm::{Frame, is_low, kernel_space};
use crate::param::NCPU;
use crate::planted::{self, Fault, linger};
use crate::{marks, percpu, sched};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use shootdown_abi::Counter;

/// Slots in use on a processor, in a line of its own.
#[repr(align(64))]
struct Depth(AtomicUsize);

static DEPTH: [Depth; NCPU] = [const { Depth(AtomicUsize::new(0)) }; NCPU];

/// See the module.
pub struct AtomicStack;

impl Kmap for AtomicStack {
    fn map(frame: Frame, _: Use) -> u32 {
        sched::preempt_disable();
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let depth = &DEPTH[percpu::cpu_id()].0;
        let top = depth.load(Relaxed);
        assert!(top < ALWAYS_SLOTS, "more than {ALWAYS_SLOTS} atomic slots in use at a time");
        depth.store(top + 1, Relaxed);
        let slot = atomic::slot(top);
        atomic::give(slot, frame);
        inval::here(When::Map, slot.1);
        marks::count(Counter::Maps, 1);
        slot.1
    }

    fn unmap(frame: Frame, _: Use) {
        if !is_low(frame) {
            let depth = &DEPTH[percpu::cpu_id()].0;
            let top = depth.load(Relaxed);
            assert!(top > 0, "an atomic slot is given back that nobody has");
            let (index, address) = atomic::slot(top - 1);
            let pte = kernel_space::fixmap_slot(index);
            assert!(pte.read().frame() == frame, "atomic slots are not given back in the opposite order");
            if planted::is(Fault::PopFirst) {
                depth.store(top - 1, Relaxed);
                linger();
            }
            if inval::is_at(When::Unmap) {
                pte.write(Entry::NONE);
                inval::here(When::Unmap, address);
            }
            depth.store(top - 1, Relaxed);
        }
        sched::preempt_enable();
    }
}
