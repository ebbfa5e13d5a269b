//! The chores of the project that plain cargo cannot do: building the guest
//! images and running them on other machines.
//!
//! `cargo xtask image` builds the three guest ELF files that
//! `kernel-image/prebuilt` holds.

mod elf;
mod image;
mod lock;
mod opcodes;
mod paths;
mod toolchain;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the shootdown project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the guest images: the kernel, its user program and the speed benchmark.
    ///
    /// Without options the files in kernel-image/prebuilt are replaced, image.lock included.
    Image {
        /// Rebuild into a temporary directory and prove that the files in kernel-image/prebuilt are bit for bit the same
        #[arg(long, conflicts_with_all = ["out", "only"])]
        check: bool,
        /// Build into this directory; kernel-image/prebuilt is left alone and no lock is written
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Build just this image (needs --out)
        #[arg(long, value_name = "IMAGE", requires = "out")]
        only: Vec<image::Image>,
    },
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Image { check: true, .. } => image::check(),
        Command::Image {
            out: Some(dir),
            only,
            ..
        } => {
            let wanted = if only.is_empty() {
                image::Image::ALL.to_vec()
            } else {
                only
            };
            image::build_into(&dir, &wanted)
        }
        Command::Image { out: None, .. } => image::build_prebuilt(),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
