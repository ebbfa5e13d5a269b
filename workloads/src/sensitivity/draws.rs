//! All estimates at once: draws from a Latin hypercube over their brackets, in how many of them a conclusion holds, and
//! on which number it hangs.
//!
//! One estimate at a time leaves out what two do together. A draw gives every estimate a value within its bracket; all of a
//! bracket is taken to be equally likely, and one estimate to say nothing about another. So a share of draws is no
//! probability that a conclusion is true: it says how much of the room that is left open by what is published it fills.

use super::threshold::{Side, decisive};
use super::{Estimate, Move, Varied, hypercube};
use crate::cell::KeyError;
use crate::statistics::Interval;
use serde::{Deserialize, Serialize};
use shootdown_emu::Preset;

/// Draws where nothing else is asked for.
pub const DRAWS: usize = 40;
/// The most that may be asked for.
pub const MAX_DRAWS: u64 = 1000;

/// Every estimate at some value, and what comes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Draw {
    /// The value of each estimate, in their order and units.
    pub values: Vec<f64>,
    /// Each strategy there, in the order of the report's rows.
    pub strategies: Vec<Move>,
}

/// A conclusion over all draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// Draws in which both have a figure.
    pub draws: usize,
    /// Those of them in which the order is that of the base run.
    pub held: usize,
    /// Their share, in place of a median, with Wilson's 95 % interval.
    pub share: Interval,
    /// The one number that tells which draws flip; null if there is none, or nothing to tell apart.
    pub hangs_on: Option<Threshold>,
}

/// Where a conclusion flips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The estimate.
    pub key: String,
    /// On which side of the value it flips.
    pub side: Side,
    /// The last value drawn on the other side, in the unit.
    pub value: f64,
    /// The unit.
    pub unit: String,
    /// Draws of which it tells rightly whether the conclusion holds.
    pub right: usize,
}

/// The values of each draw, and the preset with them.
pub(super) fn points(
    preset: &Preset,
    varied: &[Varied],
    draws: usize,
    seed: u64,
) -> Result<Vec<(Vec<f64>, Preset)>, KeyError> {
    let cube = hypercube::latin(draws, varied.len(), seed);
    // Without an estimate every draw is the base run.
    let some = cube.into_iter().filter(|parts| !parts.is_empty());
    let one = |parts: Vec<f64>| {
        let mut drawn = preset.clone();
        let mut values = Vec::with_capacity(parts.len());
        for (v, part) in varied.iter().zip(parts) {
            let value = hypercube::within((v.low.0, v.high.0), part);
            drawn.set(&v.key, &format!("{value}{}", v.base.unit))?;
            values.push(value);
        }
        Ok((values, drawn))
    };
    some.map(one).collect()
}

/// How the order of two holds over the draws; `None` where none has both.
pub(super) fn conclude(estimates: &[Estimate], draws: &[Draw], cheaper: &str, dearer: &str) -> Option<Drawn> {
    let figure = |draw: &Draw, name: &str| draw.strategies.iter().find(|m| m.strategy == name)?.cycles_per_op;
    let both = draws.iter().filter_map(|d| Some((d, figure(d, cheaper)?, figure(d, dearer)?)));
    let (values, flips): (Vec<&[f64]>, Vec<bool>) = both.map(|(d, a, b)| (&d.values[..], b < a)).unzip();
    let held = flips.iter().filter(|flips| !**flips).count();
    let hangs_on = decisive(&values, &flips).and_then(|cut| {
        let estimate = estimates.get(cut.key)?;
        Some(Threshold {
            key: estimate.key.clone(),
            side: cut.side,
            value: cut.value,
            unit: estimate.base.unit.clone(),
            right: flips.len() - cut.wrong,
        })
    });
    Some(Drawn { draws: flips.len(), held, share: Interval::share(held, flips.len())?, hangs_on })
}

