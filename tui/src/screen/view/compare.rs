//! Compare: the same load under several strategies, in lock-step; bars against the first.
//!
//! The guest tells its operations when a task is done, so while a run is under way figures are
//! by kmap instead (for most loads the same), and at the end by operation, as in results.

use super::{Context, View};
use crate::screen::draw::{Canvas, grouped, percent, short, state_of};
use crate::screen::export::Table;
use crate::screen::snapshot::RunView;
use crate::screen::theme::Role;
use ratatui::layout::Rect;
use shootdown_abi::{Activity, Counter};

/// See the module.
#[derive(Default)]
pub struct Compare;

/// A figure that is compared; less is better.
struct Metric {
    name: &'static str,
    /// The column of results that it equals at the end.
    column: &'static str,
    value: fn(&RunView) -> f64,
}

fn per_op(run: &RunView, n: u64) -> f64 {
    let operations = if run.end.is_some() { run.operations } else { run.region.guest(Counter::Kmaps) };
    if operations == 0 { 0.0 } else { n as f64 / operations as f64 }
}

fn activity(run: &RunView, activity: Activity) -> f64 {
    per_op(run, run.region.ledger().activity[activity as usize])
}

const METRICS: [Metric; 9] = [
    Metric {
        name: "cycles per operation",
        column: "cycles_per_op",
        value: |r| per_op(r, r.region.cycles()) * r.cpus.len() as f64,
    },
    Metric { name: "kmap, mean", column: "kmap_latency.mean", value: |r| r.latencies.kmap.mean },
    Metric { name: "kmap, p99", column: "kmap_latency.p99", value: |r| r.latencies.kmap.p99 as f64 },
    Metric {
        name: "shootdown, mean",
        column: "initiator_latency.mean",
        value: |r| r.latencies.initiator.mean,
    },
    Metric { name: "flush IPIs per op", column: "flush_ipis/op", value: |r| per_op(r, r.flush_ipis) },
    Metric {
        name: "TLB misses per op",
        column: "dtlb_misses/op",
        value: |r| per_op(r, r.region.totals().dtlb_misses),
    },
    Metric {
        name: "ack-wait per op",
        column: "ledger.ack-wait/op",
        value: |r| activity(r, Activity::AckWait),
    },
    Metric {
        name: "IPI handler per op",
        column: "ledger.ipi-handler/op",
        value: |r| activity(r, Activity::IpiHandler),
    },
    Metric {
        name: "lock spin per op",
        column: "ledger.lock-spin/op",
        value: |r| activity(r, Activity::LockSpin),
    },
];

impl View for Compare {
    fn name(&self) -> &'static str {
        "Compare"
    }

    fn purpose(&self) -> &'static str {
        "one load under several strategies in lock-step, against the first"
    }

    fn draw(&self, c: &Context, area: Rect, canvas: &mut Canvas) {
        let runs = &c.snapshot.runs;
        let height = runs.len() as u16 + 1;
        draw_runs(c, Rect { height: height.min(area.height), ..area }, canvas);
        let mut rest = Rect { y: area.y + height, height: area.height.saturating_sub(height), ..area };
        if runs.len() == 1 {
            canvas.put_in(
                rest,
                1,
                "one strategy runs; choose more with c (setup) or --strategies a,b",
                Role::Faint,
            );
            rest.y += 1;
            rest.height = rest.height.saturating_sub(1);
        }
        let each = runs.len() as u16 + 1;
        let columns = if area.width >= 120 { 2 } else { 1 };
        let width = area.width / columns;
        let lines = (METRICS.len() as u16).div_ceil(columns);
        // When there is no room for a heading of its own, metrics take turns by name.
        let compact = lines * each > rest.height;
        for (i, metric) in METRICS.iter().enumerate() {
            let (column, row) = (i as u16 / lines, i as u16 % lines);
            let height = if compact { runs.len() as u16 } else { each };
            let place = Rect { x: rest.x + column * width, width, y: rest.y + row * height, height };
            if place.bottom() > rest.bottom() {
                continue;
            }
            draw_metric(c, metric, place, compact, canvas);
        }
    }

    fn table(&self, c: &Context) -> Table {
        let names: Vec<_> =
            ["strategy", "operations"].into_iter().chain(METRICS.iter().map(|m| m.column)).collect();
        let mut table = Table::new(&names);
        for run in &c.snapshot.runs {
            let figures = METRICS.iter().map(|m| (m.value)(run).to_string());
            table
                .row([run.strategy.name().to_owned(), run.operations.to_string()].into_iter().chain(figures));
        }
        table
    }
}

fn draw_runs(c: &Context, area: Rect, canvas: &mut Canvas) {
    let head = Rect { height: 1, ..area };
    for (dx, text) in [(1, "strategy"), (18, "state"), (30, "part")] {
        canvas.put_in(head, dx, text, Role::Title);
    }
    for (dx, text) in [(52, "kmaps"), (68, "cycle"), (78, "busy")] {
        canvas.put_right(head, dx, text, Role::Title);
    }
    for (i, run) in c.snapshot.runs.iter().enumerate() {
        let line = Rect { y: area.y + 1 + i as u16, height: 1, ..area };
        if line.y >= area.bottom() {
            return;
        }
        let role = if i == c.snapshot.shown { Role::Chosen } else { Role::Series(i) };
        canvas.put_in(line, 1, run.strategy.name(), role);
        let (word, role) = state_of(run, c.snapshot.pace);
        canvas.put_in(line, 18, word, role);
        canvas.put_in(line, 30, run.phase.name(), Role::Faint);
        canvas.put_right(line, 52, &grouped(run.region.guest(Counter::Kmaps)), Role::Text);
        canvas.put_right(line, 68, &grouped(run.now), Role::Text);
        let ledger = run.region.ledger().activity;
        let all: u64 = ledger.iter().sum();
        let busy = if all == 0 { 0.0 } else { 1.0 - ledger[Activity::Idle as usize] as f64 / all as f64 };
        canvas.put_right(line, 78, &percent(busy), Role::Text);
    }
}

fn draw_metric(c: &Context, metric: &Metric, area: Rect, compact: bool, canvas: &mut Canvas) {
    let runs = &c.snapshot.runs;
    let values: Vec<f64> = runs.iter().map(metric.value).collect();
    let top = values.iter().copied().fold(0.0, f64::max);
    let mut line = Rect { height: 1, ..area };
    if !compact {
        canvas.section(Rect { width: area.width.saturating_sub(1), ..line }, metric.name);
        line.y += 1;
    }
    for (i, (run, &value)) in runs.iter().zip(&values).enumerate() {
        let label = if compact && i == 0 { metric.name } else { run.strategy.name() };
        canvas.put_in(line, 1, label, if compact && i == 0 { Role::Title } else { Role::Series(i) });
        canvas.put_right(line, 32, &figure(value), Role::Text);
        let against = match values[0] {
            _ if i == 0 => String::new(),
            first if first > 0.0 => format!("x {:.2}", value / first),
            _ => "-".into(),
        };
        canvas.put_right(line, 41, &against, Role::Faint);
        let bar = Rect { x: line.x + 43, width: line.width.saturating_sub(45), ..line };
        canvas.bar(bar, if top > 0.0 { value / top } else { 0.0 }, c.theme.style(Role::Series(i)));
        line.y += 1;
    }
}

fn figure(value: f64) -> String {
    if value >= 1e6 {
        short(value)
    } else if value >= 100.0 {
        grouped(value.round() as u64)
    } else {
        format!("{value:.2}")
    }
}
