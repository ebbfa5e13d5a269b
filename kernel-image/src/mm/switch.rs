//! What a context switch does to translations.
//!
//! | next task                                  | CR3                | counted |
//! |--------------------------------------------|--------------------|---------|
//! | process with another address space         | loaded with its root | mm    |
//! | process whose space is still loaded here, but was changed elsewhere | loaded again | mm |
//! | the same, unchanged                        | kept               | lazy    |
//! | kernel thread, idle                        | kept               | lazy    |
//!
//! Which processors have a space loaded is kept in its mask, and which of them run the kernel only is kept here, for
//! the schemes of `shootdown`.
//!
//! In the last two rows the strategy is told: under `deferred-*` a task that
//! holds pins and comes from another processor needs a CR3 load, and nothing
//! else in these rows may count as a flush.

use super::address_space::AddressSpace;
use super::flush;
use crate::kmap::{self, Kept, Loaded};
use crate::param::NCPU;
use crate::sched::Task;
use crate::{marks, percpu, shootdown};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};
use shootdown_abi::Counter;

/// The address space that each processor has loaded; null: the kernel's root.
static LOADED: [AtomicPtr<AddressSpace>; NCPU] = [const { AtomicPtr::new(ptr::null_mut()) }; NCPU];

/// Whether each processor runs the kernel only, on page tables that it borrows; written by the processor itself.
static LAZY: [AtomicBool; NCPU] = [const { AtomicBool::new(true) }; NCPU];

/// Has processor `cpu` this address space loaded? True to the moment only on the processor itself, with interrupts off.
pub fn is_loaded(cpu: usize, space: *const AddressSpace) -> bool {
    ptr::eq(LOADED[cpu].load(Relaxed), space)
}

/// Does processor `cpu` run a task without an address space?
pub fn is_lazy(cpu: usize) -> bool {
    LAZY[cpu].load(Relaxed)
}

/// Makes this processor ready for `next`. With interrupts off, before its stack is switched to.
pub fn switch(next: &Task) {
    let cpu = percpu::cpu_id();
    let loaded = LOADED[cpu].load(Relaxed);
    let wanted = next.mm.get().map_or(ptr::null_mut(), |m| ptr::from_ref(m).cast_mut());
    LAZY[cpu].store(wanted.is_null(), Relaxed);
    if let Some(space) = next.mm.get()
        && (wanted != loaded || shootdown::must_load(space, cpu))
    {
        if wanted != loaded {
            space.enter(cpu);
            space.take_stale(cpu);
        }
        shootdown::before_load(space, cpu);
        flush::load_root(space.root());
        shootdown::after_load(space, cpu);
        if wanted != loaded {
            LOADED[cpu].store(wanted, Relaxed);
            leave(loaded, cpu);
        }
        marks::count(Counter::MmSwitches, 1);
    } else {
        let why = if next.mm.get().is_none() { Kept::Lazy } else { Kept::SameSpace };
        let counter = match kmap::on_switch_without_load(next, why) {
            Loaded::Yes => Counter::MmSwitches,
            Loaded::No => Counter::LazySwitches,
        };
        marks::count(counter, 1);
    }
}

/// Lets a processor's reference to an address space go, after CR3 was loaded with another one.
fn leave(space: *mut AddressSpace, cpu: usize) {
    // SAFETY: `space` came from LOADED, where it stands only while it is counted as a user of
    // itself, so it exists until `leave` returns.
    if let Some(space) = unsafe { space.as_ref() } {
        space.leave(cpu);
    }
}
