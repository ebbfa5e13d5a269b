//! One function per instruction that Rust cannot say (SDM vol. 2).
//!
//! They are safe to call where a wrong call cannot break memory safety by
//! itself, `unsafe` where it can.

use core::arch::asm;

/// CR0: ring 0 obeys read-only pages.
pub const CR0_WP: u32 = 1 << 16;
/// CR0: paging.
pub const CR0_PG: u32 = 1 << 31;
/// CR4: 4 MiB pages.
pub const CR4_PSE: u32 = 1 << 4;
/// CR4: physical address extension.
pub const CR4_PAE: u32 = 1 << 5;
/// CR4: global pages.
pub const CR4_PGE: u32 = 1 << 7;

/// EFLAGS: interrupts enabled.
pub const EFLAGS_IF: u32 = 1 << 9;

/// Drops the TLB entries of the page that holds `addr`, global or not, on this processor.
#[inline(always)]
pub fn invlpg(addr: u32) {
    // SAFETY: invalidation never makes a translation wrong.
    unsafe { asm!("invlpg [{}]", in(reg) addr, options(nostack, preserves_flags)) }
}

/// Drops all TLB entries of this processor, global ones too: `invpcid` of type 2 ("all contexts, including globals").
/// The descriptor in memory is not used by this type, but is read.
#[inline(always)]
pub fn invpcid_all() {
    let descriptor = [0u64; 2];
    // SAFETY: invalidation never makes a translation wrong. The processor has the instruction (`cpu::need_invpcid`).
    unsafe {
        asm!("invpcid {}, [{}]", in(reg) 2, in(reg) &raw const descriptor, options(nostack, preserves_flags))
    }
}

#[inline(always)]
pub fn read_cr0() -> u32 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// The address of the last page fault.
#[inline(always)]
pub fn read_cr2() -> u32 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

#[inline(always)]
pub fn read_cr3() -> u32 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Loads the page directory and drops all non-global TLB entries of this processor.
///
/// # Safety
/// The tables at `value` have to map the kernel as the present ones do.
#[inline(always)]
pub unsafe fn write_cr3(value: u32) {
    // SAFETY: promised by the caller.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) }
}

#[inline(always)]
pub fn read_cr4() -> u32 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Changing PGE, PSE or PAE drops all TLB entries of this processor, global ones too.
///
/// # Safety
/// The bits decide how page tables are read; PAE may change only with paging off.
#[inline(always)]
pub unsafe fn write_cr4(value: u32) {
    // SAFETY: promised by the caller.
    unsafe { asm!("mov cr4, {}", in(reg) value, options(nostack, preserves_flags)) }
}

#[inline(always)]
pub fn eflags() -> u32 {
    let value;
    // SAFETY: reads a register by way of the stack.
    unsafe { asm!("pushfd", "pop {}", out(reg) value, options(preserves_flags)) }
    value
}

/// Whether this processor takes interrupts now.
#[inline(always)]
pub fn irqs_on() -> bool {
    eflags() & EFLAGS_IF != 0
}

/// Interrupts off.
#[inline(always)]
pub fn cli() {
    // SAFETY: delays interrupts, breaks nothing.
    unsafe { asm!("cli", options(nostack)) }
}

/// Interrupts on.
#[inline(always)]
pub fn sti() {
    // SAFETY: handlers keep all registers.
    unsafe { asm!("sti", options(nostack)) }
}

/// Interrupts off; returns the flags for [`irq_restore`].
#[inline(always)]
pub fn irq_save() -> u32 {
    let flags = eflags();
    cli();
    flags
}

/// Interrupts as they were at [`irq_save`].
#[inline(always)]
pub fn irq_restore(flags: u32) {
    if flags & EFLAGS_IF != 0 {
        sti();
    }
}

/// Waits for an interrupt. The one-instruction shadow of `sti` makes it atomic:
/// what was pending before wakes the `hlt`.
#[inline(always)]
pub fn sti_hlt() {
    // SAFETY: handlers keep all registers.
    unsafe { asm!("sti", "hlt", options(nostack)) }
}

/// Stops this processor for good.
pub fn halt() -> ! {
    loop {
        // SAFETY: nothing runs after it.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// A hint inside a spin loop.
#[inline(always)]
pub fn pause() {
    // SAFETY: does nothing that a program can see.
    unsafe { asm!("pause", options(nomem, nostack, preserves_flags)) }
}

#[inline(always)]
pub fn out8(port: u16, value: u8) {
    // SAFETY: the kernel owns the ports it names.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

#[inline(always)]
pub fn out32(port: u16, value: u32) {
    // SAFETY: the kernel owns the ports it names.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

#[inline(always)]
pub fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: the kernel owns the ports it names.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// The stack pointer.
#[inline(always)]
pub fn esp() -> u32 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, esp", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}
