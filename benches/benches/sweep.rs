//! Sweeps on this host: throughput with one thread and with two, in turns; memory of a running cell; how planning, listing
//! and merging grow with the number of cells.
//!
//! `cargo bench -p shootdown-benches --bench sweep` on a machine that does nothing else; `-- --quick` shows that it runs.

use std::path::Path;
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

/// Runs all cells into a new directory; seconds.
fn run(plan: &Plan, threads: usize) -> f64 {
    let dir = tempfile::tempdir_in(TEMPORARY).expect("a directory on the build's disk");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let (store, never) = (Store::new(dir.path()), Arc::new(AtomicBool::new(false)));
    let start = Instant::now();
    let ran = pool.install(|| run_shard(plan, &store, Shard::WHOLE, Again::Nothing, &Silent, &never));
    assert_eq!(ran.unwrap_or_else(|e| panic!("{e}")).done, plan.cells.len());
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

/// Many short cells, so that the time in which one thread waits for the other's last cell is little.
fn throughput(quick: bool) {
    let (cells, rounds, ops) = if quick { (4, 1, 20) } else { (96, 9, 400) };
    let plan = plan(&format!(
        "repeats = {cells}\n[set]\nops = {ops}\npages = 64\nstrategy = \"batched\"\ncpus = 4\n"
    ));
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        // Who goes first changes from round to round: what the host does meanwhile favours neither.
        let (mut seconds, mut peaks) = ([0.0; 2], [None; 2]);
        let _ = memory();
        for threads in if round % 2 == 0 { [1, 2] } else { [2, 1] } {
            seconds[threads - 1] = run(&plan, threads);
            peaks[threads - 1] = memory();
        }
        let ([one, two], [with_one, with_two]) = (seconds, peaks);
        // Later the allocator keeps what earlier rounds had.
        if round == 0
            && let (Some((first, _)), Some((second, _))) = (with_one, with_two)
        {
            println!(
                "  peak memory: {first:.0} MiB, {second:.0} MiB, so {:.0} MiB for one more cell",
                second - first
            );
        }
        // The first round warms the host's caches up.
        if round == 0 && !quick {
            continue;
        }
        let (n, ratio) = (f64::from(cells), one / two);
        ratios.push(ratio);
        println!(
            "{n} cells: 1 thread {:.2} cells/s, 2 threads {:.2} cells/s, ratio {ratio:.3}",
            n / one,
            n / two
        );
    }
    println!("median ratio of {} rounds: {:.3}", ratios.len(), median(&ratios).unwrap_or(0.0));
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
    let quick = std::env::args().any(|word| word == "--quick");
    throughput(quick);
    growth(if quick { &[100, 1000] } else { &[1000, 10_000, 100_000] });
}
