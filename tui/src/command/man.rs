//! `man`: the manual page, with a section for each command.

use crate::cli::Cli;
use crate::output::{Sink, Status};
use anyhow::Result;
use clap::CommandFactory;
use clap_mangen::Man;

/// The command.
pub fn run() -> Result<Status> {
    let mut command = Cli::command();
    command.build();
    let mut bytes = Vec::new();
    Man::new(command.clone()).render(&mut bytes)?;
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        let page = Man::new(sub.clone());
        let name = sub.get_bin_name().unwrap_or_else(|| sub.get_name()).to_uppercase();
        bytes.extend_from_slice(format!(".SH \"{name}\"\n").as_bytes());
        bytes.extend_from_slice(sub.get_about().map(|a| format!("{a}\n")).unwrap_or_default().as_bytes());
        page.render_options_section(&mut bytes)?;
    }
    Sink::Stdout.write(&bytes)?;
    Ok(Status::Sound)
}
