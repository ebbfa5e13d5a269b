//! Sleeping until somebody says that something has happened.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::queue::TaskList;
use super::run::{self, RunQueue};
use super::task::{State, current};
use crate::arch::insn;
use crate::sync::{Kind, SpinGuard};

/// Tasks that sleep for one reason. The condition they wait for is guarded by a
/// spin lock of the user's, see [`WaitQueue::sleep_on`].
pub struct WaitQueue {
    /// Under the scheduler's lock.
    sleepers: UnsafeCell<TaskList>,
    /// Length of the list, so that a wake-up of nobody costs no lock.
    count: AtomicU32,
}

// SAFETY: the list is touched by the holder of the scheduler's lock only.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// Nobody waits.
    pub const fn new() -> Self {
        WaitQueue { sleepers: UnsafeCell::new(TaskList::new()), count: AtomicU32::new(0) }
    }

    /// Releases the lock and sleeps until [`WaitQueue::wake_all`]. The lock is not held on
    /// return, and the condition may be false again.
    ///
    /// No wake-up is lost if whoever makes the condition true takes the same
    /// lock for it and calls `wake_all` during or after that: the task is in the
    /// queue before it lets go of the lock, and cannot be found by the waker
    /// before it is off its processor, since both need the scheduler's lock.
    pub fn sleep_on<T, K: Kind>(&self, guard: SpinGuard<'_, T, K>) {
        let flags = insn::irq_save();
        let mut run = run::lock();
        let task = current();
        task.state.set(State::Sleeping);
        self.list(&mut run).push_back(task);
        self.count.fetch_add(1, Ordering::Relaxed);
        let flags = guard.unlock_irqs_off().unwrap_or(flags);
        assert!(
            task.preempt_count() == 1,
            "task {} may not sleep here: it holds an atomic kmap or a spinlock",
            task.id
        );
        run::switch_away(run);
        insn::irq_restore(flags);
    }

    /// Everyone who sleeps here may run again. Callable from interrupts.
    pub fn wake_all(&self) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let flags = insn::irq_save();
        let mut run = run::lock();
        while let Some(task) = self.list(&mut run).pop_front() {
            self.count.fetch_sub(1, Ordering::Relaxed);
            run.make_ready(task);
        }
        drop(run);
        insn::irq_restore(flags);
    }

    fn list<'a>(&'a self, _proof: &'a mut RunQueue) -> &'a mut TaskList {
        // SAFETY: the proof says that the scheduler's lock is held, and borrows it as long as the list.
        unsafe { &mut *self.sleepers.get() }
    }
}
