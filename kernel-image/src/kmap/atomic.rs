//! `atomic`: every processor has slots of its own, one per type of use.
//!
//! *Protocol.*
//!
//! ```text
//!  map(p, type):  preemption off;  low page -> direct address
//!                 slot = (this CPU, type);  write PTE(slot) := p;  invlpg(slot)
//!  unmap:         preemption on
//! ```
//!
//! *Who waits for whom.* Nobody, ever. The price is that the task keeps its
//! processor from map to unmap, and one `invlpg` per map whether needed or not.
//! *What may stay stale.* Between unmap and the next map of the same slot its
//! PTE and TLB entry remain; nobody uses the address meanwhile. A processor
//! that fills an entry for another's slot speculatively never uses it.
//! *Invariants.* A slot is written and used only on its processor, with
//! preemption off; two uses at a time have two types. After map's `invlpg` the
//! processor's TLB holds nothing but the PTE just written.
//!
//! `atomic-flush=unmap` is the order from Linux 2.6 on: unmap clears the PTE
//! and does the `invlpg`, so a use after unmap faults, and map needs none.
//!
//! *Idea.* `kmap_atomic` of Linux 2.3/2.4 (Molnar); Corbet 2009 for the cost.

use super::{Kmap, Use, direct_address, window};
use crate::arch::insn;
use crate::cmdline::{self, AtomicFlush};
use crate::memlayout::{ATOMIC_BASE, PAGE_SIZE};
use crate::mm::Frame;
use crate::mm::page_table::Entry;
use crate::mm::{is_low, kernel_space};
use crate::{marks, percpu, sched};
use shootdown_abi::{Counter, Mark};

/// Slot types of a processor; `Use` names the ones in use.
const TYPES: usize = 16;

/// See the module.
pub struct Atomic;

fn slot(usage: Use) -> (usize, u32) {
    let index = percpu::cpu_id() * TYPES + usage as usize;
    (index, ATOMIC_BASE + index as u32 * PAGE_SIZE)
}

impl Kmap for Atomic {
    fn map(frame: Frame, usage: Use) -> u32 {
        sched::preempt_disable();
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let (index, address) = slot(usage);
        kernel_space::fixmap_slot(index).write(Entry::new(frame, window::bits()));
        marks::mark(Mark::SlotGiven, address / PAGE_SIZE);
        if cmdline::options().atomic_flush == AtomicFlush::Map {
            insn::invlpg(address);
        }
        marks::count(Counter::Maps, 1);
        address
    }

    fn unmap(frame: Frame, usage: Use) {
        if !is_low(frame) && cmdline::options().atomic_flush == AtomicFlush::Unmap {
            let (index, address) = slot(usage);
            kernel_space::fixmap_slot(index).write(Entry::NONE);
            insn::invlpg(address);
        }
        sched::preempt_enable();
    }
}
