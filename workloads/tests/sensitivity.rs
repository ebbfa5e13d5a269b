//! `--sensitivity`: are the ends those of the brackets, their figures those of a run with the number set, are draws runs with
//! all of their values, and is a conclusion that hangs on an estimate told as one?

mod common;

use common::{cell, sound};
use shootdown_emu::Preset;
use shootdown_workloads::sensitivity::{NOTABLE_PERCENT, Sensitivity, Side, runs, sweep};
use shootdown_workloads::{Cell, Strategy, compare};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const STRATEGIES: [Strategy; 2] = [Strategy::Atomic, Strategy::Batched];

/// The default preset with `key` as the only estimate: all others are set, and so fixed, to what they are. The
/// bracket of `key` is the preset's, or ends at `high`.
fn with_one_estimate(key: &str, high: Option<f64>) -> Preset {
    let builtin = Preset::builtin("p3").expect("a built-in preset");
    let n = builtin.numbers().into_iter().find(|n| n.key == key).expect("a number");
    let mut text = include_str!("../../emu/costs/p3.toml").to_owned();
    if let Some(high) = high {
        let line = text.lines().find(|l| l.starts_with(&format!("{} = ", &key["cost.".len()..])));
        let line = line.expect("the number's line").to_owned();
        let changed =
            line.replace(&format!("high = {}", n.high.expect("a bracket")), &format!("high = {high}"));
        assert_ne!(changed, line, "the bracket is not where it was");
        text = text.replace(&line, &changed);
    }
    let mut preset = Preset::parse("p3.toml", &text).unwrap_or_else(|e| panic!("{e}"));
    for n in builtin.numbers().into_iter().filter(|n| n.low.is_some() && n.key != key) {
        preset.set(&n.key, &format!("{}{}", n.value, n.unit.name())).unwrap_or_else(|e| panic!("{e}"));
    }
    preset
}

/// No ticks and no more tasks than processors: one preemption more or less moves short runs more than any estimate.
const LOAD: [(&str, &str); 4] = [("ops", "100"), ("cpus", "2"), ("tasks", "2"), ("tick", "1000000000")];

fn small(preset: Preset) -> Cell {
    let mut small = cell(&LOAD);
    small.machine.preset = preset;
    small
}

fn swept(cell: &Cell) -> Sensitivity {
    drawn(cell, 0)
}

fn drawn(cell: &Cell, draws: usize) -> Sensitivity {
    let interrupt = Arc::new(AtomicBool::new(false));
    let base = compare::compare(cell, &STRATEGIES, &interrupt).unwrap_or_else(|e| panic!("{e}")).report.rows;
    let all = sweep(cell, &STRATEGIES, &base, draws, &interrupt).unwrap_or_else(|e| panic!("{e}"));
    all.expect("nobody interrupts")
}

#[test]
fn an_end_is_a_run_with_the_number_set() {
    let cell = small(with_one_estimate("cost.invlpg", None));
    assert_eq!(runs(&cell, STRATEGIES.len(), 0).unwrap_or_else(|e| panic!("{e}")), 4);
    let s = swept(&cell);
    assert_eq!(s.estimates.len(), 1, "numbers that are set are no estimates any more");
    let e = &s.estimates[0];
    assert_eq!((e.key.as_str(), e.low.value, e.high.value), ("cost.invlpg", 60.0, 120.0));
    for (end, value) in [(&e.low, "60"), (&e.high, "120")] {
        for (m, strategy) in end.strategies.iter().zip(STRATEGIES) {
            let row =
                sound(&[LOAD.as_slice(), &[("strategy", strategy.name()), ("cost.invlpg", value)]].concat());
            assert_eq!((m.strategy.as_str(), m.cycles_per_op), (strategy.name(), Some(row.cycles_per_op)));
            assert!(m.problems.is_empty());
        }
    }
    // `atomic` pays an `invlpg` for each map.
    let change = |n: usize| e.high.strategies[n].change_percent.expect("a figure");
    assert!(change(0) > 0.0 && change(0) > change(1), "{} {}", change(0), change(1));
}

