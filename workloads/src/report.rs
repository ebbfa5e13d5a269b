//! The result: one JSON document with the whole configuration and a row per strategy.
//!
//! Which part of the run a figure covers:
//!
//! * **the whole run**: `operations` (the guest counts measured ones only),
//!   `data_errors`, `stale_uses`, `harmful_uses`, `exposure`, `stale_reports`.
//!   Nothing that is wrong may hide in the warm-up.
//! * **the region of interest**: everything else. `cycles` is its length, the
//!   greatest advance of any processor's clock; `wall_cycles_per_op` is that by
//!   operation, and `cycles_per_op` the same times the number of processors:
//!   what an operation costs the machine, waiting and idling included.
//!
//! Counters are sums over the processors; `cpus` has them one by one, with both
//! axes of each ledger, which sum to the processor's `cycles` exactly.

use crate::cell::Cell;
use crate::collect::Collector;
use crate::kernel::{
    AtomicFlush, COWS, GlobalKmap, LockKind, Marks, RESERVED, SPLITS, SharedFlush, ShmPages, USER_COPIES,
};
use crate::pte::Pte;
use crate::seeds::Seeds;
use crate::sensitivity::Sensitivity;
use crate::shootdown::Shootdown;
use crate::summary::Summary;
use crate::waits::Waits;
use crate::{Strategy, image};
use serde::{Deserialize, Serialize};
use shootdown_abi::{Activity, Counter, exit};
use shootdown_emu::config::{Strictness, TlbCoherence};
use shootdown_emu::ledger::{Kind, LedgerTotals};
use shootdown_emu::mmu::tlb::Replacement;
use shootdown_emu::snapshot::{CpuSnapshot, Snapshot};
use shootdown_emu::{Machine, MachineConfig, Stop};
use std::collections::BTreeMap;

/// Version of the document's shape.
pub const SCHEMA: u32 = 1;

/// Results of one load under one or several strategies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Everything that decided the run.
    pub config: Config,
    /// One row for each strategy, in the order asked for; with several seeds those of the first.
    pub rows: Vec<Row>,
    /// What hangs on the preset's estimates, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// The runs with other seeds, and what all seeds together say, where more than one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Seeds>,
}

/// Everything that decided the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this program.
    pub version: String,
    /// Digests of the images' loadable segments.
    pub image: Images,
    /// The load.
    pub workload: String,
    /// All its keys.
    pub parameters: BTreeMap<String, String>,
    /// The strategies asked for.
    pub strategies: Vec<String>,
    /// The kernel's options.
    pub kernel: KernelSection,
    /// The machine.
    pub machine: MachineSection,
}

/// Digests of the images' loadable segments (SHA-256).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// Of the kernel.
    pub kernel: String,
    /// Of the user program.
    pub guest: String,
}

