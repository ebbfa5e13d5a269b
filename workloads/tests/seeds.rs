//! `--seeds`: the figures of all seeds are those of the runs, one by one, and the host's threads do not show.

mod common;

use common::{cell, sound};
use shootdown_workloads::compare::{Comparison, compare, compare_by};
use shootdown_workloads::figures::metric;
use shootdown_workloads::statistics::{Interval, Pairs};
use shootdown_workloads::{Cell, Strategy, run, table};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const STRATEGIES: [Strategy; 2] = [Strategy::Atomic, Strategy::Batched];
const KEYS: [(&str, &str); 3] = [("cpus", "2"), ("ops", "60"), ("seed", "5")];

/// The comparison on so many host threads.
fn compared(cell: &Cell, strategies: &[Strategy], seeds: u64, threads: usize) -> Comparison {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let never = Arc::new(AtomicBool::new(false));
    pool.install(|| compare_by(cell, strategies, seeds, |cell| run(cell, &never)))
        .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn seeds_are_single_runs_put_together() {
    let cell = cell(&KEYS);
    let report = compared(&cell, &STRATEGIES, 3, 1).report;
    assert_eq!(report.to_json().unwrap(), compared(&cell, &STRATEGIES, 3, 3).report.to_json().unwrap());
    let single = compare(&cell, &STRATEGIES, &Arc::new(AtomicBool::new(false))).unwrap().report;
    assert!(single.seeds.is_none() && !single.to_json().unwrap().contains("\"seeds\""));
    assert_eq!((&report.config, &report.rows), (&single.config, &single.rows), "the first seed as ever");

    let several = report.seeds.as_ref().unwrap();
    assert_eq!(several.seeds, [5, 6, 7]);
    let mut costs = Vec::new();
    for (strategy, medians) in STRATEGIES.iter().zip(&several.strategies) {
        let rows = ["5", "6", "7"]
            .map(|seed| sound(&[&KEYS[..2], &[("seed", seed), ("strategy", strategy.name())]].concat()));
        assert_eq!((medians.strategy.as_str(), medians.sound), (strategy.name(), 3));
        for name in ["cycles_per_op", "kmap_latency.p99", "activity.kmap"] {
            let values = rows.each_ref().map(|row| metric(row, name).unwrap().0);
            assert_eq!(medians.metrics.get(name).copied(), Interval::of(&values), "{name}");
        }
        let seeded: Vec<_> =
            rows.iter().zip(&several.seeds).map(|(row, &seed)| (seed, row.cycles_per_op)).collect();
        assert!(seeded[0].1 != seeded[1].1, "another seed is another run");
        costs.push(seeded);
    }
    let [pair] = several.pairs.as_slice() else { panic!("one pair") };
    let pairs = Pairs::new(&costs[0], &costs[1]);
    assert_eq!((pair.cheaper.as_str(), pair.dearer.as_str(), pair.cheaper_on), ("atomic", "batched", 3));
    assert_eq!((Some(pair.ratio), Some(pair.difference)), (pairs.ratio(), pairs.difference()));

    let text = table::render(&report, table::Paint::Plain);
    assert!(text.contains("seeds 5 to 7") && text.contains("batched / atomic: "), "{text}");
    assert!(text.contains("of fewer than 6 seeds"), "{text}");
}

#[test]
fn a_run_that_found_something_wrong_has_no_part() {
    let cell = cell(&[("cpus", "2"), ("ops", "60"), ("pages", "1200")]);
    let report = compared(&cell, &[Strategy::Atomic, Strategy::None], 2, 2).report;
    let several = report.seeds.as_ref().unwrap();
    let sound: Vec<_> = several.strategies.iter().map(|s| (s.sound, s.metrics.is_empty())).collect();
    assert_eq!((sound, several.pairs.len()), (vec![(2, false), (0, true)], 0));
    let text = table::render(&report, table::Paint::Plain);
    assert!(text.contains("2 of 4 runs are left out") && text.contains("none, seed 2: WRONG: "), "{text}");
}
