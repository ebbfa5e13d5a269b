//! Planted faults: ways to get a strategy wrong, each a few lines at the place
//! where a real kernel would have the bug. They exist to be caught
//! (`fault=NAME`), and cost one compare of a static otherwise.
//!
//! The names `a` .. `m` of `deferred-seq` and `deferred-local` are those of their protocol's list.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::arch::insn;
use crate::cmdline::Options;
use crate::kmap::Strategy;
use crate::shootdown::Scheme;
use crate::{refuse, rmap};

/// What a fault breaks.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// These values of `kmap=`.
    Kmap(&'static [Strategy]),
    /// These values of `shootdown=`.
    Shootdown(&'static [Scheme]),
    /// These values of `rmap=`, with `swap=`.
    Rmap(&'static [rmap::Scheme]),
    /// `bounce=` with this value.
    Bounce(bool),
    /// `disk=`, if there is one.
    Disk(bool),
}

macro_rules! of {
    (kmap $($name:ident)*) => { Of::Kmap(&[$(Strategy::$name),*]) };
    (shootdown $($name:ident)*) => { Of::Shootdown(&[$(Scheme::$name),*]) };
    (disk On) => { Of::Disk(true) };
    (bounce On) => { Of::Bounce(true) };
    (rmap $($name:ident)*) => { Of::Rmap(&[$(rmap::Scheme::$name),*]) };
}

/// One table gives enum, names and what each fault belongs to.
macro_rules! faults {
    ($($key:ident $($of:ident)|+, $title:literal { $($(#[$meta:meta])* $variant:ident $name:literal,)* })*) => {
        /// A planted fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Fault { $($($(#[$meta])* $variant,)*)* }

        impl Fault {
            const ALL: &'static [Fault] = &[$($(Fault::$variant,)*)*];
            /// What `fault=` accepts.
            pub const NAMES: &'static str = concat!($("with ", $title, ":", $(" ", $name,)* "; ",)* "none without fault=");

            /// The value of `fault=`.
            pub const fn name(self) -> &'static str {
                match self { $($(Fault::$variant => $name,)*)* }
            }

            /// What it belongs to, and that in words.
            const fn of(self) -> (Of, &'static str) {
                match self { $($(Fault::$variant)|* => (of!($key $($of)+), $title),)* }
            }
        }
    };
}

faults! {
    kmap Batched, "kmap=batched" {
        /// Global slots are flushed by loading CR3, which keeps them.
        Cr3Flush "cr3-flush",
        /// Idle processors acknowledge without flushing.
        SkipIdle "skip-idle",
        /// The lock is released during the flush, the counts are 0 already.
        DropLock "drop-lock",
        /// Targets acknowledge before they flush, and let other interrupts in meanwhile.
        EarlyAck "early-ack",
        /// The flush comes before the PTEs are cleared.
        FlushFirst "flush-first",
        /// The one who flushes may lose its processor between the message and its own flush.
        PreemptFlush "preempt-flush",
        /// `kunmap` spins for `kmap_lock` with interrupts off.
        IrqsOff "irqs-off",
        /// Who has slept does not look again whether the page was mapped meanwhile.
        NoRecheck "no-recheck",
    }
    kmap Atomic, "kmap=atomic" {
        /// The target of a copy has the type of its source.
        OneType "one-type",
        /// A task gives its processor up between map and unmap.
        Sleep "sleep",
        /// Interrupts stay on while a slot is in use that they share (with `atomic-irqs=off`).
        SharedSlot "shared-slot",
    }
    kmap AtomicStack, "kmap=atomic-stack" {
        /// A slot is popped before it is flushed.
        PopFirst "pop-first",
    }
    kmap TaskWindow, "kmap=task-window" {
        /// A task that comes from another processor gets nothing invalidated.
        NoArrival "no-arrival",
    }
    kmap DeferredSeq | DeferredLocal, "kmap=deferred-seq or deferred-local" {
        /// `ensure` does not check.
        A "a",
        /// The epoch is sampled after the CR3 load.
        B "b",
        /// The epoch is raised before the PTE is written.
        C "c",
        /// `invlpg` comes before the PTE is written.
        D "d",
        /// A task may be preempted between `invlpg` and stamp: the stamp goes to another processor.
        E "e",
        /// A task that arrives with pins gets no CR3 load.
        F "f",
        /// A lazy switch counts as a flush.
        G "g",
        /// A switch within one address space counts as a flush.
        H "h",
        /// CR3 loads count as flushes of global slots (with `global-kmap=1`).
        I "i",
        /// No check on a processor that never used the slot.
        J "j",
        /// The epoch has 8 bits and wraps.
        K "k",
        /// The kva is used after its pin was given back.
        L "l",
        /// A processor that comes up counts as up to date.
        M "m",
    }
    shootdown IpiSync | IpiBroadcast | EarlyAck | Concurrent | Lazy | TlbGen, "any shootdown=" {
        /// PTEs are taken away and nobody flushes for it.
        NoFlush "no-flush",
        /// The frames are given up before the flush.
        FreeFirst "free-first",
    }
    shootdown Lazy, "shootdown=lazy" {
        /// A processor that was left out does not flush when it comes back.
        NoReturnFlush "no-return-flush",
    }
    shootdown TlbGen, "shootdown=tlb-gen" {
        /// The generation that a processor notes is read after its flush.
        GenLate "gen-late",
    }
    rmap Scan | VmaList | Family, "swap=PAGES" {
        /// A victim is copied to the swap device before its translations are flushed.
        SwapCopyFirst "swap-copy-first",
        /// A victim's PTEs are taken away and nobody flushes for it.
        SwapNoFlush "swap-no-flush",
    }
    rmap VmaList, "rmap=vma-list with swap=PAGES" {
        /// The second part of an area that is split counts from where the first does.
        RmapNotSplit "rmap-vma-not-split",
    }
    rmap Family, "rmap=family with swap=PAGES" {
        /// Nobody knows that memory has moved away from where it was mapped.
        RmapNoMremap "rmap-family-no-mremap",
    }
    disk On, "disk=PAGES" {
        /// A page counts as clean when the device has it, whatever was written meanwhile.
        CleanLate "clean-late",
    }
    bounce On, "bounce=on" {
        /// A bounce page goes back to the pool when it is filled, not when the device has it.
        BounceEarly "bounce-early",
    }
}

const NO_FAULT: u8 = u8::MAX;
static PLANTED: AtomicU8 = AtomicU8::new(NO_FAULT);

impl Fault {
    /// The fault of this name.
    pub fn from_name(name: &str) -> Option<Fault> {
        Fault::ALL.iter().copied().find(|f| f.name() == name)
    }
}

/// Plants what was asked for; at boot. Refuses a fault of something else than what runs.
pub fn init(options: &Options) {
    let Some(fault) = options.fault else { return };
    let (of, title) = fault.of();
    let fits = match of {
        Of::Kmap(strategies) => options.highmem && strategies.contains(&options.kmap),
        Of::Shootdown(schemes) => schemes.contains(&options.shootdown),
        Of::Rmap(schemes) => options.swap > 0 && schemes.contains(&options.rmap),
        Of::Bounce(on) => options.bounce == on,
        Of::Disk(on) => (options.disk > 0) == on,
    };
    if !fits {
        refuse!(
            "command line: fault={} belongs to {title}, not to kmap={} highmem={} shootdown={} swap={} rmap={} disk={} bounce={}",
            fault.name(),
            options.kmap.name(),
            if options.highmem { options.paging.name() } else { "off" },
            options.shootdown.name(),
            options.swap,
            options.rmap.name(),
            options.disk,
            if options.bounce { "on" } else { "off" }
        );
    }
    PLANTED.store(fault as u8, Relaxed);
}

/// Is this fault planted?
#[inline(always)]
pub fn is(fault: Fault) -> bool {
    PLANTED.load(Relaxed) == fault as u8
}

/// Holds a race open for a while; only ever called where a fault is planted.
#[cold]
pub fn linger() {
    for _ in 0..200 {
        insn::pause();
    }
}
