//! Timeline: single shootdowns. A lane for each processor, time to the right.
//!
//! ```text
//!  initiator   ▒▒▒▒S~~~~~~~~~~~~~~~~~~~~▒IR      call, send, wait, own flush, return
//!  a target         ──>░░░eeHHIA                 on its way, arrival, pending, entry, handler
//! ```
//!
//! Beneath what belongs to shootdowns the lanes show what the processors were doing.

mod phase;

use super::{Context, View};
use crate::screen::draw::{Canvas, grouped, short, time};
use crate::screen::export::Table;
use crate::screen::keys::Action;
use crate::screen::snapshot::Interest;
use crate::screen::theme::{Role, activity_letter};
use phase::{POINTS, Phase, last, phases, points};
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use shootdown_abi::Activity;
use shootdown_workloads::timeline::trail::Look;
use shootdown_workloads::timeline::{Delivery, Dropped, Shootdown};
use std::cell::Cell;

/// Columns before the lanes.
const LABEL: u16 = 7;
/// Cycles that are shown at least of a shootdown under way.
const UNDER_WAY: u64 = 2000;

/// A stretch of time on the screen.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    /// First cycle.
    from: u64,
    /// Cycles of a column; at least 1.
    scale: u64,
    /// Columns.
    width: u16,
}

impl Range {
    /// Where a cycle is, if it is on the screen.
    fn column(&self, cycle: u64) -> Option<u16> {
        let dx = cycle.checked_sub(self.from)? / self.scale.max(1);
        u16::try_from(dx).ok().filter(|&dx| dx < self.width)
    }

    /// The columns that a stretch touches.
    fn columns(&self, from: u64, to: u64) -> std::ops::Range<u16> {
        let scale = self.scale.max(1);
        let first = from.saturating_sub(self.from) / scale;
        let end = to.saturating_sub(self.from).div_ceil(scale).min(self.width.into());
        if to <= self.from || first >= end { 0..0 } else { first as u16..end as u16 }
    }

    fn cycles(&self) -> u64 {
        self.scale.saturating_mul(self.width.into())
    }
}

/// See the module.
#[derive(Default)]
pub struct Timeline {
    /// Begin and initiator of the chosen shootdown; `None`: the latest.
    chosen: Option<(u64, usize)>,
    /// The chosen stretch; `None`: as the chosen shootdown wants it.
    range: Option<(u64, u64)>,
    /// What was drawn last, for keys that move it.
    drawn: Cell<Range>,
}

fn how(d: &Dropped) -> String {
    let parts = [(d.invlpg, "invlpg"), (d.cr3, "CR3 load"), (d.global, "global flush")];
    let parts: Vec<_> = parts.iter().filter(|p| p.0 > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}

impl Timeline {
    /// The chosen shootdown and its place.
    fn chosen<'a>(&self, look: &'a Look) -> Option<(usize, &'a Shootdown)> {
        let at = match self.chosen {
            Some(key) => look.shootdowns.iter().rposition(|s| (s.begun, s.cpu) == key),
            None => None,
        };
        let at = at.or(look.shootdowns.len().checked_sub(1))?;
        look.shootdowns.get(at).map(|s| (at, &**s))
    }

    fn choose(&mut self, look: &Look, at: usize) {
        if let Some(s) = look.shootdowns.get(at) {
            self.chosen = Some((s.begun, s.cpu));
            self.range = None;
        }
    }

    /// What is drawn in so many columns.
    fn range(&self, look: &Look, now: u64, width: u16) -> Range {
        let fitted = || {
            let (from, to) = match self.chosen(look) {
                Some((_, s)) if s.done.is_some() => (s.begun, last(s)),
                Some((_, s)) => (s.begun, last(s).max(s.begun + UNDER_WAY)),
                None => (now.saturating_sub(10_000), now),
            };
            let margin = (to - from) / 20;
            let from = from.saturating_sub(margin);
            let scale = (to - from + margin).div_ceil(u64::from(width).saturating_sub(1).max(1));
            (from, scale.max(1))
        };
        let (from, scale) = self.range.unwrap_or_else(fitted);
        Range { from, scale, width }
    }

    /// Makes the stretch so many times as long, around its middle; by `(2, 1)` it is twice as long.
    fn zoom(&mut self, by: (u64, u64)) {
        let r = self.drawn.get();
        if r.width == 0 {
            return;
        }
        let middle = r.from.saturating_add(r.cycles() / 2);
        let scale = (r.scale.saturating_mul(by.0) / by.1).clamp(1, 1 << 32);
        self.range = Some((middle.saturating_sub(scale.saturating_mul(r.width.into()) / 2), scale));
    }

    fn scroll(&mut self, eighths: i64) {
        let r = self.drawn.get();
        if r.width == 0 {
            return;
        }
        let by = (r.cycles() / 8).max(1).saturating_mul(eighths.unsigned_abs());
        let from = if eighths < 0 { r.from.saturating_sub(by) } else { r.from.saturating_add(by) };
        self.range = Some((from, r.scale));
    }
}

