//! From the boot page tables to the final ones, in either format.
//!
//! CR4.PAE may change only while paging is off, and with paging off code runs
//! at its physical address. The boot tables and the final ones both show
//! physical 0..4 MiB at linear 0, so the switch jumps there and back
//! (SDM vol. 3A, "Mode Switching" and "PAE Paging").

use core::arch::asm;

use super::insn;
use crate::memlayout::IMAGE_BASE;

/// Continues with the tables at `cr3` and the paging features `cr4`, write protection on.
/// With interrupts off, on the boot processor, once.
pub fn enter(cr3: u32, cr4: u32) {
    let cr0 = insn::read_cr0() | insn::CR0_PG | insn::CR0_WP;
    // SAFETY: the block runs at its physical address while paging is off and uses no stack; the final tables
    // show the kernel image, this stack and physical 0..4 MiB where the boot tables do.
    unsafe {
        asm!(
            "lea {at}, [2f]",
            "sub {at}, {base}",
            "jmp {at}",
            "2:",
            "mov {at}, cr0",
            "and {at}, 0x7fffffff",
            "mov cr0, {at}",
            "mov cr3, {cr3}",
            "mov cr4, {cr4}",
            "mov cr0, {cr0}",
            "lea {at}, [3f]",
            "jmp {at}",
            "3:",
            at = out(reg) _,
            base = const IMAGE_BASE,
            cr3 = in(reg) cr3,
            cr4 = in(reg) cr4,
            cr0 = in(reg) cr0,
        );
    }
}
