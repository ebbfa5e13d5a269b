//! `cargo xtask qemu`: the same images on several machines have to compute the same.
//!
//! Every load runs under every strategy that is something else to it with 1, 2 and 4 processors, on QEMU, on
//! Bochs when asked for, and on shootdown when it is built (there with 16 and
//! 64 processors too), and one load on the twenty kernels of a matrix. A checksum depends on the load's arguments alone, so
//! all runs of a load have to print the same one, count the same operations
//! and find no error.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::loads::{LOADS, MEM, NORMAL};
use crate::machine::{self, Boot, Outcome, Serial};
use crate::{bochs, paths, qemu};

/// All strategies but `none`, which is wrong by design, and `ideal`, which needs a machine that does not exist.
const STRATEGIES: &[&str] = &[
    "lowmem",
    "atomic",
    "atomic-stack",
    "copy-clear",
    "percpu-pool",
    "task-window",
    "shared-invlpg",
    "batched",
    "batched-range",
    "deferred-seq",
    "deferred-local",
];

/// Loads of user memory, which use no files: they run under those strategies alone to which threads and address spaces
/// are something else than tasks.
const USER_LOADS: &[&str] =
    &["fault-zero", "munmap", "mremap", "shm-many", "shm-calls", "peek", "swap", "mapped-file"];
const USER_STRATEGIES: &[&str] = &["lowmem", "task-window", "copy-clear", "batched"];

/// The strategies that a load runs under.
fn strategies(load: &str) -> &'static [&'static str] {
    if USER_LOADS.contains(&load) { USER_STRATEGIES } else { STRATEGIES }
}

/// The load whose threads shoot translations down: under this strategy it runs with each of [`SHOOTDOWNS`].
const SHOOTDOWN_LOAD: (&str, &str) = ("munmap", "batched");
const SHOOTDOWNS: &[&str] = &["ipi-sync", "ipi-broadcast", "early-ack", "concurrent", "lazy", "tlb-gen"];

/// The values of `shootdown=` that a load runs with; the first is the kernel's default.
fn shootdowns(load: &str, strategy: &str) -> &'static [&'static str] {
    if (load, strategy) == SHOOTDOWN_LOAD { SHOOTDOWNS } else { &SHOOTDOWNS[..1] }
}

/// The load and the strategy that also run on each of [`kernels`].
const KERNEL_LOAD: (&str, &str) = ("mixed", "batched");

/// A way to configure the kernel: its words, and the processors of machines that it is tried on; empty: all.
#[derive(Clone)]
struct Kernel {
    words: String,
    cpus: &'static [u32],
}

/// The kernels that a load runs on: the usual one, and for one load those of Molnar's matrix (`experiment config-matrix`).
/// Without high memory NORMAL ends where RAM does.
fn kernels(load: &str, strategy: &str) -> Vec<Kernel> {
    let mut all = vec![Kernel { words: String::new(), cpus: &[] }];
    if (load, strategy) != KERNEL_LOAD {
        return all;
    }
    for (smp, cpus) in [("off", &[1][..]), ("on", &[4])] {
        for preempt in ["off", "on"] {
            for memory in [
                "highmem=off normal=512M",
                "highmem=4g",
                "highmem=4g pte=atomic",
                "highmem=64g",
                "highmem=64g pte=atomic",
            ] {
                all.push(Kernel { words: format!("smp={smp} preempt={preempt} {memory}"), cpus });
            }
        }
    }
    all
}

/// Further words for a load: a swap device that leaves less memory than its tasks have, 624 frames of HIGHMEM. Of low memory
/// it can be cut off the end only, which leaves enough.
fn swap_words(load: &str, strategy: &str) -> &'static str {
    match (load, strategy) {
        ("swap", "lowmem") => "swap=3500",
        ("swap", _) => "swap=23952",
        _ => "",
    }
}

/// Numbers of processors, everywhere and on shootdown.
const CPUS: &[u32] = &[1, 2, 4];
const SHOOTDOWN_CPUS: &[u32] = &[1, 2, 4, 16, 64];

/// The default preset has so many processors at most; more take the other.
const DEFAULT_PRESET_CPUS: u32 = 15;
const BIG_PRESET: &str = "haswell-ep";

