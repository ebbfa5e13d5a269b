//! The command line, as types and nothing else.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use shootdown_workloads::export::results::LATENCIES;
use shootdown_workloads::seeds::MAX_SEEDS;
use shootdown_workloads::sensitivity::{DRAWS, MAX_DRAWS};
use shootdown_workloads::sweep::run::Shard;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Measures what keeping the TLBs of many processors honest costs, on a cycle-approximate x86 multiprocessor.
#[derive(Debug, Parser)]
#[command(name = "shootdown", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 all well; 1 the run found something wrong (harmful use of a stale translation, \
wrong data, a guest that failed or got stuck); 2 bad usage or input."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Boot a Multiboot kernel; its serial port goes to standard output
    Boot(Boot),
    /// Run one load under one strategy
    Run(Run),
    /// Run a load under several strategies and show them side by side
    Compare(Compare),
    /// Measure processor presets back from inside the machine
    Calibrate(Calibrate),
    /// Answer a question by experiment, with its table and verdict
    Experiment(Experiment),
    /// Run many seeds of one cell; print the smallest cell that still goes wrong
    Explore(Explore),
    /// Run thousands of cells, on many hosts if need be, and merge what came of them
    #[command(subcommand)]
    Sweep(Sweep),
    /// Make histograms, tables and figures of results
    #[command(subcommand)]
    Export(Export),
    /// Watch the machines live, or several strategies side by side
    Tui(Tui),
    /// List what there is
    List(List),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man,
}

/// Options of `boot`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: the guest's own, (value << 1) | 1 of what it writes to port 0xf4, as on QEMU; \
1 when it gets stuck, with every processor's state on standard error; 2 bad usage or input."
)]
pub struct Boot {
    /// A Multiboot-1 kernel, a 32-bit ELF file
    #[arg(required_unless_present = "rom", conflicts_with = "rom")]
    pub kernel: Option<PathBuf>,
    /// Start at the reset vector of this flat ROM, which ends at 4 GiB; its last 128 KiB show at E0000-FFFFF too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["modules", "append"])]
    pub rom: Option<PathBuf>,
    /// A module: the path of the file, then its arguments ("path arguments"); may be given again
    #[arg(long = "module", value_name = "FILE")]
    pub modules: Vec<String>,
    /// The kernel's command line
    #[arg(long, value_name = "STRING", default_value = "", hide_default_value = true)]
    pub append: String,
    /// Write statistics as JSON
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Write what every processor did as a timeline for Perfetto (.pftrace): the region of interest if the guest marks
    /// one, else all
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Pass what the guest writes to port 0xe9 on to standard error
    #[arg(long)]
    pub debug_port: bool,
    /// Print what the guest writes to this port on standard error, a line each; may be given again
    #[arg(long = "log-port", value_name = "PORT", value_parser = port)]
    pub log_ports: Vec<u16>,
    /// Stop at an access to a port, address or MSR where nothing is
    #[arg(long, overrides_with = "no_strict")]
    pub strict: bool,
    /// Let such accesses float, as on a PC (the default)
    #[arg(long, overrides_with = "strict")]
    pub no_strict: bool,
    /// Cycles without a sign of progress (port output, counted operations) after which a guest is stuck, or none
    #[arg(long, value_name = "CYCLES", default_value = "10000000000")]
    pub patience: String,
    /// Set a key of the machine (cost.*, tlb.*, features.*, jitter, host.shortcuts, ...); may be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// A port's number, decimal or with 0x.
fn port(text: &str) -> Result<u16, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u16::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number.map_err(|_| "accepted are 0 to 65535, or 0x0 to 0xffff".into())
}

