//! Marks: what the kernel tells the emulator about itself, each one 32-bit `out`.
//!
//! A mark needs no lock and leaves flags and interrupts alone. The activity is
//! kept per *task*: a task that is preempted inside a kmap is inside it again
//! when it comes back, maybe on another processor. `marks=off` suppresses all
//! but the region of interest, to show what the marks themselves cost.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use shootdown_abi::{Activity, Counter, MARK_PORT, Mark};

use crate::arch::insn;
use crate::{cmdline, sched};

static ON: AtomicBool = AtomicBool::new(true);

/// Obeys `marks=`.
pub fn init() {
    ON.store(cmdline::options().marks, Relaxed);
}

/// Sends a mark.
#[inline]
pub fn mark(code: Mark, payload: u32) {
    if ON.load(Relaxed) {
        insn::out32(MARK_PORT, shootdown_abi::mark(code, payload));
    }
}

/// Sends a mark even with `marks=off`: the region of interest.
pub fn mark_always(code: Mark, payload: u32) {
    insn::out32(MARK_PORT, shootdown_abi::mark(code, payload));
}

/// Adds `amount` to a counter.
#[inline]
pub fn count(counter: Counter, amount: u32) {
    let mut left = amount;
    while left > 0 {
        let step = left.min(0xffff);
        mark(Mark::Count, ((counter as u32) << 16) | step);
        left -= step;
    }
}

/// The running task is now busy with `activity`; returns what it was busy with, to be set again afterwards.
#[inline]
pub fn activity(activity: Activity) -> Activity {
    let task = sched::current();
    let before = task.activity.replace(activity);
    if before != activity {
        mark(Mark::Activity, activity as u32);
    }
    before
}
