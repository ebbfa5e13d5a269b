//! The machine: processors, bus, block cache, and the order in which they move.
//!
//! One host thread. The processor with the lowest time runs next, for a slice of
//! a part of the least time in which one processor can affect another (one line
//! transfer, [`cache::delay`]). A halted processor's time is that of its next event,
//! so a lone runner gets the whole way to it. Ties go by processor number.
//!
//! ```text
//!  loop { pick the lowest time -> events that are due -> slice -> notes for the others }
//! ```
//!
//! Which processor may run how far is in [`order`], messages between them are in
//! [`messages`], running in parts is in [`live`]. The devices have a turn of their own when something is due there.
//!
//! Between slices the machine acts on what the slice noted: messages get their
//! arrival time, PTE writes are checked against the other processors' TLBs, write
//! rights are revoked, changed code is dropped from the block cache.

mod live;
mod messages;
mod order;

use crate::addr::Frame;
use crate::apic::{LocalApic, Role};
use crate::bus::{Bus, ram::Ram};
use crate::cache::{self, Coherence, Private};
use crate::config::{Adversary, ConfigError, MachineConfig, Shortcuts, Strictness, Timing, TlbCoherence};
use crate::cpu::block::Blocks;
use crate::cpu::run::{Pause, RunOptions, Runner};
use crate::cpu::{Cpu, Request, State, exec::system};
use crate::device::Devices;
use crate::ledger::Kind;
use crate::loader::{BootRequest, LoadError, one_line};
use crate::mmu::{self, Mmu, MmuOptions};
use crate::observe::{Heard, Observer, Wanted, What};
use crate::snapshot::{CpuSnapshot, Snapshot};
use crate::stop::Stop;
use messages::Arrival;
use shootdown_abi::{Activity, Mark};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A slice is never longer than this, so that limits and the host's wish to stop are seen.
const LONGEST_SLICE: u64 = 1 << 22;

/// A modelled machine. A clone goes on from where it is, independent of the first.
#[derive(Clone)]
pub struct Machine {
    config: MachineConfig,
    cpus: Vec<Cpu>,
    runners: Vec<Runner>,
    inboxes: Vec<BinaryHeap<Reverse<Arrival>>>,
    bus: Bus,
    blocks: Blocks,
    options: RunOptions,
    lookahead: u64,
    /// What was posted to inboxes so far.
    sent: u64,
    /// Messages that processors have sent so far.
    messages: u64,
    /// When the serial APIC bus is free again.
    apic_bus_free: u64,
    random: u64,
    interrupt: Option<Arc<AtomicBool>>,
    patience: Option<u64>,
    progress: (u64, u64),
    roi: (Option<Snapshot>, Option<Snapshot>),
    /// Per processor, when it can next do something ([`Machine::time_of`]), and last the same for the devices; kept apart
    /// because every turn reads them all.
    times: Vec<u64>,
    /// How many processors wait with an access for the others (`order_until`).
    waiting: usize,
    /// Per processor: it rests in a loop that only waits, and its clock stands where it began to.
    resting: Vec<bool>,
    /// Counts slices in which memory may have changed.
    version: u64,
    /// Per processor, the version that its last slice has seen or made.
    seen: Vec<u64>,
    /// When all have come to this cycle the host wants a pause.
    pause_at: u64,
    /// No slice goes past this cycle.
    cut_at: u64,
}

