//! What hangs on the estimates of a preset: the cell is run at both ends of the
//! bracket of each, one at a time, all else as it was; and in draws from all brackets together.
//!
//! ```text
//!  one at a time   mod.rs                                          \
//!  all together    hypercube.rs -> draws.rs -> threshold.rs        -> Sensitivity -> JSON | text.rs
//!                  which values    how often   on which number     /
//! ```
//!
//! *Moves*: by how much a strategy's cycles per operation change against the base run,
//! which has every number at its value. *Conclusions*: which of two strategies is the cheaper one in
//! the base run; a conclusion *flips* where the other one is cheaper. A small margin in the base run says
//! that a flip means little: another seed may do the same. *Draws* (`draws.rs`): two estimates that push the same way may
//! flip what neither flips alone.
//!
//! Only numbers with a bracket are varied. A number that was set for the run (`--set cost.invlpg=120`) has
//! none and stays. Left out: other seeds. All runs have the cell's own.

mod draws;
mod hypercube;
mod text;
mod threshold;

pub use draws::{DRAWS, Draw, Drawn, MAX_DRAWS, Threshold};
pub use text::render;
pub use threshold::Side;

use crate::cell::{Cell, KeyError};
use crate::report::{Number, Row};
use crate::run::{Outcome, RunError, run};
use crate::strategy::Strategy;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shootdown_emu::{Preset, Stop};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A strategy that moves by more than this, in per cent, is named.
pub const NOTABLE_PERCENT: f64 = 10.0;

/// The section of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sensitivity {
    /// Above this many per cent a move is notable.
    pub notable_percent: f64,
    /// Each estimate, in the order of the preset's numbers.
    pub estimates: Vec<Estimate>,
    /// All estimates at once, draw by draw.
    #[serde(default)]
    pub draws: Vec<Draw>,
    /// Each pair of strategies, the cheaper one of the base run first; ordered by cost.
    pub conclusions: Vec<Conclusion>,
}

/// An estimate and what its bracket does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// Its key.
    pub key: String,
    /// Value and unit in the base run.
    pub base: Number,
    /// Where the value comes from.
    pub source: String,
    /// The low end.
    pub low: End,
    /// The high end.
    pub high: End,
}

/// One end of a bracket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The value there, in the unit of the estimate.
    pub value: f64,
    /// Each strategy there, in the order of the report's rows.
    pub strategies: Vec<Move>,
}

/// A strategy at one end of a bracket, or in a draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Its name.
    pub strategy: String,
    /// Cycles per operation; null if the run did not reach its end.
    pub cycles_per_op: Option<f64>,
    /// Change against the base run in per cent; null if there is no figure.
    pub change_percent: Option<f64>,
    /// Is the change above [`NOTABLE_PERCENT`]?
    pub notable: bool,
    /// What went wrong in the run.
    pub problems: Vec<String>,
}

/// Of two strategies one is cheaper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Conclusion {
    /// The one with fewer cycles per operation in the base run.
    pub cheaper: String,
    /// The other.
    pub dearer: String,
    /// By how many per cent of the cheaper one it is dearer.
    pub margin_percent: f64,
    /// Ends at which both have a figure.
    pub ends: usize,
    /// Those of them at which the other is the cheaper one.
    pub flips: Vec<Flip>,
    /// How it holds where all estimates are drawn together; null without draws.
    #[serde(default)]
    pub draws: Option<Drawn>,
}

/// Where a conclusion does not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// The estimate.
    pub key: String,
    /// The value at which it was run, in its unit.
    pub value: f64,
    /// The unit.
    pub unit: String,
    /// By how many per cent the one that was cheaper is the dearer one there.
    pub margin_percent: f64,
}

/// The preset with one number at one end of its bracket.
struct Variant {
    preset: Preset,
    /// Do its cycles differ from those of the base run?
    differs: bool,
}

/// One of the cells that are held against each other. They differ in what they like but have one preset and one seed.
pub struct Subject {
    /// What stands for the strategy in the result.
    pub name: String,
    /// The cell as it is in the base run.
    pub cell: Cell,
    /// Its figure there.
    pub base: Option<f64>,
}

/// What a run costs; `None` if it has no figure.
pub type Figure<'a> = &'a (dyn Fn(&Outcome) -> Option<f64> + Sync);

/// How many runs a [`sweep`] of a cell under so many strategies takes: an end that costs what the base run does takes none.
pub fn runs(cell: &Cell, strategies: usize, draws: usize) -> Result<usize, KeyError> {
    let varied = varied(&cell.machine.preset)?;
    let ends = varied.iter().flat_map(|v| [&v.low.1, &v.high.1]).filter(|end| end.differs).count();
    Ok(strategies * (ends + if varied.is_empty() { 0 } else { draws }))
}

