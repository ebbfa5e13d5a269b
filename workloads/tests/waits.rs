//! Waiting by cause: do the parts sum to the ledger, is nearly all of it told, and is a lock spin booked to the flush that its
//! holder is at?

mod common;

use common::{outcome, sound};
use shootdown_workloads::Row;
use shootdown_workloads::waits::Waits;
use std::collections::BTreeMap;

const STRATEGIES: [&str; 5] = ["atomic", "batched", "deferred-seq", "shared-invlpg", "deferred-local"];
/// The most that may be unknown, in per cent of the waiting.
const UNKNOWN_PERCENT: u64 = 2;

fn sum(parts: &BTreeMap<String, u64>) -> u64 {
    parts.values().sum()
}

fn told(what: &str, waits: &Waits) {
    for parts in [&waits.lock_spin, &waits.ack_wait] {
        let unknown = parts["unknown"];
        assert!(unknown * 100 <= sum(parts) * UNKNOWN_PERCENT, "{what}: {parts:?}");
    }
}

fn exact(what: &str, row: &Row) {
    assert_eq!(row.waits_by_cpu.len(), row.cpus.len(), "{what}");
    for (i, (waits, cpu)) in row.waits_by_cpu.iter().zip(&row.cpus).enumerate() {
        let ledger = &cpu.ledger.activity;
        assert_eq!(sum(&waits.lock_spin), ledger["lock-spin"], "{what}, processor {i}: {waits:?}");
        assert_eq!(sum(&waits.ack_wait), ledger["ack-wait"], "{what}, processor {i}: {waits:?}");
    }
    assert_eq!(Waits::sum(&row.waits_by_cpu), row.waits, "{what}");
}

#[test]
fn the_parts_sum_to_the_ledger_and_are_nearly_all_told() {
    for strategy in STRATEGIES {
        for cpus in ["2", "4"] {
            for seed in ["1", "2"] {
                let row = sound(&[("strategy", strategy), ("cpus", cpus), ("seed", seed)]);
                let what = format!("{strategy}, {cpus} processors, seed {seed}");
                assert!(sum(&row.waits.lock_spin) > 0, "{what}: nobody waited");
                exact(&what, &row);
                told(&what, &row.waits);
                let acknowledged = row.initiator_latency.count > 0;
                assert_eq!(sum(&row.waits.ack_wait) > 0, acknowledged, "{what}");
            }
        }
    }
}

/// Per cent of the lock spins in which the holder flushed or waited for a flush.
fn flushing(strategy: &str) -> u64 {
    let spin = sound(&[("strategy", strategy)]).waits.lock_spin;
    100 * (spin["flush-init"] + spin["ack-wait"]) / sum(&spin)
}

#[test]
fn the_lock_is_not_made_guilty_of_the_flush() {
    // Each reuse of a slot is a shootdown under the lock; one in a whole window; none.
    let (always, sometimes, never) =
        (flushing("shared-invlpg"), flushing("batched"), flushing("deferred-local"));
    assert!(always >= 40, "{always}");
    assert!((1..20).contains(&sometimes), "{sometimes}");
    assert_eq!(never, 0);
}

#[test]
fn a_run_that_does_not_reach_its_end_is_booked_up_to_there() {
    let row = outcome(&[("strategy", "shared-invlpg"), ("ops", "5000"), ("max-cycles", "30000000")]).row;
    assert_eq!(row.stop.reason, "cycle-limit");
    assert!(sum(&row.waits.lock_spin) > 0);
    exact("cycle limit", &row);
}