impl View for Timeline {
    fn name(&self) -> &'static str {
        "Timeline"
    }

    fn purpose(&self) -> &'static str {
        "single shootdowns: send, delivery, entry, flush, acknowledgement"
    }

    fn interest(&self) -> Interest {
        Interest::TIMELINE
    }

    fn draw(&self, c: &Context, area: Rect, canvas: &mut Canvas) {
        let Some(look) = &c.snapshot.part.timeline else { return };
        let run = c.snapshot.run();
        let width = area.width.saturating_sub(LABEL + 1).max(1);
        let range = self.range(look, run.now, width);
        self.drawn.set(range);
        let chosen = self.chosen(look);
        // Heading, axis and legend; below the lanes the figures of the chosen one.
        let fixed = 4;
        let figures = chosen.map_or(0, |(_, s)| s.deliveries().count() as u16 + 2);
        let room = area.height.saturating_sub(fixed);
        let lanes = (run.cpus.len() as u16).min(room.saturating_sub(figures.min(room / 2))).max(1);
        let line = |dy: u16| Rect { y: area.y + dy, height: u16::from(dy < area.height), ..area };
        self.draw_heading(c, look, chosen, line(0), canvas);
        draw_axis(c, &range, line(1), canvas);
        let first = (c.cpu / usize::from(lanes) * usize::from(lanes))
            .min(run.cpus.len().saturating_sub(lanes.into()));
        for dy in 0..lanes {
            let cpu = first + usize::from(dy);
            let label = if cpu == c.cpu { Role::Chosen } else { Role::Text };
            canvas.put_in(line(2 + dy), 1, &format!("cpu {cpu:<2}"), label);
            let lane = Rect { x: area.x + LABEL, width, ..line(2 + dy) };
            draw_lane(look, chosen.map(|(_, s)| s), cpu, &range, lane, canvas);
        }
        draw_legend(line(2 + lanes), line(3 + lanes), canvas);
        if let Some((at, s)) = chosen {
            let top = (fixed + lanes).min(area.height);
            let rest = Rect { y: area.y + top, height: area.height - top, ..area };
            let below = figures.min(rest.height);
            draw_figures(c, s, Rect { height: below, ..rest }, canvas);
            let rest = Rect { y: rest.y + below, height: rest.height - below, ..rest };
            draw_list(c, look, at, rest, canvas);
        }
    }

    fn act(&mut self, action: Action, c: &Context) -> Option<usize> {
        let look = c.snapshot.part.timeline.as_ref()?;
        let at = self.chosen(look).map_or(0, |(at, _)| at);
        match action {
            Action::Up => self.choose(look, at.saturating_sub(1)),
            Action::Down => self.choose(look, at + 1),
            Action::Home => self.choose(look, 0),
            Action::End => {
                self.chosen = None;
                self.range = None;
            }
            Action::Slowest => {
                let slowest = look.shootdowns.iter().enumerate().rev().max_by_key(|(_, s)| s.latency());
                if let Some((at, _)) = slowest {
                    self.choose(look, at);
                }
            }
            Action::Accept => self.range = None,
            Action::Left => self.scroll(-1),
            Action::Right => self.scroll(1),
            Action::PageUp => self.scroll(-8),
            Action::PageDown => self.scroll(8),
            Action::ZoomIn => self.zoom((1, 2)),
            Action::ZoomOut => self.zoom((2, 1)),
            _ => {}
        }
        None
    }

    fn click(&mut self, at: Position, area: Rect, c: &Context) -> Option<usize> {
        let look = c.snapshot.part.timeline.as_ref()?;
        let r = self.drawn.get();
        let cycle = r.from + u64::from(at.x.checked_sub(area.x + LABEL)?) * r.scale;
        let under = look.shootdowns.iter().rev().find(|s| s.begun <= cycle + r.scale && cycle <= last(s))?;
        self.chosen = Some((under.begun, under.cpu));
        self.range = Some((r.from, r.scale));
        None
    }

    fn table(&self, c: &Context) -> Table {
        let mut table = Table::new(&[
            "initiator",
            "task",
            "begun",
            "done",
            "target",
            "sent",
            "arrived",
            "taken",
            "handler",
            "acknowledged",
            "invlpg",
            "cr3_loads",
            "global_flushes",
        ]);
        let Some(look) = &c.snapshot.part.timeline else { return table };
        let at = |cycle: Option<u64>| cycle.map_or(String::new(), |c| c.to_string());
        for s in &look.shootdowns {
            for m in &s.messages {
                for d in &m.deliveries {
                    table.row([
                        s.cpu.to_string(),
                        s.task.to_string(),
                        s.begun.to_string(),
                        at(s.done),
                        d.cpu.to_string(),
                        m.sent.to_string(),
                        at(d.arrived),
                        at(d.taken),
                        at(d.begun),
                        at(d.acknowledged),
                        d.dropped.invlpg.to_string(),
                        d.dropped.cr3.to_string(),
                        d.dropped.global.to_string(),
                    ]);
                }
            }
        }
        table
    }
}

