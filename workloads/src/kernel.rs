//! The guest kernel's options: keys, checks and the command line made of them.
//!
//! The kernel checks its command line itself and refuses what does not fit the
//! machine, with the arithmetic; only names and ranges are checked here.

use crate::pte::Pte;
use crate::shootdown::Shootdown;
use crate::strategy::{Fault, Strategy};
use shootdown_emu::config::parse_memory;
use std::collections::BTreeMap;

/// The page-table format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Two levels, 32-bit physical addresses.
    TwoLevel,
    /// PAE, 36-bit physical addresses.
    Pae,
}

impl Paging {
    /// The value of `highmem=` and `paging=`.
    pub const fn name(self) -> &'static str {
        match self {
            Paging::TwoLevel => "4g",
            Paging::Pae => "64g",
        }
    }
}

/// The lock of a shared window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockKind {
    /// Test and set, as in Linux 2.4: whoever finds it free has it.
    #[default]
    Tas,
    /// Fair, as from Linux 2.6.25: in the order of coming.
    Ticket,
}

impl LockKind {
    /// The value of `lock=`.
    pub const fn name(self) -> &'static str {
        match self {
            LockKind::Tas => "tas",
            LockKind::Ticket => "ticket",
        }
    }
}

/// What shared memory is mapped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShmPages {
    /// Small pages, through page tables of each process.
    #[default]
    Small,
    /// Large pages, as far as it is as long.
    Large,
}

impl ShmPages {
    /// The value of `shm-pages=`.
    pub const fn name(self) -> &'static str {
        match self {
            ShmPages::Small => "small",
            ShmPages::Large => "large",
        }
    }
}

/// When `atomic` and `atomic-stack` invalidate their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicFlush {
    /// At the map, the order of Linux 2.4.
    Map,
    /// At the unmap, as from 2.6.
    Unmap,
}

impl AtomicFlush {
    /// The value of `atomic-flush=`.
    pub const fn name(self) -> &'static str {
        match self {
            AtomicFlush::Map => "map",
            AtomicFlush::Unmap => "unmap",
        }
    }
}

/// When `shared-invlpg` shoots a slot down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedFlush {
    /// When it is given to another page.
    Recycle,
    /// When its page is used no more.
    Unmap,
}

impl SharedFlush {
    /// The value of `shared-flush=`.
    pub const fn name(self) -> &'static str {
        match self {
            SharedFlush::Recycle => "recycle",
            SharedFlush::Unmap => "unmap",
        }
    }
}

/// Does the kernel send all marks, or only those of the measured part?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// All.
    On,
    /// Only the region of interest; no latencies, no counters of the guest.
    Off,
}

/// The G bit of the window's PTEs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalKmap {
    /// As the strategy wants it: clear for `deferred-seq` and `deferred-local`, else set.
    ByStrategy,
    /// Set.
    Set,
    /// Clear.
    Clear,
}

