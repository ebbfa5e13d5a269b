//! The timeline of a run: its single shootdowns, from the initiator's call to
//! its return, and what else the processors did meanwhile.
//!
//! | You look for | It is in |
//! |---|---|
//! | what is recorded of a shootdown | `record.rs` |
//! | how it is made of events | `recorder.rs` |
//! | the last and the slowest shootdowns of a run under way | `trail.rs` |
//! | tracks and slices | `tracks.rs` |
//! | the `.pftrace` file for Perfetto | `pftrace.rs`, its messages `proto.rs` |
//!
//! A [`Timeline`] holds the region of interest where the guest marks one, else
//! the whole run; what is under way at its begin is in it, and what is under way at its end
//! stays without an end. It is bounded:
//! when it holds [`LIMIT`] slices it takes no more, and counts what it leaves out.
//! Recording changes nothing about the run: all of it comes from events.

pub mod pftrace;
mod proto;
mod record;
mod recorder;
mod tracks;
pub mod trail;

pub use record::*;
pub use recorder::Recorder;
pub use trail::Trail;

use crate::cell::Cell;
use crate::report;
use crate::run::{self, Outcome, RunError};
use shootdown_abi::Mark;
use shootdown_emu::Machine;
use shootdown_emu::observe::{Event, Observer, Wanted, What};
use shootdown_emu::snapshot::Snapshot;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The most slices that a timeline holds: some 100 MB, and 60 MB of `.pftrace`.
pub const LIMIT: usize = 1_000_000;

/// The records of a run.
#[derive(Debug)]
pub struct Timeline {
    recorder: Recorder,
    records: Vec<Record>,
    limit: usize,
    /// Slices that it holds.
    held: usize,
    left_out: usize,
    complete_until: u64,
    ended: bool,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline::with_limit(LIMIT)
    }
}

impl Timeline {
    /// One that holds at most `limit` slices.
    pub fn with_limit(limit: usize) -> Timeline {
        Timeline {
            recorder: Recorder::default(),
            records: Vec::new(),
            limit,
            held: 0,
            left_out: 0,
            complete_until: u64::MAX,
            ended: false,
        }
    }

    /// The records, in order of their ends.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Slices that found no room.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Everything that began before this cycle is here; `None` if all is.
    pub fn complete_until(&self) -> Option<u64> {
        (self.left_out > 0).then_some(self.complete_until)
    }

    /// The run is over: what has not ended stays without an end, and the spans of activities are cut to the region of
    /// interest, so that they sum to the ledger.
    pub fn finish(&mut self, machine: &Machine) {
        self.end();
        let all = machine.snapshot();
        let (begin, end) = report::edges(machine, &all);
        let clock = |s: &Snapshot, cpu: usize| s.cpus.get(cpu).map_or(0, |c| c.clock);
        self.records.retain_mut(|record| {
            let Record::Span(span) = record else { return true };
            span.from = span.from.max(begin.map_or(0, |s| clock(s, span.cpu)));
            span.to = span.to.min(clock(end, span.cpu));
            span.from < span.to
        });
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.recorder.end();
            self.keep();
        }
    }

    fn keep(&mut self) {
        while let Some(record) = self.recorder.pop() {
            let weight = record.weight();
            if self.left_out == 0 && self.held + weight <= self.limit {
                self.held += weight;
                self.records.push(record);
            } else {
                self.left_out += weight;
                self.complete_until = self.complete_until.min(record.begun());
            }
        }
    }
}

impl Observer for Timeline {
    fn wanted(&self) -> Wanted {
        Recorder::WANTED
    }

    fn event(&mut self, event: &Event) {
        if self.ended {
            return;
        }
        if let What::Mark(Mark::RoiBegin, _) = event.what {
            self.records.clear();
            (self.held, self.left_out, self.complete_until) = (0, 0, u64::MAX);
        }
        self.recorder.event(event);
        self.keep();
        if let What::Mark(Mark::RoiEnd, _) = event.what {
            self.end();
        }
    }
}

/// Runs a cell and records it. When `interrupt` becomes true the run ends with `Stop::Interrupted`.
pub fn run(cell: &Cell, interrupt: &Arc<AtomicBool>) -> Result<(Outcome, Timeline), RunError> {
    let mut timeline = Timeline::default();
    let (outcome, machine) = run::observed(cell, interrupt, &mut timeline)?;
    timeline.finish(&machine);
    Ok((outcome, timeline))
}

#[cfg(test)]
mod tests;
