//! The axes that every strategy is a point in, and the names that are presets
//! of them.
//!
//! | axis    | asks                                      | values |
//! |---------|-------------------------------------------|--------|
//! | `slots` | where the addresses come from             | `none`, `type`, `stack`, `pool`, `task`, `pair`, `rotating`, `lru` |
//! | `when`  | when a slot is invalidated                | `never`, `map`, `unmap`, `recycle`, `wrap`, `use` |
//! | `how`   | by which instruction                      | `invlpg`, `cr3`, `pge`, `invpcid` |
//! | `who`   | on which processors                       | `self`, `everyone` |
//! | `inval` | whether it is done at all                 | `done`, `none` (a control that is wrong), `ideal` (the machine does it for nothing) |
//!
//! `kmap=NAME` names a point; a further word on the command line moves along one
//! axis from there. With another `slots=` the other axes begin at those of the
//! first strategy that has such slots. Each point that makes sense is the work
//! of one file, its [`Scheme`]; a point that makes none is refused with the reason.

use super::window::Global;
use crate::cmdline::Options;
use crate::planted::Fault;
use crate::refuse;
use core::fmt;

/// An enum whose values have names: `from_name`, `name` and `NAMES`, all of them for messages.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $(#[$m1:meta])* $first:ident $text:literal, $($(#[$m:meta])* $variant:ident $more:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $(#[$m1])* $first, $($(#[$m])* $variant,)* }

        impl $name {
            const ALL: &'static [$name] = &[$name::$first, $($name::$variant,)*];
            /// What is accepted.
            pub const NAMES: &'static str = concat!($text, $(", ", $more,)*);

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $name::$first => $text, $($name::$variant => $more,)* }
            }

            /// The value of this name.
            pub fn from_name(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|v| v.name() == name)
            }
        }
    };
}
pub(crate) use named;

named! {
    /// Where kernel addresses come from.
    Slots {
        /// The direct map.
        None "none",
        /// A processor's own, by type of use.
        Type "type",
        /// A processor's own, as a stack.
        Stack "stack",
        /// A processor's own, a few for each context.
        Pool "pool",
        /// A task's own, in its address space.
        Task "task",
        /// Two addresses, each address space's own.
        Pair "pair",
        /// One window for all, slots in turn.
        Rotating "rotating",
        /// One window for all, the least recently used slot first.
        Lru "lru",
    }
}

named! {
    /// When a slot is invalidated.
    When {
        /// Never: there is nothing to invalidate.
        Never "never",
        /// When a page is mapped.
        Map "map",
        /// When a page is used no more.
        Unmap "unmap",
        /// When a slot goes from one page to another.
        Recycle "recycle",
        /// When the slots have been used up, all at once.
        Wrap "wrap",
        /// When a processor that may be out of date uses a slot.
        Use "use",
    }
}

named! {
    /// The instruction.
    How {
        /// `invlpg`, one page at a time.
        Invlpg "invlpg",
        /// CR3 loaded with its own value: spares global entries.
        Cr3 "cr3",
        /// CR4.PGE off and on: everything.
        Pge "pge",
        /// `invpcid` of type 2: everything.
        Invpcid "invpcid",
    }
}

named! {
    /// The processors that invalidate.
    Who {
        /// The one that finds the need.
        Own "self",
        /// All of them.
        Everyone "everyone",
    }
}

named! {
    /// Whether it is done at all.
    Inval {
        /// As the axes say.
        Done "done",
        /// Not at all: wrong.
        None "none",
        /// By the machine itself, at the write of the PTE, for nothing.
        Ideal "ideal",
    }
}

/// What `batched-range` invalidates at the wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// Everything: that is `batched`.
    Global,
    /// Every slot of the window.
    AllSlots,
    /// The slots that this wrap has taken back.
    ReclaimedSlots,
    /// The same up to so many slots, everything from there on.
    Ceiling(u32),
}

impl Wrap {
    /// What is accepted.
    pub const NAMES: &'static str = "global, all-slots, reclaimed-slots, ceiling:N";

    /// The value of this name.
    pub fn from_name(name: &str) -> Option<Wrap> {
        match name {
            "global" => Some(Wrap::Global),
            "all-slots" => Some(Wrap::AllSlots),
            "reclaimed-slots" => Some(Wrap::ReclaimedSlots),
            _ => name.strip_prefix("ceiling:")?.parse().ok().map(Wrap::Ceiling),
        }
    }
}

/// A point in the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub slots: Slots,
    pub when: When,
    pub how: How,
    pub who: Who,
    pub inval: Inval,
}

