//! Overview: a lane per processor, where the cycles went, how long kmaps and shootdowns took.
//!
//! ```text
//!  Processors                 IPC  miss/ki  IPI in/out   now      activity from the beginning to now
//!  Cycles                     stacked bars: by activity, by kind
//!  Latencies                  histogram, percentiles; the same for shootdowns
//! ```
//!
//! Figures of the lanes are of the last stretch of the run's course; all others are of the
//! region of interest, as in results.

use super::{Context, View};
use crate::screen::draw::{Canvas, grouped, percent, short, time};
use crate::screen::export::Table;
use crate::screen::history::Sample;
use crate::screen::keys::Action;
use crate::screen::latency::Latency;
use crate::screen::snapshot::RunView;
use crate::screen::theme::{Role, activity_letter};
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use shootdown_abi::{Activity, Counter};
use shootdown_emu::cpu::State;
use shootdown_emu::ledger::Kind;

/// See the module.
#[derive(Default)]
pub struct Overview;

impl View for Overview {
    fn name(&self) -> &'static str {
        "Overview"
    }

    fn purpose(&self) -> &'static str {
        "processors, where cycles go, latencies of kmaps and shootdowns"
    }

    fn draw(&self, c: &Context, area: Rect, canvas: &mut Canvas) {
        let run = c.snapshot.run();
        let (lanes, rest) = areas(area, run.cpus.len());
        draw_lanes(c, lanes, canvas);
        if rest.width >= 120 {
            let left = Rect { width: rest.width / 2 - 1, ..rest };
            let right = Rect { x: left.right() + 2, width: rest.width - left.width - 2, ..rest };
            draw_ledger(c, left, canvas);
            draw_latencies(c, right, canvas);
        } else {
            let ledger = Rect { height: 4.min(rest.height), ..rest };
            draw_ledger(c, ledger, canvas);
            draw_latencies(
                c,
                Rect { y: ledger.bottom(), height: rest.height - ledger.height, ..rest },
                canvas,
            );
        }
    }

    fn act(&mut self, action: Action, c: &Context) -> Option<usize> {
        let last = c.snapshot.run().cpus.len().saturating_sub(1);
        Some(match action {
            Action::Up => c.cpu.saturating_sub(1),
            Action::Down => (c.cpu + 1).min(last),
            Action::PageUp => c.cpu.saturating_sub(8),
            Action::PageDown => (c.cpu + 8).min(last),
            Action::Home => 0,
            Action::End => last,
            _ => return None,
        })
    }

    fn click(&mut self, at: Position, area: Rect, c: &Context) -> Option<usize> {
        let cpus = c.snapshot.run().cpus.len();
        let (lanes, _) = areas(area, cpus);
        let first = first_lane(lanes, c.cpu, cpus);
        let row = usize::from(at.y.checked_sub(lanes.y + 1)?);
        (lanes.contains(at) && first + row < cpus).then_some(first + row)
    }

    fn table(&self, c: &Context) -> Table {
        let mut table = Table::new(&[
            "cpu",
            "state",
            "activity",
            "cycles",
            "instructions",
            "dtlb_misses",
            "itlb_misses",
            "ipis",
            "ipis_received",
        ]);
        let run = c.snapshot.run();
        for (i, (cpu, figures)) in run.cpus.iter().zip(&run.region.cpus).enumerate() {
            let n = &figures.count;
            let counts =
                [figures.clock, n.instructions, n.dtlb_misses, n.itlb_misses, n.ipis, n.ipis_received];
            let words = [i.to_string(), state(cpu.state).into(), cpu.activity.name().into()];
            table.row(words.into_iter().chain(counts.map(|n| n.to_string())));
        }
        table
    }
}

