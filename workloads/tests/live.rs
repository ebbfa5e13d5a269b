//! A run in parts gives the row of a run in one go, to the byte, wherever it is paused.

mod common;

use common::cell;
use shootdown_emu::observe::{Event, Heard, Nobody, Observer, Wanted, What};
use shootdown_workloads::{Cell, Live, Report, Strategy};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn small(keys: &[(&str, &str)]) -> Cell {
    cell(&[&[("ops", "60"), ("warmup", "10")], keys].concat())
}

fn whole(cell: &Cell) -> shootdown_workloads::Row {
    let interrupt = Arc::new(AtomicBool::new(false));
    shootdown_workloads::run(cell, &interrupt).expect("it runs").row
}

/// Wants a pause after every `n`-th event of every class.
struct Every(u64, u64);

impl Observer for Every {
    fn wanted(&self) -> Wanted {
        Wanted::all()
    }
    fn event(&mut self, _: &Event) {
        self.1 += 1;
    }
    fn heard(&mut self) -> Heard {
        if self.1 < self.0 {
            return Heard::More;
        }
        self.1 = 0;
        Heard::Enough
    }
}

#[test]
fn pauses_change_no_figure() {
    for keys in [
        &[("strategy", "batched")][..],
        &[("strategy", "deferred-seq"), ("cpu", "haswell-ep"), ("cpus", "6")],
        &[("strategy", "none"), ("cpus", "2")],
        &[("strategy", "batched"), ("timing", "flat")],
    ] {
        let cell = small(keys);
        let expected = whole(&cell);
        let mut live = Live::new(&cell).expect("it can be built");
        let mut pauses = 0;
        while live.stop().is_none() {
            let until = live.machine().now() + 30_011;
            live.advance(&mut Nobody, until);
            pauses += 1;
        }
        assert!(pauses > 50, "{keys:?}: {pauses}");
        assert_eq!(live.row(), expected, "{keys:?}: by time");
        let (mut live, mut watch) = (Live::new(&cell).expect("it can be built"), Every(97, 0));
        while live.stop().is_none() {
            live.advance(&mut watch, u64::MAX);
        }
        assert_eq!(live.row(), expected, "{keys:?}: by events");
    }
}

#[test]
fn what_is_looked_at_under_way_adds_up_and_comes_to_the_row() {
    let cell = small(&[("strategy", "batched")]);
    let mut live = Live::new(&cell).expect("it can be built");
    let mut last = 0;
    while live.stop().is_none() {
        let until = live.machine().now() + 200_003;
        live.advance(&mut Nobody, until);
        let seen = live.machine().peek();
        for (i, c) in seen.cpus.iter().enumerate() {
            assert_eq!(c.ledger.activity.iter().sum::<u64>(), c.clock, "cpu {i}, activities");
            assert_eq!(c.ledger.kind.iter().sum::<u64>(), c.clock, "cpu {i}, kinds");
        }
        assert!(seen.totals().instructions >= last, "no count goes back");
        last = seen.totals().instructions;
    }
    let (row, region) = (live.row(), live.region());
    assert_eq!(region.cycles(), row.cycles);
    assert_eq!(region.totals().instructions, row.instructions);
    assert_eq!(live.operations(), row.operations);
    assert_eq!(live.collector().kmap().len(), row.kmap_latency.count);
}

#[test]
fn a_row_can_be_had_before_the_end_and_changes_nothing() {
    let cell = small(&[("strategy", "batched")]);
    let expected = whole(&cell);
    let mut live = Live::new(&cell).expect("it can be built");
    live.advance(&mut Nobody, 8_000_000);
    let early = live.row();
    assert_eq!(early.stop.reason, "interrupted");
    assert!(early.operations < expected.operations);
    live.advance(&mut Nobody, u64::MAX);
    assert_eq!(live.row(), expected);
}

#[test]
fn a_step_is_one_instruction_and_a_clone_goes_on_undisturbed() {
    let cell = small(&[("strategy", "batched")]);
    let expected = whole(&cell);
    let mut live = Live::new(&cell).expect("it can be built");
    for until in [1_000_000, 8_000_000] {
        live.advance(&mut Nobody, until);
        let mut steps = live.clone();
        for cpu in [0, 1, 2, 3].repeat(50) {
            let count = |live: &Live| live.machine().peek().cpus[cpu].count.instructions;
            let before = count(&steps);
            steps.step_one(cpu, &mut Nobody, u64::MAX);
            let made = count(&steps) - before;
            assert!(made <= 1, "{made} instructions of cpu {cpu} at {until}");
        }
        let to = steps.machine().now() + 1234;
        steps.step_to(&mut Nobody, to);
        assert!((to..to + 2000).contains(&steps.machine().now()), "{} for {to}", steps.machine().now());
    }
    live.advance(&mut Nobody, u64::MAX);
    assert_eq!(live.row(), expected);
    let report =
        |row| Report::new(shootdown_workloads::report::Config::new(&cell, &[Strategy::Batched]), vec![row]);
    assert_eq!(report(live.row()).to_json().unwrap(), report(expected).to_json().unwrap());
}

#[test]
fn a_watcher_can_pause_at_what_it_looks_for() {
    struct Flush(u64);
    impl Observer for Flush {
        fn wanted(&self) -> Wanted {
            Wanted::MARKS
        }
        fn event(&mut self, event: &Event) {
            if matches!(event.what, What::Mark(shootdown_abi::Mark::FlushBegin, _)) {
                self.0 = event.cycle;
            }
        }
        fn heard(&mut self) -> Heard {
            if self.0 > 0 { Heard::Enough } else { Heard::More }
        }
    }
    let mut live = Live::new(&small(&[("strategy", "batched")])).expect("it can be built");
    let mut watch = Flush(0);
    live.advance(&mut watch, u64::MAX);
    assert!(live.stop().is_none() && watch.0 > 0);
    assert!(live.machine().now().abs_diff(watch.0) < 10_000, "{} for {}", live.machine().now(), watch.0);
}