const fn at(slots: Slots, when: When, how: How, who: Who) -> Point {
    Point { slots, when, how, who, inval: Inval::Done }
}

named! {
    /// A named point: a strategy.
    Strategy {
        /// Everything in the direct map.
        Lowmem "lowmem",
        /// Per-CPU slots by type.
        Atomic "atomic",
        /// A per-CPU stack of slots.
        AtomicStack "atomic-stack",
        /// Two addresses that each address space has for itself.
        CopyClear "copy-clear",
        /// A few slots per processor and context.
        PercpuPool "percpu-pool",
        /// Slots at the top of each task's user space.
        TaskWindow "task-window",
        /// A shared window, each reuse of a slot shot down on all processors.
        SharedInvlpg "shared-invlpg",
        /// pkmap of Linux 2.4.
        Batched "batched",
        /// The same with a flush of nothing but the window.
        BatchedRange "batched-range",
        /// Tweedie's page_kva window with sequence numbers.
        DeferredSeq "deferred-seq",
        /// The same, a processor that is out of date invalidates only itself.
        DeferredLocal "deferred-local",
        /// `batched` without its flush.
        None "none",
        /// `atomic` without its `invlpg` on a machine that needs none.
        Ideal "ideal",
    }
}

impl Strategy {
    /// Where it lies.
    pub const fn preset(self) -> Point {
        use self::{How::*, Slots as S, When::*, Who::*};
        match self {
            Strategy::Lowmem => at(S::None, Never, Invlpg, Own),
            Strategy::Atomic => at(S::Type, Map, Invlpg, Own),
            Strategy::AtomicStack => at(S::Stack, Unmap, Invlpg, Own),
            Strategy::CopyClear => at(S::Pair, Map, Invlpg, Own),
            Strategy::PercpuPool => at(S::Pool, Recycle, Invlpg, Own),
            Strategy::TaskWindow => at(S::Task, Recycle, Invlpg, Own),
            Strategy::SharedInvlpg => at(S::Rotating, Recycle, Invlpg, Everyone),
            Strategy::Batched => at(S::Rotating, Wrap, Pge, Everyone),
            Strategy::BatchedRange => at(S::Rotating, Wrap, Invlpg, Everyone),
            Strategy::DeferredSeq => at(S::Lru, Use, Cr3, Everyone),
            Strategy::DeferredLocal => at(S::Lru, Use, Invlpg, Own),
            Strategy::None => Point { inval: Inval::None, ..Strategy::Batched.preset() },
            Strategy::Ideal => Point { inval: Inval::Ideal, ..Strategy::Atomic.preset() },
        }
    }
}

impl Slots {
    /// Where a strategy lies that is told to take these slots and nothing else.
    const fn preset(self) -> Point {
        match self {
            Slots::None => Strategy::Lowmem.preset(),
            Slots::Type => Strategy::Atomic.preset(),
            Slots::Stack => Strategy::AtomicStack.preset(),
            Slots::Pool => Strategy::PercpuPool.preset(),
            Slots::Task => Strategy::TaskWindow.preset(),
            Slots::Pair => Strategy::CopyClear.preset(),
            Slots::Rotating => Strategy::Batched.preset(),
            Slots::Lru => Strategy::DeferredSeq.preset(),
        }
    }

    /// Which values of the other axes go with these slots, and why no others do.
    const fn limits(self) -> Limits {
        use self::{How::*, When::*, Who::*};
        const ANY: &[How] = &[Invlpg, Cr3, Pge, Invpcid];
        const OWN: &str = "nobody else uses these slots";
        match self {
            Slots::None => {
                Limits { when: &[Never], how: &[Invlpg], who: &[Own], why: "the direct map never changes" }
            }
            Slots::Type | Slots::Stack | Slots::Pair => {
                Limits { when: &[Map, Unmap], how: ANY, who: &[Own], why: OWN }
            }
            Slots::Pool => Limits { when: &[Recycle, Unmap], how: ANY, who: &[Own], why: OWN },
            Slots::Task => Limits { when: &[Recycle, Map], how: ANY, who: &[Own], why: OWN },
            Slots::Rotating => Limits {
                when: &[Recycle, Unmap, Wrap],
                how: ANY,
                who: &[Everyone],
                why: "all processors use the window and nothing tells one that it is out of date",
            },
            Slots::Lru => Limits {
                when: &[Use],
                how: &[Invlpg, Cr3],
                who: &[Own, Everyone],
                why: "its numbers count CR3 loads and single pages, and are looked at when a slot is used",
            },
        }
    }
}

