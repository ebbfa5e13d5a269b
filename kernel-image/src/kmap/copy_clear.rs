//! `copy-clear`: two fixed addresses, the same on all processors, for the source
//! and the target of a copy. What makes them local is that each address space
//! maps them in a page table of its own.
//!
//! *Protocol.*
//!
//! ```text
//!  map(p, use):  preemption off;  low page -> direct address
//!                address = SOURCE for reading and as source of a copy, TARGET for clearing and as its target
//!                lock(this space, address);  write PTE(address) := p;  invlpg(address)
//!  unmap:        unlock;  preemption on
//!  with when=unmap: clear PTE, invlpg before the lock is released, none at map
//!                   unless the space has several threads
//! ```
//!
//! With several threads a processor may have filled an entry by itself while
//! another one had the address: nobody but that other one invalidates at unmap,
//! so the map has to.
//!
//! *Who waits for whom.* Two threads of one address space on two processors
//! have one PTE between them: the second spins, with interrupts on and
//! preemption off, until the first has done. Its holder keeps its processor and
//! waits for nobody but, in a copy, for the lock of TARGET, always in this
//! order. Tasks of different spaces never wait for each other.
//!
//! *What may stay stale, until when.* After unmap the PTE and the entry in the
//! processor's TLB remain until the next map there or a CR3 load. Another
//! processor that had used the address before, for the same space, holds an
//! older entry still: nobody uses it without mapping there first, and that
//! invalidates.
//!
//! *Invariants.* From map to unmap the task keeps its processor and the PTE is
//! its own. After map's `invlpg` this processor's TLB holds nothing but that
//! PTE. The PTEs are the supervisor's and have G = 0. Nobody sleeps from map to
//! unmap. Kernel threads and interrupts take the slots of `atomic`.
//!
//! *Departure.* The proposal is for copying and clearing pages; here the pages
//! of files go through SOURCE too, so that every load runs under it.
//!
//! *Idea.* Jelinek, in the discussion of Tweedie's "Linux and physical memory",
//! 1999: "swapper_pg_dir is shared, but the local task has its own".

use super::axes::When;
use super::{Kmap, Use, direct_address, inval};
use crate::memlayout::{self, PAGE_SIZE};
use crate::mm::page_table::{self, Entry, Slot};
use crate::mm::{AddressSpace, Frame, is_low};
use crate::{marks, sched};
use shootdown_abi::{Counter, Mark};

/// Number of the address, which is that of its lock too.
fn place(usage: Use) -> usize {
    match usage {
        Use::Clear | Use::CopyTo => 1,
        _ => 0,
    }
}

fn space() -> &'static AddressSpace {
    sched::current().mm.get().expect("a kernel thread has no slots of its own")
}

fn pte(space: &AddressSpace, place: usize) -> (Slot<'static>, u32) {
    (Slot::at(space.private_table(), place), memlayout::private_base() + place as u32 * PAGE_SIZE)
}

/// See the module.
pub struct CopyClear;

impl Kmap for CopyClear {
    fn map(frame: Frame, usage: Use) -> u32 {
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let (space, place) = (space(), place(usage));
        // Released in `unmap`; until then preemption is off.
        core::mem::forget(space.private_locks[place].lock());
        let (pte, address) = pte(space, place);
        pte.write(Entry::new(frame, page_table::KERNEL));
        marks::mark(Mark::SlotGiven, address / PAGE_SIZE);
        inval::here(When::Map, address);
        if inval::is_at(When::Unmap) && space.is_shared() {
            inval::page_here(address);
        }
        marks::count(Counter::Maps, 1);
        address
    }

    fn unmap(frame: Frame, usage: Use) {
        if is_low(frame) {
            return;
        }
        let (space, place) = (space(), place(usage));
        if inval::is_at(When::Unmap) {
            let (pte, address) = pte(space, place);
            pte.write(Entry::NONE);
            inval::here(When::Unmap, address);
        }
        // SAFETY: `map` has taken the lock and forgotten its guard.
        unsafe { space.private_locks[place].force_unlock() }
        sched::preempt_enable();
    }
}
