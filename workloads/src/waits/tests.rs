//! Waits laid out by hand.

use super::*;
use Activity::{AckWait, FlushInit, IpiHandler, Kernel, Kmap, LockSpin};
use shootdown_emu::ledger::LedgerTotals;
use shootdown_emu::snapshot::CpuSnapshot;
use shootdown_emu::stats::Counters;

fn see(c: &mut WaitCollector, cpu: u8, cycle: u64, what: What) {
    c.event(&Event { cpu, cycle, what });
}

fn activity(c: &mut WaitCollector, cpu: u8, cycle: u64, activity: Activity) {
    see(c, cpu, cycle, What::Mark(Mark::Activity, activity as u32));
}

/// The sums that are not zero, of all clocks from `begin` to `end`.
fn waits(c: &WaitCollector, begin: u64, end: u64) -> Vec<(String, u64)> {
    let cpu = |clock| CpuSnapshot { clock, count: Counters::default(), ledger: LedgerTotals::default() };
    let at = |clock| Snapshot { cpus: vec![cpu(clock); 4], guest: [0; shootdown_abi::Counter::ALL.len()] };
    let Waits { lock_spin, ack_wait } = Waits::sum(&c.waits(Some(&at(begin)), &at(end)));
    lock_spin.into_iter().chain(ack_wait).filter(|(_, n)| *n > 0).collect()
}

fn expect(c: &WaitCollector, begin: u64, end: u64, sums: &[(&str, u64)]) {
    let sums: Vec<_> = sums.iter().map(|&(name, n)| (name.to_owned(), n)).collect();
    assert_eq!(waits(c, begin, end), sums);
}

#[test]
fn a_spin_is_booked_to_what_the_holder_does_whatever_the_order_of_events() {
    let mut c = WaitCollector::default();
    see(&mut c, 0, 0, What::Mark(Mark::RoiBegin, 0));
    activity(&mut c, 0, 10, Kmap);
    // The waiter is ahead of the holder.
    see(&mut c, 1, 50, What::Mark(Mark::WaitsFor, 1));
    activity(&mut c, 1, 50, LockSpin);
    see(&mut c, 1, 400, What::Mark(Mark::WaitsFor, 0));
    activity(&mut c, 1, 410, Kmap);
    activity(&mut c, 0, 100, FlushInit);
    activity(&mut c, 0, 300, Kmap);
    expect(&c, 0, 1000, &[("flush-init", 200), ("handover", 10), ("kmap", 150)]);
}

#[test]
fn a_spin_goes_on_after_an_interrupt_in_which_another_lock_was_waited_for() {
    let mut c = WaitCollector::default();
    see(&mut c, 0, 0, What::Mark(Mark::RoiBegin, 0));
    activity(&mut c, 0, 0, Kmap);
    activity(&mut c, 2, 0, Kernel);
    see(&mut c, 1, 100, What::Mark(Mark::WaitsFor, 1));
    activity(&mut c, 1, 100, LockSpin);
    activity(&mut c, 1, 200, Kernel);
    see(&mut c, 1, 250, What::Mark(Mark::WaitsFor, 3));
    activity(&mut c, 1, 250, LockSpin);
    see(&mut c, 1, 290, What::Mark(Mark::WaitsFor, 0));
    activity(&mut c, 1, 290, Kernel);
    activity(&mut c, 1, 300, LockSpin);
    see(&mut c, 1, 330, What::Mark(Mark::WaitsFor, 0));
    activity(&mut c, 1, 330, Kmap);
    expect(&c, 0, 1000, &[("kernel", 40), ("kmap", 130)]);
}

#[test]
fn an_ack_wait_is_split_by_the_target_that_comes_last() {
    let mut c = WaitCollector::default();
    see(&mut c, 0, 0, What::Mark(Mark::RoiBegin, 0));
    activity(&mut c, 0, 110, AckWait);
    see(
        &mut c,
        0,
        100,
        What::IpiSent { message: 1, by_vector: true, vector: FLUSH_VECTOR, targets: 0b110, left: 100 },
    );
    for (cpu, late) in [(1, 0), (2, 100)] {
        see(&mut c, cpu, 150, What::IpiArrived { message: 1, vector: FLUSH_VECTOR, from: 0 });
        see(&mut c, cpu, 160 + late, What::Interrupt(FLUSH_VECTOR));
        activity(&mut c, cpu, 175 + late, IpiHandler);
        see(&mut c, cpu, 180 + late, What::Mark(Mark::HandlerBegin, 0));
        see(&mut c, cpu, 210 + late, What::Mark(Mark::HandlerEnd, 0));
    }
    activity(&mut c, 0, 315, FlushInit);
    expect(&c, 0, 1000, &[("blocked", 110), ("delivery", 40), ("entry", 20), ("handler", 30), ("return", 5)]);
}

#[test]
fn waits_are_cut_at_the_edges_of_the_region() {
    let mut c = WaitCollector::default();
    activity(&mut c, 0, 0, Kmap);
    see(&mut c, 1, 100, What::Mark(Mark::WaitsFor, 1));
    activity(&mut c, 1, 100, LockSpin);
    see(&mut c, 0, 200, What::Mark(Mark::RoiBegin, 0));
    see(&mut c, 1, 300, What::Mark(Mark::WaitsFor, 0));
    activity(&mut c, 1, 300, Kmap);
    see(&mut c, 2, 400, What::Mark(Mark::WaitsFor, 1));
    activity(&mut c, 2, 400, LockSpin);
    see(&mut c, 0, 500, What::Mark(Mark::RoiEnd, 0));
    see(&mut c, 3, 600, What::Mark(Mark::WaitsFor, 1));
    activity(&mut c, 3, 600, LockSpin);
    expect(&c, 210, 510, &[("kmap", 200)]);
}

#[test]
fn what_cannot_be_told_is_unknown() {
    let mut c = WaitCollector::default();
    see(&mut c, 0, 0, What::Mark(Mark::RoiBegin, 0));
    activity(&mut c, 1, 100, LockSpin);
    activity(&mut c, 1, 130, AckWait);
    activity(&mut c, 1, 200, Kernel);
    expect(&c, 0, 1000, &[("unknown", 30), ("unknown", 70)]);
}

#[test]
fn a_flush_between_the_first_word_and_the_spin_does_not_hide_the_holder() {
    let mut c = WaitCollector::default();
    see(&mut c, 0, 0, What::Mark(Mark::RoiBegin, 0));
    activity(&mut c, 0, 0, Kmap);
    activity(&mut c, 2, 0, Kernel);
    see(&mut c, 1, 100, What::Mark(Mark::WaitsFor, 1));
    see(&mut c, 1, 150, What::Mark(Mark::WaitsFor, 3));
    activity(&mut c, 1, 150, LockSpin);
    see(&mut c, 1, 180, What::Mark(Mark::WaitsFor, 0));
    activity(&mut c, 1, 180, IpiHandler);
    activity(&mut c, 1, 200, LockSpin);
    see(&mut c, 1, 260, What::Mark(Mark::WaitsFor, 0));
    activity(&mut c, 1, 265, Kmap);
    expect(&c, 0, 1000, &[("handover", 5), ("kernel", 30), ("kmap", 60)]);
}