/// Options of every command that builds a machine.
#[derive(Debug, Args)]
pub struct Machine {
    /// Processor preset, or the path of a .toml file (`list cpus`) [default: p3]
    #[arg(long, value_name = "PRESET")]
    pub cpu: Option<String>,
    /// Number of processors, 1 to 64 [default: 4]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub cpus: Option<String>,
    /// RAM, as 128M or 4G [default: 128M]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub mem: Option<String>,
    /// Seed of everything that is random [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub seed: Option<String>,
    /// What memory accesses cost: full (caches, line transfers) or flat (hits only) [default: full]
    #[arg(long, value_name = "MODEL")]
    pub timing: Option<String>,
    /// Stop after this many cycles
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub max_cycles: Option<String>,
}

/// Options that make a cell.
#[derive(Debug, Args)]
pub struct Keys {
    /// The load (`list workloads`) [default: kmap-storm]
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
    /// Set any key of a configuration file; may be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Read keys from a TOML file; options on the command line win
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of every command that runs cells.
#[derive(Debug, Args)]
pub struct Cell {
    /// What makes the cell.
    #[command(flatten)]
    pub keys: Keys,
    /// Run with this many seeds, from --seed on: medians with 95 % intervals, strategies held against each other by seed
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true,
        value_parser = clap::value_parser!(u64).range(1..=MAX_SEEDS))]
    pub seeds: u64,
    /// Run at both ends of the bracket of every estimate of the preset as well, and in draws from all brackets together; say
    /// what moves and what flips
    #[arg(long, conflicts_with = "seeds")]
    pub sensitivity: bool,
    /// Draws of --sensitivity: a Latin hypercube over all brackets; 0 is none
    #[arg(long, value_name = "N", default_value_t = DRAWS as u64, requires = "sensitivity",
        value_parser = clap::value_parser!(u64).range(0..=MAX_DRAWS))]
    pub draws: u64,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write the result to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The strategy (`list strategies`) [default: batched]
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// Write the region of interest as a timeline of single shootdowns for Perfetto (.pftrace)
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    pub timeline: Option<PathBuf>,
    /// The cell.
    #[command(flatten)]
    pub cell: Cell,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The strategies, separated by commas (`list strategies`) [default: atomic,batched,deferred-seq]
    #[arg(long, value_name = "NAMES")]
    pub strategies: Option<String>,
    /// The cell.
    #[command(flatten)]
    pub cell: Cell,
}

/// Options of `tui`.
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: ? lists them. Without a terminal: --headless FRAMES; the same cell and keys give the same bytes."
)]
pub struct Tui {
    /// The strategies, 1 to 4, separated by commas (`list strategies`) [default: batched]
    #[arg(long, visible_alias = "strategy", value_name = "NAMES")]
    pub strategies: Option<String>,
    /// What makes the cell.
    #[command(flatten)]
    pub keys_of_cell: Keys,
    /// The screen that is shown first, by the name on its tab
    #[arg(long, value_name = "NAME", default_value = "overview")]
    pub screen: String,
    /// Options of the screen, TOML [default: shootdown/tui.toml in the user's configuration directory]
    #[arg(long, value_name = "FILE")]
    pub options: Option<PathBuf>,
    /// Write this many frames as text to standard output instead of taking the terminal
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub headless: Option<u32>,
    /// Size of these frames
    #[arg(long, value_name = "COLSxROWS", default_value = "80x24", requires = "headless")]
    pub size: String,
    /// Keys before these frames: a word for each, as "space . 2 ctrl-p 'text' enter"; . is none
    #[arg(long, value_name = "WORDS", requires = "headless", allow_hyphen_values = true)]
    pub keys: Option<String>,
    /// Simulated cycles that pass before each of these frames, while it runs
    #[arg(long, value_name = "N", default_value = "1000000", requires = "headless")]
    pub frame_cycles: u64,
    /// Only the last of these frames
    #[arg(long, requires = "headless")]
    pub last: bool,
    /// The last of these frames as a picture, SVG
    #[arg(long, requires = "headless")]
    pub picture: bool,
    /// Tell at the end what the screen has cost, on standard error
    #[arg(long, conflicts_with = "headless")]
    pub timings: bool,
    /// Panic after this many frames: for the test that the terminal is given back
    #[arg(long, value_name = "FRAMES", hide = true)]
    pub panic_after: Option<usize>,
}

