//! Quantum independence: how far the host lets a processor run ahead of the others is its own affair. Halving and doubling
//! the slice moves no mean that a comparison reports by more than one per cent. What it can move is who of two
//! processors touches an uncached line first when both do within one transfer.

mod common;

use common::cell;
use shootdown_workloads::{Row, Strategy, compare};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const STRATEGIES: [Strategy; 3] = [Strategy::Atomic, Strategy::Batched, Strategy::DeferredSeq];
const SEEDS: [&str; 3] = ["1", "2", "3"];
/// What any mean may move by.
const TOLERANCE: f64 = 0.01;
/// More tasks than processors, so that ticks, preemption and idle processors take part.
const LOAD: [(&str, &str); 3] = [("tasks", "8"), ("cpus", "4"), ("ops", "300")];

/// The means of a row, in cycles.
fn means(row: &Row) -> [(&'static str, f64); 5] {
    [
        ("cycles per operation", row.cycles_per_op),
        ("wall cycles per operation", row.wall_cycles_per_op),
        ("kmap", row.kmap_latency.mean),
        ("shootdown, initiator", row.initiator_latency.mean),
        ("shootdown, target", row.target_latency.mean),
    ]
}

/// Means of the rows of all strategies, over the seeds.
fn figures(cpu: &str, slice: &str) -> Vec<(String, f64)> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for seed in SEEDS {
        let keys = [LOAD.as_slice(), &[("cpu", cpu), ("seed", seed), ("slice", slice)]].concat();
        let done = compare::compare(&cell(&keys), &STRATEGIES, &Arc::new(AtomicBool::new(false)));
        let rows = done.unwrap_or_else(|e| panic!("{e}")).report.rows;
        let all = rows.iter().flat_map(|row| {
            assert_eq!(row.problems(), Vec::<String>::new(), "{}", row.strategy);
            means(row).map(|(what, mean)| (format!("{cpu}, {}: {what}", row.strategy), mean))
        });
        let all: Vec<_> = all.collect();
        if sums.is_empty() {
            sums = all;
        } else {
            sums.iter_mut().zip(all).for_each(|(sum, (_, mean))| sum.1 += mean);
        }
    }
    sums.into_iter().map(|(what, sum)| (what, sum / SEEDS.len() as f64)).collect()
}

#[test]
fn half_and_double_slices_move_no_mean_by_more_than_one_per_cent() {
    let mut most = (String::from("nothing"), 0.0_f64);
    for cpu in ["p3", "haswell-ep"] {
        let whole = figures(cpu, "1");
        assert!(whole.iter().filter(|(_, mean)| *mean > 0.0).count() > 10, "{whole:?}");
        for slice in ["0.5", "2"] {
            for ((what, before), (_, after)) in whole.iter().zip(figures(cpu, slice)) {
                // `atomic` shoots nothing down.
                let moved = if *before == after { 0.0 } else { (after - before) / before };
                println!("{:+.3} % {what} at slice {slice}: {before:.1} to {after:.1}", moved * 100.0);
                if moved.abs() > most.1.abs() {
                    most = (format!("{what} at slice {slice}"), moved);
                }
            }
        }
    }
    println!("moved most: {} by {:+.3} %", most.0, most.1 * 100.0);
    assert!(most.1.abs() <= TOLERANCE, "{} moved by {:+.3} %", most.0, most.1 * 100.0);
}

/// The rows of a comparison, as their JSON.
fn rows(keys: &[(&str, &str)]) -> String {
    let done = compare::compare(&cell(keys), &STRATEGIES, &Arc::new(AtomicBool::new(false)));
    serde_json::to_string(&done.unwrap_or_else(|e| panic!("{e}")).report.rows).unwrap()
}

#[test]
fn no_byte_of_a_result_depends_on_the_slice() {
    for (cpu, cpus) in
        [("p3", "4"), ("p4-xeon", "3"), ("westmere-ep", "8"), ("haswell-ep", "4"), ("skylake-sp", "4")]
    {
        let at = |slice| rows(&[("cpu", cpu), ("cpus", cpus), ("ops", "150"), ("slice", slice)]);
        let whole = at("1");
        for slice in ["0.1", "0.5", "1.4"] {
            assert!(at(slice) == whole, "{cpu} with {cpus} processors at slice {slice}");
        }
    }
}

#[test]
fn without_caches_slices_show() {
    // So the key does something, and the tests above can fail.
    let at = |slice| rows(&[("timing", "flat"), ("ops", "150"), ("slice", slice)]);
    assert!(at("0.5") != at("2"));
}