/// The kernel's options, those that follow from the memory filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KernelSection {
    /// Slots of the shared window.
    pub window: u32,
    /// G bit of its PTEs; null: as the strategy wants it.
    pub global_kmap: Option<bool>,
    /// When `atomic` and `atomic-stack` invalidate: `map`, `unmap`; `strategy`: as each of them has it.
    pub atomic_flush: String,
    /// Were interrupts on while a slot of `atomic` was in use? Without, they share these slots.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub atomic_irqs: bool,
    /// When `shared-invlpg` shoots down: `recycle`, `unmap`; `strategy`: as it has it.
    pub shared_flush: String,
    /// How processors were told that user translations were gone.
    #[serde(default = "usual_shootdown", skip_serializing_if = "is_usual_shootdown")]
    pub shootdown: String,
    /// How page tables were reached.
    #[serde(default = "usual_pte", skip_serializing_if = "is_usual_pte")]
    pub pte: String,
    /// The lock of a shared window: `tas` or `ticket`.
    #[serde(default = "usual_lock", skip_serializing_if = "is_usual_lock")]
    pub lock: String,
    /// What shared memory was mapped by: `small` or `large` pages.
    #[serde(default = "usual_shm_pages", skip_serializing_if = "is_usual_shm_pages")]
    pub shm_pages: String,
    /// Slots that a task's first kmap reserved with `pte=reserve`; null: three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<u32>,
    /// When the user's side of a copy was made usable; null: before the page of the file was mapped (`before`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_copy: Option<String>,
    /// How pages were copied on write; null: by two kmaps (`pair`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cow: Option<String>,
    /// Axes of the strategies that were set: `slots`, `when`, `how`, `who`, `inval`, `wrap`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, String>,
    /// Did the timer interrupt read pages of files?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irq_kmap: bool,
    /// Did kernel threads read them?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thread_kmap: bool,
    /// Pages of RAM that played the swap device.
    #[serde(default, skip_serializing_if = "is_zero_pages")]
    pub swap: u32,
    /// Pages of RAM that played the device of files.
    #[serde(default, skip_serializing_if = "is_zero_pages")]
    pub disk: u32,
    /// How reclaim found the PTEs of a page; null without a swap device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rmap: Option<String>,
    /// Was each search held against one through all page tables?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rmap_audit: bool,
    /// Bounce pages of the device, and what it reaches without; null: it reaches everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce: Option<BounceSection>,
    /// End of the NORMAL zone in bytes; null: as far as the direct map reaches.
    pub normal: Option<u64>,
    /// `4g` (two-level) or `64g` (PAE).
    pub paging: String,
    /// Was memory used that the direct map does not reach?
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub highmem: bool,
    /// Was it a kernel for many processors? One for a single one has no LOCK prefixes.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub smp: bool,
    /// What of the linear addresses was the user's: `3g`, `2g`, `1g`.
    #[serde(default = "usual_split", skip_serializing_if = "is_usual_split")]
    pub split: String,
    /// Were all marks sent?
    pub marks: bool,
    /// Is CR3 loaded at each entry from ring 3 and before each return to it?
    pub entry_cr3: bool,
    /// Could tasks lose their processors inside the kernel?
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub preempt: bool,
    /// Initial count of the APIC timer; null: the kernel's own.
    pub tick: Option<u32>,
    /// The planted fault.
    pub fault: Option<String>,
}

/// What the device does not reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BounceSection {
    /// End of the memory that the device reaches, in bytes.
    pub limit: u64,
    /// Pages below that what lies above goes through.
    pub pages: u32,
}

fn yes() -> bool {
    true
}

fn is_yes(on: &bool) -> bool {
    *on
}

fn usual_split() -> String {
    SPLITS[0].into()
}

fn is_usual_split(name: &str) -> bool {
    name == SPLITS[0]
}

fn usual_pte() -> String {
    Pte::default().name().into()
}

fn is_usual_pte(name: &str) -> bool {
    name == Pte::default().name()
}

fn usual_lock() -> String {
    LockKind::default().name().into()
}

fn is_usual_lock(name: &str) -> bool {
    name == LockKind::default().name()
}

fn usual_shm_pages() -> String {
    ShmPages::default().name().into()
}

fn is_usual_shm_pages(name: &str) -> bool {
    name == ShmPages::default().name()
}

fn is_zero_pages(n: &u32) -> bool {
    *n == 0
}

fn usual_shootdown() -> String {
    Shootdown::default().name().into()
}

fn is_usual_shootdown(name: &str) -> bool {
    name == Shootdown::default().name()
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MachineSection {
    /// Name of the processor preset.
    pub cpu: String,
    /// Core clock in MHz.
    pub clock_mhz: u32,
    /// Processors.
    pub cpus: usize,
    /// RAM in bytes.
    pub mem: u64,
    /// The seed.
    pub seed: u64,
    /// Does an access to nothing end the run?
    pub strict: bool,
    /// `none`, `fill`, `keep`.
    pub adversary: String,
    /// Were the TLBs coherent by themselves for every strategy? For `ideal` they always are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coherent_tlbs: bool,
    /// `full` or `flat`.
    pub timing: String,
    /// The most that latencies are lengthened by, in cycles.
    pub jitter: u32,
    /// Factor on the scheduler's lookahead.
    pub slice: f64,
    /// Limit in cycles.
    pub max_cycles: Option<u64>,
    /// Replacement in the TLBs.
    pub replacement: String,
    /// Every number of the preset as it was used.
    pub numbers: BTreeMap<String, Number>,
}

/// A number of the preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The value.
    pub value: f64,
    /// Its unit; empty for a count.
    pub unit: String,
}

