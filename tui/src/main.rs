//! `shootdown`: what keeping the TLBs of many processors honest costs.
//!
//! ```text
//!  cli.rs      the command line, as types
//!  command/    one file per command
//!  screen/     the live screens of `tui`
//!  output.rs   where results go, colour, exit status
//! ```

mod cli;
mod command;
mod interrupt;
mod output;
mod screen;
mod settings;

use clap::Parser;
use cli::{Cli, Command};
use output::{BAD_INPUT, Status};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Boot(options) => command::boot::run(options),
        Command::Run(options) => command::run::run(options),
        Command::Compare(options) => command::compare::run(options),
        Command::Calibrate(options) => command::calibrate::run(options),
        Command::Experiment(options) => command::experiment::run(options),
        Command::Explore(options) => command::explore::run(options),
        Command::Sweep(what) => command::sweep::run(what),
        Command::Export(what) => command::export::run(what),
        Command::Tui(options) => command::tui::run(options),
        Command::List(options) => command::list::run(options),
        Command::Completions(options) => command::completions::run(options),
        Command::Man => command::man::run(),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) if output::is_broken_pipe(&error) => Status::Sound.into(),
        Err(error) => {
            output::message(&format!("shootdown: {}", output::one_line(&error)));
            ExitCode::from(BAD_INPUT)
        }
    }
}
