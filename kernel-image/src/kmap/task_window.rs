//! `task-window`: every task has a few slots in its own page table, at the top
//! of its user space. They go where the task goes.
//!
//! *Protocol.* `loads[c]` counts the CR3 loads of processor c; each slot notes
//! the count at which it was last given back.
//!
//! ```text
//!  map(p):    low page -> direct address;  preemption off
//!             the task's next free slot;  write PTE(slot) := p
//!             left == loads[me] -> invlpg(slot)      // given back here, no CR3 load since
//!             preemption on
//!  unmap(p):  preemption off;  clear PTE(slot);  left = loads[me];  preemption on
//!  switch:    another page directory -> CR3 is loaded anyway
//!             same one, but the task comes from another processor -> invlpg(each slot)
//!  with when=map: invlpg at every map, nothing is counted
//! ```
//!
//! *Who waits for whom.* Nobody, and the task may be preempted, sleep and move
//! while it holds a slot. Only tasks with an address space have slots: kernel
//! threads and interrupts take those of `atomic`.
//!
//! *What may stay stale, until when.* What a processor holds of a slot that was
//! given back there stays until the next CR3 load there, which mostly comes
//! before the slot's turn. A PTE is cleared when its slot is given back, so that
//! nothing can fill an entry for it after that load.
//!
//! The trap: a task uses a slot on A, moves to B and maps something else there,
//! and comes back to A, where nothing but idle and kernel threads ran meanwhile
//! and CR3 was not loaded. A holds the old entry, and the slot's note speaks of
//! B. Therefore all slots are invalidated on such an arrival.
//!
//! *Invariants.* A slot is used by its task only. On the processor where the
//! task runs, the TLB holds for a slot nothing but its PTE, or, if the slot is
//! free and noted with the present count, an old one. The PTEs are the
//! supervisor's and have G = 0. A task holds at most [`SLOTS`] (asserted).
//!
//! Each thread of a process has slots of its own: they are numbered within the
//! page table of the space, which has room for 128 threads. The slots of a new
//! thread may have been another one's, so wherever it runs first it arrives.
//!
//! *Idea.* Dickins, January 2002, against Arcangeli's pte-highmem: per-task
//! windows at the top of user space instead of one pool that all wait for.

use super::axes::{How, When};
use super::{Kept, Kmap, Loaded, Use, direct_address, inval};
use crate::memlayout::{self, PAGE_SIZE};
use crate::mm::page_table::{self, Entry, Slot};
use crate::mm::{Frame, flush, is_low};
use crate::param::NCPU;
use crate::planted::{self, Fault};
use crate::sched::{self, Task};
use crate::{marks, percpu};
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use shootdown_abi::{Counter, Mark};

/// Slots of a task.
const SLOTS: usize = 4;

/// What a task knows of its slots; only the task itself touches it.
pub struct TaskSlots {
    /// What each slot maps, or [`Frame::NONE`]: it is free.
    frame: [Cell<u32>; SLOTS],
    /// The count of CR3 loads of the processor where the slot was last given back.
    left: [Cell<u32>; SLOTS],
    /// Where the search for a free slot begins.
    next: Cell<u32>,
}

impl TaskSlots {
    /// None has ever been used. No processor has counted so many loads.
    pub const fn new() -> TaskSlots {
        TaskSlots {
            frame: [const { Cell::new(Frame::NONE) }; SLOTS],
            left: [const { Cell::new(u32::MAX) }; SLOTS],
            next: Cell::new(0),
        }
    }

    /// The next free slot in turn.
    fn take(&self) -> usize {
        let first = self.next.get() as usize;
        let found = (first..first + SLOTS).map(|i| i % SLOTS).find(|&i| self.frame[i].get() == Frame::NONE);
        let Some(i) = found else { panic!("a task holds more than {SLOTS} slots") };
        self.next.set((i as u32 + 1) % SLOTS as u32);
        i
    }
}

/// CR3 loads of each processor, in a line of its own.
#[repr(align(64))]
struct Loads(AtomicU32);

static LOADS: [Loads; NCPU] = [const { Loads(AtomicU32::new(0)) }; NCPU];

/// Number of the task's slot `i` in the page table of its space.
fn place(task: &Task, i: usize) -> usize {
    task.number.get() as usize * SLOTS + i
}

fn address(task: &Task, i: usize) -> u32 {
    memlayout::private_base() + place(task, i) as u32 * PAGE_SIZE
}

fn pte(task: &Task, i: usize) -> Slot<'static> {
    let space = task.mm.get().expect("a kernel thread has no slots of its own");
    Slot::at(space.private_table(), place(task, i))
}

/// See the module.
pub struct TaskWindow;

impl Kmap for TaskWindow {
    fn map(frame: Frame, _: Use) -> u32 {
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let task = sched::current();
        sched::preempt_disable();
        let i = task.slots.take();
        let address = address(task, i);
        pte(task, i).write(Entry::new(frame, page_table::KERNEL));
        marks::mark(Mark::SlotGiven, address / PAGE_SIZE);
        inval::here(When::Map, address);
        if task.slots.left[i].get() == LOADS[percpu::cpu_id()].0.load(Relaxed) {
            inval::here(When::Recycle, address);
            marks::count(Counter::Recycles, 1);
        }
        task.slots.frame[i].set(frame.0);
        marks::count(Counter::Maps, 1);
        sched::preempt_enable();
        address
    }

    fn unmap(frame: Frame, _: Use) {
        if is_low(frame) {
            return;
        }
        let task = sched::current();
        sched::preempt_disable();
        let i = (0..SLOTS).find(|&i| task.slots.frame[i].get() == frame.0);
        let i = i.expect("a slot is given back that the task does not hold");
        pte(task, i).write(Entry::NONE);
        task.slots.left[i].set(LOADS[percpu::cpu_id()].0.load(Relaxed));
        task.slots.frame[i].set(Frame::NONE);
        sched::preempt_enable();
    }

    fn around_root_load(load: impl FnOnce()) {
        load();
        let loads = &LOADS[percpu::cpu_id()].0;
        loads.store(loads.load(Relaxed).wrapping_add(1), Relaxed);
    }

    fn on_switch_without_load(next: &Task, _: Kept) -> Loaded {
        let arrives = next.mm.get().is_some() && next.last_cpu.load(Relaxed) as usize != percpu::cpu_id();
        if !arrives || planted::is(Fault::NoArrival) || inval::omitted() {
            return Loaded::No;
        }
        if inval::is_by(How::Invlpg) {
            (0..SLOTS).for_each(|i| flush::local_page(address(next, i)));
            return Loaded::No;
        }
        flush::local_non_global();
        Loaded::Yes
    }
}