/// Exit status for `exit::OK`.
const STATUS_OK: i32 = 33;

/// What to run.
pub struct Plan {
    /// Directory with `kernel.elf` and `guest.elf`.
    pub images: PathBuf,
    /// Bochs as well?
    pub bochs: bool,
    /// The binary `shootdown`; nothing: where cargo puts it, if it is there.
    pub shootdown: Option<PathBuf>,
    /// Only these loads, strategies and numbers of processors; empty: all.
    pub loads: Vec<String>,
    pub strategies: Vec<String>,
    pub cpus: Vec<u32>,
    /// Further words for the kernel.
    pub append: String,
}

enum Machine {
    Shootdown(PathBuf),
    Qemu,
    Bochs,
}

impl Machine {
    fn name(&self) -> &'static str {
        match self {
            Machine::Shootdown(_) => "shootdown",
            Machine::Qemu => "qemu",
            Machine::Bochs => "bochs",
        }
    }

    fn cpus(&self) -> &'static [u32] {
        match self {
            Machine::Shootdown(_) => SHOOTDOWN_CPUS,
            Machine::Qemu | Machine::Bochs => CPUS,
        }
    }

    fn run(&self, boot: &Boot) -> Result<Outcome> {
        match self {
            Machine::Shootdown(program) => run_shootdown(program, boot),
            Machine::Qemu => qemu::run(boot),
            Machine::Bochs => bochs::run(boot, tempfile::tempdir()?.path()),
        }
    }
}

/// What a run has to print in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    checksum: String,
    operations: String,
}

/// One boot of the list.
struct Run<'a> {
    machine: &'a Machine,
    load: &'static str,
    arguments: &'static str,
    strategy: &'static str,
    shootdown: &'static str,
    kernel: Kernel,
    cpus: u32,
}

impl Run<'_> {
    fn name(&self) -> String {
        let Run { load, strategy, shootdown, cpus, .. } = self;
        let (machine, words) = (self.machine.name(), &self.kernel.words);
        format!("{load:<14} {strategy:<14} {shootdown:<13} {cpus:>2} cpus {machine} {words}")
    }

    fn boot(&self, plan: &Plan) -> Boot {
        let Run { load, arguments, strategy, shootdown, .. } = self;
        let guest = plan.images.join("guest.elf");
        let (swap, kernel, further) = (swap_words(load, strategy), &self.kernel.words, &plan.append);
        let append = format!("kmap={strategy} shootdown={shootdown} {NORMAL} {swap} {kernel} {further}");
        Boot {
            kernel: plan.images.join("kernel.elf"),
            modules: vec![format!("{} {load} {arguments}", guest.display())],
            append: append.trim_end().to_owned(),
            cpus: self.cpus,
            mem: MEM,
            limit: Duration::from_secs(300),
        }
    }

    fn verdict(&self, plan: &Plan) -> Result<Verdict> {
        judge(&self.machine.run(&self.boot(plan))?, self.load, self.strategy)
    }
}

/// Runs the plan; fails when a run does.
pub fn run(plan: &Plan) -> Result<()> {
    let machines = machines(plan)?;
    let runs = list(plan, &machines);
    let mut passed = 0;
    let mut failed = 0;
    // The first good run of a load says what the others have to print.
    let mut expected = BTreeMap::new();
    on_all_processors(plan, &runs, |run, verdict| {
        let name = run.name();
        match verdict.and_then(|verdict| compare(expected.entry(run.load).or_default(), verdict, &name)) {
            Ok(verdict) => {
                passed += 1;
                println!("ok     {name:<56} {} {}", verdict.checksum, verdict.operations);
            }
            Err(error) => {
                failed += 1;
                println!("FAILED {name:<56} {error:#}");
            }
        }
    });
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} runs differ");
    }
    Ok(())
}

