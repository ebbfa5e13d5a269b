//! Stacked bars, lying: what a whole is made of.

use super::{escaped, head, width_of};
use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 30.0;
const STEP: f64 = 48.0;
const TOP: f64 = 64.0;
/// Height of a line of the subtitle.
const LINE: f64 = 16.0;
const LEGEND_COLUMN: f64 = 172.0;
const LEGEND_ROW: f64 = 24.0;

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Beside it.
    pub name: String,
    /// As many as the chart has parts.
    pub parts: Vec<f64>,
    /// Low and high end of the whole; `None` draws no whisker.
    pub interval: Option<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Above it.
    pub title: String,
    /// Below the title.
    pub subtitle: String,
    /// Name and colour of each part, in stacking order.
    pub parts: Vec<(String, &'static str)>,
    /// The bars.
    pub bars: Vec<Bar>,
    /// Where the figures come from.
    pub origin: String,
}

impl Stack {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let left = self.bars.iter().map(|b| width_of(&b.name)).fold(60.0, f64::max) + 30.0;
        let ends = self.bars.iter().map(|b| b.interval.map_or(0.0, |i| i.1).max(b.parts.iter().sum()));
        let scale = (WIDTH - left - RIGHT) / ends.fold(f64::MIN_POSITIVE, f64::max);
        let columns = (((WIDTH - left) / LEGEND_COLUMN) as usize).max(1);
        let subtitle = wrapped(&self.subtitle, ((WIDTH - 40.0) / width_of("x")) as usize);
        let top = TOP + LINE * subtitle.len().saturating_sub(1) as f64;
        let base = top + STEP * self.bars.len() as f64 + 14.0;
        let height = base + LEGEND_ROW * self.parts.len().div_ceil(columns) as f64 + 8.0;
        let mut s = head(WIDTH, height, 20.0, &self.title, Some(&self.origin));
        for (number, line) in subtitle.iter().enumerate() {
            let y = 44.0 + LINE * number as f64;
            let _ = writeln!(s, "<text x=\"20\" y=\"{y}\" fill=\"#555555\">{}</text>", escaped(line));
        }
        for (number, bar) in self.bars.iter().enumerate() {
            let y = top + STEP * number as f64;
            let middle = y + BAR / 2.0;
            let name = escaped(&bar.name);
            let _ = writeln!(
                s,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>",
                left - 10.0,
                middle + 4.0
            );
            let mut x = left;
            for (part, (label, colour)) in bar.parts.iter().zip(&self.parts) {
                let width = part * scale;
                if width > 0.05 {
                    let _ = writeln!(
                        s,
                        "<rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{BAR}\" fill=\"{colour}\" stroke=\"#333333\" \
                         stroke-width=\"0.4\"><title>{name}: {}, {part:.1}</title></rect>",
                        escaped(label)
                    );
                }
                x += width;
            }
            let mut end = x;
            if let Some((low, high)) = bar.interval {
                let (from, to) = (left + low * scale, left + high * scale);
                let _ = writeln!(
                    s,
                    "<path d=\"M{from:.2},{:.1} v8 m0,-4 H{to:.2} m0,-4 v8\" fill=\"none\" stroke=\"#000000\" stroke-width=\"1.2\"/>",
                    middle - 4.0
                );
                end = end.max(to);
            }
            let _ = writeln!(
                s,
                "<text x=\"{:.2}\" y=\"{}\">{:.0}</text>",
                end + 8.0,
                middle + 4.0,
                bar.parts.iter().sum::<f64>()
            );
        }
        for (i, (label, colour)) in self.parts.iter().enumerate() {
            let (x, y) =
                (left + (i % columns) as f64 * LEGEND_COLUMN, base + (i / columns) as f64 * LEGEND_ROW);
            let _ = writeln!(
                s,
                "<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{colour}\" stroke=\"#333333\" stroke-width=\"0.4\"/>\n\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                x + 20.0,
                y + 12.0,
                escaped(label)
            );
        }
        s.push_str("</svg>\n");
        s
    }
}

/// The words of a text in lines of at most so many characters, longer words alone.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_parts() {
        let bar =
            |name: &str, parts: [f64; 2], interval| Bar { name: name.into(), parts: parts.into(), interval };
        let stack = Stack {
            title: "t".into(),
            subtitle: "s".into(),
            parts: vec![("user".into(), "#999999"), ("kmap".into(), "#0072b2")],
            bars: vec![bar("a", [100.0, 0.0], None), bar("b", [25.0, 25.0], Some((48.0, 52.0)))],
            origin: "command".into(),
        };
        let svg = stack.svg();
        // 860 less the margins for a hundred.
        assert!(svg.contains("width=\"680.00\"") && svg.matches("width=\"170.00\"").count() == 2, "{svg}");
        assert!(svg.contains("a: user, 100.0") && !svg.contains("a: kmap"), "{svg}");
        assert_eq!(svg.matches(" v8 m0,-4 H").count(), 1);
    }

    #[test]
    fn long_subtitles_are_wrapped_at_words() {
        assert_eq!(wrapped("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrapped("", 6), [""]);
    }
}
