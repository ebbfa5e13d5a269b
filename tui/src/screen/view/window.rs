//! Window: the slots of the shared kmap window; who uses them, when they were given, which TLBs
//! hold them or something older; the place that was given last, which sweeps to the wrap.

use super::{Context, View, aged};
use crate::screen::draw::{Canvas, grouped, short};
use crate::screen::export::Table;
use crate::screen::keys::Action;
use crate::screen::snapshot::Interest;
use crate::screen::theme::{Role, Theme};
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use shootdown_workloads::window::{Given, Look, Slot, Use};
use std::cell::Cell;

/// Columns before the slots.
const LABEL: u16 = 7;

/// See the module.
#[derive(Default)]
pub struct Window {
    /// The chosen slot; `None`: the one given last.
    chosen: Option<usize>,
    /// Slots of a row, and the first one that was drawn.
    drawn: Cell<(usize, usize)>,
}

impl Window {
    fn chosen(&self, look: &Look) -> usize {
        self.chosen.or(look.latest).unwrap_or(0).min(look.slots.len().saturating_sub(1))
    }
}

impl View for Window {
    fn name(&self) -> &'static str {
        "Window"
    }

    fn purpose(&self) -> &'static str {
        "the slots of the shared window: users, age, stale copies in TLBs"
    }

    fn interest(&self) -> Interest {
        Interest::WINDOW
    }

    fn draw(&self, c: &Context, area: Rect, canvas: &mut Canvas) {
        let Some(look) = &c.snapshot.part.window else { return };
        let run = c.snapshot.run();
        if look.slots.is_empty() {
            let text =
                format!("{} has no shared window, or the kernel has not made it yet", run.strategy.name());
            canvas.put_in(Rect { height: 1.min(area.height), ..area }, 1, &text, Role::Faint);
            return;
        }
        let line = |dy: u16| Rect { y: area.y + dy, height: u16::from(dy < area.height), ..area };
        canvas.put_in(line(0), 0, &summary(look, run.now), Role::Text);
        let detail = 5.min(area.height.saturating_sub(4));
        let room = area.height.saturating_sub(2 + detail);
        let chosen = self.chosen(look);
        let grid = Rect { y: area.y + 1, height: room, ..area };
        // A power of two in each row.
        let width = usize::from(area.width.saturating_sub(LABEL + 1)).max(1);
        let per_row = 1 << width.ilog2();
        let rows = usize::from(room).max(1);
        let shown = per_row * rows;
        let first = if look.slots.len() <= shown { 0 } else { chosen / shown * shown };
        self.drawn.set((per_row, first));
        for row in 0..rows {
            let from = first + row * per_row;
            let place = Rect { y: grid.y + row as u16, height: 1, ..grid };
            if from >= look.slots.len() || place.y >= grid.bottom() {
                break;
            }
            canvas.put_in(place, 0, &format!("{from:>5}"), Role::Faint);
            let slots = look.slots.iter().enumerate().skip(from).take(per_row);
            for (dx, (i, slot)) in slots.enumerate() {
                let mut style = style(slot, run.now, canvas.theme);
                if Some(i) == look.latest {
                    style = style.add_modifier(Modifier::REVERSED);
                }
                if i == chosen {
                    style = style.add_modifier(Modifier::UNDERLINED | Modifier::BOLD);
                }
                canvas.cell(place.x + LABEL + dx as u16, place.y, letter(slot, canvas.theme), style);
            }
        }
        draw_legend(line(area.height.saturating_sub(detail + 1)), canvas);
        let below = area.height.saturating_sub(detail);
        draw_detail(look, chosen, run.now, Rect { y: area.y + below, height: detail, ..area }, canvas);
    }

    fn act(&mut self, action: Action, c: &Context) -> Option<usize> {
        let look = c.snapshot.part.window.as_ref()?;
        let last = look.slots.len().checked_sub(1)?;
        let at = self.chosen(look);
        let row = self.drawn.get().0.max(1);
        self.chosen = match action {
            Action::Left => Some(at.saturating_sub(1)),
            Action::Right => Some((at + 1).min(last)),
            Action::Up => Some(at.checked_sub(row).unwrap_or(at)),
            Action::Down => Some(if at + row <= last { at + row } else { at }),
            Action::PageUp => Some(at.saturating_sub(8 * row)),
            Action::PageDown => Some((at + 8 * row).min(last)),
            Action::Home => Some(0),
            Action::End => None,
            _ => self.chosen,
        };
        None
    }

    fn click(&mut self, at: Position, area: Rect, c: &Context) -> Option<usize> {
        let look = c.snapshot.part.window.as_ref()?;
        let (row, first) = self.drawn.get();
        let column = usize::from(at.x.checked_sub(area.x + LABEL)?);
        let slot = first + usize::from(at.y.checked_sub(area.y + 1)?) * row + column;
        if column < row && slot < look.slots.len() {
            self.chosen = Some(slot);
        }
        None
    }

    fn table(&self, c: &Context) -> Table {
        let mut table =
            Table::new(&["slot", "linear", "users", "pte", "given", "given_by", "times", "holders", "stale"]);
        let Some(look) = &c.snapshot.part.window else { return table };
        for (i, s) in look.slots.iter().enumerate() {
            let given = |f: &dyn Fn(&Given) -> String| s.given.as_ref().map_or(String::new(), f);
            table.row([
                i.to_string(),
                format!("{:#010x}", address(look, i)),
                users(s).map_or("free".into(), |n| n.to_string()),
                format!("{:#x}", s.pte),
                given(&|g| g.cycle.to_string()),
                given(&|g| g.cpu.to_string()),
                given(&|g| g.times.to_string()),
                format!("{:#x}", s.holders),
                format!("{:#x}", s.stale),
            ]);
        }
        table
    }
}

