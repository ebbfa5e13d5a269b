//! How processors are made to forget translations of a user address space:
//! after `munmap`, `mprotect`, `mremap`, fork, a copy-on-write break, and when a
//! page goes to the swap device.
//!
//! | file            | who is told                      | who waits for what |
//! |-----------------|----------------------------------|--------------------|
//! | `ipi_sync`      | who has the space loaded         | the initiator, until all have flushed |
//! | `ipi_broadcast` | every other processor            | the same |
//! | `early_ack`     | who has the space loaded         | the initiator, until all are about to flush |
//! | `concurrent`    | the same                         | the initiator flushes while the others do |
//! | `lazy`          | who runs a thread of the space   | idle processors are left out, and flush when they come back |
//! | `tlb_gen`       | who has the space loaded         | a processor whose generation is up to date does nothing |
//!
//! Rules. PTEs are changed first, then [`flush`] is called, then frames are
//! given up. `flush` is called in task context with interrupts on, by a task
//! whose address space it is, `flush_of` by reclaim for a space of somebody
//! else; they may hold locks that are never taken with interrupts off. Which processors have a space loaded is its mask
//! (`AddressSpace::loaded`, `cpu_vm_mask` of Linux): a bit is set before CR3 is
//! loaded and cleared after another root was, so nobody is missed.
//!
//! *One thread.* A space with one thread is used by no processor but the
//! caller's. Others can only have it loaded lazily, and kernel code touches no
//! user address but its own task's: they are marked stale and load CR3 when
//! the thread comes to them. No IPI is sent under any scheme, as a comparison of
//! `mm_users` with 1 spares it in Linux. Reclaim is not of the space: it asks those
//! that the scheme names.
//!
//! *Page tables* live as long as the space. So no scheme has to think of walks
//! through a freed table, which is what `early-ack` could not be used for.
//!
//! The set is closed: a scheme is chosen at boot, and `match` reaches it.

mod concurrent;
mod early_ack;
mod ipi_broadcast;
mod ipi_sync;
mod lazy;
mod tlb_gen;

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use shootdown_abi::Activity;

use crate::cmdline::options;
use crate::kmap::axes::named;
use crate::mm::AddressSpace;
use crate::mm::flush::{self, Scope, To};
use crate::planted::{self, Fault};
use crate::{marks, mm, sched};

named! {
    /// The schemes, by the values of `shootdown=`.
    Scheme {
        /// The mask is interrupted, and all are waited for.
        IpiSync "ipi-sync",
        /// Everybody is interrupted.
        IpiBroadcast "ipi-broadcast",
        /// Acknowledged before the flush.
        EarlyAck "early-ack",
        /// The initiator flushes meanwhile.
        Concurrent "concurrent",
        /// Idle processors flush when they come back.
        Lazy "lazy",
        /// Generations of the space and of what each processor holds.
        TlbGen "tlb-gen",
    }
}

/// What a scheme does. All are unit types.
trait Shootdown {
    /// PTEs of `space` within `scope` have lost their frames or rights: returns when nobody can use what they were.
    /// Preemption is off, interrupts are on.
    fn flush(space: &AddressSpace, scope: Scope);

    /// The same for a space that this processor has not loaded, by a task of another one, which keeps it alive.
    fn flush_other(space: &AddressSpace, scope: Scope) {
        flush::ask(To::Each(space.loaded_elsewhere()), &Request::new(space, scope), || ());
    }

    /// On a processor that was interrupted, with interrupts off: flushes and calls `flush::acknowledge`.
    fn on_request(request: &Request, me: usize) {
        if mm::is_loaded(me, request.space) {
            request.scope.drop_here();
        }
        flush::acknowledge(me);
    }

    /// A thread of `space`, which is loaded on this processor already, is about to run here: has CR3 to be loaded
    /// again? With interrupts off; the processor no longer counts as lazy.
    fn must_load(space: &AddressSpace, cpu: usize) -> bool {
        space.take_stale(cpu)
    }

    /// CR3 is about to be loaded with the root of `space`, with interrupts off.
    fn before_load(_space: &AddressSpace, _cpu: usize) {}