#[test]
fn a_conclusion_that_hangs_on_an_estimate_flips() {
    let s = swept(&small(with_one_estimate("cost.invlpg", Some(100_000.0))));
    let [c] = s.conclusions.as_slice() else { panic!("one pair: {:?}", s.conclusions) };
    assert_eq!((c.cheaper.as_str(), c.dearer.as_str(), c.ends), ("atomic", "batched", 2));
    assert_eq!(c.flips.len(), 1, "{c:?}");
    assert_eq!((c.flips[0].key.as_str(), c.flips[0].value), ("cost.invlpg", 100_000.0));
    let atomic = &s.estimates[0].high.strategies[0];
    assert!(atomic.notable && atomic.change_percent.is_some_and(|c| c > NOTABLE_PERCENT));
}

/// All estimates of the preset together: each draw is the run that its values make.
#[test]
fn a_draw_is_a_run_with_all_its_numbers_set() {
    let mut cell = small(Preset::builtin("p3").expect("a built-in preset"));
    cell.set_all([("ops", "20"), ("warmup", "5")]).unwrap_or_else(|e| panic!("{e}"));
    let s = drawn(&cell, 2);
    assert!(s.draws.len() == 2 && s.estimates.len() > 30);
    for draw in &s.draws {
        let mut again = cell.clone();
        for (e, value) in s.estimates.iter().zip(&draw.values) {
            let value = format!("{value}{}", e.base.unit);
            again.set(&e.key, &value).unwrap_or_else(|e| panic!("{e}"));
        }
        let rows = compare::compare(&again, &STRATEGIES, &Arc::default())
            .unwrap_or_else(|e| panic!("{e}"))
            .report
            .rows;
        for (m, row) in draw.strategies.iter().zip(rows) {
            assert_eq!((&m.strategy, m.cycles_per_op), (&row.strategy, Some(row.cycles_per_op)));
        }
    }
    assert_ne!(s.draws[0].strategies[0].cycles_per_op, s.draws[1].strategies[0].cycles_per_op);
    let [c] = s.conclusions.as_slice() else { panic!("one pair: {:?}", s.conclusions) };
    let told = c.draws.as_ref().expect("both have figures");
    assert_eq!((told.draws, told.share.n), (2, 2));
    cell.machine.seed += 1;
    assert_ne!(drawn(&cell, 2).draws[0].values, s.draws[0].values, "another seed draws otherwise");
}

/// `atomic` pays an `invlpg` for each map, `batched` next to none: where it is dear enough, the order flips, and it is told from
/// which cost on.
#[test]
fn draws_tell_where_a_conclusion_flips() {
    let cell = small(with_one_estimate("cost.invlpg", Some(10_000.0)));
    assert_eq!(runs(&cell, STRATEGIES.len(), 24).unwrap_or_else(|e| panic!("{e}")), 2 * (2 + 24));
    let s = drawn(&cell, 24);
    let told = s.conclusions[0].draws.clone().expect("both have figures");
    assert!(told.held > 2 && told.held < 22, "{told:?}");
    let t = told.hangs_on.expect("there is one number alone");
    assert_eq!((t.key.as_str(), t.side, t.right), ("cost.invlpg", Side::Above, 24));
    // The runs on both sides of it say the same.
    let cheaper = |value: f64| {
        let cost = |strategy: &str| {
            let keys = [("strategy", strategy), ("cost.invlpg", &*value.to_string())];
            sound(&[LOAD.as_slice(), &keys].concat()).cycles_per_op
        };
        cost("atomic") <= cost("batched")
    };
    assert!(cheaper(t.value) && !cheaper(t.value + 1000.0), "{}", t.value);
}

#[test]
fn the_number_of_host_threads_does_not_show() {
    let cell = small(with_one_estimate("cost.cr4_pge_write", None));
    let threads = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
    assert_eq!(threads(1).install(|| drawn(&cell, 5)), threads(3).install(|| drawn(&cell, 5)));
}

#[test]
fn an_interrupted_sweep_gives_nothing() {
    let cell = small(with_one_estimate("cost.invlpg", None));
    let never = Arc::new(AtomicBool::new(false));
    let base = compare::compare(&cell, &STRATEGIES, &never).unwrap_or_else(|e| panic!("{e}")).report.rows;
    let at_once = Arc::new(AtomicBool::new(true));
    assert_eq!(sweep(&cell, &STRATEGIES, &base, 3, &at_once).unwrap_or_else(|e| panic!("{e}")), None);
}
