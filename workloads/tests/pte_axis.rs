//! Page tables in high memory: does every way to reach them compute the same, and is it refused where it makes no sense?

mod common;

use common::{outcome, refused, sound};
use shootdown_abi::exit;
use shootdown_emu::Stop;
use shootdown_workloads::Outcome;
use shootdown_workloads::pte::Pte;

/// Loads that use page tables in all ways: faults, fork, `mremap`, `munmap`, `mprotect`, `peek`, shared memory; with the
/// operations that make them small.
const LOADS: [(&str, &[(&str, &str)]); 9] = [
    ("fork-cow", &[("tasks", "4"), ("ops", "20"), ("rounds", "1"), ("warmup", "0")]),
    ("fault-zero", &[("tasks", "4"), ("ops", "25"), ("crew", "threads")]),
    ("fault-zero", &[("tasks", "4"), ("ops", "25"), ("crew", "processes")]),
    ("munmap", &[("tasks", "4"), ("ops", "6"), ("call", "fork")]),
    ("munmap", &[("tasks", "4"), ("ops", "8"), ("call", "mprotect")]),
    ("mremap", &[("tasks", "4"), ("ops", "10"), ("crew", "threads")]),
    ("mremap", &[("tasks", "4"), ("ops", "10"), ("crew", "processes")]),
    ("shm-many", &[("tasks", "4"), ("ops", "20")]),
    ("peek", &[("tasks", "4"), ("ops", "20")]),
];

/// Processors and page-table formats, which the loads go through by turns.
const MACHINES: [(&str, &str); 6] =
    [("1", "4g"), ("2", "64g"), ("4", "4g"), ("1", "64g"), ("2", "4g"), ("4", "64g")];

/// The strategies whose window page tables can use.
const WINDOWS: &[&str] = &["batched", "batched-range", "shared-invlpg"];

fn checksum(load: usize, machine: usize, pte: &str, strategy: &str) -> String {
    let (name, pairs) = LOADS[load];
    let (cpus, paging) = MACHINES[machine % MACHINES.len()];
    let cell = [
        ("workload", name),
        ("strategy", strategy),
        ("pte", pte),
        ("cpus", cpus),
        ("paging", paging),
        ("pages", "24"),
        ("warmup", "2"),
        ("think", "0"),
    ];
    // A load without the key has none of it; what the load says itself comes last.
    let known = shootdown_workloads::workload::Workload::from_name(name).expect("a load");
    let cell: Vec<_> =
        cell.into_iter().filter(|(key, _)| *key != "think" || known.key("think").is_some()).collect();
    sound(&[&cell, pairs].concat()).checksum.expect("the kernel prints it")
}

/// All loads under `pte` compute what they compute with page tables in low memory.
fn agrees(pte: &str, strategies: &[&str]) {
    for load in 0..LOADS.len() {
        let strategy = strategies[load % strategies.len()];
        let expected = checksum(load, 0, "lowmem", strategy);
        assert_eq!(checksum(load, load, pte, strategy), expected, "{} {pte} {strategy}", LOADS[load].0);
        assert_eq!(checksum(load, load + 3, pte, strategy), expected, "{} {pte} {strategy}", LOADS[load].0);
    }
}

#[test]
fn slots_of_the_processor_agree() {
    agrees(
        "atomic",
        &["lowmem", "atomic", "batched", "deferred-seq", "atomic-stack", "task-window", "percpu-pool"],
    );
}

#[test]
fn one_pool_agrees() {
    agrees("kmap", WINDOWS);
}

#[test]
fn kmaps_that_do_not_wait_agree() {
    agrees("nowait", WINDOWS);
}

#[test]
fn pools_agree() {
    agrees("series", WINDOWS);
}

#[test]
fn pools_that_are_kept_apart_agree() {
    agrees("series-strict", WINDOWS);
}

#[test]
fn reserved_slots_agree() {
    agrees("reserve", WINDOWS);
}

/// Tables in the window of a strategy that has none, or in one that is never invalidated.
#[test]
fn a_window_that_page_tables_cannot_use_is_refused() {
    let refused =
        |pairs: &[(&str, &str)]| refused(&[&[("workload", "fault-zero"), ("tasks", "1")], pairs].concat());
    for strategy in ["atomic", "deferred-seq", "lowmem"] {
        let said = refused(&[("strategy", strategy), ("pte", "series")]);
        assert!(
            said.contains("pte=series with slots=") && said.contains("accepted: slots=rotating"),
            "{said}"
        );
    }
    let said = refused(&[("strategy", "none"), ("pte", "kmap")]);
    assert!(said.contains("pte=kmap with inval=none"), "{said}");
}

/// Many processes that fault, on one processor that is taken from them at every moment, with 16 slots.
fn narrow(pte: &str) -> Outcome {
    outcome(&[
        ("workload", "fault-zero"),
        ("pte", pte),
        ("cpus", "1"),
        ("window", "16"),
        ("tick", "4000"),
        ("tasks", "40"),
        ("pages", "20"),
        ("ops", "20"),
        ("warmup", "0"),
        ("think", "0"),
    ])
}

/// Holders of a table who wait for a page use one pool up; those who reserve, or do not wait, do not.
#[test]
fn one_pool_deadlocks_and_says_who_waits_for_what_and_a_reserve_does_not() {
    let stuck = narrow("kmap");
    assert_eq!(stuck.stop, Stop::Exit(exit::DEADLOCK), "{}", stuck.console);
    let lines: Vec<_> =
        stuck.console.lines().filter(|line| line.ends_with("waits for a slot of DEFAULT")).collect();
    let holders = lines.iter().filter(|line| line.contains("holds slot")).count();
    assert_eq!(holders, 16, "every slot is held by a task that waits: {}", stuck.console);
    let sums = ["reserve", "nowait", "atomic", "series-strict"].map(|pte| {
        let outcome = narrow(pte);
        assert_eq!(outcome.row.problems(), Vec::<String>::new(), "{pte}: {}", outcome.console);
        outcome.row.checksum.expect("the kernel prints it")
    });
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

/// `mremap` takes two slots of PAGETABLE, of which there are five: the counterexample of `models/tests/pools.rs`, in the kernel.
#[test]
fn the_series_deadlock_where_a_path_takes_two_of_a_kind() {
    let moving = |pte: &str| {
        outcome(&[
            ("workload", "mremap"),
            ("crew", "processes"),
            ("pte", pte),
            ("cpus", "1"),
            ("paging", "64g"),
            ("window", "16"),
            ("tick", "4000"),
            ("tasks", "20"),
            // With PAE a region of 260 pages that moves up comes to lie in two tables.
            ("pages", "260"),
            ("ops", "6"),
            ("warmup", "0"),
            ("len", "4"),
            ("reads", "0"),
        ])
    };
    let stuck = moving("series");
    assert_eq!(stuck.stop, Stop::Exit(exit::DEADLOCK), "{}", stuck.console);
    let holds = |line: &&str| line.contains("(PAGETABLE) and waits for a slot of PAGETABLE");
    let holders = stuck.console.lines().filter(holds).count();
    assert_eq!(holders, 5, "every slot is held by a task that waits for another: {}", stuck.console);
    let sums = ["series-strict", "reserve"].map(|pte| {
        let outcome = moving(pte);
        assert_eq!(outcome.row.problems(), Vec::<String>::new(), "{pte}: {}", outcome.console);
        outcome.row.checksum.expect("the kernel prints it")
    });
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn every_way_has_a_name() {
    for &pte in Pte::ALL {
        assert_eq!(Pte::from_name(pte.name()), Some(pte));
    }
}
