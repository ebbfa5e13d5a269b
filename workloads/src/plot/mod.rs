//! Charts as plain SVG: lines with marks or bands (`lines.rs`), grouped bars (`bars.rs`), stacked bars (`stack.rs`).
//!
//! The colours are those of Okabe and Ito, which colour-blind readers tell apart; marks, dashes and hatches differ as
//! well, for print. A `<desc>` holds where the figures come from. Written here because three kinds of chart need no library.

mod bars;
mod lines;
mod stack;

pub use bars::{Bars, Cluster};
pub use lines::{Look, Plot, Series};
pub use stack::{Bar, Stack};

use std::fmt::Write as _;

/// Okabe and Ito's colours.
pub const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// As many lines, or bars of a group, as can be told apart: each colour with two marks or hatches.
pub const MOST: usize = 2 * COLOURS.len();

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten (y) or two (x).
    Log,
    /// By powers of ten with 2 and 5 between them, no wider than the values.
    Decades,
}

/// A mapped axis: from values to pixels.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn new(scale: Scale, base: f64, values: &[f64], from: f64, to: f64) -> Axis {
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.iter().copied().filter(|v| *v > 0.0).fold(most, f64::min);
        let (low, high, ticks) = match scale {
            Scale::Linear => {
                let step = nice_step(most / 5.0);
                let high = (most / step).ceil() * step;
                let n = (high / step).round() as u32;
                (0.0, high, (0..=n).map(|i| f64::from(i) * step).collect())
            }
            Scale::Decades => {
                let powers = least.log10().floor() as i32..=most.log10().ceil() as i32;
                let all: Vec<f64> = powers.flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p))).collect();
                let low = all.iter().rposition(|t| *t <= least * 1.001).unwrap_or(0);
                let high = all.iter().position(|t| *t >= most * 0.999).unwrap_or(all.len() - 1).max(low + 1);
                (all[low], all[high], all[low..=high].to_vec())
            }
            Scale::Log => {
                let first = (least.ln() / base.ln() + 1e-9).floor() as i32;
                let last = ((most.ln() / base.ln() - 1e-9).ceil() as i32).max(first + 1);
                (base.powi(first), base.powi(last), (first..=last).map(|i| base.powi(i)).collect())
            }
        };
        Axis { scale, low, high, from, to, ticks }
    }

    fn at(&self, v: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (v - self.low) / (self.high - self.low),
            Scale::Log | Scale::Decades => {
                (v.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
            }
        };
        self.from + part * (self.to - self.from)
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn nice_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= least * 0.999).unwrap_or(power * 10.0)
}

fn label(v: f64) -> String {
    match v {
        _ if v >= 1e6 => format!("{}M", v / 1e6),
        _ if v >= 1e4 && v % 1e3 == 0.0 => format!("{}k", v / 1e3),
        _ => format!("{}", (v * 1000.0).round() / 1000.0),
    }
}

/// Text for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The beginning of a document: its size, where it comes from, a white ground, the title.
fn head(width: f64, height: f64, left: f64, title: &str, origin: Option<&str>) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\">\n\
         {}<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
        origin.map_or(String::new(), |o| format!("<desc>{}</desc>\n", escaped(o))),
        escaped(title)
    )
}

/// About how wide a text is, in pixels at 12 pixels' height.
fn width_of(text: &str) -> f64 {
    7.3 * text.chars().count() as f64
}

/// An interval as a whisker along y at `x`, between two heights.
fn whisker(s: &mut String, x: f64, low: f64, high: f64, colour: &str) {
    let _ = writeln!(
        s,
        "<path d=\"M{:.1},{low:.1} h6 m-3,0 V{high:.1} m-3,0 h6\" fill=\"none\" stroke=\"{colour}\"/>",
        x - 3.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_reach_round_numbers_and_points_land_on_them() {
        let a = Axis::new(Scale::Linear, 10.0, &[3.0, 930.0], 0.0, 100.0);
        assert_eq!((a.high, a.ticks.len()), (1000.0, 6));
        assert_eq!(a.at(500.0), 50.0);
        let a = Axis::new(Scale::Log, 2.0, &[4.0, 60.0], 0.0, 100.0);
        assert_eq!((a.low, a.high), (4.0, 64.0));
        assert_eq!([20_000.0, 16_384.0, 2e6].map(label), ["20k", "16384", "2M"]);
        assert!((a.at(16.0) - 50.0).abs() < 1e-9);
        let a = Axis::new(Scale::Decades, 10.0, &[230.0, 1800.0], 0.0, 100.0);
        assert_eq!(a.ticks, [200.0, 500.0, 1000.0, 2000.0]);
        let a = Axis::new(Scale::Decades, 10.0, &[100.0], 0.0, 100.0);
        assert_eq!(a.ticks, [100.0, 200.0]);
    }
}
