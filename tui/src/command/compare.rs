//! `compare`: one load under several strategies, side by side. And `run`, which is one of it.

use crate::cli::{self, Format};
use crate::output::{Sink, Status, message};
use crate::{interrupt, settings};
use anyhow::Result;
use shootdown_workloads::compare::{Compared, Comparison, compare_by};
use shootdown_workloads::sensitivity::{runs, sweep};
use shootdown_workloads::{Cell, Outcome, RunError, Strategy, csv, table};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The command.
pub fn run(options: &cli::Compare) -> Result<Status> {
    let read = settings::read(&options.cell.keys, &[])?;
    let strategies = match &options.strategies {
        Some(names) => settings::strategy_list(names)?,
        None => read.strategies.unwrap_or_else(|| Strategy::COMPARED.to_vec()),
    };
    cells(&options.cell, &read.cell, &strategies, shootdown_workloads::run)
}

/// Runs a cell under some strategies, each by `run`, and writes the result.
pub fn cells(
    options: &cli::Cell,
    cell: &Cell,
    strategies: &[Strategy],
    run: impl Fn(&Cell, &Arc<AtomicBool>) -> Result<Outcome, RunError> + Sync,
) -> Result<Status> {
    cell.machine.validate()?;
    let sink = Sink::open(options.out.as_deref())?;
    let start = Instant::now();
    let interrupt = interrupt::flag();
    let compared =
        compare_by(cell, strategies, options.seeds, |cell| run(cell, &interrupt)).and_then(|mut done| {
            let swept = if options.sensitivity {
                add_sensitivity(&mut done, cell, strategies, options.draws as usize, &interrupt)?
            } else {
                true
            };
            Ok((done, swept))
        });
    let (done, swept) = match compared {
        Ok(compared) => compared,
        Err(error) => {
            sink.discard();
            return Err(error.into());
        }
    };
    let elapsed = start.elapsed().as_secs_f64();
    report(&done);
    if done.runs.is_empty() {
        sink.discard();
        return Ok(Status::Wrong);
    }
    let text = match options.format {
        Format::Text => table::render(&done.report, sink.paint()),
        Format::Json => done.report.to_json()?,
        Format::Csv => csv::render(&done.report),
    };
    sink.write(&text)?;
    let instructions: u64 = done.runs.iter().map(|r| r.outcome.instructions).sum();
    let (unit, all) = match options.seeds {
        1 => ("strategies", strategies.len()),
        _ => ("runs", done.runs.len() + done.interrupted.len()),
    };
    message(&format!(
        "{} of {all} {unit}, {:.0} M guest instructions in {elapsed:.1} s",
        done.runs.len(),
        instructions as f64 / 1e6
    ));
    let sound = swept
        && done.interrupted.is_empty()
        && done.report.seeded().all(|(_, row)| row.problems().is_empty());
    Ok(if sound { Status::Sound } else { Status::Wrong })
}

/// Adds what hangs on the estimates to the report. False: something was wrong, which is told; without a base run of every
/// strategy, or after an interrupt, there is no section.
fn add_sensitivity(
    done: &mut Comparison,
    cell: &Cell,
    strategies: &[Strategy],
    draws: usize,
    interrupt: &Arc<AtomicBool>,
) -> Result<bool, RunError> {
    if done.runs.len() < strategies.len() || !done.runs.iter().all(|r| r.outcome.is_complete()) {
        message("sensitivity: left out, as not every strategy came to its end");
        return Ok(false);
    }
    let runs = runs(cell, strategies.len(), draws).map_err(RunError::from)?;
    message(&format!("sensitivity: {runs} runs"));
    let Some(swept) = sweep(cell, strategies, &done.report.rows, draws, interrupt)? else {
        message("sensitivity: interrupted and left out");
        return Ok(false);
    };
    let problems = swept.problems();
    problems.iter().for_each(|problem| message(&format!("sensitivity: {problem}")));
    done.report.sensitivity = Some(swept);
    Ok(problems.is_empty())
}

/// What went wrong, to standard error: the stop, what the guest said last, every processor's state.
fn report(done: &Comparison) {
    let several = done.report.seeds.is_some();
    let named = |strategy: &str, seed: u64| {
        if several { format!("{strategy}, seed {seed}") } else { strategy.to_owned() }
    };
    for (strategy, seed) in &done.interrupted {
        message(&format!("{}: interrupted, its row is left out", named(strategy.name(), *seed)));
    }
    for Compared { seed, outcome } in &done.runs {
        let name = named(&outcome.row.strategy, *seed);
        for problem in outcome.row.problems() {
            message(&format!("{name}: {problem}"));
        }
        if !outcome.is_complete() {
            message(&format!("{name}: {}", outcome.stop));
            for line in outcome.last_words() {
                message(&format!("{name}: console: {line}"));
            }
        }
        if let Some(state) = &outcome.state {
            message(state.trim_end());
        }
    }
}
