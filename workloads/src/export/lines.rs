//! A figure of lines with intervals: as SVG, pgfplots and data.

use std::fmt::Write as _;

use super::figure::{Figure, quoted, tex, tex_colour};
use crate::plot::{Look, Plot, Scale, Series};

/// A point with its interval over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// The figure.
    pub y: f64,
    /// Low end of the interval; of one seed the figure itself.
    pub low: f64,
    /// High end of the interval.
    pub high: f64,
    /// Number of seeds.
    pub seeds: usize,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, by x.
    pub points: Vec<Point>,
}

/// How lines are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Marks with whiskers.
    Marks,
    /// Without marks, with bands.
    Bands,
}

/// The figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// Above it.
    pub title: String,
    /// Below it.
    pub x: String,
    /// Beside it.
    pub y: String,
    /// The x axis.
    pub x_scale: Scale,
    /// How its lines are drawn.
    pub style: Style,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Where the figures come from.
    pub origin: String,
}

/// Marks of pgfplots, as those of the SVG.
const MARKS: [&str; 4] = ["*", "square*", "triangle*", "diamond*"];
/// Dashes of TikZ, as those of the SVG.
const DASHES: [&str; 4] = ["solid", "dashed", "dotted", "dash dot"];

impl Line {
    fn has_interval(&self) -> bool {
        self.points.iter().any(|p| p.low < p.high)
    }
}

impl Lines {
    /// All x, separated by commas.
    fn xs(&self) -> String {
        let mut all: Vec<f64> = self.lines.iter().flat_map(|l| l.points.iter().map(|p| p.x)).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Figure for Lines {
    fn svg(&self) -> String {
        let look = match self.style {
            Style::Marks => Look::Ours,
            Style::Bands => Look::Band,
        };
        let series = |line: &Line| Series {
            name: line.name.clone(),
            points: line.points.iter().map(|p| (p.x, p.y)).collect(),
            intervals: line.points.iter().map(|p| (p.low, p.high)).collect(),
            look,
        };
        Plot {
            title: self.title.clone(),
            x: self.x.clone(),
            y: self.y.clone(),
            x_scale: self.x_scale,
            y_scale: Scale::Linear,
            series: self.lines.iter().map(series).collect(),
            origin: Some(self.origin.clone()),
        }
        .svg()
    }

    fn pgfplots(&self) -> String {
        let scale = match self.x_scale {
            Scale::Linear => String::new(),
            // Its own ticks would be rounded to three digits.
            Scale::Log => {
                format!("  xmode=log, log basis x=2, xtick={{{0}}}, xticklabels={{{0}}},\n", self.xs())
            }
            Scale::Decades => "  xmode=log, log ticks with fixed point,\n".into(),
        };
        let intervals = match self.style {
            Style::Marks => "  error bars/y dir=both, error bars/y explicit,\n",
            Style::Bands => "",
        };
        let mut s = format!(
            "% {}\n\\begin{{tikzpicture}}\n\\begin{{axis}}[\n  xlabel={{{}}}, ylabel={{{}}}, ymin=0,\n{scale}\
             \x20 legend pos=outer north east, legend cell align=left,\n{intervals}]\n",
            self.origin,
            tex(&self.x),
            tex(&self.y)
        );
        for (number, line) in self.lines.iter().enumerate() {
            s.push_str(&tex_colour(number));
            match self.style {
                Style::Marks => {
                    let _ = writeln!(
                        s,
                        "\\addplot+[shootdown{number}, mark={}, mark options={{fill=shootdown{number}}}] coordinates {{",
                        MARKS[number % MARKS.len()]
                    );
                    for p in &line.points {
                        let (up, down) = (p.high - p.y, p.y - p.low);
                        let _ = writeln!(s, "  ({}, {}) += (0, {up}) -= (0, {down})", p.x, p.y);
                    }
                }
                Style::Bands => {
                    if line.has_interval() {
                        let _ = writeln!(
                            s,
                            "\\addplot[draw=none, fill=shootdown{number}, fill opacity=0.25, forget plot] coordinates {{"
                        );
                        let low = line.points.iter().map(|p| (p.x, p.low));
                        let high = line.points.iter().rev().map(|p| (p.x, p.high));
                        low.chain(high).for_each(|(x, y)| {
                            let _ = writeln!(s, "  ({x}, {y})");
                        });
                        s.push_str("} -- cycle;\n");
                    }
                    let _ = writeln!(
                        s,
                        "\\addplot[shootdown{number}, thick, {}] coordinates {{",
                        DASHES[number % DASHES.len()]
                    );
                    line.points.iter().for_each(|p| {
                        let _ = writeln!(s, "  ({}, {})", p.x, p.y);
                    });
                }
            }
            let _ = write!(s, "}};\n\\addlegendentry{{{}}}\n", tex(&line.name));
        }
        s.push_str("\\end{axis}\n\\end{tikzpicture}\n");
        s
    }

    /// Blocks separated by two empty lines, one for each line of the figure.
    fn gnuplot(&self, file: &str) -> String {
        let file = quoted(file);
        let mut plots = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            let title = format!("title {} noenhanced", quoted(&line.name));
            let colour = number + 1;
            match self.style {
                Style::Marks => plots.push(format!(
                    "{file} index {number} using 1:2:3:4 with yerrorlines lc {colour} {title}"
                )),
                Style::Bands => {
                    if line.has_interval() {
                        plots.push(format!(
                            "{file} index {number} using 1:3:4 with filledcurves fs transparent solid 0.25 lc {colour} notitle"
                        ));
                    }
                    plots.push(format!(
                        "{file} index {number} using 1:2 with lines lc {colour} dt {colour} {title}"
                    ));
                }
            }
        }
        let scale = match self.x_scale {
            Scale::Linear => "",
            Scale::Log => "set logscale x 2; ",
            Scale::Decades => "set logscale x 10; ",
        };
        let mut s = format!(
            "# {}\n# gnuplot: {scale}set key outside; set yrange [0:*]; set xlabel {} noenhanced; set ylabel {} noenhanced; plot {}\n\
             # x y low high seeds\n",
            self.origin,
            quoted(&self.x),
            quoted(&self.y),
            plots.join(", ")
        );
        for (number, line) in self.lines.iter().enumerate() {
            let _ = writeln!(s, "{}# {}", if number > 0 { "\n\n" } else { "" }, line.name);
            for p in &line.points {
                let _ = writeln!(s, "{} {} {} {} {}", p.x, p.y, p.low, p.high, p.seeds);
            }
        }
        s
    }
}