/// What can be said to the kernel. Unset values depend on the machine's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    /// Slots of the shared window, 16..=65536; unset: 1024, with PAE 512, as Linux.
    pub window: Option<u32>,
    /// G bit of the window's PTEs.
    pub global_kmap: GlobalKmap,
    /// When `atomic` and `atomic-stack` invalidate; unset: at the map, and at the unmap.
    pub atomic_flush: Option<AtomicFlush>,
    /// `atomic-irqs=off` is `false`: interrupts share the slots of `atomic`, and are off while one is in use.
    pub atomic_irqs: bool,
    /// When `shared-invlpg` shoots down; unset: when a slot is given to another page.
    pub shared_flush: Option<SharedFlush>,
    /// How processors are told that user translations are gone.
    pub shootdown: Shootdown,
    /// How page tables are reached.
    pub pte: Pte,
    /// The lock of a shared window.
    pub lock: LockKind,
    /// What shared memory is mapped by.
    pub shm_pages: ShmPages,
    /// Slots that a task's first kmap reserves with `pte=reserve`: 2 or 3.
    pub reserve: u32,
    /// When the user's side of a copy is made usable, one of [`USER_COPIES`].
    pub user_copy: &'static str,
    /// How a page is copied on write, one of [`COWS`].
    pub cow: &'static str,
    /// The strategy's axes that were set, by their keys: see [`AXES`].
    pub axes: BTreeMap<&'static str, String>,
    /// Does the timer interrupt read a page of a file at each tick?
    pub irq_kmap: bool,
    /// Does a kernel thread on each processor read one every few ticks?
    pub thread_kmap: bool,
    /// Pages of RAM that play the swap device; 0: none.
    pub swap: u32,
    /// How reclaim finds the PTEs of a page, one of [`RMAPS`].
    pub rmap: &'static str,
    /// Is each search for PTEs held against one through all page tables?
    pub rmap_audit: bool,
    /// Pages of RAM that play the device of files; 0: files stay in memory.
    pub disk: u32,
    /// Does the device not reach all memory?
    pub bounce: bool,
    /// What it reaches in bytes; unset: 4 GiB.
    pub bounce_limit: Option<u64>,
    /// Pages that what it does not reach goes through.
    pub bounce_pages: u32,
    /// End of the NORMAL zone in bytes; unset: a quarter of RAM but 16 to 32 MiB, so that there is
    /// highmem; above 1 GiB of RAM, and with `highmem=off`, as far as the direct map reaches.
    pub normal: Option<u64>,
    /// Page-table format, `highmem=4g` and `64g`; unset: PAE when RAM reaches above 4 GiB.
    pub paging: Option<Paging>,
    /// `highmem=off` is `false`: what the direct map does not reach is not used.
    pub highmem: bool,
    /// `smp=off` is `false`: a kernel for one processor, without LOCK prefixes.
    pub smp: bool,
    /// What of the linear addresses is the user's, one of [`SPLITS`].
    pub split: &'static str,
    /// Marks.
    pub marks: Marks,
    /// Is CR3 loaded at each entry from ring 3 and before each return to it (4G/4G)?
    pub entry_cr3: bool,
    /// May a task lose its processor inside the kernel?
    pub preempt: bool,
    /// Initial count of the local APIC timer per tick; unset: the kernel's own choice.
    pub tick: Option<u32>,
    /// A planted fault.
    pub fault: Option<&'static Fault>,
}

impl Default for KernelOptions {
    fn default() -> KernelOptions {
        KernelOptions {
            window: None,
            global_kmap: GlobalKmap::ByStrategy,
            atomic_flush: None,
            atomic_irqs: true,
            shared_flush: None,
            shootdown: Shootdown::default(),
            pte: Pte::default(),
            lock: LockKind::default(),
            shm_pages: ShmPages::default(),
            reserve: RESERVED,
            user_copy: USER_COPIES[0],
            cow: COWS[0],
            axes: BTreeMap::new(),
            irq_kmap: false,
            thread_kmap: false,
            swap: 0,
            rmap: RMAPS[0].0,
            rmap_audit: false,
            disk: 0,
            bounce: false,
            bounce_limit: None,
            bounce_pages: BOUNCE_PAGES,
            normal: None,
            paging: None,
            highmem: true,
            smp: true,
            split: SPLITS[0],
            marks: Marks::On,
            entry_cr3: false,
            preempt: true,
            tick: None,
            fault: None,
        }
    }
}

/// The axes of which every strategy is a point, and what each accepts. A strategy stands for its own values; one that
/// is set stands in place of it. The kernel refuses points that make no sense, with the reason.
pub const AXES: &[(&str, &[&str])] = &[
    ("slots", &["none", "type", "stack", "pool", "task", "pair", "rotating", "lru"]),
    ("when", &["never", "map", "unmap", "recycle", "wrap", "use"]),
    ("how", &["invlpg", "cr3", "pge", "invpcid"]),
    ("who", &["self", "everyone"]),
    ("inval", &["done", "none", "ideal"]),
    ("wrap", &["global", "all-slots", "reclaimed-slots", "ceiling:N"]),
];

