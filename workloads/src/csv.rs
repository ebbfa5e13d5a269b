//! Tidy CSV: one line for each figure of each strategy, for scripts and plots.

use crate::report::{Report, Row};
use crate::summary::Summary;

/// The column names.
pub const HEADER: &str = "workload,cpu,cpus,seed,strategy,metric,unit,value";

/// The whole document as CSV, with a newline at the end of each line.
pub fn render(report: &Report) -> String {
    let config = &report.config;
    let m = &config.machine;
    let mut text = format!("{HEADER}\n");
    let mut line = |strategy: &str, metric: &str, unit: &str, value: &str| {
        // No field can hold a comma or a quote: names are made of letters, digits, `-`, `_` and `.`.
        text.push_str(&format!(
            "{},{},{},{},{strategy},{metric},{unit},{value}\n",
            config.workload, m.cpu, m.cpus, m.seed
        ));
    };
    for row in &report.rows {
        for (metric, unit, value) in figures(row) {
            line(&row.strategy, &metric, unit, &value);
        }
    }
    let Some(sensitivity) = &report.sensitivity else { return text };
    for (estimate, which, end) in sensitivity.ends() {
        for m in &end.strategies {
            let metric = format!("sensitivity.{}.{which}", estimate.key);
            // A run without a figure has an empty field.
            let field = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
            line(&m.strategy, &metric, "cycles", &field(m.cycles_per_op));
            line(&m.strategy, &format!("{metric}.change"), "percent", &field(m.change_percent));
        }
    }
    for c in &sensitivity.conclusions {
        let metric = format!("sensitivity.cheaper-than.{}", c.dearer);
        line(&c.cheaper, &format!("{metric}.margin"), "percent", &c.margin_percent.to_string());
        line(&c.cheaper, &format!("{metric}.flips"), "count", &c.flips.len().to_string());
    }
    text
}

/// Every figure of a row: metric, unit, value.
pub fn figures(row: &Row) -> Vec<(String, &'static str, String)> {
    let mut all = Vec::new();
    let mut add = |metric: &str, unit, value: String| all.push((metric.to_owned(), unit, value));
    add("operations", "count", row.operations.to_string());
    add("cycles_per_op", "cycles", row.cycles_per_op.to_string());
    add("wall_cycles_per_op", "cycles", row.wall_cycles_per_op.to_string());
    for (name, s) in [
        ("kmap_latency", &row.kmap_latency),
        ("initiator_latency", &row.initiator_latency),
        ("target_latency", &row.target_latency),
        ("exposure", &row.exposure),
    ] {
        let Summary { count, mean, p50, p90, p99, p999, max, .. } = s;
        add(&format!("{name}.count"), "count", count.to_string());
        add(&format!("{name}.mean"), "cycles", mean.to_string());
        for (part, value) in [("p50", p50), ("p90", p90), ("p99", p99), ("p999", p999), ("max", max)] {
            add(&format!("{name}.{part}"), "cycles", value.to_string());
        }
    }
    for (name, n) in [
        ("kmaps", row.kmaps),
        ("maps", row.maps),
        ("wraps", row.wraps),
        ("recycles", row.recycles),
        ("conflicts", row.conflicts),
        ("ipis", row.ipis),
        ("flush_ipis", row.flush_ipis),
        ("flush_ipi_targets", row.flush_ipi_targets),
        ("ipis_received", row.ipis_received),
        ("interrupts", row.interrupts),
        ("page_faults", row.page_faults),
        ("mm_switches", row.mm_switches),
        ("lazy_switches", row.lazy_switches),
        ("invlpg", row.invlpg),
        ("cr3_loads", row.cr3_loads),
        ("global_flushes", row.global_flushes),
        ("dtlb_misses", row.dtlb_misses),
        ("itlb_misses", row.itlb_misses),
        ("second_level_hits", row.second_level_hits),
        ("walks", row.walks),
        ("refills_invlpg", row.refills_invlpg),
        ("refills_cr3", row.refills_cr3),
        ("refills_global", row.refills_global),
        ("remapped", row.remapped),
        ("stale_uses", row.stale_uses),
        ("harmful_uses", row.harmful_uses),
        ("data_errors", row.data_errors),
        ("instructions", row.instructions),
    ] {
        add(name, "count", n.to_string());
    }
    for (name, cycles) in &row.ledger.activity {
        add(&format!("activity.{name}"), "cycles", cycles.to_string());
    }
    for (name, cycles) in &row.ledger.kind {
        add(&format!("kind.{name}"), "cycles", cycles.to_string());
    }
    for (name, parts) in [("lock-spin", &row.waits.lock_spin), ("ack-wait", &row.waits.ack_wait)] {
        for (part, cycles) in parts {
            add(&format!("waits.{name}.{part}"), "cycles", cycles.to_string());
        }
    }
    add("cycles", "cycles", row.cycles.to_string());
    all
}