fn address(look: &Look, slot: usize) -> u32 {
    look.start.wrapping_add((slot as u32) << 12)
}

/// How many use it; `None`: it maps nothing.
fn users(s: &Slot) -> Option<u32> {
    match s.used {
        Use::Free => None,
        Use::Unused => Some(0),
        Use::By(n) => Some(n),
    }
}

fn summary(look: &Look, now: u64) -> String {
    let count = |f: &dyn Fn(&Slot) -> bool| look.slots.iter().filter(|s| f(s)).count();
    let wraps = match look.wrapped {
        Some(at) => format!("{} wraps, {} cycles ago", look.wraps, short(now.saturating_sub(at) as f64)),
        None => "no wrap yet".into(),
    };
    format!(
        "{} slots: {} free, {} unused, {} in use, {} stale; {wraps}",
        look.slots.len(),
        count(&|s| s.used == Use::Free),
        count(&|s| s.used == Use::Unused),
        count(&|s| matches!(s.used, Use::By(_))),
        count(&|s| s.stale != 0)
    )
}

fn letter(s: &Slot, theme: &Theme) -> char {
    match s.used {
        _ if s.stale != 0 && !matches!(s.used, Use::By(_)) => 'S',
        Use::Free => theme.pick("·", ".").chars().next().unwrap_or('.'),
        Use::Unused => theme.pick("▪", "o").chars().next().unwrap_or('o'),
        Use::By(n) => char::from_digit(n, 10).unwrap_or('+'),
    }
}

/// Cycles since a slot was given from which on it is no longer new, and old.
const AGES: [u64; 2] = [100_000, 10_000_000];

fn style(s: &Slot, now: u64, theme: &Theme) -> Style {
    if s.stale != 0 {
        return theme.style(Role::Bad);
    }
    let age = s.given.map(|g| now.saturating_sub(g.cycle));
    match s.used {
        Use::Free => theme.style(Role::Faint),
        Use::Unused => aged(theme, age, AGES, [0, 0, 5]),
        Use::By(_) => theme.style(Role::Warning),
    }
}

fn draw_legend(line: Rect, canvas: &mut Canvas) {
    let given = Some(Given { cycle: 0, cpu: 0, times: 1 });
    let slot = |used, stale| Slot { used, given, pte: 0, holders: 0, stale };
    let mut dx = 0;
    for (s, name) in [
        (slot(Use::Free, 0), "free"),
        (slot(Use::Unused, 0), "unused"),
        (slot(Use::By(1), 0), "users"),
        (slot(Use::Unused, 1), "stale"),
    ] {
        let style = style(&s, 0, canvas.theme);
        dx = canvas.put_styled(line, dx, &letter(&s, canvas.theme).to_string(), style) + 1;
        dx = canvas.put_in(line, dx, name, Role::Faint) + 2;
    }
    dx = canvas.put_in(line, dx, "given last", Role::Chosen) + 2;
    let ages = AGES.map(|a| short(a as f64));
    canvas.put_in(line, dx, &format!("bright <{} cycles, dark >{}", ages[0], ages[1]), Role::Faint);
}

/// Numbers of the processors of a set.
fn processors(set: u64) -> String {
    if set == 0 {
        return "none".into();
    }
    let numbers: Vec<_> = (0..64).filter(|i| set >> i & 1 != 0).map(|i| i.to_string()).collect();
    format!("cpu {}", numbers.join(" "))
}

fn draw_detail(look: &Look, slot: usize, now: u64, area: Rect, canvas: &mut Canvas) {
    let inner = canvas.section(area, &format!("slot {slot}, {:08x}", address(look, slot)));
    let Some(s) = look.slots.get(slot) else { return };
    let mut line = Rect { height: inner.height.min(1), ..inner };
    let used = match s.used {
        Use::Free => "free: count 0".into(),
        Use::Unused => "mapped, used by nobody".into(),
        Use::By(n) => format!("in use by {n}"),
    };
    let pte = if s.pte & 1 == 0 {
        format!("PTE {:08x}, not present", s.pte)
    } else {
        let global = if s.pte & 0x100 != 0 { ", global" } else { "" };
        format!("PTE {:08x}, frame {:05x}{global}", s.pte, s.pte >> 12 & 0xff_ffff)
    };
    let given = match s.given {
        Some(g) => format!(
            "given to a page {} cycles ago by cpu {}, {} times so far",
            grouped(now.saturating_sub(g.cycle)),
            g.cpu,
            grouped(g.times.into())
        ),
        None => "never given to a page".into(),
    };
    let texts = [
        (format!("{used}; {pte}"), Role::Text),
        (given, Role::Text),
        (format!("TLBs that hold what the PTE says: {}", processors(s.holders)), Role::Text),
        (
            format!("TLBs that hold something older: {}", processors(s.stale)),
            if s.stale == 0 { Role::Text } else { Role::Bad },
        ),
    ];
    for (text, role) in texts {
        if line.y < inner.bottom() {
            canvas.put_in(line, 1, &text, role);
        }
        line.y += 1;
    }
}