/// The lanes, and what is below: at most half of it is for lanes.
fn areas(area: Rect, cpus: usize) -> (Rect, Rect) {
    let wanted = cpus as u16 + 1;
    // Ledger and latencies want 12 lines.
    let height = wanted.min(area.height.saturating_sub(12).max(area.height / 3)).min(area.height);
    let lanes = Rect { height, ..area };
    (lanes, Rect { y: lanes.bottom(), height: area.height - height, ..area })
}

/// The first lane that is shown, so that the focused one is in sight.
fn first_lane(lanes: Rect, focus: usize, cpus: usize) -> usize {
    let room = usize::from(lanes.height.saturating_sub(1)).max(1);
    if cpus <= room { 0 } else { (focus / room * room).min(cpus - room) }
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Halted => "halted",
        State::WaitForSipi => "waits for start-up",
        State::Shutdown => "shut down",
    }
}

fn draw_lanes(c: &Context, area: Rect, canvas: &mut Canvas) {
    let run = c.snapshot.run();
    let cpus = run.cpus.len();
    let first = first_lane(area, c.cpu, cpus);
    let room = usize::from(area.height.saturating_sub(1));
    let head = Rect { height: 1, ..area };
    let title =
        if cpus > room { format!("cpu {first}-{}", (first + room).min(cpus) - 1) } else { "cpu".into() };
    canvas.put_in(head, 1, &title, Role::Title);
    for (dx, text) in [(14, "IPC"), (22, "miss/ki"), (30, "IPI out"), (38, "IPI in")] {
        canvas.put_right(head, dx, text, Role::Title);
    }
    canvas.put_in(head, 40, "now", Role::Title);
    canvas.put_in(head, 54, "from the beginning to now", Role::Title);
    let (before, after) = stretch(run);
    for (row, i) in (first..cpus).take(room).enumerate() {
        let line = Rect { y: area.y + 1 + row as u16, height: 1, ..area };
        let cpu = &run.cpus[i];
        let role = if i == c.cpu { Role::Chosen } else { Role::Text };
        canvas.put_in(line, 1, &format!("{i:>3}"), role);
        if let (Some(b), Some(a)) =
            (before.and_then(|s| s.figures.cpus.get(i)), after.and_then(|s| s.figures.cpus.get(i)))
        {
            let n = a.count.since(&b.count);
            let cycles = a.clock.saturating_sub(b.clock);
            let busy = cycles - idle(a).saturating_sub(idle(b)).min(cycles);
            let ipc = ratio(n.instructions, busy);
            let misses = 1000.0 * ratio(n.dtlb_misses + n.itlb_misses, n.instructions);
            canvas.put_right(line, 14, &format!("{ipc:.2}"), Role::Text);
            canvas.put_right(line, 22, &format!("{misses:.2}"), Role::Text);
            canvas.put_right(line, 30, &short(n.ipis as f64), Role::Text);
            canvas.put_right(line, 38, &short(n.ipis_received as f64), Role::Text);
        }
        canvas.put_styled(
            line,
            40,
            &c.theme.activity_mark(cpu.activity).to_string(),
            c.theme.activity(cpu.activity),
        );
        canvas.put_in(line, 42, cpu.activity.name(), Role::Text);
        lane(c, run, i, Rect { x: line.x + 54, width: line.width.saturating_sub(55), ..line }, canvas);
    }
}

/// The last stretch of the course: two samples.
fn stretch(run: &RunView) -> (Option<&Sample>, Option<&Sample>) {
    let n = run.history.len();
    // Over some samples, so that a figure can be read.
    let back = (n / 16).clamp(1, 8);
    match n.checked_sub(1 + back) {
        Some(at) => (Some(&run.history[at]), Some(&run.history[n - 1])),
        None => (None, None),
    }
}

fn idle(cpu: &shootdown_emu::snapshot::CpuSnapshot) -> u64 {
    cpu.ledger.activity[Activity::Idle as usize]
}

fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// The course of one processor: at each moment the activity that took most of the time, but none that shoots down is
/// passed over for one that does not when it took a quarter.
fn lane(c: &Context, run: &RunView, cpu: usize, area: Rect, canvas: &mut Canvas) {
    let width = usize::from(area.width);
    let steps = run.history.len().saturating_sub(1);
    if width == 0 || steps == 0 {
        return;
    }
    for x in 0..width {
        let (from, to) = span(x, width, steps);
        let (Some(a), Some(b)) =
            (run.history[from].figures.cpus.get(cpu), run.history[to].figures.cpus.get(cpu))
        else {
            continue;
        };
        let spent = b.ledger.since(&a.ledger).activity;
        let Some(activity) = dominant(&spent) else { continue };
        canvas.cell(area.x + x as u16, area.y, c.theme.activity_mark(activity), c.theme.activity(activity));
    }
}

/// The samples between which column `x` of `width` lies, of `steps` stretches between samples.
fn span(x: usize, width: usize, steps: usize) -> (usize, usize) {
    let from = x * steps / width;
    (from, ((x + 1) * steps / width).max(from + 1))
}

fn dominant(spent: &[u64]) -> Option<Activity> {
    let all: u64 = spent.iter().sum();
    let most = |among: &[Activity]| among.iter().copied().max_by_key(|&a| spent[a as usize]);
    let costly = [Activity::FlushInit, Activity::AckWait, Activity::IpiHandler, Activity::LockSpin];
    let flush = most(&costly).filter(|&a| all > 0 && 4 * spent[a as usize] >= all);
    flush.or_else(|| most(Activity::ALL)).filter(|_| all > 0)
}

fn draw_ledger(c: &Context, area: Rect, canvas: &mut Canvas) {
    let run = c.snapshot.run();
    let ledger = run.region.ledger();
    let all: u64 = ledger.activity.iter().sum();
    let inner = canvas.section(area, &format!("Cycles of all processors, {}", run.region_name()));
    if inner.height == 0 || all == 0 {
        return;
    }
    let share = |n: u64| n as f64 / all as f64;
    let bar = Rect { x: inner.x + 10, width: inner.width.saturating_sub(11), height: 1, ..inner };
    canvas.put_in(inner, 1, "activity", Role::Faint);
    let parts: Vec<_> = Activity::ALL
        .iter()
        .map(|&a| (share(ledger.activity[a as usize]), c.theme.activity_mark(a), c.theme.activity(a)))
        .collect();
    canvas.stack(bar, &parts);
    let mut shares: Vec<Share> = Activity::ALL
        .iter()
        .map(|&a| {
            (a.name(), share(ledger.activity[a as usize]), Some((activity_letter(a), c.theme.activity(a))))
        })
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    // In little room a line for each of the two.
    let most = if inner.height > 6 { 3 } else { 1 };
    let y = legend(canvas, below(inner, inner.y + 1), most, &shares);
    let line = below(inner, y);
    let mut kinds: Vec<Share> =
        Kind::ALL.iter().map(|&k| (k.name(), share(ledger.kind[k as usize]), None)).collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    canvas.put_in(line, 1, "kind", Role::Faint);
    let y = legend(canvas, Rect { x: line.x + 9, width: line.width.saturating_sub(9), ..line }, most, &kinds);
    let rest = below(inner, y);
    if rest.height > 2 {
        draw_ledgers(c, rest, canvas);
    }
}

/// The part of an area from line `y` on.
fn below(area: Rect, y: u16) -> Rect {
    let y = y.min(area.bottom());
    Rect { y, height: area.bottom() - y, ..area }
}

