//! `run`: one load under one strategy, with its timeline if that is asked for.

use crate::command::compare;
use crate::output::{Sink, Status, message};
use crate::{cli, settings};
use anyhow::{Result, bail};
use shootdown_emu::{MachineConfig, Stop};
use shootdown_workloads::Cell;
use shootdown_workloads::timeline::{self, Timeline, pftrace};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The command.
pub fn run(options: &cli::Run) -> Result<Status> {
    let read = settings::read(&options.cell.keys, &[("strategy", options.strategy.as_deref())])?;
    if read.strategies.is_some() {
        bail!("strategies: a list is for `compare`; accepted here is strategy = \"NAME\"");
    }
    let Some(file) = &options.timeline else {
        return compare::cells(&options.cell, &read.cell, &[read.cell.strategy], shootdown_workloads::run);
    };
    if options.cell.out.as_ref() == Some(file) {
        bail!("--timeline and --out name the same file, {}; accepted are two", file.display());
    }
    recorded(&options.cell, &read.cell, file)
}

fn recorded(options: &cli::Cell, cell: &Cell, file: &Path) -> Result<Status> {
    cell.machine.validate()?;
    let sink = Sink::open(Some(file))?;
    let slot = Mutex::new(None);
    let status = compare::cells(options, cell, &[cell.strategy], |cell, interrupt| {
        let (outcome, timeline) = timeline::run(cell, interrupt)?;
        if outcome.stop != Stop::Interrupted {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(timeline);
        }
        Ok(outcome)
    });
    let timeline = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (status, timeline) {
        (Ok(status), Some(timeline)) => {
            let label = format!("{} under {}", cell.workload.name, cell.strategy.name());
            write(sink, &timeline, &cell.machine, &label)?;
            Ok(status)
        }
        (status, _) => {
            sink.discard();
            status
        }
    }
}

/// Writes a timeline for Perfetto, and says what is not in it. `what` says what was run.
pub fn write(sink: Sink, timeline: &Timeline, machine: &MachineConfig, what: &str) -> Result<()> {
    if let Some(cycle) = timeline.complete_until() {
        let n = timeline.left_out();
        message(&format!("timeline: full; {n} slices from cycle {cycle} on are left out"));
    }
    let label = format!("{what} on {} x {}", machine.cpus, machine.preset.name);
    sink.write(pftrace::encode(timeline, machine, &label))
}
