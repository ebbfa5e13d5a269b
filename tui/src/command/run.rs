//! `run`: one load under one strategy.

use crate::command::compare;
use crate::output::Status;
use crate::{cli, settings};
use anyhow::Result;

/// The command.
pub fn run(options: &cli::Run) -> Result<Status> {
    let read = settings::read(&options.cell, &[("strategy", options.strategy.as_deref())])?;
    if read.strategies.is_some() {
        anyhow::bail!("strategies: a list is for `compare`; accepted here is strategy = \"NAME\"");
    }
    compare::cells(&options.cell, &read.cell, &[read.cell.strategy])
}
