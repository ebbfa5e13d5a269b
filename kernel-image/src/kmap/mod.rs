//! How a page gets a kernel address: the strategies and the rules that all of
//! them obey.
//!
//! | file             | slots                    | invalidated | how, who                        |
//! |------------------|--------------------------|-------------|---------------------------------|
//! | `lowmem`         | none, the direct map     | never       | -                               |
//! | `atomic`         | per processor, by type   | at map      | `invlpg`, this processor        |
//! | `atomic_shared`  | the same, also for interrupts, which are off | at map | `invlpg`, this processor |
//! | `atomic_stack`   | per processor, a stack   | at unmap    | `invlpg`, this processor        |
//! | `percpu_pool`    | per processor, 4 each for tasks and interrupts | when recycled | `invlpg`, this processor |
//! | `task_window`    | per task, in its address space | when recycled, with the CR3 switch | `invlpg`, this processor |
//! | `copy_clear`     | two per address space    | at map      | `invlpg`, this processor        |
//! | `shared_invlpg`  | shared window, rotating  | at reuse    | `invlpg`, all processors        |
//! | `batched`        | shared window, rotating  | at the wrap | CR4.PGE toggle, all processors  |
//! | `batched_range`  | shared window, rotating  | at the wrap | `invlpg` for each slot, all processors |
//! | `deferred_seq`   | shared window, LRU       | at first use where out of date | CR3 load, all processors |
//! | `deferred_local` | shared window, LRU       | at first use where out of date | `invlpg`, this processor |
//!
//! `pool` is what the rotating windows have in common, `deferred` what the two
//! with sequence numbers have, `pools` what becomes of a rotating window that page
//! tables use too. `axes` names them, takes `slots=`, `when=`, `how=`,
//! `who=` and `inval=`, and refuses what makes no sense; `inval` does what was
//! chosen. `kmap=none` is `batched` and `kmap=ideal` is `atomic`, without
//! invalidation: the first a control that must be caught, the second on a
//! machine whose TLBs forget by themselves.
//!
//! Rules. A mapping is used only by the task that made it, between [`map`] and
//! [`unmap`]. `map` may sleep (shared window), so it is called in task context
//! with interrupts on and no spinlock held; with slots of the processor's own
//! and `copy_clear` it never sleeps, but its task is not preempted until
//! `unmap`, and the scheduler asserts that it does not sleep. A page of low
//! memory is its own direct-map address under every strategy.
//!
//! *Who uses it.* Page-cache pages (`read`, `write`, `touch`) hold one kmap.
//! Clearing a new page holds one. A copy-on-write copy holds two, by
//! [`map_pair`]. `reader` has interrupts and kernel threads use it. Kernel
//! stacks are in low memory and use none, and page tables have `ptemap`. Nobody asks for a further
//! kmap while it holds one, but for `map_pair` and `user-copy=fault` (`mm/user.rs`).
//!
//! The set is closed: a scheme is a variant of [`Scheme`] chosen at boot,
//! and `match` reaches it; no `dyn`.

pub mod atomic;
mod atomic_shared;
mod atomic_stack;
pub mod axes;
mod batched;
mod batched_range;
mod coherent;
mod copy_clear;
mod deferred;
mod deferred_local;
mod deferred_seq;
mod inval;
mod lowmem;
mod pair;
mod percpu_pool;
mod pool;
pub mod pools;
mod shared_invlpg;
mod task_window;
pub mod window;

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use shootdown_abi::{Activity, Counter, Mark};

pub use axes::Strategy;
pub use batched_range::invalidate_here as invalidate_slots_here;
pub use pools::Book;
pub use task_window::TaskSlots;

use crate::arch::cpu;
use crate::cmdline::Options;
use crate::mm::frame::Want;
use crate::mm::page_table::Format;
use crate::mm::user::UserCopy;
use crate::mm::{self, Frame};
use crate::planted::Fault;
use crate::sched::Task;
use crate::{marks, memlayout, refuse, sched};
use axes::{How, Inval, Scheme, Slots};

