//! Statistics of results: lines through points, medians over seeds with their intervals.

use crate::random::Random;
use serde::{Deserialize, Serialize};

/// A straight line through points, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Change of y for one x.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// Part of the variance that the line explains, 0 to 1.
    pub r2: f64,
}

impl Line {
    /// The line through at least two points with different x; `None` for fewer.
    pub fn fit(points: &[(f64, f64)]) -> Option<Line> {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
        let sxx: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
        let syy: f64 = points.iter().map(|p| (p.1 - my).powi(2)).sum();
        let sxy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        if points.len() < 2 || sxx == 0.0 {
            return None;
        }
        let slope = sxy / sxx;
        let r2 = if syy == 0.0 { 1.0 } else { sxy * sxy / (sxx * syy) };
        Some(Line { slope, intercept: my - slope * mx, r2 })
    }

    /// y on the line.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

/// 97.5 % of a normal distribution are below so many standard deviations.
const Z: f64 = 1.959_964;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// With fewer values than this even the interval from the least to the greatest holds the median with less than 95 %: of
/// n values, 1 - 2^(1 - n).
pub const FEWEST: usize = 6;

/// A median with its 95 % interval. Of fewer than [`FEWEST`] values the interval is narrower than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// 2.5 % of the bootstrap's medians are below.
    pub low: f64,
    /// 2.5 % of the bootstrap's medians are above.
    pub high: f64,
    /// Number of values. With one value `low` and `high` are that value and say nothing.
    pub n: usize,
}

/// The value in the middle; of an even number the mean of both. `None` for no value.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[half]),
        _ => Some((sorted[half - 1] + sorted[half]) / 2.0),
    }
}

impl Interval {
    /// The share of `some` among `all`, in place of a median, with Wilson's 95 % score interval (J. Am. Stat. Assoc. 22,
    /// 1927); `None` of none.
    pub fn share(some: usize, all: usize) -> Option<Interval> {
        if all == 0 {
            return None;
        }
        let (n, p) = (all as f64, some as f64 / all as f64);
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        let (low, high) = (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0));
        Some(Interval { median: p, low, high, n: all })
    }

    /// Median and 95 % percentile-bootstrap interval of values over seeds. `None` for no value.
    pub fn of(values: &[f64]) -> Option<Interval> {
        let middle = median(values)?;
        if values.iter().all(|v| *v == middle) {
            // So are all resamples.
            return Some(Interval { median: middle, low: middle, high: middle, n: values.len() });
        }
        let mut resampled = Vec::with_capacity(values.len());
        let (low, high) = bootstrap(values.len(), |sample| {
            resampled.clear();
            resampled.extend(sample.iter().map(|&i| values[i]));
            median(&resampled)
        })?;
        Some(Interval { median: middle, low, high, n: values.len() })
    }
}

/// The 95 % percentile-bootstrap interval of a statistic of `n` things (Efron and Tibshirani, "An Introduction to the
/// Bootstrap", 1993, chapter 13). `of` is given the numbers, below `n`, of the things of a resample; resamples that it makes
/// nothing of do not count. The same statistic gives the same interval: the resampling has a seed of its own. `None` when
/// no resample gave a value.
pub fn bootstrap(n: usize, mut of: impl FnMut(&[usize]) -> Option<f64>) -> Option<(f64, f64)> {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut sample = vec![0; n];
    let mut values = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        sample.fill_with(|| random.below(n));
        values.extend(of(&sample));
    }
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values.get((values.len().saturating_sub(1) as f64 * part).round() as usize).copied();
    Some((at(0.025)?, at(0.975)?))
}