/// A bar for each processor, as many as fit from the focused one on.
fn draw_ledgers(c: &Context, area: Rect, canvas: &mut Canvas) {
    let run = c.snapshot.run();
    let inner = canvas.section(area, &format!("Activity of each processor, {}", run.region_name()));
    let room = usize::from(inner.height);
    let first = c.cpu.min(run.cpus.len().saturating_sub(room));
    for (row, (i, cpu)) in run.region.cpus.iter().enumerate().skip(first).take(room).enumerate() {
        let line = Rect { y: inner.y + row as u16, height: 1, ..inner };
        canvas.put_in(line, 1, &format!("{i:>3}"), if i == c.cpu { Role::Chosen } else { Role::Text });
        let all = cpu.ledger.activity.iter().sum::<u64>();
        let part = |a: Activity| {
            (ratio(cpu.ledger.activity[a as usize], all), c.theme.activity_mark(a), c.theme.activity(a))
        };
        let parts: Vec<_> = Activity::ALL.iter().map(|&a| part(a)).collect();
        canvas.stack(Rect { x: line.x + 10, width: line.width.saturating_sub(11), ..line }, &parts);
    }
}

/// A name, its share, and how it is drawn in a bar.
type Share = (&'static str, f64, Option<(char, Style)>);

/// Names with shares, as many as fit into some lines; gives the line below.
fn legend(canvas: &mut Canvas, area: Rect, most: u16, parts: &[Share]) -> u16 {
    let mut line = Rect { height: 1.min(area.height), ..area };
    let mut dx = 1;
    for (name, share, mark) in parts.iter().filter(|p| p.1 >= 0.0005) {
        let text = format!("{name} {}", percent(*share));
        let width = text.len() as u16 + 2 * u16::from(mark.is_some());
        if dx > 1 && dx + width > line.width {
            line.y += 1;
            dx = 1;
            if line.y >= area.bottom() || line.y >= area.y + most {
                return line.y;
            }
        }
        if let Some((letter, style)) = mark {
            canvas.put_styled(line, dx, &letter.to_string(), *style);
            dx += 2;
        }
        dx = canvas.put_in(line, dx, &text, Role::Text) + 2;
    }
    line.y + line.height
}

/// Where the shapes of histograms begin.
const SHAPE: u16 = 58;

fn draw_latencies(c: &Context, area: Rect, canvas: &mut Canvas) {
    let run = c.snapshot.run();
    let totals = run.region.totals();
    let rows = [
        ("kmap", &run.latencies.kmap),
        ("shootdown", &run.latencies.initiator),
        ("its target", &run.latencies.target),
        ("exposure", &run.latencies.exposure),
    ];
    let inner = canvas.section(area, "Latencies in cycles");
    let counts = [
        format!(
            "operations {}",
            if run.end.is_some() { grouped(run.operations) } else { "(at the end)".into() }
        ),
        format!("kmaps {}", grouped(run.region.guest(Counter::Kmaps))),
        format!("wraps {}", grouped(run.region.guest(Counter::Wraps))),
        format!("flush IPIs {}", grouped(run.flush_ipis)),
        format!("invlpg {}", grouped(totals.invlpg)),
        format!("cr3 loads {}", grouped(totals.cr3_loads)),
        format!("global flushes {}", grouped(totals.global_flushes)),
        format!("stale uses {}", grouped(run.all.totals().stale_uses)),
    ];
    let mut line = Rect { height: 1.min(inner.height), ..inner };
    let heads = [(20, "count"), (29, "mean"), (38, "p50"), (47, "p99"), (56, "max")];
    for (dx, text) in heads {
        canvas.put_right(line, dx, text, Role::Faint);
    }
    // Two columns for each octave.
    let bars = line.width.saturating_sub(SHAPE + 1).min(28);
    for octave in [6, 12, 18] {
        let dx = 2 * (octave - 6);
        if dx + 4 <= bars {
            canvas.put_in(line, SHAPE + dx, &format!("2^{octave}"), Role::Faint);
        }
    }
    for (name, latency) in rows {
        line.y += 1;
        if line.y >= inner.bottom() {
            return;
        }
        canvas.put_in(line, 1, name, Role::Text);
        for ((dx, _), text) in heads.into_iter().zip(figures(latency)) {
            canvas.put_right(line, dx, &text, Role::Text);
        }
        let shape = shape(latency, usize::from(bars));
        let top = shape.iter().copied().fold(0.0, f64::max);
        let place = Rect { x: line.x + SHAPE, width: bars, ..line };
        canvas.spark(place, &shape, top, c.theme.style(Role::Series(1)));
        let mhz = c.snapshot.setup.cell.machine.preset.clock_mhz;
        if line.width > 100 && latency.count > 0 {
            canvas.put_in(line, SHAPE + 30, &time(latency.mean, mhz), Role::Faint);
        }
    }
    line.y += 1;
    let mut dx = 1;
    for text in counts {
        if dx + text.len() as u16 > line.width {
            dx = 1;
            line.y += 1;
        }
        if line.y >= inner.bottom() {
            return;
        }
        dx = canvas.put_in(line, dx, &text, Role::Text) + 2;
    }
    line.y += 1;
    if line.y + 1 < inner.bottom() {
        draw_course(c, Rect { y: line.y, height: inner.bottom() - line.y, ..inner }, canvas);
    }
}

/// A count of a sample.
type Count = fn(&Sample) -> u64;

/// Some counts over the whole run.
fn draw_course(c: &Context, area: Rect, canvas: &mut Canvas) {
    let run = c.snapshot.run();
    let counts: [(&str, Count); 3] = [
        ("kmaps", |s| s.figures.guest(Counter::Kmaps)),
        ("TLB misses", |s| s.figures.cpus.iter().map(|c| c.count.dtlb_misses + c.count.itlb_misses).sum()),
        ("IPIs", |s| s.figures.cpus.iter().map(|c| c.count.ipis).sum()),
    ];
    let inner = canvas.section(area, "Course of the run");
    let height = (inner.height / 3).clamp(1, 8);
    for (i, (name, count)) in counts.into_iter().enumerate() {
        let row = Rect { y: inner.y + i as u16 * height, height, ..inner };
        if row.bottom() > inner.bottom() {
            return;
        }
        let place = Rect { x: row.x + 12, width: row.width.saturating_sub(24), ..row };
        let values = course(run, count, usize::from(place.width));
        let top = values.iter().copied().fold(0.0, f64::max);
        canvas.put_in(row, 1, name, Role::Text);
        canvas.spark(place, &values, top, c.theme.style(Role::Series(i)));
        let peak = format!("{}/Mc", short(top * 1e6));
        canvas.put_right(row, row.width, &peak, Role::Faint);
    }
}

/// A count's growth for each cycle, in so many columns at most.
fn course(run: &RunView, count: Count, width: usize) -> Vec<f64> {
    let steps = run.history.len().saturating_sub(1);
    let growth = |x: usize| {
        let (from, to) = span(x, width, steps);
        let (a, b) = (&run.history[from], &run.history[to]);
        ratio(count(b).saturating_sub(count(a)), b.at.saturating_sub(a.at))
    };
    if steps == 0 { Vec::new() } else { (0..width).map(growth).collect() }
}

fn figures(l: &Latency) -> [String; 5] {
    if l.count == 0 {
        return ["0", "-", "-", "-", "-"].map(str::to_owned);
    }
    [figure(l.count), figure(l.mean.round() as u64), figure(l.p50), figure(l.p99), figure(l.max)]
}

/// A figure in eight columns at most.
fn figure(n: u64) -> String {
    if n < 1_000_000 { grouped(n) } else { format!("{:.2}M", n as f64 / 1e6) }
}

/// The histogram from 2^6 to 2^20 cycles in half octaves; what lies outside is in the first and the last.
fn shape(l: &Latency, width: usize) -> Vec<f64> {
    let mut shape = vec![0.0; width];
    for (n, &count) in l.halves.iter().enumerate().filter(|(_, c)| **c > 0) {
        if let Some(bar) = shape.get_mut(n.saturating_sub(12).min(width.saturating_sub(1))) {
            *bar += count as f64;
        }
    }
    shape
}
