//! A histogram of cycles as results carry it: some percentiles, and all of it encoded.
//!
//! `v2` is the HdrHistogram's V2 encoding in base64, as every HdrHistogram
//! library reads it. Percentiles are the greatest value that is equivalent to
//! the one at that rank (3 significant digits), as HdrHistogram gives them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Percentiles of a histogram of cycles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Values recorded.
    pub count: u64,
    /// Mean, in cycles; 0 when nothing was recorded.
    pub mean: f64,
    /// Median, in cycles.
    pub p50: u64,
    /// 90th percentile, in cycles.
    pub p90: u64,
    /// 99th percentile, in cycles.
    pub p99: u64,
    /// 99.9th percentile, in cycles.
    pub p999: u64,
    /// Greatest value, in cycles.
    pub max: u64,
    /// The whole histogram: HdrHistogram V2, base64.
    pub v2: String,
}

impl Summary {
    /// Summary of a histogram.
    pub fn new(histogram: &Histogram<u64>) -> Summary {
        let mut bytes = Vec::new();
        // Writing to a vector fails only for histograms with more than 2^31 slots; ours have some ten thousand.
        let v2 = match V2Serializer::new().serialize(histogram, &mut bytes) {
            Ok(_) => STANDARD.encode(&bytes),
            Err(_) => String::new(),
        };
        Summary {
            count: histogram.len(),
            mean: if histogram.is_empty() { 0.0 } else { histogram.mean() },
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
            v2,
        }
    }

    /// Was nothing recorded?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Of no values: what a result without this histogram had.
    pub fn nothing() -> Summary {
        Summary::new(&shootdown_emu::histogram::new())
    }

    /// The whole histogram again; `None` when `v2` is no histogram.
    pub fn histogram(&self) -> Option<Histogram<u64>> {
        let bytes = STANDARD.decode(&self.v2).ok()?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_comes_back() {
        let mut h = shootdown_emu::histogram::new();
        for n in 1..=1000 {
            h.record(n * n).unwrap();
        }
        let s = Summary::new(&h);
        assert_eq!((s.count, s.p50 / 1000), (1000, 250));
        assert_eq!(s.histogram().expect("it is one"), h);
        assert!(s.p50 <= s.p90 && s.p90 <= s.p99 && s.p99 <= s.p999 && s.p999 <= s.max);
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        let s = Summary::new(&shootdown_emu::histogram::new());
        assert_eq!((s.count, s.mean, s.p50, s.max), (0, 0.0, 0, 0));
        assert!(s.histogram().expect("it is one").is_empty());
    }
}
