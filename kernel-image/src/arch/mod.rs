//! The processor and its platform: all inline assembly of the kernel is here.

pub mod insn;