/// The ways to find the PTEs of a page that is to go to the swap device, the default first, and what they look at.
pub const RMAPS: &[(&str, &str)] = &[
    ("scan", "all page tables of all processes, until as many PTEs are found as the page has owners"),
    ("vma-list", "one PTE of each area that may have got the page by fork, which are on lists"),
    ("family", "the PTE of the page's address in each process that is related by fork"),
];

/// The ways to copy a page on write, the default first: both pages are mapped, or the new one alone, and the old one is read
/// at the address that the task has it at.
pub const COWS: &[&str] = &["pair", "own"];

/// When the user's side of a copy is made usable, the default first: before the page of the file is mapped, or by the faults
/// of the copy, with that page mapped.
pub const USER_COPIES: &[&str] = &["before", "fault"];

/// Slots that a task reserves when nothing else is said, and at most.
pub const RESERVED: u32 = 3;

/// The splits of the linear addresses between user and kernel, by the user's part, the default first.
pub const SPLITS: &[&str] = &["3g", "2g", "1g"];

/// Bounce pages when none are asked for, as in the emergency pool of Linux.
const BOUNCE_PAGES: u32 = 32;
const MIB: u64 = 1 << 20;
/// From this much RAM on, some of it lies above 4 GiB.
const ABOVE_4G: u64 = 0xe000_0000;
/// Up to this much RAM the NORMAL zone is made small.
const SMALL: u64 = 1 << 30;

impl KernelOptions {
    /// Names of all keys.
    pub const KEYS: [&'static str; 37] = [
        "window",
        "slots",
        "when",
        "how",
        "who",
        "inval",
        "wrap",
        "global-kmap",
        "atomic-flush",
        "atomic-irqs",
        "shared-flush",
        "shootdown",
        "pte",
        "lock",
        "shm-pages",
        "reserve",
        "user-copy",
        "cow",
        "irq-kmap",
        "thread-kmap",
        "swap",
        "rmap",
        "rmap-audit",
        "disk",
        "bounce",
        "bounce-limit",
        "bounce-pages",
        "normal",
        "highmem",
        "paging",
        "smp",
        "split",
        "marks",
        "entry-cr3",
        "preempt",
        "tick",
        "fault",
    ];

