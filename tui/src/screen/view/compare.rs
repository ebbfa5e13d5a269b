//! Compare: the same load under several strategies, in lock-step; bars against the first.
//!
//! The guest tells its operations when a task is done, so while a run is under way figures are
//! by kmap instead (for most loads the same), and at the end by operation, as in results; their
//! names say which.

use super::{Context, View};
use crate::screen::draw::{Canvas, grouped, percent, short, state_of};
use crate::screen::export::Table;
use crate::screen::latency::Latency;
use crate::screen::snapshot::RunView;
use crate::screen::theme::Role;
use ratatui::layout::Rect;
use shootdown_abi::{Activity, Counter};

/// See the module.
#[derive(Default)]
pub struct Compare;

/// What figures are divided by: the work that all runs can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    /// While one is under way.
    Kmap,
    /// At the end.
    Operation,
}

impl Per {
    fn new(runs: &[RunView]) -> Per {
        if runs.iter().all(|r| r.end.is_some()) { Per::Operation } else { Per::Kmap }
    }

    /// `n` for each; `None`: no work was done yet.
    fn of(self, run: &RunView, n: u64) -> Option<f64> {
        let work = match self {
            Per::Kmap => run.region.guest(Counter::Kmaps),
            Per::Operation => run.operations,
        };
        (work > 0).then(|| n as f64 / work as f64)
    }

    /// A name that ends in "op" by its right name.
    fn name(self, text: &str) -> String {
        match (self, text.strip_suffix("op")) {
            (Per::Kmap, Some(text)) => format!("{text}kmap"),
            _ => text.to_owned(),
        }
    }
}

/// A figure that is compared; less is better.
struct Metric {
    name: &'static str,
    /// The column of results that it equals at the end.
    column: &'static str,
    /// `None`: nothing was measured yet.
    value: fn(&RunView, Per) -> Option<f64>,
}

fn activity(run: &RunView, per: Per, activity: Activity) -> Option<f64> {
    per.of(run, run.region.ledger().activity[activity as usize])
}

fn of_latency(latency: &Latency, value: f64) -> Option<f64> {
    (latency.count > 0).then_some(value)
}

const METRICS: [Metric; 9] = [
    Metric {
        name: "cycles per op",
        column: "cycles_per_op",
        value: |r, per| per.of(r, r.region.cycles() * r.cpus.len() as u64),
    },
    Metric {
        name: "kmap, mean",
        column: "kmap_latency.mean",
        value: |r, _| of_latency(&r.latencies.kmap, r.latencies.kmap.mean),
    },
    Metric {
        name: "kmap, p99",
        column: "kmap_latency.p99",
        value: |r, _| of_latency(&r.latencies.kmap, r.latencies.kmap.p99 as f64),
    },
    Metric {
        name: "shootdown, mean",
        column: "initiator_latency.mean",
        value: |r, _| of_latency(&r.latencies.initiator, r.latencies.initiator.mean),
    },
    Metric { name: "flush IPIs per op", column: "flush_ipis/op", value: |r, per| per.of(r, r.flush_ipis) },
    Metric {
        name: "TLB misses per op",
        column: "dtlb_misses/op",
        value: |r, per| per.of(r, r.region.totals().dtlb_misses),
    },
    Metric {
        name: "ack-wait per op",
        column: "ledger.ack-wait/op",
        value: |r, per| activity(r, per, Activity::AckWait),
    },
    Metric {
        name: "IPI handler per op",
        column: "ledger.ipi-handler/op",
        value: |r, per| activity(r, per, Activity::IpiHandler),
    },
    Metric {
        name: "lock spin per op",
        column: "ledger.lock-spin/op",
        value: |r, per| activity(r, per, Activity::LockSpin),
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
        let (mut left_out, mut bottom) = (0, rest.y);
        for (i, metric) in METRICS.iter().enumerate() {
            let (column, row) = (i as u16 / lines, i as u16 % lines);
            let height = if compact { runs.len() as u16 } else { each };
            let place = Rect { x: rest.x + column * width, width, y: rest.y + row * height, height };
            if place.bottom() > rest.bottom() {
                left_out += 1;
                continue;
            }
            bottom = bottom.max(place.bottom());
            draw_metric(c, metric, place, compact, canvas);
        }
        if left_out > 0 && bottom < rest.bottom() {
            let line = Rect { y: rest.bottom() - 1, height: 1, ..rest };
            let text = format!("{left_out} more figures on a larger screen, and in what e (export) writes");
            canvas.put_in(line, 1, &text, Role::Faint);
        }
    }

    fn table(&self, c: &Context) -> Table {
        let per = Per::new(&c.snapshot.runs);
        let mut table = Table::new(&["strategy", "operations"]);
        table.columns.extend(METRICS.iter().map(|m| per.name(m.column)));
        for run in &c.snapshot.runs {
            let figures =
                METRICS.iter().map(|m| (m.value)(run, per).map_or_else(String::new, |v| v.to_string()));
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
    let per = Per::new(runs);
    let name = per.name(metric.name);
    let values: Vec<Option<f64>> = runs.iter().map(|r| (metric.value)(r, per)).collect();
    let top = values.iter().flatten().copied().fold(0.0, f64::max);
    let mut line = Rect { height: 1, ..area };
    if !compact {
        canvas.section(Rect { width: area.width.saturating_sub(1), ..line }, &name);
        line.y += 1;
    }
    for (i, (run, &value)) in runs.iter().zip(&values).enumerate() {
        let label = if compact && i == 0 { &name } else { run.strategy.name() };
        canvas.put_in(line, 1, label, if compact && i == 0 { Role::Title } else { Role::Series(i) });
        canvas.put_right(line, 32, &value.map_or_else(|| "-".into(), figure), Role::Text);
        let against = match (value, values[0]) {
            _ if i == 0 => String::new(),
            (Some(value), Some(first)) if first > 0.0 => format!("x {:.2}", value / first),
            _ => "-".into(),
        };
        canvas.put_right(line, 41, &against, Role::Faint);
        let bar = Rect { x: line.x + 43, width: line.width.saturating_sub(45), ..line };
        let share = if top > 0.0 { value.unwrap_or(0.0) / top } else { 0.0 };
        canvas.bar(bar, share, c.theme.style(Role::Series(i)));
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
