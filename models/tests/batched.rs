//! `batched` holds as the kernel has it; each way to get it wrong has a counterexample.

use shootdown_models::batched::{Batched, Fault, Flush};
use shootdown_models::{Report, Verdict, explore};

/// Explores and prints (`-- --nocapture`).
fn report(name: &str, model: Batched) -> Report {
    let report = explore(&model);
    println!("batched, {name}, {} states:\n{report}", report.states);
    report
}

/// With the fault something is wrong; without it the same load is sound, as tested beside.
fn wrong(fault: Fault, model: Batched) -> Report {
    let report = report(&format!("{fault:?}"), Batched { fault: Some(fault), ..model });
    assert!(matches!(report.verdict, Verdict::Wrong(_)), "{report}");
    report
}

#[test]
fn it_holds() {
    for model in [Batched::sound(2, 3), Batched::sound(3, 2)] {
        assert_eq!(report("sound", model).verdict, Verdict::Holds);
    }
}

#[test]
fn tasks_may_sleep_for_a_slot() {
    assert_eq!(report("three tasks and pages", Batched::sound(3, 3)).verdict, Verdict::Holds);
}

#[test]
fn a_load_of_cr3_is_enough_without_g_bits_only() {
    let flush = |global, flush| Batched { global, flush, ..Batched::sound(2, 3) };
    assert_eq!(report("G = 0, CR3", flush(false, Flush::Cr3)).verdict, Verdict::Holds);
    assert_eq!(report("G = 0, PGE", flush(false, Flush::Pge)).verdict, Verdict::Holds);
    let caught = report("G = 1, CR3", flush(true, Flush::Cr3));
    assert!(matches!(caught.verdict, Verdict::Wrong(_)), "{caught}");
}

#[test]
fn faults_have_counterexamples() {
    for fault in [Fault::SkipIdle, Fault::Preempted, Fault::DropLock, Fault::EarlyAck, Fault::FlushFirst] {
        wrong(fault, Batched::sound(2, 3));
    }
}

#[test]
fn a_page_that_nobody_looks_for_again_gets_two_slots() {
    let report = wrong(Fault::NoRecheck, Batched::sound(3, 3));
    assert!(report.trace.iter().any(|step| step.contains("sleeps")), "{report}");
}

#[test]
fn spinning_with_interrupts_off_deadlocks_against_the_flush() {
    let report = report("IrqsOff", Batched { fault: Some(Fault::IrqsOff), ..Batched::sound(2, 3) });
    let Verdict::Deadlock(waits) = &report.verdict else { panic!("{report}") };
    assert!(waits.iter().any(|w| w.contains("interrupts off")), "{report}");
    assert!(waits.iter().any(|w| w.contains("waits for the acknowledgement")), "{report}");
}

#[test]
fn without_speculative_fills_a_flush_before_the_ptes_goes_unnoticed() {
    let fault = Some(Fault::FlushFirst);
    let model = Batched { fault, speculation: false, ..Batched::sound(2, 3) };
    assert_eq!(report("FlushFirst without speculation", model).verdict, Verdict::Holds);
}
