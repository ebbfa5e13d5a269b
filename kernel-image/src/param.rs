//! Every limit of the kernel.

/// Most processors that the kernel can bring up; a set of them fits a `u64`.
pub const NCPU: usize = 64;
/// Bytes of a task's kernel stack, its `Task` at the lowest address included. A power of two, and the alignment.
pub const STACK_SIZE: usize = 8192;
/// Barriers that processes can meet at.
pub const NBARRIER: usize = 16;
/// Usable regions of the memory map that the kernel takes note of.
pub const NREGION: usize = 32;
/// Bytes of a command line or module string, the rest is refused.
pub const LINE_MAX: usize = 512;
/// Count from which the local APIC timer runs down per tick, at its bus clock: 1 ms at 100 MHz.
pub const TICK_COUNT: u32 = 100_000;
/// Ticks that a task may run while others wait.
pub const QUANTUM_TICKS: u32 = 2;
/// Ticks between two rounds of a processor's `kwatch` thread.
pub const KWATCH_PERIOD: u32 = 2;
