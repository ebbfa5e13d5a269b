//! One cell, run to its end in one go.

use crate::cell::{Cell, KeyError};
use crate::live::Live;
use crate::report::Row;
use shootdown_abi::exit;
use shootdown_emu::loader::LoadError;
use shootdown_emu::observe::{Nobody, Observer};
use shootdown_emu::{ConfigError, Machine, Stop};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use thiserror::Error;

/// Why a cell cannot be run. Every message is one line.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its keys do not fit together.
    #[error(transparent)]
    Cell(#[from] KeyError),
    /// The machine cannot be built.
    #[error(transparent)]
    Machine(#[from] ConfigError),
    /// The images do not fit the machine.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The guest refuses its arguments or the machine.
    #[error("{0}")]
    Refused(String),
}

/// How many lines [`Outcome::last_words`] gives at most.
const LAST_WORDS: usize = 20;

/// A run that has ended, well or not.
#[derive(Debug)]
pub struct Outcome {
    /// The figures, as far as the run came.
    pub row: Row,
    /// Why it ended.
    pub stop: Stop,
    /// What the guest printed.
    pub console: String,
    /// Every processor's state, when the guest did not end the run itself.
    pub state: Option<String>,
    /// Instructions of the whole run, for the host's figures.
    pub instructions: u64,
}

impl Outcome {
    /// Did the run get to its end?
    pub fn is_complete(&self) -> bool {
        matches!(self.stop, Stop::Exit(exit::OK | exit::DATA_ERROR))
    }

    /// The last lines that the guest printed, for people who wonder why it did not end well.
    pub fn last_words(&self) -> impl Iterator<Item = &str> {
        let lines: Vec<_> = self.console.lines().collect();
        let before = lines.len().saturating_sub(LAST_WORDS);
        lines.into_iter().skip(before)
    }
}

/// Runs a cell. When `interrupt` becomes true the run ends with [`Stop::Interrupted`].
pub fn run(cell: &Cell, interrupt: &Arc<AtomicBool>) -> Result<Outcome, RunError> {
    observed(cell, interrupt, &mut Nobody).map(|(outcome, _)| outcome)
}

/// The same with an observer beside the one that makes the figures; the machine as it stopped.
pub fn observed(
    cell: &Cell,
    interrupt: &Arc<AtomicBool>,
    observer: &mut dyn Observer,
) -> Result<(Outcome, Machine), RunError> {
    let mut live = Live::new(cell)?;
    live.stop_when(Arc::clone(interrupt));
    live.run(observer);
    Ok((live.outcome()?, live.into_machine()))
}

/// The line in which the guest says why it refuses.
pub(crate) fn refusal(console: &str) -> String {
    let mut lines = console.lines().map(str::trim).rev();
    let line = lines.find(|line| !line.is_empty() && !line.starts_with("the first process ended"));
    line.unwrap_or("the guest refuses its command line").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_the_last_line_that_says_why() {
        let console = "kernel up\nguest: pages=1 are too few\nthe first process ended with status 2\n\n";
        assert_eq!(refusal(console), "guest: pages=1 are too few");
        assert_eq!(refusal(""), "the guest refuses its command line");
    }
}
