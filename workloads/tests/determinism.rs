//! Is a result a function of its configuration, and do the ledgers balance?

mod common;

use common::{cell, sound};
use shootdown_workloads::Strategy;
use shootdown_workloads::report::Report;
use shootdown_workloads::{compare, table};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn json(pairs: &[(&str, &str)]) -> String {
    let all = [Strategy::Atomic, Strategy::Batched, Strategy::DeferredSeq];
    let done = compare::compare(&cell(pairs), &all, &Arc::new(AtomicBool::new(false)));
    done.unwrap_or_else(|e| panic!("{e}")).report.to_json().unwrap()
}

#[test]
fn equal_cells_give_equal_bytes() {
    let first = json(&[]);
    assert_eq!(first, json(&[]));
    assert_eq!(first, json(&[("host.shortcuts", "off")]), "the host's shortcuts show");
    let other = json(&[("seed", "2")]);
    let rows = |text: &str| serde_json::from_str::<Report>(text).unwrap().rows;
    assert_ne!(rows(&first), rows(&other), "another seed, another run");
}

#[test]
fn the_hosts_shortcuts_show_on_no_preset() {
    for (cpu, cpus) in
        [("p3", "6"), ("p4-xeon", "3"), ("westmere-ep", "8"), ("haswell-ep", "2"), ("skylake-sp", "4")]
    {
        let cell = [("cpu", cpu), ("cpus", cpus), ("ops", "100"), ("seed", "3")];
        let off = [cell.as_slice(), &[("host.shortcuts", "off")]].concat();
        assert!(json(&cell) == json(&off), "{cpu} with {cpus} processors");
    }
}

#[test]
fn a_report_is_read_back_as_it_was() {
    let text = json(&[("ops", "50")]);
    let report: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(report.to_json().unwrap(), text);
    assert_eq!(report.config.image.kernel.len(), 64);
    for row in &report.rows {
        let kmap = row.kmap_latency.histogram().expect("an HdrHistogram");
        assert_eq!(kmap.len(), row.kmaps, "one latency for each kmap of the region");
    }
    let table = table::render(&report, table::Paint::Plain);
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    assert!(!table.contains('\x1b'));
}

#[test]
fn both_axes_of_every_ledger_sum_to_the_clock() {
    for strategy in Strategy::ALL.iter().filter(|s| **s != Strategy::None) {
        let row = sound(&[("strategy", strategy.name())]);
        let mut all = 0;
        for (n, cpu) in row.cpus.iter().enumerate() {
            for axis in [&cpu.ledger.activity, &cpu.ledger.kind] {
                assert_eq!(axis.values().sum::<u64>(), cpu.cycles, "{} cpu {n}: {axis:?}", strategy.name());
            }
            all += cpu.cycles;
        }
        assert_eq!(row.ledger.activity.values().sum::<u64>(), all);
        assert_eq!(row.ledger.kind.values().sum::<u64>(), all);
        assert_eq!(row.cycles, row.cpus.iter().map(|c| c.cycles).max().unwrap());
    }
}