/// Options of `calibrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 all within 1 % of the model (2 % where the sender polls a serial bus); 1 something is not; 2 bad usage or input."
)]
pub struct Calibrate {
    /// Processor preset, or the path of a .toml file (`list cpus`) [default: all built-in ones]
    #[arg(long, value_name = "PRESET")]
    pub cpu: Option<String>,
    /// Set a key of the preset (cost.*, tlb.*, cache.*, topology.*, ...); may be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write the result to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `experiment`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 every run is sound and every check holds, whatever the verdict; 1 one is or does not; 2 bad usage or input."
)]
pub struct Experiment {
    /// Name of the experiment (`list experiments`), list, or all: every question but `validation`
    pub name: String,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
    /// Write the result to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Run fewer seeds, settings and operations
    #[arg(long)]
    pub quick: bool,
    /// Write the document with its figures into this directory as well
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

/// Options of `explore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 no seed went wrong; 1 one did, or the search was interrupted; 2 bad usage or input."
)]
pub struct Explore {
    /// The strategy (`list strategies`) [default: batched]
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// Seeds to run, from --seed on
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seeds: u64,
    /// Stop at the first seed that goes wrong
    #[arg(long)]
    pub first: bool,
    /// What makes the cell.
    #[command(flatten)]
    pub keys: Keys,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
    /// Write the result to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What to do with a sweep.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Exit status: 0 all well; 1 a cell failed, is missing or was interrupted; 2 bad usage or input."
)]
pub enum Sweep {
    /// Expand a sweep file into cells with ids; without --out they are printed
    Plan(SweepPlan),
    /// Run the cells that are not finished yet
    Run(SweepRun),
    /// Tell how far a sweep has come
    Status(SweepStatus),
    /// Write the results of all cells into one file
    Merge(SweepMerge),
    /// Hand shards to a cluster
    Submit(SweepSubmit),
}

