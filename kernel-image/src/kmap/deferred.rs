//! Sequence numbers for a shared window with LRU recycling: what `deferred-seq`
//! and `deferred-local` have in common, which is all but what a processor does
//! when it finds itself out of date.
//!
//! *Protocol.* `epoch` counts remaps; `seen[c]` is the epoch up to which
//! processor c has flushed its whole TLB; `stamp[c][K]` is the remap of slot K
//! that c has invalidated by itself; `born` is the epoch of K's last remap.
//!
//! ```text
//!  get(p):     lock;  while p.kva is none { recycle the least recently used slot without pins, or sleep }
//!              K.pin += 1;  unlock;  ensure(K)
//!  recycle(K): old page's kva = none;  write PTE                        // W
//!              epoch += 1;  K.born = epoch                              // after W
//!              invlpg(K);  stamp[me][K] = K.born                        // after W, preemption off
//!  ensure(K):  preemption off
//!              seen[c] >= K.born or stamp[c][K] == K.born -> done       // the usual case
//!              else the conflict: what the strategy does about it
//!  reload_cr3: interrupts off;  s = epoch;  mov cr3;  seen[c] = s       // sampled BEFORE the load
//!  switch:     another page directory -> reload_cr3 with it; same or none, but the task holds pins
//!              and ran elsewhere before -> reload_cr3; else nothing counts as a flush
//!  put(p):     lock;  K.pin -= 1;  0: to the LRU's tail, wake sleepers;  unlock
//! ```
//!
//! *Invariants.*
//! - (D1) `seen[c] >= K.born` or `stamp[c][K] == K.born` implies that the TLB
//!   of c holds for K nothing but the current PTE.
//! - (D2) A kva is used on c only after `ensure(K)` ran on c since the task
//!   last *arrived* on c (or arriving there loaded CR3).
//! - (D3) pin > 0: the PTE may not change.
//! - (D4) The window's PTEs have G = 0.
//!
//! *Departure.* A slot's very first mapping turns a PTE that was never present
//! into a present one. No TLB holds such a PTE, so D1 holds with `born = 0`
//! for everybody, and there is no `invlpg` and no new epoch: the figures then
//! count invalidations of recycled slots and nothing else.

use super::{Kept, Kmap, Loaded, Use, direct_address, inval, window};
use crate::mm::flush;
use crate::mm::{Frame, is_low};
use crate::param::NCPU;
use crate::planted::{self, Fault, linger};
use crate::sched::{Task, WaitQueue};
use crate::sync::{Aligned, Chosen, SpinLock};
use crate::{marks, percpu, sched};
use core::marker::PhantomData;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
use shootdown_abi::{Counter, Table};

/// No slot: the end of the LRU list.
const NIL: u32 = u32::MAX;
/// Marks a slot as used for fault `j`; never an epoch.
const TOUCHED: u64 = u64::MAX;

/// One slot of the window; frame and pins lie as [`Table::Pins`] says.
#[repr(C)]
#[derive(Clone, Copy)]
struct Slot {
    /// Frame that it maps, or [`Frame::NONE`].
    frame: u32,
    pins: u32,
    /// Epoch of its last remap.
    born: u64,
    /// Neighbours in the LRU list while `pins` is 0.
    before: u32,
    after: u32,
}

struct Window {
    slots: &'static mut [Slot],
    /// Least recently used slot without pins.
    head: u32,
    /// Most recently used one.
    tail: u32,
    /// Tasks that sleep for a slot.
    waiting: u32,
}

/// `kva_lock`. Never taken with interrupts off.
static WINDOW: Aligned<SpinLock<Window, Chosen>> =
    Aligned::new(SpinLock::new(Window { slots: &mut [], head: NIL, tail: NIL, waiting: 0 }));
static SLOT_UNUSED: WaitQueue = WaitQueue::new();

/// Remaps so far. Raised under the lock, sampled without it.
static EPOCH: AtomicU64 = AtomicU64::new(0);
static SEEN: [Seen; NCPU] = [const { Seen { low: AtomicU32::new(0), high: AtomicU32::new(0) } }; NCPU];
/// A row of stamps per processor, one per slot; used only by that processor with preemption off.
static STAMPS: [AtomicPtr<u64>; NCPU] = [const { AtomicPtr::new(core::ptr::null_mut()) }; NCPU];
/// Length of a row.
static SLOTS: AtomicU32 = AtomicU32::new(0);

/// The epoch now. A plain 64-bit load is not atomic on this processor; `cmpxchg8b` is.
fn epoch() -> u64 {
    match EPOCH.compare_exchange(0, 0, SeqCst, SeqCst) {
        Ok(value) | Err(value) => width(value),
    }
}

