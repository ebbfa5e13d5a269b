//! Several seeds for people: a column for each strategy with median and interval, then the pairs.

use super::{Pair, Seeds};
use crate::report::{Report, Row};
use crate::statistics::{FEWEST, Interval};
use shootdown_abi::Activity;

const LABEL: usize = 26;
const FIGURE: usize = 11;
const RANGE: usize = 21;
/// Strategies side by side; more make another block.
const COLUMNS: usize = 3;

/// A figure of a row; `None`: the row has none.
type Figure = Box<dyn Fn(&Row) -> Option<f64>>;

enum Line {
    Section(&'static str),
    /// What it is and how many digits it has behind the point.
    Figure(String, usize, Figure),
}

/// The table of `run` and `compare` with several seeds, below its heading.
pub fn render(report: &Report, seeds: &Seeds) -> String {
    let mut text = format!("median of {} seeds [95 % interval]\n", seeds.seeds.len());
    if seeds.seeds.len() < FEWEST {
        text += &format!(
            "of fewer than {FEWEST} seeds no interval has 95 %: it reaches from the least to the greatest\n"
        );
    }
    for columns in seeds.strategies.chunks(COLUMNS) {
        text += &format!("\n{:LABEL$}", "");
        for column in columns {
            let (name, rest) = (FIGURE + 6, RANGE - 6);
            text += &format!("{:>name$}{:rest$}", column.strategy, "");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        for line in lines() {
            let (label, digits, figure) = match line {
                Line::Section(title) => {
                    text += &format!("{title}\n");
                    continue;
                }
                Line::Figure(label, digits, figure) => (label, digits, figure),
            };
            let mut fields = format!("  {label:<width$}", width = LABEL - 2);
            for column in columns {
                let rows = report.seeded().map(|(_, row)| row);
                let sound = rows.filter(|r| r.strategy == column.strategy && r.problems().is_empty());
                let values: Option<Vec<f64>> = sound.map(&figure).collect();
                fields += &field(values.and_then(|values| Interval::of(&values)), digits);
            }
            text += fields.trim_end();
            text.push('\n');
        }
    }
    text += "\nstrategies against each other on equal seeds, by cycles per operation\n";
    seeds.pairs.iter().for_each(|pair| text += &told(pair));
    let all = report.seeded().count();
    let wrong: Vec<_> = report.seeded().filter(|(_, row)| !row.problems().is_empty()).collect();
    if !wrong.is_empty() {
        text += &format!("\n{} of {all} runs are left out of the figures:\n", wrong.len());
    }
    for (seed, row) in wrong {
        let problems = row.problems();
        problems.iter().for_each(|p| text += &format!("{}, seed {seed}: WRONG: {p}.\n", row.strategy));
    }
    text
}

/// `median [low, high]`, or a dash where nothing was recorded.
fn field(interval: Option<Interval>, digits: usize) -> String {
    let (figure, range) = match interval {
        Some(i) if i.high > 0.0 => {
            (format!("{:.digits$}", i.median), format!("[{:.digits$}, {:.digits$}]", i.low, i.high))
        }
        _ => ("-".into(), String::new()),
    };
    format!("{figure:>FIGURE$} {range:<width$}", width = RANGE - 1)
}

fn told(pair: &Pair) -> String {
    let Pair { cheaper, dearer, ratio, difference, cheaper_on } = pair;
    format!(
        "  {dearer} / {cheaper}: {:.3} [{:.3}, {:.3}], {:.1} [{:.1}, {:.1}] cycles more; dearer on {cheaper_on} of {} seeds{}\n",
        ratio.median,
        ratio.low,
        ratio.high,
        difference.median,
        difference.low,
        difference.high,
        ratio.n,
        if ratio.low <= 1.0 && ratio.high >= 1.0 { "; the interval holds 1: undecided" } else { "" }
    )
}

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    let figure = |label: &str, digits, f: fn(&Row) -> f64| {
        Line::Figure(label.into(), digits, Box::new(move |r| Some(f(r))))
    };
    let rate = |label: &str, f: fn(&Row) -> u64| {
        let per_op = move |r: &Row| (r.operations > 0).then(|| f(r) as f64 / r.operations as f64);
        Line::Figure(label.into(), 3, Box::new(per_op))
    };
    lines.extend([
        Line::Section("work"),
        figure("operations", 0, |r| r.operations as f64),
        figure("cycles per operation", 1, |r| r.cycles_per_op),
        figure("elapsed per operation", 1, |r| r.wall_cycles_per_op),
        Line::Section("kmap latency, cycles"),
        figure("p50", 0, |r| r.kmap_latency.p50 as f64),
        figure("p90", 0, |r| r.kmap_latency.p90 as f64),
        figure("p99", 0, |r| r.kmap_latency.p99 as f64),
        figure("p99.9", 0, |r| r.kmap_latency.p999 as f64),
        figure("max", 0, |r| r.kmap_latency.max as f64),
        Line::Section("flush of all processors, cycles"),
        figure("flushes", 0, |r| r.initiator_latency.count as f64),
        figure("initiator, p50", 0, |r| r.initiator_latency.p50 as f64),
        figure("initiator, p99", 0, |r| r.initiator_latency.p99 as f64),
        figure("target, p50", 0, |r| r.target_latency.p50 as f64),
        figure("target, p99", 0, |r| r.target_latency.p99 as f64),
        Line::Section("events per operation"),
        rate("pages mapped", |r| r.maps),
        rate("invlpg", |r| r.invlpg),
        rate("global flushes", |r| r.global_flushes),
        rate("ipis", |r| r.ipis),
        rate("data TLB misses", |r| r.dtlb_misses),
        Line::Section("where the cycles went, per cent"),
    ]);
    for activity in Activity::ALL {
        let share = move |r: &Row| {
            let all: u64 = r.ledger.activity.values().sum();
            let part = r.ledger.activity.get(activity.name()).copied().unwrap_or(0);
            (all > 0).then(|| 100.0 * part as f64 / all as f64)
        };
        lines.push(Line::Figure(activity.name().into(), 2, Box::new(share)));
    }
    lines
}
