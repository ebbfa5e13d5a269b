//! The distribution of a latency: which share of the values is at most so long, a line for each group of cells.
//!
//! A line is that of the group's histograms added together, so each seed counts by its values. Its band is the 95 % bootstrap
//! interval over the seeds: at each latency, of the share in histograms added from resampled seeds. Lines are steps: a share
//! changes where values are, not between them.

use hdrhistogram::Histogram;

use super::figure::few;
use super::lines::{Line, Lines, Point, Style};
use super::results::{Group, Latency, Results};
use crate::plot::Scale;
use crate::statistics::bootstrap;

/// Values whose share is less than this are joined with the next ones.
const RESOLUTION: f64 = 1.0 / 200.0;

/// The distribution of a latency, called `name`. Fails when no group has a value.
pub fn cdf(results: &Results, name: &str, of: Latency, origin: String) -> Result<Lines, String> {
    let groups = results.groups();
    let lines = groups.iter().filter_map(|g| Some(Line { name: g.label.clone(), points: steps(g, of)? }));
    let lines: Vec<Line> = lines.collect();
    if lines.is_empty() {
        return Err(format!("--latency: no cell recorded the latency {name}"));
    }
    few("lines", &lines)?;
    Ok(Lines {
        title: format!("{name} latency"),
        x: "cycles".into(),
        y: "share of values at most so long (95 %)".into(),
        x_scale: Scale::Decades,
        style: Style::Bands,
        lines,
        origin,
    })
}

/// The corners of a group's steps; `None`: it recorded nothing.
fn steps(group: &Group<'_>, of: Latency) -> Option<Vec<Point>> {
    let all = group.merged(of)?;
    let seeds: Vec<Histogram<u64>> =
        group.cells.iter().map(|cell| of(&cell.row).histogram()).collect::<Option<_>>()?;
    let mut points = Vec::new();
    let (mut below, mut counted) = ((0.0, 0.0, 0.0), 0);
    for recorded in all.iter_recorded() {
        counted += recorded.count_at_value();
        let share = counted as f64 / all.len() as f64;
        if share - below.0 < RESOLUTION && counted < all.len() {
            continue;
        }
        let value = all.highest_equivalent(recorded.value_iterated_to());
        let (low, high) = interval(&seeds, value).unwrap_or((share, share));
        let (x, seeds) = (value.max(1) as f64, seeds.len());
        points.push(Point { x, y: below.0, low: below.1, high: below.2, seeds });
        points.push(Point { x, y: share, low, high, seeds });
        below = (share, low, high);
    }
    Some(points)
}

/// Of the share of values up to `value`; `None` with one seed.
fn interval(seeds: &[Histogram<u64>], value: u64) -> Option<(f64, f64)> {
    if seeds.len() < 2 {
        return None;
    }
    let counts: Vec<(u64, u64)> = seeds.iter().map(|h| (h.count_between(0, value), h.len())).collect();
    bootstrap(counts.len(), |sample| {
        let (part, whole) = sample.iter().fold((0, 0), |(p, w), &i| (p + counts[i].0, w + counts[i].1));
        (whole > 0).then(|| part as f64 / whole as f64)
    })
}