impl Timeline {
    fn draw_heading(
        &self,
        c: &Context,
        look: &Look,
        chosen: Option<(usize, &Shootdown)>,
        line: Rect,
        canvas: &mut Canvas,
    ) {
        let Some((at, s)) = chosen else {
            canvas.put_in(line, 1, "no shootdown yet", Role::Faint);
            return;
        };
        let mhz = c.snapshot.setup.cell.machine.preset.clock_mhz;
        let length = match s.latency() {
            Some(l) => format!("{} cycles, {}", grouped(l), time(l as f64, mhz)),
            None => "under way".into(),
        };
        let latest = if self.chosen.is_none() { " (latest)" } else { "" };
        let text = format!(
            "Shootdown {} of {}{latest}: cpu {}, task {}, at {}: {length}",
            at + 1,
            look.shootdowns.len(),
            s.cpu,
            s.task,
            grouped(s.begun)
        );
        let end = canvas.put_in(line, 0, &text, Role::Title);
        let seen = format!("{} have ended", grouped(look.seen));
        if end + 2 + (seen.len() as u16) < line.width {
            canvas.put_right(line, line.width - 1, &seen, Role::Faint);
        }
    }
}

/// Time from the left edge on, a mark at every tenth column.
fn draw_axis(c: &Context, range: &Range, line: Rect, canvas: &mut Canvas) {
    let mhz = c.snapshot.setup.cell.machine.preset.clock_mhz;
    canvas.put_in(line, 0, "cycles", Role::Faint);
    let mut dx = 0;
    while dx + 10 <= range.width {
        let cycles = u64::from(dx) * range.scale;
        let text = if dx == 0 { grouped(range.from) } else { format!("+{}", short(cycles as f64)) };
        let text = format!("{}{text}", canvas.theme.pick("╷", "|"));
        let end = canvas.put_in(line, LABEL + dx, &text, Role::Faint) - LABEL;
        dx = (end + 2).div_ceil(10) * 10;
    }
    let scale = format!("{} = {}", canvas.theme.pick("▏▏", "||"), time(range.scale as f64, mhz));
    if dx + 12 < range.width {
        canvas.put_right(line, line.width.saturating_sub(1), &scale, Role::Faint);
    }
}

