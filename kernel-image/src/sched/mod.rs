//! Tasks and who runs where.

mod task;
mod wait;

pub use task::{Task, current};
pub use wait::WaitQueue;

use crate::arch::insn;

/// The running task keeps its processor until the matching [`preempt_enable`].
#[inline(always)]
pub fn preempt_disable() {
    current().preempt_add(1);
}

/// Preemption as before the matching [`preempt_disable`]; gives the processor up if somebody waits for it.
#[inline(always)]
pub fn preempt_enable() {
    let task = current();
    task.preempt_add(-1);
    if task.wants_resched() && task.preempt_count() == 0 && insn::irqs_on() {
        schedule();
    }
}

/// Lets another task run.
pub fn schedule() {}