struct Limits {
    when: &'static [When],
    how: &'static [How],
    who: &'static [Who],
    why: &'static str,
}

/// The file whose work a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scheme {
    Lowmem,
    Atomic,
    SharedInvlpg,
    Batched,
    DeferredSeq,
    DeferredLocal,
    AtomicStack,
    PercpuPool,
    TaskWindow,
    CopyClear,
    BatchedRange,
    /// Slots of `atomic` that are invalidated at both ends: for whoever cannot use the chosen scheme.
    Always,
    /// A rotating window that page tables use too; whose it is otherwise, `pools` knows.
    Pools,
    /// Slots of `atomic` that interrupts share.
    AtomicShared,
}

impl Scheme {
    /// Does it have the window that all processors share?
    pub const fn has_window(self) -> bool {
        use Scheme::*;
        matches!(self, SharedInvlpg | Batched | BatchedRange | DeferredSeq | DeferredLocal | Pools)
    }

    /// Does it have the counted slots of a rotating window?
    pub const fn rotates(self) -> bool {
        matches!(self, Scheme::SharedInvlpg | Scheme::Batched | Scheme::BatchedRange)
    }

    /// May a task sleep while it has a page mapped, and is it known what it waits for?
    pub const fn may_sleep(self) -> bool {
        matches!(self, Scheme::Lowmem | Scheme::TaskWindow | Scheme::Pools)
    }

    /// Are its slots in the user half of each address space?
    pub const fn is_private(self) -> bool {
        matches!(self, Scheme::TaskWindow | Scheme::CopyClear)
    }
}

/// What the command line comes to.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub scheme: Scheme,
    pub point: Point,
    pub wrap: Wrap,
    pub global: Global,
}

/// Goes from the strategy along the axes; refuses what makes no sense together.
///
/// `global_fault`: the planted fault wants global slots where they are wrong.
pub fn plan(options: &Options, global_fault: bool) -> Plan {
    let preset = options.kmap.preset();
    let slots = options.slots.unwrap_or(preset.slots);
    let home = if slots == preset.slots { preset } else { slots.preset() };
    let when = options.when.unwrap_or(match (slots, home.when) {
        (Slots::Type | Slots::Stack, usual) => options.atomic_flush.unwrap_or(usual),
        (Slots::Rotating, When::Recycle) => options.shared_flush.unwrap_or(home.when),
        (_, usual) => usual,
    });
    let who = options.who.unwrap_or(home.who);
    let wrap = wrap(options, slots, when);
    let how = options.how.unwrap_or(match (slots, wrap) {
        (Slots::Rotating, Some(Wrap::Global)) if globals_are_off(options) => How::Cr3,
        (Slots::Rotating, Some(Wrap::Global)) => How::Pge,
        (Slots::Rotating, Some(_)) => How::Invlpg,
        (Slots::Lru, _) if who == Who::Own => How::Invlpg,
        (Slots::Lru, _) => How::Cr3,
        _ => home.how,
    });
    let inval = options.inval.unwrap_or(preset.inval);
    let point = Point { slots, when, how, who, inval };
    let wrap = match wrap {
        Some(Wrap::Global) | None if how == How::Invlpg => Wrap::AllSlots,
        wrap => wrap.unwrap_or(Wrap::Global),
    };
    check(&point, options);
    // Without high memory every page is in the direct map: whatever was chosen has nothing to do.
    let scheme = match scheme(&point) {
        _ if !options.highmem => Scheme::Lowmem,
        Scheme::Atomic if !options.atomic_irqs => Scheme::AtomicShared,
        scheme => scheme,
    };
    Plan { scheme, point, wrap, global: global(&point, options, global_fault) }
}

/// `wrap=`, or what it is without, if slots are invalidated at a wrap.
fn wrap(options: &Options, slots: Slots, when: When) -> Option<Wrap> {
    if (slots, when) != (Slots::Rotating, When::Wrap) {
        if options.wrap.is_some() {
            refuse!(
                "command line: wrap= with slots={} when={}: nothing wraps; accepted: slots=rotating when=wrap",
                slots.name(),
                when.name()
            );
        }
        return None;
    }
    let usual = match (options.kmap, options.how) {
        (_, Some(How::Invlpg)) | (Strategy::BatchedRange, None) => Wrap::AllSlots,
        _ => Wrap::Global,
    };
    let wrap = options.wrap.unwrap_or(usual);
    if let Some(how) = options.how
        && (how == How::Invlpg) == (wrap == Wrap::Global)
    {
        refuse!(
            "command line: how={} does not go with this wrap=; accepted: how=invlpg with all-slots, reclaimed-slots, ceiling:N, any other with global",
            how.name()
        );
    }
    Some(wrap)
}