/// What the plan asks for, load by load.
fn list<'a>(plan: &Plan, machines: &'a [Machine]) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for &(load, arguments) in LOADS.iter().filter(|load| wanted(&plan.loads, load.0)) {
        for &strategy in strategies(load).iter().filter(|strategy| wanted(&plan.strategies, strategy)) {
            for &shootdown in shootdowns(load, strategy) {
                for kernel in kernels(load, strategy) {
                    let tried = |list: &[u32], cpus: &u32| list.is_empty() || list.contains(cpus);
                    for &cpus in SHOOTDOWN_CPUS {
                        if !tried(&plan.cpus, &cpus) || !tried(kernel.cpus, &cpus) {
                            continue;
                        }
                        let able = machines.iter().filter(|machine| machine.cpus().contains(&cpus));
                        let kernel = &kernel;
                        runs.extend(able.map(|machine| Run {
                            machine,
                            load,
                            arguments,
                            strategy,
                            shootdown,
                            kernel: kernel.clone(),
                            cpus,
                        }));
                    }
                }
            }
        }
    }
    runs
}

/// Runs all, and gives each verdict in the order of the list. shootdown takes one processor of the host, so as many run
/// at once; the others take one for each that they emulate, so of theirs one runs at a time.
fn on_all_processors(plan: &Plan, runs: &[Run], mut report: impl FnMut(&Run, Result<Verdict>)) {
    type Queue = Mutex<std::vec::IntoIter<usize>>;
    let is_ours = |&n: &usize| matches!(runs[n].machine, Machine::Shootdown(_));
    let (ours, others): (Vec<_>, Vec<_>) = (0..runs.len()).partition(is_ours);
    let (ours, others) = (Queue::new(ours.into_iter()), Queue::new(others.into_iter()));
    let take = |queue: &Queue| queue.lock().ok()?.next();
    let (sender, verdicts) = mpsc::channel();
    thread::scope(|scope| {
        for worker in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let (ours, others, sender) = (&ours, &others, sender.clone());
            scope.spawn(move || {
                // The first worker has the other machines to itself, and helps when they are through.
                let next = || if worker == 0 { take(others).or_else(|| take(ours)) } else { take(ours) };
                while let Some(n) = next() {
                    if sender.send((n, runs[n].verdict(plan))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (n, verdict) in verdicts {
            early.insert(n, verdict);
            while let Some(verdict) = early.remove(&next) {
                report(&runs[next], verdict);
                next += 1;
            }
        }
    });
}

fn wanted(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|entry| entry == name)
}

/// The machines of the plan, shootdown first; says aloud which are left out.
fn machines(plan: &Plan) -> Result<Vec<Machine>> {
    for (what, list, known) in [
        ("workload", &plan.loads, LOADS.iter().map(|l| l.0).collect()),
        ("strategy", &plan.strategies, STRATEGIES.to_vec()),
    ] {
        if let Some(name) = list.iter().find(|name| !known.contains(&name.as_str())) {
            bail!("no {what} `{name}` here: one of {}", known.join(", "));
        }
    }
    let mut machines = Vec::new();
    let built = paths::program(&paths::root());
    match &plan.shootdown {
        Some(path) if path.is_file() => machines.push(Machine::Shootdown(path.clone())),
        Some(path) => bail!("no program {}", path.display()),
        None if built.is_file() => machines.push(Machine::Shootdown(built)),
        None => eprintln!("shootdown: left out, not built (cargo build --release)"),
    }
    if machine::installed(qemu::PROGRAM) {
        machines.push(Machine::Qemu);
    } else {
        eprintln!("qemu: left out, {} is not installed", qemu::PROGRAM);
    }
    if plan.bochs {
        if machine::installed(bochs::PROGRAM) {
            machines.push(Machine::Bochs);
        } else {
            eprintln!("bochs: left out, {} is not installed", bochs::PROGRAM);
        }
    }
    Ok(machines)
}

/// Reads the two closing lines of the kernel.
fn judge(outcome: &Outcome, load: &str, strategy: &str) -> Result<Verdict> {
    let text = outcome.serial.text();
    let said = text.trim();
    if let Some(status) = outcome.status
        && status != STATUS_OK
    {
        bail!("exit status {status} instead of {STATUS_OK}; it printed: {said}");
    }
    let mut checksums = text.lines().filter_map(|line| line.strip_prefix("checksum "));
    let (Some(line), None) = (checksums.next(), checksums.next()) else {
        bail!("not exactly one checksum; it printed: {said}");
    };
    let words: Vec<_> = line.split_whitespace().collect();
    let [its_load, its_strategy, checksum] = words[..] else {
        bail!("`checksum {line}` has not three words");
    };
    if (its_load, its_strategy) != (load, strategy) {
        bail!("it ran {its_load} under {its_strategy}");
    }
    let Some(operations) = text.lines().find(|line| line.starts_with("operations ")) else {
        bail!("no line of operations; it printed: {said}");
    };
    if !operations.ends_with(" errors 0") {
        bail!("{operations}");
    }
    Ok(Verdict { checksum: checksum.to_owned(), operations: operations.to_owned() })
}

/// Holds a verdict against the first one of the load.
fn compare(expected: &mut Option<(Verdict, String)>, verdict: Verdict, name: &str) -> Result<Verdict> {
    match expected {
        Some((first, _)) if *first == verdict => {}
        Some((first, by)) => bail!(
            "{} {}, but {} {} by {}",
            verdict.checksum,
            verdict.operations,
            first.checksum,
            first.operations,
            by.split_whitespace().collect::<Vec<_>>().join(" ")
        ),
        None => *expected = Some((verdict.clone(), name.to_owned())),
    }
    Ok(verdict)
}

/// `shootdown boot`: serial port on standard output, exit status as QEMU's.
pub fn run_shootdown(program: &Path, boot: &Boot) -> Result<Outcome> {
    boot.check_files()?;
    let mut command = Command::new(program);
    command.arg("boot").arg(&boot.kernel);
    for module in &boot.modules {
        command.args(["--module", module]);
    }
    if boot.cpus > DEFAULT_PRESET_CPUS {
        command.args(["--cpu", BIG_PRESET]);
    }
    let mut child = command
        .args(["--append", &boot.append])
        .args(["--cpus", &boot.cpus.to_string()])
        .args(["--mem", &format!("{}M", boot.mem)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let serial = Serial::default();
    let reader = child.stdout.take().map(|out| serial.follow(out));
    let ended = machine::wait(&mut child, boot.limit, || false);
    if let Some(reader) = reader {
        let _ = reader.join();
    }
    let status = ended.with_context(|| format!("on shootdown, after it printed:\n{}", serial.text()))?;
    Ok(Outcome { status: status.and_then(|status| status.code()), serial })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: i32, text: &'static str) -> Outcome {
        let serial = Serial::default();
        serial.follow(text.as_bytes()).join().unwrap();
        Outcome { serial, status: Some(status) }
    }

    const GOOD: &str = "hello\r\nchecksum fork-cow atomic 0x00000001\r\noperations 7 errors 0\r\n";

    #[test]
    fn good_runs_pass() {
        let verdict = judge(&outcome(33, GOOD), "fork-cow", "atomic").unwrap();
        assert_eq!(verdict.checksum, "0x00000001");
        assert_eq!(verdict.operations, "operations 7 errors 0");
    }

    #[test]
    fn bad_runs_fail() {
        assert!(judge(&outcome(35, GOOD), "fork-cow", "atomic").is_err());
        assert!(judge(&outcome(33, GOOD), "fork-cow", "batched").is_err());
        assert!(judge(&outcome(33, GOOD), "kmap-storm", "atomic").is_err());
        assert!(judge(&outcome(33, "operations 7 errors 0\n"), "fork-cow", "atomic").is_err());
        let errors = "checksum fork-cow atomic 0x1\noperations 7 errors 2\n";
        assert!(judge(&outcome(33, errors), "fork-cow", "atomic").is_err());
    }

    #[test]
    fn all_runs_of_a_load_are_held_against_the_first() {
        let verdict = |checksum: &str| Verdict {
            checksum: checksum.to_owned(),
            operations: "operations 1 errors 0".to_owned(),
        };
        let mut expected = None;
        compare(&mut expected, verdict("0x1"), "a").unwrap();
        compare(&mut expected, verdict("0x1"), "b").unwrap();
        let message = compare(&mut expected, verdict("0x2"), "c").unwrap_err();
        assert!(message.to_string().contains("by a"), "{message}");
    }
}
