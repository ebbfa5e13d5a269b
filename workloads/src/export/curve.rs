//! A metric over a key of the sweep: median and interval over seeds, a line for each value of the other keys.

use std::collections::BTreeMap;

use super::figure::few;
use super::lines::{Line, Lines, Point, Style};
use super::results::{Results, label};
use crate::figures::metric;
use crate::plot::Scale;
use crate::statistics::Interval;

/// The curve of the metric `y` over the key `x`. Fails, with what is accepted, for names that are not there and for an x that
/// is no number.
pub fn curve(results: &Results, x: &str, y: &str, origin: String) -> Result<Lines, String> {
    let varied = results.varied();
    if !varied.contains(&x) {
        let accepted = if varied.is_empty() { "none".into() } else { varied.join(", ") };
        return Err(format!("--x: {x} does not vary between the cells; what varies: {accepted}"));
    }
    let others: Vec<&str> = varied.iter().copied().filter(|key| *key != x).collect();
    let mut values: BTreeMap<(usize, u64), Vec<f64>> = BTreeMap::new();
    let mut names: Vec<String> = Vec::new();
    let mut unit = String::new();
    for cell in &results.cells {
        let text = cell.set.get(x).map_or("", String::as_str);
        let at: f64 =
            text.parse().map_err(|_| format!("--x: {x} is '{text}' in a cell, which is no number"))?;
        if at < 0.0 {
            return Err(format!("--x: {x} is {at} in a cell; accepted are numbers from 0 on"));
        }
        let (value, its_unit) = metric(&cell.row, y).map_err(|e| format!("--y: {e}"))?;
        unit = its_unit;
        let name = if others.is_empty() { y.to_owned() } else { label(cell, &others) };
        let number = names.iter().position(|n| *n == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        // Numbers from 0 on are in the order of their bits.
        values.entry((number, at.to_bits())).or_default().push(value);
    }
    few("lines", &names)?;
    let mut lines: Vec<Line> = names.into_iter().map(|name| Line { name, points: Vec::new() }).collect();
    for ((number, at), seeds) in values {
        if let Some(Interval { median, low, high, n }) = Interval::of(&seeds) {
            lines[number].points.push(Point { x: f64::from_bits(at), y: median, low, high, seeds: n });
        }
    }
    Ok(Lines {
        title: format!("{y} by {x}"),
        x: x.into(),
        y: format!("{y}{} (median, 95 %)", if unit == "cycles" { ", cycles" } else { "" }),
        x_scale: x_scale(&lines),
        style: Style::Marks,
        lines,
        origin,
    })
}

/// By powers of two where there are at least three of them.
fn x_scale(lines: &[Line]) -> Scale {
    let xs = || lines.iter().flat_map(|l| l.points.iter().map(|p| p.x));
    let (least, most) = (xs().fold(f64::MAX, f64::min), xs().fold(0.0, f64::max));
    if least > 0.0 && most >= 8.0 * least { Scale::Log } else { Scale::Linear }
}
