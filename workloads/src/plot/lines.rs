//! Line charts: axes, lines with marks or bands, a legend.

use super::{Axis, COLOURS, Scale, escaped, head, label, whisker};
use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
/// Room for the title and three rows of the legend, which stands above the chart so that no line crosses it; more rows
/// make the picture higher.
const TOP: f64 = 92.0;
const ROWS: usize = 3;
const ROW: f64 = 18.0;
const LEGEND: f64 = 42.0;
const LEGEND_COLUMNS: usize = 2;
const BOTTOM: f64 = 56.0;
/// Dashes of lines without marks.
const DASHES: [&str; 4] = ["", "7 3", "2 2", "8 3 2 3"];

/// A line, or points only.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, by x.
    pub points: Vec<(f64, f64)>,
    /// Low and high end of each point's interval, in the points' order; empty: none.
    pub intervals: Vec<(f64, f64)>,
    /// How it is drawn.
    pub look: Look,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Our figures: points joined by a line, intervals as whiskers.
    Ours,
    /// Published figures: points joined by a dashed line.
    Published,
    /// A line of many points without marks, its intervals as a band.
    Band,
}

impl Series {
    /// Our figures.
    pub fn ours(name: &str, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.into(), points, intervals: Vec::new(), look: Look::Ours }
    }

    /// Published figures.
    pub fn published(name: &str, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.into(), points, intervals: Vec::new(), look: Look::Published }
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

impl Plot {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let values = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
            self.series.iter().flat_map(|s| s.points.iter().map(of)).collect()
        };
        let x = Axis::new(self.x_scale, 2.0, &values(|p| p.0), LEFT, WIDTH - RIGHT);
        let mut heights = values(|p| p.1);
        heights.extend(self.series.iter().flat_map(|s| s.intervals.iter().map(|i| i.1)));
        let more = self.series.len().div_ceil(LEGEND_COLUMNS).saturating_sub(ROWS) as f64 * ROW;
        let (top, height) = (TOP + more, HEIGHT + more);
        let y = Axis::new(self.y_scale, 10.0, &heights, height - BOTTOM, top);
        let mut s = head(WIDTH, height, LEFT, &self.title, self.origin.as_deref());
        self.axes(&mut s, &x, &y, height);
        for (i, series) in self.series.iter().enumerate() {
            series.draw(&mut s, i, &x, &y);
            series.legend(&mut s, i);
        }
        s.push_str("</svg>\n");
        s
    }

    fn axes(&self, s: &mut String, x: &Axis, y: &Axis, height: f64) {
        let (left, right, top, bottom) = (LEFT, WIDTH - RIGHT, y.to, y.from);
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
            height - 14.0,
            escaped(&self.x),
            (top + bottom) / 2.0,
            escaped(&self.y)
        );
    }
}

impl Series {
    /// The dashes of its line, as an attribute.
    fn dash(&self, number: usize) -> String {
        let dashes = match self.look {
            Look::Ours => "",
            Look::Published => "6 4",
            Look::Band => DASHES[number % DASHES.len()],
        };
        if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") }
    }

    fn draw(&self, s: &mut String, number: usize, x: &Axis, y: &Axis) {
        let colour = COLOURS[number % COLOURS.len()];
        let place = |at: f64, height: f64| format!("{:.1},{:.1}", x.at(at), y.at(height));
        if self.look == Look::Band && self.intervals.iter().any(|(low, high)| low < high) {
            let ends = || self.points.iter().map(|p| p.0).zip(&self.intervals);
            let mut around: Vec<_> = ends().map(|(at, (low, _))| place(at, *low)).collect();
            around.extend(ends().rev().map(|(at, (_, high))| place(at, *high)));
            let _ = writeln!(
                s,
                "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"0.25\"/>",
                around.join(" ")
            );
        }
        let path: Vec<_> = self.points.iter().map(|p| place(p.0, p.1)).collect();
        let _ = writeln!(
            s,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"{}/>",
            path.join(" "),
            self.dash(number)
        );
        if self.look == Look::Band {
            return;
        }
        for (p, (low, high)) in self.points.iter().zip(&self.intervals) {
            whisker(s, x.at(p.0), y.at(*low), y.at(*high), colour);
        }
        for p in &self.points {
            mark(s, number, colour, x.at(p.0), y.at(p.1));
        }
    }

    /// Its entry in the legend.
    fn legend(&self, s: &mut String, number: usize) {
        let colour = COLOURS[number % COLOURS.len()];
        let left = LEFT + (number % LEGEND_COLUMNS) as f64 * (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS as f64;
        let at = LEGEND + ROW * (number / LEGEND_COLUMNS) as f64;
        let _ = writeln!(
            s,
            "<line x1=\"{left}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"1.8\"{}/>",
            left + 28.0,
            self.dash(number)
        );
        if self.look != Look::Band {
            mark(s, number, colour, left + 14.0, at);
        }
        let _ = writeln!(s, "<text x=\"{}\" y=\"{}\">{}</text>", left + 36.0, at + 4.0, escaped(&self.name));
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
        assert_eq!(COLOURS.len().div_ceil(LEGEND_COLUMNS), ROWS);
        assert!(LEGEND + ROW * (ROWS - 1) as f64 + 9.0 < TOP);
    }
}
