//! The processor and its platform: all inline assembly of the kernel is here.

pub mod copy;
pub mod cpu;
pub mod insn;
pub mod lapic;
pub mod lock_kind;
mod mp;
pub mod paging;
pub mod segment;
pub mod smp;
pub mod split;
pub mod trap;
pub mod up;

use core::arch::global_asm;

global_asm!(include_str!("boot.s"));
global_asm!(include_str!("string.s"));
