//! How long do interrupts wait, and for what? The histograms of a run against what the kernel does with interrupts off.

mod common;

use common::{outcome, refused, sound};
use shootdown_workloads::Row;

/// The timer interrupt reads pages too, often enough to come in the middle of copies.
const BUSY: &[(&str, &str)] =
    &[("strategy", "atomic"), ("irq-kmap", "1"), ("tick", "3000"), ("tasks", "4"), ("ops", "300")];

fn busy(pairs: &[(&str, &str)]) -> Row {
    sound(&[BUSY, pairs].concat())
}

#[test]
fn every_interrupt_of_the_region_has_a_latency() {
    let row = sound(&[("strategy", "batched"), ("tick", "5000")]);
    // Those requested before its begin are not counted.
    assert!(row.irq_latency.count > 50, "{}", row.irq_latency.count);
    assert!(
        row.interrupts.abs_diff(row.irq_latency.count) <= 8,
        "{} {}",
        row.interrupts,
        row.irq_latency.count
    );
    assert!(row.timer_latency.count > 0 && row.timer_latency.count < row.irq_latency.count);
    assert!(row.irqs_off.count >= row.irq_latency.count, "each handler is a stretch by itself");
    // A target takes its flush before it handles it.
    assert!(row.irq_latency.p50 < row.target_latency.p50);
}

#[test]
fn with_shared_slots_a_timer_interrupt_waits_for_a_copy_and_without_it_does_not() {
    let of = |irqs, len| busy(&[("atomic-irqs", irqs), ("len", len)]);
    let [short, long, closed_short, closed_long] =
        [of("on", "128"), of("on", "4096"), of("off", "128"), of("off", "4096")];
    let told = |r: &Row| format!("{} {} {}", r.timer_latency.p99, r.timer_latency.max, r.irqs_off.max);
    let all = [&short, &long, &closed_short, &closed_long].map(told);
    assert!(long.timer_latency.p99 < 2 * short.timer_latency.p99.max(200), "{all:?}");
    assert!(closed_long.timer_latency.p99 > 2 * long.timer_latency.p99, "{all:?}");
    assert!(closed_long.timer_latency.p99 > 2 * closed_short.timer_latency.p99, "{all:?}");
    assert!(closed_long.irqs_off.p99 > 2 * long.irqs_off.p99, "{all:?}");
    let sums = [&short, &closed_short].map(|r| (r.operations, r.checksum.clone()));
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn an_interrupt_in_the_middle_of_a_copy_takes_a_shared_slot_away() {
    let planted = [("atomic-irqs", "off"), ("fault", "shared-slot"), ("len", "4096")];
    let row = outcome(&[BUSY, &planted].concat()).row;
    // Pages that are cleared or copied for processes have such a slot too: which of them suffers first hangs on the moment.
    assert!(!row.problems().is_empty());
    // Interrupts that map nothing do no harm.
    let harmless = outcome(&[BUSY, &planted, &[("irq-kmap", "0")]].concat()).row;
    assert_eq!(harmless.problems(), Vec::<String>::new());
}

#[test]
fn shared_slots_are_sound_in_copies_of_pages_and_with_both_orders() {
    for flush in ["map", "unmap"] {
        let set =
            [("atomic-irqs", "off"), ("atomic-flush", flush), ("tlb.adversary", "fill"), ("ops", "100")];
        busy(&set);
    }
    let fork = [("workload", "fork-cow"), ("strategy", "atomic"), ("pages", "32"), ("ops", "16")];
    let sums =
        ["on", "off"].map(|irqs| sound(&[fork.as_slice(), &[("atomic-irqs", irqs)]].concat()).checksum);
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn where_interrupts_share_no_slots_they_are_not_kept_out() {
    for strategy in ["atomic-stack", "percpu-pool", "batched", "deferred-seq"] {
        let said = refused(&[("strategy", strategy), ("atomic-irqs", "off")]);
        assert!(said.contains("accepted: slots=type (kmap=atomic), or atomic-irqs=on"), "{said}");
    }
    let said = refused(&[("strategy", "atomic"), ("fault", "shared-slot")]);
    assert!(said.contains("accepted: atomic-irqs=off"), "{said}");
}
