//! Cells side by side: several strategies under the same load, kernel and machine, with one seed or several.
//!
//! Cells run at the same time on host threads, each machine on one; the results
//! come in the order of seeds and strategies, and none knows of the others.

use crate::cell::Cell;
use crate::report::{Config, Report};
use crate::run::{Outcome, RunError, run};
use crate::seeds::Seeds;
use crate::strategy::Strategy;
use rayon::prelude::*;
use shootdown_emu::Stop;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A run that has ended by itself.
#[derive(Debug)]
pub struct Compared {
    /// Its seed.
    pub seed: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Runs that ended by themselves, by seed and in the order of the strategies.
    pub runs: Vec<Compared>,
    /// The document made of them.
    pub report: Report,
    /// Strategies and seeds whose run was interrupted and thrown away.
    pub interrupted: Vec<(Strategy, u64)>,
}

/// Runs `cell` under each of `strategies`. Fails when a cell cannot be run at all.
pub fn compare(
    cell: &Cell,
    strategies: &[Strategy],
    interrupt: &Arc<AtomicBool>,
) -> Result<Comparison, RunError> {
    compare_by(cell, strategies, 1, |cell| run(cell, interrupt))
}

/// The same with `seeds` seeds, from the cell's own on, and with another way to run a cell. Two and more seeds are summed up
/// in the report's `seeds`.
pub fn compare_by(
    cell: &Cell,
    strategies: &[Strategy],
    seeds: u64,
    run: impl Fn(&Cell) -> Result<Outcome, RunError> + Sync,
) -> Result<Comparison, RunError> {
    let seeds: Vec<u64> = (0..seeds.max(1)).map(|n| cell.machine.seed.wrapping_add(n)).collect();
    let cells: Vec<Cell> = seeds
        .iter()
        .flat_map(|&seed| {
            let mut seeded = cell.clone();
            seeded.machine.seed = seed;
            strategies.iter().map(move |&strategy| seeded.with(strategy))
        })
        .collect();
    for cell in &cells {
        cell.validate()?;
    }
    let results: Vec<Result<Outcome, RunError>> = cells.par_iter().with_max_len(1).map(&run).collect();
    let (mut runs, mut interrupted) = (Vec::new(), Vec::new());
    for (result, cell) in results.into_iter().zip(&cells) {
        let outcome = result?;
        let seed = cell.machine.seed;
        if outcome.stop == Stop::Interrupted {
            interrupted.push((cell.strategy, seed));
        } else {
            runs.push(Compared { seed, outcome });
        }
    }
    let rows: Vec<_> = runs.iter().map(|r| (r.seed, r.outcome.row.clone())).collect();
    let first = rows.iter().filter(|(seed, _)| *seed == cell.machine.seed).map(|(_, row)| row.clone());
    let mut report = Report::new(Config::new(cell, strategies), first.collect());
    if seeds.len() > 1 {
        let names: Vec<_> = strategies.iter().map(|s| s.name()).collect();
        report.seeds = Some(Seeds::new(seeds, &names, &rows));
    }
    Ok(Comparison { runs, report, interrupted })
}
