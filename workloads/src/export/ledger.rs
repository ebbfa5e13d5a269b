//! The ledger as stacked bars: cycles per operation of all processors together, by what they were doing.
//!
//! A bar is that of all seeds of a group together: their cycles over their operations, so that the parts sum to the whole. The
//! whisker is the 95 % bootstrap interval of the whole over the seeds.

use std::fmt::Write as _;

use shootdown_abi::Activity;

use super::figure::{Figure, quoted, tex, tex_colour_of, tex_ticks};
use super::results::{Group, Results};
use crate::plot::{Bar, Stack};
use crate::statistics::bootstrap;

/// Activities in stacking order, with colours of Okabe and Ito and labels.
const PARTS: [(Activity, &str, &str); 8] = [
    (Activity::User, "#999999", "user program"),
    (Activity::Kernel, "#56b4e9", "kernel, other"),
    (Activity::Kmap, "#0072b2", "kmap and kunmap"),
    (Activity::LockSpin, "#e69f00", "spinning on a lock"),
    (Activity::FlushInit, "#cc79a7", "starting flushes"),
    (Activity::AckWait, "#d55e00", "waiting for acks"),
    (Activity::IpiHandler, "#f0e442", "flush IPI handler"),
    (Activity::Idle, "#eeeeee", "idle"),
];

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// The varied keys with their values.
    pub name: String,
    /// Cycles per operation of each part.
    pub parts: Vec<f64>,
    /// Cycles per operation of all of them.
    pub total: f64,
    /// The interval of `total`; of one seed `total` itself.
    pub interval: (f64, f64),
    /// Number of seeds.
    pub seeds: usize,
}

/// The figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// The bars, in the order of their first cells.
    pub bars: Vec<Whole>,
    /// What all cells have in common.
    pub common: String,
    /// Where the figures come from.
    pub origin: String,
}

impl Ledger {
    /// The ledger of all groups that did an operation. Fails when none did.
    pub fn new(results: &Results, origin: String) -> Result<Ledger, String> {
        let bars: Vec<Whole> = results.groups().iter().filter_map(whole).collect();
        if bars.is_empty() {
            return Err("no cell did an operation".into());
        }
        Ok(Ledger { bars, common: results.common(), origin })
    }
}

fn whole(group: &Group<'_>) -> Option<Whole> {
    let cycles = |cell: usize, activity: Activity| {
        group.cells[cell].row.ledger.activity.get(activity.name()).copied().unwrap_or(0) as f64
    };
    let operations =
        |sample: &[usize]| sample.iter().map(|&i| group.cells[i].row.operations as f64).sum::<f64>();
    let part = |sample: &[usize], activity| {
        let operations = operations(sample);
        let cycles: f64 = sample.iter().map(|&i| cycles(i, activity)).sum();
        (operations > 0.0).then(|| cycles / operations)
    };
    let total = |sample: &[usize]| PARTS.iter().map(|p| part(sample, p.0)).sum::<Option<f64>>();
    let all: Vec<usize> = (0..group.cells.len()).collect();
    let whole = total(&all)?;
    Some(Whole {
        name: group.label.clone(),
        parts: PARTS.iter().map(|p| part(&all, p.0)).collect::<Option<_>>()?,
        total: whole,
        interval: if all.len() > 1 { bootstrap(all.len(), total)? } else { (whole, whole) },
        seeds: all.len(),
    })
}

impl Figure for Ledger {
    fn svg(&self) -> String {
        let bar = |w: &Whole| Bar {
            name: w.name.clone(),
            parts: w.parts.clone(),
            interval: (w.interval.0 < w.interval.1).then_some(w.interval),
        };
        Stack {
            title: "Cycles per operation, all processors together, by what they were doing".into(),
            subtitle: self.common.clone(),
            parts: PARTS.iter().map(|(_, colour, label)| ((*label).to_owned(), *colour)).collect(),
            bars: self.bars.iter().map(bar).collect(),
            origin: self.origin.clone(),
        }
        .svg()
    }

    fn pgfplots(&self) -> String {
        let mut s = format!(
            "% {}\n\\begin{{tikzpicture}}\n\\begin{{axis}}[\n  xbar stacked, bar width=10pt, xmin=0, y dir=reverse,\n{}\
             \x20 enlarge y limits={{abs=0.6}}, y=20pt, xlabel={{cycles per operation, all processors}}, scaled x ticks=false,\n\
             \x20 legend pos=outer north east, legend cell align=left, area legend,\n]\n",
            self.origin,
            tex_ticks('y', self.bars.iter().map(|b| b.name.as_str()))
        );
        for (number, (_, colour, label)) in PARTS.iter().enumerate() {
            let _ = write!(
                s,
                "{}\\addplot[draw=black, very thin, fill=shootdown{number}] coordinates {{",
                tex_colour_of(number, colour)
            );
            for (at, bar) in self.bars.iter().enumerate() {
                let _ = write!(s, " ({:.3}, {at})", bar.parts[number]);
            }
            let _ = write!(s, " }};\n\\addlegendentry{{{}}}\n", tex(label));
        }
        for (at, bar) in self.bars.iter().enumerate().filter(|(_, b)| b.interval.0 < b.interval.1) {
            let (low, high) = bar.interval;
            let _ = writeln!(s, "\\draw[|-|] (axis cs:{low:.3}, {at}) -- (axis cs:{high:.3}, {at});");
        }
        s.push_str("\\end{axis}\n\\end{tikzpicture}\n");
        s
    }

    /// A line for each bar: its name, the whole with its interval, the parts.
    fn gnuplot(&self, file: &str) -> String {
        let file = quoted(file);
        let part = |(number, (_, colour, label)): (usize, &(Activity, &str, &str))| {
            format!("{file} using {}:xtic(1) title {} lc rgb \"{colour}\"", number + 6, quoted(label))
        };
        let parts: Vec<_> = PARTS.iter().enumerate().map(part).collect();
        let labels: Vec<_> = PARTS.iter().map(|p| p.2).collect();
        let mut s = format!(
            "# {}\n# gnuplot: set style data histograms; set style histogram rowstacked; set style fill solid border -1; \
             set boxwidth 0.7; set key outside; set yrange [0:*]; set ylabel \"cycles per operation\"; set xtics noenhanced rotate by -20; \
             plot {}, {file} using 0:2:3:4 with yerrorbars lc \"black\" pt -1 title \"95 %\"\n\
             # name total low high seeds; {}\n",
            self.origin,
            parts.join(", "),
            labels.join("; ")
        );
        for bar in &self.bars {
            let (low, high) = bar.interval;
            let _ = write!(s, "{} {} {low} {high} {}", quoted(&bar.name), bar.total, bar.seeds);
            bar.parts.iter().for_each(|part| {
                let _ = write!(s, " {part}");
            });
            s.push('\n');
        }
        s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activity_is_a_part_of_the_bar() {
        let mut parts: Vec<_> = PARTS.iter().map(|p| p.0 as usize).collect();
        parts.sort_unstable();
        assert!(parts.iter().copied().eq(Activity::ALL.iter().map(|a| *a as usize)));
    }
}