fn draw_lane(
    look: &Look,
    chosen: Option<&Shootdown>,
    cpu: usize,
    range: &Range,
    lane: Rect,
    canvas: &mut Canvas,
) {
    let end = range.from.saturating_add(range.cycles());
    // What it was doing.
    for span in look.spans.iter().flat_map(|b| b.iter()).filter(|s| s.cpu == cpu && s.to > range.from) {
        if span.from >= end {
            continue;
        }
        let style = canvas.theme.activity(span.activity);
        let mark = if span.activity == Activity::Idle {
            canvas.theme.activity_mark(span.activity)
        } else if canvas.theme.activity_mark(span.activity).is_alphabetic() {
            activity_letter(span.activity)
        } else {
            canvas.theme.heights()[1]
        };
        for dx in range.columns(span.from, span.to) {
            canvas.cell(lane.x + dx, lane.y, mark, style);
        }
    }
    // Shootdowns on top, the chosen one last.
    let is_chosen = |s: &Shootdown| chosen.is_some_and(|c| (c.begun, c.cpu) == (s.begun, s.cpu));
    let seen = || look.shootdowns.iter().filter(|s| s.begun < end && last(s) >= range.from);
    let others = seen().filter(|s| !is_chosen(s)).map(|s| &**s);
    for s in others.chain(chosen) {
        let unknown = end.min(last(s).saturating_add(range.scale));
        for (_, from, to, phase) in phases(s).into_iter().filter(|p| p.0 == cpu) {
            let (mark, style) = (phase.mark(canvas), phase.style(canvas));
            let mark = mark.chars().next().unwrap_or(' ');
            for dx in range.columns(from, to.unwrap_or(unknown)) {
                canvas.cell(lane.x + dx, lane.y, mark, style);
            }
        }
        let bold = Style::reset().add_modifier(if is_chosen(s) { Modifier::BOLD } else { Modifier::empty() });
        for (_, at, letter) in points(s).into_iter().filter(|p| p.0 == cpu) {
            if let Some(dx) = range.column(at) {
                canvas.cell(lane.x + dx, lane.y, letter, bold);
            }
        }
    }
}

fn draw_legend(first: Rect, second: Rect, canvas: &mut Canvas) {
    let mut dx = LABEL;
    for (letter, name) in POINTS {
        dx = canvas.put_in(first, dx, &letter.to_string(), Role::Title) + 1;
        dx = canvas.put_in(first, dx, name, Role::Faint) + 2;
    }
    let mut dx = LABEL;
    for phase in Phase::ALL.into_iter().filter(|p| *p != Phase::Return) {
        let (mark, style) = (phase.mark(canvas), phase.style(canvas));
        let name = if phase == Phase::Call { "initiator" } else { phase.name() };
        dx = canvas.put_styled(second, dx, mark, style) + 1;
        dx = canvas.put_in(second, dx, name, Role::Faint) + 2;
    }
}

/// The figures of one shootdown, in cycles; each target's are from step to step.
fn draw_figures(c: &Context, s: &Shootdown, area: Rect, canvas: &mut Canvas) {
    let part = |from: Option<u64>, to: Option<u64>| match (from, to) {
        (Some(from), Some(to)) => grouped(to.saturating_sub(from)),
        _ => "-".into(),
    };
    let sent = s.messages.first().map(|m| m.sent);
    let initiator = format!(
        "initiator: to send {}, wait {}, to return {}; drops {}",
        part(Some(s.begun), sent),
        part(s.waiting, s.answered),
        part(s.answered, s.done),
        how(&s.own)
    );
    let mut line = Rect { height: area.height.min(1), ..area };
    canvas.put_in(line, 1, &initiator, Role::Text);
    line.y += 1;
    let columns = [(9, "target"), (19, "delivery"), (29, "pending"), (39, "entry"), (49, "handler")];
    if line.y < area.bottom() {
        for (dx, text) in columns {
            canvas.put_right(line, dx, text, Role::Faint);
        }
        canvas.put_in(line, 52, "drops", Role::Faint);
    }
    let mut rows: Vec<(u64, &Delivery)> =
        s.messages.iter().flat_map(|m| m.deliveries.iter().map(move |d| (m.sent, d))).collect();
    // The one that was waited for last comes first where not all have room.
    let room = usize::from(area.height.saturating_sub(2));
    if rows.len() > room {
        rows.sort_by_key(|(_, d)| std::cmp::Reverse((d.acknowledged.unwrap_or(u64::MAX), d.cpu)));
    }
    for (sent, d) in rows.into_iter().take(room) {
        line.y += 1;
        let parts = [
            format!("cpu {}", d.cpu),
            part(Some(sent), d.arrived),
            part(d.arrived, d.taken),
            part(d.taken, d.begun),
            part(d.begun, d.acknowledged),
        ];
        let role = if d.cpu == c.cpu { Role::Chosen } else { Role::Text };
        for (i, ((dx, _), text)) in columns.into_iter().zip(parts).enumerate() {
            canvas.put_right(line, dx, &text, if i == 0 { role } else { Role::Text });
        }
        canvas.put_in(line, 52, &how(&d.dropped), Role::Text);
    }
}

