//! A task: its kernel stack with what the kernel knows of it at the bottom.
//!
//! ```text
//! stack top  +--------------------+ <- base + STACK_SIZE
//!            | trap frame         |
//!            | kernel frames      |
//!            |        |           |
//!            |        v           |
//!            | canary             |
//!            | Task               |
//! base       +--------------------+ aligned to STACK_SIZE
//! ```
//!
//! So the running task is `esp` rounded down, as in Linux 2.4.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use shootdown_abi::Activity;

use crate::arch::insn;
use crate::mm::AddressSpace;
use crate::param::STACK_SIZE;

/// What the kernel knows of a task.
#[repr(C)]
pub struct Task {
    /// Names the task in marks and system calls; 0 and up, never used twice.
    pub id: u32,
    /// The processor it runs on, or ran on last.
    cpu: AtomicU32,
    preempt: AtomicU32,
    resched: AtomicBool,
    /// What it is busy with; follows it from processor to processor.
    pub activity: Cell<Activity>,
    /// Its user half; none for kernel threads.
    pub mm: Cell<Option<&'static AddressSpace>>,
    /// Kernel addresses that it holds (`deferred-seq`).
    pub pins: AtomicU32,
    /// The processor that it ran on before this one; set after `mm::switch`.
    pub last_cpu: AtomicU32,
}

// SAFETY: each `Cell` says who may touch it: the task itself, or the holder of the scheduler's lock.
unsafe impl Sync for Task {}

impl Task {
    /// The processor it runs on, or ran on last.
    #[inline(always)]
    pub fn cpu(&self) -> usize {
        self.cpu.load(Relaxed) as usize
    }

    /// Only the task itself and interrupts on its processor write the count, and an
    /// interrupt leaves it as it was: plain loads and stores do.
    #[inline(always)]
    pub(super) fn preempt_add(&self, n: i32) {
        self.preempt.store(self.preempt.load(Relaxed).wrapping_add_signed(n), Relaxed);
    }

    /// How many times preemption is off.
    #[inline(always)]
    pub fn preempt_count(&self) -> u32 {
        self.preempt.load(Relaxed)
    }

    /// Whether it has to give its processor up.
    #[inline(always)]
    pub fn wants_resched(&self) -> bool {
        self.resched.load(Relaxed)
    }
}

/// The running task.
#[inline(always)]
pub fn current() -> &'static Task {
    // SAFETY: every stack that the kernel runs on has its task at the bottom.
    unsafe { &*((insn::esp() & !(STACK_SIZE as u32 - 1)) as *const Task) }
}
