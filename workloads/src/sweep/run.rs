//! Running the cells of a plan, or a shard of them.
//!
//! Cells are independent and run at the same time, one host thread each. What is finished is kept at once and skipped by the
//! next run, so running again is how a sweep goes on. A cell that fails is kept as failed and stops nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;
use shootdown_emu::Stop;

use super::plan::{Plan, Planned};
use super::store::{Finished, Store, StoreError};
use crate::run::run;

/// A part of the cells: those whose number, from 0, is `index` modulo `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// All cells.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };

    /// The cells of the shard, in the plan's order.
    pub fn cells<'a>(&self, plan: &'a Plan) -> impl Iterator<Item = &'a Planned> {
        plan.cells.iter().skip(self.index).step_by(self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index: index - 1, of }),
            _ => Err(format!("'{text}' is no shard; accepted are I/N with 1 <= I <= N, as 1/4 or 4/4")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

/// What is told while cells run.
pub trait Progress: Sync {
    /// A cell ended; `problem` says how, if not well.
    fn ended(&self, planned: &Planned, problem: Option<&str>);
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Cells run to a sound result.
    pub done: usize,
    /// Cells that failed.
    pub failed: usize,
    /// Cells that were finished before, failed ones too.
    pub skipped: usize,
    /// Cells that the interrupt left over.
    pub left: usize,
}

/// Which finished cells are run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// None.
    Nothing,
    /// Those that failed.
    Failed,
}

/// Runs what is not finished. When a result cannot be kept no more cells begin and the error is given; all that was kept
/// stays.
pub fn run_shard(
    plan: &Plan,
    store: &Store,
    shard: Shard,
    again: Again,
    progress: &dyn Progress,
    interrupt: &Arc<AtomicBool>,
) -> Result<Ran, StoreError> {
    store.prepare()?;
    let there = store.list()?;
    let finished =
        |p: &&Planned| there.sound.contains(&p.id) || again == Again::Nothing && there.failed.contains(&p.id);
    let (old, new): (Vec<_>, Vec<_>) = shard.cells(plan).partition(finished);
    let (done, failed, left) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let add = |n: &AtomicUsize| n.fetch_add(1, Ordering::Relaxed);
    new.par_iter().with_max_len(1).try_for_each(|planned| {
        let result = if interrupt.load(Ordering::Relaxed) { None } else { Some(run_one(planned, interrupt)) };
        let Some(finished) = result.flatten() else {
            add(&left);
            return Ok(());
        };
        store.keep(&finished)?;
        let problem = finished.failure.as_ref().map(|f| f.problems.join("; "));
        add(if problem.is_none() { &done } else { &failed });
        progress.ended(planned, problem.as_deref());
        Ok(())
    })?;
    let count = |n: AtomicUsize| n.into_inner();
    Ok(Ran { done: count(done), failed: count(failed), skipped: old.len(), left: count(left) })
}

/// Runs a cell; `None`: it was interrupted.
fn run_one(planned: &Planned, interrupt: &Arc<AtomicBool>) -> Option<Finished> {
    let outcome = planned.cell().and_then(|cell| run(&cell, interrupt));
    match &outcome {
        Ok(outcome) if outcome.stop == Stop::Interrupted => None,
        _ => Some(Finished::new(planned, outcome.as_ref())),
    }
}

/// How far a sweep has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Cells of the plan.
    pub cells: usize,
    /// Sound results.
    pub done: usize,
    /// Failed cells.
    pub failed: Vec<String>,
    /// Cells not yet run.
    pub missing: usize,
    /// Files of cells that the plan does not have, and of strange names.
    pub foreign: Vec<String>,
}

/// Looks at what is there, by names alone.
pub fn status(plan: &Plan, store: &Store) -> Result<Status, StoreError> {
    let mut there = store.list()?;
    let mut status = Status { cells: plan.cells.len(), ..Status::default() };
    for cell in &plan.cells {
        let (sound, failed) = (there.sound.remove(&cell.id), there.failed.remove(&cell.id));
        match (sound, failed) {
            (true, _) => status.done += 1,
            (false, true) => status.failed.push(cell.id.clone()),
            (false, false) => status.missing += 1,
        }
    }
    let strangers = there.sound.iter().map(|id| store.path(id, true));
    let strangers = strangers.chain(there.failed.iter().map(|id| store.path(id, false)));
    status.foreign = strangers.map(|p| p.display().to_string()).chain(there.strange).collect();
    status.foreign.sort();
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_part_the_cells() {
        let study = super::super::file::Study::parse(
            std::path::Path::new("s"),
            "[vary]\nseed = { from = 1, to = 10 }",
        );
        let plan = Plan::new(std::path::Path::new("s"), &study.unwrap()).unwrap();
        for of in 1..=12 {
            let mut ids: Vec<_> = (1..=of)
                .flat_map(|i| format!("{i}/{of}").parse::<Shard>().unwrap().cells(&plan).collect::<Vec<_>>())
                .map(|c| c.id.clone())
                .collect();
            ids.sort();
            let mut all: Vec<_> = plan.cells.iter().map(|c| c.id.clone()).collect();
            all.sort();
            assert_eq!(ids, all, "{of} shards");
        }
        for bad in ["", "1", "0/3", "4/3", "a/b", "1/0", "-1/2"] {
            assert!(bad.parse::<Shard>().unwrap_err().contains("I/N"), "{bad}");
        }
        assert_eq!("2/5".parse::<Shard>().unwrap().to_string(), "2/5");
    }
}
