//! How a page gets a kernel address: the strategies and the rules that all of
//! them obey.
//!
//! | file             | slots                    | invalidated | how, who                        |
//! |------------------|--------------------------|-------------|---------------------------------|
//! | `lowmem`         | none, the direct map     | never       | -                               |
//! | `atomic`         | per processor, by type   | at map      | `invlpg`, this processor        |
//! | `shared_invlpg`  | shared window, rotating  | at reuse    | `invlpg`, all processors        |
//! | `batched`        | shared window, rotating  | at the wrap | CR4.PGE toggle, all processors  |
//! | `deferred_seq`   | shared window, LRU       | at first use where out of date | CR3 load, all processors |
//! | `deferred_local` | shared window, LRU       | at first use where out of date | `invlpg`, this processor |
//! | `none`           | shared window, rotating  | never       | the control: it must be caught  |
//!
//! `pool` is what the rotating windows have in common, `deferred` what the two
//! with sequence numbers have.
//!
//! Rules. A mapping is used only by the task that made it, between [`map`] and
//! [`unmap`]. `map` may sleep (shared window), so it is called in task context
//! with interrupts on and no spinlock held; `atomic` never sleeps, but its
//! task is not preempted until `unmap`. A page of low memory is its own
//! direct-map address under every strategy.
//!
//! *Who uses it.* Page-cache pages (`read`, `write`, `touch`) hold one kmap.
//! Clearing a new page holds one. A copy-on-write copy holds two, by
//! [`map_pair`]. Page tables and kernel stacks are in low memory and use none.
//! Nobody asks for a further kmap while it holds one, but for `map_pair`.
//!
//! The set is closed: a strategy is a variant of [`Strategy`] chosen at boot,
//! and `match` reaches it; no `dyn`.

mod atomic;
mod batched;
mod deferred;
mod deferred_local;
mod deferred_seq;
mod lowmem;
mod none;
mod pair;
pub mod planted;
mod pool;
mod shared_invlpg;
pub mod window;

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use shootdown_abi::{Activity, Counter, Mark};

pub use planted::Fault;

use crate::cmdline::Options;
use crate::mm::frame::Want;
use crate::mm::page_table::Format;
use crate::mm::{self, Frame};
use crate::sched::Task;
use crate::{marks, memlayout, refuse, sched};

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

/// Names a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Strategy {
    /// Everything in the direct map.
    Lowmem,
    /// Per-CPU slots by type, `invlpg` at each map.
    Atomic,
    /// A shared window, each reuse of a slot shot down on all processors.
    SharedInvlpg,
    /// pkmap of Linux 2.4.
    Batched,
    /// Tweedie's page_kva window with sequence numbers.
    DeferredSeq,
    /// The same, a processor that is out of date invalidates only itself.
    DeferredLocal,
    /// `batched` without its flush.
    None,
}

/// What a mapping is for: the slot type of `atomic` (KM_USER0 ...).
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
}

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

static STRATEGY: AtomicU8 = AtomicU8::new(Strategy::Lowmem as u8);

/// Evaluates an expression with `$s` standing for the chosen strategy's type.
macro_rules! chosen {
    ($s:ident => $e:expr) => {
        match strategy() {
            Strategy::Lowmem => {
                type $s = lowmem::Lowmem;
                $e
            }
            Strategy::Atomic => {
                type $s = atomic::Atomic;
                $e
            }
            Strategy::SharedInvlpg => {
                type $s = shared_invlpg::SharedInvlpg;
                $e
            }
            Strategy::Batched => {
                type $s = batched::Batched;
                $e
            }
            Strategy::DeferredSeq => {
                type $s = deferred_seq::DeferredSeq;
                $e
            }
            Strategy::DeferredLocal => {
                type $s = deferred_local::DeferredLocal;
                $e
            }
            Strategy::None => {
                type $s = none::NoInvalidation;
                $e
            }
        }
    };
}

impl Strategy {
    const ALL: [Strategy; 7] = [
        Strategy::Lowmem,
        Strategy::Atomic,
        Strategy::SharedInvlpg,
        Strategy::Batched,
        Strategy::DeferredSeq,
        Strategy::DeferredLocal,
        Strategy::None,
    ];

