//! `deferred-seq` and `deferred-local` hold as the kernel has them; each fault of the protocol's list has a counterexample.

use shootdown_models::deferred::{Conflict, Deferred, Fault};
use shootdown_models::{Report, Verdict, explore};

const BOTH: [Conflict; 2] = [Conflict::Everywhere, Conflict::Local];

/// Two processes, one slot that they fight for.
fn sound(conflict: Conflict) -> Deferred<'static> {
    Deferred { conflict, spaces: &[1, 2], slots: 1, pages: 2, speculation: true, fault: None }
}

/// Explores and prints (`-- --nocapture`).
fn report(model: Deferred<'_>) -> Report {
    let report = explore(&model);
    println!("{model:?}, {} states:\n{report}", report.states);
    report
}

fn holds(model: Deferred<'_>) {
    let report = report(model);
    assert_eq!(report.verdict, Verdict::Holds, "{report}");
}

/// With the fault something is wrong.
fn wrong(fault: Fault, model: Deferred<'_>) {
    let report = report(Deferred { fault: Some(fault), ..model });
    assert!(matches!(report.verdict, Verdict::Wrong(_)), "{report}");
}

#[test]
fn both_hold_for_one_slot_and_tasks_of_all_kinds() {
    for conflict in BOTH {
        for spaces in [[1, 2], [1, 1], [1, 0], [0, 0]] {
            holds(Deferred { spaces: &spaces, ..sound(conflict) });
        }
    }
}

/// Two threads and a process on two processors: somebody is always preempted.
const THREE: &[u8] = &[1, 1, 2];

#[test]
fn deferred_seq_holds_for_three_tasks() {
    holds(Deferred { spaces: THREE, ..sound(Conflict::Everywhere) });
}

#[test]
fn deferred_local_holds_for_three_tasks() {
    holds(Deferred { spaces: THREE, ..sound(Conflict::Local) });
}

#[test]
fn deferred_seq_holds_for_two_slots() {
    holds(Deferred { slots: 2, pages: 3, ..sound(Conflict::Everywhere) });
}

#[test]
fn deferred_local_holds_for_two_slots() {
    holds(Deferred { slots: 2, pages: 3, ..sound(Conflict::Local) });
}

#[test]
fn faults_in_epochs_and_invalidations_have_counterexamples() {
    for conflict in BOTH {
        for fault in [Fault::A, Fault::B, Fault::C, Fault::D, Fault::E, Fault::I, Fault::K, Fault::L] {
            wrong(fault, sound(conflict));
        }
        // A processor that has never used the slot.
        wrong(Fault::J, sound(conflict));
    }
}

#[test]
fn faults_in_switches_have_counterexamples() {
    for conflict in BOTH {
        // Threads of one address space, and kernel threads: switches without loads. Sound without the fault: see above.
        for fault in [Fault::F, Fault::G, Fault::H] {
            wrong(fault, Deferred { spaces: &[1, 1], ..sound(conflict) });
        }
        wrong(Fault::M, Deferred { spaces: &[1, 0], ..sound(conflict) });
    }
}

#[test]
fn a_flush_of_all_with_interrupts_off_deadlocks_against_its_like() {
    // Each has recycled a slot that the other then uses.
    let fault = Some(Fault::IrqsOff);
    let model = Deferred { fault, spaces: &[0, 0], slots: 2, pages: 3, ..sound(Conflict::Everywhere) };
    let report = report(model);
    let Verdict::Deadlock(waits) = &report.verdict else { panic!("{report}") };
    assert!(waits.iter().all(|wait| wait.contains("interrupts off")), "{report}");
}

#[test]
fn the_finder_of_a_conflict_need_not_wait_for_the_others() {
    // Its own load is enough: the flush of the others buys it nothing, which is the idea of `deferred-local`.
    let report = report(Deferred { fault: Some(Fault::NoWait), ..sound(Conflict::Everywhere) });
    assert_eq!(report.verdict, Verdict::Holds, "{report}");
}

#[test]
fn without_speculative_fills_faults_b_c_and_d_go_unnoticed() {
    let without = |conflict, fault| Deferred { fault: Some(fault), speculation: false, ..sound(conflict) };
    for conflict in BOTH {
        for fault in [Fault::B, Fault::C, Fault::D] {
            holds(without(conflict, fault));
        }
        // The others need none, not even J: a task that arrives with a slot in its hands uses it without a check.
        for fault in [Fault::A, Fault::E, Fault::I, Fault::J, Fault::K, Fault::L] {
            let report = report(without(conflict, fault));
            assert!(matches!(report.verdict, Verdict::Wrong(_)), "{fault:?}: {report}");
        }
    }
}