/// An epoch as wide as it is: 64 bits, which never wrap. Fault `k` is a build with 8.
fn width(epoch: u64) -> u64 {
    if planted::is(Fault::K) { epoch & 0xff } else { epoch }
}

/// Raises the epoch; under the lock.
fn next_epoch() -> u64 {
    let mut now = epoch();
    while let Err(other) = EPOCH.compare_exchange(now, now + 1, SeqCst, SeqCst) {
        now = other;
    }
    width(now + 1)
}

/// A 64-bit number that only its processor writes, with interrupts off, and only its processor reads.
struct Seen {
    low: AtomicU32,
    high: AtomicU32,
}

impl Seen {
    fn store(&self, value: u64) {
        self.low.store(value as u32, Relaxed);
        self.high.store((value >> 32) as u32, Relaxed);
    }

    /// With preemption off; an interrupt may store in between, and then the high half is read again.
    fn load(&self) -> u64 {
        loop {
            let high = self.high.load(SeqCst);
            let low = self.low.load(SeqCst);
            if self.high.load(SeqCst) == high {
                return (high as u64) << 32 | low as u64;
            }
        }
    }
}

fn stamp(cpu: usize, slot: usize) -> *mut u64 {
    debug_assert!(slot < SLOTS.load(Relaxed) as usize);
    STAMPS[cpu].load(Relaxed).wrapping_add(slot)
}

/// With preemption off, on `cpu`.
fn read_stamp(cpu: usize, slot: usize) -> u64 {
    // SAFETY: `cpu_up` gave this processor a row with an entry per slot; nobody else uses it.
    unsafe { stamp(cpu, slot).read() }
}

/// This processor's TLB holds nothing for `slot` but what it was mapped to at `born`. With preemption off, on `cpu`.
pub fn write_stamp(cpu: usize, slot: usize, born: u64) {
    // SAFETY: as above.
    unsafe { stamp(cpu, slot).write(born) }
}

impl Window {
    fn link_at_tail(&mut self, k: u32) {
        let last = self.tail;
        self.slots[k as usize].before = last;
        self.slots[k as usize].after = NIL;
        match last {
            NIL => self.head = k,
            last => self.slots[last as usize].after = k,
        }
        self.tail = k;
    }

    fn unlink(&mut self, k: u32) {
        let Slot { before, after, .. } = self.slots[k as usize];
        match before {
            NIL => self.head = after,
            b => self.slots[b as usize].after = after,
        }
        match after {
            NIL => self.tail = before,
            a => self.slots[a as usize].before = before,
        }
    }

    /// Takes slot `k`, which has no pins, from its page and gives it to `frame`.
    fn recycle(&mut self, k: usize, frame: Frame) {
        let old = self.slots[k].frame;
        let mut born = 0;
        if old == Frame::NONE {
            window::give(k, frame);
        } else {
            Frame(old).page().set_kva(0);
            if planted::is(Fault::C) {
                born = next_epoch();
                linger();
            }
            if planted::is(Fault::D) {
                inval::page_here(window::address(k));
                linger();
            }
            window::give(k, frame); // W
            if !planted::is(Fault::C) {
                born = next_epoch();
            }
            if !planted::is(Fault::D) {
                inval::page_here(window::address(k));
            }
            write_stamp(percpu::cpu_id(), k, born);
            marks::count(Counter::Recycles, 1);
        }
        self.slots[k].born = born;
        self.slots[k].frame = frame.0;
        frame.page().set_kva(window::address(k));
        marks::count(Counter::Maps, 1);
    }
}

/// What a processor does that may hold something old for a slot that it is about to use.
pub trait Conflict {
    /// Sees to it that the TLB of `cpu`, this processor, holds nothing but the present PTE of slot `k`, which is
    /// pinned and was remapped at `born`. Preemption is off, interrupts are on, no lock is held.
    fn resolve(cpu: usize, k: usize, born: u64);
}

/// The strategy with this way to deal with conflicts.
pub struct Deferred<C>(PhantomData<C>);

impl<C: Conflict> Kmap for Deferred<C> {
    fn init(slots: usize) {
        let empty = Slot { frame: Frame::NONE, pins: 0, born: 0, before: NIL, after: NIL };
        SLOTS.store(slots as u32, Relaxed);
        let mut window = WINDOW.lock();
        window.slots = window::table(slots, empty);
        window::tell_table(Table::Pins, window.slots);
        for k in 0..slots as u32 {
            window.link_at_tail(k);
        }
    }

