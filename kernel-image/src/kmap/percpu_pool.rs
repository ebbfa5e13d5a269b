//! `percpu-pool`: every processor has four slots for each context that can run
//! on it, tasks and interrupts, and takes whichever of them is free.
//!
//! *Protocol.*
//!
//! ```text
//!  map(p):    preemption off;  low page -> direct address
//!             a free slot of this CPU and context that maps p still: take it   // no PTE write, no invlpg
//!             else the next free one in turn;  write PTE(slot) := p;  invlpg(slot)
//!  unmap(p):  free the slot; it keeps mapping p;  preemption on
//!  with when=unmap: clear PTE, invlpg at unmap; no slot keeps its page, none is invalidated at map
//! ```
//!
//! *Who waits for whom.* Nobody. As in `atomic`, the task keeps its processor.
//! Interrupts stay on: they have slots of their own, so that a copy need not
//! keep them out, which fixed slots that both use would ask for.
//!
//! *What may stay stale, until when.* A free slot keeps PTE and entry until it
//! is recycled. That is not stale: both name the page that the slot remembers,
//! whoever owns that page by then.
//!
//! *Invariants.* For each slot this processor's TLB holds nothing but its PTE.
//! A slot is written and used on its processor and in its context only, with
//! preemption off. At most four mappings at a time in a context (asserted).
//!
//! *Idea.* LaHaise, January 2002, in the discussion of pte-highmem: a pool per
//! processor of about four slots for each context. How a slot is chosen, and
//! that it remembers its page, is ours.

use super::atomic;
use super::axes::When;
use super::{Kmap, Use, direct_address, inval};
use crate::mm::page_table::Entry;
use crate::mm::{Frame, is_low, kernel_space};
use crate::param::NCPU;
use crate::{marks, percpu, sched};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use shootdown_abi::Counter;

/// Slots of a context.
const SLOTS: usize = 4;
const _: () = assert!(2 * SLOTS <= atomic::ALWAYS_SLOTS);

/// One context's slots on one processor; nobody else touches them.
#[repr(align(64))]
struct Pool {
    /// What each slot maps, or [`Frame::NONE`].
    frame: [AtomicU32; SLOTS],
    taken: [AtomicBool; SLOTS],
    /// Where the search for a slot to recycle begins.
    next: AtomicU32,
}

impl Pool {
    const EMPTY: Pool = Pool {
        frame: [const { AtomicU32::new(Frame::NONE) }; SLOTS],
        taken: [const { AtomicBool::new(false) }; SLOTS],
        next: AtomicU32::new(0),
    };

    fn free(&self, i: usize) -> bool {
        !self.taken[i].load(Relaxed)
    }

    fn holds(&self, i: usize, frame: Frame) -> bool {
        self.frame[i].load(Relaxed) == frame.0
    }

    /// The next free slot in turn.
    fn recycle(&self) -> usize {
        let first = self.next.load(Relaxed) as usize;
        let found = (first..first + SLOTS).map(|i| i % SLOTS).find(|&i| self.free(i));
        let Some(i) = found else { panic!("more than {SLOTS} slots in use in one context") };
        self.next.store((i as u32 + 1) % SLOTS as u32, Relaxed);
        i
    }
}

/// Tasks, then interrupts.
static POOLS: [[Pool; 2]; NCPU] = [const { [Pool::EMPTY, Pool::EMPTY] }; NCPU];

/// The pool of this context on this processor, and the number of its first slot.
fn pool(usage: Use) -> (&'static Pool, usize) {
    let context = (usage == Use::Interrupt) as usize;
    (&POOLS[percpu::cpu_id()][context], context * SLOTS)
}

/// See the module.
pub struct PercpuPool;

impl Kmap for PercpuPool {
    fn map(frame: Frame, usage: Use) -> u32 {
        sched::preempt_disable();
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let (pool, first) = pool(usage);
        let i = match (0..SLOTS).find(|&i| pool.free(i) && pool.holds(i, frame)) {
            Some(i) => i,
            None => {
                let i = pool.recycle();
                let slot = atomic::slot(first + i);
                if !pool.holds(i, Frame(Frame::NONE)) {
                    marks::count(Counter::Recycles, 1);
                }
                atomic::give(slot, frame);
                inval::here(When::Recycle, slot.1);
                pool.frame[i].store(frame.0, Relaxed);
                marks::count(Counter::Maps, 1);
                i
            }
        };
        pool.taken[i].store(true, Relaxed);
        atomic::slot(first + i).1
    }

    fn unmap(frame: Frame, usage: Use) {
        if !is_low(frame) {
            let (pool, first) = pool(usage);
            let i = (0..SLOTS).find(|&i| !pool.free(i) && pool.holds(i, frame));
            let i = i.expect("a slot is given back that nobody has");
            if inval::is_at(When::Unmap) {
                let (index, address) = atomic::slot(first + i);
                kernel_space::fixmap_slot(index).write(Entry::NONE);
                inval::here(When::Unmap, address);
                pool.frame[i].store(Frame::NONE, Relaxed);
            }
            pool.taken[i].store(false, Relaxed);
        }
        sched::preempt_enable();
    }
}
