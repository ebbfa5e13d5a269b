//! Cells side by side: several strategies under the same load, kernel and machine.
//!
//! Cells run at the same time on host threads, each machine on one; the results
//! come in the order of the strategies, and none knows of the others.

use crate::cell::Cell;
use crate::report::{Config, Report};
use crate::run::{Outcome, RunError, run};
use crate::strategy::Strategy;
use rayon::prelude::*;
use shootdown_emu::Stop;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What came of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Runs that ended by themselves, in the order asked for.
    pub outcomes: Vec<Outcome>,
    /// The document made of them.
    pub report: Report,
    /// Strategies whose run was interrupted and thrown away.
    pub interrupted: Vec<Strategy>,
}

/// Runs `cell` under each of `strategies`. Fails when a cell cannot be run at all.
pub fn compare(
    cell: &Cell,
    strategies: &[Strategy],
    interrupt: &Arc<AtomicBool>,
) -> Result<Comparison, RunError> {
    compare_by(cell, strategies, |cell| run(cell, interrupt))
}

/// The same with another way to run a cell.
pub fn compare_by(
    cell: &Cell,
    strategies: &[Strategy],
    run: impl Fn(&Cell) -> Result<Outcome, RunError> + Sync,
) -> Result<Comparison, RunError> {
    let cells: Vec<Cell> = strategies.iter().map(|&strategy| cell.with(strategy)).collect();
    for cell in &cells {
        cell.validate()?;
    }
    let results: Vec<Result<Outcome, RunError>> = cells.par_iter().map(&run).collect();
    let (mut outcomes, mut interrupted) = (Vec::new(), Vec::new());
    for (result, &strategy) in results.into_iter().zip(strategies) {
        let outcome = result?;
        if outcome.stop == Stop::Interrupted {
            interrupted.push(strategy);
        } else {
            outcomes.push(outcome);
        }
    }
    let rows = outcomes.iter().map(|o| o.row.clone()).collect();
    let report = Report::new(Config::new(cell, strategies), rows);
    Ok(Comparison { outcomes, report, interrupted })
}