/// Runs `cell` under `strategies` at both ends of every bracket, and in so many draws from all of them. `base` are the rows
/// of the cell as it is, one for each strategy. `None`: it was interrupted.
pub fn sweep(
    cell: &Cell,
    strategies: &[Strategy],
    base: &[Row],
    draws: usize,
    interrupt: &Arc<AtomicBool>,
) -> Result<Option<Sensitivity>, RunError> {
    let one = |(&strategy, row): (&Strategy, &Row)| Subject {
        name: row.strategy.clone(),
        cell: cell.with(strategy),
        base: figure(row),
    };
    let subjects: Vec<Subject> = strategies.iter().zip(base).map(one).collect();
    sweep_subjects(&subjects, draws, &|o| figure(&o.row).filter(|_| o.is_complete()), interrupt)
}

/// The same of any cells and any figure of theirs.
pub fn sweep_subjects(
    subjects: &[Subject],
    draws: usize,
    figure: Figure,
    interrupt: &Arc<AtomicBool>,
) -> Result<Option<Sensitivity>, RunError> {
    let Some(Subject { cell, .. }) = subjects.first() else { return Ok(Some(Sensitivity::default())) };
    let varied = varied(&cell.machine.preset)?;
    let points = draws::points(&cell.machine.preset, &varied, draws, cell.machine.seed)?;
    let ends = varied.iter().flat_map(|v| [&v.low.1, &v.high.1]).map(|v| (&v.preset, v.differs));
    let drawn = points.iter().map(|(_, preset)| (preset, true));
    let jobs: Vec<(&Preset, bool, &Cell)> = ends
        .chain(drawn)
        .flat_map(|(preset, differs)| subjects.iter().map(move |s| (preset, differs, &s.cell)))
        .collect();
    let one = |&(preset, differs, cell): &(&Preset, bool, &Cell)| {
        let mut cell = cell.clone();
        cell.machine.preset = preset.clone();
        differs.then(|| run(&cell, interrupt)).transpose()
    };
    let outcomes = jobs.par_iter().with_max_len(1).map(one).collect::<Vec<_>>();
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
    if outcomes.iter().flatten().any(|o| o.stop == Stop::Interrupted) {
        return Ok(None);
    }
    let mut moves = outcomes.chunks(subjects.len()).map(|all| {
        subjects
            .iter()
            .zip(all)
            .map(|(s, outcome)| Move::new(s, outcome.as_ref(), figure))
            .collect::<Vec<_>>()
    });
    let mut next = || moves.next().unwrap_or_default();
    let mut end = |value| End { value, strategies: next() };
    let mut estimates = Vec::new();
    for v in varied {
        let (low, high) = (end(v.low.0), end(v.high.0));
        estimates.push(Estimate { key: v.key, base: v.base, source: v.source, low, high });
    }
    let draws: Vec<_> = points.into_iter().map(|(values, _)| Draw { values, strategies: next() }).collect();
    let figures = subjects.iter().filter_map(|s| Some((s.name.as_str(), s.base?))).collect();
    let conclusions = conclusions(figures, &estimates, &draws);
    Ok(Some(Sensitivity { notable_percent: NOTABLE_PERCENT, estimates, draws, conclusions }))
}

/// A number with a bracket, and the presets at its ends.
struct Varied {
    key: String,
    base: Number,
    source: String,
    low: (f64, Variant),
    high: (f64, Variant),
}

fn varied(preset: &Preset) -> Result<Vec<Varied>, KeyError> {
    let base = preset.costs();
    let at = |key: &str, value: f64, unit: &str| -> Result<(f64, Variant), KeyError> {
        let mut changed = preset.clone();
        changed.set(key, &format!("{value}{unit}"))?;
        let differs = changed.costs() != base;
        Ok((value, Variant { preset: changed, differs }))
    };
    let mut all = Vec::new();
    for n in preset.numbers() {
        let (Some(low), Some(high)) = (n.low, n.high) else { continue };
        let unit = n.unit.name();
        all.push(Varied {
            low: at(&n.key, low, unit)?,
            high: at(&n.key, high, unit)?,
            key: n.key,
            base: Number { value: n.value, unit: unit.into() },
            source: n.source,
        });
    }
    Ok(all)
}

