//! All that one frame shows, taken from machines that pause, with nothing but looks.
//!
//! Panels draw from this value only. Every frame has the figures; what only one screen shows
//! (registers, the console) is a part, and is made when that screen asks for it ([`Interest`]).

use super::engine::{Look, Pace, Setup};
use super::history::Sample;
use super::latency::{Freshness, Latencies};
use super::watch::Watch;
use shootdown_abi::Activity;
use shootdown_emu::Machine;
use shootdown_emu::cpu::{Cpu, State};
use shootdown_emu::mmu::tlb::Entry;
use shootdown_emu::mmu::view::{ArrayView, Holds};
use shootdown_emu::mmu::{self, PathEntry};
use shootdown_emu::oracle::StaleUse;
use shootdown_emu::snapshot::Snapshot as Figures;
use shootdown_workloads::live::Phase;
use shootdown_workloads::timeline::trail;
use shootdown_workloads::{Live, Strategy, window};
use std::sync::Arc;

bitflags::bitflags! {
    /// What a screen needs beyond what every frame has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Interest: u8 {
        /// The focused processor's registers and the code before it.
        const PROCESSOR = 1;
        /// The guest's serial output.
        const CONSOLE = 2;
        /// The last shootdowns and the slowest ones.
        const TIMELINE = 4;
        /// The focused processor's TLBs.
        const TLB = 8;
        /// The slots of the shared window.
        const WINDOW = 16;
    }
}

/// See the module.
#[derive(Debug)]
pub struct Snapshot {
    /// What is run.
    pub setup: Arc<Setup>,
    /// A run for each strategy.
    pub runs: Vec<RunView>,
    /// Which of them the screens of one run show.
    pub shown: usize,
    /// The focused processor.
    pub cpu: usize,
    /// Running, paused, ...
    pub pace: Pace,
    /// What the shown screen has asked for.
    pub part: Part,
    /// Something to say to the user, numbered.
    pub notice: Option<(u64, String)>,
    /// Counts starts of runs.
    pub generation: u64,
}

impl Snapshot {
    /// The shown run. There is one in every snapshot.
    pub fn run(&self) -> &RunView {
        &self.runs[self.shown]
    }
}

/// One run.
#[derive(Debug)]
pub struct RunView {
    /// Its strategy.
    pub strategy: Strategy,
    /// The cycle that all processors have come to.
    pub now: u64,
    /// Which part of the load runs.
    pub phase: Phase,
    /// Measured operations.
    pub operations: u64,
    /// How it ended.
    pub end: Option<End>,
    /// Each processor at this moment.
    pub cpus: Vec<CpuView>,
    /// All counts since the machine was switched on.
    pub all: Figures,
    /// Counts of the region of interest, as results have them; before it, of the warm-up.
    pub region: Figures,
    /// Messages with the flush vector in the same part.
    pub flush_ipis: u64,
    /// Latencies in the same part.
    pub latencies: Latencies,
    /// The run's course.
    pub history: Vec<Arc<Sample>>,
    /// The stale use that has stopped it.
    pub stale: Option<Arc<StaleReport>>,
    /// It is looked at in steps, on a copy.
    pub stepped: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct End {
    /// In words.
    pub text: String,
    /// What was wrong with it, a line each.
    pub problems: Vec<String>,
}

/// One processor at this moment.
#[derive(Clone, Copy, Debug)]
pub struct CpuView {
    /// Running, halted, ...
    pub state: State,
    /// What its kernel is busy with.
    pub activity: Activity,
    /// Its ring.
    pub ring: u8,
}

impl RunView {
    /// What the counts of `region` are of.
    pub fn region_name(&self) -> &'static str {
        match self.phase {
            Phase::WarmUp => "warm-up",
            _ => "measured part",
        }
    }

    /// A look at a run; its end, its course and what stopped it are the engine's to say.
    pub fn new(live: &Live, latencies: &mut Latencies, freshness: Freshness) -> RunView {
        let machine = live.machine();
        latencies.update(live, freshness);
        let all = machine.peek();
        let region = live.region_of(&all);
        RunView {
            strategy: live.strategy(),
            now: machine.now(),
            phase: live.phase(),
            operations: live.operations(),
            end: None,
            cpus: machine.cpus().iter().map(cpu).collect(),
            all,
            region,
            flush_ipis: live.collector().flush_ipis(),
            latencies: latencies.clone(),
            history: Vec::new(),
            stale: None,
            stepped: false,
        }
    }
}

