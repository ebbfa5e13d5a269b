//! The mapping strategies that the kernel carries, and the planted faults, as the host side names them.
//!
//! The protocols themselves are in `kernel-image/src/kmap/`, one file each; the
//! names here go to the kernel's command line (`kmap=`, `fault=`).

use crate::kernel::KernelOptions;
use crate::shootdown::Shootdown;

/// One table gives enum, names, descriptions and origins.
macro_rules! strategies {
    ($($(#[$meta:meta])* $variant:ident $name:literal, $description:literal, $origin:literal;)*) => {
        /// How the kernel gives a page a kernel address.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Strategy { $($(#[$meta])* $variant,)* }

        impl Strategy {
            /// Every strategy, the baseline first, the control and the bound last.
            pub const ALL: &'static [Strategy] = &[$(Strategy::$variant,)*];

            /// The name, as the kernel's command line takes it.
            pub const fn name(self) -> &'static str {
                match self { $(Strategy::$variant => $name,)* }
            }

            /// What it does, in one line.
            pub const fn description(self) -> &'static str {
                match self { $(Strategy::$variant => $description,)* }
            }

            /// Whose idea it is.
            pub const fn origin(self) -> &'static str {
                match self { $(Strategy::$variant => $origin,)* }
            }
        }
    };
}

strategies! {
    /// Everything in the direct map.
    Lowmem "lowmem",
        "all pages of files in the direct map: nothing is mapped, the baseline",
        "kernels without highmem";
    /// Per-CPU slots by type.
    Atomic "atomic",
        "a slot of the processor's own; invlpg here at every map",
        "Linux kmap_atomic (Molnar 1999; Corbet, LWN 2009)";
    /// A per-CPU stack of slots.
    AtomicStack "atomic-stack",
        "a stack of slots of the processor's own; invlpg here at every unmap, before the pop",
        "Zijlstra 2009 (Linux 2.6.37; Corbet, LWN 2009)";
    /// Two addresses per address space.
    CopyClear "copy-clear",
        "two fixed addresses, local through each task's own page table; invlpg here at every map",
        "Jelinek, in Tweedie's discussion, 1999";
    /// A few slots per processor and context.
    PercpuPool "percpu-pool",
        "four slots of the processor's own for each context; invlpg here when one changes its page",
        "LaHaise, January 2002";
    /// Slots at the top of each task's user space.
    TaskWindow "task-window",
        "slots in the task's own page table; the CR3 switch flushes them, else invlpg here",
        "Dickins, January 2002";
    /// One window, each reuse of a slot shot down on all processors.
    SharedInvlpg "shared-invlpg",
        "one shared window in turn; an IPI and invlpg on all processors at each reuse of a slot",
        "nobody's: the straw man of the 1999-2002 discussion";
    /// One window, flushed when its cursor wraps.
    Batched "batched",
        "one shared window in turn; one global flush on all processors when the cursor wraps",
        "Linux pkmap (Molnar, Arcangeli 1999-2002)";
    /// The same; at the wrap nothing but the window is flushed.
    BatchedRange "batched-range",
        "as batched, but at the wrap every processor goes over the window's slots with invlpg",
        "Mackerras, January 2002";
    /// A window with LRU recycling and sequence numbers.
    DeferredSeq "deferred-seq",
        "one shared window, least recently used slot first; sequence numbers tell who must still flush",
        "Tweedie, \"Linux and physical memory\", 1999";
    /// The same; a processor that is out of date invalidates only itself.
    DeferredLocal "deferred-local",
        "as deferred-seq, but a processor that is out of date invalidates only itself: never an IPI",
        "after Tweedie; the conflict dealt with by its finder alone";
    /// `batched` that never invalidates.
    None "none",
        "the shared window with the flush left out: a control that has to be caught",
        "control";
    /// `atomic` on a machine whose TLBs are coherent.
    Ideal "ideal",
        "slots of the processor's own on a machine that drops what a PTE's write makes wrong, for nothing",
        "bound";
}