    /// Sets one key. `None`: there is no such key. An error says what is wrong with the value and what is accepted.
    pub fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        Some(match key {
            "window" => number(value, 16, 65536).map(|n| self.window = Some(n)),
            "global-kmap" => word(
                value,
                &[
                    ("0", GlobalKmap::Clear),
                    ("1", GlobalKmap::Set),
                    ("false", GlobalKmap::Clear),
                    ("true", GlobalKmap::Set),
                ],
                "0, 1",
            )
            .map(|g| self.global_kmap = g),
            "atomic-flush" => {
                word(value, &[("map", AtomicFlush::Map), ("unmap", AtomicFlush::Unmap)], "map, unmap")
                    .map(|f| self.atomic_flush = Some(f))
            }
            "atomic-irqs" => on_off(value).map(|on| self.atomic_irqs = on),
            "shared-flush" => word(
                value,
                &[("recycle", SharedFlush::Recycle), ("unmap", SharedFlush::Unmap)],
                "recycle, unmap",
            )
            .map(|f| self.shared_flush = Some(f)),
            "shootdown" => Shootdown::from_name(value)
                .map(|s| self.shootdown = s)
                .ok_or_else(|| format!("'{value}' is not accepted; accepted are {}", Shootdown::names())),
            "pte" => Pte::from_name(value)
                .map(|p| self.pte = p)
                .ok_or_else(|| format!("'{value}' is not accepted; accepted are {}", Pte::names())),
            "lock" => word(value, &[("tas", LockKind::Tas), ("ticket", LockKind::Ticket)], "tas, ticket")
                .map(|l| self.lock = l),
            "shm-pages" => {
                word(value, &[("small", ShmPages::Small), ("large", ShmPages::Large)], "small, large")
                    .map(|s| self.shm_pages = s)
            }
            "reserve" => number(value, 2, RESERVED).map(|n| self.reserve = n),
            "user-copy" => one_of(value, USER_COPIES).map(|name| self.user_copy = name),
            "cow" => one_of(value, COWS).map(|name| self.cow = name),
            "irq-kmap" => switch(value).map(|on| self.irq_kmap = on),
            "thread-kmap" => switch(value).map(|on| self.thread_kmap = on),
            "swap" => number(value, 0, (1 << 20) - 1).map(|n| self.swap = n),
            "smp" => on_off(value).map(|on| self.smp = on),
            "split" => one_of(value, SPLITS).map(|name| self.split = name),
            "rmap" => match RMAPS.iter().find(|(name, _)| *name == value) {
                Some((name, _)) => {
                    self.rmap = name;
                    Ok(())
                }
                None => {
                    let names: Vec<_> = RMAPS.iter().map(|(name, _)| *name).collect();
                    Err(format!("'{value}' is not accepted; accepted are {}", names.join(", ")))
                }
            },
            "rmap-audit" => switch(value).map(|on| self.rmap_audit = on),
            "disk" => number(value, 0, (1 << 20) - 1).map(|n| self.disk = n),
            "bounce" => on_off(value).map(|on| self.bounce = on),
            "bounce-limit" => size(value).map(|n| self.bounce_limit = Some(n)),
            "bounce-pages" => number(value, 1, 64).map(|n| self.bounce_pages = n),
            "normal" => size(value).map(|n| self.normal = Some(n)),
            "highmem" => {
                let table = [("off", None), ("4g", Some(Paging::TwoLevel)), ("64g", Some(Paging::Pae))];
                word(value, &table, "off, 4g, 64g").map(|format| {
                    self.highmem = format.is_some();
                    self.paging = format;
                })
            }
            "paging" => word(value, &[("4g", Paging::TwoLevel), ("64g", Paging::Pae)], "4g, 64g")
                .map(|p| self.paging = Some(p)),
            "marks" => word(
                value,
                &[("on", Marks::On), ("off", Marks::Off), ("true", Marks::On), ("false", Marks::Off)],
                "on, off",
            )
            .map(|m| self.marks = m),
            "entry-cr3" => switch(value).map(|on| self.entry_cr3 = on),
            "preempt" => on_off(value).map(|on| self.preempt = on),
            "tick" => number(value, 1000, u32::MAX).map(|n| self.tick = Some(n)),
            "fault" if value == "none" => {
                self.fault = None;
                Ok(())
            }
            "fault" => match Fault::from_name(value) {
                Some(f) => {
                    self.fault = Some(f);
                    Ok(())
                }
                None => Err(format!("'{value}' is unknown; accepted are {}", Fault::names())),
            },
            _ => {
                let (key, accepted) = AXES.iter().find(|(name, _)| *name == key)?;
                if is_axis_value(accepted, value) {
                    self.axes.insert(key, value.into());
                    Ok(())
                } else {
                    Err(format!("'{value}' is not accepted; accepted are {}", accepted.join(", ")))
                }
            }
        })
    }

    /// Does the machine have to keep its TLBs true by itself? For `ideal`, and `inval=ideal` with any other.
    pub fn wants_coherent_tlbs(&self, strategy: Strategy) -> bool {
        match self.axes.get("inval") {
            Some(inval) => inval == "ideal",
            None => strategy == Strategy::Ideal,
        }
    }

    /// Page-table format on a machine with `memory` bytes.
    pub fn paging(&self, memory: u64) -> Paging {
        self.paging.unwrap_or(if memory > ABOVE_4G && self.highmem { Paging::Pae } else { Paging::TwoLevel })
    }

    /// Slots of the shared window on a machine with `memory` bytes.
    pub fn window(&self, memory: u64) -> u32 {
        self.window.unwrap_or(match self.paging(memory) {
            Paging::TwoLevel => 1024,
            Paging::Pae => 512,
        })
    }

    /// End of the NORMAL zone in bytes on a machine with `memory` bytes; `None`: as far as the direct map reaches.
    pub fn normal(&self, memory: u64) -> Option<u64> {
        self.normal.or_else(|| {
            (memory <= SMALL && self.highmem)
                .then(|| (memory / 4 / (4 * MIB) * 4 * MIB).clamp(16 * MIB, 32 * MIB))
        })
    }

    /// End of the memory that a device with `bounce=on` reaches.
    pub fn bounce_limit(&self) -> u64 {
        self.bounce_limit.unwrap_or(4 << 30)
    }

    /// The kernel's command line.
    pub fn command_line(&self, strategy: Strategy, memory: u64, seed: u32) -> String {
        let mut words = vec![
            format!("kmap={}", strategy.name()),
            format!("window={}", self.window(memory)),
            format!("paging={}", self.paging(memory).name()),
            format!("seed={seed}"),
        ];
        if !self.highmem {
            words.push("highmem=off".into());
        }
        if !self.smp {
            words.push("smp=off".into());
        }
        if self.split != SPLITS[0] {
            words.push(format!("split={}", self.split));
        }
        words.extend(self.axes.iter().map(|(key, value)| format!("{key}={value}")));
        if let Some(flush) = self.atomic_flush {
            words.push(format!("atomic-flush={}", flush.name()));
        }
        if !self.atomic_irqs {
            words.push("atomic-irqs=off".into());
        }
        if let Some(flush) = self.shared_flush {
            words.push(format!("shared-flush={}", flush.name()));
        }
        if self.shootdown != Shootdown::default() {
            words.push(format!("shootdown={}", self.shootdown.name()));
        }
        if self.pte != Pte::default() {
            words.push(format!("pte={}", self.pte.name()));
        }
        if self.lock != LockKind::default() {
            words.push(format!("lock={}", self.lock.name()));
        }
        if self.shm_pages != ShmPages::default() {
            words.push(format!("shm-pages={}", self.shm_pages.name()));
        }
        if self.reserve != RESERVED {
            words.push(format!("reserve={}", self.reserve));
        }
        if self.user_copy != USER_COPIES[0] {
            words.push(format!("user-copy={}", self.user_copy));
        }
        if self.cow != COWS[0] {
            words.push(format!("cow={}", self.cow));
        }
        if self.irq_kmap {
            words.push("irq-kmap=1".into());
        }
        if self.thread_kmap {
            words.push("thread-kmap=1".into());
        }
        if self.swap > 0 {
            words.push(format!("swap={} rmap={}", self.swap, self.rmap));
            words.extend(self.rmap_audit.then(|| "rmap-audit=1".into()));
        }
        if self.disk > 0 {
            words.push(format!("disk={}", self.disk));
        }
        if self.bounce {
            words.push(format!("bounce=on bounce-pages={}", self.bounce_pages));
            words.extend(self.bounce_limit.map(|bytes| format!("bounce-limit={}K", bytes / 1024)));
        }
        if let Some(bytes) = self.normal(memory) {
            words.push(format!("normal={}K", bytes / 1024));
        }
        match self.global_kmap {
            GlobalKmap::ByStrategy => {}
            GlobalKmap::Set => words.push("global-kmap=1".into()),
            GlobalKmap::Clear => words.push("global-kmap=0".into()),
        }
        if self.marks == Marks::Off {
            words.push("marks=off".into());
        }
        if self.entry_cr3 {
            words.push("entry-cr3=1".into());
        }
        if !self.preempt {
            words.push("preempt=off".into());
        }
        if let Some(tick) = self.tick {
            words.push(format!("tick={tick}"));
        }
        if let Some(fault) = self.fault {
            words.push(format!("fault={}", fault.name));
        }
        words.join(" ")
    }
}

