//! Many seeds of one cell: which of them go wrong, and the smallest cell that still does.
//!
//! A race needs luck. What a scheme gets wrong may show under one seed in hundred, and
//! then in a run of a million operations; what one wants to look at is a short one.
//!
//! *Shrinking.* Operations, warm-up, tasks, processors and pages are halved one after
//! another, each for as long as the same thing goes wrong under the same seed, until
//! none can be halved. A smaller cell is another run, in which a race may not come to
//! pass: so the end is a cell that cannot be made smaller by a halving, which need not be
//! the smallest that there is.
//!
//! Runs are as many at a time as the host has processors; what is found does not depend
//! on that.

mod document;

pub use document::{Exploration, Reproducer, SCHEMA, Wrong};

use crate::cell::{Cell, KeyError};
use crate::report::Row;
use crate::run::{Outcome, RunError};
use rayon::prelude::*;
use shootdown_emu::Stop;

/// What is halved, in this order.
const SHRUNK: [&str; 6] = ["ops", "rounds", "warmup", "tasks", "cpus", "pages"];

/// What went wrong in a run. A smaller cell has to go wrong in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Harmful uses of stale translations.
    Stale,
    /// The load found wrong data.
    Data,
    /// The run did not reach its end: how it stopped, and what the guest said last, without its numbers.
    Ended(String, String),
}

impl Failure {
    /// What went wrong first of all in this run.
    pub fn of(outcome: &Outcome) -> Option<Failure> {
        let Row { harmful_uses, data_errors, stop, .. } = &outcome.row;
        if *harmful_uses > 0 {
            return Some(Failure::Stale);
        }
        if *data_errors > 0 {
            return Some(Failure::Data);
        }
        let words = outcome.console.lines().last().unwrap_or_default();
        let words = words.chars().filter(|c| !c.is_ascii_digit()).collect();
        (!outcome.row.problems().is_empty()).then(|| Failure::Ended(stop.reason.clone(), words))
    }
}

/// A seed whose run goes wrong.
#[derive(Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// What came of its run.
    pub outcome: Outcome,
    failure: Failure,
}