/// What a strategy does. All are unit types; their state is in statics beside them.
trait Kmap {
    /// Prepares its tables; at boot, `slots` are the window's.
    fn init(_slots: usize) {}

    /// A processor comes up (the boot processor too), with interrupts off.
    fn cpu_up(_cpu: usize) {}

    /// A kernel address of `frame`, good for the calling task until `unmap`.
    fn map(frame: Frame, usage: Use) -> u32;

    /// The calling task has done with the address that `map` gave for `frame`.
    fn unmap(frame: Frame, usage: Use);

    /// Called instead of loading CR3, with interrupts off: has to call `load` once.
    fn around_root_load(load: impl FnOnce()) {
        load();
    }

    /// This processor is about to run `next` without a CR3 load, with interrupts off.
    fn on_switch_without_load(_next: &Task, _switch: Kept) -> Loaded {
        Loaded::No
    }
}

/// What a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// A page-cache page that is read or written.
    File = 0,
    /// A page that is filled for the first time.
    Clear = 1,
    /// Source of a copy.
    CopyFrom = 2,
    /// Target of a copy.
    CopyTo = 3,
    /// Read in the timer interrupt.
    Interrupt = 4,
    /// Read by a kernel thread.
    Thread = 5,
}

const USES: usize = Use::Thread as usize + 1;

/// Why a context switch kept CR3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The next task is a kernel thread or idle: it has no address space of its own.
    Lazy,
    /// The next task's address space is loaded already.
    SameSpace,
}

/// Whether the strategy loaded CR3 after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It did.
    Yes,
    /// It did not.
    No,
}

/// A page with a kernel address. Give it back to [`unmap`].
#[must_use]
pub struct Mapping {
    frame: Frame,
    address: u32,
    usage: Use,
}

impl Mapping {
    /// Address of the page's first byte.
    pub fn address(&self) -> u32 {
        self.address
    }
}

/// The scheme of each use; that of [`Use::File`] is the chosen one.
static SCHEMES: [AtomicU8; USES] = [const { AtomicU8::new(Scheme::Lowmem as u8) }; USES];

/// Evaluates an expression with `$s` standing for the type of the scheme that a use has.
macro_rules! chosen {
    ($usage:expr, $s:ident => $e:expr) => {
        match scheme_for($usage) {
            Scheme::Lowmem => {
                type $s = lowmem::Lowmem;
                $e
            }
            Scheme::Atomic => {
                type $s = atomic::Atomic;
                $e
            }
            Scheme::SharedInvlpg => {
                type $s = shared_invlpg::SharedInvlpg;
                $e
            }
            Scheme::Batched => {
                type $s = batched::Batched;
                $e
            }
            Scheme::DeferredSeq => {
                type $s = deferred_seq::DeferredSeq;
                $e
            }
            Scheme::DeferredLocal => {
                type $s = deferred_local::DeferredLocal;
                $e
            }
            Scheme::AtomicStack => {
                type $s = atomic_stack::AtomicStack;
                $e
            }
            Scheme::PercpuPool => {
                type $s = percpu_pool::PercpuPool;
                $e
            }
            Scheme::TaskWindow => {
                type $s = task_window::TaskWindow;
                $e
            }
            Scheme::CopyClear => {
                type $s = copy_clear::CopyClear;
                $e
            }
            Scheme::BatchedRange => {
                type $s = batched_range::BatchedRange;
                $e
            }
            Scheme::Always => {
                type $s = atomic::Always;
                $e
            }
            Scheme::Pools => {
                type $s = pools::Pools;
                $e
            }
            Scheme::AtomicShared => {
                type $s = atomic_shared::AtomicShared;
                $e
            }
        }
    };
}