/// The shootdowns around the chosen one, with bars of their latencies.
fn draw_list(c: &Context, look: &Look, at: usize, area: Rect, canvas: &mut Canvas) {
    if area.height < 3 {
        return;
    }
    let inner = canvas.section(area, "Shootdowns that are kept: the last ones, and the slowest");
    let room = usize::from(inner.height);
    let first = at.saturating_sub(room / 2).min(look.shootdowns.len().saturating_sub(room));
    let top = look.shootdowns.iter().filter_map(|s| s.latency()).max().unwrap_or(0);
    let mhz = c.snapshot.setup.cell.machine.preset.clock_mhz;
    for (i, s) in look.shootdowns.iter().enumerate().skip(first).take(room) {
        let line = Rect { y: inner.y + (i - first) as u16, height: 1, ..inner };
        canvas.put_right(line, 5, &(i + 1).to_string(), if i == at { Role::Chosen } else { Role::Text });
        canvas.put_in(line, 7, &format!("cpu {}", s.cpu), Role::Text);
        canvas.put_right(line, 28, &grouped(s.begun), Role::Faint);
        let Some(latency) = s.latency() else {
            canvas.put_in(line, 31, "under way", Role::Warning);
            continue;
        };
        canvas.put_right(line, 38, &grouped(latency), Role::Text);
        canvas.put_right(line, 49, &time(latency as f64, mhz), Role::Faint);
        let bar = Rect { x: line.x + 51, width: line.width.saturating_sub(53).min(60), ..line };
        let share = if top > 0 { latency as f64 / top as f64 } else { 0.0 };
        canvas.bar(bar, share, canvas.theme.style(Role::Series(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shootdown_workloads::timeline::{Counted, Message};

    fn shootdown() -> Shootdown {
        let delivery = |cpu, late: u64| Delivery {
            cpu,
            arrived: Some(150),
            joined: false,
            taken: Some(160 + late),
            begun: Some(180 + late),
            dropped: Dropped { invlpg: 1, last: Some(190 + late), ..Dropped::default() },
            acknowledged: Some(200 + late),
            counted: Counted::Yes,
        };
        Shootdown {
            cpu: 0,
            task: 1,
            begun: 100,
            messages: vec![Message {
                number: 1,
                vector: 0xf1,
                from: 0,
                sent: 110,
                left: 110,
                deliveries: vec![delivery(1, 0), delivery(2, 100)],
                counted: Counted::Yes,
            }],
            own: Dropped { cr3: 1, last: Some(340), ..Dropped::default() },
            waiting: Some(120),
            answered: Some(320),
            done: Some(350),
            counted: Counted::Yes,
        }
    }

    #[test]
    fn the_stretches_of_each_processor_join() {
        let s = shootdown();
        for cpu in 0..3 {
            let mine: Vec<_> = phases(&s).into_iter().filter(|p| p.0 == cpu).collect();
            assert!(mine.windows(2).all(|w| w[0].2 == Some(w[1].1)), "processor {cpu}");
            let end = [350, 200, 300][cpu];
            assert_eq!(mine.last().and_then(|p| p.2), Some(end));
        }
        assert_eq!(last(&s), 350);
        let of = |cpu| points(&s).into_iter().filter(|p| p.0 == cpu).map(|p| p.2).collect::<String>();
        assert_eq!((of(0), of(1), of(2)), ("SIR".into(), ">EIA".into(), ">EIA".into()));
    }

    #[test]
    fn cycles_fall_into_columns() {
        let r = Range { from: 100, scale: 10, width: 8 };
        assert_eq!(
            [99, 100, 109, 110, 179, 180].map(|c| r.column(c)),
            [None, Some(0), Some(0), Some(1), Some(7), None]
        );
        assert_eq!(r.columns(0, 100), 0..0);
        assert_eq!(r.columns(0, 101), 0..1);
        assert_eq!(r.columns(115, 116), 1..2);
        assert_eq!(r.columns(170, 1000), 7..8);
        assert_eq!(r.columns(180, 1000), 0..0);
    }

    #[test]
    fn zooming_keeps_the_middle_and_ends_at_a_cycle_a_column() {
        let mut t = Timeline::default();
        t.drawn.set(Range { from: 1000, scale: 4, width: 100 });
        t.zoom((1, 2));
        assert_eq!(t.range, Some((1100, 2)));
        t.zoom((2, 1));
        assert_eq!(t.range, Some((800, 8)), "of what was drawn last");
        t.drawn.set(Range { from: 1000, scale: 1, width: 80 });
        t.zoom((1, 2));
        assert_eq!(t.range, Some((1000, 1)));
        t.scroll(-8);
        assert_eq!(t.range, Some((920, 1)));
    }
}
