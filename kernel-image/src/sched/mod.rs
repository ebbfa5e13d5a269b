//! Tasks and who runs where.
//!
//! - `task`: a stack with its task at the bottom
//! - `run`: the run queue and the context switch
//! - `wait`: sleeping and waking; `rw_lock`: a lock made of it
//! - `threads`: the tasks that the kernel itself has: idle, and `kwatch`

mod queue;
mod run;
mod rw_lock;
mod task;
mod threads;
mod wait;

pub use run::schedule;
pub use rw_lock::{ReadGuard, RwLock, WriteGuard};
pub use task::{Task, current};
pub use threads::{create_idle, idle, init, start_threads, tick};
pub use wait::WaitQueue;

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::arch::insn;
use crate::cmdline::options;
use crate::mm::AddressSpace;
use crate::sync::SpinGuard;
use task::{Role, State};

/// Ids of tasks: 0 is CPU 0's idle task, 1 the first process.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// May the running task lose its processor inside the kernel? With `preempt=off` only the idle task may; the others are
/// asked when they return to ring 3, as in Linux before 2.6.
pub fn preemptible() -> bool {
    options().preempt || current().role == Role::Idle
}

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
    if task.wants_resched() && task.preempt_count() == 0 && insn::irqs_on() && preemptible() {
        schedule();
    }
}

/// Gives the processor up of the task's own accord. A task that holds something which forbids that (an atomic slot, a
/// spinlock) is a bug, and reported as one.
pub fn yield_now() {
    let task = current();
    assert!(
        task.preempt_count() == 0,
        "task {} may not sleep here: it holds an atomic kmap or a spinlock",
        task.id
    );
    schedule();
}

/// Gives the processor to the next task, whatever the running one holds; only ever called where a fault is planted.
#[cold]
pub fn schedule_anyway() {
    let task = current();
    let held = task.preempt_count() as i32;
    task.preempt_add(-held);
    schedule();
    task.preempt_add(held);
}

/// Makes a process that begins at `entry` in the kernel, not yet ready to run; none if memory is out.
pub fn create_process(mm: &'static AddressSpace, entry: extern "C" fn() -> !) -> Option<&'static Task> {
    let task = Task::create(Task::new(new_id(), current().cpu(), Role::Process, None), entry)?;
    task.mm.set(Some(mm));
    Some(task)
}

/// Makes a thread of the address space `mm`, number `number` there, as [`create_process`] makes a process.
pub fn create_thread(
    mm: &'static AddressSpace,
    number: u32,
    entry: extern "C" fn() -> !,
) -> Option<&'static Task> {
    let task = create_process(mm, entry)?;
    task.number.set(number);
    // It has run nowhere: wherever it begins, it arrives.
    task.last_cpu.store(u32::MAX, Relaxed);
    Some(task)
}

/// Lets a new task run.
pub fn start(task: &'static Task) {
    let flags = insn::irq_save();
    let mut run = run::lock();
    run.make_ready(task);
    drop(run);
    insn::irq_restore(flags);
}

/// What a new task does first: ends the switch that led to it, and lets interrupts in.
pub fn begin() {
    run::finish_switch();
    insn::sti();
}

/// Ends the running task for good, and releases the lock under which its end was announced.
pub fn die<T>(guard: SpinGuard<'_, T>) -> ! {
    insn::cli();
    let run = run::lock();
    current().state.set(State::Dead);
    let _ = guard.unlock_irqs_off();
    run::switch_away(run);
    unreachable!("a dead task runs");
}

/// Gives the memory of a dead task back.
///
/// # Safety
/// No reference to the task is left, and its end was announced under a lock that the caller has held since.
pub unsafe fn bury(task: &'static Task) {
    // It took the scheduler's lock before it released that other lock, and keeps it until it is off its stack.
    let flags = insn::irq_save();
    drop(run::lock());
    insn::irq_restore(flags);
    assert!(task.state.get() == State::Dead, "task {} is buried alive", task.id);
    // SAFETY: promised by the caller, and checked just now.
    unsafe { task.destroy() }
}

fn new_id() -> u32 {
    NEXT_ID.fetch_add(1, Relaxed)
}
