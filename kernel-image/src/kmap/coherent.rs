//! Does this machine's TLB forget by itself what a PTE no longer says?
//!
//! No processor's does. `inval=ideal` leaves all invalidation to a machine that
//! does it at the write of the PTE, for nothing; on any other it would be as
//! wrong as `inval=none`, so it is refused there.

use super::atomic;
use crate::memlayout::direct;
use crate::mm::frame::{self, Want};
use crate::mm::page_table::Entry;
use crate::mm::{Frame, kernel_space};
use crate::refuse;

/// Maps two frames one after the other at the same address, and refuses the machine if it still sees the first.
pub fn check() {
    let frames = [0u32, 1].map(|content| {
        let frame = frame::alloc(Want::Low).expect("no memory at boot");
        // SAFETY: the frame is this function's alone and in the direct map.
        unsafe { direct(frame.phys() as u32).cast::<u32>().write_volatile(content) };
        frame
    });
    let slot = atomic::slot(atomic::PER_CPU - 1);
    let seen = frames.map(|frame: Frame| {
        atomic::give(slot, frame);
        // SAFETY: the slot maps a frame of this function's.
        unsafe { (slot.1 as *const u32).read_volatile() }
    });
    kernel_space::fixmap_slot(slot.0).write(Entry::NONE);
    frames.into_iter().for_each(frame::put);
    if seen != [0, 1] {
        refuse!(
            "cpu: inval=ideal (kmap=ideal) needs TLBs that forget a page when its PTE is written, which no processor has; accepted: the emulator with tlb.coherent=on"
        );
    }
}
