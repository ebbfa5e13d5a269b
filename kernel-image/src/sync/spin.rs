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
//!
//! The locks of the shared windows may be of another kind (`chosen`).

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use shootdown_abi::{Activity, Mark};

use crate::arch::insn;
use crate::{marks, percpu, sched};

/// The word of a lock that nobody holds.
const FREE: u32 = 0;

/// How a lock is taken and released.
pub trait Kind: Sync {
    /// Nobody holds it.
    const FREE: Self;

    /// Takes it, spinning if need be. Preemption is off: the holder keeps its processor.
    fn take(&self);

    /// Releases it, by its holder.
    fn release(&self);
}

/// See the module: number of the holder plus one; [`FREE`].
pub struct Tas(AtomicU32);

/// Mutual exclusion between processors.
pub struct SpinLock<T, K = Tas> {
    kind: K,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands its data to one processor at a time.
unsafe impl<T: Send, K: Kind> Sync for SpinLock<T, K> {}

/// What the guard has to put back besides the lock.
#[derive(Clone, Copy)]
enum Irqs {
    Untouched,
    Saved(u32),
}

/// The right to use the data, until it is dropped.
pub struct SpinGuard<'a, T, K: Kind = Tas> {
    lock: &'a SpinLock<T, K>,
    irqs: Irqs,
}

impl<T, K: Kind> SpinLock<T, K> {
    /// A free lock.
    pub const fn new(data: T) -> Self {
        SpinLock { kind: K::FREE, data: UnsafeCell::new(data) }
    }

    /// Takes the lock, spinning with interrupts as they are.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T, K> {
        sched::preempt_disable();
        self.kind.take();
        SpinGuard { lock: self, irqs: Irqs::Untouched }
    }

    /// Takes the lock with interrupts off until it is released.
    #[inline]
    pub fn lock_irqsave(&self) -> SpinGuard<'_, T, K> {
        let flags = insn::irq_save();
        sched::preempt_disable();
        self.kind.take();
        SpinGuard { lock: self, irqs: Irqs::Saved(flags) }
    }

    /// Releases a lock whose guard was forgotten; preemption and interrupts stay as they are.
    ///
    /// # Safety
    /// The caller's processor holds the lock and nobody uses the data any more.
    pub unsafe fn force_unlock(&self) {
        self.kind.release();
    }
}

impl Kind for Tas {
    #[allow(clippy::declare_interior_mutable_const, reason = "the beginning of each lock, not shared")]
    const FREE: Tas = Tas(AtomicU32::new(FREE));

    #[inline]
    fn take(&self) {
        let me = percpu::cpu_id() as u32 + 1;
        if let Err(holder) = self.try_take(me) {
            self.wait(me, holder);
        }
    }

    #[inline]
    fn release(&self) {
        self.0.store(FREE, Ordering::Release);
    }
}

impl Tas {
    /// Not a swap: that would overwrite the name of the holder. On failure, the holder.
    #[inline]
    fn try_take(&self, me: u32) -> Result<(), u32> {
        self.0.compare_exchange(FREE, me, Ordering::Acquire, Ordering::Relaxed).map(|_| ())
    }

    #[cold]
    fn wait(&self, me: u32, seen: u32) {
        wait(seen, || self.0.load(Ordering::Relaxed), || self.try_take(me));
    }
}

/// Spins until `try_take` has the lock; it gives the holder where it has not. `look` gives the holder, as [`FREE`] none, and
/// `seen` is what it was at first.
#[inline(always)]
pub(super) fn wait(mut seen: u32, look: impl Fn() -> u32, try_take: impl Fn() -> Result<(), u32>) {
    marks::mark(Mark::WaitsFor, seen);
    let before = marks::activity(Activity::LockSpin);
    loop {
        // Read until the word changes: an attempt would take the line away from the holder each time. Nothing else
        // is in this loop, so that the emulator can skip its passes.
        let mut now = look();
        while now == seen {
            insn::pause();
            now = look();
        }
        seen = now;
        marks::mark(Mark::WaitsFor, seen);
        if seen == FREE {
            match try_take() {
                Ok(()) => break,
                Err(holder) => seen = holder,
            }
            marks::mark(Mark::WaitsFor, seen);
        }
    }
    marks::activity(before);
}

impl<T, K: Kind> SpinGuard<'_, T, K> {
    /// Releases the lock and preemption but leaves interrupts off, for a caller
    /// that is on its way into the scheduler. Returns the flags that
    /// [`SpinLock::lock_irqsave`] would have restored.
    pub fn unlock_irqs_off(self) -> Option<u32> {
        debug_assert!(!insn::irqs_on());
        self.lock.kind.release();
        sched::preempt_enable();
        let flags = match self.irqs {
            Irqs::Untouched => None,
            Irqs::Saved(flags) => Some(flags),
        };
        core::mem::forget(self);
        flags
    }
}

impl<T, K: Kind> Deref for SpinGuard<'_, T, K> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only way to the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, K: Kind> DerefMut for SpinGuard<'_, T, K> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only way to the data.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T, K: Kind> Drop for SpinGuard<'_, T, K> {
    #[inline]
    fn drop(&mut self) {
        self.lock.kind.release();
        if let Irqs::Saved(flags) = self.irqs {
            insn::irq_restore(flags);
        }
        sched::preempt_enable();
    }
}
