//! `sweep`: plan, run, tell, merge and submit thousands of cells.

use crate::cli::{self, Engine, ListFormat};
use crate::interrupt;
use crate::output::{Sink, Status, message};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use shootdown_workloads::sweep::file::Study;
use shootdown_workloads::sweep::merge::{Shape, Sources};
use shootdown_workloads::sweep::plan::{Plan, Planned, text_of};
use shootdown_workloads::sweep::run::{Again, Progress, run_shard, status};
use shootdown_workloads::sweep::store::Store;
use shootdown_workloads::sweep::submit::Submission;
use shootdown_workloads::sweep::whole;
use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The command.
pub fn run(what: &cli::Sweep) -> Result<Status> {
    match what {
        cli::Sweep::Plan(options) => plan(options),
        cli::Sweep::Run(options) => cells(options),
        cli::Sweep::Status(options) => tell(options),
        cli::Sweep::Merge(options) => merge(options),
        cli::Sweep::Submit(options) => submit(options),
    }
}

fn plan(options: &cli::SweepPlan) -> Result<Status> {
    let mut study = Study::read(&options.file)?;
    for word in &options.set {
        let Some((key, value)) = word.split_once('=') else {
            bail!("--set: '{word}' has no '='; accepted is key=value");
        };
        study.pin(key, value);
    }
    let plan = Plan::new(&options.file, &study)?;
    match &options.out {
        Some(dir) => {
            plan.write(dir)?;
            message(&format!("{}: {} cells planned", dir.display(), plan.cells.len()));
        }
        None => {
            let mut text = String::new();
            for cell in &plan.cells {
                text.push_str(&format!("{} {}\n", cell.id, text_of(&cell.set)));
            }
            Sink::Stdout.write(&text)?;
            message(&format!("{} cells", plan.cells.len()));
        }
    }
    Ok(Status::Sound)
}

fn cells(options: &cli::SweepRun) -> Result<Status> {
    let plan = Plan::read(&options.dir)?;
    let store = Store::new(&options.dir);
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(jobs) = options.jobs {
        pool = pool.num_threads(jobs.get());
    }
    let pool = pool.build().context("cannot start the host's threads")?;
    let total = options.shard.cells(&plan).count();
    let before = status(&plan, &store)?;
    let again = if options.retry_failed { Again::Failed } else { Again::Nothing };
    let interrupt = interrupt::flag();
    let shown = Shown::new(total, pool.current_num_threads(), before.missing);
    let ran = pool.install(|| run_shard(&plan, &store, options.shard, again, &shown, &interrupt));
    shown.finish();
    let ran = ran?;
    message(&format!(
        "shard {}: {} cells run, {} failed, {} finished before, {} left",
        options.shard, ran.done, ran.failed, ran.skipped, ran.left
    ));
    Ok(if ran.failed + ran.left > 0 { Status::Wrong } else { Status::Sound })
}

/// Progress on standard error: a bar on a terminal, else a line for each failure and now and then one for the rest.
struct Shown {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
}

struct Plain {
    total: usize,
    ended: usize,
    failed: usize,
    said: Instant,
}

/// Least time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

