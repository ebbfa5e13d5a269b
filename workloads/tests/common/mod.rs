//! Small cells for the tests: the default load cut down so that a run takes a moment.
#![allow(dead_code, reason = "each test file uses a part")]

use shootdown_workloads::{Cell, Outcome, Row, run};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Four processors, a window of 64 slots, four times as many pages in highmem.
pub const SMALL: &[(&str, &str)] = &[
    ("mem", "64M"),
    ("normal", "16M"),
    ("window", "64"),
    ("tasks", "8"),
    ("pages", "256"),
    ("ops", "300"),
    ("warmup", "50"),
];

/// Every strategy that has to be right.
pub const SOUND: [&str; 12] = [
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
    "ideal",
];

/// The small cell with some keys set.
pub fn cell(pairs: &[(&str, &str)]) -> Cell {
    let mut cell = Cell::standard().expect("the default cell is valid");
    // A load without a file has no pages.
    let pages = !pairs.contains(&("workload", "syscall"));
    let small = SMALL.iter().filter(|(key, _)| pages || *key != "pages");
    cell.set_all(small.chain(pairs).copied()).unwrap_or_else(|e| panic!("{e}"));
    cell
}

/// Runs a cell, whatever comes of it.
pub fn outcome(pairs: &[(&str, &str)]) -> Outcome {
    run(&cell(pairs), &Arc::new(AtomicBool::new(false))).unwrap_or_else(|e| panic!("{pairs:?}: {e}"))
}

/// What a kernel says that refuses its command line.
pub fn refused(pairs: &[(&str, &str)]) -> String {
    let run = run(&cell(pairs), &Arc::default()).map(|outcome| outcome.stop);
    run.expect_err("the kernel refuses it").to_string()
}

/// The row of a cell that has to be sound.
pub fn sound(pairs: &[(&str, &str)]) -> Row {
    let outcome = outcome(pairs);
    assert_eq!(outcome.row.problems(), Vec::<String>::new(), "{pairs:?}: {}", outcome.console);
    outcome.row
}