    /// What `kmap=` accepts.
    pub const NAMES: &'static str =
        "lowmem, atomic, shared-invlpg, batched, deferred-seq, deferred-local, none";

    /// The value of `kmap=` and the name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Lowmem => "lowmem",
            Strategy::Atomic => "atomic",
            Strategy::SharedInvlpg => "shared-invlpg",
            Strategy::Batched => "batched",
            Strategy::DeferredSeq => "deferred-seq",
            Strategy::DeferredLocal => "deferred-local",
            Strategy::None => "none",
        }
    }

    /// Does it live on sequence numbers, for which CR3 loads have to flush the window?
    const fn is_deferred(self) -> bool {
        matches!(self, Strategy::DeferredSeq | Strategy::DeferredLocal)
    }

    /// The strategy of this name.
    pub fn from_name(name: &str) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// The chosen strategy.
#[inline(always)]
pub fn strategy() -> Strategy {
    let code = STRATEGY.load(Relaxed);
    if code == Strategy::Lowmem as u8 {
        Strategy::Lowmem
    } else if code == Strategy::Atomic as u8 {
        Strategy::Atomic
    } else if code == Strategy::SharedInvlpg as u8 {
        Strategy::SharedInvlpg
    } else if code == Strategy::Batched as u8 {
        Strategy::Batched
    } else if code == Strategy::DeferredSeq as u8 {
        Strategy::DeferredSeq
    } else if code == Strategy::DeferredLocal as u8 {
        Strategy::DeferredLocal
    } else {
        Strategy::None
    }
}

/// Slots of the window that the command line asks for.
pub fn slots(options: &Options, format: Format) -> u32 {
    options.window.unwrap_or(window::default_slots(format))
}

/// Chooses the strategy and fixes the window at `start`; its page tables exist. Refuses what makes no sense together.
pub fn init(options: &Options, start: u32, slots: u32) {
    if let Some(fault) = options.fault
        && !fault.strategies().contains(&options.kmap)
    {
        let (fault, wants) = (fault.name(), fault.strategies()[0].name());
        refuse!("command line: fault={fault} belongs to kmap={wants}, not to kmap={}", options.kmap.name());
    }
    planted::plant(options.fault);
    let deferred = options.kmap.is_deferred();
    let faulty = options.fault == Some(Fault::I);
    if deferred && options.global_kmap == Some(true) && !faulty {
        refuse!(
            "command line: global-kmap=1 with kmap={}: a CR3 load would not flush the window; accepted: global-kmap=0",
            options.kmap.name()
        );
    }
    if options.entry_cr3 && options.global_kmap == Some(true) {
        refuse!(
            "command line: global-kmap=1 with entry-cr3=1: no page of a kernel with its own tables is global; accepted: global-kmap=0"
        );
    }
    let global = options.global_kmap.unwrap_or(faulty || !(deferred || options.entry_cr3));
    window::set(start, if global { window::Global::Yes } else { window::Global::No });
    STRATEGY.store(options.kmap as u8, Relaxed);
    chosen!(S => S::init(slots as usize));
    pair::init(slots);
}

/// A processor comes up.
pub fn cpu_up(cpu: usize) {
    chosen!(S => S::cpu_up(cpu));
}

/// The zones that pages which are reached by kmap may come from.
pub fn wanted_frames() -> Want {
    match strategy() {
        Strategy::Lowmem => Want::Low,
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
    let address = chosen!(S => S::map(frame, usage));
    marks::activity(before);
    marks::mark(Mark::KmapEnd, task);
    Mapping { frame, address, usage }
}

/// Ends the use of a mapping.
pub fn unmap(mapping: Mapping) {
    let before = marks::activity(Activity::Kmap);
    chosen!(S => S::unmap(mapping.frame, mapping.usage));
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
    chosen!(S => S::around_root_load(load));
}

/// This processor is about to run `next` without a CR3 load, with interrupts off.
pub fn on_switch_without_load(next: &Task, switch: Kept) -> Loaded {
    chosen!(S => S::on_switch_without_load(next, switch))
}
