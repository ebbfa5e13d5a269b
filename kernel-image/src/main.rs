//! The guest kernel. This file is the order of boot; the map of the rest is
//!
//! - `arch/`: processor and platform, all inline assembly
//! - `mm/`, `kmap/`: the VM and the strategies that give pages a kernel address
//! - `ptemap/`: the ways to reach page tables in high memory
//! - `rmap/`: the ways to find the PTEs of a page
//! - `shootdown/`: the schemes that make processors forget user translations
//! - `sched/`, `sync/`: tasks, locks
//! - `process`, `syscall*`: ring 3
//! - `param`, `memlayout`: every limit, every address
#![no_std]
#![no_main]

mod account;
mod arch;
mod barrier;
mod cmdline;
mod debug;
mod elf;
mod kmap;
mod marks;
mod memlayout;
mod mm;
mod multiboot;
mod param;
mod percpu;
mod planted;
mod process;
mod ptemap;
mod reader;
mod rmap;
mod sched;
mod shootdown;
mod sync;
mod syscall;
mod syscall_mm;

use arch::{cpu, lapic, segment, smp, trap, up};

/// Entered from `arch/boot.s` on the boot processor: interrupts off, boot page tables, idle task's stack.
#[unsafe(no_mangle)]
extern "C" fn boot_main(magic: u32, info: u32) -> ! {
    debug::init(); // the console
    multiboot::init(magic, info); // what the loader says
    cmdline::init(); // what the user says
    up::init(); // LOCK prefixes away, for a kernel of one processor
    sync::init(); // which kind of lock
    memlayout::set_split(cmdline::options().split); // where the kernel's half begins
    marks::init(); // on or off
    cpu::check_features(); // is this machine good enough
    segment::init(0); // descriptor tables, TSS
    trap::init(); // interrupt table
    mm::init(); // zones, page array, final page tables, kmap
    lapic::mask_8259(); // no interrupts but the APIC's
    lapic::init(); // this processor's APIC
    sched::init(); // this is the idle task now
    smp::start_others(); // application processors
    banner(); // what has come up
    process::start_first(); // the Multiboot module
    sched::start_threads(); // kwatch
    lapic::start_timer(cmdline::options().tick); // preemption
    sched::idle() // and go
}

fn banner() {
    let options = cmdline::options();
    println!(
        "shootdown kernel: {} cpus, kmap={}, paging={}",
        percpu::cpu_count(),
        options.kmap.name(),
        options.paging.name()
    );
}
