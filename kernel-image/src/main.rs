//! The guest kernel. This file is the order of boot; the map of the rest is
//!
//! - `arch/`: processor and platform, all inline assembly
//! - `mm/`, `kmap/`: the VM and the strategies that give pages a kernel address
//! - `sched/`, `sync/`: tasks, locks
//! - `process`, `syscall*`: ring 3
//! - `param`, `memlayout`: every limit, every address
#![no_std]
#![no_main]

mod arch;
mod cmdline;
mod debug;
mod kmap;
mod marks;
mod memlayout;
mod mm;
mod multiboot;
mod param;
mod percpu;
mod sched;
mod sync;

/// Entered from `arch/boot.s` on the boot processor: interrupts off, boot page tables, boot stack.
#[unsafe(no_mangle)]
extern "C" fn boot_main(magic: u32, info: u32) -> ! {
    debug::init(); // the console
    multiboot::init(magic, info); // what the loader says
    cmdline::init(); // what the user says
    arch::insn::halt()
}
