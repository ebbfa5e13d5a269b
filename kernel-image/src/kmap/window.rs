//! The shared window: one range of kernel addresses for all processors, one
//! page per slot, whose page tables every address space shares. Which slot maps
//! what is the business of `pool` and `deferred`.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::memlayout::{self, PAGE_SIZE, WINDOW_END};
use crate::mm::page_table::{self, Entry, Format};
use crate::mm::{Frame, frame, kernel_space};
use crate::{marks, refuse};
use shootdown_abi::{Mark, Table};

static START: AtomicU32 = AtomicU32::new(0);
static BITS: AtomicU32 = AtomicU32::new(0);

/// Slots of Linux 2.4: what one page-table page holds.
pub fn default_slots(format: Format) -> u32 {
    match format {
        Format::TwoLevel => 1024,
        Format::Pae => 512,
    }
}

/// First address of a window of `slots`; a multiple of 4 MiB.
pub fn start_for(slots: u32) -> u32 {
    (WINDOW_END - slots * PAGE_SIZE) & !((4 << 20) - 1)
}

/// Whether the slots' PTEs are global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// G = 1: only `invlpg` and a CR4.PGE toggle reach them.
    Yes,
    /// G = 0: a CR3 load drops them too.
    No,
}

/// Fixes place and PTE bits of the window; at boot.
pub fn set(start: u32, global: Global) {
    START.store(start, Relaxed);
    let g = if global == Global::Yes { page_table::G } else { 0 };
    BITS.store(page_table::KERNEL | g, Relaxed);
    marks::mark(Mark::WindowAt, start / PAGE_SIZE);
}

/// Whether the slots' PTEs are global.
pub fn global() -> Global {
    if BITS.load(Relaxed) & page_table::G != 0 { Global::Yes } else { Global::No }
}

/// PTE bits of kernel mappings of single pages, as chosen.
pub fn bits() -> u32 {
    BITS.load(Relaxed)
}

/// Address of a slot.
pub fn address(slot: usize) -> u32 {
    START.load(Relaxed) + slot as u32 * PAGE_SIZE
}

/// Slot of an address within the window.
pub fn slot_of(address: u32) -> usize {
    ((address - START.load(Relaxed)) / PAGE_SIZE) as usize
}

/// Points a slot's PTE to `frame` and says so. Flushes nothing.
pub fn give(slot: usize, frame: Frame) {
    kernel_space::window_slot(slot).write(Entry::new(frame, bits()));
    marks::mark(Mark::SlotGiven, address(slot) / PAGE_SIZE);
}

/// Clears a slot's PTE and returns what it mapped. Flushes nothing.
pub fn clear(slot: usize) -> Frame {
    let pte = kernel_space::window_slot(slot);
    let frame = pte.read().frame();
    pte.write(Entry::NONE);
    frame
}

/// Says where the strategy's own table of its slots lies, for those who look from outside.
pub fn tell_table<T>(table: Table, slots: &[T]) {
    // It lies in low memory: `table` has made it.
    let frame = (slots.as_ptr() as u32 - memlayout::direct(0) as u32) / PAGE_SIZE;
    marks::mark(Mark::TableAt, shootdown_abi::table_at(table, frame));
}

/// A table for the life of the machine, one `T` per slot, in low memory, each set to `value`.
pub fn table<T: Copy>(slots: usize, value: T) -> &'static mut [T] {
    let frames = frame::frames_in((slots * size_of::<T>()) as u64);
    let Some(first) = frame::alloc_contiguous(frames, 1) else {
        refuse!(
            "memory: a window of {slots} slots needs a table of {}K in low memory, which has no such run left; accepted: a smaller window= or a larger normal=",
            frames * (PAGE_SIZE >> 10)
        );
    };
    let base = crate::mm::direct_map(first.phys() as u32).cast::<T>();
    // SAFETY: the frames are new, neighbours, never freed and large enough; a page boundary is
    // aligned for every T that is used here.
    unsafe {
        for i in 0..slots {
            base.add(i).write(value);
        }
        core::slice::from_raw_parts_mut(base, slots)
    }
}
