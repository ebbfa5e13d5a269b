//! Every figure of a row under one name: the metrics of CSV, Parquet, tables and figures.
//!
//! A *metric* is the name of a figure, or `A/B`, one figure divided by another: `flush_ipis/operations`.

use std::fmt;

use crate::report::Row;
use crate::summary::Summary;

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name.
    pub metric: String,
    /// `count` or `cycles`.
    pub unit: &'static str,
    /// It.
    pub value: Value,
}

/// A figure's value. Whether it is whole hangs on the metric alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Whole.
    Count(u64),
    /// Not always whole.
    Real(f64),
}

impl Value {
    /// As a number to calculate with.
    pub fn number(self) -> f64 {
        match self {
            Value::Count(n) => n as f64,
            Value::Real(x) => x,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(n) => n.fmt(f),
            Value::Real(x) => x.fmt(f),
        }
    }
}

/// A metric of a row and its unit, `1` for a ratio of equal units. Fails, with what is accepted, for a name that is not there, and for a division by 0.
pub fn metric(row: &Row, name: &str) -> Result<(f64, String), String> {
    let all = figures(row);
    let find = |part: &str| {
        all.iter().find(|f| f.metric == part).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|f| f.metric.as_str()).collect();
            format!("there is no metric {part}; accepted are A and A/B of {}", names.join(", "))
        })
    };
    let Some((above, below)) = name.split_once('/') else {
        let figure = find(name)?;
        return Ok((figure.value.number(), figure.unit.to_owned()));
    };
    let (above, below) = (find(above)?, find(below)?);
    match below.value.number() {
        0.0 => Err(format!("{name}: {} is 0 in a cell", below.metric)),
        divisor => {
            let unit =
                if above.unit == below.unit { "1".into() } else { format!("{}/{}", above.unit, below.unit) };
            Ok((above.value.number() / divisor, unit))
        }
    }
}

/// Every histogram of a row.
pub fn summaries(row: &Row) -> [(&'static str, &Summary); 8] {
    [
        ("kmap_latency", &row.kmap_latency),
        ("initiator_latency", &row.initiator_latency),
        ("target_latency", &row.target_latency),
        ("irq_latency", &row.irq_latency),
        ("timer_latency", &row.timer_latency),
        ("irqs_off", &row.irqs_off),
        ("exposure", &row.exposure),
        ("response", &row.response),
    ]
}

/// Every figure of a row, always in the same order.
pub fn figures(row: &Row) -> Vec<Figure> {
    let mut all = Vec::new();
    let mut add = |metric: &str, unit, value| all.push(Figure { metric: metric.to_owned(), unit, value });
    add("operations", "count", Value::Count(row.operations));
    add("cycles_per_op", "cycles", Value::Real(row.cycles_per_op));
    add("wall_cycles_per_op", "cycles", Value::Real(row.wall_cycles_per_op));
    for (name, s) in summaries(row) {
        let Summary { count, mean, p50, p90, p99, p999, max, .. } = s;
        add(&format!("{name}.count"), "count", Value::Count(*count));
        add(&format!("{name}.mean"), "cycles", Value::Real(*mean));
        for (part, value) in [("p50", p50), ("p90", p90), ("p99", p99), ("p999", p999), ("max", max)] {
            add(&format!("{name}.{part}"), "cycles", Value::Count(*value));
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
        ("shootdowns", row.shootdowns),
        ("rmap_searches", row.rmap_searches),
        ("rmap_steps", row.rmap_steps),
        ("ptes_visited", row.ptes_visited),
        ("ptes_taken", row.ptes_taken),
        ("reclaimed", row.reclaimed),
        ("swap_ins", row.swap_ins),
        ("file_ins", row.file_ins),
        ("file_outs", row.file_outs),
        ("bounces", row.bounces),
        ("bounce_waits", row.bounce_waits),
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
        add(name, "count", Value::Count(n));
    }
    for (name, cycles) in &row.ledger.activity {
        add(&format!("activity.{name}"), "cycles", Value::Count(*cycles));
    }
    for (name, cycles) in &row.ledger.kind {
        add(&format!("kind.{name}"), "cycles", Value::Count(*cycles));
    }
    for (name, parts) in [("lock-spin", &row.waits.lock_spin), ("ack-wait", &row.waits.ack_wait)] {
        for (part, cycles) in parts {
            add(&format!("waits.{name}.{part}"), "cycles", Value::Count(*cycles));
        }
    }
    add("cycles", "cycles", Value::Count(row.cycles));
    all
}