impl Machine {
    /// A machine in the state after RESET; nothing is loaded.
    pub fn new(config: MachineConfig) -> Result<Machine, ConfigError> {
        config.validate()?;
        let preset = &config.preset;
        let costs = preset.costs();
        let options = MmuOptions {
            front: config.shortcuts == Shortcuts::On,
            keep: config.adversary == Adversary::Keep,
            caches: config.timing == Timing::Full,
        };
        let fill = config.adversary == Adversary::Fill;
        let cpus = (0..config.cpus)
            .map(|i| {
                let seed = mix(config.seed, i as u64);
                let role = if i == 0 { Role::Bsp } else { Role::Ap };
                let apic =
                    LocalApic::new(i as u8, role, config.apic_kind(), preset.clock_mhz, preset.bus_mhz);
                let mut cpu = Cpu::new(i, apic, Mmu::new(preset, seed, options), costs, i == 0);
                cpu.identify(preset);
                if options.caches {
                    cpu.cache = Some(Box::new(Private::new(&preset.cache)));
                }
                cpu
            })
            .collect();
        let mut bus = Bus::new(
            Ram::new(config.memory),
            Coherence::new(preset, config.cpus),
            Devices::new(preset)
                .with_memory(config.memory)
                .with_io_apic(config.cpus as u8, config.apic_kind()),
            config.strictness == Strictness::Strict,
        );
        bus.aiming = fill;
        bus.coherent_tlbs = config.tlb_coherence == TlbCoherence::Hardware;
        crate::mptable::write(&mut bus.ram, &config);
        Ok(Machine {
            runners: (0..config.cpus).map(|i| Runner::new(mix(!config.seed, i as u64))).collect(),
            inboxes: (0..config.cpus).map(|_| BinaryHeap::new()).collect(),
            cpus,
            bus,
            blocks: Blocks::default(),
            options: RunOptions {
                skip_spins: config.shortcuts == Shortcuts::On && !fill,
                fill,
                single: false,
            },
            lookahead: order::lookahead(&costs, config.timing, config.slice),
            sent: 0,
            messages: 0,
            apic_bus_free: 0,
            random: mix(config.seed, 1 << 32),
            interrupt: None,
            patience: None,
            progress: (0, 0),
            roi: (None, None),
            times: [vec![0; config.cpus], vec![u64::MAX]].concat(),
            waiting: 0,
            resting: vec![false; config.cpus],
            version: 1,
            seen: vec![0; config.cpus],
            pause_at: u64::MAX,
            cut_at: config.max_cycles.unwrap_or(u64::MAX),
            config,
        })
    }

    /// Loads a Multiboot-1 kernel with its modules; the first processor will begin at its entry.
    pub fn load_multiboot(&mut self, request: &BootRequest<'_>) -> Result<(), LoadError> {
        let image = crate::loader::load(request)?;
        let state = image.write(|pa, bytes| self.bus.ram.poke(pa, bytes))?;
        system::enter_multiboot(&mut self.cpus[0], state.entry, state.ebx);
        self.cpus[0].apic.wire_virtually();
        Ok(())
    }

    /// Maps a ROM that ends at 4 GiB and shows below 1 MiB too, in the place of the firmware; the first processor will
    /// begin at the reset vector, FFFFFFF0.
    pub fn load_rom(&mut self, name: &str, image: &[u8]) -> Result<(), LoadError> {
        if !self.bus.ram.map_rom(image) {
            return Err(LoadError::RomSize { file: one_line(name), bytes: image.len() });
        }
        Ok(())
    }

    /// Lets a processor begin at `entry`, in the state that a Multiboot loader leaves. For guests of a few
    /// instructions: a real kernel starts the others by IPI.
    pub fn start(&mut self, id: usize, entry: u32) {
        if let Some(cpu) = self.cpus.get_mut(id) {
            system::enter_multiboot(cpu, entry, 0);
        }
    }

    /// The configuration.
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// The processors.
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// Memory, devices and the oracle.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Memory, to be filled before the run.
    pub fn bus_mut(&mut self) -> &mut Bus {
        &mut self.bus
    }

    /// A processor's registers, to be set before the run.
    pub fn cpu_mut(&mut self, id: usize) -> Option<&mut Cpu> {
        self.cpus.get_mut(id)
    }

    /// When the flag becomes true the run stops with [`Stop::Interrupted`].
    pub fn stop_when(&mut self, flag: Arc<AtomicBool>) {
        self.interrupt = Some(flag);
    }

    /// Ends the run as a livelock when the guest has shown no progress (console output, a counted operation) for
    /// this many cycles.
    pub fn set_patience(&mut self, cycles: u64) {
        self.patience = Some(cycles);
    }

    /// Output of the guest's serial port since the last call.
    pub fn take_console(&mut self) -> Vec<u8> {
        self.bus.devices.take_output()
    }

    /// Output of the guest's debug port (0xE9) since the last call: at least the last 64 KiB of it.
    pub fn take_debug(&mut self) -> Vec<u8> {
        self.bus.devices.take_debug()
    }

