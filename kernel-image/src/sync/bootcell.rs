//! A value that the boot processor sets once, before any other processor runs,
//! and that everyone reads for ever after.

use core::cell::UnsafeCell;

/// Set once during boot, then read-only.
pub struct BootCell<T>(UnsafeCell<Option<T>>);

// SAFETY: `set` happens before a second processor or task exists, see there.
unsafe impl<T: Sync> Sync for BootCell<T> {}

impl<T> BootCell<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        BootCell(UnsafeCell::new(None))
    }

    /// Gives the cell its value.
    ///
    /// # Safety
    /// Only from the boot sequence in `main.rs`, before other processors are started, and once.
    pub unsafe fn set(&self, value: T) {
        // SAFETY: nobody else runs yet.
        unsafe { *self.0.get() = Some(value) }
    }

    /// The value; panics if boot has not come to it.
    #[inline]
    pub fn get(&self) -> &T {
        // SAFETY: after `set` nobody writes.
        match unsafe { &*self.0.get() } {
            Some(value) => value,
            None => panic!("a boot-time value is read before it is set"),
        }
    }
}
