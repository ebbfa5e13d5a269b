//! `completions`: what a shell needs to complete this command line.

use crate::cli::{Cli, Completions};
use crate::output::{Sink, Status};
use anyhow::Result;
use clap::CommandFactory;

/// The command.
pub fn run(options: &Completions) -> Result<Status> {
    let mut bytes = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "shootdown", &mut bytes);
    Sink::Stdout.write(&bytes)?;
    Ok(Status::Sound)
}