    /// Drops all decoded code: after changing memory from outside between steps.
    pub fn forget_code(&mut self) {
        let epoch = self.blocks.epoch + 1;
        self.blocks = Blocks::default();
        self.blocks.epoch = epoch;
        self.cpus.iter_mut().for_each(|c| c.mmu.forget_fetch());
    }

    /// Runs one instruction of processor `i`, or one resume of a repeated string instruction (an exception that it
    /// raises is delivered), whatever the order of clocks.
    pub fn step(&mut self, i: usize) -> Option<Stop> {
        if self.bus.devices.due() <= self.cpus.get(i)?.clock {
            self.bus.devices.advance(self.cpus[i].clock);
            self.hear_devices();
        }
        if self.cpus[i].clock >= self.cpus[i].event_at {
            self.arrivals(i);
        }
        self.bus.attention = false;
        self.bus.coherence.horizon = u64::MAX;
        let options = RunOptions { single: true, skip_spins: false, ..self.options };
        let pause =
            self.runners[i].run_slice(&mut self.cpus[i], &mut self.bus, &mut self.blocks, u64::MAX, options);
        let stop = match pause {
            Pause::Request(r) => self.request(i, r),
            _ => None,
        };
        self.notes(i);
        self.plan(i);
        stop
    }

    /// Figures at the marks `RoiBegin` and `RoiEnd`.
    pub fn region_of_interest(&self) -> (Option<&Snapshot>, Option<&Snapshot>) {
        (self.roi.0.as_ref(), self.roi.1.as_ref())
    }

