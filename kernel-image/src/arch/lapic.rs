//! The local APIC (SDM vol. 3A, "Advanced Programmable Interrupt Controller"):
//! timer, interprocessor interrupts and end of interrupt, through its memory
//! mapped registers. The 8259s are masked, so it is the only source of interrupts.

use shootdown_abi::TIMER_VECTOR;

use super::insn;
use crate::memlayout::LAPIC_BASE;

/// Vector of interrupts that went away before they were taken; needs no EOI.
pub const SPURIOUS_VECTOR: u8 = 0xff;

/// Register offsets, named as in the manual.
mod reg {
    pub const ID: u32 = 0x020;
    pub const TPR: u32 = 0x080;
    pub const EOI: u32 = 0x0b0;
    pub const SVR: u32 = 0x0f0;
    pub const ESR: u32 = 0x280;
    pub const ICR_LOW: u32 = 0x300;
    pub const ICR_HIGH: u32 = 0x310;
    pub const LVT_TIMER: u32 = 0x320;
    pub const LVT_LINT0: u32 = 0x350;
    pub const LVT_LINT1: u32 = 0x360;
    pub const LVT_ERROR: u32 = 0x370;
    pub const TIMER_INITIAL: u32 = 0x380;
    pub const TIMER_DIVIDE: u32 = 0x3e0;
}

const SVR_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const TIMER_PERIODIC: u32 = 1 << 17;
/// Divide configuration: the bus clock itself.
const DIVIDE_BY_1: u32 = 0b1011;

const ICR_INIT: u32 = 0b101 << 8;
const ICR_STARTUP: u32 = 0b110 << 8;
const ICR_PENDING: u32 = 1 << 12;
const ICR_ASSERT: u32 = 1 << 14;
const ICR_ALL_BUT_SELF: u32 = 0b11 << 18;

fn read(reg: u32) -> u32 {
    // SAFETY: the page is mapped uncached at LAPIC_BASE; each processor sees its own registers there.
    unsafe { ((LAPIC_BASE + reg) as *const u32).read_volatile() }
}

fn write(reg: u32, value: u32) {
    // SAFETY: as in `read`.
    unsafe { ((LAPIC_BASE + reg) as *mut u32).write_volatile(value) }
}

/// Masks both 8259s: nothing comes through LINT0.
pub fn mask_8259() {
    insn::out8(0x21, 0xff);
    insn::out8(0xa1, 0xff);
}

/// Enables this processor's APIC with all local sources but the timer masked.
pub fn init() {
    write(reg::LVT_TIMER, LVT_MASKED);
    write(reg::LVT_LINT0, LVT_MASKED);
    write(reg::LVT_LINT1, LVT_MASKED);
    write(reg::LVT_ERROR, LVT_MASKED);
    write(reg::SVR, SVR_ENABLE | u32::from(SPURIOUS_VECTOR));
    // The error register shows what came up since it was last written.
    write(reg::ESR, 0);
    write(reg::TPR, 0);
}

/// Starts the periodic timer: one interrupt per `count` bus clocks.
pub fn start_timer(count: u32) {
    write(reg::TIMER_DIVIDE, DIVIDE_BY_1);
    write(reg::LVT_TIMER, TIMER_PERIODIC | u32::from(TIMER_VECTOR));
    write(reg::TIMER_INITIAL, count);
}

/// This processor's APIC id.
pub fn id() -> u8 {
    (read(reg::ID) >> 24) as u8
}

/// The interrupt in service is done with; the next one may be delivered.
#[inline]
pub fn eoi() {
    write(reg::EOI, 0);
}

/// Writes the interrupt command register. Interrupts are off between the two
/// halves: a handler that sends one too would take the first half away.
fn send(destination: u8, command: u32) {
    let flags = insn::irq_save();
    while read(reg::ICR_LOW) & ICR_PENDING != 0 {
        insn::pause();
    }
    if command & ICR_ALL_BUT_SELF == 0 {
        write(reg::ICR_HIGH, u32::from(destination) << 24);
    }
    write(reg::ICR_LOW, command);
    insn::irq_restore(flags);
}

/// Sends a fixed interrupt to one processor.
pub fn send_ipi(destination: u8, vector: u8) {
    send(destination, ICR_ASSERT | u32::from(vector));
}

/// Sends a fixed interrupt to all processors but this one.
pub fn send_ipi_all_but_self(vector: u8) {
    send(0, ICR_ALL_BUT_SELF | ICR_ASSERT | u32::from(vector));
}

/// Resets a processor; it waits for a start-up IPI.
pub fn send_init(destination: u8) {
    send(destination, ICR_ASSERT | ICR_INIT);
}

/// Starts a processor that waits after INIT in real mode at a page below 1 MiB.
pub fn send_startup(destination: u8, phys: u32) {
    send(destination, ICR_ASSERT | ICR_STARTUP | (phys >> 12));
}