/// The smallest cell that still goes wrong.
#[derive(Debug)]
pub struct Smallest {
    /// The seed.
    pub seed: u64,
    /// The keys that were changed, with their values.
    pub changed: Vec<(&'static str, u64)>,
    /// What came of its run.
    pub outcome: Outcome,
    /// Runs that it took.
    pub runs: usize,
}

/// What came of many seeds.
#[derive(Debug)]
pub struct Explored {
    /// Seeds that were run to their end, in order.
    pub seeds: Vec<u64>,
    /// Those that went wrong, in order.
    pub found: Vec<Found>,
    /// Some runs were interrupted and thrown away.
    pub interrupted: bool,
}

/// Runs `seeds` seeds of `cell`, from its own on, each by `run`; with `first` up to the first that goes wrong. Fails when the
/// cell cannot be run at all.
pub fn explore(
    cell: &Cell,
    seeds: u64,
    first: bool,
    run: impl Fn(&Cell) -> Result<Outcome, RunError> + Sync,
) -> Result<Explored, RunError> {
    cell.validate()?;
    let one = |n: u64| {
        let mut seeded = cell.clone();
        seeded.machine.seed = cell.machine.seed.wrapping_add(n);
        run(&seeded).map(|outcome| (seeded.machine.seed, outcome))
    };
    let goes_on = |done: &Result<(u64, Outcome), RunError>| {
        done.as_ref()
            .is_ok_and(|(_, outcome)| outcome.stop != Stop::Interrupted && Failure::of(outcome).is_none())
    };
    let mut explored = Explored { seeds: Vec::new(), found: Vec::new(), interrupted: false };
    let all: Vec<u64> = (0..seeds).collect();
    let results: Vec<_> = if first {
        // The one of the lowest number, whichever is found first; those before it were sound.
        let ended =
            all.par_iter().with_max_len(1).map(|&n| (n, one(n))).find_first(|(_, done)| !goes_on(done));
        let sound = ended.as_ref().map_or(seeds, |(n, _)| *n);
        explored.seeds = (0..sound).map(|n| cell.machine.seed.wrapping_add(n)).collect();
        ended.map(|(_, done)| done).into_iter().collect()
    } else {
        all.par_iter().with_max_len(1).map(|&n| one(n)).collect()
    };
    for done in results {
        let (seed, outcome) = done?;
        if outcome.stop == Stop::Interrupted {
            explored.interrupted = true;
            continue;
        }
        explored.seeds.push(seed);
        if let Some(failure) = Failure::of(&outcome) {
            explored.found.push(Found { seed, outcome, failure });
        }
    }
    Ok(explored)
}

/// Makes the cell in which `found` was found smaller while the same goes wrong. None: interrupted.
pub fn shrink(
    cell: &Cell,
    found: Found,
    run: impl Fn(&Cell) -> Result<Outcome, RunError>,
) -> Result<Option<Smallest>, KeyError> {
    let mut now = cell.clone();
    now.machine.seed = found.seed;
    let mut smallest = Smallest { seed: found.seed, changed: Vec::new(), outcome: found.outcome, runs: 0 };
    // How many tasks there are if that is not set hangs on the processors: they stay as many as they are.
    if let Some(tasks) = number(&now, "tasks") {
        now.set("tasks", &tasks.to_string())?;
        smallest.changed.push(("tasks", tasks));
    }
    let mut again = true;
    while std::mem::take(&mut again) {
        for key in SHRUNK {
            while let Some((smaller, value)) = halved(&now, key) {
                smallest.runs += 1;
                // What the guest refuses (fewer pages than tasks) is no smaller cell.
                let Ok(outcome) = run(&smaller) else { break };
                if outcome.stop == Stop::Interrupted {
                    return Ok(None);
                }
                if Failure::of(&outcome).as_ref() != Some(&found.failure) {
                    break;
                }
                (now, smallest.outcome, again) = (smaller, outcome, true);
                smallest.changed.retain(|(changed, _)| *changed != key);
                smallest.changed.push((key, value));
            }
        }
    }
    Ok(Some(smallest))
}

/// The number that `key` has in this cell, if it has the key.
fn number(cell: &Cell, key: &str) -> Option<u64> {
    if key == "cpus" {
        return Some(cell.machine.cpus as u64);
    }
    let (_, value) = cell.parameters().into_iter().find(|(name, _)| *name == key)?;
    value.parse().ok()
}

/// The cell with half as much of `key`, if it has it and half is accepted.
fn halved(cell: &Cell, key: &str) -> Option<(Cell, u64)> {
    let value = number(cell, key).filter(|value| *value > 0)? / 2;
    let mut smaller = cell.clone();
    smaller.set(key, &value.to_string()).ok()?;
    smaller.validate().ok()?;
    Some((smaller, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_halved_as_far_as_it_is_accepted() {
        let mut cell = Cell::standard().expect("the default cell is valid");
        cell.set_all([("ops", "7"), ("cpus", "2")]).expect("both are accepted");
        let (smaller, value) = halved(&cell, "ops").expect("7 can be halved");
        assert_eq!(value, 3);
        assert!(smaller.parameters().contains(&("ops", "3".into())));
        let (smaller, value) = halved(&cell, "cpus").expect("2 can be halved");
        assert_eq!((value, smaller.machine.cpus), (1, 1));
        assert!(halved(&smaller, "cpus").is_none(), "there is no machine without processors");
        cell.set("ops", "1").expect("accepted");
        assert!(halved(&cell, "ops").is_none(), "no operation at all is not accepted");
        assert!(halved(&cell, "rounds").is_none(), "the load has no rounds");
    }
}
