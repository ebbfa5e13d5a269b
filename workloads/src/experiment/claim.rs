//! From intervals to sentences: which of two arms is the cheaper one, where that holds, and how it is told.

use super::figure::Chart;
use super::measured::Measured;
use crate::statistics::{FEWEST, Interval};

/// What a question makes of its figures.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// A few sentences.
    pub verdict: String,
    /// Pairs of arms whose order is the verdict's ground.
    pub pairs: Vec<(&'static str, &'static str)>,
    /// The metric of that order.
    pub metric: &'static str,
    /// Figures of this question besides the usual ones: name and metric.
    pub more: Vec<(&'static str, &'static str)>,
    /// Charts.
    pub charts: Vec<Chart>,
}

/// Which of two is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first.
    First,
    /// The second.
    Second,
    /// It cannot be told: the interval of the ratio holds 1, or there are too few seeds for one.
    Undecided,
}

impl Order {
    /// The order that an interval of `second / first` tells.
    pub fn of(ratio: &Interval) -> Order {
        match ratio {
            i if i.n < FEWEST => Order::Undecided,
            i if i.low > 1.0 => Order::First,
            i if i.high < 1.0 => Order::Second,
            _ => Order::Undecided,
        }
    }
}

/// The arm of two that is less in a setting, with the ratio `b / a`.
pub fn order(m: &Measured, setting: &str, metric: &str, a: &str, b: &str) -> Option<(Order, Interval)> {
    let ratio = m.ratio(setting, metric, a, b)?;
    Some((Order::of(&ratio), ratio))
}

/// `2.31 [2.25, 2.40]`.
pub fn told(i: &Interval, digits: usize) -> String {
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", i.median, i.low, i.high)
}

/// `12.3 % [11.8, 12.9]` more, of a ratio.
pub fn per_cent(ratio: &Interval) -> String {
    let more = |r: f64| 100.0 * (r - 1.0);
    format!("{:+.1} % [{:+.1}, {:+.1}]", more(ratio.median), more(ratio.low), more(ratio.high))
}

/// A ratio with as many digits as it takes to see that it is not 1.
fn times(ratio: &Interval) -> String {
    told(ratio, if ratio.median < 1.1 { 3 } else { 2 })
}

/// Which of two is cheaper in the base, and how much, as the beginning of a sentence.
pub fn compared(m: &Measured, setting: &str, metric: &str, a: &str, b: &str) -> String {
    let upside_down =
        |i: &Interval| Interval { median: 1.0 / i.median, low: 1.0 / i.high, high: 1.0 / i.low, n: i.n };
    match order(m, setting, metric, a, b) {
        None => format!("`{a}` and `{b}` cannot be compared: runs are missing"),
        Some((Order::First, r)) => format!("`{b}` takes {} times what `{a}` takes", times(&r)),
        Some((Order::Second, r)) => {
            format!("`{a}` takes {} times what `{b}` takes", times(&upside_down(&r)))
        }
        Some((Order::Undecided, r)) => {
            format!("`{a}` and `{b}` cannot be told apart (ratio {})", told(&r, 3))
        }
    }
}

/// Where two arms cross along a factor, or that they do not.
pub fn break_even(m: &Measured, factor: &str, metric: &str, a: &str, b: &str) -> String {
    let along = m.along(factor);
    let (Some(first), Some(last), true) = (along.first(), along.last(), along.len() > 1) else {
        return format!("{factor} was not moved");
    };
    match m.crossing(factor, metric, a, b) {
        Some(x) => format!("`{a}` and `{b}` break even at {factor} of about {}", rounded(x)),
        None => format!(
            "over {factor} from {} to {} `{a}` and `{b}` do not cross",
            rounded(first.0),
            rounded(last.0)
        ),
    }
}

/// To three digits.
fn rounded(x: f64) -> String {
    let digits = (2 - x.abs().max(1e-9).log10().floor() as i32).max(0) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_needs_an_interval_without_1_and_enough_seeds() {
        let i = |low, high, n| Interval { median: (low + high) / 2.0, low, high, n };
        assert_eq!(Order::of(&i(1.1, 1.2, 6)), Order::First);
        assert_eq!(Order::of(&i(0.8, 0.9, 20)), Order::Second);
        assert_eq!(Order::of(&i(0.9, 1.2, 20)), Order::Undecided);
        assert_eq!(Order::of(&i(1.1, 1.2, 5)), Order::Undecided);
        assert_eq!(
            (rounded(1234.5), rounded(0.5), rounded(1.25)),
            ("1234".into(), "0.5".into(), "1.25".into())
        );
    }
}