/// The scheme that a use has.
#[inline(always)]
fn scheme_for(usage: Use) -> Scheme {
    let code = SCHEMES[usage as usize].load(Relaxed);
    /// Variants in the order in which they are tried, the last one without being looked for.
    macro_rules! decode {
        ($($variant:ident)*, $last:ident) => {
            $(if code == Scheme::$variant as u8 { return Scheme::$variant; })*
        };
    }
    decode!(Lowmem Atomic SharedInvlpg Batched DeferredSeq DeferredLocal AtomicStack PercpuPool TaskWindow CopyClear
        BatchedRange Always Pools, AtomicShared);
    Scheme::AtomicShared
}

/// Slots of the window that the command line asks for.
pub fn slots(options: &Options, format: Format) -> u32 {
    options.window.unwrap_or(window::default_slots(format))
}

/// Does the strategy reach low memory only?
pub fn is_direct(options: &Options) -> bool {
    axes::plan(options, options.fault == Some(Fault::I)).scheme == Scheme::Lowmem
}

/// Chooses the strategy and fixes the window at `start`; its page tables exist. Refuses what makes no sense together.
pub fn init(options: &Options, start: u32, slots: u32) {
    let mut plan = axes::plan(options, options.fault == Some(Fault::I));
    if let Some(pools) = pools_of(options, &plan) {
        pools::set(pools);
        plan.scheme = Scheme::Pools;
    }
    if options.user_copy == UserCopy::Fault && !plan.scheme.may_sleep() {
        refuse!(
            "command line: user-copy=fault with slots={}: {}; accepted: slots=rotating, task, none, or user-copy=before",
            plan.point.slots.name(),
            match plan.point.slots {
                Slots::Lru =>
                    "copies that fault could use the window up, and nobody keeps a book of its slots",
                _ => "who has a page mapped may not sleep, and a copy that faults does",
            }
        );
    }
    if plan.point.how == How::Invpcid {
        cpu::need_invpcid();
    }
    window::set(start, plan.global);
    inval::set(&plan);
    batched_range::set(plan.wrap);
    memlayout::set_private(plan.scheme.is_private());
    for usage in [Use::File, Use::Clear, Use::CopyFrom, Use::CopyTo, Use::Interrupt, Use::Thread] {
        SCHEMES[usage as usize].store(scheme_of(usage, plan.scheme, plan.point.inval) as u8, Relaxed);
    }
    chosen!(Use::File, S => S::init(slots as usize));
    pair::init(slots);
    if plan.point.inval == Inval::Ideal {
        coherent::check();
    }
}

/// How the window is used, if tasks ask for further slots of it while they hold one: for page tables, or in copies that fault.
fn pools_of(options: &Options, plan: &axes::Plan) -> Option<pools::Plan> {
    if let Some(pools) = options.pte.pools(plan.scheme, options.reserve) {
        demand_rotating(options, plan);
        return Some(pools);
    }
    let wanted = options.user_copy == UserCopy::Fault && plan.scheme.rotates();
    wanted.then_some(pools::Plan { scheme: plan.scheme, pools: 1, reserve: 0 })
}

/// Ends the machine with a report if tasks wait for each other for ever. By `kwatch`.
pub fn watch() {
    if SCHEMES[Use::File as usize].load(Relaxed) == Scheme::Pools as u8 {
        pools::watch();
    }
}

/// Refuses page tables in a window that is none, or is not invalidated.
fn demand_rotating(options: &Options, plan: &axes::Plan) {
    let name = options.pte.name();
    if plan.point.slots != Slots::Rotating {
        refuse!(
            "command line: pte={name} with slots={}: page tables need the counted slots of a shared window; accepted: slots=rotating (kmap=batched, batched-range, shared-invlpg), or pte=lowmem, atomic",
            plan.point.slots.name()
        );
    }
    if plan.point.inval == Inval::None {
        refuse!(
            "command line: pte={name} with inval=none: the kernel would write to foreign page tables; accepted: inval=done, ideal, or pte=lowmem, atomic"
        );
    }
}

