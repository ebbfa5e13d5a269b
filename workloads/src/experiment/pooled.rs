//! Percentiles of the events of all seeds together.
//!
//! A run has some hundred kmaps: its 99.9th percentile is its slowest one. Twenty runs have twenty times as many, and one in a
//! thousand of these is not the last. What is resampled for the interval are the runs, since events of one run hang together.

use crate::statistics::{Interval, bootstrap};
use hdrhistogram::Histogram;

/// Percentiles by the last part of a metric's name.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// The histogram and the quantile that a metric as `kmap_latency.p99` names; `None` if it names something else.
pub fn quantile_of(metric: &str) -> Option<(&str, f64)> {
    let (of, part) = metric.rsplit_once('.')?;
    QUANTILES.iter().find(|(name, _)| *name == part).map(|(_, q)| (of, *q))
}

/// The events of a run: values with how many there are, upwards.
pub type Events = Vec<(u64, u64)>;

/// What a histogram has recorded.
pub fn events(histogram: &Histogram<u64>) -> Events {
    histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
}

/// The events of some runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Value, run, how many; downwards.
    events: Vec<(u64, usize, u64)>,
    /// Events of each run.
    counts: Vec<u64>,
}

impl Pool {
    /// Of runs, in the order of their seeds.
    pub fn new<'a>(runs: impl Iterator<Item = &'a Events>) -> Pool {
        let mut pool = Pool::default();
        for (run, events) in runs.enumerate() {
            pool.events.extend(events.iter().map(|(value, count)| (*value, run, *count)));
            pool.counts.push(events.iter().map(|(_, count)| count).sum());
        }
        pool.events.sort_unstable_by(|a, b| b.cmp(a));
        pool
    }

    /// The least value that so many of all events are not above, each run taken so many times; `None` of no events.
    fn quantile(&self, q: f64, times: &[u64]) -> Option<f64> {
        let all: u64 = self.counts.iter().zip(times).map(|(count, n)| count * n).sum();
        // 0.99 of 100 is 99, whatever comes of it in binary.
        let above = all - (all as f64 * q - 1e-6).ceil() as u64;
        let mut seen = 0;
        let of_this = |&&(_, run, count): &&(u64, usize, u64)| {
            seen += count * times[run];
            seen > above
        };
        self.events.iter().find(of_this).map(|(value, ..)| *value as f64)
    }

    /// A quantile, 0 to 1, of all events, with its 95 % interval over runs.
    pub fn interval(&self, q: f64) -> Option<Interval> {
        let runs = self.counts.len();
        let middle = self.quantile(q, &vec![1; runs])?;
        let (low, high) = bootstrap(runs, |sample| self.quantile(q, &times(runs, sample)))?;
        Some(Interval { median: middle, low, high, n: runs })
    }

    /// How many times its value here the quantile has in `other`, of runs of the same seeds.
    pub fn ratio(&self, other: &Pool, q: f64) -> Option<Interval> {
        let runs = self.counts.len().min(other.counts.len());
        let ratio = |times: &[u64]| {
            let below = self.quantile(q, times).filter(|v| *v > 0.0)?;
            Some(other.quantile(q, times)? / below)
        };
        let middle = ratio(&vec![1; runs])?;
        let (low, high) = bootstrap(runs, |sample| ratio(&times(runs, sample)))?;
        Some(Interval { median: middle, low, high, n: runs })
    }
}

/// How many times each run is in a resample.
fn times(runs: usize, sample: &[usize]) -> Vec<u64> {
    let mut times = vec![0; runs];
    sample.iter().for_each(|run| times[*run] += 1);
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_that_of_the_histograms_added() {
        let mut all = shootdown_emu::histogram::new();
        let runs: Vec<Events> = (1..=20u64)
            .map(|seed| {
                let mut one = shootdown_emu::histogram::new();
                (1..=100).for_each(|n| one.record(n * n % (90 + seed) * seed).unwrap());
                all.add(&one).unwrap();
                events(&one)
            })
            .collect();
        let pool = Pool::new(runs.iter());
        for (_, q) in QUANTILES {
            let i = pool.interval(q).unwrap();
            assert_eq!(i.median, all.value_at_quantile(q) as f64, "{q}");
            assert!(i.low <= i.median && i.median <= i.high && i.n == 20, "{i:?}");
        }
    }

    #[test]
    fn one_slow_event_of_one_run_is_no_percentile_of_all() {
        let slow = |run: usize| if run == 3 { vec![(10, 99), (5000, 1)] } else { vec![(10, 100)] };
        let runs: Vec<Events> = (0..20).map(slow).collect();
        let pool = Pool::new(runs.iter());
        assert_eq!(pool.interval(0.999).map(|i| (i.median, i.low)), Some((10.0, 10.0)));
        assert_eq!(pool.interval(1.0).map(|i| (i.median, i.low)), Some((5000.0, 10.0)));
    }

    #[test]
    fn a_ratio_is_of_the_same_runs() {
        let of = |scale: u64| -> Vec<Events> {
            (1..=20).map(|seed| vec![(seed * scale, 50), (seed * 100 * scale, 50)]).collect()
        };
        let (a, b) = (of(1), of(3));
        let ratio = Pool::new(a.iter()).ratio(&Pool::new(b.iter()), 0.99).unwrap();
        assert_eq!((ratio.low, ratio.median, ratio.high), (3.0, 3.0, 3.0));
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        let none: Vec<Events> = vec![vec![]; 3];
        assert_eq!(Pool::new(none.iter()).interval(0.5), None);
        assert_eq!(Pool::new([].iter()).interval(0.5), None);
        assert_eq!(quantile_of("kmap_latency.p999"), Some(("kmap_latency", 0.999)));
        assert_eq!((quantile_of("pays.map"), quantile_of("busy")), (None, None));
    }
}
