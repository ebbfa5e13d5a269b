//! Sweeps on this host: throughput with one thread, with two, and with two processes that share nothing, in turns; memory of a
//! running cell; how planning, listing and merging grow with the number of cells.
//!
//! `cargo bench -p shootdown-benches --bench sweep` on a machine that does nothing else; `-- --quick` shows that it runs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use shootdown_workloads::statistics::median;
use shootdown_workloads::sweep::file::Study;
use shootdown_workloads::sweep::merge::{Shape, Sources};
use shootdown_workloads::sweep::plan::{Plan, Planned};
use shootdown_workloads::sweep::run::{Again, Progress, Shard, run_shard, status};
use shootdown_workloads::sweep::store::{Finished, Store};
use shootdown_workloads::sweep::whole;

/// On a disk, unlike the usual place for temporary files on some hosts.
const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

struct Silent;

impl Progress for Silent {
    fn ended(&self, planned: &Planned, problem: Option<&str>) {
        assert!(problem.is_none(), "cell {} failed: {problem:?}", planned.id);
    }
}

fn plan(text: &str) -> Plan {
    let path = Path::new("bench.toml");
    let study = Study::parse(path, text).unwrap_or_else(|e| panic!("{e}"));
    Plan::new(path, &study).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs the cells of a shard into a new directory; seconds.
fn run(plan: &Plan, threads: usize, shard: Shard) -> f64 {
    let dir = tempfile::tempdir_in(TEMPORARY).expect("a directory on the build's disk");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let (store, never) = (Store::new(dir.path()), Arc::new(AtomicBool::new(false)));
    let start = Instant::now();
    let ran = pool.install(|| run_shard(plan, &store, shard, Again::Nothing, &Silent, &never));
    let done = ran.unwrap_or_else(|e| panic!("{e}")).done;
    assert_eq!(done, shard.cells(plan).count());
    start.elapsed().as_secs_f64()
}

/// Most memory that was resident since the last call, in MiB, on Linux; and what is resident now.
fn memory() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    };
    let peak = (of("VmHWM:")?, of("VmRSS:")?);
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    Some(peak)
}

/// A third of a round: how the cells of a plan are run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By one thread.
    One,
    /// By two.
    Two,
    /// By two processes of one thread each, which share nothing: what this host's processors can do.
    Apart,
}

impl Way {
    /// Seconds that `plan` takes.
    fn run(self, plan: &Plan, size: Size) -> f64 {
        match self {
            Way::One => run(plan, 1, Shard::WHOLE),
            Way::Two => run(plan, 2, Shard::WHOLE),
            Way::Apart => {
                let program = std::env::current_exe().expect("this program");
                let start = Instant::now();
                let started = [1, 2].map(|shard| {
                    let arguments = ["--half".to_string(), shard.to_string(), size.name().to_string()];
                    Command::new(&program).args(arguments).spawn().expect("a second process")
                });
                for mut child in started {
                    assert!(child.wait().expect("its end").success(), "a process failed");
                }
                start.elapsed().as_secs_f64()
            }
        }
    }
}

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Quick,
    Whole,
}

impl Size {
    fn name(self) -> &'static str {
        match self {
            Size::Quick => "quick",
            Size::Whole => "whole",
        }
    }

    fn rounds(self) -> usize {
        match self {
            Size::Quick => 1,
            Size::Whole => 15,
        }
    }

    /// Many short cells, so that the time in which one thread waits for the other's last cell is little.
    fn plan(self) -> Plan {
        let (cells, ops) = match self {
            Size::Quick => (4, 20),
            Size::Whole => (24, 100),
        };
        plan(&format!(
            "repeats = {cells}\n[set]\nops = {ops}\npages = 64\nstrategy = \"batched\"\ncpus = 4\n"
        ))
    }
}

/// What `--half SHARD SIZE` does: one of the processes of [`Way::Apart`].
fn half(shard: &str, size: Size) {
    let shard = format!("{shard}/2").parse().unwrap_or_else(|e| panic!("{e}"));
    run(&size.plan(), 1, shard);
}

/// Memory of cells of the usual size.
fn resident() {
    let plan = plan("repeats = 4\n[set]\nops = 20\nstrategy = \"batched\"\ncpus = 4\n");
    let peaks = [1, 2].map(|threads| {
        let _ = memory();
        run(&plan, threads, Shard::WHOLE);
        memory()
    });
    if let [Some((one, _)), Some((two, _))] = peaks {
        println!("peak memory: {one:.0} MiB, {two:.0} MiB, so {:.0} MiB for one more cell", two - one);
    }
}