impl MachineSection {
    /// The section of a configuration.
    pub fn new(m: &MachineConfig, adversary: &str) -> MachineSection {
        let numbers = m.preset.numbers().into_iter();
        MachineSection {
            cpu: m.preset.name.clone(),
            clock_mhz: m.preset.clock_mhz,
            cpus: m.cpus,
            mem: m.memory,
            seed: m.seed,
            strict: m.strictness == Strictness::Strict,
            adversary: adversary.into(),
            coherent_tlbs: m.tlb_coherence == TlbCoherence::Hardware,
            timing: m.timing.name().into(),
            jitter: m.jitter,
            slice: m.slice,
            max_cycles: m.max_cycles,
            replacement: match m.preset.replacement() {
                Replacement::Lru => "lru",
                Replacement::TreePlru => "tree-plru",
                Replacement::Fifo => "fifo",
                Replacement::Random => "random",
            }
            .into(),
            numbers: numbers
                .map(|n| (n.key, Number { value: n.value, unit: n.unit.name().into() }))
                .collect(),
        }
    }
}

impl Config {
    /// The configuration of cells that differ only in their strategies.
    pub fn new(cell: &Cell, strategies: &[Strategy]) -> Config {
        let (kernel, memory) = (&cell.kernel, cell.machine.memory);
        Config {
            version: env!("CARGO_PKG_VERSION").into(),
            image: Images {
                kernel: image::digest(image::KERNEL).unwrap_or_default(),
                guest: image::digest(image::GUEST).unwrap_or_default(),
            },
            workload: cell.workload.name.into(),
            parameters: cell.parameters().into_iter().map(|(k, v)| (k.into(), v)).collect(),
            strategies: strategies.iter().map(|s| s.name().into()).collect(),
            kernel: KernelSection {
                window: kernel.window(memory),
                global_kmap: match kernel.global_kmap {
                    GlobalKmap::ByStrategy => None,
                    GlobalKmap::Set => Some(true),
                    GlobalKmap::Clear => Some(false),
                },
                atomic_flush: kernel.atomic_flush.map_or("strategy", AtomicFlush::name).into(),
                atomic_irqs: kernel.atomic_irqs,
                shared_flush: kernel.shared_flush.map_or("strategy", SharedFlush::name).into(),
                shootdown: kernel.shootdown.name().into(),
                pte: kernel.pte.name().into(),
                lock: kernel.lock.name().into(),
                shm_pages: kernel.shm_pages.name().into(),
                reserve: (kernel.reserve != RESERVED).then_some(kernel.reserve),
                user_copy: (kernel.user_copy != USER_COPIES[0]).then(|| kernel.user_copy.into()),
                cow: (kernel.cow != COWS[0]).then(|| kernel.cow.into()),
                axes: kernel.axes.iter().map(|(&k, v)| (k.into(), v.clone())).collect(),
                irq_kmap: kernel.irq_kmap,
                thread_kmap: kernel.thread_kmap,
                swap: kernel.swap,
                disk: kernel.disk,
                rmap: (kernel.swap > 0).then(|| kernel.rmap.into()),
                rmap_audit: kernel.swap > 0 && kernel.rmap_audit,
                bounce: kernel
                    .bounce
                    .then(|| BounceSection { limit: kernel.bounce_limit(), pages: kernel.bounce_pages }),
                normal: kernel.normal(memory),
                paging: kernel.paging(memory).name().into(),
                highmem: kernel.highmem,
                smp: kernel.smp,
                split: kernel.split.into(),
                marks: kernel.marks == Marks::On,
                entry_cr3: kernel.entry_cr3,
                preempt: kernel.preempt,
                tick: kernel.tick,
                fault: kernel.fault.map(|f| f.name.into()),
            },
            machine: MachineSection::new(&cell.machine, cell.adversary()),
        }
    }
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StopSection {
    /// `exit`, `triple-fault`, `livelock`, ...
    pub reason: String,
    /// Exit status that the guest asked for, `(value << 1) | 1`.
    pub code: Option<u32>,
}

impl StopSection {
    /// The section of a stop.
    pub fn new(stop: &Stop) -> StopSection {
        StopSection { reason: stop.reason().into(), code: stop.code() }
    }
}

/// Cycles by activity and by kind; both sum to the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LedgerSection {
    /// What the guest was doing.
    pub activity: BTreeMap<String, u64>,
    /// What the machine was doing.
    pub kind: BTreeMap<String, u64>,
}

