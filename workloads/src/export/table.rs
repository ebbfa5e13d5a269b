//! A table of the groups of a sweep: median and 95 % interval over the seeds for each metric, and the ratio to the first
//! group on equal seeds. As LaTeX with `booktabs`, or as CSV.

use std::fmt::Write as _;

use super::figure::tex;
use super::results::{Group, Results};
use crate::figures::metric;
use crate::statistics::{Interval, Pairs};

/// Metrics of a table that names none.
pub const METRICS: [&str; 4] =
    ["cycles_per_op", "kmap_latency.p50", "kmap_latency.p99", "initiator_latency.p99"];

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name of the group.
    pub name: String,
    /// Number of seeds.
    pub seeds: usize,
    /// One for each metric.
    pub values: Vec<Interval>,
    /// The first metric over that of the first group, by pairs of equal seeds; `None` in the first line and without pairs.
    pub ratio: Option<Interval>,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names of the metrics.
    pub metrics: Vec<String>,
    /// The lines, in the order of the cells.
    pub entries: Vec<Entry>,
    /// Where the figures come from.
    pub origin: String,
}

impl Table {
    /// The table of these metrics. Fails for a metric that is not there.
    pub fn new(results: &Results, metrics: &[String], origin: String) -> Result<Table, String> {
        let groups = results.groups();
        let mut entries = Vec::new();
        let first = |group: &Group<'_>| -> Result<Vec<(u64, f64)>, String> {
            group.cells.iter().map(|cell| Ok((cell.seed, metric(&cell.row, &metrics[0])?.0))).collect()
        };
        for group in &groups {
            let mut values = Vec::new();
            for name in metrics {
                let all: Result<Vec<f64>, String> =
                    group.cells.iter().map(|cell| Ok(metric(&cell.row, name)?.0)).collect();
                values.extend(Interval::of(&all?));
            }
            let ratio = match entries.is_empty() {
                true => None,
                false => Pairs::new(&first(&groups[0])?, &first(group)?).ratio(),
            };
            entries.push(Entry { name: group.name.clone(), seeds: group.cells.len(), values, ratio });
        }
        Ok(Table { metrics: metrics.to_vec(), entries, origin })
    }

    /// As LaTeX, for `\usepackage{booktabs}`.
    pub fn latex(&self) -> String {
        let columns = "l".to_owned() + &"r".repeat(self.metrics.len() + 2);
        let heads: Vec<_> = self.metrics.iter().map(|m| tex(m)).collect();
        let mut s = format!("% {}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n", self.origin);
        let _ = write!(s, "& {} & ratio & seeds \\\\\n\\midrule\n", heads.join(" & "));
        for entry in &self.entries {
            let cells: Vec<_> = entry.values.iter().map(shown).collect();
            let ratio = entry.ratio.as_ref().map_or("1".into(), shown);
            let _ =
                writeln!(s, "{} & {} & {ratio} & {} \\\\", tex(&entry.name), cells.join(" & "), entry.seeds);
        }
        s.push_str("\\bottomrule\n\\end{tabular}\n");
        s
    }

    /// As CSV: median, low and high end of each metric.
    pub fn csv(&self) -> String {
        let mut s = String::from("group,seeds");
        for name in self.metrics.iter().map(String::as_str).chain(["ratio"]) {
            let _ = write!(s, ",{name},{name}.low,{name}.high");
        }
        s.push('\n');
        for entry in &self.entries {
            let _ = write!(s, "\"{}\",{}", entry.name, entry.seeds);
            for i in &entry.values {
                let _ = write!(s, ",{},{},{}", i.median, i.low, i.high);
            }
            let _ = match &entry.ratio {
                Some(i) => writeln!(s, ",{},{},{}", i.median, i.low, i.high),
                None => writeln!(s, ",,,"),
            };
        }
        s
    }
}

/// The median and, of several seeds, its interval; with about three digits.
fn shown(i: &Interval) -> String {
    let digits = match i.median.abs() {
        x if x >= 100.0 => 0,
        x if x >= 1.0 => 2,
        _ => 4,
    };
    match i.n {
        1 => format!("{:.digits$}", i.median),
        _ => format!("{:.digits$} [{:.digits$}, {:.digits$}]", i.median, i.low, i.high),
    }
}
