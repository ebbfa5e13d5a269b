//! Which processor this is, and which there are.
//!
//! The number of the own processor is a field of the running task, which is
//! found from the stack pointer: no APIC register is read and no segment
//! register has to be kept for it.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::sched;

static ONLINE: [AtomicU32; 2] = [AtomicU32::new(1), AtomicU32::new(0)];
static COUNT: AtomicU32 = AtomicU32::new(1);

/// Number of this processor, 0 up to [`cpu_count`]. With preemption on it may be out of date at once.
#[inline(always)]
pub fn cpu_id() -> usize {
    sched::current().cpu()
}

/// Processors that are up.
#[inline]
pub fn cpu_count() -> usize {
    COUNT.load(Ordering::Relaxed) as usize
}

/// The processors that are up, bit n for processor n.
pub fn online() -> u64 {
    u64::from(ONLINE[0].load(Ordering::Acquire)) | u64::from(ONLINE[1].load(Ordering::Acquire)) << 32
}

/// This processor is up from now on: it takes interrupts and counts in every flush.
pub fn set_online(cpu: usize) {
    ONLINE[cpu / 32].fetch_or(1 << (cpu % 32), Ordering::AcqRel);
    COUNT.fetch_add((cpu > 0) as u32, Ordering::AcqRel);
}