/// Short rounds and many: the host's other work lasts longer than one, and moves the median little.
fn throughput(size: Size) {
    let plan = size.plan();
    let cells = plan.cells.len() as f64;
    println!("{:>8} {:>8} {:>8}   cells/s {:>8} {:>8}", "1 thread", "2", "apart", "2 to 1", "to apart");
    let (mut scaling, mut kept, mut able) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..size.rounds() {
        // Who goes first changes from round to round: what the host does meanwhile favours nobody.
        let mut turns = [Way::One, Way::Two, Way::Apart];
        turns.rotate_left(round % 3);
        let seconds = turns.map(|way| (way, way.run(&plan, size)));
        let of = |way| seconds.iter().find(|(w, _)| *w == way).map_or(f64::NAN, |(_, s)| *s);
        let (one, two, apart) = (of(Way::One), of(Way::Two), of(Way::Apart));
        scaling.push(one / two);
        kept.push(apart / two);
        able.push(one / apart);
        let [a, b, c] = [one, two, apart].map(|s| cells / s);
        println!("{a:>8.2} {b:>8.2} {c:>8.2}           {:>8.3} {:>8.3}", one / two, apart / two);
    }
    let of = |ratios: &[f64]| median(ratios).unwrap_or(f64::NAN);
    println!(
        "medians of {} rounds: two threads to one {:.3}, two processes to one {:.3}, threads to processes {:.3}",
        size.rounds(),
        of(&scaling),
        of(&able),
        of(&kept)
    );
}

/// Finished cells without running each: the result of one under the names of all.
fn growth(sizes: &[usize]) {
    let one = plan("[set]\nops = 20\nwarmup = 5\ncpus = 2\nseed = 0\n");
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::new(dir.path());
    let never = Arc::new(AtomicBool::new(false));
    run_shard(&one, &store, Shard::WHOLE, Again::Nothing, &Silent, &never).unwrap_or_else(|e| panic!("{e}"));
    let (_, finished) = store.read(&one.cells[0], true).unwrap_or_else(|e| panic!("{e}"));
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>9}   seconds",
        "cells", "plan", "status", ".jsonl", ".csv", "us/cell"
    );
    for &cells in sizes {
        let dir = tempfile::tempdir_in(TEMPORARY).expect("a directory");
        let begin = Instant::now();
        let plan = plan(&format!(
            "[set]\nops = 20\nwarmup = 5\ncpus = 2\n[vary]\nseed = {{ from = 1, to = {cells} }}\n"
        ));
        plan.write(dir.path()).unwrap_or_else(|e| panic!("{e}"));
        let planned = begin.elapsed().as_secs_f64();
        let store = Store::new(dir.path());
        store.prepare().unwrap_or_else(|e| panic!("{e}"));
        for Planned { id, set } in &plan.cells {
            let cell = Finished { id: id.clone(), set: set.clone(), ..finished.clone() };
            std::fs::write(store.path(id, true), cell.text().expect("JSON")).expect("room on the disk");
        }
        let timed = |work: &mut dyn FnMut()| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_secs_f64()
        };
        let listed = timed(&mut || {
            let plan = Plan::read(dir.path()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(status(&plan, &store).unwrap_or_else(|e| panic!("{e}")).done, cells);
        });
        let merged = [(Shape::JsonLines, "all.jsonl"), (Shape::Csv, "all.csv")].map(|(shape, name)| {
            timed(&mut || {
                let sources = Sources::new(&plan, vec![store.clone()]).unwrap_or_else(|e| panic!("{e}"));
                let out = dir.path().join(name);
                let done =
                    whole::write(&out, |out| sources.write(shape, out)).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(done.cells, cells);
            })
        });
        println!(
            "{cells:>8} {planned:>9.3} {listed:>9.3} {:>9.3} {:>9.3} {:>9.1}",
            merged[0],
            merged[1],
            1e6 * merged[0] / cells as f64
        );
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let size = if words.iter().any(|w| w.contains("quick")) { Size::Quick } else { Size::Whole };
    if let Some(at) = words.iter().position(|w| w == "--half") {
        return half(&words[at + 1], size);
    }
    // First: later the allocator keeps what runs had.
    resident();
    throughput(size);
    growth(if size == Size::Quick { &[100, 1000] } else { &[1000, 10_000, 100_000] });
}
