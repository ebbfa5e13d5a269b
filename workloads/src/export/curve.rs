//! A figure over a key of the sweep: median and interval over seeds, a curve for each value of the other keys. As SVG, as a
//! pgfplots fragment that compiles as it is (`\usepackage{pgfplots}`), and as data for gnuplot.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::results::{Measured, Results};
use crate::csv;
use crate::plot::{Plot, Scale, Series};
use crate::statistics::Interval;

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The other varied keys with their values.
    pub name: String,
    /// x and what the seeds gave, by x.
    pub points: Vec<(f64, Interval)>,
}

/// A figure over a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The key on the x axis.
    pub x: String,
    /// The metric on the y axis, and its unit.
    pub y: String,
    unit: String,
    /// The curves, in the order of their first cells.
    pub lines: Vec<Line>,
    /// Where the figures come from.
    pub origin: String,
}

/// A metric of a cell by the name that it has in CSV.
pub fn metric(cell: &Measured, name: &str) -> Option<(f64, &'static str)> {
    let (_, unit, value) = csv::figures(&cell.row).into_iter().find(|(metric, _, _)| metric == name)?;
    Some((value.parse().ok()?, unit))
}

/// Names of all metrics, for messages.
fn metrics(cell: &Measured) -> String {
    let names: Vec<_> = csv::figures(&cell.row).into_iter().map(|(name, _, _)| name).collect();
    names.join(", ")
}

impl Curve {
    /// The curve of `y` over the key `x`. Fails, with what is accepted, for names that are not there and for an x that is no
    /// number.
    pub fn new(results: &Results, x: &str, y: &str, origin: String) -> Result<Curve, String> {
        let varied = results.varied();
        if !varied.contains(&x) {
            let accepted = if varied.is_empty() { "none".into() } else { varied.join(", ") };
            return Err(format!("--x: {x} does not vary between the cells; what varies: {accepted}"));
        }
        let mut values: BTreeMap<(usize, u64), Vec<f64>> = BTreeMap::new();
        let mut names: Vec<String> = Vec::new();
        let mut unit = "";
        for cell in &results.cells {
            let text = cell.set.get(x).map_or("", String::as_str);
            let at: f64 =
                text.parse().map_err(|_| format!("--x: {x} is '{text}' in a cell, which is no number"))?;
            let (value, its_unit) = metric(cell, y).ok_or_else(|| {
                format!("--y: there is no metric {y}; accepted are {}", metrics(&results.cells[0]))
            })?;
            unit = its_unit;
            let others = varied.iter().filter(|key| **key != x);
            let parts: Vec<_> = others
                .map(|key| {
                    let value = cell.set.get(*key).map_or("", String::as_str);
                    if *key == "strategy" { value.to_owned() } else { format!("{key}={value}") }
                })
                .collect();
            let name = if parts.is_empty() { y.to_owned() } else { parts.join(", ") };
            let number = names.iter().position(|n| *n == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            if at < 0.0 {
                return Err(format!("--x: {x} is {at} in a cell; accepted are numbers from 0 on"));
            }
            // Numbers from 0 on are in the order of their bits.
            values.entry((number, at.to_bits())).or_default().push(value);
        }
        let mut lines: Vec<Line> = names.into_iter().map(|name| Line { name, points: Vec::new() }).collect();
        for ((number, at), seeds) in values {
            if let Some(interval) = Interval::of(&seeds) {
                lines[number].points.push((f64::from_bits(at), interval));
            }
        }
        Ok(Curve { x: x.into(), y: y.into(), unit: unit.into(), lines, origin })
    }

    fn x_scale(&self) -> Scale {
        let xs: Vec<f64> = self.lines.iter().flat_map(|l| l.points.iter().map(|p| p.0)).collect();
        let least = xs.iter().copied().fold(f64::MAX, f64::min);
        let most = xs.iter().copied().fold(0.0, f64::max);
        if least > 0.0 && most >= 8.0 * least { Scale::Log } else { Scale::Linear }
    }

    fn y_label(&self) -> String {
        format!("{}, {} (median, 95 %)", self.y, self.unit)
    }

    /// As SVG.
    pub fn svg(&self) -> String {
        let series = |line: &Line| Series {
            intervals: line.points.iter().map(|(_, i)| (i.low, i.high)).collect(),
            ..Series::ours(&line.name, line.points.iter().map(|(x, i)| (*x, i.median)).collect())
        };
        Plot {
            title: format!("{} by {}", self.y, self.x),
            x: self.x.clone(),
            y: self.y_label(),
            x_scale: self.x_scale(),
            y_scale: Scale::Linear,
            series: self.lines.iter().map(series).collect(),
            origin: Some(self.origin.clone()),
        }
        .svg()
    }

    /// As a pgfplots fragment.
    pub fn pgfplots(&self) -> String {
        let mut s = format!("% {}\n\\begin{{tikzpicture}}\n\\begin{{axis}}[\n", self.origin);
        let log = if self.x_scale() == Scale::Log {
            "  xmode=log, log basis x=2, log ticks with fixed point,\n"
        } else {
            ""
        };
        let _ = write!(
            s,
            "  xlabel={{{}}}, ylabel={{{}}}, ymin=0,\n{log}  legend pos=outer north east, legend cell align=left,\n\
             \x20 error bars/y dir=both, error bars/y explicit,\n]\n",
            tex(&self.x),
            tex(&self.y_label())
        );
        for (number, line) in self.lines.iter().enumerate() {
            let (colour, shape) = PRINT[number % PRINT.len()];
            let _ = write!(
                s,
                "\\definecolor{{shootdown{number}}}{{HTML}}{{{colour}}}\n\\addplot+[shootdown{number}, mark={shape}, \
                 mark options={{fill=shootdown{number}}}] coordinates {{\n"
            );
            for (x, i) in &line.points {
                let _ = writeln!(
                    s,
                    "  ({x}, {}) += (0, {}) -= (0, {})",
                    i.median,
                    i.high - i.median,
                    i.median - i.low
                );
            }
            let _ = write!(s, "}};\n\\addlegendentry{{{}}}\n", tex(&line.name));
        }
        s.push_str("\\end{axis}\n\\end{tikzpicture}\n");
        s
    }

    /// As data: blocks separated by two empty lines, for `plot 'F' index N using 1:2:3:4 with yerrorlines`.
    pub fn gnuplot(&self) -> String {
        let mut s = format!("# {}\n# {} median low high seeds\n", self.origin, self.x);
        for (number, line) in self.lines.iter().enumerate() {
            let _ = writeln!(s, "{}# {}", if number > 0 { "\n\n" } else { "" }, line.name);
            for (x, i) in &line.points {
                let _ = writeln!(s, "{x} {} {} {} {}", i.median, i.low, i.high, i.n);
            }
        }
        s
    }
}

/// Colours of Okabe and Ito with marks of their own, for print.
const PRINT: [(&str, &str); 6] = [
    ("0072B2", "*"),
    ("D55E00", "square*"),
    ("009E73", "triangle*"),
    ("CC79A7", "diamond*"),
    ("E69F00", "pentagon*"),
    ("56B4E9", "x"),
];

/// Text for LaTeX.
pub fn tex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            _ => out.push(c),
        }
    }
    out
}
