//! Invalidating TLBs: the local primitives and the call that reaches other
//! processors, all of them for kernel addresses ([`all_cpus`]), those that a
//! scheme of `shootdown` names for user addresses ([`ask`]).
//!
//! ```text
//!  initiator                             every other processor that is online
//!  preemption off
//!  take the call lock (interrupts on) -> answers other initiators while it spins
//!  write the request, one ICR write --->  interrupt, flush, then clear the own
//!  wait until all bits are clear   <----  bit of `waiting`
//!  (flush itself before or after)
//! ```
//!
//! This is `smp_call_function` of Linux 2.4 with `wait = 1`: one call at a
//! time, its initiator waits until every handler has *finished*, idle
//! processors included. Interrupts stay on while it spins and waits, so two
//! initiators answer each other; calling it with interrupts off is a bug,
//! since a peer could wait for this processor for ever.
//!
//! A processor that is not online yet is not waited for: it flushes itself
//! when it comes up (`mm::cpu_up`), after it is in the online mask. The
//! broadcast may reach it before that; then it flushes once more than needed.

use crate::arch::{insn, smp};
use crate::shootdown::{self, Request};
use crate::{kmap, marks, percpu, planted, sched, sync::SpinLock};
use core::sync::atomic::{
    AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use shootdown_abi::{Activity, Counter, FLUSH_VECTOR, Mark};

/// What of a user address space is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The page at this address.
    Page(u32),
    /// All of the space.
    Space,
}

impl Scope {
    /// Drops it on this processor, which has the space loaded.
    pub fn drop_here(self) {
        match self {
            Scope::Page(address) => local_page(address),
            Scope::Space => local_non_global(),
        }
    }
}

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Every processor that is online but this one: one message.
    AllOthers,
    /// These, bit n for processor n: a message for each.
    Each(u64),
}

/// What a flush of all processors drops, on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything but global entries: CR3 loaded with its own value.
    NonGlobal,
    /// Everything: CR4.PGE off and on.
    Global,
    /// The same by `invpcid` of type 2.
    Everything,
    /// The slots that `batched-range` has noted: `invlpg` for each.
    Slots,
    /// The page at this address, page aligned: `invlpg`.
    Page(u32),
}

/// The request is what `shootdown` has published; no word of a [`Kind`].
const USER: u32 = 4;

impl Kind {
    /// The request as one word; no page that is flushed has an address below 4096.
    fn word(self) -> u32 {
        match self {
            Kind::NonGlobal => 0,
            Kind::Global => 1,
            Kind::Everything => 2,
            Kind::Slots => 3,
            Kind::Page(address) => address,
        }
    }

    fn from_word(word: u32) -> Kind {
        match word {
            0 => Kind::NonGlobal,
            1 => Kind::Global,
            2 => Kind::Everything,
            3 => Kind::Slots,
            address => Kind::Page(address),
        }
    }
}

/// When the initiator flushes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// While the others are at it (deferred).
    First,
    /// When the others have finished (pkmap's `flush_all`).
    Last,
}

/// Drops the entries of one page on this processor.
pub fn local_page(address: u32) {
    insn::invlpg(address);
}

/// Drops all entries but the global ones on this processor.
pub fn local_non_global() {
    load_root(insn::read_cr3());
}

/// Drops all entries on this processor, global ones too.
pub fn local_global() {
    let flags = insn::irq_save();
    let cr4 = insn::read_cr4();
    // SAFETY: PGE only decides what the TLB keeps; it ends as it was.
    unsafe {
        insn::write_cr4(cr4 & !insn::CR4_PGE);
        insn::write_cr4(cr4);
    }
    insn::irq_restore(flags);
}

/// Loads CR3: the only place of the kernel that does once it runs. What the load means for the
/// kernel window is the strategy's business.
pub fn load_root(root: u32) {
    let flags = insn::irq_save();
    kmap::around_root_load(|| {
        // SAFETY: `root` is this processor's present root or that of the address space that the scheduler
        // switches to; every root has the kernel half.
        unsafe { insn::write_cr3(root) }
    });
    insn::irq_restore(flags);
}

