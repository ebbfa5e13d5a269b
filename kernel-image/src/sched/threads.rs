//! The tasks that the kernel itself has: an idle task and a `kwatch` thread per
//! processor.
//!
//! Neither has a user half: they run on whatever page tables the task before
//! them has left (lazy TLB), and a processor that comes back to that task has
//! not loaded CR3 in between. `kwatch` looks for kernel stacks that have been
//! overrun, one task per round; it is also what makes lazy switches a matter of
//! course on a loaded processor.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, Ordering::Relaxed};

use shootdown_abi::Activity;

use super::run;
use super::task::{Role, State, Task, current};
use super::{begin, new_id, start};
use crate::arch::insn;
use crate::param::{KWATCH_PERIOD, NCPU};
use crate::percpu;
use crate::sync::BootCell;
use crate::{kmap, marks, process, reader};

static TICKS: [AtomicU32; NCPU] = [const { AtomicU32::new(0) }; NCPU];
static KWATCH: [BootCell<&'static Task>; NCPU] = [const { BootCell::new() }; NCPU];
static THREADS_UP: AtomicBool = AtomicBool::new(false);

/// Boot becomes CPU 0's idle task.
pub fn init() {
    run::set_idle(0, current());
}

/// Makes the idle task of another processor, on whose stack the processor starts; none if memory is out.
pub fn create_idle(cpu: usize) -> Option<&'static Task> {
    let task = Task::create(Task::new(idle_id(cpu), cpu, Role::Idle, Some(cpu)), unreachable_entry)?;
    run::set_idle(cpu, task);
    Some(task)
}

/// Idle tasks share one id per processor, out of the way of processes.
fn idle_id(cpu: usize) -> u32 {
    0x00f0_0000 + cpu as u32
}

extern "C" fn unreachable_entry() -> ! {
    unreachable!("an idle task begins where its processor starts")
}

/// Runs when nothing else can. Entered with interrupts off and the preemption count that a task is born with.
pub fn idle() -> ! {
    super::preempt_enable();
    // Registers this processor as idle if there is nothing to run. From then on whoever makes a
    // task ready kicks it, and the handler of the kick schedules.
    super::schedule();
    loop {
        insn::cli();
        if current().wants_resched() {
            super::schedule();
        } else {
            let before = marks::activity(Activity::Idle);
            // A kick that came since `cli` waits until `hlt` has begun, and ends it.
            insn::sti_hlt();
            marks::activity(before);
        }
    }
}

/// Starts `kwatch` on every processor.
pub fn start_threads() {
    for (cpu, slot) in KWATCH.iter().enumerate().take(percpu::cpu_count()) {
        let task = Task::create(Task::new(new_id(), cpu, Role::Thread, Some(cpu)), kwatch)
            .expect("no memory for the stack of kwatch");
        // SAFETY: `tick` reads it only after THREADS_UP.
        unsafe { slot.set(task) }
        start(task);
    }
    THREADS_UP.store(true, Ordering::Release);
}

extern "C" fn kwatch() -> ! {
    begin();
    loop {
        process::check_next_stack();
        reader::in_thread();
        kmap::watch();
        sleep();
    }
}

/// Sleeps until `tick` wakes it.
fn sleep() {
    let flags = insn::irq_save();
    let run = run::lock();
    current().state.set(State::Sleeping);
    run::switch_away(run);
    insn::irq_restore(flags);
}

/// The timer interrupt of this processor.
pub fn tick() {
    let task = current();
    let cpu = task.cpu();
    reader::in_interrupt();
    let ticks = TICKS[cpu].load(Relaxed).wrapping_add(1);
    TICKS[cpu].store(ticks, Relaxed);
    let left = task.ticks.get().saturating_sub(1);
    task.ticks.set(left);
    if run::anyone_ready() && (left == 0 || task.role == Role::Idle) {
        task.want_resched();
    }
    if ticks.is_multiple_of(KWATCH_PERIOD) && THREADS_UP.load(Ordering::Acquire) {
        let mut run = run::lock();
        let kwatch: &'static Task = KWATCH[cpu].get();
        if kwatch.state.get() == State::Sleeping {
            run.make_ready(kwatch);
        }
    }
}