fn number(value: &str, low: u32, high: u32) -> Result<u32, String> {
    let n = value.parse().ok().filter(|n| (low..=high).contains(n));
    n.ok_or_else(|| format!("'{value}' is not accepted; accepted are {low} to {high}"))
}

fn on_off(value: &str) -> Result<bool, String> {
    word(value, &[("on", true), ("off", false), ("true", true), ("false", false)], "on, off")
}

fn switch(value: &str) -> Result<bool, String> {
    word(value, &[("0", false), ("1", true), ("false", false), ("true", true)], "0, 1")
}

/// Is it one of these words, or, for `ceiling:N`, one with a number?
fn is_axis_value(accepted: &[&str], value: &str) -> bool {
    accepted.iter().any(|word| match word.strip_suffix('N') {
        Some(stem) => value.strip_prefix(stem).is_some_and(|n| n.parse::<u32>().is_ok()),
        None => *word == value,
    })
}

fn word<T: Copy>(value: &str, table: &[(&str, T)], accepted: &str) -> Result<T, String> {
    let found = table.iter().find(|(name, _)| *name == value);
    found.map(|&(_, v)| v).ok_or_else(|| format!("'{value}' is not accepted; accepted are {accepted}"))
}

/// One of some names.
fn one_of(value: &str, names: &[&'static str]) -> Result<&'static str, String> {
    let found = names.iter().find(|name| **name == value);
    found.copied().ok_or_else(|| format!("'{value}' is not accepted; accepted are {}", names.join(", ")))
}

/// A size below 4 GiB.
fn size(value: &str) -> Result<u64, String> {
    let bytes = parse_memory(value).ok().filter(|b| b % 1024 == 0 && *b < 1 << 32);
    bytes.ok_or_else(|| format!("'{value}' is not accepted; accepted are sizes from 1M to below 4G, as 32M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unset_follows_the_memory() {
        let o = KernelOptions::default();
        assert_eq!(o.paging(128 * MIB), Paging::TwoLevel);
        assert_eq!(o.paging(ABOVE_4G), Paging::TwoLevel);
        assert_eq!(o.paging(64 << 30), Paging::Pae);
        assert_eq!((o.window(128 * MIB), o.window(64 << 30)), (1024, 512));
        assert_eq!(o.normal(128 * MIB), Some(32 * MIB));
        assert_eq!(o.normal(64 * MIB), Some(16 * MIB));
        assert_eq!(o.normal(64 << 30), None);
        let mut o = KernelOptions::default();
        o.set("highmem", "off").expect("a key").expect("a value");
        assert_eq!((o.paging(64 << 30), o.normal(128 * MIB)), (Paging::TwoLevel, None));
        o.set("highmem", "64g").expect("a key").expect("a value");
        assert_eq!((o.paging(128 * MIB), o.normal(128 * MIB)), (Paging::Pae, Some(32 * MIB)));
    }

    #[test]
    fn the_command_line_says_it_all() {
        let mut o = KernelOptions::default();
        for (key, value) in [
            ("normal", "24M"),
            ("fault", "b"),
            ("global-kmap", "1"),
            ("marks", "off"),
            ("entry-cr3", "1"),
            ("window", "64"),
            ("wrap", "ceiling:32"),
            ("how", "cr3"),
            ("irq-kmap", "1"),
            ("atomic-irqs", "off"),
            ("shootdown", "lazy"),
            ("preempt", "off"),
            ("pte", "atomic"),
            ("lock", "ticket"),
            ("shm-pages", "large"),
            ("reserve", "2"),
            ("user-copy", "fault"),
            ("cow", "own"),
            ("smp", "off"),
            ("split", "1g"),
        ] {
            o.set(key, value).expect("a key").expect("a value");
        }
        assert_eq!(
            o.command_line(Strategy::DeferredSeq, 128 * MIB, 7),
            "kmap=deferred-seq window=64 paging=4g seed=7 smp=off split=1g how=cr3 wrap=ceiling:32 atomic-irqs=off shootdown=lazy pte=atomic lock=ticket shm-pages=large reserve=2 user-copy=fault cow=own irq-kmap=1 normal=24576K global-kmap=1 marks=off entry-cr3=1 preempt=off fault=b"
        );
    }

    #[test]
    fn bad_values_are_told_with_what_is_accepted() {
        let mut o = KernelOptions::default();
        for key in KernelOptions::KEYS {
            let e = o.set(key, "rubbish").expect("a key").expect_err("no value");
            assert!(e.contains("accepted are"), "{key}: {e}");
        }
        assert!(o.set("colour", "red").is_none());
        assert_eq!(o, KernelOptions::default());
    }
}
