//! A lock that is slept for: many readers or one writer, `mmap_sem` of Linux 2.4.
//!
//! Its holders may sleep, so tasks that wait for it sleep too. A writer that
//! waits keeps new readers out, or it could wait for ever. So nobody may take
//! it for reading twice: with a writer between the two it would wait for itself.

use super::wait::WaitQueue;
use crate::sync::SpinLock;

struct State {
    readers: u32,
    writer: bool,
    writers_waiting: u32,
}

/// The lock; what it guards is said where it stands.
pub struct RwLock {
    state: SpinLock<State>,
    waiters: WaitQueue,
}

/// The right to read, until it is dropped.
#[must_use]
pub struct ReadGuard<'a>(&'a RwLock);

/// The right to write, until it is dropped.
#[must_use]
pub struct WriteGuard<'a>(&'a RwLock);

impl RwLock {
    /// A free lock.
    pub const fn new() -> RwLock {
        RwLock {
            state: SpinLock::new(State { readers: 0, writer: false, writers_waiting: 0 }),
            waiters: WaitQueue::new(),
        }
    }

    /// Sleeps until nobody writes or waits to.
    pub fn read(&self) -> ReadGuard<'_> {
        let mut state = self.state.lock();
        while state.writer || state.writers_waiting > 0 {
            self.waiters.sleep_on(state);
            state = self.state.lock();
        }
        state.readers += 1;
        ReadGuard(self)
    }

    /// Sleeps until nobody reads or writes.
    pub fn write(&self) -> WriteGuard<'_> {
        let mut state = self.state.lock();
        while state.writer || state.readers > 0 {
            state.writers_waiting += 1;
            self.waiters.sleep_on(state);
            state = self.state.lock();
            state.writers_waiting -= 1;
        }
        state.writer = true;
        WriteGuard(self)
    }
}

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.readers -= 1;
        let last = state.readers == 0;
        drop(state);
        if last {
            self.0.waiters.wake_all();
        }
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.0.state.lock().writer = false;
        self.0.waiters.wake_all();
    }
}
