//! The run queue and the context switch.
//!
//! One queue for all processors under one lock, as in Linux 2.4: tasks migrate
//! to whoever is free. The lock is held *across* the switch of stacks: the task
//! that comes in releases what the task that went out took. So nobody can see a
//! task as asleep or ready that is still on its stack.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shootdown_abi::Mark;

use super::queue::TaskList;
use super::task::{Role, State, Task, current};
use crate::arch::{insn, segment, smp};
use crate::param::{NCPU, QUANTUM_TICKS};
use crate::sync::{Aligned, BootCell, SpinGuard, SpinLock};
use crate::{marks, mm};

global_asm!(include_str!("switch.s"));

unsafe extern "C" {
    fn switch_stacks(save: *mut u32, next: u32);
}

/// What the scheduler's lock guards, besides the tasks' own fields.
pub(super) struct RunQueue {
    ready: TaskList,
    /// Processors that idle and have not been kicked.
    idle: u64,
}

static RUN: Aligned<SpinLock<RunQueue>> =
    Aligned::new(SpinLock::new(RunQueue { ready: TaskList::new(), idle: 0 }));

/// Length of the run queue, for a look without the lock.
static READY: AtomicU32 = AtomicU32::new(0);

/// Each processor's idle task.
static IDLE: [BootCell<&'static Task>; NCPU] = [const { BootCell::new() }; NCPU];

/// The scheduler's lock; interrupts have to be off.
#[inline]
pub(super) fn lock() -> SpinGuard<'static, RunQueue> {
    debug_assert!(!insn::irqs_on());
    RUN.lock()
}

/// Notes a processor's idle task, before the processor starts.
pub(super) fn set_idle(cpu: usize, task: &'static Task) {
    // SAFETY: the boot processor sets it, before processor `cpu` runs anything.
    unsafe { IDLE[cpu].set(task) }
}

/// Whether a task waits for a processor; out of date at once.
#[inline]
pub(super) fn anyone_ready() -> bool {
    READY.load(Relaxed) != 0
}

impl RunQueue {
    /// Puts a task into the queue and sees to it that an idle processor notices.
    pub(super) fn make_ready(&mut self, task: &'static Task) {
        task.state.set(State::Ready);
        if task.role == Role::Thread {
            // Short of work and late already: next on its processor.
            self.ready.push_front(task);
            if task.cpu() == current().cpu() {
                current().want_resched();
            }
        } else {
            self.ready.push_back(task);
        }
        READY.store(READY.load(Relaxed) + 1, Relaxed);
        self.kick_idle(task);
    }

    /// Wakes one idle processor for the task: the one it ran on last, else the lowest.
    fn kick_idle(&mut self, task: &Task) {
        let eligible = match task.bound {
            Some(cpu) => self.idle & 1 << cpu,
            None => self.idle,
        };
        if eligible == 0 {
            return;
        }
        let home = task.cpu();
        let cpu = if eligible & 1 << home != 0 { home } else { eligible.trailing_zeros() as usize };
        self.idle &= !(1 << cpu);
        if cpu == current().cpu() {
            current().want_resched();
        } else {
            smp::kick(cpu);
        }
    }

    /// The next task for a processor.
    fn take(&mut self, cpu: usize) -> Option<&'static Task> {
        let task = self.ready.pop_first(|task| task.bound.is_none_or(|only| only == cpu))?;
        READY.store(READY.load(Relaxed) - 1, Relaxed);
        Some(task)
    }
}

/// Gives the processor to the next task; the running one stays ready.
pub fn schedule() {
    let flags = insn::irq_save();
    let mut run = lock();
    let task = current();
    if task.role != Role::Idle {
        task.state.set(State::Ready);
        run.ready.push_back(task);
        READY.store(READY.load(Relaxed) + 1, Relaxed);
    }
    switch_away(run);
    insn::irq_restore(flags);
}

/// Runs another task. The running one is where its state says; returns when it
/// runs again, maybe on another processor, with interrupts off.
pub(super) fn switch_away(mut run: SpinGuard<'static, RunQueue>) {
    let task = current();
    let cpu = task.cpu();
    task.clear_resched();
    let next = run.take(cpu).unwrap_or_else(|| IDLE[cpu].get());
    if next.role == Role::Idle {
        run.idle |= 1 << cpu;
    } else {
        run.idle &= !(1 << cpu);
    }
    next.state.set(State::Running);
    next.ticks.set(QUANTUM_TICKS);
    if core::ptr::eq(task, next) {
        return;
    }
    if task.state.get() == State::Ready {
        // Who was displaced need not wait for this processor while another one idles (2.4's `reschedule_idle`).
        run.kick_idle(task);
    }
    mm::switch(next);
    next.arrive(cpu);
    segment::set_kernel_stack(cpu, next.stack_top());
    marks::mark(Mark::Switch, next.id);
    if next.activity.get() != task.activity.get() {
        marks::mark(Mark::Activity, next.activity.get() as u32);
    }
    // `finish_switch` releases the lock on the other side.
    core::mem::forget(run);
    // SAFETY: the lock is held, so both stacks are this processor's; `next` was left here too, or is new.
    unsafe { switch_stacks(task.saved_esp.as_ptr(), next.saved_esp.get()) }
    finish_switch();
}

/// The first thing that a task does after it got a processor: release the lock that the last one took.
pub(super) fn finish_switch() {
    // SAFETY: the task that switched to this one has forgotten its guard.
    unsafe { RUN.force_unlock() }
    current().preempt_add(-1);
}
