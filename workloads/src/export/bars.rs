//! Normalised bars: a metric of each strategy (or other key) over that of one of them, on equal seeds.

use std::fmt::Write as _;

use super::figure::{Figure, few, quoted, tex, tex_colour, tex_ticks};
use super::results::{Measured, Results, label};
use crate::figures::metric;
use crate::plot;
use crate::statistics::{Interval, Pairs};

/// Bars that stand together: all else equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The other varied keys with their values.
    pub name: String,
    /// The ratio for each of the figure's names; `None` where there is no cell, or none with the seeds of the base.
    pub ratios: Vec<Option<Interval>>,
}

/// The figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// The metric.
    pub y: String,
    /// What everything is divided by: one of `names`.
    pub base: String,
    /// Values of the key that is compared.
    pub names: Vec<String>,
    /// The clusters, in the order of their first cells.
    pub clusters: Vec<Cluster>,
    /// Where the figures come from.
    pub origin: String,
}

impl Bars {
    /// The metric `y` for each value of the key `by` over that for `base`, the first value if it is none. Fails, with what is
    /// accepted, for names that are not there.
    pub fn new(
        results: &Results,
        y: &str,
        by: &str,
        base: Option<&str>,
        origin: String,
    ) -> Result<Bars, String> {
        let varied = results.varied();
        if !varied.contains(&by) {
            let accepted = if varied.is_empty() { "none".into() } else { varied.join(", ") };
            return Err(format!("--by: {by} does not vary between the cells; what varies: {accepted}"));
        }
        let of = |cell: &Measured| cell.set.get(by).cloned().unwrap_or_default();
        let others: Vec<&str> = varied.iter().copied().filter(|key| *key != by).collect();
        let (mut names, mut clusters): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let mut cells: Vec<(String, String, u64, f64)> = Vec::new();
        for cell in &results.cells {
            let (name, cluster) = (of(cell), label(cell, &others));
            let (value, _) = metric(&cell.row, y).map_err(|e| format!("--y: {e}"))?;
            for (word, list) in [(&name, &mut names), (&cluster, &mut clusters)] {
                if !list.contains(word) {
                    list.push(word.clone());
                }
            }
            cells.push((name, cluster, cell.seed, value));
        }
        few("bars of a group", &names)?;
        let base = match base {
            None => names[0].clone(),
            Some(base) if names.iter().any(|n| n == base) => base.to_owned(),
            Some(base) => {
                return Err(format!("--base: {by} never is {base}; accepted are {}", names.join(", ")));
            }
        };
        let seeded = |name: &str, cluster: &str| -> Vec<(u64, f64)> {
            let same = cells.iter().filter(|c| c.0 == name && c.1 == cluster);
            same.map(|(_, _, seed, value)| (*seed, *value)).collect()
        };
        let ratio =
            |name: &str, cluster: &str| Pairs::new(&seeded(&base, cluster), &seeded(name, cluster)).ratio();
        let clusters = clusters.iter().map(|cluster| Cluster {
            name: cluster.clone(),
            ratios: names.iter().map(|name| ratio(name, cluster)).collect(),
        });
        Ok(Bars { clusters: clusters.collect(), y: y.into(), base, names, origin })
    }

    fn label(&self) -> String {
        format!("{} over that of {} (median, 95 %)", self.y, self.base)
    }
}

impl Figure for Bars {
    fn svg(&self) -> String {
        let cluster = |c: &Cluster| plot::Cluster {
            name: c.name.clone(),
            bars: c.ratios.iter().map(|r| r.map(|i| (i.median, i.low, i.high))).collect(),
        };
        plot::Bars {
            title: format!("{} relative to {}", self.y, self.base),
            y: self.label(),
            names: self.names.clone(),
            clusters: self.clusters.iter().map(cluster).collect(),
            origin: self.origin.clone(),
        }
        .svg()
    }

    fn pgfplots(&self) -> String {
        let mut s = format!(
            "% {}\n\\begin{{tikzpicture}}\n\\begin{{axis}}[\n  ybar, bar width=7pt, ymin=0, ylabel={{{}}},\n{}\
             \x20 enlarge x limits={{abs=0.5}}, legend pos=outer north east, legend cell align=left,\n\
             \x20 error bars/y dir=both, error bars/y explicit, area legend,\n\
             \x20 extra y ticks={{1}}, extra y tick style={{grid=major, tick label style={{draw=none}}}},\n]\n",
            self.origin,
            tex(&self.label()),
            tex_ticks('x', self.clusters.iter().map(|c| c.name.as_str()))
        );
        for (number, name) in self.names.iter().enumerate() {
            s.push_str(&tex_colour(number));
            let _ = writeln!(s, "\\addplot[draw=black, fill=shootdown{number}] coordinates {{");
            for (at, cluster) in self.clusters.iter().enumerate() {
                if let Some(i) = cluster.ratios[number] {
                    let (up, down) = (i.high - i.median, i.median - i.low);
                    let _ = writeln!(s, "  ({at}, {}) += (0, {up}) -= (0, {down})", i.median);
                }
            }
            let _ = write!(s, "}};\n\\addlegendentry{{{}}}\n", tex(name));
        }
        s.push_str("\\end{axis}\n\\end{tikzpicture}\n");
        s
    }

    /// A line for each cluster: its name, then median, low and high end of each bar.
    fn gnuplot(&self, file: &str) -> String {
        let file = quoted(file);
        let bar = |(number, name): (usize, &String)| {
            let column = 2 + 3 * number;
            format!(
                "{file} using {column}:{}:{}:xtic(1) title {} noenhanced",
                column + 1,
                column + 2,
                quoted(name)
            )
        };
        let bars: Vec<_> = self.names.iter().enumerate().map(bar).collect();
        let mut s = format!(
            "# {}\n# gnuplot: set datafile missing \"NaN\"; set style data histograms; set style histogram errorbars gap 1 lw 1.5; \
             set key outside; set style fill solid border -1; set yrange [0:*]; set ylabel {} noenhanced; plot {}, 1 notitle dt 2 lc \"black\"\n\
             # group, then median low high of: {}\n",
            self.origin,
            quoted(&self.label()),
            bars.join(", "),
            self.names.join(", ")
        );
        for cluster in &self.clusters {
            s.push_str(&quoted(&cluster.name));
            for ratio in &cluster.ratios {
                let _ = match ratio {
                    Some(i) => write!(s, " {} {} {}", i.median, i.low, i.high),
                    None => write!(s, " NaN NaN NaN"),
                };
            }
            s.push('\n');
        }
        s
    }
}