fn globals_are_off(options: &Options) -> bool {
    options.global_kmap == Some(false) || options.entry_cr3
}

fn check(point: &Point, options: &Options) {
    let limits = point.slots.limits();
    demand("when", point.when, limits.when, When::name, point);
    demand("how", point.how, limits.how, How::name, point);
    demand("who", point.who, limits.who, Who::name, point);
    if (point.slots, point.how, point.who) == (Slots::Lru, How::Invlpg, Who::Everyone) {
        refuse!(
            "command line: how=invlpg with slots=lru who=everyone: a processor notes single pages for itself only; accepted: how=cr3 or who=self"
        );
    }
    if !options.atomic_irqs && point.slots != Slots::Type {
        refuse!(
            "command line: atomic-irqs=off with slots={}: interrupts have slots of their own there, or push theirs on top, and need not be kept out; accepted: slots=type (kmap=atomic), or atomic-irqs=on",
            point.slots.name()
        );
    }
    if !options.atomic_irqs && options.fault == Some(Fault::Sleep) {
        refuse!(
            "command line: fault=sleep with atomic-irqs=off: nobody sleeps with interrupts off; accepted: atomic-irqs=on"
        );
    }
    if options.atomic_irqs && options.fault == Some(Fault::SharedSlot) {
        refuse!(
            "command line: fault=shared-slot: interrupts have slots of their own; accepted: atomic-irqs=off"
        );
    }
    if point.inval == Inval::Ideal && options.fault.is_some() {
        refuse!(
            "command line: fault= with inval=ideal: nothing is invalidated that could be got wrong; accepted: inval=done, none"
        );
    }
}

/// Refuses a value that the slots do not go with.
fn demand<T: Copy + PartialEq>(
    axis: &str,
    value: T,
    accepted: &'static [T],
    name: fn(T) -> &'static str,
    point: &Point,
) {
    if !accepted.contains(&value) {
        refuse!(
            "command line: {axis}={} with slots={}: {}; accepted: {}",
            name(value),
            point.slots.name(),
            point.slots.limits().why,
            List(accepted, name)
        );
    }
}

/// Names, with commas between them.
struct List<T: 'static>(&'static [T], fn(T) -> &'static str);

impl<T: Copy> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &value) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", (self.1)(value))?;
        }
        Ok(())
    }
}

/// Whether the slots' PTEs have the G bit.
fn global(point: &Point, options: &Options, fault: bool) -> Global {
    let why_not = match (point.slots, point.how) {
        (Slots::Lru, _) => Some("a CR3 load would not flush the window"),
        (Slots::Task | Slots::Pair, _) => Some("a global entry would outlive its address space"),
        _ if options.entry_cr3 => Some("no page of a kernel with its own tables (entry-cr3=1) is global"),
        (_, How::Cr3) => Some("how=cr3 spares global entries"),
        _ => None,
    };
    if let Some(why) = why_not
        && options.global_kmap == Some(true)
        && !fault
    {
        refuse!(
            "command line: global-kmap=1 with kmap={}: {why}; accepted: global-kmap=0",
            options.kmap.name()
        );
    }
    if options.global_kmap.unwrap_or(fault || why_not.is_none()) { Global::Yes } else { Global::No }
}

fn scheme(point: &Point) -> Scheme {
    match (point.slots, point.when, point.how, point.who) {
        (Slots::None, ..) => Scheme::Lowmem,
        (Slots::Type, ..) => Scheme::Atomic,
        (Slots::Stack, ..) => Scheme::AtomicStack,
        (Slots::Pool, ..) => Scheme::PercpuPool,
        (Slots::Task, ..) => Scheme::TaskWindow,
        (Slots::Pair, ..) => Scheme::CopyClear,
        (Slots::Rotating, When::Wrap, How::Invlpg, _) => Scheme::BatchedRange,
        (Slots::Rotating, When::Wrap, ..) => Scheme::Batched,
        (Slots::Rotating, ..) => Scheme::SharedInvlpg,
        (Slots::Lru, _, _, Who::Everyone) => Scheme::DeferredSeq,
        (Slots::Lru, _, _, Who::Own) => Scheme::DeferredLocal,
    }
}
