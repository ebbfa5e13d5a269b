//! What views draw with: text, bars, lines of heights, frames; and how figures are written.

use super::engine::Pace;
use super::snapshot::{RunView, Snapshot};
use super::theme::{Charset, Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A buffer with a theme. Nothing is drawn outside the buffer.
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    /// Colours and characters.
    pub theme: &'a Theme,
}

impl<'a> Canvas<'a> {
    /// Draws on a buffer.
    pub fn new(buffer: &'a mut Buffer, theme: &'a Theme) -> Canvas<'a> {
        Canvas { buffer, theme }
    }

    /// Text at a place, as far as the buffer goes.
    pub fn put(&mut self, x: u16, y: u16, text: &str, role: Role) {
        let style = self.theme.style(role);
        self.styled(x, y, text, style, self.buffer.area.right());
    }

    fn styled(&mut self, x: u16, y: u16, text: &str, style: Style, end: u16) -> u16 {
        let area = self.buffer.area;
        if y < area.top() || y >= area.bottom() || x >= end {
            return x;
        }
        let end = end.min(area.right());
        let (after, _) = self.buffer.set_stringn(x, y, text, usize::from(end.saturating_sub(x)), style);
        after
    }

    /// Text in the first line of an area, from column `dx` on, cut at the area's edge; gives the column behind it.
    pub fn put_in(&mut self, area: Rect, dx: u16, text: &str, role: Role) -> u16 {
        let style = self.theme.style(role);
        self.put_styled(area, dx, text, style)
    }

    /// The same in any style.
    pub fn put_styled(&mut self, area: Rect, dx: u16, text: &str, style: Style) -> u16 {
        if area.height == 0 {
            return dx;
        }
        let x = area.x.saturating_add(dx);
        self.styled(x, area.y, text, style, area.right()).max(x) - area.x
    }

    /// Text that ends at column `dx`.
    pub fn put_right(&mut self, area: Rect, dx: u16, text: &str, role: Role) {
        let width = text.chars().count() as u16;
        self.put_in(area, dx.saturating_sub(width), text, role);
    }

    /// One cell.
    pub fn cell(&mut self, x: u16, y: u16, c: char, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_char(c).set_style(style);
        }
    }

    /// A bar of `share` (0 to 1) of the area's width, in its first line.
    pub fn bar(&mut self, area: Rect, share: f64, style: Style) {
        let widths = self.theme.widths();
        let eighths = (share.clamp(0.0, 1.0) * f64::from(area.width) * 8.0).round() as u32;
        for dx in 0..area.width {
            let fill = eighths.saturating_sub(8 * u32::from(dx)).min(8) as usize;
            if fill > 0 && widths[fill] != ' ' {
                self.cell(area.x + dx, area.y, widths[fill], style);
            }
        }
    }

    /// Shares laid end to end over the area's width: of each the mark and style.
    pub fn stack(&mut self, area: Rect, shares: &[(f64, char, Style)]) {
        let (mut sum, mut dx) = (0.0, 0);
        for &(share, mark, style) in shares {
            sum += share;
            let end = ((sum * f64::from(area.width)).round() as u16).min(area.width);
            for x in dx..end {
                self.cell(area.x + x, area.y, mark, style);
            }
            dx = dx.max(end);
        }
    }

    /// A line of heights: the last values that fit, each 0 to `top`.
    pub fn spark(&mut self, area: Rect, values: &[f64], top: f64, style: Style) {
        let heights = self.theme.heights();
        let skip = values.len().saturating_sub(usize::from(area.width));
        let levels = 8 * u32::from(area.height);
        for (dx, &value) in values.iter().skip(skip).enumerate() {
            let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
            // What is there at all is seen.
            let level = ((share * f64::from(levels)).round() as u32).max(u32::from(value > 0.0));
            for row in 0..area.height {
                let fill = level.saturating_sub(8 * u32::from(area.height - 1 - row)).min(8) as usize;
                if fill > 0 {
                    self.cell(area.x + dx as u16, area.y + row, heights[fill], style);
                }
            }
        }
    }

    /// A title with a line behind it; gives the area below.
    pub fn section(&mut self, area: Rect, title: &str) -> Rect {
        if area.height == 0 || area.width == 0 {
            return Rect { height: 0, ..area };
        }
        let after = self.put_in(area, 0, title, Role::Title);
        let line = self.theme.pick("─", "-").repeat(usize::from(area.width.saturating_sub(after + 1)));
        self.put_in(area, after + 1, &line, Role::Faint);
        Rect { y: area.y + 1, height: area.height - 1, ..area }
    }

    /// An empty frame with a title; gives the area within.
    pub fn frame(&mut self, area: Rect, title: &str) -> Rect {
        let corners = match self.theme.charset {
            Charset::Unicode => ['┌', '┐', '└', '┘', '─', '│'],
            Charset::Ascii => ['+', '+', '+', '+', '-', '|'],
        };
        let style = self.theme.style(Role::Faint);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                let (top, bottom) = (y == area.top(), y + 1 == area.bottom());
                let (left, right) = (x == area.left(), x + 1 == area.right());
                let c = match (top, bottom, left, right) {
                    (true, _, true, _) => corners[0],
                    (true, _, _, true) => corners[1],
                    (_, true, true, _) => corners[2],
                    (_, true, _, true) => corners[3],
                    (true, ..) | (_, true, ..) => corners[4],
                    (_, _, true, _) | (_, _, _, true) => corners[5],
                    _ => ' ',
                };
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                    cell.set_char(c);
                    if c != ' ' {
                        cell.set_style(style);
                    }
                }
            }
        }
        self.put_in(area, 2, &format!(" {title} "), Role::Title);
        area.inner(ratatui::layout::Margin::new(2, 1))
    }
}