impl Strategy {
    /// The strategies that are compared when none are named.
    pub const COMPARED: [Strategy; 3] = [Strategy::Atomic, Strategy::Batched, Strategy::DeferredSeq];

    /// The strategy of this name.
    pub fn from_name(name: &str) -> Option<Strategy> {
        Strategy::ALL.iter().copied().find(|s| s.name() == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Strategy::ALL.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
    }
}

/// What a planted fault breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// These ways to give a page a kernel address.
    Strategies(&'static [Strategy]),
    /// These ways to have user translations forgotten.
    Shootdowns(&'static [Shootdown]),
    /// Reclaim, where there is a swap device.
    Swap,
    /// This way to find PTEs, where there is one.
    Rmap(&'static str),
    /// Files that come from the device and go there.
    Disk,
    /// Bounce pages.
    Bounce,
}

/// A way to get a strategy wrong, planted in the kernel on demand (`fault=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name, as the kernel's command line takes it.
    pub name: &'static str,
    /// What it breaks.
    pub of: Of,
    /// What is wrong.
    pub description: &'static str,
}

const BATCHED: Of = Of::Strategies(&[Strategy::Batched]);
const ATOMIC: Of = Of::Strategies(&[Strategy::Atomic]);
const STACK: Of = Of::Strategies(&[Strategy::AtomicStack]);
const TASK: Of = Of::Strategies(&[Strategy::TaskWindow]);
const DEFERRED: Of = Of::Strategies(&[Strategy::DeferredSeq, Strategy::DeferredLocal]);
const ANY_SHOOTDOWN: Of = Of::Shootdowns(Shootdown::ALL);
const LAZY: Of = Of::Shootdowns(&[Shootdown::Lazy]);
const TLB_GEN: Of = Of::Shootdowns(&[Shootdown::TlbGen]);

const SWAP: Of = Of::Swap;
const VMA_LIST: Of = Of::Rmap("vma-list");
const FAMILY: Of = Of::Rmap("family");
const DISK: Of = Of::Disk;
const BOUNCE: Of = Of::Bounce;

const fn fault(name: &'static str, of: Of, description: &'static str) -> Fault {
    Fault { name, of, description }
}

/// Every planted fault.
pub const FAULTS: &[Fault] = &[
    fault("cr3-flush", BATCHED, "global slots are flushed by loading CR3, which keeps them"),
    fault("skip-idle", BATCHED, "idle processors acknowledge without flushing"),
    fault("drop-lock", BATCHED, "the lock is released during the flush, with the counts already 0"),
    fault(
        "early-ack",
        BATCHED,
        "targets acknowledge before they flush, and let other interrupts in meanwhile",
    ),
    fault("flush-first", BATCHED, "the flush comes before the PTEs are cleared"),
    fault(
        "preempt-flush",
        BATCHED,
        "the one who flushes may lose its processor between the message and its own flush",
    ),
    fault("irqs-off", BATCHED, "kunmap spins for kmap_lock with interrupts off: a deadlock"),
    fault("no-recheck", BATCHED, "who has slept does not look again whether the page was mapped meanwhile"),
    fault("one-type", ATOMIC, "the target of a copy has the slot of its source"),
    fault("sleep", ATOMIC, "a task gives its processor up while it holds a slot"),
    fault(
        "shared-slot",
        ATOMIC,
        "interrupts stay on while a slot is in use that they share (with atomic-irqs=off, irq-kmap=1)",
    ),
    fault("pop-first", STACK, "a slot is popped before it is flushed (with atomic-flush=unmap, irq-kmap=1)"),
    fault("no-arrival", TASK, "a task that comes from another processor gets nothing invalidated"),
    fault("a", DEFERRED, "the check before use is missing"),
    fault("b", DEFERRED, "the epoch is sampled after the CR3 load"),
    fault("c", DEFERRED, "the epoch is raised before the PTE is written"),
    fault("d", DEFERRED, "invlpg comes before the PTE is written"),
    fault("e", DEFERRED, "preempted between invlpg and stamp: the stamp goes to another processor"),
    fault("f", DEFERRED, "a task that arrives with pins gets no CR3 load"),
    fault("g", DEFERRED, "a lazy switch counts as a flush"),
    fault("h", DEFERRED, "a switch within one address space counts as a flush"),
    fault("i", DEFERRED, "CR3 loads count as flushes of global slots (with global-kmap=1)"),
    fault("j", DEFERRED, "no check on a processor that never used the slot"),
    fault("k", DEFERRED, "the epoch has 8 bits and wraps"),
    fault("l", DEFERRED, "the address is used after its pin was given back"),
    fault("m", DEFERRED, "a processor that comes up counts as up to date (with thread-kmap=1)"),
    fault("no-flush", ANY_SHOOTDOWN, "munmap flushes nobody's TLB"),
    fault("free-first", ANY_SHOOTDOWN, "munmap gives the frames up before the flush"),
    fault("no-return-flush", LAZY, "a processor that was left out does not flush when it comes back"),
    fault("gen-late", TLB_GEN, "the generation that a processor notes is read after its flush"),
    fault("swap-copy-first", SWAP, "a page is copied to the swap device before its translations are flushed"),
    fault("swap-no-flush", SWAP, "a page goes to the swap device and nobody's TLB is flushed"),
    fault(
        "rmap-vma-not-split",
        VMA_LIST,
        "the second part of an area that is split counts from where the first does",
    ),
    fault("rmap-family-no-mremap", FAMILY, "nobody knows that memory has moved from where it was mapped"),
    fault(
        "clean-late",
        DISK,
        "a page of a file counts as clean when the device has it, whatever was written meanwhile",
    ),
    fault("bounce-early", BOUNCE, "a bounce page goes back to the pool before the device has it"),
];

impl Fault {
    /// The fault of this name.
    pub fn from_name(name: &str) -> Option<&'static Fault> {
        FAULTS.iter().find(|f| f.name == name)
    }

    /// All names with what they break, for messages.
    pub fn names() -> String {
        let of = |of: Of| {
            let names: Vec<_> = FAULTS.iter().filter(|f| f.of == of).map(|f| f.name).collect();
            format!("{} ({})", names.join(", "), of.names(", "))
        };
        let all = [
            BATCHED,
            ATOMIC,
            STACK,
            TASK,
            DEFERRED,
            ANY_SHOOTDOWN,
            LAZY,
            TLB_GEN,
            SWAP,
            VMA_LIST,
            FAMILY,
            DISK,
            BOUNCE,
        ];
        format!("none, {}", all.map(of).join(", "))
    }

    /// The names of what it breaks, for messages.
    pub fn of(&self) -> String {
        self.of.names(" or ")
    }

    /// Does it break a kernel with these?
    pub fn breaks(&self, strategy: Strategy, kernel: &KernelOptions) -> bool {
        match self.of {
            Of::Strategies(of) => kernel.highmem && of.contains(&strategy),
            Of::Shootdowns(of) => of.contains(&kernel.shootdown),
            Of::Swap => kernel.swap > 0,
            Of::Rmap(of) => kernel.swap > 0 && kernel.rmap == of,
            Of::Disk => kernel.disk > 0,
            Of::Bounce => kernel.bounce && kernel.swap + kernel.disk > 0,
        }
    }
}

impl Of {
    fn names(self, between: &str) -> String {
        let names: Vec<_> = match self {
            Of::Strategies(of) => of.iter().map(|s| s.name()).collect(),
            Of::Shootdowns(of) if of.len() == Shootdown::ALL.len() => vec!["any shootdown"],
            Of::Shootdowns(of) => of.iter().map(|s| s.name()).collect(),
            Of::Swap => vec!["swap=PAGES"],
            Of::Rmap("vma-list") => vec!["rmap=vma-list with swap=PAGES"],
            Of::Rmap(_) => vec!["rmap=family with swap=PAGES"],
            Of::Bounce => vec!["bounce=on with a device"],
            Of::Disk => vec!["disk=PAGES"],
        };
        names.join(between)
    }
}
