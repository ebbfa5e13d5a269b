//! A run that can be paused and looked at: build the machine, boot the kernel, run as far as
//! asked, make the row.
//!
//! [`crate::run()`] is one of these run to its end in one go; a run in parts gives the same row.
//! Only steps (`step_one`, `step_to`) may move a figure by the order of two accesses within a
//! transfer: who wants to go on undisturbed steps a clone.

use crate::cell::Cell;
use crate::collect::Collector;
use crate::report::Row;
use crate::run::{Outcome, RunError, refusal};
use crate::strategy::Strategy;
use crate::{image, state};
use shootdown_abi::{Counter, exit};
use shootdown_emu::loader::{BootRequest, Module};
use shootdown_emu::observe::{Event, Nobody, Observer, Wanted};
use shootdown_emu::snapshot::Snapshot;
use shootdown_emu::{Machine, Stop};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A cell under way.
#[derive(Clone)]
pub struct Live {
    strategy: Strategy,
    machine: Machine,
    collector: Collector,
    /// What the guest has printed.
    console: Vec<u8>,
    stop: Option<Stop>,
}

/// Which part of the load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Boot and warm-up: not measured.
    WarmUp,
    /// The region of interest.
    Measured,
    /// After it.
    After,
}

impl Phase {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::WarmUp => "warm-up",
            Phase::Measured => "measured",
            Phase::After => "after",
        }
    }
}

impl Live {
    /// Builds the machine and loads the kernel; nothing has run yet.
    pub fn new(cell: &Cell) -> Result<Live, RunError> {
        cell.validate()?;
        let mut machine = Machine::new(cell.machine())?;
        machine.load_multiboot(&BootRequest {
            kernel_name: "kernel",
            kernel: image::KERNEL,
            arguments: &cell.command_line(),
            modules: &[Module { string: cell.module_string(), bytes: image::GUEST.to_vec() }],
            memory: cell.machine.memory,
        })?;
        if let Some(cycles) = cell.patience {
            machine.set_patience(cycles);
        }
        Ok(Live {
            strategy: cell.strategy,
            machine,
            collector: Collector::new(),
            console: Vec::new(),
            stop: None,
        })
    }

    /// When the flag becomes true, what runs pauses; [`Live::run`] ends with [`Stop::Interrupted`].
    pub fn stop_when(&mut self, flag: Arc<AtomicBool>) {
        self.machine.stop_when(flag);
    }

    /// Runs to the end.
    pub fn run(&mut self, watch: &mut dyn Observer) {
        self.go(watch, |machine, observer| Some(machine.run(observer)));
    }

    /// Runs on until all processors have come to cycle `until`, or `watch` has heard enough, or the flag is true.
    pub fn advance(&mut self, watch: &mut dyn Observer, until: u64) {
        self.go(watch, |machine, observer| machine.advance(observer, until));
    }

    /// The same, cutting slices short to stop at that cycle exactly.
    pub fn step_to(&mut self, watch: &mut dyn Observer, until: u64) {
        self.go(watch, |machine, observer| machine.step_to(observer, until));
    }

    /// Runs until processor `cpu` has completed an instruction, at most until cycle `until`.
    pub fn step_one(&mut self, cpu: usize, watch: &mut dyn Observer, until: u64) {
        self.go(watch, |machine, observer| machine.step_one(cpu, observer, until));
    }

    fn go(
        &mut self,
        watch: &mut dyn Observer,
        run: impl FnOnce(&mut Machine, &mut dyn Observer) -> Option<Stop>,
    ) {
        if self.stop.is_none() {
            let mut own = Own { collector: &mut self.collector, console: &mut self.console };
            self.stop = run(&mut self.machine, &mut (&mut own, watch));
            self.console.extend(self.machine.take_console());
        }
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, as it has stopped.
    pub fn into_machine(self) -> Machine {
        self.machine
    }

    /// Latencies and waits so far.
    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// What the guest has printed.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.console).replace('\r', "")
    }

    /// The strategy that runs.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Why it has ended; `None`: it can go on.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Measured operations so far. The guest tells them when a task is done.
    pub fn operations(&self) -> u64 {
        self.machine.bus().guest[Counter::Operations as usize]
    }

    /// Kmaps asked for so far, the warm-up's too: how far the load has come.
    pub fn kmaps(&self) -> u64 {
        self.machine.bus().guest[Counter::Kmaps as usize]
    }

    /// Which part of the load runs.
    pub fn phase(&self) -> Phase {
        match self.machine.region_of_interest() {
            (None, _) => Phase::WarmUp,
            (Some(_), None) => Phase::Measured,
            (Some(_), Some(_)) => Phase::After,
        }
    }

    /// Figures of the region of interest so far, as the row has them; before it, of the warm-up.
    pub fn region(&self) -> Snapshot {
        self.region_of(&self.machine.peek())
    }

    /// The same, by who has just looked at all figures.
    pub fn region_of(&self, all: &Snapshot) -> Snapshot {
        match self.machine.region_of_interest() {
            (Some(begin), Some(end)) => end.since(begin),
            (Some(begin), None) => all.since(begin),
            (None, _) => all.clone(),
        }
    }

    /// The row, of as much as has run. A run under way is ended in a copy, as if it had been interrupted.
    pub fn row(&self) -> Row {
        let row = |live: &Live, stop: &Stop| {
            Row::new(live.strategy, &live.machine, &live.collector, stop, &live.console())
        };
        match &self.stop {
            Some(stop) => row(self, stop),
            None => {
                let mut copy = self.clone();
                copy.machine.end(&mut Nobody);
                row(&copy, &Stop::Interrupted)
            }
        }
    }

    /// What came of a run that has ended; of one under way: as if it had been interrupted now.
    pub fn outcome(&self) -> Result<Outcome, RunError> {
        let stop = self.stop.clone().unwrap_or(Stop::Interrupted);
        let console = self.console();
        if stop == Stop::Exit(exit::BAD_COMMAND_LINE) {
            return Err(RunError::Refused(refusal(&console)));
        }
        Ok(Outcome {
            row: self.row(),
            state: (!matches!(stop, Stop::Exit(_) | Stop::Interrupted))
                .then(|| state::describe(&self.machine) + &state::who_waits(&self.collector.waits().stuck())),
            instructions: self.machine.snapshot().totals().instructions,
            stop,
            console,
        })
    }
}

/// Makes the figures, keeps the console.
struct Own<'a> {
    collector: &'a mut Collector,
    console: &'a mut Vec<u8>,
}

impl Observer for Own<'_> {
    fn wanted(&self) -> Wanted {
        self.collector.wanted() | Wanted::CONSOLE
    }

    fn event(&mut self, event: &Event) {
        self.collector.event(event);
    }

    fn console(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
    }
}