/// Options of `sweep plan`.
#[derive(Debug, Args)]
pub struct SweepPlan {
    /// The sweep file, TOML
    pub file: PathBuf,
    /// The sweep's directory, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Give a key this one value in all cells, whatever the file says; may be given again
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Options of `sweep run`.
#[derive(Debug, Args)]
pub struct SweepRun {
    /// The sweep's directory
    pub dir: PathBuf,
    /// Only every N-th cell, beginning with the I-th, I from 1
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    pub shard: Shard,
    /// Cells at the same time [default: as many as the host has processors]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Run failed cells again
    #[arg(long)]
    pub retry_failed: bool,
}

/// Options of `sweep status`.
#[derive(Debug, Args)]
pub struct SweepStatus {
    /// The sweep's directory
    pub dir: PathBuf,
    /// How it is written
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

/// Options of `sweep merge`.
#[derive(Debug, Args)]
pub struct SweepMerge {
    /// The sweep's directory; more that hold cells of the same plan may follow
    #[arg(required = true)]
    pub dirs: Vec<PathBuf>,
    /// The file: .jsonl (a line of JSON for each cell), .csv or .parquet (a line of figures for each cell)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `sweep submit`.
#[derive(Debug, Args)]
pub struct SweepSubmit {
    /// The sweep's directory
    pub dir: PathBuf,
    /// Who runs the shards
    #[arg(long, value_enum)]
    pub engine: Engine,
    /// Number of shards
    #[arg(long, value_name = "N", default_value = "4")]
    pub shards: NonZeroUsize,
    /// Cells at the same time in each shard
    #[arg(long, value_name = "N", default_value = "1")]
    pub jobs: NonZeroUsize,
    /// Where the merged results go [default: DIR/merged.jsonl]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The program as the shards find it [default: this one]
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
}

/// What to export.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Latency histograms, seeds merged: .hgrm and .csv of each, all of them in one .hlog
    Histograms(ExportHistograms),
    /// Median and 95 % interval over the seeds, for each group of cells
    Table(ExportTable),
    /// Figure: a metric over a key of the sweep
    Curve(ExportCurve),
    /// Figure: how long a latency is, as the share of values that are at most so long
    Cdf(ExportCdf),
    /// Figure: a metric of each strategy over that of one of them, on equal seeds
    Bars(ExportBars),
    /// Figure: cycles per operation, stacked by what the processors were doing
    Ledger(ExportLedger),
}

/// Results that are exported.
#[derive(Debug, Args)]
pub struct Source {
    /// The .jsonl of `sweep merge`, or the JSON of `run` or `compare`
    pub results: PathBuf,
    /// Only cells whose key has one of these values; may be given again
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub only: Vec<String>,
}

/// Options of every figure.
#[derive(Debug, Args)]
pub struct Figure {
    /// The results.
    #[command(flatten)]
    pub source: Source,
    /// A file (.svg, .tex for pgfplots, .dat for gnuplot), or a directory for all three, made if it is not there
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
}

/// Options of `export histograms`.
#[derive(Debug, Args)]
pub struct ExportHistograms {
    /// The results.
    #[command(flatten)]
    pub source: Source,
    /// The directory for the files, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Options of `export table`.
#[derive(Debug, Args)]
pub struct ExportTable {
    /// The results.
    #[command(flatten)]
    pub source: Source,
    /// A metric by its name in CSV, or A/B of two [default: cycles per operation and latencies]; may be given again
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// The file: .tex (booktabs) or .csv
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `export curve`.
#[derive(Debug, Args)]
pub struct ExportCurve {
    /// The key on the x axis
    #[arg(long, value_name = "KEY")]
    pub x: String,
    /// The metric on the y axis, by its name in CSV, or A/B of two
    #[arg(long, value_name = "METRIC", default_value = "cycles_per_op")]
    pub y: String,
    /// What and where to.
    #[command(flatten)]
    pub figure: Figure,
}

/// Options of `export cdf`.
#[derive(Debug, Args)]
pub struct ExportCdf {
    /// The latency: of kmap, of a flush for its initiator or its targets, or how long stale entries lived
    #[arg(long, value_name = "NAME", default_value = "kmap", value_parser = LATENCIES.map(|(name, _)| name))]
    pub latency: String,
    /// What and where to.
    #[command(flatten)]
    pub figure: Figure,
}

/// Options of `export bars`.
#[derive(Debug, Args)]
pub struct ExportBars {
    /// The metric, by its name in CSV, or A/B of two
    #[arg(long, value_name = "METRIC", default_value = "cycles_per_op")]
    pub y: String,
    /// The key whose values stand side by side
    #[arg(long, value_name = "KEY", default_value = "strategy")]
    pub by: String,
    /// The value of that key that everything is divided by [default: the first]
    #[arg(long, value_name = "VALUE")]
    pub base: Option<String>,
    /// What and where to.
    #[command(flatten)]
    pub figure: Figure,
}

/// Options of `export ledger`.
#[derive(Debug, Args)]
pub struct ExportLedger {
    /// What and where to.
    #[command(flatten)]
    pub figure: Figure,
}

/// Who runs shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A job array of Slurm, and a job that merges when it has ended well
    Slurm,
    /// GNU parallel on this host, then the merge
    Parallel,
    /// Print the commands and submit nothing
    Print,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Which list
    pub what: Listing,
    /// How it is written
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Text,
    /// One JSON document, enough to repeat the run
    Json,
    /// One line for each figure
    Csv,
}

/// How lists are written, and what is no table of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    Text,
    /// JSON
    Json,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// Processor presets
    Cpus,
    /// Mapping strategies and planted faults
    Strategies,
    /// Schemes of user TLB shootdown (`--set shootdown=NAME`)
    Shootdowns,
    /// Ways to reach page tables (`--set pte=NAME`)
    Pte,
    /// Loads and their keys
    Workloads,
    /// Questions that are answered by experiment
    Experiments,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
