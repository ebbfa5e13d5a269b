//! The mapping strategies that the kernel carries, and the planted faults, as the host side names them.
//!
//! The protocols themselves are in `kernel-image/src/kmap/`, one file each; the
//! names here go to the kernel's command line (`kmap=`, `fault=`).

/// How the kernel gives a page a kernel address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Everything in the direct map.
    Lowmem,
    /// Per-CPU slots by type.
    Atomic,
    /// One window, each reuse of a slot shot down on all processors.
    SharedInvlpg,
    /// One window, flushed when its cursor wraps.
    Batched,
    /// A window with LRU recycling and sequence numbers.
    DeferredSeq,
    /// The same; a processor that is out of date invalidates only itself.
    DeferredLocal,
    /// Never invalidates.
    None,
}

impl Strategy {
    /// Every strategy, the baseline first and the control last.
    pub const ALL: [Strategy; 7] = [
        Strategy::Lowmem,
        Strategy::Atomic,
        Strategy::SharedInvlpg,
        Strategy::Batched,
        Strategy::DeferredSeq,
        Strategy::DeferredLocal,
        Strategy::None,
    ];

    /// The strategies that are compared when none are named.
    pub const COMPARED: [Strategy; 3] = [Strategy::Atomic, Strategy::Batched, Strategy::DeferredSeq];

    /// The name, as the kernel's command line takes it.
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

    /// The strategy of this name.
    pub fn from_name(name: &str) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|s| s.name() == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Strategy::ALL.map(Strategy::name).join(", ")
    }

    /// What it does, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Strategy::Lowmem => "all pages of files in the direct map: nothing is mapped, the baseline",
            Strategy::Atomic => "a slot of the processor's own; invlpg here at every map",
            Strategy::SharedInvlpg => {
                "one shared window in turn; an IPI and invlpg on all processors at each reuse of a slot"
            }
            Strategy::Batched => {
                "one shared window in turn; one global flush on all processors when the cursor wraps"
            }
            Strategy::DeferredSeq => {
                "one shared window, least recently used slot first; sequence numbers tell who must still flush"
            }
            Strategy::DeferredLocal => {
                "as deferred-seq, but a processor that is out of date invalidates only itself: never an IPI"
            }
            Strategy::None => "the shared window with the flush left out: a control that has to be caught",
        }
    }

    /// Whose idea it is.
    pub const fn origin(self) -> &'static str {
        match self {
            Strategy::Lowmem => "kernels without highmem",
            Strategy::Atomic => "Linux kmap_atomic (Molnar 1999; Corbet, LWN 2009)",
            Strategy::SharedInvlpg => "nobody's: the straw man of the 1999-2002 discussion",
            Strategy::Batched => "Linux pkmap (Molnar, Arcangeli 1999-2002)",
            Strategy::DeferredSeq => "Tweedie, \"Linux and physical memory\", 1999",
            Strategy::DeferredLocal => "after Tweedie; the conflict dealt with by its finder alone",
            Strategy::None => "control",
        }
    }
}

/// A way to get a strategy wrong, planted in the kernel on demand (`fault=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name, as the kernel's command line takes it.
    pub name: &'static str,
    /// The strategies that it breaks.
    pub strategies: &'static [Strategy],
    /// What is wrong.
    pub description: &'static str,
}

const BATCHED: &[Strategy] = &[Strategy::Batched];
const DEFERRED: &[Strategy] = &[Strategy::DeferredSeq, Strategy::DeferredLocal];

const fn fault(name: &'static str, strategies: &'static [Strategy], description: &'static str) -> Fault {
    Fault { name, strategies, description }
}

/// Every planted fault.
pub const FAULTS: &[Fault] = &[
    fault("cr3-flush", BATCHED, "global slots are flushed by loading CR3, which keeps them"),
    fault("skip-idle", BATCHED, "idle processors acknowledge without flushing"),
    fault("drop-lock", BATCHED, "the lock is released during the flush, with the counts already 0"),
    fault("early-ack", BATCHED, "targets acknowledge before they flush"),
    fault("flush-first", BATCHED, "the flush comes before the PTEs are cleared"),
    fault("no-recheck", BATCHED, "who has slept does not look again whether the page was mapped meanwhile"),
    fault("a", DEFERRED, "the check before use is missing"),
    fault("b", DEFERRED, "the epoch is sampled after the CR3 load"),
    fault("c", DEFERRED, "the epoch is raised before the PTE is written"),
    fault("d", DEFERRED, "invlpg comes before the PTE is written"),
    fault("e", DEFERRED, "the stamp goes to a processor that the task may have left"),
    fault("f", DEFERRED, "a task that arrives with pins gets no CR3 load"),
    fault("g", DEFERRED, "a lazy switch counts as a flush"),
    fault("h", DEFERRED, "a switch within one address space counts as a flush"),
    fault("i", DEFERRED, "CR3 loads count as flushes of global slots (with global-kmap=1)"),
    fault("j", DEFERRED, "no check on a processor that never used the slot"),
];

impl Fault {
    /// The fault of this name.
    pub fn from_name(name: &str) -> Option<&'static Fault> {
        FAULTS.iter().find(|f| f.name == name)
    }

    /// All names with their strategies, for messages.
    pub fn names() -> String {
        let of = |strategies: &[Strategy]| {
            let names: Vec<_> =
                FAULTS.iter().filter(|f| f.strategies == strategies).map(|f| f.name).collect();
            let whose: Vec<_> = strategies.iter().map(|s| s.name()).collect();
            format!("{} ({})", names.join(", "), whose.join(", "))
        };
        format!("none, {}, {}", of(BATCHED), of(DEFERRED))
    }

    /// The names of the strategies that it breaks, for messages.
    pub fn of(&self) -> String {
        let names: Vec<_> = self.strategies.iter().map(|s| s.name()).collect();
        names.join(" or ")
    }
}