impl Move {
    /// Against the base run. Without an outcome the costs are those of the base run, and so are the figures.
    fn new(subject: &Subject, outcome: Option<&Outcome>, figure: Figure) -> Move {
        let (cycles, problems) = match outcome {
            None => (subject.base, Vec::new()),
            Some(o) => (figure(o), o.row.problems()),
        };
        let change = cycles.zip(subject.base).map(|(now, then)| 100.0 * (now / then - 1.0));
        Move {
            strategy: subject.name.clone(),
            cycles_per_op: cycles,
            change_percent: change,
            notable: change.is_some_and(|c| c.abs() > NOTABLE_PERCENT),
            problems,
        }
    }
}

/// Cycles per operation, if there was an operation.
fn figure(row: &Row) -> Option<f64> {
    (row.operations > 0 && row.cycles_per_op > 0.0).then_some(row.cycles_per_op)
}

/// Each pair by the order of the base run's figures, and where it is the other way round.
fn conclusions(mut base: Vec<(&str, f64)>, estimates: &[Estimate], draws: &[Draw]) -> Vec<Conclusion> {
    base.sort_by(|a, b| a.1.total_cmp(&b.1));
    let pairs = base.iter().enumerate().flat_map(|(i, &a)| base[i + 1..].iter().map(move |&b| (a, b)));
    let all = pairs.map(|((cheaper, a), (dearer, b))| {
        let mut conclusion = Conclusion {
            cheaper: cheaper.into(),
            dearer: dearer.into(),
            margin_percent: margin(a, b),
            ends: 0,
            flips: Vec::new(),
            draws: draws::conclude(estimates, draws, cheaper, dearer),
        };
        for e in estimates {
            for end in [&e.low, &e.high] {
                let of =
                    |name| end.strategies.iter().find(|m| m.strategy == name).and_then(|m| m.cycles_per_op);
                let (Some(a), Some(b)) = (of(cheaper), of(dearer)) else { continue };
                conclusion.ends += 1;
                if b < a {
                    conclusion.flips.push(Flip {
                        key: e.key.clone(),
                        value: end.value,
                        unit: e.base.unit.clone(),
                        margin_percent: margin(b, a),
                    });
                }
            }
        }
        conclusion
    });
    all.collect()
}

/// By how many per cent of the first the second is dearer.
fn margin(cheaper: f64, dearer: f64) -> f64 {
    100.0 * (dearer / cheaper - 1.0)
}

impl Sensitivity {
    /// Each end with its estimate, in order, and whether it is the low or the high one.
    pub fn ends(&self) -> impl Iterator<Item = (&Estimate, &'static str, &End)> {
        self.estimates.iter().flat_map(|e| [(e, "low", &e.low), (e, "high", &e.high)])
    }

    /// What went wrong: in which strategy, where, and what.
    pub fn wrong(&self) -> Vec<(&str, String, &str)> {
        let ends = self.ends();
        let ends =
            ends.map(|(e, _, end)| (format!("{} = {} {}", e.key, end.value, e.base.unit), &end.strategies));
        let draws = self.draws.iter().enumerate();
        let draws =
            draws.map(|(n, draw)| (format!("draw {} of {}", n + 1, self.draws.len()), &draw.strategies));
        let mut all = Vec::new();
        for (place, strategies) in ends.chain(draws) {
            for m in strategies {
                all.extend(m.problems.iter().map(|p| (m.strategy.as_str(), place.clone(), p.as_str())));
            }
        }
        all
    }

    /// The same, a line each.
    pub fn problems(&self) -> Vec<String> {
        self.wrong().into_iter().map(|(name, place, problem)| format!("{name}, {place}: {problem}")).collect()
    }
}

