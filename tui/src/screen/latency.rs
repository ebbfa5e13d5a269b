//! The histograms of a run in short, as a frame shows them: percentiles, and bars of half octaves.
//!
//! A histogram is summed up again only when it has grown since. As that is most of what a frame costs the machines, a
//! frame on a terminal while the run is under way sums up one of the four: each is at most three frames old.

use hdrhistogram::Histogram;
use shootdown_workloads::Live;
use std::sync::Arc;

/// The four histograms of a run, in short.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// From the call of kmap to a usable address.
    pub kmap: Arc<Latency>,
    /// From the begin of a shootdown until it is complete everywhere.
    pub initiator: Arc<Latency>,
    /// From the arrival of a flush IPI until its handler is done.
    pub target: Arc<Latency>,
    /// From a PTE change to the end of its last surviving entry.
    pub exposure: Arc<Latency>,
    /// Whose turn it is.
    pub(super) turn: usize,
}

/// How much of the histograms a frame takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// One of them, in turn: the next frame follows at once.
    InTurn,
    /// All of them: the frame stays, or goes to a file.
    All,
}

impl Latencies {
    /// Takes over histograms that have grown since.
    pub fn update(&mut self, live: &Live, freshness: Freshness) {
        let c = live.collector();
        let exposure = live.machine().bus().oracle.exposure();
        let pairs = [
            (&mut self.kmap, c.kmap()),
            (&mut self.initiator, c.initiator()),
            (&mut self.target, c.target()),
            (&mut self.exposure, exposure),
        ];
        let turn = self.turn;
        self.turn = (turn + 1) % pairs.len();
        for (n, (mine, histogram)) in pairs.into_iter().enumerate() {
            if (freshness == Freshness::All || n == turn) && mine.count != histogram.len() {
                *mine = Arc::new(Latency::new(histogram));
            }
        }
    }
}

/// A histogram of cycles in short, its percentiles as results have them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Values recorded.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Greatest value.
    pub max: u64,
    /// How many values lie in each half octave: bucket n holds those from 2^(n/2) on.
    pub halves: Vec<u64>,
}

impl Latency {
    /// A histogram in short.
    pub fn new(h: &Histogram<u64>) -> Latency {
        // One pass for mean and bars, one for the percentiles: this is most of what a frame costs the machines.
        let (mut halves, mut mean) = (Vec::new(), 0.0);
        let total = h.len() as f64;
        for step in h.iter_recorded() {
            let (value, count) = (step.value_iterated_to(), step.count_since_last_iteration());
            let n = half_octave(value);
            if halves.len() <= n {
                halves.resize(n + 1, 0);
            }
            halves[n] += count;
            mean += h.median_equivalent(value) as f64 * count as f64 / total;
        }
        let mut percentiles = h.value_at_quantiles([0.5, 0.9, 0.99, 0.999]);
        let mut next = || percentiles.next().unwrap_or_default();
        Latency {
            count: h.len(),
            mean,
            p50: next(),
            p90: next(),
            p99: next(),
            p999: next(),
            max: h.max(),
            halves,
        }
    }
}

/// The n with 2^(n/2) <= `value` < 2^((n+1)/2); 0 for 0.
fn half_octave(value: u64) -> usize {
    let value = value.max(1);
    let octave = value.ilog2();
    // In the upper half: value >= 2^octave * sqrt 2, squared to stay whole.
    let upper = u128::from(value) * u128::from(value) >= 1 << (2 * octave + 1);
    2 * octave as usize + usize::from(upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shootdown_emu::observe::Nobody;
    use shootdown_workloads::Cell;

    #[test]
    fn four_frames_in_turn_take_over_all_histograms() {
        let mut cell = Cell::standard().unwrap();
        cell.set_all([("ops", "100"), ("warmup", "10"), ("window", "64")]).unwrap();
        let mut live = Live::new(&cell).unwrap();
        live.advance(&mut Nobody, u64::MAX);
        let (mut all, mut in_turn) = (Latencies::default(), Latencies::default());
        all.update(&live, Freshness::All);
        let known = |l: &Latencies| [&l.kmap, &l.initiator, &l.target, &l.exposure].map(|l| l.count);
        assert!(known(&all).iter().all(|&count| count > 0), "{:?}", known(&all));
        for frame in 1..=4 {
            in_turn.update(&live, Freshness::InTurn);
            assert_eq!(known(&in_turn).iter().filter(|&&count| count > 0).count(), frame);
        }
        assert_eq!(known(&in_turn), known(&all));
    }

    #[test]
    fn a_histogram_in_short_says_what_the_histogram_says() {
        let mut h = Histogram::<u64>::new(3).unwrap();
        assert_eq!(Latency::new(&h), Latency::default());
        for n in 1..3_000_u64 {
            h.record_n(n * n, n % 7 + 1).unwrap();
        }
        let l = Latency::new(&h);
        assert!((l.mean - h.mean()).abs() < 1e-9 * l.mean, "{} {}", l.mean, h.mean());
        let quantiles = [0.5, 0.9, 0.99, 0.999].map(|q| h.value_at_quantile(q));
        assert_eq!([l.p50, l.p90, l.p99, l.p999], quantiles);
        assert_eq!((l.count, l.max), (h.len(), h.max()));
        assert_eq!(l.halves.iter().sum::<u64>(), h.len());
    }

    #[test]
    fn half_octaves_begin_at_whole_and_half_powers_of_two() {
        let bounds = [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4), (5, 4), (6, 5), (1 << 20, 40), (u64::MAX, 127)];
        for (value, n) in bounds {
            assert_eq!(half_octave(value), n, "{value}");
        }
    }
}