    /// It was.
    fn after_load(_space: &AddressSpace, _cpu: usize) {}
}

/// What a processor is asked for.
#[derive(Clone, Copy)]
pub struct Request {
    /// Only for comparison, unless its initiator still waits.
    space: *const AddressSpace,
    scope: Scope,
    /// The generation that this change began (`tlb-gen`).
    generation: u32,
}

/// The request in flight; written by the holder of the call lock.
static SPACE: AtomicPtr<AddressSpace> = AtomicPtr::new(ptr::null_mut());
/// The page, 0: all of the space.
static PAGE: AtomicU32 = AtomicU32::new(0);
static GENERATION: AtomicU32 = AtomicU32::new(0);

impl Request {
    fn new(space: &AddressSpace, scope: Scope) -> Request {
        Request { space, scope, generation: 0 }
    }

    /// Where handlers find it; the caller holds the call lock.
    pub fn publish(&self) {
        SPACE.store(self.space.cast_mut(), Relaxed);
        PAGE.store(
            match self.scope {
                Scope::Page(address) => address,
                Scope::Space => 0,
            },
            Relaxed,
        );
        GENERATION.store(self.generation, Relaxed);
    }

    fn in_flight() -> Request {
        let scope = match PAGE.load(Relaxed) {
            0 => Scope::Space,
            address => Scope::Page(address),
        };
        Request { space: SPACE.load(Relaxed), scope, generation: GENERATION.load(Relaxed) }
    }
}

/// Evaluates an expression with `$s` standing for the type of the chosen scheme.
macro_rules! chosen {
    ($s:ident => $e:expr) => {
        match options().shootdown {
            Scheme::IpiSync => {
                type $s = ipi_sync::IpiSync;
                $e
            }
            Scheme::IpiBroadcast => {
                type $s = ipi_broadcast::IpiBroadcast;
                $e
            }
            Scheme::EarlyAck => {
                type $s = early_ack::EarlyAck;
                $e
            }
            Scheme::Concurrent => {
                type $s = concurrent::Concurrent;
                $e
            }
            Scheme::Lazy => {
                type $s = lazy::Lazy;
                $e
            }
            Scheme::TlbGen => {
                type $s = tlb_gen::TlbGen;
                $e
            }
        }
    };
}

/// PTEs of the running task's address space have lost frames or rights: when it returns, nobody uses what they were.
pub fn flush(space: &AddressSpace, scope: Scope) {
    // One step as far as migration is concerned: else the flush could hit another processor
    // than the one that is left out.
    sched::preempt_disable();
    if space.is_shared() {
        let before = marks::activity(Activity::FlushInit);
        chosen!(S => S::flush(space, scope));
        marks::activity(before);
    } else {
        space.mark_all_others();
        scope.drop_here();
    }
    sched::preempt_enable();
}

/// The same for any address space, which the running task keeps alive: reclaim takes pages from whoever has them.
pub fn flush_of(space: &AddressSpace, scope: Scope) {
    if sched::current().mm.get().is_some_and(|own| ptr::eq(own, space)) {
        return flush(space, scope);
    }
    sched::preempt_disable();
    let before = marks::activity(Activity::FlushInit);
    chosen!(S => S::flush_other(space, scope));
    marks::activity(before);
    sched::preempt_enable();
}

/// The handler of a request for user translations, with interrupts off.
pub fn on_ipi(me: usize) {
    let request = Request::in_flight();
    chosen!(S => S::on_request(&request, me));
}

/// A thread of `space`, which is loaded on this processor already, is about to run here: has CR3 to be loaded again?
pub fn must_load(space: &AddressSpace, cpu: usize) -> bool {
    !planted::is(Fault::NoReturnFlush) && chosen!(S => S::must_load(space, cpu))
}

/// CR3 is about to be loaded with the root of `space`, with interrupts off.
pub fn before_load(space: &AddressSpace, cpu: usize) {
    chosen!(S => S::before_load(space, cpu));
}

/// CR3 was loaded with the root of `space`, with interrupts off.
pub fn after_load(space: &AddressSpace, cpu: usize) {
    chosen!(S => S::after_load(space, cpu));
}