    /// The processor starts with `seen = 0` and no stamps: it is out of date for every slot.
    fn cpu_up(cpu: usize) {
        let row = window::table(SLOTS.load(Relaxed) as usize, 0u64);
        STAMPS[cpu].store(row.as_mut_ptr(), Relaxed);
        SEEN[cpu].store(if planted::is(Fault::M) { u64::MAX } else { 0 });
    }

    fn map(frame: Frame, _: Use) -> u32 {
        if let Some(address) = direct_address(frame) {
            return address;
        }
        let mut window = WINDOW.lock();
        while frame.page().kva() == 0 {
            if window.head == NIL {
                window.waiting += 1;
                SLOT_UNUSED.sleep_on(window);
                window = WINDOW.lock();
                window.waiting -= 1;
                continue; // the page may have been mapped meanwhile
            }
            let k = window.head as usize;
            window.recycle(k, frame);
        }
        let k = window::slot_of(frame.page().kva());
        if window.slots[k].pins == 0 {
            window.unlink(k as u32);
        }
        window.slots[k].pins += 1;
        let born = window.slots[k].born; // stays: the slot is pinned
        sched::current().pins.fetch_add(1, Relaxed);
        drop(window);
        if planted::is(Fault::L) {
            put_too_early(k);
        } else if planted::is(Fault::E) {
            stamp_wherever(k, born);
        }
        ensure::<C>(k, born);
        window::address(k)
    }

    fn unmap(frame: Frame, _: Use) {
        if !is_low(frame) && !planted::is(Fault::L) {
            put(window::slot_of(frame.page().kva()));
        }
    }

    fn around_root_load(load: impl FnOnce()) {
        let cpu = percpu::cpu_id();
        if planted::is(Fault::B) {
            load();
            linger();
            SEEN[cpu].store(epoch());
        } else {
            let sampled = epoch();
            load();
            SEEN[cpu].store(sampled);
        }
    }

    fn on_switch_without_load(next: &Task, switch: Kept) -> Loaded {
        let cpu = percpu::cpu_id();
        let arrives = next.last_cpu.load(Relaxed) as usize != cpu;
        if arrives && next.pins.load(Relaxed) > 0 && !planted::is(Fault::F) && !inval::omitted() {
            // Not the form with IPIs: interrupts are off.
            flush::local_non_global();
            return Loaded::Yes;
        }
        let counted = match switch {
            Kept::Lazy => planted::is(Fault::G),
            Kept::SameSpace => planted::is(Fault::H),
        };
        if counted {
            SEEN[cpu].store(epoch());
        }
        Loaded::No
    }
}

/// Fault `l`.
#[cold]
#[inline(never)]
fn put_too_early(k: usize) {
    put(k);
    linger();
}

/// Fault `e`: between `invlpg` and stamp the task may be preempted, as long as it does not count as a holder of pins.
#[cold]
#[inline(never)]
fn stamp_wherever(k: usize, born: u64) {
    let task = sched::current();
    task.pins.fetch_sub(1, Relaxed);
    inval::page_here(window::address(k));
    linger();
    write_stamp(percpu::cpu_id(), k, born);
    task.pins.fetch_add(1, Relaxed);
}

/// The running task has one pin less on slot `k`.
#[inline(always)]
fn put(k: usize) {
    let wake = {
        let mut window = WINDOW.lock();
        assert!(window.slots[k].pins > 0, "put of a slot that nobody holds");
        window.slots[k].pins -= 1;
        sched::current().pins.fetch_sub(1, Relaxed);
        let free = window.slots[k].pins == 0;
        if free {
            window.link_at_tail(k as u32);
        }
        free && window.waiting != 0
    };
    if wake {
        SLOT_UNUSED.wake_all();
    }
}

/// Sees to it that this processor's TLB holds nothing old for slot `k`, which is pinned and was last remapped at `born`.
fn ensure<C: Conflict>(k: usize, born: u64) {
    sched::preempt_disable();
    let cpu = percpu::cpu_id();
    let up_to_date = SEEN[cpu].load() >= born || read_stamp(cpu, k) == born || skips_check(cpu, k);
    if !up_to_date {
        marks::count(Counter::Conflicts, 1);
        C::resolve(cpu, k, born);
    }
    if planted::is(Fault::J) && read_stamp(cpu, k) == 0 {
        write_stamp(cpu, k, TOUCHED);
    }
    sched::preempt_enable();
}

/// The checks that faults leave out.
fn skips_check(cpu: usize, k: usize) -> bool {
    planted::is(Fault::A) || planted::is(Fault::J) && read_stamp(cpu, k) == 0
}