impl Default for Sensitivity {
    /// Of nothing.
    fn default() -> Sensitivity {
        let (estimates, draws, conclusions) = (Vec::new(), Vec::new(), Vec::new());
        Sensitivity { notable_percent: NOTABLE_PERCENT, estimates, draws, conclusions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(value: f64, figures: &[(&str, Option<f64>)]) -> End {
        let one = |&(name, cycles_per_op): &(&str, Option<f64>)| Move {
            strategy: name.into(),
            cycles_per_op,
            change_percent: cycles_per_op.map(|c| c - 100.0),
            notable: cycles_per_op.is_some_and(|c| (c - 100.0).abs() > NOTABLE_PERCENT),
            problems: Vec::new(),
        };
        End { value, strategies: figures.iter().map(one).collect() }
    }

    fn estimate(low: End, high: End) -> Estimate {
        let base = Number { value: 2.0, unit: "cycles".into() };
        Estimate { key: "cost.x".into(), base, source: "estimate: none".into(), low, high }
    }

    #[test]
    fn a_conclusion_flips_only_where_the_other_is_cheaper() {
        let e = estimate(
            end(1.0, &[("a", Some(150.0)), ("b", Some(150.0)), ("c", None)]),
            end(3.0, &[("a", Some(150.0)), ("b", Some(120.0)), ("c", Some(400.0))]),
        );
        let all = conclusions(vec![("b", 125.0), ("a", 100.0), ("c", 300.0)], &[e], &[]);
        let pairs: Vec<_> =
            all.iter().map(|c| (c.cheaper.as_str(), c.dearer.as_str(), c.ends, c.flips.len())).collect();
        assert_eq!(pairs, [("a", "b", 2, 1), ("a", "c", 1, 0), ("b", "c", 1, 0)]);
        assert_eq!(all[0].margin_percent, 25.0);
        // A tie is no flip; at the high end b is cheaper, and a dearer by a quarter.
        let flip = &all[0].flips[0];
        assert_eq!((flip.value, flip.margin_percent), (3.0, 25.0));
    }

    #[test]
    fn the_text_names_what_moves_and_what_flips() {
        let e = estimate(
            end(1.0, &[("a", Some(100.5)), ("b", Some(99.98))]),
            end(3.0, &[("a", Some(125.0)), ("b", None)]),
        );
        let all = conclusions(vec![("a", 100.0), ("b", 110.0)], std::slice::from_ref(&e), &[]);
        let mut s = Sensitivity { estimates: vec![e], conclusions: all, ..Sensitivity::default() };
        let text = render(&s);
        for words in [
            "each of 1 estimates",
            "high 3 cycles",
            "+25.0 % *",
            "no figure *",
            "1 other ends move nothing",
            "more than 10 %, from cost.x.",
            "a is cheaper than b by 10.0 %: FLIPS at 1 of 1 ends:",
            "cost.x = 1 cycles: b is cheaper by 0.5 %",
        ] {
            assert!(text.contains(words), "no '{words}' in:\n{text}");
        }
        s.estimates[0].high.strategies[1].problems.push("it got stuck".into());
        assert!(render(&s).contains("WRONG: b, cost.x = 3 cycles: it got stuck."));
    }

    #[test]
    fn the_text_says_in_how_many_draws_it_holds() {
        let e = estimate(end(1.0, &[]), end(3.0, &[]));
        let draw = |n: u32| {
            let value = 1.0 + f64::from(n) / 20.0;
            let figures = [("a", Some(100.0)), ("b", Some(if n < 30 { 120.0 } else { 90.0 }))];
            Draw { values: vec![value], strategies: end(0.0, &figures).strategies }
        };
        let mut draws: Vec<_> = (0..40).map(draw).collect();
        let base = || vec![("a", 100.0), ("b", 110.0)];
        let all = conclusions(base(), std::slice::from_ref(&e), &draws);
        draws[6].strategies[1].problems.push("it got stuck".into());
        let s = Sensitivity { estimates: vec![e], conclusions: all, draws, ..Sensitivity::default() };
        let text = render(&s);
        for words in [
            "and in 40 draws of all of them together",
            "    drawn together: holds in 75 % [60 %, 86 %] of 40 draws; flips where cost.x > 2.45 cycles (right in 40 of 40).",
            "WRONG: b, draw 7 of 40: it got stuck.",
        ] {
            assert!(text.contains(words), "no '{words}' in:\n{text}");
        }
    }

    #[test]
    fn every_bracket_of_every_preset_can_be_run() {
        for preset in Preset::names().filter_map(Preset::builtin) {
            let all = varied(&preset).unwrap_or_else(|e| panic!("{}: {e}", preset.name));
            let estimates = preset.numbers().into_iter().filter(|n| n.low.is_some()).count();
            assert!(all.len() == estimates && estimates > 10, "{}: {estimates}", preset.name);
            for v in &all {
                for (value, variant) in [&v.low, &v.high] {
                    let set = variant.preset.numbers().into_iter().find(|n| n.key == v.key).expect("the key");
                    assert_eq!((set.value, set.unit.name()), (*value, v.base.unit.as_str()), "{}", v.key);
                    assert_eq!(variant.differs, variant.preset.costs() != preset.costs(), "{}", v.key);
                }
            }
            let points =
                draws::points(&preset, &all, 40, 1).unwrap_or_else(|e| panic!("{}: {e}", preset.name));
            assert_eq!(points.len(), 40);
            for (values, drawn) in points {
                for (v, value) in all.iter().zip(values) {
                    assert!((v.low.0..=v.high.0).contains(&value), "{} = {value}", v.key);
                    let set = drawn.numbers().into_iter().find(|n| n.key == v.key).expect("the key");
                    assert_eq!((set.value, set.unit.name()), (value, v.base.unit.as_str()), "{}", v.key);
                }
            }
        }
    }
}