impl LedgerSection {
    /// The section of a ledger.
    pub fn new(totals: &LedgerTotals) -> LedgerSection {
        LedgerSection {
            activity: Activity::ALL.iter().map(|a| (a.name().into(), totals.activity[*a as usize])).collect(),
            kind: Kind::ALL.iter().map(|k| (k.name().into(), totals.kind[*k as usize])).collect(),
        }
    }
}

/// One processor in the region of interest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CpuSection {
    /// Advance of its clock.
    pub cycles: u64,
    /// Its counters.
    pub counters: BTreeMap<String, u64>,
    /// Its ledger; each axis sums to `cycles`.
    pub ledger: LedgerSection,
}

impl CpuSection {
    /// The section of a processor's figures.
    pub fn new(cpu: &CpuSnapshot) -> CpuSection {
        CpuSection {
            cycles: cpu.clock,
            counters: cpu.count.list().into_iter().map(|(name, n)| (name.into(), n)).collect(),
            ledger: LedgerSection::new(&cpu.ledger),
        }
    }
}

/// One use of a stale translation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StaleSection {
    /// Who used it.
    pub cpu: u8,
    /// When, on its clock.
    pub cycle: u64,
    /// Linear address.
    pub linear: u32,
    /// The frame that the stale entry gave.
    pub old_frame: u32,
    /// Cycles since the PTE changed.
    pub age: u64,
    /// Who changed it.
    pub writer: u8,
    /// Was the frame free, or the page handed on?
    pub harmful: bool,
    /// `read`, `write`, `fetch`.
    pub access: String,
}