/// The scheme of a use when `scheme` was chosen.
///
/// A shared window may make its user wait, so no interrupt uses it; a kernel thread has no address space that slots
/// could be in. Under `inval=none` the kernel's own clearing and copying stays sound: else a stale slot would clear
/// somebody's stack or program, and the machine would die before a workload could say that the data of its files are
/// wrong. Slots that are not invalidated then only ever map pages of files, so what is spoilt are files. Where page tables
/// use the window, copies and `kwatch` keep out of it (`pools`).
fn scheme_of(usage: Use, scheme: Scheme, inval: Inval) -> Scheme {
    let stranger = match usage {
        Use::File => false,
        Use::Interrupt => scheme.has_window() || scheme.is_private(),
        Use::Thread => scheme.is_private() || scheme == Scheme::Pools,
        Use::Clear => inval == Inval::None,
        Use::CopyFrom | Use::CopyTo => inval == Inval::None || scheme == Scheme::Pools,
    };
    if stranger && scheme != Scheme::Lowmem { Scheme::Always } else { scheme }
}

/// A processor comes up.
pub fn cpu_up(cpu: usize) {
    chosen!(Use::File, S => S::cpu_up(cpu));
}

/// The zones that pages which are reached by kmap may come from.
pub fn wanted_frames() -> Want {
    match scheme_for(Use::File) {
        Scheme::Lowmem => Want::Low,
        _ => Want::High,
    }
}

/// The address of a page that needs no slot.
fn direct_address(frame: Frame) -> Option<u32> {
    mm::is_low(frame).then(|| memlayout::direct(frame.phys() as u32) as u32)
}

/// Gives `frame` a kernel address. See the rules above for when it may be called.
pub fn map(frame: Frame, usage: Use) -> Mapping {
    let task = sched::current().id;
    marks::mark(Mark::KmapBegin, task);
    let before = marks::activity(Activity::Kmap);
    marks::count(Counter::Kmaps, 1);
    let address = chosen!(usage, S => S::map(frame, usage));
    marks::activity(before);
    marks::mark(Mark::KmapEnd, task);
    Mapping { frame, address, usage }
}

/// The same in an interrupt, with interrupts off: never sleeps. It may have interrupted a kmap of the task, so its
/// latency is not measured.
pub fn map_in_interrupt(frame: Frame) -> Mapping {
    let usage = Use::Interrupt;
    let before = marks::activity(Activity::Kmap);
    marks::count(Counter::Kmaps, 1);
    let address = chosen!(usage, S => S::map(frame, usage));
    marks::activity(before);
    Mapping { frame, address, usage }
}

/// Ends the use of a mapping.
pub fn unmap(mapping: Mapping) {
    let before = marks::activity(Activity::Kmap);
    chosen!(mapping.usage, S => S::unmap(mapping.frame, mapping.usage));
    marks::activity(before);
}

/// Maps source and target of a copy at the same time.
pub fn map_pair(from: Frame, to: Frame) -> (Mapping, Mapping) {
    pair::enter();
    let from = map(from, Use::CopyFrom);
    (from, map(to, Use::CopyTo))
}

/// Ends the use of both, in the opposite order.
pub fn unmap_pair(from: Mapping, to: Mapping) {
    unmap(to);
    unmap(from);
    pair::leave();
}

/// Loads CR3 by calling `load`, with interrupts off, and lets the strategy draw its conclusions.
pub fn around_root_load(load: impl FnOnce()) {
    chosen!(Use::File, S => S::around_root_load(load));
}

/// This processor is about to run `next` without a CR3 load, with interrupts off.
pub fn on_switch_without_load(next: &Task, switch: Kept) -> Loaded {
    chosen!(Use::File, S => S::on_switch_without_load(next, switch))
}
