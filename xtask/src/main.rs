//! The chores of the project that plain cargo cannot do: building the guest
//! images and running them on other machines.
//!
//! `cargo xtask image` builds the three guest ELF files that
//! `kernel-image/prebuilt` holds; `cargo xtask qemu` proves that other machines
//! compute the same with them; `cargo xtask bochs` and `speed` run single
//! images elsewhere.

mod bochs;
mod boots;
mod elf;
mod fuzz_diff;
mod image;
mod loads;
mod lock;
mod machine;
mod matrix;
mod opcodes;
mod paths;
mod qemu;
mod random;
mod redraw;
mod shots;
mod smp_locks;
mod speed;
mod tlb;
mod toolchain;
mod vectors;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// Run every workload under every strategy on QEMU and compare the checksums, with shootdown's too when it is built.
    Qemu {
        /// Run everything on Bochs as well (minutes)
        #[arg(long)]
        bochs: bool,
        /// The shootdown program [default: target/release/shootdown, if it is there]
        #[arg(long, value_name = "PROGRAM")]
        shootdown: Option<PathBuf>,
        /// Directory with kernel.elf and guest.elf [default: kernel-image/prebuilt]
        #[arg(long, value_name = "DIR")]
        images: Option<PathBuf>,
        /// Only these workloads
        #[arg(long = "workload", value_name = "NAME", value_delimiter = ',')]
        workloads: Vec<String>,
        /// Only these strategies
        #[arg(long = "strategy", value_name = "NAME", value_delimiter = ',')]
        strategies: Vec<String>,
        /// Only these numbers of processors (1, 2, 4; shootdown also 16, 64)
        #[arg(long, value_name = "N", value_delimiter = ',')]
        smp: Vec<u32>,
        /// Further words for the kernel's command line, such as paging=64g
        #[arg(long, value_name = "WORDS", default_value = "")]
        append: String,
    },
    /// Run every workload under every strategy on 1, 2, 4 and 8 processors, in both kinds of paging, and judge every run.
    ///
    /// Takes about an hour on two processors; with --quick minutes.
    Matrix {
        /// One seed, 4 processors
        #[arg(long, conflicts_with_all = ["seeds", "cpus"])]
        quick: bool,
        /// Seeds of each cell
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
        seeds: u32,
        /// Numbers of processors
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
        cpus: Vec<u32>,
        /// Only these workloads
        #[arg(long = "workload", value_name = "NAME", value_delimiter = ',')]
        workloads: Vec<String>,
        /// Keep the results here; what is finished there is not run again
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// The shootdown program [default: target/release/shootdown]
        #[arg(long, value_name = "PROGRAM")]
        shootdown: Option<PathBuf>,
    },
    /// Run random instruction sequences here and on Unicorn, Bochs or QEMU, and print what differs.
    FuzzDiff {
        /// Sequences
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        count: u64,
        /// Number of the first one
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: u64,
        /// Where the randomness begins
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// How the processor runs
        #[arg(long, value_enum, default_value_t = fuzz_diff::Mode::Flat)]
        mode: fuzz_diff::Mode,
        /// The other side of all modes but real and flat
        #[arg(long, value_enum, default_value_t = fuzz_diff::Peer::Bochs)]
        peer: fuzz_diff::Peer,
        /// A Python 3 with the package unicorn (pip install unicorn), for the modes real and flat
        #[arg(long, value_name = "PROGRAM", default_value = "python3")]
        python: PathBuf,
    },
    /// Run guests of a few instructions about translations here, on QEMU and on Bochs, and compare what they saw.
    Tlb {
        /// Run them on Bochs as well (half a minute)
        #[arg(long)]
        bochs: bool,
    },
    /// Run single instructions on this machine's processor, in 32-bit user mode, for the emulator's conformance test.
    ///
    /// Needs x86-64 Linux that runs 32-bit programs, and memory from 0x1000 on: root, or vm.mmap_min_addr at most 4096.
    CaptureVectors {
        /// Where the randomness begins
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// Cases of each form of integer instruction
        #[arg(long, value_name = "N", default_value_t = 12)]
        count: u32,
        /// Cases of each form of x87 instruction
        #[arg(long, value_name = "N", default_value_t = 40)]
        x87: u32,
        /// The file [default: emu/tests/vectors/tests.jsonl.gz]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Draw pictures of the screens of `shootdown tui` into docs/screens.
    Shots {
        /// Prove that the pictures there are what the program draws; write none
        #[arg(long)]
        check: bool,
        /// Write PNG files into this directory, too (wants rsvg-convert)
        #[arg(long, value_name = "DIR", conflicts_with = "check")]
        png: Option<PathBuf>,
        /// The shootdown program [default: target/release/shootdown]
        #[arg(long, value_name = "PROGRAM")]
        shootdown: Option<PathBuf>,
    },
    /// Make everything in docs anew that the program draws: the README's figure, the screens, the validation (minutes).
    ///
    /// Wanted after a change of the images or of a figure.
    Redraw {
        /// Prove that the files there are what the program draws; write none
        #[arg(long)]
        check: bool,
        /// The shootdown program [default: target/release/shootdown]
        #[arg(long, value_name = "PROGRAM")]
        shootdown: Option<PathBuf>,
    },
    /// Make a GRUB CD that boots a Multiboot kernel.
    BochsCd {
        #[command(flatten)]
        guest: Guest,
        /// The CD image
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Boot a Multiboot kernel on Bochs, without a screen, and print what comes over the serial port.
    ///
    /// Stops when the guest says that it is finished (the kernel's line of operations, the benchmark's result)
    /// or writes `Shutdown` to port 0x8900.
    Bochs {
        #[command(flatten)]
        guest: Guest,
        /// Number of processors
        #[arg(long, default_value_t = 1)]
        cpus: u32,
        /// Memory in MiB
        #[arg(long, default_value_t = 128)]
        mem: u32,
        /// Give up after so many seconds
        #[arg(long, default_value_t = 300)]
        limit: u64,
        /// Keep cd.iso, bochsrc, bochs.log, e9.txt and serial.txt here
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Time one load of the benchmark kernel on several emulators.
    Speed {
        /// Load and length, such as `integer n=1000000`
        load: String,
        /// Where
        #[arg(long, value_enum, value_delimiter = ',', default_value = "qemu,bochs")]
        on: Vec<speed::On>,
        /// Number of processors
        #[arg(long, default_value_t = 1)]
        cpus: u32,
        /// The shootdown program, for `--on shootdown`
        #[arg(long, value_name = "PROGRAM")]
        shootdown: Option<PathBuf>,
        /// The benchmark kernel [default: kernel-image/prebuilt/bench.elf]
        #[arg(long, value_name = "FILE")]
        kernel: Option<PathBuf>,
    },
}

/// What is booted.
#[derive(clap::Args)]
struct Guest {
    /// The Multiboot kernel
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// A module: file and arguments, separated by spaces
    #[arg(long = "module", value_name = "'FILE ARGS'")]
    modules: Vec<String>,
    /// The kernel's command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
}

impl Guest {
    fn boot(self, cpus: u32, mem: u32, limit: u64) -> machine::Boot {
        machine::Boot {
            kernel: self.kernel,
            modules: self.modules,
            append: self.append,
            cpus,
            mem,
            limit: Duration::from_secs(limit),
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Image { check: true, .. } => image::check(),
        Command::Image { out: Some(dir), only, .. } => {
            let wanted = if only.is_empty() { image::Image::ALL.to_vec() } else { only };
            image::build_into(&dir, &wanted)
        }
        Command::Image { out: None, .. } => image::build_prebuilt(),
        Command::Qemu { bochs, shootdown, images, workloads, strategies, smp, append } => {
            boots::run(&boots::Plan {
                images: images.unwrap_or_else(|| paths::prebuilt(&paths::root())),
                bochs,
                shootdown,
                loads: workloads,
                strategies,
                cpus: smp,
                append,
            })
        }
        Command::Matrix { quick, seeds, cpus, workloads, out, shootdown } => {
            let (seeds, cpus) = if quick { (1, vec![4]) } else { (seeds, cpus) };
            matrix::run(&matrix::Plan { shootdown, out, loads: workloads, cpus, seeds })
        }
        Command::FuzzDiff { count, from, seed, mode, peer, python } => {
            fuzz_diff::run(&fuzz_diff::Options { count, from, seed, mode, peer, python: &python })
        }
        Command::Tlb { bochs } => tlb::run(bochs),
        Command::CaptureVectors { seed, count, x87, out } => {
            let out = out.unwrap_or_else(|| paths::root().join("emu/tests/vectors/tests.jsonl.gz"));
            vectors::run(&vectors::Options { seed, count, x87, out: &out })
        }
        Command::Shots { check, png, shootdown } => shots::run(&shots::Plan { check, png, shootdown }),
        Command::Redraw { check, shootdown } => redraw::run(&redraw::Plan { check, shootdown }),
        Command::BochsCd { guest, out } => bochs::make_cd(&guest.boot(1, 128, 0), &out),
        Command::Bochs { guest, cpus, mem, limit, dir } => {
            let boot = guest.boot(cpus, mem, limit);
            let outcome = match dir {
                Some(dir) => bochs::run(&boot, &dir)?,
                None => bochs::run(&boot, tempfile::tempdir()?.path())?,
            };
            print!("{}", outcome.serial.text());
            Ok(())
        }
        Command::Speed { load, on, cpus, shootdown, kernel } => speed::run(&speed::Plan {
            kernel: kernel.unwrap_or_else(|| paths::prebuilt(&paths::root()).join("bench.elf")),
            load,
            on,
            cpus,
            shootdown,
        }),
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
