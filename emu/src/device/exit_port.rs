//! QEMU's `isa-debug-exit` at 0xF4: four ports wide; a write of `v` ends the
//! machine with process exit status `(v << 1) | 1`. Reads give 0.

use super::{EXIT, PortWrite};

/// What a read gives.
pub(super) const READ: u8 = 0;
/// Ports covered.
const PORTS: u16 = 4;

/// Is this one of the ports?
pub(super) fn covers(port: u16) -> bool {
    (EXIT..EXIT + PORTS).contains(&port)
}

/// A write of `size` bytes: the value counts as written, whichever of the ports takes it.
pub(super) fn write(size: u32, value: u32) -> PortWrite {
    PortWrite::Exit(match size {
        1 => value & 0xff,
        2 => value & 0xffff,
        _ => value,
    })
}