/// Two things measured with the same seeds: what one seed does to both falls away when each is held against its partner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    /// The pairs of the seeds that both have, from seeds with values.
    pub fn new(a: &[(u64, f64)], b: &[(u64, f64)]) -> Pairs {
        let partner = |seed: u64| a.iter().find(|(other, _)| *other == seed).map(|(_, value)| *value);
        Pairs(b.iter().filter_map(|(seed, value)| Some((partner(*seed)?, *value))).collect())
    }

    /// The interval of `b / a`; `None` without a pair whose `a` is not 0.
    pub fn ratio(&self) -> Option<Interval> {
        let divisible = self.0.iter().filter(|(a, _)| *a != 0.0);
        Interval::of(&divisible.map(|(a, b)| b / a).collect::<Vec<_>>())
    }

    /// The interval of `b - a`; `None` without a pair.
    pub fn difference(&self) -> Option<Interval> {
        Interval::of(&self.0.iter().map(|(a, b)| b - a).collect::<Vec<_>>())
    }

    /// The interval of how much farther apart the two are than those of `part` on the same seeds; `None` without a pair. Both
    /// have the same seeds.
    pub fn beyond(&self, part: &Pairs) -> Option<Interval> {
        let more = self.0.iter().zip(&part.0).map(|((a, b), (c, d))| (b - a) - (d - c));
        Interval::of(&more.collect::<Vec<_>>())
    }

    /// On how many seeds `a` is less than `b`.
    pub fn less(&self) -> usize {
        self.0.iter().filter(|(a, b)| a < b).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of none among n it reaches from 0 to z^2 / (n + z^2).
    #[test]
    fn a_share_has_an_interval_that_stays_within_0_and_1() {
        let close = |i: Interval, low: f64, high: f64| {
            assert!((i.low - low).abs() < 5e-4 && (i.high - high).abs() < 5e-4, "{i:?}");
        };
        close(Interval::share(0, 10).unwrap(), 0.0, 0.2775);
        close(Interval::share(10, 10).unwrap(), 0.7225, 1.0);
        close(Interval::share(5, 10).unwrap(), 0.2366, 0.7634);
        assert_eq!(Interval::share(3, 4).map(|i| (i.median, i.n)), Some((0.75, 4)));
        assert_eq!(Interval::share(0, 0), None);
    }

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[5.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn an_interval_holds_the_median_and_narrows_with_more_seeds() {
        let values = |n: u64| -> Vec<f64> { (0..n).map(|i| 100.0 + (i * 7919 % 101) as f64).collect() };
        let (few, many) = (Interval::of(&values(10)).unwrap(), Interval::of(&values(101)).unwrap());
        for i in [few, many] {
            assert!(i.low <= i.median && i.median <= i.high, "{i:?}");
        }
        assert!(many.high - many.low < few.high - few.low);
        assert_eq!(Interval::of(&values(10)), Some(few), "the same every time");
        assert_eq!(Interval::of(&[7.0]), Some(Interval { median: 7.0, low: 7.0, high: 7.0, n: 1 }));
        // 101 equally spaced values: the interval of the median is about +-1.96 * sqrt(n) / 2 ranks, +-9.8 here.
        assert!((many.high - many.low - 19.6).abs() < 4.0, "{many:?}");
    }

    #[test]
    fn a_bootstrap_of_a_pooled_share_is_about_its_standard_error() {
        // Shares of 40 equal parts, 0 and 1 in turn: a standard error of 0.5 / sqrt(40), 1.96 of it on both sides.
        let (low, high) =
            bootstrap(40, |s| Some(s.iter().filter(|&&i| i % 2 == 0).count() as f64 / 40.0)).unwrap();
        assert!((high - low - 0.31).abs() < 0.06, "{low} {high}");
        assert_eq!(bootstrap(3, |_| None), None);
    }

    #[test]
    fn pairs_are_made_by_seed() {
        let a = [(1, 10.0), (2, 20.0), (3, 30.0)];
        let b = [(3, 60.0), (1, 20.0), (4, 1.0)];
        let pairs = Pairs::new(&a, &b);
        let ratio = pairs.ratio().unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high, ratio.n), (2.0, 2.0, 2.0, 2));
        let difference = pairs.difference().unwrap();
        assert_eq!((difference.median, difference.low, difference.high, pairs.less()), (20.0, 10.0, 30.0, 2));
        // 10 and 30 more, of which 4 and 4 are told.
        let part = Pairs::new(&[(1, 1.0), (3, 2.0)], &[(1, 5.0), (3, 6.0)]);
        assert_eq!(pairs.beyond(&part).unwrap().median, 16.0);
        let none = Pairs::new(&a, &[(9, 1.0)]);
        assert_eq!((none.ratio(), none.difference(), none.less()), (None, None, 0));
    }

    #[test]
    fn a_line_through_points_on_a_line_is_that_line() {
        let l = Line::fit(&[(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)]).unwrap();
        assert!(
            (l.slope - 2.0).abs() < 1e-12 && (l.intercept - 3.0).abs() < 1e-12 && (l.r2 - 1.0).abs() < 1e-12
        );
        assert!((l.at(10.0) - 23.0).abs() < 1e-12);
    }

    #[test]
    fn scatter_lowers_r2() {
        // By hand: means 2 and 2, sxx 2, sxy 1, syy 2.
        let l = Line::fit(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]).unwrap();
        assert!(
            (l.slope - 0.5).abs() < 1e-12 && (l.intercept - 1.0).abs() < 1e-12 && (l.r2 - 0.25).abs() < 1e-12
        );
    }

    #[test]
    fn one_point_or_one_x_makes_no_line() {
        assert_eq!(Line::fit(&[(1.0, 1.0)]), None);
        assert_eq!(Line::fit(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
