//! Percentile distributions of a histogram as HdrHistogram's Java library prints them, byte for byte: `.hgrm`, and the same
//! as CSV. (`AbstractHistogram.outputPercentileDistribution`, five ticks for each half distance to 100 %.)

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// Ticks for each half of the distance that is left to 100 %.
const TICKS: u64 = 5;

/// A line of the distribution.
struct Step {
    /// Greatest value equivalent to the one at this level.
    value: u64,
    /// The level, 0 to 100.
    percentile: f64,
    /// Recorded values up to and with `value`.
    count: u64,
}

/// The levels as the Java library iterates: in percent, each tick a part of what is left, and 100 % at last.
fn steps(histogram: &Histogram<u64>) -> Vec<Step> {
    let total = histogram.len();
    let mut steps = Vec::new();
    let mut level = 0.0;
    let mut count = 0;
    for recorded in histogram.iter_recorded() {
        count += recorded.count_at_value();
        let value = histogram.highest_equivalent(recorded.value_iterated_to());
        // Where several levels fall on a value each gives a line, until the last value's first.
        while 100.0 * count as f64 / total as f64 >= level {
            steps.push(Step { value, percentile: level, count });
            let halvings = (100.0 / (100.0 - level)).ln() / std::f64::consts::LN_2;
            level += 100.0 / (TICKS << (halvings as u64 + 1)) as f64;
            if count == total {
                steps.push(Step { value, percentile: 100.0, count });
                return steps;
            }
        }
    }
    steps
}

/// The `.hgrm` text. Values are cycles.
pub fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = String::new();
    let digits = usize::from(histogram.sigfig());
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for Step { value, percentile, count } in steps(histogram) {
        let level = percentile / 100.0;
        let _ = write!(text, "{:12.digits$} {level:2.12} {count:10}", value as f64);
        let _ = if percentile == 100.0 {
            writeln!(text)
        } else {
            writeln!(text, " {:14.2}", 1.0 / (1.0 - level))
        };
    }
    let (mean, deviation) = moments(histogram);
    let _ = writeln!(text, "#[Mean    = {mean:12.digits$}, StdDeviation   = {deviation:12.digits$}]");
    let _ = writeln!(
        text,
        "#[Max     = {:12.digits$}, Total count    = {:12}]",
        greatest(histogram),
        histogram.len()
    );
    let sub_buckets = 2 * 10u64.pow(u32::from(histogram.sigfig())).next_power_of_two();
    let _ = writeln!(text, "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", histogram.buckets());
    text
}

/// The same lines as CSV.
pub fn csv(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("\"Value\",\"Percentile\",\"TotalCount\",\"1/(1-Percentile)\"\n");
    let digits = usize::from(histogram.sigfig());
    for Step { value, percentile, count } in steps(histogram) {
        let level = percentile / 100.0;
        let _ = write!(text, "{:.digits$},{level:.12},{count},", value as f64);
        let _ = if percentile == 100.0 {
            writeln!(text, "Infinity")
        } else {
            writeln!(text, "{:.2}", 1.0 / (1.0 - level))
        };
    }
    text
}

fn greatest(histogram: &Histogram<u64>) -> f64 {
    if histogram.is_empty() { 0.0 } else { histogram.max() as f64 }
}

/// Mean and standard deviation, summed in the Java library's order.
fn moments(histogram: &Histogram<u64>) -> (f64, f64) {
    if histogram.is_empty() {
        return (0.0, 0.0);
    }
    let total = histogram.len() as f64;
    let values = || {
        histogram
            .iter_recorded()
            .map(|v| (histogram.median_equivalent(v.value_iterated_to()), v.count_at_value()))
    };
    let mean = values().map(|(value, count)| (value * count) as f64).sum::<f64>() / total;
    let squares: f64 = values().map(|(value, count)| (value as f64 - mean).powi(2) * count as f64).sum();
    (mean, (squares / total).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_halve_and_end_at_all() {
        let mut h = shootdown_emu::histogram::new();
        for n in 1..=1000 {
            h.record(n).unwrap();
        }
        let text = hgrm(&h);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        assert_eq!(lines[3], "     100.000 0.100000000000        100           1.11");
        assert!(text.contains("     500.000 0.500000000000        500           2.00\n"));
        assert!(text.contains("    1000.000 1.000000000000       1000\n#[Mean    =      500.500,"), "{text}");
        assert!(text.ends_with("#[Buckets =           31, SubBuckets     =         2048]\n"), "{text}");
        assert!(csv(&h).ends_with("1000.000,1.000000000000,1000,Infinity\n"));
    }

    #[test]
    fn nothing_recorded_has_no_lines() {
        let h = shootdown_emu::histogram::new();
        assert_eq!(hgrm(&h).lines().count(), 5);
        assert_eq!(csv(&h).lines().count(), 1);
    }
}
