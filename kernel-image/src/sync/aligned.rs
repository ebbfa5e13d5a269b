//! Data at the beginning of a cache line: what is used together then comes from another processor in one transfer, wherever
//! the linker puts what lies around it.

use core::ops::Deref;

/// `T` from the beginning of a cache line on, with the rest of its last line unused.
#[repr(align(64))]
pub struct Aligned<T>(T);

impl<T> Aligned<T> {
    /// `data`, aligned.
    pub const fn new(data: T) -> Self {
        Aligned(data)
    }
}

impl<T> Deref for Aligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