/// Drops what `kind` says on this processor.
pub fn local(kind: Kind) {
    match kind {
        Kind::NonGlobal => local_non_global(),
        Kind::Global => local_global(),
        Kind::Everything => insn::invpcid_all(),
        Kind::Slots => kmap::invalidate_slots_here(),
        Kind::Page(address) => local_page(address),
    }
}

/// Held by the initiator from before its request until all have finished.
static CALL: SpinLock<()> = SpinLock::new(());
static REQUEST: AtomicU32 = AtomicU32::new(0);
/// Processors that have not finished the call yet.
static WAITING: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

/// Flushes every processor; returns when all have done it.
///
/// In task context with interrupts on; the caller may hold locks that are never taken with interrupts off.
pub fn all_cpus(kind: Kind, own: Own) {
    sched::preempt_disable();
    let before = marks::activity(Activity::FlushInit);
    let others = others();
    if others == 0 {
        local(kind);
    } else {
        assert!(insn::irqs_on(), "a flush of all processors with interrupts off");
        let task = sched::current().id;
        marks::mark(Mark::FlushBegin, task);
        let guard = CALL.lock();
        call(kind.word(), To::AllOthers, others, || {
            if own == Own::First {
                local(kind);
            }
        });
        if own == Own::Last {
            if planted::is(planted::Fault::PreemptFlush) {
                sched::schedule_anyway();
            }
            local(kind);
        }
        drop(guard);
        marks::mark(Mark::FlushEnd, task);
    }
    marks::activity(before);
    sched::preempt_enable();
}

/// Has other processors answer a request about user addresses, and does `meanwhile` while they are at it; returns when
/// all have acknowledged. Nothing at all happens if it is for nobody.
///
/// With preemption off, interrupts on and the activity `FlushInit`; locks as for [`all_cpus`].
pub fn ask(to: To, request: &Request, meanwhile: impl FnOnce()) {
    let targets = match to {
        To::AllOthers => others(),
        To::Each(targets) => targets,
    };
    if targets == 0 {
        return;
    }
    assert!(insn::irqs_on(), "a shootdown with interrupts off");
    let task = sched::current().id;
    marks::mark(Mark::FlushBegin, task);
    marks::count(Counter::Shootdowns, 1);
    let guard = CALL.lock();
    request.publish();
    call(USER, to, targets, meanwhile);
    drop(guard);
    marks::mark(Mark::FlushEnd, task);
}

/// The processors that are online, without this one.
fn others() -> u64 {
    percpu::online() & !(1 << percpu::cpu_id())
}

/// Interrupts `targets` and waits for them; the caller holds the call lock.
#[inline(always)]
fn call(request: u32, to: To, targets: u64, meanwhile: impl FnOnce()) {
    REQUEST.store(request, Relaxed);
    WAITING[0].store(targets as u32, Release);
    WAITING[1].store((targets >> 32) as u32, Release);
    match to {
        To::AllOthers => smp::ipi_all_others(FLUSH_VECTOR),
        To::Each(_) => smp::ipi_each(targets, FLUSH_VECTOR),
    }
    meanwhile();
    marks::activity(Activity::AckWait);
    while WAITING[0].load(Acquire) | WAITING[1].load(Acquire) != 0 {
        insn::pause();
    }
    marks::activity(Activity::FlushInit);
}

/// The handler of the flush vector, with interrupts off. The caller acknowledges the interrupt itself.
pub fn on_ipi() {
    let me = percpu::cpu_id();
    let before = marks::activity(Activity::IpiHandler);
    marks::mark(Mark::HandlerBegin, me as u32);
    let request = REQUEST.load(Relaxed);
    if request == USER {
        shootdown::on_ipi(me);
    } else {
        flush_kernel(Kind::from_word(request), me);
    }
    marks::mark(Mark::HandlerEnd, me as u32);
    marks::activity(before);
}

fn flush_kernel(kind: Kind, me: usize) {
    if planted::is(planted::Fault::EarlyAck) {
        acknowledge(me);
        insn::sti();
        planted::linger();
        insn::cli();
        local(kind);
    } else {
        if !(planted::is(planted::Fault::SkipIdle) && sched::current().is_idle()) {
            local(kind);
        }
        acknowledge(me);
    }
}

/// This processor has answered the call that it was interrupted for.
pub fn acknowledge(me: usize) {
    WAITING[me / 32].fetch_and(!(1 << (me % 32)), AcqRel);
}
