//! Which pools of slots deadlock, and by which of the kernel's paths.

use shootdown_models::pools::*;
use shootdown_models::{Report, Verdict, explore};

/// Explores and prints (`-- --nocapture`).
fn report(model: Pools<'_>) -> Report {
    let report = explore(&model);
    let paths: Vec<_> = model.paths.iter().map(|path| path.name).collect();
    let Pools { scheme, slots, tasks, swap, .. } = model;
    println!(
        "{scheme:?}, {slots} slots each, {tasks} tasks, swap-out {swap:?}, {paths:?}: {} states",
        report.states
    );
    println!("{report}");
    report
}

fn holds(model: Pools<'_>) {
    let report = report(model);
    assert_eq!(report.verdict, Verdict::Holds, "{report}");
}

/// Deadlocks; what each task holds and waits for.
fn deadlocks(model: Pools<'_>) -> Vec<String> {
    let report = report(model);
    let Verdict::Deadlock(waits) = report.verdict else { panic!("{report}") };
    waits
}

fn pools<'a>(scheme: Scheme, slots: usize, paths: &'a [Path]) -> Pools<'a> {
    Pools { scheme, slots, tasks: 2, paths, swap: SwapOut::Atomic }
}

/// All four nestings of the real kernel, but for a fault in a hole below a read.
const NESTINGS: &[Path] = &[FORK, MREMAP, FAULT, HOLE, READ];
/// All of them.
const ALL: &[Path] = &[FORK, MREMAP, FAULT, HOLE, READ, READ_HOLE];

#[test]
fn one_pool_deadlocks_by_each_path_that_holds_two() {
    for path in [FORK, MREMAP, HOLE, READ] {
        let waits = deadlocks(pools(Scheme::OnePool, 2, &[path]));
        assert_eq!(waits.len(), 2, "{waits:?}");
    }
    // One slot at a time is enough for all.
    holds(pools(Scheme::OnePool, 1, &[FAULT]));
}

#[test]
fn series_as_posted_deadlock_because_their_pages_mix() {
    // One task's new table still has a slot of the pool that the task's second table needs.
    let report = report(pools(Scheme::Series, 2, &[FORK]));
    let Verdict::Deadlock(waits) = &report.verdict else { panic!("{report}") };
    assert!(report.trace.iter().any(|step| step.contains("still has")), "{report}");
    assert!(
        waits.iter().all(|w| w.contains("of PAGETABLE2 and waits for a slot of PAGETABLE2")),
        "{waits:?}"
    );
}

#[test]
fn series_as_posted_deadlock_in_mremap_without_mixing() {
    let waits = deadlocks(pools(Scheme::Series, 2, &[MREMAP]));
    assert!(waits.iter().all(|w| w.contains("of PAGETABLE and waits for a slot of PAGETABLE")), "{waits:?}");
}

#[test]
fn strict_series_hold_for_paths_that_keep_their_order() {
    let paths = &[FORK_IN_ORDER, MREMAP_IN_ORDER, FAULT, HOLE];
    for slots in [1, 2] {
        holds(Pools { tasks: 3, ..pools(Scheme::SeriesStrict, slots, paths) });
    }
    // A read that faults is the other way round, but by itself, or with faults that map no page, it is an order too.
    holds(Pools {
        tasks: 3,
        ..pools(Scheme::SeriesStrict, 1, &[FORK_IN_ORDER, MREMAP_IN_ORDER, FAULT, READ])
    });
}

#[test]
fn strict_series_deadlock_when_a_read_faults_and_a_fault_clears_a_hole() {
    // DEFAULT before PAGETABLE here, PAGETABLE before DEFAULT there.
    let waits = deadlocks(pools(Scheme::SeriesStrict, 1, &[READ, HOLE]));
    assert!(waits.iter().any(|w| w.contains("of DEFAULT and waits for a slot of PAGETABLE")), "{waits:?}");
    assert!(waits.iter().any(|w| w.contains("of PAGETABLE and waits for a slot of DEFAULT")), "{waits:?}");
    // And by itself, when the fault below the read is in a hole: DEFAULT is taken twice.
    let waits = deadlocks(pools(Scheme::SeriesStrict, 2, &[READ_HOLE]));
    assert!(waits.iter().all(|w| w.ends_with("waits for a slot of DEFAULT")), "{waits:?}");
}

#[test]
fn a_reserve_of_two_holds_unless_a_read_faults_in_a_hole() {
    for slots in [2, 3, 4] {
        holds(Pools { tasks: 3, ..pools(Scheme::Reserve(2), slots, NESTINGS) });
    }
    let waits = deadlocks(pools(Scheme::Reserve(2), 4, &[READ_HOLE]));
    assert!(waits.iter().all(|w| w.contains("slot") && w.ends_with("waits for a slot")), "{waits:?}");
}

#[test]
fn a_reserve_of_three_holds_for_every_path() {
    for slots in [3, 4] {
        holds(Pools { tasks: 3, ..pools(Scheme::Reserve(3), slots, ALL) });
    }
    holds(pools(Scheme::Reserve(3), 6, ALL));
}

#[test]
fn no_pool_holds_when_memory_is_freed_by_kmaps_that_sleep() {
    // Tables stay mapped while their tasks wait for memory, and whoever frees it needs a table.
    for (scheme, slots) in
        [(Scheme::OnePool, 2), (Scheme::Series, 2), (Scheme::SeriesStrict, 2), (Scheme::Reserve(3), 6)]
    {
        let waits = deadlocks(Pools { swap: SwapOut::Kmap, ..pools(scheme, slots, &[FAULT]) });
        assert!(waits.iter().any(|w| w.contains("the swap-out holds nothing")), "{waits:?}");
        assert_eq!(waits.iter().filter(|w| w.ends_with("waits for memory")).count(), 2, "{waits:?}");
        holds(pools(scheme, slots, &[FAULT]));
    }
}

#[test]
fn copies_hold_by_the_right_to_two_that_they_take_first() {
    for slots in [2, 3, 4] {
        holds(Pools { tasks: 3, ..pools(Scheme::OnePool, slots, &[ONE, COPY]) });
    }
    let waits = deadlocks(pools(Scheme::OnePool, 2, &[ONE, COPY_UNGATED]));
    assert_eq!(waits.len(), 2, "{waits:?}");
    // With a single slot nobody may ever hold two.
    let waits = deadlocks(pools(Scheme::OnePool, 1, &[COPY]));
    assert!(waits.iter().all(|w| w.ends_with("waits for the right to two")), "{waits:?}");
}