/// What one strategy did. Times are cycles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the names are those of the counters in `shootdown_emu::stats` and `shootdown_abi`"
)]
pub struct Row {
    pub strategy: String,
    pub stop: StopSection,
    /// The functional checksum that the kernel printed.
    pub checksum: Option<String>,
    pub operations: u64,
    pub cycles_per_op: f64,
    pub wall_cycles_per_op: f64,
    pub kmap_latency: Summary,
    pub initiator_latency: Summary,
    pub target_latency: Summary,
    /// From the time that an operation was due until it was done; empty for a load whose operations follow each other.
    #[serde(default = "Summary::nothing", skip_serializing_if = "Summary::is_empty")]
    pub response: Summary,
    /// From the request of an interrupt that can be held off (the timer's, an IPI) until the processor takes it.
    #[serde(default = "Summary::nothing", skip_serializing_if = "Summary::is_empty")]
    pub irq_latency: Summary,
    /// The same of the timer's alone.
    #[serde(default = "Summary::nothing", skip_serializing_if = "Summary::is_empty")]
    pub timer_latency: Summary,
    /// Stretches of ring 0 without interrupts.
    #[serde(default = "Summary::nothing", skip_serializing_if = "Summary::is_empty")]
    pub irqs_off: Summary,
    pub kmaps: u64,
    pub maps: u64,
    pub wraps: u64,
    pub recycles: u64,
    pub conflicts: u64,
    pub ipis: u64,
    /// IPIs with the flush vector, a broadcast counted once.
    pub flush_ipis: u64,
    /// Processors that those were for.
    pub flush_ipi_targets: u64,
    pub ipis_received: u64,
    pub interrupts: u64,
    pub page_faults: u64,
    pub mm_switches: u64,
    pub lazy_switches: u64,
    /// Flushes of user translations for which other processors were interrupted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shootdowns: u64,
    /// Searches of reclaim for the PTEs of a page.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rmap_searches: u64,
    /// Address spaces, or areas of a list, that those looked into.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rmap_steps: u64,
    /// PTEs that reclaim looked at to find those of its victims.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ptes_visited: u64,
    /// PTEs that reclaim took, each with a flush of its translations.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ptes_taken: u64,
    /// Frames that reclaim has freed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reclaimed: u64,
    /// Pages copied back from the swap device.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub swap_ins: u64,
    /// Pages of files read from the device.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub file_ins: u64,
    /// Pages of files written to the device.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub file_outs: u64,
    /// Pages that went to a device or came from it through a bounce page.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bounces: u64,
    /// Times a task found no bounce page and slept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bounce_waits: u64,
    pub invlpg: u64,
    pub cr3_loads: u64,
    pub global_flushes: u64,
    pub dtlb_misses: u64,
    pub itlb_misses: u64,
    pub second_level_hits: u64,
    pub walks: u64,
    pub refills_invlpg: u64,
    pub refills_cr3: u64,
    pub refills_global: u64,
    pub remapped: u64,
    pub stale_uses: u64,
    pub harmful_uses: u64,
    pub data_errors: u64,
    /// From a PTE change to the end of its last surviving TLB entry.
    pub exposure: Summary,
    pub stale_reports: Vec<StaleSection>,
    pub ledger: LedgerSection,
    /// The ledger's `lock-spin` and `ack-wait` by what was waited for, exactly.
    pub waits: Waits,
    /// The same for each processor.
    pub waits_by_cpu: Vec<Waits>,
    pub instructions: u64,
    pub cycles: u64,
    pub cpus: Vec<CpuSection>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Row {
    /// The row of a machine that has stopped.
    pub fn new(
        strategy: Strategy,
        machine: &Machine,
        collector: &Collector,
        stop: &Stop,
        console: &str,
    ) -> Row {
        let all = machine.snapshot();
        let (begin, end) = edges(machine, &all);
        let region = begin.map_or_else(|| end.clone(), |begin| end.since(begin));
        let waits = collector.waits().waits(begin, end);
        let (total, count) = (all.totals(), region.totals());
        let operations = all.guest(Counter::Operations);
        let cycles = region.cycles();
        let wall = if operations == 0 { 0.0 } else { cycles as f64 / operations as f64 };
        let oracle = &machine.bus().oracle;
        Row {
            strategy: strategy.name().into(),
            stop: StopSection::new(stop),
            checksum: checksum(console),
            operations,
            cycles_per_op: wall * machine.cpus().len() as f64,
            wall_cycles_per_op: wall,
            kmap_latency: Summary::new(collector.kmap()),
            initiator_latency: Summary::new(collector.initiator()),
            target_latency: Summary::new(collector.target()),
            response: Summary::new(collector.response()),
            irq_latency: Summary::new(collector.irq()),
            timer_latency: Summary::new(collector.timer()),
            irqs_off: Summary::new(collector.irqs_off()),
            kmaps: region.guest(Counter::Kmaps),
            maps: region.guest(Counter::Maps),
            wraps: region.guest(Counter::Wraps),
            recycles: region.guest(Counter::Recycles),
            conflicts: region.guest(Counter::Conflicts),
            ipis: count.ipis,
            flush_ipis: collector.flush_ipis(),
            flush_ipi_targets: collector.flush_ipi_targets(),
            ipis_received: count.ipis_received,
            interrupts: count.interrupts,
            page_faults: count.page_faults,
            mm_switches: region.guest(Counter::MmSwitches),
            lazy_switches: region.guest(Counter::LazySwitches),
            shootdowns: region.guest(Counter::Shootdowns),
            rmap_searches: region.guest(Counter::RmapSearches),
            rmap_steps: region.guest(Counter::RmapSteps),
            ptes_visited: region.guest(Counter::PtesVisited),
            ptes_taken: region.guest(Counter::PtesTaken),
            reclaimed: region.guest(Counter::Reclaimed),
            swap_ins: region.guest(Counter::SwapIns),
            file_ins: region.guest(Counter::FileIns),
            file_outs: region.guest(Counter::FileOuts),
            bounces: region.guest(Counter::Bounces),
            bounce_waits: region.guest(Counter::BounceWaits),
            invlpg: count.invlpg,
            cr3_loads: count.cr3_loads,
            global_flushes: count.global_flushes,
            dtlb_misses: count.dtlb_misses,
            itlb_misses: count.itlb_misses,
            second_level_hits: count.second_level_hits,
            walks: count.walks,
            refills_invlpg: count.refills_invlpg,
            refills_cr3: count.refills_cr3,
            refills_global: count.refills_global,
            remapped: count.remapped,
            stale_uses: total.stale_uses,
            harmful_uses: total.harmful_uses,
            data_errors: all.guest(Counter::DataErrors),
            exposure: Summary::new(oracle.exposure()),
            stale_reports: oracle
                .reports()
                .iter()
                .map(|u| StaleSection {
                    cpu: u.cpu,
                    cycle: u.cycle,
                    linear: u.linear,
                    old_frame: u.old_frame,
                    age: u.age,
                    writer: u.writer,
                    harmful: u.harmful,
                    access: format!("{:?}", u.access).to_lowercase(),
                })
                .collect(),
            ledger: LedgerSection::new(&region.ledger()),
            waits: Waits::sum(&waits),
            waits_by_cpu: waits,
            instructions: count.instructions,
            cycles,
            cpus: region.cpus.iter().map(CpuSection::new).collect(),
        }
    }

    /// What went wrong, a line each; empty: the run is sound.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match self.stop.code.map(|code| code >> 1) {
            Some(exit::OK) => {}
            Some(exit::DATA_ERROR) if self.data_errors > 0 => {}
            Some(exit::DATA_ERROR) => problems.push("the workload found wrong data".into()),
            Some(exit::PANIC) => problems.push("the guest kernel or program panicked".into()),
            Some(exit::DEADLOCK) => {
                problems.push(
                    "tasks of the guest wait for each other for ever; its console says for what".into(),
                );
            }
            Some(value) => problems.push(format!("the guest ended with the unknown exit value {value:#x}")),
            None => problems.push(format!("the run did not reach its end: {}", self.stop.reason)),
        }
        if self.harmful_uses > 0 {
            problems.push(format!("{} harmful uses of stale translations", self.harmful_uses));
        }
        if self.data_errors > 0 {
            problems.push(format!("{} data errors found by the workload", self.data_errors));
        }
        problems
    }
}