impl Shown {
    fn new(total: usize, threads: usize, missing: usize) -> Shown {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(missing.min(total) as u64);
            let template = "{bar:30} {pos}/{len} cells, {msg}, {elapsed} gone, about {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(format!("{threads} running, 0 failed"));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let plain = Plain { total: missing.min(total), ended: 0, failed: 0, said: Instant::now() };
        Shown { bar, plain: Mutex::new(plain) }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

impl Progress for Shown {
    fn ended(&self, planned: &Planned, problem: Option<&str>) {
        let Ok(mut plain) = self.plain.lock() else { return };
        plain.ended += 1;
        plain.failed += usize::from(problem.is_some());
        let line = problem.map(|p| format!("cell {} ({}) failed: {p}", planned.id, text_of(&planned.set)));
        if let Some(bar) = &self.bar {
            if let Some(line) = line {
                bar.println(line);
            }
            let threads = rayon::current_num_threads();
            bar.set_message(format!("{threads} running, {} failed", plain.failed));
            bar.inc(1);
            return;
        }
        if let Some(line) = line {
            message(&line);
        }
        if plain.said.elapsed() >= PLAIN_EVERY {
            plain.said = Instant::now();
            message(&format!("{} of {} cells, {} failed", plain.ended, plain.total, plain.failed));
        }
    }
}

fn tell(options: &cli::SweepStatus) -> Result<Status> {
    let plan = Plan::read(&options.dir)?;
    let status = status(&plan, &Store::new(&options.dir))?;
    let text = match options.format {
        ListFormat::Text => {
            let mut text = format!(
                "{}: {} cells, {} done, {} failed, {} missing\n",
                plan.head.name,
                status.cells,
                status.done,
                status.failed.len(),
                status.missing
            );
            status.failed.iter().for_each(|id| text.push_str(&format!("failed: {id}\n")));
            status.foreign.iter().for_each(|path| text.push_str(&format!("foreign: {path}\n")));
            text
        }
        ListFormat::Json => {
            let value = serde_json::json!({
                "name": plan.head.name, "cells": status.cells, "done": status.done, "failed": status.failed,
                "missing": status.missing, "foreign": status.foreign,
            });
            serde_json::to_string_pretty(&value)? + "\n"
        }
    };
    Sink::Stdout.write(&text)?;
    let well = status.missing == 0 && status.failed.is_empty() && status.foreign.is_empty();
    Ok(if well { Status::Sound } else { Status::Wrong })
}

fn merge(options: &cli::SweepMerge) -> Result<Status> {
    let shape = match options.out.extension().and_then(|e| e.to_str()) {
        Some("jsonl") => Shape::JsonLines,
        Some("csv") => Shape::Csv,
        #[cfg(feature = "parquet")]
        Some("parquet") => Shape::Parquet,
        #[cfg(not(feature = "parquet"))]
        Some("parquet") => bail!(
            "{}: this program is built without Parquet; `cargo build --release --features parquet` makes one with it",
            options.out.display()
        ),
        _ => bail!("{}: accepted are names that end in .jsonl, .csv or .parquet", options.out.display()),
    };
    let plan = Plan::read(&options.dirs[0])?;
    for dir in &options.dirs[1..] {
        if Plan::read(dir)?.cells != plan.cells {
            bail!("{}: another plan than that of {}", dir.display(), options.dirs[0].display());
        }
    }
    let stores = options.dirs.iter().map(|dir| Store::new(dir)).collect();
    let sources = Sources::new(&plan, stores)?;
    let merged = whole::write(&options.out, |out| sources.write(shape, out))
        .with_context(|| options.out.display().to_string())?;
    message(&format!("{}: {} cells, {} of them failed", options.out.display(), merged.cells, merged.failed));
    Ok(Status::Sound)
}

fn submit(options: &cli::SweepSubmit) -> Result<Status> {
    let plan = Plan::read(&options.dir)?;
    let dir = std::path::absolute(&options.dir)?;
    let out = match &options.out {
        Some(out) => std::path::absolute(out)?,
        None => dir.join("merged.jsonl"),
    };
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("cannot find this program's own file")?,
    };
    let shards = options.shards.get().min(plan.cells.len());
    let submission = Submission { program: &program, dir: &dir, shards, out: &out, jobs: options.jobs.get() };
    match options.engine {
        Engine::Print => {
            Sink::Stdout.write(&(submission.commands().join("\n") + "\n"))?;
            Ok(Status::Sound)
        }
        Engine::Slurm => slurm(&submission),
        Engine::Parallel => parallel(&submission),
    }
}

/// Writes both scripts and submits them; the merge waits for the array.
fn slurm(submission: &Submission<'_>) -> Result<Status> {
    let write = |name: &str, text: String| -> Result<_> {
        let path = submission.dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    let array = write("array.sbatch", submission.slurm_array())?;
    let merge = write("merge.sbatch", submission.slurm_merge())?;
    let job = sbatch(Command::new("sbatch").arg("--parsable").arg(&array))?;
    let after = format!("--dependency=afterok:{job}");
    let last =
        sbatch(Command::new("sbatch").args(["--parsable", &after, "--kill-on-invalid-dep=yes"]).arg(&merge))?;
    message(&format!("array {job} of {} shards, merge {last} after it", submission.shards));
    Ok(Status::Sound)
}

/// The number of a job that was submitted.
fn sbatch(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().context("cannot start sbatch (Slurm)")?;
    if !done.status.success() {
        bail!("sbatch: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    let text = String::from_utf8_lossy(&done.stdout);
    // With several clusters: number;cluster.
    Ok(text.trim().split(';').next().unwrap_or_default().to_owned())
}

/// Runs all shards under GNU parallel, then the merge.
fn parallel(submission: &Submission<'_>) -> Result<Status> {
    let mut commands = submission.commands();
    let merge = commands.pop().unwrap_or_default();
    let mut child = Command::new("parallel")
        .args(["--halt", "never"])
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start parallel (GNU parallel)")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all((commands.join("\n") + "\n").as_bytes())?;
    }
    let shards = child.wait()?;
    // What parallel says is not trusted: the merge looks.
    if !shards.success() {
        message("parallel: not every shard ended well");
    }
    let merged = Command::new("sh").args(["-c", &merge]).status().context("cannot start sh")?;
    Ok(if shards.success() && merged.success() { Status::Sound } else { Status::Wrong })
}
