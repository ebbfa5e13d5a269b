//! Statistics of results: lines through points, medians over seeds with their intervals.

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

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// Median and 95 % percentile-bootstrap interval of values over seeds. The same values give the same interval: the
    /// resampling has a seed of its own. `None` for no value.
    pub fn of(values: &[f64]) -> Option<Interval> {
        let middle = median(values)?;
        let n = values.len();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            // SplitMix64 (Steele, Lea, Flood 2014).
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        };
        let mut resampled = vec![0.0; n];
        let mut medians = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            resampled.fill_with(|| values[(random() % n as u64) as usize]);
            medians.extend(median(&resampled));
        }
        medians.sort_by(f64::total_cmp);
        let at = |part: f64| medians[((RESAMPLES - 1) as f64 * part).round() as usize];
        Some(Interval { median: middle, low: at(0.025), high: at(0.975), n })
    }
}

/// How `b` compares with `a` seed by seed: the interval of `b / a` over the seeds that both have. `None` without such a seed.
pub fn paired(a: &[(u64, f64)], b: &[(u64, f64)]) -> Option<Interval> {
    let ratio = |(seed, value): &(u64, f64)| {
        let (_, base) = a.iter().find(|(other, _)| other == seed)?;
        (*base != 0.0).then(|| value / base)
    };
    Interval::of(&b.iter().filter_map(ratio).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn pairs_are_made_by_seed() {
        let a = [(1, 10.0), (2, 20.0), (3, 30.0)];
        let b = [(3, 60.0), (1, 20.0), (4, 1.0)];
        let ratio = paired(&a, &b).unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high, ratio.n), (2.0, 2.0, 2.0, 2));
        assert_eq!(paired(&a, &[(9, 1.0)]), None);
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
