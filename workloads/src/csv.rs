//! Tidy CSV: one line for each figure of each strategy, for scripts and plots.

use crate::figures::{Figure, figures};
use crate::report::Report;

/// The column names.
pub const HEADER: &str = "workload,cpu,cpus,seed,strategy,metric,unit,value";

/// The whole document as CSV, with a newline at the end of each line.
pub fn render(report: &Report) -> String {
    let config = &report.config;
    let m = &config.machine;
    let mut text = format!("{HEADER}\n");
    let mut line = |seed: u64, strategy: &str, metric: &str, unit: &str, value: &str| {
        // No field can hold a comma or a quote: names are made of letters, digits, `-`, `_` and `.`.
        text.push_str(&format!(
            "{},{},{},{seed},{strategy},{metric},{unit},{value}\n",
            config.workload, m.cpu, m.cpus
        ));
    };
    for (seed, row) in report.seeded() {
        for Figure { metric, unit, value } in figures(row) {
            line(seed, &row.strategy, &metric, unit, &value.to_string());
        }
    }
    let mut line = |strategy: &str, metric: &str, unit: &str, value: &str| {
        line(m.seed, strategy, metric, unit, value);
    };
    let Some(sensitivity) = &report.sensitivity else { return text };
    // A run without a figure has an empty field.
    let field = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
    for (estimate, which, end) in sensitivity.ends() {
        for m in &end.strategies {
            let metric = format!("sensitivity.{}.{which}", estimate.key);
            line(&m.strategy, &metric, "cycles", &field(m.cycles_per_op));
            line(&m.strategy, &format!("{metric}.change"), "percent", &field(m.change_percent));
        }
    }
    for (n, draw) in sensitivity.draws.iter().enumerate() {
        for m in &draw.strategies {
            line(&m.strategy, &format!("sensitivity.draw.{}", n + 1), "cycles", &field(m.cycles_per_op));
        }
    }
    for c in &sensitivity.conclusions {
        let metric = format!("sensitivity.cheaper-than.{}", c.dearer);
        line(&c.cheaper, &format!("{metric}.margin"), "percent", &c.margin_percent.to_string());
        line(&c.cheaper, &format!("{metric}.flips"), "count", &c.flips.len().to_string());
        if let Some(drawn) = &c.draws {
            line(&c.cheaper, &format!("{metric}.draws"), "count", &drawn.draws.to_string());
            line(&c.cheaper, &format!("{metric}.held"), "count", &drawn.held.to_string());
        }
    }
    text
}
