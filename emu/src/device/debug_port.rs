//! Port 0xE9, the debug console of Bochs and QEMU: a byte written appears on the
//! host; a read gives the port's own number, by which a guest finds it there.

/// What a read gives.
pub(super) const READ: u8 = 0xe9;