impl End {
    /// How a run ended, if it has.
    pub fn new(live: &Live) -> Option<End> {
        live.stop().map(|stop| End { text: stop.to_string(), problems: live.row().problems() })
    }
}

fn cpu(c: &Cpu) -> CpuView {
    let activity = match c.state {
        State::Running => c.ledger.current(),
        _ => Activity::Idle,
    };
    CpuView { state: c.state, activity, ring: c.cpl }
}

/// A stale use that has stopped a run: what was used, and what stands in the page tables now.
#[derive(Clone, Debug)]
pub struct StaleReport {
    /// What the oracle says.
    pub used: StaleUse,
    /// The entries that a walk for the address reads now, and where it ends.
    pub path: mmu::Path,
}

impl StaleReport {
    /// Looks the address up on the processor that used it.
    pub fn new(used: &StaleUse, machine: &Machine) -> StaleReport {
        let cpu = machine.cpus().get(usize::from(used.cpu));
        let path = cpu.map(|c| mmu::path(c, machine.bus(), used.linear)).unwrap_or_default();
        StaleReport { used: *used, path }
    }

    /// The frame that the page tables give now.
    pub fn new_frame(&self) -> Option<u64> {
        self.path.physical.map(|pa| pa >> 12)
    }

    /// The entries of the path, the directory's first.
    pub fn entries(&self) -> impl Iterator<Item = &PathEntry> {
        self.path.entries.iter().flatten()
    }
}

/// What only some screens show.
#[derive(Debug, Default)]
pub struct Part {
    /// With [`Interest::PROCESSOR`].
    pub processor: Option<ProcessorPart>,
    /// With [`Interest::CONSOLE`].
    pub console: Option<String>,
    /// With [`Interest::TIMELINE`].
    pub timeline: Option<trail::Look>,
    /// With [`Interest::TLB`]: its arrays.
    pub tlb: Option<Vec<ArrayPart>>,
    /// With [`Interest::WINDOW`].
    pub window: Option<window::Look>,
}

impl Part {
    /// The parts that are asked for.
    pub fn new(live: &Live, watch: &Watch, look: Look) -> Part {
        let machine = live.machine();
        let wants = |interest| look.interest.contains(interest);
        let cpu = live.machine().cpus().get(look.cpu);
        Part {
            processor: cpu
                .filter(|_| look.interest.contains(Interest::PROCESSOR))
                .map(|c| ProcessorPart::new(c, live.machine())),
            console: look.interest.contains(Interest::CONSOLE).then(|| live.console()),
            timeline: wants(Interest::TIMELINE).then(|| watch.trail.look(machine.now())),
            tlb: cpu.filter(|_| wants(Interest::TLB)).map(|c| arrays(c, machine)),
            window: wants(Interest::WINDOW).then(|| watch.window.look(machine)),
        }
    }
}

/// One TLB array of the focused processor.
#[derive(Debug)]
pub struct ArrayPart {
    /// Its name.
    pub name: &'static str,
    /// What it caches.
    pub holds: Holds,
    /// Number of sets.
    pub sets: usize,
    /// Ways of each.
    pub ways: usize,
    /// The processor's clock.
    pub now: u64,
    /// Set by set.
    pub places: Vec<Place>,
}

/// A place of a TLB array.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// It holds a translation.
    pub valid: bool,
    /// It held one until it was flushed.
    pub ghost: bool,
    /// First linear address of the page.
    pub linear: u32,
    /// Its frame.
    pub frame: u32,
    /// Ring 3 may use it.
    pub user: bool,
    /// It may be written.
    pub write: bool,
    /// The dirty bit is known to be set.
    pub dirty: bool,
    /// It is global.
    pub global: bool,
    /// It is a large page.
    pub large: bool,
    /// Cycle of the fill.
    pub filled: u64,
    /// Physical address of the PTE that it was filled from.
    pub origin: u64,
    /// What stands there now.
    pub pte: Option<u64>,
    /// It no longer agrees with its PTE: since which cycle, and who changed that.
    pub stale: Option<(u64, u8)>,
}

