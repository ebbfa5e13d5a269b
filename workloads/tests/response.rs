//! Latency under load: operations of `kmap-storm` that are due at times (`every=`).

mod common;

use common::{cell, sound};
use shootdown_workloads::{Row, RunError, run};
use std::sync::Arc;

/// A task on each processor.
fn storm(strategy: &str, cpus: &str, every: &str, ops: &str) -> Row {
    sound(&[
        ("strategy", strategy),
        ("cpus", cpus),
        ("tasks", cpus),
        ("every", every),
        ("ops", ops),
        ("warmup", "20"),
        ("think", "0"),
    ])
}

#[test]
fn operations_that_follow_each_other_have_no_response_time() {
    assert_eq!(storm("batched", "2", "0", "50").response.count, 0);
}

#[test]
fn at_low_load_the_response_is_the_service_time() {
    for strategy in ["lowmem", "atomic"] {
        let closed = storm(strategy, "1", "0", "200");
        let open = storm(strategy, "1", "60000", "200");
        assert_eq!((open.response.count, &open.checksum), (200, &closed.checksum));
        // An operation, without what the task does between two.
        let service = closed.wall_cycles_per_op;
        let median = open.response.p50 as f64;
        assert!(median < 1.1 * service && median > 0.75 * service, "{strategy}: {median} of {service}");
        // And so at half that load.
        let rarer = storm(strategy, "1", "120000", "200").response.p50 as f64;
        assert!((rarer / median - 1.0).abs() < 0.05, "{strategy}: {rarer}, {median}");
    }
}

#[test]
fn beyond_saturation_the_response_grows_with_the_run() {
    let service = storm("atomic", "1", "0", "200").wall_cycles_per_op;
    let every = (service / 2.0) as u32;
    let worst = |ops: u32| storm("atomic", "1", &every.to_string(), &ops.to_string()).response.max as f64;
    let (short, long) = (worst(150), worst(300));
    // Each operation is half a service time later than the one before, and telling takes time as well.
    assert!(short > 150.0 * 0.4 * service, "{short}, {service}");
    assert!(long > 1.8 * short && long < 2.3 * short, "{short}, {long}");
}

#[test]
fn who_waits_for_a_wrap_is_late_and_all_responses_count() {
    let row = storm("batched", "4", "16000", "150");
    assert_eq!(row.response.count, 4 * 150);
    assert!(row.response.max > 2 * row.response.p50, "{:?}", (row.response.p50, row.response.max));
    let all = row.response.histogram().expect("a histogram");
    assert_eq!((all.len(), all.max()), (row.response.count, row.response.max));
}

#[test]
fn more_tasks_than_processors_are_refused() {
    let cell = cell(&[("cpus", "2"), ("tasks", "3"), ("every", "1000")]);
    match run(&cell, &Arc::default()) {
        Err(RunError::Refused(said)) => {
            assert!(said.contains("every=1000 with tasks=3 on 2 processors"), "{said}")
        }
        other => panic!("{:?}", other.map(|o| o.console)),
    }
}
