//! `atomic` with `atomic-irqs=off`: one set of slots by type for tasks and
//! interrupts, so that interrupts are off while a slot is in use.
//!
//! *Protocol.*
//!
//! ```text
//!  map(p, type):  preemption off;  low page -> direct address
//!                 interrupts off;  slot = (this CPU, type), an interrupt's type is KM_USER0;  write PTE(slot) := p;  invlpg(slot)
//!  unmap:         interrupts as they were before the first of the slots in use;  preemption on
//! ```
//!
//! *Who waits for whom.* Interrupts wait for whatever the task does with its
//! pages, a copy of 4 KiB or of two: not only those that map pages themselves,
//! and IPIs that ask for a flush as well.
//!
//! *What may stay stale.* As in `atomic`.
//!
//! *Invariants.* Those of `atomic`; and no interrupt is taken between map and
//! unmap of a page that is not in low memory, or it would point the slot to
//! another page under the task's hands (`fault=shared-slot`).
//!
//! *Idea.* What LaHaise held against fixed atomic slots in January 2002. Linux
//! went the other way, with types of their own for interrupts.

use super::atomic::{Type, give, slot, type_of};
use super::axes::When;
use super::{Kmap, Use, direct_address, inval};
use crate::arch::insn;
use crate::mm::page_table::Entry;
use crate::mm::{Frame, is_low, kernel_space};
use crate::param::NCPU;
use crate::planted::{self, Fault};
use crate::{marks, percpu, sched};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use shootdown_abi::Counter;

/// One processor's slots in use, and its flags before the first; nobody else touches them.
#[repr(align(64))]
struct Closed {
    depth: AtomicU32,
    flags: AtomicU32,
}

static CLOSED: [Closed; NCPU] =
    [const { Closed { depth: AtomicU32::new(0), flags: AtomicU32::new(0) } }; NCPU];

/// Keeps interrupts out until as many calls of [`open`].
fn close() {
    if planted::is(Fault::SharedSlot) {
        return;
    }
    let flags = insn::irq_save();
    let closed = &CLOSED[percpu::cpu_id()];
    let depth = closed.depth.load(Relaxed);
    if depth == 0 {
        closed.flags.store(flags, Relaxed);
    }
    closed.depth.store(depth + 1, Relaxed);
}

fn open() {
    if planted::is(Fault::SharedSlot) {
        return;
    }
    let closed = &CLOSED[percpu::cpu_id()];
    let depth = closed.depth.load(Relaxed) - 1;
    closed.depth.store(depth, Relaxed);
    if depth == 0 {
        insn::irq_restore(closed.flags.load(Relaxed));
    }
}

/// This processor's slot for a use; an interrupt has one that a task would have.
fn slot_of(usage: Use) -> (usize, u32) {
    let kind = match usage {
        Use::Interrupt => Type::User0,
        _ => type_of(usage),
    };
    slot(kind as usize)
}

/// See the module.
pub struct AtomicShared;

impl Kmap for AtomicShared {
    fn map(frame: Frame, usage: Use) -> u32 {
        sched::preempt_disable();
        if let Some(address) = direct_address(frame) {
            return address;
        }
        close();
        let slot = slot_of(usage);
        give(slot, frame);
        inval::here(When::Map, slot.1);
        marks::count(Counter::Maps, 1);
        slot.1
    }

    fn unmap(frame: Frame, usage: Use) {
        if !is_low(frame) {
            if inval::is_at(When::Unmap) {
                let (index, address) = slot_of(usage);
                kernel_space::fixmap_slot(index).write(Entry::NONE);
                inval::here(When::Unmap, address);
            }
            open();
        }
        sched::preempt_enable();
    }
}