/// Begin and end of the region of interest; of as much of it as there was, if the guest did not get to its end.
pub(crate) fn edges<'a>(machine: &'a Machine, all: &'a Snapshot) -> (Option<&'a Snapshot>, &'a Snapshot) {
    match machine.region_of_interest() {
        (Some(begin), Some(end)) if end.cycles() >= begin.cycles() => (Some(begin), end),
        (begin, _) => (begin, all),
    }
}

/// The number in the kernel's line `checksum <workload> <strategy> 0x...`.
fn checksum(console: &str) -> Option<String> {
    let line = console.lines().find_map(|line| line.trim().strip_prefix("checksum "))?;
    line.split_ascii_whitespace().nth(2).map(str::to_owned)
}

impl Report {
    /// A report of finished rows.
    pub fn new(config: Config, rows: Vec<Row>) -> Report {
        Report { schema: SCHEMA, config, rows, sensitivity: None, seeds: None }
    }

    /// All rows with their seeds: those of the first seed, then of each other.
    pub fn seeded(&self) -> impl Iterator<Item = (u64, &Row)> {
        let first = self.rows.iter().map(|row| (self.config.machine.seed, row));
        first.chain(self.seeds.iter().flat_map(|s| s.others()))
    }

    /// The document: JSON with a newline at its end.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_taken_from_the_console() {
        let console = "booted\r\nchecksum kmap-storm batched 0x46d52c20\r\noperations 5 errors 0\r\n";
        assert_eq!(checksum(console).as_deref(), Some("0x46d52c20"));
        assert_eq!(checksum("no such line"), None);
    }
}
