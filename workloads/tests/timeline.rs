//! Is the timeline exact? Its records sum to the counters and ledgers of the same run's result, and their latencies are its
//! histograms; and does the recording leave the run alone?

mod common;

use common::{cell, outcome};
use hdrhistogram::Histogram;
use shootdown_abi::Counter;
use shootdown_workloads::summary::Summary;
use shootdown_workloads::timeline::{self, Counted, How, Message, Record, Timeline};
use shootdown_workloads::{Outcome, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn recorded(pairs: &[(&str, &str)]) -> (Outcome, Timeline) {
    let run = timeline::run(&cell(pairs), &Arc::new(AtomicBool::new(false)));
    let (outcome, timeline) = run.unwrap_or_else(|e| panic!("{pairs:?}: {e}"));
    assert_eq!(timeline.left_out(), 0);
    (outcome, timeline)
}

fn summary(latencies: impl Iterator<Item = u64>) -> Summary {
    let mut h: Histogram<u64> = shootdown_emu::histogram::new();
    latencies.for_each(|l| h.saturating_record(l));
    Summary::new(&h)
}

fn messages(t: &Timeline) -> impl Iterator<Item = &Message> {
    t.records().iter().flat_map(|r| match r {
        Record::Shootdown(s) => &s.messages[..],
        Record::Message(m) => std::slice::from_ref(m),
        _ => &[],
    })
}

fn exact(what: &str, row: &Row, t: &Timeline) {
    let sent = || messages(t).filter(|m| m.counted == Counted::Yes);
    assert_eq!(sent().count() as u64, row.ipis, "{what}: IPIs");
    let flush = || sent().filter(|m| m.vector == shootdown_abi::FLUSH_VECTOR);
    assert_eq!(flush().count() as u64, row.flush_ipis, "{what}: flush IPIs");
    assert_eq!(flush().map(|m| m.deliveries.len() as u64).sum::<u64>(), row.flush_ipi_targets, "{what}");

    let dropped = |how| {
        let is = |r: &&Record| matches!(r, Record::Invalidation(i) if i.how == how);
        t.records().iter().filter(is).count() as u64
    };
    let invalidations = (dropped(How::Invlpg), dropped(How::Cr3), dropped(How::Global));
    assert_eq!(invalidations, (row.invlpg, row.cr3_loads, row.global_flushes), "{what}");
    let counted = |counter| -> u64 {
        let of = |r: &Record| match r {
            Record::Point(p) if p.counter == counter => u64::from(p.amount),
            _ => 0,
        };
        t.records().iter().map(of).sum()
    };
    let counts = (counted(Counter::Wraps), counted(Counter::Recycles), counted(Counter::Conflicts));
    assert_eq!(counts, (row.wraps, row.recycles, row.conflicts), "{what}");

    let kmap = |r: &Record| match r {
        Record::Kmap(k) if k.counted == Counted::Yes => k.done.map(|(_, at)| at - k.begun),
        _ => None,
    };
    assert_eq!(summary(t.records().iter().filter_map(kmap)), row.kmap_latency, "{what}: kmap");
    let initiator = |r: &Record| match r {
        Record::Shootdown(s) if s.counted == Counted::Yes => s.latency(),
        _ => None,
    };
    let initiators = t.records().iter().filter_map(initiator);
    assert_eq!(summary(initiators), row.initiator_latency, "{what}: initiator");
    let deliveries = messages(t).flat_map(|m| &m.deliveries).filter(|d| d.counted == Counted::Yes);
    let targets = deliveries.filter(|d| d.acknowledged.is_some()).filter_map(|d| d.latency());
    assert_eq!(summary(targets), row.target_latency, "{what}: target");

    let mut spent = vec![BTreeMap::new(); row.cpus.len()];
    for r in t.records() {
        if let Record::Span(s) = r {
            *spent[s.cpu].entry(s.activity.name().to_owned()).or_insert(0) += s.to - s.from;
        }
    }
    for (i, (spent, cpu)) in spent.iter().zip(&row.cpus).enumerate() {
        let mut ledger = cpu.ledger.activity.clone();
        ledger.retain(|_, cycles| *cycles > 0);
        assert_eq!(spent, &ledger, "{what}: processor {i}");
    }
}

#[test]
fn the_records_are_the_result() {
    for strategy in ["atomic", "batched", "shared-invlpg", "deferred-seq", "deferred-local"] {
        for cpu in ["p3", "haswell-ep"] {
            let (outcome, timeline) = recorded(&[("strategy", strategy), ("cpu", cpu), ("seed", "3")]);
            exact(&format!("{strategy} on {cpu}"), &outcome.row, &timeline);
        }
    }
}

#[test]
fn a_shootdown_goes_forward_in_time() {
    let (outcome, t) = recorded(&[("strategy", "shared-invlpg")]);
    let shootdowns: Vec<_> = t
        .records()
        .iter()
        .filter_map(|r| if let Record::Shootdown(s) = r { Some(s) } else { None })
        .collect();
    assert!(shootdowns.len() as u64 == outcome.row.initiator_latency.count && shootdowns.len() > 100);
    for s in shootdowns {
        let (done, answered) = (s.done.unwrap(), s.answered.unwrap());
        assert!(s.begun < s.messages[0].sent && s.waiting.unwrap() < answered && answered < done, "{s:?}");
        let all: u32 = s.deliveries().map(|d| d.dropped.invlpg).sum();
        assert_eq!((s.own.invlpg, all, s.deliveries().count()), (1, 3, 3), "{s:?}");
        for m in &s.messages {
            for d in &m.deliveries {
                let told =
                    [Some(m.sent), Some(m.left), d.arrived, d.taken, d.begun, d.dropped.last, d.acknowledged];
                let told = told.map(|at| at.unwrap_or_else(|| panic!("{d:?}")));
                assert!(told.is_sorted() && d.acknowledged < Some(answered), "{s:?}");
            }
        }
    }
}

#[test]
fn recording_changes_no_figure() {
    let pairs = [("strategy", "deferred-seq")];
    assert_eq!(recorded(&pairs).0.row, outcome(&pairs).row);
}

#[test]
fn a_run_that_is_cut_short_is_recorded_up_to_there() {
    let (outcome, t) =
        recorded(&[("strategy", "shared-invlpg"), ("ops", "5000"), ("max-cycles", "30000000")]);
    assert_eq!(outcome.row.stop.reason, "cycle-limit");
    exact("cycle limit", &outcome.row, &t);
}
