//! A lock between threads of this program: test and set, and a `yield` while it is taken.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// Mutual exclusion between threads.
pub struct Lock<T> {
    taken: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands its data to one thread at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The right to use the data, until it is dropped.
pub struct Guard<'a, T>(&'a Lock<T>);

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Lock<T> {
        Lock { taken: AtomicBool::new(false), data: UnsafeCell::new(data) }
    }

    /// Takes it, letting others run meanwhile.
    pub fn lock(&self) -> Guard<'_, T> {
        while self.taken.swap(true, Ordering::Acquire) {
            sys::yield_now();
        }
        Guard(self)
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only way to the data.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only way to the data.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
