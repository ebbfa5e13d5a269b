//! What an exploration found, as a document: JSON, or a few lines for people.

use super::{Explored, Smallest};
use crate::cell::Cell;
use crate::report::Config;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the document's shape.
pub const SCHEMA: u32 = 1;

/// Many seeds of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Exploration {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Everything that decided the runs, but for their seeds; the machine's is the first that was asked for.
    pub config: Config,
    /// How many seeds were asked for, from that on.
    pub asked: u64,
    /// Seeds that were run to their end. Fewer than were asked for where the first that goes wrong ends the search, and after an
    /// interrupt.
    pub seeds: Vec<u64>,
    /// Was the search interrupted?
    pub interrupted: bool,
    /// Seeds that went wrong.
    pub found: Vec<Wrong>,
    /// The smallest cell that goes wrong as the first of them does; null without one, and after an interrupt.
    pub smallest: Option<Reproducer>,
}

/// A seed that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub problems: Vec<String>,
}

/// A small cell that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reproducer {
    /// Its seed.
    pub seed: u64,
    /// The keys in which it differs from the cell, and their values.
    pub changed: BTreeMap<String, u64>,
    /// What goes wrong.
    pub problems: Vec<String>,
    /// Smaller cells that were tried.
    pub runs: usize,
    /// The command that runs it, as a shell takes it.
    pub command: String,
}

impl Exploration {
    /// Of seeds of `cell`, of which `asked` were asked for; nothing has been made smaller yet.
    pub fn new(cell: &Cell, asked: u64, explored: &Explored) -> Exploration {
        let wrong = explored.found.iter().map(|f| Wrong { seed: f.seed, problems: f.outcome.row.problems() });
        Exploration {
            schema: SCHEMA,
            config: Config::new(cell, &[cell.strategy]),
            asked,
            seeds: explored.seeds.clone(),
            interrupted: explored.interrupted,
            found: wrong.collect(),
            smallest: None,
        }
    }

    /// Did every seed run, and none go wrong?
    pub fn is_sound(&self) -> bool {
        self.found.is_empty() && !self.interrupted
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for Wrong { seed, problems } in &self.found {
            lines.extend(problems.iter().map(|problem| format!("seed {seed}: {problem}")));
        }
        lines.push(format!("{} of {} seeds went wrong", self.found.len(), self.seeds.len()));
        if let Some(smallest) = &self.smallest {
            let runs = smallest.runs;
            lines.push(format!("the smallest of {runs} smaller cells that goes wrong in the same way:"));
            lines.extend(smallest.problems.iter().map(|problem| format!("  {problem}")));
            lines.push(format!("  {}", smallest.command));
        }
        lines.join("\n") + "\n"
    }
}

impl Reproducer {
    /// Of a cell that was made smaller, and the command that runs it.
    pub fn new(smallest: &Smallest, command: String) -> Reproducer {
        Reproducer {
            seed: smallest.seed,
            changed: smallest.changed.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect(),
            problems: smallest.outcome.row.problems(),
            runs: smallest.runs,
            command,
        }
    }
}