impl Drawn {
    /// As the end of a sentence: `holds in 97 % [86 %, 99 %] of 40 draws; flips where cost.invlpg > 140 cycles`.
    pub fn told(&self) -> String {
        let per_cent = |share: f64| 100.0 * share;
        let Interval { median, low, high, .. } = self.share;
        let held = format!(
            "holds in {:.0} % [{:.0} %, {:.0} %] of {} draws",
            per_cent(median),
            per_cent(low),
            per_cent(high),
            self.draws
        );
        match &self.hangs_on {
            _ if self.held == self.draws => format!("{held}; none flips it"),
            _ if self.held == 0 => format!("{held}; each flips it"),
            Some(Threshold { key, side, value, unit, right }) => {
                let sign = side.sign();
                let all = self.draws;
                format!("{held}; flips where {key} {sign} {value} {unit} (right in {right} of {all})")
            }
            None => format!("{held}; no single number decides"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Number;
    use crate::sensitivity::End;

    const KEYS: [&str; 4] = ["cost.alu", "cost.invlpg", "cost.walk", "cost.memory"];

    fn estimates() -> Vec<Estimate> {
        let end = || End { value: 0.0, strategies: Vec::new() };
        let base = || Number { value: 90.0, unit: "cycles".into() };
        let one = |key: &&str| Estimate {
            key: (*key).into(),
            base: base(),
            source: "estimate".into(),
            low: end(),
            high: end(),
        };
        KEYS.iter().map(one).collect()
    }

    /// Forty draws of numbers from 60 to 180; `a` costs 1000, `b` what is said.
    fn draws(b: impl Fn(&[f64]) -> Option<f64>) -> Vec<Draw> {
        let one = |parts: Vec<f64>| {
            let values: Vec<f64> =
                parts.into_iter().map(|part| hypercube::within((60.0, 180.0), part)).collect();
            let of = |name: &str, cycles_per_op| Move {
                strategy: name.into(),
                cycles_per_op,
                change_percent: None,
                notable: false,
                problems: Vec::new(),
            };
            let strategies = vec![of("a", Some(1000.0)), of("b", b(&values))];
            Draw { values, strategies }
        };
        hypercube::latin(40, KEYS.len(), 5).into_iter().map(one).collect()
    }

    fn drawn(b: impl Fn(&[f64]) -> Option<f64>) -> Drawn {
        conclude(&estimates(), &draws(b), "a", "b").expect("both have figures")
    }

    #[test]
    fn an_order_that_hangs_on_one_number_is_told_with_it() {
        let d = drawn(|v| Some(1140.0 - v[1]));
        assert_eq!((d.draws, d.held), (40, draws(|_| None).iter().filter(|d| d.values[1] <= 140.0).count()));
        let t = d.hangs_on.as_ref().expect("it hangs on one number");
        assert_eq!((t.key.as_str(), t.side, t.right), ("cost.invlpg", Side::Above, 40));
        assert!((137.0..=140.0).contains(&t.value), "{t:?}");
        let text = d.told();
        let expected = format!("; flips where cost.invlpg > {} cycles (right in 40 of 40)", t.value);
        assert!(text.starts_with("holds in 6") && text.ends_with(&expected), "{text}");
    }

    #[test]
    fn an_order_that_never_flips_or_always_does_says_so() {
        let never = drawn(|_| Some(1000.0));
        assert_eq!((never.held, &never.hangs_on), (40, &None), "a tie is no flip");
        assert_eq!(never.told(), "holds in 100 % [91 %, 100 %] of 40 draws; none flips it");
        assert_eq!(drawn(|_| Some(9.0)).told(), "holds in 0 % [0 %, 9 %] of 40 draws; each flips it");
    }

    #[test]
    fn an_order_that_hangs_on_several_numbers_is_said_to() {
        // Where one of two is high and the other low.
        let d = drawn(|v| Some(if (v[0] > 120.0) == (v[1] > 120.0) { 1100.0 } else { 900.0 }));
        assert!(d.held > 10 && d.held < 30 && d.hangs_on.is_none(), "{d:?}");
        assert!(d.told().ends_with("; no single number decides"), "{}", d.told());
    }

    #[test]
    fn a_draw_without_a_figure_does_not_count() {
        let d = drawn(|v| (v[0] < 120.0).then_some(2000.0));
        assert!(d.draws < 30 && d.held == d.draws, "{d:?}");
        assert_eq!(conclude(&estimates(), &draws(|_| None), "a", "b"), None);
    }
}
