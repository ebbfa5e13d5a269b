//! Line charts as plain SVG: axes, lines with marks, a legend. The colours are those
//! of Okabe and Ito, which colour-blind readers tell apart; marks differ as well, for print.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
/// Room for the title and three rows of the legend, which stands above the chart so that no line crosses it.
const TOP: f64 = 92.0;
const LEGEND: f64 = 42.0;
const LEGEND_COLUMNS: usize = 2;
const BOTTOM: f64 = 56.0;
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten (y) or two (x).
    Log,
}

/// A line, or points only.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, by x.
    pub points: Vec<(f64, f64)>,
    /// Low and high end of each point's interval, in the points' order; empty: none.
    pub intervals: Vec<(f64, f64)>,
    /// Published, not ours: points joined by a dashed line.
    pub published: bool,
}

impl Series {
    /// Our figures.
    pub fn ours(name: &str, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.into(), points, intervals: Vec::new(), published: false }
    }

    /// Published figures.
    pub fn published(name: &str, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.into(), points, intervals: Vec::new(), published: true }
    }
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Below it.
    pub x: String,
    /// Beside it.
    pub y: String,
    /// The x axis.
    pub x_scale: Scale,
    /// The y axis.
    pub y_scale: Scale,
    /// Its lines.
    pub series: Vec<Series>,
    /// Where the figures come from: the command and the cells.
    pub origin: Option<String>,
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
            Scale::Log => (v.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
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
    if v >= 10_000.0 { format!("{}k", v / 1000.0) } else { format!("{}", (v * 1000.0).round() / 1000.0) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Plot {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let values = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
            self.series.iter().flat_map(|s| s.points.iter().map(of)).collect()
        };
        let x = Axis::new(self.x_scale, 2.0, &values(|p| p.0), LEFT, WIDTH - RIGHT);
        let mut heights = values(|p| p.1);
        heights.extend(self.series.iter().flat_map(|s| s.intervals.iter().map(|i| i.1)));
        let y = Axis::new(self.y_scale, 10.0, &heights, HEIGHT - BOTTOM, TOP);
        let mut s = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\">\n\
             {}<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
            self.origin.as_ref().map_or(String::new(), |o| format!("<desc>{}</desc>\n", escaped(o))),
            escaped(&self.title)
        );
        self.axes(&mut s, &x, &y);
        for (i, series) in self.series.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let path: Vec<_> =
                series.points.iter().map(|p| format!("{:.1},{:.1}", x.at(p.0), y.at(p.1))).collect();
            let dash = if series.published { " stroke-dasharray=\"6 4\"" } else { "" };
            let _ = writeln!(
                s,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"{dash}/>",
                path.join(" ")
            );
            for (p, (low, high)) in series.points.iter().zip(&series.intervals) {
                let (at, low, high) = (x.at(p.0), y.at(*low), y.at(*high));
                let _ = writeln!(
                    s,
                    "<path d=\"M{:.1},{low:.1} h6 m-3,0 V{high:.1} m-3,0 h6\" fill=\"none\" stroke=\"{colour}\"/>",
                    at - 3.0
                );
            }
            for p in &series.points {
                mark(&mut s, i, colour, x.at(p.0), y.at(p.1));
            }
            let left = LEFT + (i % LEGEND_COLUMNS) as f64 * (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS as f64;
            let at = LEGEND + 18.0 * (i / LEGEND_COLUMNS) as f64;
            let _ = writeln!(
                s,
                "<line x1=\"{}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"1.8\"{dash}/>",
                left,
                left + 28.0
            );
            mark(&mut s, i, colour, left + 14.0, at);
            let _ = writeln!(
                s,
                "<text x=\"{}\" y=\"{}\">{}</text>",
                left + 36.0,
                at + 4.0,
                escaped(&series.name)
            );
        }
        s.push_str("</svg>\n");
        s
    }

    fn axes(&self, s: &mut String, x: &Axis, y: &Axis) {
        let (left, right, top, bottom) = (LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM);
        for &t in &y.ticks {
            let at = y.at(t);
            let _ = writeln!(
                s,
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>"
            );
            let _ = writeln!(
                s,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                at + 4.0,
                label(t)
            );
        }
        for &t in &x.ticks {
            let at = x.at(t);
            let _ = writeln!(
                s,
                "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#333333\"/>",
                bottom + 5.0
            );
            let _ = writeln!(
                s,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 20.0,
                label(t)
            );
        }
        let _ = writeln!(
            s,
            "<path d=\"M{left},{top} V{bottom} H{right}\" fill=\"none\" stroke=\"#333333\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18,{}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (left + right) / 2.0,
            HEIGHT - 14.0,
            escaped(&self.x),
            (top + bottom) / 2.0,
            escaped(&self.y)
        );
    }
}

/// A mark of its own shape for each series.
fn mark(s: &mut String, series: usize, colour: &str, x: f64, y: f64) {
    let _ = match series % 4 {
        0 => writeln!(s, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"),
        1 => writeln!(
            s,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\" fill=\"{colour}\"/>",
            x - 3.5,
            y - 3.5
        ),
        2 => writeln!(s, "<path d=\"M{x:.1},{:.1} l4.5,8 h-9 z\" fill=\"{colour}\"/>", y - 5.0),
        _ => writeln!(
            s,
            "<path d=\"M{x:.1},{:.1} l4.5,4.5 l-4.5,4.5 l-4.5,-4.5 z\" fill=\"{colour}\"/>",
            y - 4.5
        ),
    };
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
        assert!((a.at(16.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_chart_shows_each_series_once_and_escapes_text() {
        let plot = Plot {
            title: "a < b".into(),
            x: "x".into(),
            y: "y".into(),
            origin: Some("command".into()),
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            series: vec![
                Series::ours("one", vec![(0.0, 1.0), (1.0, 2.0)]),
                Series::published("two", vec![(1.0, 2.0)]),
            ],
        };
        let svg = plot.svg();
        assert!(
            svg.contains("<desc>command</desc>")
                && svg.contains("a &lt; b")
                && svg.matches("<polyline").count() == 2
        );
        assert_eq!(svg.matches("stroke-dasharray").count(), 2);
        assert_eq!(svg, plot.svg());
        // The last row of the fullest legend ends above the chart.
        let rows = COLOURS.len().div_ceil(LEGEND_COLUMNS);
        assert!(LEGEND + 18.0 * (rows - 1) as f64 + 9.0 < TOP);
    }
}