    /// All figures now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            guest: self.bus.guest,
            cpus: self
                .cpus
                .iter()
                .map(|c| CpuSnapshot { clock: c.clock, count: c.count, ledger: c.ledger.totals(c.clock) })
                .collect(),
        }
    }

    /// Do both axes of every processor's ledger sum to its clock?
    pub fn ledgers_balance(&self) -> bool {
        self.cpus.iter().all(|c| c.ledger.check(c.clock))
    }

    /// Runs until something ends the run.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Stop {
        let stop = self.proceed(observer);
        self.finish(&stop, observer);
        stop
    }

    fn proceed(&mut self, observer: &mut dyn Observer) -> Stop {
        self.attend(observer);
        loop {
            if let Some(stop) = self.turn() {
                return stop;
            }
            if self.drain(observer) == Heard::Enough {
                return Stop::Interrupted;
            }
        }
    }

    /// Takes over what the observer wants and what was changed between two runs.
    fn attend(&mut self, observer: &dyn Observer) {
        self.bus.events.wanted = observer.wanted();
        let log = observer.wanted().contains(Wanted::ACTIVITY);
        self.cpus.iter_mut().for_each(|c| c.ledger.keep_log(log));
        (0..self.cpus.len()).for_each(|i| self.retime(i));
    }

    /// Brings all processors to the moment at which the run has ended.
    fn finish(&mut self, stop: &Stop, observer: &mut dyn Observer) {
        let latest = |m: &Machine| {
            m.cpus.iter().filter(|c| c.state == State::Running).map(|c| c.clock).max().unwrap_or(0)
        };
        match *stop {
            Stop::Exit(_) => {}
            // All others have come to the limit.
            Stop::CycleLimit(limit) => self.bus.coherence.shown = (limit, 0),
            _ => self.bus.coherence.shown = (latest(self), 0),
        }
        self.settle_resting();
        let now = latest(self);
        self.settle_halted(now);
        self.drain(observer);
    }

    /// Hands over what was noted for the observer.
    fn drain(&mut self, observer: &mut dyn Observer) -> Heard {
        if self.bus.progress != self.progress.0 && self.bus.events.wanted.contains(Wanted::CONSOLE) {
            let output = self.bus.devices.take_output();
            if !output.is_empty() {
                observer.console(&output);
            }
            let output = self.bus.devices.take_debug();
            if !output.is_empty() {
                observer.debug_port(&output);
            }
        }
        if self.bus.events.wanted.contains(Wanted::ACTIVITY) {
            self.tell_activities();
        }
        if self.bus.events.events.is_empty() {
            return Heard::More;
        }
        for e in &self.bus.events.events {
            observer.event(e);
        }
        self.bus.events.events.clear();
        observer.heard()
    }

    /// Puts the changes of activity of this turn where they belong among its events.
    fn tell_activities(&mut self) {
        let before = self.bus.events.events.len();
        for c in &mut self.cpus {
            let id = c.id;
            for (cycle, activity) in c.ledger.take_log() {
                self.bus.events.push(Wanted::ACTIVITY, id, cycle, What::Activity(activity));
            }
        }
        if self.bus.events.events.len() > before {
            self.bus.events.events.sort_by_key(|e| e.cycle);
        }
    }

    fn turn(&mut self) -> Option<Stop> {
        let (mut i, mut first, mut second) = self.next();
        if self.config.timing == Timing::Flat
            && i < self.cpus.len()
            && self.seen[i] == self.version
            && self.cpus[i].state == State::Running
            && self.runners[i].parked(&self.cpus[i])
        {
            self.pass_quiet_time();
            (i, first, second) = self.next();
        }
        if let Some(stop) = self.limits(first) {
            return Some(stop);
        }
        if i == self.cpus.len() {
            self.bus.devices.advance(first);
            self.hear_devices();
            return None;
        }
        if self.cpus[i].state != State::Running {
            self.wake(i, first);
            return None;
        }
        if self.resting[i] {
            self.rouse(i, first);
        }
        self.waiting -= usize::from(std::mem::take(&mut self.cpus[i].order_until) != 0);
        if self.cpus[i].clock >= self.cpus[i].event_at {
            self.arrivals(i);
            if self.cpus[i].state != State::Running {
                // An INIT has stopped it.
                return None;
            }
        }
        let end = self.slice_end(first, second);
        self.bus.coherence.horizon = self.horizon(i, second);
        self.bus.attention = false;
        let pause =
            self.runners[i].run_slice(&mut self.cpus[i], &mut self.bus, &mut self.blocks, end, self.options);
        self.waiting += usize::from(self.cpus[i].order_until != 0);
        if self.runners[i].left_spin() {
            self.version += 1;
        }
        self.seen[i] = self.version;
        let stop = match pause {
            Pause::SliceEnd | Pause::Event => None,
            Pause::Attention => {
                // An APIC access may have moved the timer.
                self.plan(i);
                None
            }
            Pause::Request(r) => {
                let stop = self.request(i, r);
                self.plan(i);
                stop
            }
        };
        self.notes(i);
        self.resting[i] = self.options.skip_spins
            && self.config.timing == Timing::Full
            && self.cpus[i].state == State::Running
            && self.runners[i].parked(&self.cpus[i]);
        self.retime(i);
        stop
    }

    fn limits(&mut self, now: u64) -> Option<Stop> {
        if now == u64::MAX {
            return Some(Stop::Deadlock);
        }
        if let Some(max) = self.config.max_cycles
            && now >= max
        {
            return Some(Stop::CycleLimit(max));
        }
        if now >= self.pause_at {
            return Some(Stop::Interrupted);
        }
        if self.interrupt.as_ref().is_some_and(|f| f.load(Ordering::Relaxed)) {
            return Some(Stop::Interrupted);
        }
        if self.progress.0 != self.bus.progress {
            self.progress = (self.bus.progress, now);
        } else if let Some(p) = self.patience
            && now.saturating_sub(self.progress.1) > p
        {
            return Some(Stop::Livelock { cycles: p });
        }
        None
    }

    /// A processor that waits gets its event at cycle `now`.
    fn wake(&mut self, i: usize, now: u64) {
        let c = &mut self.cpus[i];
        idle_until(c, now);
        self.arrivals(i);
        let c = &mut self.cpus[i];
        if c.state == State::Halted && c.interrupt_waits() {
            c.state = State::Running;
            let cost = c.costs.halt_wake;
            c.charge(Kind::Halted, cost);
        }
        self.retime(i);
    }

    fn request(&mut self, i: usize, r: Request) -> Option<Stop> {
        match r {
            Request::Halt => {
                let c = &mut self.cpus[i];
                if !c.interrupt_waits() {
                    c.state = State::Halted;
                }
                None
            }
            Request::Stop(Stop::TripleFault { cpu }) => {
                self.cpus[i].state = State::Shutdown;
                Some(Stop::TripleFault { cpu })
            }
            Request::Stop(s) => Some(s),
            Request::Mark(mark, _) => {
                self.settle_resting();
                let now = self.cpus[i].clock;
                self.settle_halted(now);
                let s = self.snapshot();
                match mark {
                    Mark::RoiBegin => self.roi.0 = Some(s),
                    _ => self.roi.1 = Some(s),
                }
                None
            }
            Request::Look => None,
        }
    }

    /// Halted processors have been idle up to now; nothing has happened to them.
    fn settle_halted(&mut self, now: u64) {
        for c in self.cpus.iter_mut().filter(|c| c.state != State::Running) {
            let until = now.min(c.event_at);
            idle_until(c, until);
        }
    }

    /// Acts on what processor `i` noted during its slice.
    fn notes(&mut self, i: usize) {
        if !self.bus.revoked.is_empty() {
            for slot in std::mem::take(&mut self.bus.revoked) {
                for (_, c) in self.cpus.iter_mut().enumerate().filter(|(j, _)| *j != i) {
                    c.mmu.revoke_write(slot);
                }
            }
        }
        if !self.bus.coherence.taken.is_empty() {
            let reached = self.reached(i);
            let mut taken = std::mem::take(&mut self.bus.coherence.taken);
            for t in taken.drain(..) {
                let mut from = t.from;
                while from != 0 {
                    let j = from.trailing_zeros() as usize;
                    from &= from - 1;
                    if !t.keep {
                        self.rouse_to_see(j, i, t.cycle, reached);
                    }
                    if let Some(c) = self.cpus.get_mut(j) {
                        cache::lose(c, &t);
                    }
                }
            }
            self.bus.coherence.taken = taken;
        }
        if !self.bus.code_writes.is_empty() {
            let reached = self.reached(i);
            for w in std::mem::take(&mut self.bus.code_writes) {
                // The block of a resting one may go.
                (0..self.cpus.len()).for_each(|j| self.rouse_to_see(j, i, w.cycle, reached));
                if self.blocks.invalidate(w.frame, w.offset, w.len) {
                    self.bus.ram.unwatch_code(w.frame);
                }
            }
        }
        if !self.bus.oracle.writes.is_empty() {
            let reached = self.reached(i);
            for mut w in std::mem::take(&mut self.bus.oracle.writes) {
                let mut holders = w.holders & !(1 << i);
                while holders != 0 {
                    let j = holders.trailing_zeros() as usize;
                    holders &= holders - 1;
                    self.rouse_to_see(j, i, w.cycle, reached);
                    if let Some(c) = self.cpus.get_mut(j) {
                        mmu::recheck(c, &mut self.bus, &mut w);
                    }
                }
            }
        }
        if !self.bus.freed_tables.is_empty() {
            for frame in std::mem::take(&mut self.bus.freed_tables) {
                self.unwatch_table(frame);
            }
        }
        if !self.bus.outbox.is_empty() {
            for o in std::mem::take(&mut self.bus.outbox) {
                self.send(o.from, o.sent, &o.ipi);
            }
        }
        if !self.bus.ends.is_empty() {
            for end in std::mem::take(&mut self.bus.ends) {
                self.tell_end(end);
            }
        }
        if self.bus.devices.has_news() {
            self.hear_devices();
        }
    }

    /// A watched table frame was freed: if no TLB holds anything from it, its watch ends.
    fn unwatch_table(&mut self, frame: Frame) {
        let held = self.cpus.iter().any(|c| c.cr3 >> 12 == frame.0 || c.mmu.holds_from(frame));
        if !held {
            self.bus.oracle.drop_shadow(frame);
            self.bus.ram.unwatch_tables(frame);
        }
    }
}

/// Moves a waiting processor's clock to `now`; the cycles are idle.
fn idle_until(c: &mut Cpu, now: u64) {
    let idle = now.saturating_sub(c.clock);
    if idle > 0 {
        // Whatever the guest was doing when it halted, it has been idle since.
        let before = c.ledger.current();
        c.ledger.switch(Activity::Idle, c.clock);
        c.clock += idle;
        c.ledger.add(Kind::Halted, idle);
        c.ledger.switch(before, c.clock);
    }
}

/// A step of a 64-bit mixing generator: all randomness of a machine comes from its seed.
fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