fn arrays(c: &Cpu, machine: &Machine) -> Vec<ArrayPart> {
    let part = |array: ArrayView| {
        let places = (0..array.sets()).flat_map(|set| (0..array.ways()).map(move |way| (set, way)));
        let place = |(set, way)| {
            let Some(e) = array.entry(set, way).filter(|e| e.valid() || e.flushed.is_some()) else {
                return Place::default();
            };
            let mut bytes = [0; 8];
            let size = if e.has(Entry::PAE) { 8 } else { 4 };
            let in_ram = machine.bus().ram.peek(e.origin, &mut bytes[..size]);
            Place {
                valid: e.valid(),
                ghost: e.flushed.is_some(),
                linear: array.linear(e),
                frame: e.frame,
                user: e.has(Entry::USER),
                write: e.has(Entry::WRITE),
                dirty: e.has(Entry::DIRTY),
                global: e.has(Entry::GLOBAL),
                large: e.has(Entry::LARGE),
                filled: array.filled(set, way),
                origin: e.origin,
                pte: in_ram.then(|| u64::from_le_bytes(bytes)),
                stale: machine.bus().oracle.change(e.stale).filter(|_| e.valid()),
            }
        };
        ArrayPart {
            name: array.name,
            holds: array.holds,
            sets: array.sets(),
            ways: array.ways(),
            now: c.clock,
            places: places.map(place).collect(),
        }
    };
    c.mmu.arrays().map(part).collect()
}

/// Bytes of code that are shown.
const CODE: u32 = 256;

/// The focused processor.
#[derive(Debug)]
pub struct ProcessorPart {
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub registers: [u32; 8],
    /// Instruction pointer.
    pub eip: u32,
    /// EFLAGS.
    pub flags: u32,
    /// CR0, CR2, CR3, CR4.
    pub control: [u32; 4],
    /// Selectors of ES, CS, SS, DS, FS, GS.
    pub selectors: [u16; 6],
    /// Linear address of the next instruction.
    pub linear: u32,
    /// Width of code, in bits.
    pub bits: u32,
    /// The code from there on, as far as it is mapped.
    pub code: Vec<u8>,
    /// Words from the top of the stack on, as far as they are mapped.
    pub stack: Vec<u32>,
    /// Vectors requested and in service at the local APIC.
    pub vectors: (Vec<u8>, Vec<u8>),
    /// Its clock, in cycles.
    pub clock: u64,
}

impl ProcessorPart {
    fn new(c: &Cpu, machine: &Machine) -> ProcessorPart {
        use shootdown_emu::cpu::op::{CS, SS};
        let base = |s: u8| c.seg.get(usize::from(s)).map_or(0, |s| s.base);
        let linear = base(CS).wrapping_add(c.eip);
        let mut selectors = [0; 6];
        selectors.iter_mut().zip(&c.seg).for_each(|(s, seg)| *s = seg.selector);
        let mut registers = [0; 8];
        registers.iter_mut().zip(&c.regs).for_each(|(r, &v)| *r = v);
        let mut code = Vec::new();
        for at in (0..CODE).map(|n| linear.wrapping_add(n)) {
            let mut byte = [0];
            let mapped =
                mmu::peek(c, machine.bus(), at).is_some_and(|pa| machine.bus().ram.peek(pa, &mut byte));
            if !mapped {
                break;
            }
            code.push(byte[0]);
        }
        let top = base(SS).wrapping_add(registers[shootdown_emu::cpu::reg::ESP]);
        let mut stack = Vec::new();
        for at in (0..8).map(|n| top.wrapping_add(4 * n)) {
            let mut word = [0; 4];
            let mapped =
                mmu::peek(c, machine.bus(), at).is_some_and(|pa| machine.bus().ram.peek(pa, &mut word));
            if !mapped {
                break;
            }
            stack.push(u32::from_le_bytes(word));
        }
        let set = |is_set: &dyn Fn(u8) -> bool| (0..=255).filter(|&v| is_set(v)).collect();
        ProcessorPart {
            registers,
            eip: c.eip,
            flags: c.flags.get(),
            control: [c.cr0, c.cr2, c.cr3, c.cr4],
            selectors,
            linear,
            bits: if c.seg.get(usize::from(CS)).is_some_and(|s| s.attr & 0x4000 != 0) { 32 } else { 16 },
            code,
            stack,
            vectors: (set(&|v| c.apic.is_requested(v)), set(&|v| c.apic.is_in_service(v))),
            clock: c.clock,
        }
    }
}