/// The shown run's state in a word.
pub fn state(snapshot: &Snapshot) -> (&'static str, Role) {
    state_of(snapshot.run(), snapshot.pace)
}

/// A run's state in a word.
pub fn state_of(run: &RunView, pace: Pace) -> (&'static str, Role) {
    if run.stale.is_some() {
        return ("STALE USE", Role::Bad);
    }
    match (&run.end, pace) {
        (Some(end), _) if end.problems.is_empty() => ("FINISHED", Role::Good),
        (Some(end), _) if end.text.starts_with("deadlock") => ("DEADLOCK", Role::Bad),
        (Some(end), _) if end.text.starts_with("livelock") => ("LIVELOCK", Role::Bad),
        (Some(_), _) => ("FAILED", Role::Bad),
        (None, Pace::Paused) if run.stepped => ("STEPPED", Role::Warning),
        (None, Pace::Paused) => ("PAUSED", Role::Warning),
        (None, Pace::Running | Pace::ToEvent) => ("RUNNING", Role::Good),
        (None, Pace::Seeking(_)) => ("SEEKING", Role::Warning),
    }
}

/// What stands between view and bottom when something was found: how the run ended, the stale use that stopped it.
pub fn banner(snapshot: &Snapshot) -> Vec<(String, Role)> {
    let run = snapshot.run();
    let mut lines = Vec::new();
    if let Some(stale) = &run.stale {
        let u = &stale.used;
        let what =
            if u.harmful { "harmful use of a stale translation" } else { "use of a stale translation" };
        let access = match u.access {
            shootdown_emu::mmu::Access::Read => "read",
            shootdown_emu::mmu::Access::Write => "wrote",
            shootdown_emu::mmu::Access::Fetch => "fetched",
        };
        lines.push((
            format!("{what}: cpu {} {access} {:08x} at cycle {}", u.cpu, u.linear, grouped(u.cycle)),
            Role::Bad,
        ));
        let now = match stale.new_frame() {
            Some(frame) => format!("frame {frame:05x}"),
            None => "no frame".into(),
        };
        lines.push((
            format!("its TLB gave frame {:05x}; the page tables give {now}", u.old_frame),
            Role::Text,
        ));
        lines.push((
            format!(
                "cpu {} changed the entry {} cycles before, at cycle {}",
                u.writer,
                grouped(u.age),
                grouped(u.cycle - u.age.min(u.cycle))
            ),
            Role::Text,
        ));
        let names = ["PDE", "PTE"];
        let path: Vec<_> =
            stale.entries().zip(names).map(|(e, n)| format!("{n} at {:x} = {:x}", e.pa, e.value)).collect();
        lines.push((format!("path: {}", path.join(", ")), Role::Faint));
    }
    if let Some(end) = &run.end {
        let role = if end.problems.is_empty() { Role::Good } else { Role::Bad };
        let text = if end.problems.is_empty() { "finished, nothing wrong".into() } else { end.text.clone() };
        lines.push((text, role));
        lines.extend(end.problems.iter().map(|p| (p.clone(), Role::Warning)));
    }
    lines
}

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// Four characters or so: `999`, `1.2k`, `34k`, `5.6M`.
pub fn short(x: f64) -> String {
    let (mut x, mut unit) = (x, 0);
    while x >= 999.5 && unit < 4 {
        x /= 1000.0;
        unit += 1;
    }
    let unit = ["", "k", "M", "G", "T"][unit];
    if x >= 9.95 || x == x.trunc() { format!("{x:.0}{unit}") } else { format!("{x:.1}{unit}") }
}

/// Cycles as time at a clock.
pub fn time(cycles: f64, mhz: u32) -> String {
    let us = cycles / f64::from(mhz.max(1));
    if us >= 999_500.0 {
        format!("{:.2} s", us / 1e6)
    } else if us >= 999.5 {
        format!("{:.2} ms", us / 1e3)
    } else if us >= 0.9995 {
        format!("{us:.2} us")
    } else {
        format!("{:.0} ns", us * 1e3)
    }
}

/// A share in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_right() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(
            [0.0, 7.25, 999.0, 1234.0, 56_780.0, 999_600.0].map(short),
            ["0", "7.2", "999", "1.2k", "57k", "1.0M"]
        );
        assert_eq!(time(700.0, 700), "1.00 us");
        assert_eq!(time(7_000_000.0, 700), "10.00 ms");
        assert_eq!(time(70.0, 700), "100 ns");
    }

    #[test]
    fn bars_and_lines_fill_their_share() {
        let theme = Theme { depth: super::super::theme::Depth::None, charset: Charset::Unicode };
        let area = Rect::new(0, 0, 8, 1);
        let mut buffer = Buffer::empty(area);
        let mut canvas = Canvas::new(&mut buffer, &theme);
        canvas.bar(area, 0.5, Style::new());
        assert_eq!(buffer.content().iter().filter(|c| c.symbol() == "█").count(), 4);
        let mut buffer = Buffer::empty(area);
        Canvas::new(&mut buffer, &theme).spark(area, &[0.0, 1.0, 8.0], 8.0, Style::new());
        let text: String = buffer.content().iter().map(|c| c.symbol()).collect();
        assert_eq!(text, " ▁█     ");
    }
}
