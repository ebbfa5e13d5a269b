//! Statistics of results.

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

#[cfg(test)]
mod tests {
    use super::*;

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
