//! What hangs on the estimates of a preset: the cell is run at both ends of the
//! bracket of each, one at a time, all else as it was.
//!
//! *Moves*: by how much a strategy's cycles per operation change against the base run,
//! which has every number at its value. *Conclusions*: which of two strategies is the cheaper one in
//! the base run; a conclusion *flips* where the other one is cheaper. A small margin in the base run says
//! that a flip means little: another seed may do the same.
//!
//! Only numbers with a bracket are varied. A number that was set for the run (`--set cost.invlpg=120`) has
//! none and stays. Left out: several estimates at a time. Two that push the same way may flip what neither
//! flips alone.

mod text;

pub use text::render;

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

/// A strategy at one end of a bracket.
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
    /// Those of them at which it is the cheaper one.
    pub flips: Vec<Flip>,
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

/// How many runs a [`sweep`] of a cell under so many strategies takes: an end that costs what the base run does takes none.
pub fn runs(cell: &Cell, strategies: usize) -> Result<usize, KeyError> {
    let varied = varied(&cell.machine.preset)?;
    let ends = varied.iter().flat_map(|v| [&v.low.1, &v.high.1]);
    Ok(strategies * ends.filter(|end| end.differs).count())
}

/// Runs `cell` under `strategies` at both ends of every bracket. `base` are the rows of the cell as it is, one for
/// each strategy. `None`: it was interrupted.
pub fn sweep(
    cell: &Cell,
    strategies: &[Strategy],
    base: &[Row],
    interrupt: &Arc<AtomicBool>,
) -> Result<Option<Sensitivity>, RunError> {
    let cells: Vec<Cell> = strategies.iter().map(|&strategy| cell.with(strategy)).collect();
    sweep_cells(&cells, base, interrupt)
}

/// The same of cells that differ in more than their strategies, but have one preset. `base` is named by what stands for the
/// strategy in its rows.
pub fn sweep_cells(
    cells: &[Cell],
    base: &[Row],
    interrupt: &Arc<AtomicBool>,
) -> Result<Option<Sensitivity>, RunError> {
    let varied = cells.first().map_or(Ok(Vec::new()), |cell| varied(&cell.machine.preset))?;
    let variants = varied.iter().flat_map(|v| [&v.low.1, &v.high.1]);
    let jobs: Vec<(Cell, bool)> = variants
        .flat_map(|v| {
            cells.iter().map(|cell| {
                let mut cell = cell.clone();
                cell.machine.preset = v.preset.clone();
                (cell, v.differs)
            })
        })
        .collect();
    let one = |(cell, differs): &(Cell, bool)| differs.then(|| run(cell, interrupt)).transpose();
    let outcomes = jobs.par_iter().map(one).collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>, _>>()?;
    if outcomes.iter().flatten().any(|o| o.stop == Stop::Interrupted) {
        return Ok(None);
    }
    let mut moves = outcomes.chunks(cells.len().max(1)).map(|end| {
        base.iter().zip(end).map(|(row, outcome)| Move::new(row, outcome.as_ref())).collect::<Vec<_>>()
    });
    let mut end = |value| End { value, strategies: moves.next().unwrap_or_default() };
    let mut estimates = Vec::new();
    for v in varied {
        let (low, high) = (end(v.low.0), end(v.high.0));
        estimates.push(Estimate { key: v.key, base: v.base, source: v.source, low, high });
    }
    let figures = base.iter().filter_map(|r| Some((r.strategy.as_str(), figure(r)?))).collect();
    let conclusions = conclusions(figures, &estimates);
    Ok(Some(Sensitivity { notable_percent: NOTABLE_PERCENT, estimates, conclusions }))
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
    /// Against the row of the base run. Without an outcome the costs are those of the base run, and so are the figures.
    fn new(base: &Row, outcome: Option<&Outcome>) -> Move {
        let (cycles, problems) = match outcome {
            None => (figure(base), Vec::new()),
            Some(o) => (o.is_complete().then(|| figure(&o.row)).flatten(), o.row.problems()),
        };
        let change = cycles.zip(figure(base)).map(|(now, then)| 100.0 * (now / then - 1.0));
        Move {
            strategy: base.strategy.clone(),
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
fn conclusions(mut base: Vec<(&str, f64)>, estimates: &[Estimate]) -> Vec<Conclusion> {
    base.sort_by(|a, b| a.1.total_cmp(&b.1));
    let pairs = base.iter().enumerate().flat_map(|(i, &a)| base[i + 1..].iter().map(move |&b| (a, b)));
    let all = pairs.map(|((cheaper, a), (dearer, b))| {
        let mut conclusion = Conclusion {
            cheaper: cheaper.into(),
            dearer: dearer.into(),
            margin_percent: margin(a, b),
            ends: 0,
            flips: Vec::new(),
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

    /// What went wrong at the ends, a line each.
    pub fn problems(&self) -> Vec<String> {
        let of = |(e, _, end): (&Estimate, &str, &End)| -> Vec<String> {
            let at = format!("{} = {} {}", e.key, end.value, e.base.unit);
            let all = end.strategies.iter().flat_map(|m| m.problems.iter().map(|p| (&m.strategy, p)));
            all.map(|(strategy, problem)| format!("{strategy}, {at}: {problem}")).collect()
        };
        self.ends().flat_map(of).collect()
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
        let all = conclusions(vec![("b", 125.0), ("a", 100.0), ("c", 300.0)], &[e]);
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
        let all = conclusions(vec![("a", 100.0), ("b", 110.0)], std::slice::from_ref(&e));
        let mut s = Sensitivity { notable_percent: NOTABLE_PERCENT, estimates: vec![e], conclusions: all };
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
        }
    }
}
