//! The spinlock of Linux 2.4: one word, unfair, `pause` while it is taken.
//!
//! [`SpinLock::lock`] leaves interrupts as they are and turns preemption off: a
//! holder may be interrupted but keeps its processor. Data that an interrupt
//! handler locks too must be taken with [`SpinLock::lock_irqsave`] everywhere.
//!
//! Only a processor that really waits changes its activity to `LockSpin`. So that
//! its time can be charged to what the holder does meanwhile, the word names the
//! holder (2.4's holds a flag), and the waiter says whom it sees there: taking a
//! free lock costs no mark.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use shootdown_abi::{Activity, Mark};

use crate::arch::insn;
use crate::{marks, percpu, sched};

/// The word of a lock that nobody holds.
const FREE: u32 = 0;

/// Mutual exclusion between processors.
pub struct SpinLock<T> {
    /// Number of the holder plus one; [`FREE`].
    holder: AtomicU32,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands its data to one processor at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// What the guard has to put back besides the lock.
#[derive(Clone, Copy)]
enum Irqs {
    Untouched,
    Saved(u32),
}

/// The right to use the data, until it is dropped.
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    irqs: Irqs,
}

impl<T> SpinLock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Self {
        SpinLock { holder: AtomicU32::new(FREE), data: UnsafeCell::new(data) }
    }

    /// Takes the lock, spinning with interrupts as they are.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        sched::preempt_disable();
        self.take();
        SpinGuard { lock: self, irqs: Irqs::Untouched }
    }

    /// Takes the lock with interrupts off until it is released.
    #[inline]
    pub fn lock_irqsave(&self) -> SpinGuard<'_, T> {
        let flags = insn::irq_save();
        sched::preempt_disable();
        self.take();
        SpinGuard { lock: self, irqs: Irqs::Saved(flags) }
    }

    /// Preemption is off: the holder keeps its processor.
    #[inline]
    fn take(&self) {
        let me = percpu::cpu_id() as u32 + 1;
        if let Err(holder) = self.try_take(me) {
            self.spin(me, holder);
        }
    }

    /// Not a swap: that would overwrite the name of the holder. On failure, the holder.
    #[inline]
    fn try_take(&self, me: u32) -> Result<u32, u32> {
        self.holder.compare_exchange(FREE, me, Ordering::Acquire, Ordering::Relaxed)
    }

    #[cold]
    fn spin(&self, me: u32, mut seen: u32) {
        marks::mark(Mark::WaitsFor, seen);
        let before = marks::activity(Activity::LockSpin);
        loop {
            // Read until the word changes: an attempt would take the line away from the holder each time. Nothing else
            // is in this loop, so that the emulator can skip its passes.
            let mut now = self.holder.load(Ordering::Relaxed);
            while now == seen {
                insn::pause();
                now = self.holder.load(Ordering::Relaxed);
            }
            seen = now;
            marks::mark(Mark::WaitsFor, seen);
            if seen == FREE {
                match self.try_take(me) {
                    Ok(_) => break,
                    Err(holder) => seen = holder,
                }
                marks::mark(Mark::WaitsFor, seen);
            }
        }
        marks::activity(before);
    }

    /// Releases a lock whose guard was forgotten; preemption and interrupts stay as they are.
    ///
    /// # Safety
    /// The caller's processor holds the lock and nobody uses the data any more.
    pub unsafe fn force_unlock(&self) {
        self.holder.store(FREE, Ordering::Release);
    }
}

impl<T> SpinGuard<'_, T> {
    /// Releases the lock and preemption but leaves interrupts off, for a caller
    /// that is on its way into the scheduler. Returns the flags that
    /// [`SpinLock::lock_irqsave`] would have restored.
    pub fn unlock_irqs_off(self) -> Option<u32> {
        debug_assert!(!insn::irqs_on());
        self.lock.holder.store(FREE, Ordering::Release);
        sched::preempt_enable();
        let flags = match self.irqs {
            Irqs::Untouched => None,
            Irqs::Saved(flags) => Some(flags),
        };
        core::mem::forget(self);
        flags
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only way to the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only way to the data.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.holder.store(FREE, Ordering::Release);
        if let Irqs::Saved(flags) = self.irqs {
            insn::irq_restore(flags);
        }
        sched::preempt_enable();
    }
}
