//! Several seeds of a comparison: what they say together.
//!
//! The runs differ in nothing but the seed, so that a figure's spread over them is what chance does to it. Each figure is told
//! as the median of the seeds with its 95 % bootstrap interval; two strategies are held against each other seed by seed,
//! so that what a seed does to both falls away. A run that found something wrong has no part in either.
//!
//! Left out: corrections for many comparisons at once. With ten pairs of strategies one interval in twenty is still expected
//! to miss.

mod text;

pub use text::render;

use crate::figures::figures;
use crate::report::Row;
use crate::statistics::{Interval, Pairs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most seeds of a comparison.
pub const MAX_SEEDS: u64 = 1000;

/// The section of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// The seeds asked for; the first is `config.machine.seed`.
    pub seeds: Vec<u64>,
    /// What the seeds say of each strategy, in the order asked for.
    pub strategies: Vec<Medians>,
    /// Each pair of strategies, ordered by cost.
    pub pairs: Vec<Pair>,
    /// The rows of the other seeds than the first.
    pub rows: Vec<SeededRows>,
}

/// The rows of a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SeededRows {
    /// The seed.
    pub seed: u64,
    /// One row for each strategy, in the order asked for.
    pub rows: Vec<Row>,
}

/// What the seeds say of a strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Medians {
    /// The strategy.
    pub strategy: String,
    /// Seeds whose runs are sound.
    pub sound: usize,
    /// Each figure of a row by its name in CSV; empty when no run is sound.
    pub metrics: BTreeMap<String, Interval>,
}

/// Two strategies on equal seeds, by their cycles per operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The one with the lower median.
    pub cheaper: String,
    /// The other.
    pub dearer: String,
    /// How many times the cheaper one's cycles the dearer one takes.
    pub ratio: Interval,
    /// How many cycles more the dearer one takes for an operation.
    pub difference: Interval,
    /// On how many seeds, of `ratio.n`, the cheaper one is cheaper.
    pub cheaper_on: usize,
}

impl Seeds {
    /// The section of all rows with their seeds, those of the first seed first.
    pub fn new(seeds: Vec<u64>, strategies: &[&str], rows: &[(u64, Row)]) -> Seeds {
        let sound = |strategy: &str| -> Vec<&(u64, Row)> {
            rows.iter().filter(|(_, r)| r.strategy == strategy && r.problems().is_empty()).collect()
        };
        let others = seeds.iter().skip(1).map(|&seed| SeededRows {
            seed,
            rows: rows.iter().filter(|(of, _)| *of == seed).map(|(_, row)| row.clone()).collect(),
        });
        Seeds {
            strategies: strategies.iter().map(|s| Medians::new(s, &sound(s))).collect(),
            pairs: pairs(strategies, sound),
            rows: others.collect(),
            seeds,
        }
    }

    /// The rows of the other seeds than the first, with their seeds.
    pub fn others(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.rows.iter().flat_map(|of| of.rows.iter().map(|row| (of.seed, row)))
    }
}

impl Medians {
    fn new(strategy: &str, sound: &[&(u64, Row)]) -> Medians {
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for figure in sound.iter().flat_map(|(_, row)| figures(row)) {
            values.entry(figure.metric).or_default().push(figure.value.number());
        }
        let metrics = values.into_iter().filter_map(|(name, values)| Some((name, Interval::of(&values)?)));
        Medians { strategy: strategy.into(), sound: sound.len(), metrics: metrics.collect() }
    }
}

/// Seeds with cycles per operation.
type Costs = Vec<(u64, f64)>;

/// All pairs of strategies that have sound runs, the cheapest first.
fn pairs<'a>(strategies: &[&str], sound: impl Fn(&str) -> Vec<&'a (u64, Row)>) -> Vec<Pair> {
    let mut costs: Vec<(&str, f64, Costs)> = Vec::new();
    for strategy in strategies {
        let each: Costs = sound(strategy).iter().map(|(seed, row)| (*seed, row.cycles_per_op)).collect();
        let values: Vec<_> = each.iter().map(|(_, value)| *value).collect();
        if let Some(interval) = Interval::of(&values) {
            costs.push((strategy, interval.median, each));
        }
    }
    costs.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut all = Vec::new();
    for (number, (cheaper, _, low)) in costs.iter().enumerate() {
        for (dearer, _, high) in costs.iter().skip(number + 1) {
            let pairs = Pairs::new(low, high);
            if let (Some(ratio), Some(difference)) = (pairs.ratio(), pairs.difference()) {
                let (cheaper, dearer) = ((*cheaper).to_owned(), (*dearer).to_owned());
                all.push(Pair { cheaper, dearer, ratio, difference, cheaper_on: pairs.less() });
            }
        }
    }
    all
}
