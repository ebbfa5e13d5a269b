//! Bars side by side in groups, upright, with whiskers and a line at 1: normalised figures.

use super::{Axis, COLOURS, Scale, escaped, head, label, whisker, width_of};
use std::fmt::Write as _;

const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const HEIGHT: f64 = 380.0;
const BAR: f64 = 22.0;
const GAP: f64 = 26.0;
const LEGEND: f64 = 42.0;
const ROW: f64 = 18.0;
const LEAST_WIDTH: f64 = 480.0;

/// Bars that stand together.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Below them.
    pub name: String,
    /// Value, low and high end of each; `None` where there is none.
    pub bars: Vec<Option<(f64, f64, f64)>>,
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// Above it.
    pub title: String,
    /// Beside it.
    pub y: String,
    /// What the bars of each cluster are, in their order.
    pub names: Vec<String>,
    /// The clusters.
    pub clusters: Vec<Cluster>,
    /// Where the figures come from.
    pub origin: String,
}

impl Bars {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let bars = BAR * self.names.len() as f64;
        let name = self.clusters.iter().map(|c| width_of(&c.name)).fold(0.0, f64::max);
        let count = self.clusters.len().max(1) as f64;
        let step = (bars + GAP).max(name + 10.0).max((LEAST_WIDTH - LEFT - RIGHT) / count);
        let width = LEFT + RIGHT + step * count;
        let column = self.names.iter().map(|n| width_of(n)).fold(0.0, f64::max) + 36.0;
        let columns = (((width - LEFT - RIGHT) / column) as usize).max(1);
        let top = LEGEND + ROW * self.names.len().div_ceil(columns) as f64 + 10.0;
        let (bottom, height) = (top + HEIGHT - 100.0, top + HEIGHT - 60.0);
        let highs = self.clusters.iter().flat_map(|c| c.bars.iter().flatten().map(|b| b.2));
        let y = Axis::new(Scale::Linear, 10.0, &highs.chain([1.0]).collect::<Vec<_>>(), bottom, top);
        let mut s = head(width, height, LEFT, &self.title, Some(&self.origin));
        s.push_str("<defs>\n");
        (0..self.names.len()).for_each(|i| hatch(&mut s, i));
        s.push_str("</defs>\n");
        for &t in &y.ticks {
            let at = y.at(t);
            let _ = writeln!(
                s,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                width - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                label(t)
            );
        }
        for (number, cluster) in self.clusters.iter().enumerate() {
            let left = LEFT + step * number as f64 + (step - bars) / 2.0;
            for (i, (bar, name)) in cluster.bars.iter().zip(&self.names).enumerate() {
                let Some((value, low, high)) = *bar else { continue };
                let (x, at) = (left + BAR * i as f64, y.at(value));
                let _ = writeln!(
                    s,
                    "<rect x=\"{x:.1}\" y=\"{at:.1}\" width=\"{BAR}\" height=\"{:.1}\" fill=\"url(#bar{i})\" \
                     stroke=\"#333333\" stroke-width=\"0.6\"><title>{}, {}: {value:.4}</title></rect>",
                    bottom - at,
                    escaped(&cluster.name),
                    escaped(name)
                );
                if low < high {
                    whisker(&mut s, x + BAR / 2.0, y.at(low), y.at(high), "#000000");
                }
            }
            let _ = writeln!(
                s,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                left + bars / 2.0,
                bottom + 20.0,
                escaped(&cluster.name)
            );
        }
        let one = y.at(1.0);
        let _ = writeln!(
            s,
            "<line x1=\"{LEFT}\" y1=\"{one:.1}\" x2=\"{0}\" y2=\"{one:.1}\" stroke=\"#333333\" stroke-dasharray=\"4 3\"/>\n\
             <path d=\"M{LEFT},{top} V{bottom} H{0}\" fill=\"none\" stroke=\"#333333\"/>\n\
             <text transform=\"translate(18,{1}) rotate(-90)\" text-anchor=\"middle\">{2}</text>",
            width - RIGHT,
            (top + bottom) / 2.0,
            escaped(&self.y)
        );
        for (i, name) in self.names.iter().enumerate() {
            let (x, y) = (LEFT + column * (i % columns) as f64, LEGEND + ROW * (i / columns) as f64);
            let _ = writeln!(
                s,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"18\" height=\"12\" fill=\"url(#bar{i})\" stroke=\"#333333\" \
                 stroke-width=\"0.6\"/>\n<text x=\"{:.1}\" y=\"{}\">{}</text>",
                y - 6.0,
                x + 24.0,
                y + 4.0,
                escaped(name)
            );
        }
        s.push_str("</svg>\n");
        s
    }
}

/// The fill of a bar: its colour, with white strokes that differ from its neighbours' for print without colour.
fn hatch(s: &mut String, number: usize) {
    let strokes = match number % 4 {
        0 => "",
        1 => "M0,8 L8,0",
        2 => "M0,0 L8,8",
        _ => "M0,4 H8",
    };
    // The second six of twelve have the first six colours with a cross.
    let cross = if number < COLOURS.len() { "" } else { " M0,4 H8 M4,0 V8" };
    let _ = writeln!(
        s,
        "<pattern id=\"bar{number}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><rect width=\"8\" height=\"8\" \
         fill=\"{}\"/><path d=\"{strokes}{cross}\" stroke=\"#ffffff\" stroke-width=\"1.4\"/></pattern>",
        COLOURS[number % COLOURS.len()]
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_value_and_a_missing_one_is_left_out() {
        let bars = Bars {
            title: "t".into(),
            y: "y".into(),
            names: vec!["a".into(), "b".into()],
            clusters: vec![
                Cluster { name: "4".into(), bars: vec![Some((1.0, 1.0, 1.0)), Some((2.0, 1.9, 2.0))] },
                Cluster { name: "8".into(), bars: vec![Some((1.0, 1.0, 1.0)), None] },
            ],
            origin: "command".into(),
        };
        let svg = bars.svg();
        assert!(svg.contains("<desc>command</desc>") && svg.contains("<title>4, b: 2.0000</title>"));
        assert_eq!(svg.matches("<title>").count(), 3);
        assert_eq!(svg.matches("h6 m-3,0").count(), 1, "an interval of one value is not drawn");
        let heights: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("<title>"))
            .map(|line| line.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!((heights[1] - 2.0 * heights[0]).abs() < 0.2 && heights[0] == heights[2], "{heights:?}");
    }
}
