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
//! processor's TLB holds nothing but the PTE just written. Nobody sleeps from
//! map to unmap: the scheduler asserts it.
//!
//! `atomic-flush=unmap` is the order from Linux 2.6 on: unmap clears the PTE
//! and does the `invlpg`, so a use after unmap faults, and map needs none.
//!
//! With `atomic-irqs=off` interrupts share these slots, and are kept out while one is in
//! use: `atomic_shared`.
//!
//! *Idea.* `kmap_atomic` of Linux 2.3/2.4 (Molnar); Corbet 2009 for the cost.

use super::axes::When;
use super::{Kmap, Use, direct_address, inval, window};
use crate::arch::insn;
use crate::memlayout::{ATOMIC_BASE, PAGE_SIZE};
use crate::mm::Frame;
use crate::mm::page_table::Entry;
use crate::mm::{is_low, kernel_space};
use crate::planted::{self, Fault};
use crate::{marks, percpu, sched};
use core::ops::Range;
use shootdown_abi::{Counter, Mark};

/// Addresses that each processor has for slots of its own, whatever the strategy makes of them.
pub const PER_CPU: usize = 16;
/// The first of those that [`Always`] has, a slot for each type: a strategy's own are below, and may keep mapping what they
/// mapped after they were given back.
pub const ALWAYS_SLOTS: usize = 8;
/// Those of them that are for page tables (`ptemap`), and for no strategy.
pub const TABLE_SLOTS: Range<usize> = PER_CPU - 2..PER_CPU;

/// Types as in 2.4 (`enum km_type`), those that somebody uses here.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Type {
    /// KM_USER0: a page of a file, a page to be cleared, the source of a copy.
    User0 = 0,
    /// KM_USER1: the target of a copy.
    User1 = 1,
    /// KM_IRQ0: in the timer interrupt.
    Irq0 = 2,
    /// A kernel thread; 2.4 has its own types for some of them.
    Thread = 3,
}

/// The type of a use. With fault `one-type` a copy's target has that of its source.
pub(super) fn type_of(usage: Use) -> Type {
    match usage {
        Use::File | Use::Clear | Use::CopyFrom => Type::User0,
        Use::CopyTo if planted::is(Fault::OneType) => Type::User0,
        Use::CopyTo => Type::User1,
        Use::Interrupt => Type::Irq0,
        Use::Thread => Type::Thread,
    }
}

/// Number and address of one of this processor's slots.
pub fn slot(n: usize) -> (usize, u32) {
    let index = percpu::cpu_id() * PER_CPU + n;
    (index, ATOMIC_BASE + index as u32 * PAGE_SIZE)
}

/// Points a slot to `frame` and says so. Flushes nothing.
pub fn give((index, address): (usize, u32), frame: Frame) {
    kernel_space::fixmap_slot(index).write(Entry::new(frame, window::bits()));
    marks::mark(Mark::SlotGiven, address / PAGE_SIZE);
}

/// See the module.
pub struct Atomic;

impl Kmap for Atomic {
    fn map(frame: Frame, usage: Use) -> u32 {
        sched::preempt_disable();
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let slot = slot(type_of(usage) as usize);
        give(slot, frame);
        inval::here(When::Map, slot.1);
        marks::count(Counter::Maps, 1);
        if planted::is(Fault::Sleep) {
            sched::yield_now();
        }
        slot.1
    }

    fn unmap(frame: Frame, usage: Use) {
        if !is_low(frame) && inval::is_at(When::Unmap) {
            let (index, address) = slot(type_of(usage) as usize);
            kernel_space::fixmap_slot(index).write(Entry::NONE);
            inval::here(When::Unmap, address);
        }
        sched::preempt_enable();
    }
}

/// Slots by type beside those of the strategy, invalidated by `invlpg` at both ends whatever the axes say, so that nothing of the page is left
/// behind: for interrupts and kernel threads under strategies whose slots they cannot use, and for the kernel's own
/// copies under `inval=none`.
pub struct Always;

impl Kmap for Always {
    fn map(frame: Frame, usage: Use) -> u32 {
        sched::preempt_disable();
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let slot = slot(ALWAYS_SLOTS + type_of(usage) as usize);
        give(slot, frame);
        insn::invlpg(slot.1);
        marks::count(Counter::Maps, 1);
        slot.1
    }

    fn unmap(frame: Frame, usage: Use) {
        if !is_low(frame) {
            let (index, address) = slot(ALWAYS_SLOTS + type_of(usage) as usize);
            kernel_space::fixmap_slot(index).write(Entry::NONE);
            insn::invlpg(address);
        }
        sched::preempt_enable();
    }
}
