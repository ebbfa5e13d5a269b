//! TLB: an array of the focused processor, sets across and ways down; what each place holds,
//! and the PTE that it came from.

use super::{Context, View, aged};
use crate::screen::draw::{Canvas, grouped, short};
use crate::screen::export::Table;
use crate::screen::keys::Action;
use crate::screen::snapshot::{ArrayPart, Interest, Place};
use crate::screen::theme::{Role, Theme};
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use shootdown_emu::mmu::view::Holds;
use std::cell::Cell;

/// Columns before the sets.
const LABEL: u16 = 7;
/// Cycles since the fill from which on an entry is no longer new, and old.
const AGES: [u64; 2] = [100_000, 10_000_000];

/// How an array is laid out on the screen: bands of sets, each as high as there are ways.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    /// Columns of a place.
    cell: u16,
    /// Sets of a band.
    sets: usize,
    /// First set on the screen.
    first: usize,
}

/// See the module.
#[derive(Default)]
pub struct Tlb {
    array: usize,
    set: usize,
    way: usize,
    drawn: Cell<Layout>,
}

impl Tlb {
    fn array<'a>(&self, c: &'a Context) -> Option<&'a ArrayPart> {
        let arrays = c.snapshot.part.tlb.as_ref()?;
        arrays.get(self.array.min(arrays.len().saturating_sub(1)))
    }

    /// The cursor, within the array.
    fn cursor(&self, array: &ArrayPart) -> (usize, usize) {
        (self.set.min(array.sets.saturating_sub(1)), self.way.min(array.ways.saturating_sub(1)))
    }
}

impl View for Tlb {
    fn name(&self) -> &'static str {
        "TLB"
    }

    fn purpose(&self) -> &'static str {
        "what the focused processor's TLBs hold, and from which PTEs"
    }

    fn interest(&self) -> Interest {
        Interest::TLB
    }

    fn draw(&self, c: &Context, area: Rect, canvas: &mut Canvas) {
        let Some(array) = self.array(c) else { return };
        let arrays = c.snapshot.part.tlb.as_deref().unwrap_or_default();
        let line = |dy: u16| Rect { y: area.y + dy, height: u16::from(dy < area.height), ..area };
        let mut dx = canvas.put_in(line(0), 0, &format!("cpu {}", c.cpu), Role::Title) + 2;
        for a in arrays {
            let role = if a.name == array.name { Role::Chosen } else { Role::Faint };
            dx = canvas.put_in(line(0), dx, a.name, role) + 2;
        }
        canvas.put_in(line(1), 0, &summary(array), Role::Text);
        let detail = 5.min(area.height.saturating_sub(5));
        let room = area.height.saturating_sub(3 + detail);
        let grid = Rect { y: area.y + 2, height: room, ..area };
        let cursor = self.cursor(array);
        let layout = layout(array, grid, cursor.0);
        self.drawn.set(layout);
        draw_grid(array, &layout, cursor, grid, canvas);
        draw_legend(line(area.height.saturating_sub(detail + 1)), canvas);
        let below = area.height.saturating_sub(detail);
        draw_detail(array, cursor, Rect { y: area.y + below, height: detail, ..area }, canvas);
    }

    fn act(&mut self, action: Action, c: &Context) -> Option<usize> {
        let arrays = c.snapshot.part.tlb.as_ref().map_or(0, Vec::len);
        let array = self.array(c)?;
        let (set, way) = self.cursor(array);
        let (sets, ways, band) = (array.sets, array.ways, self.drawn.get().sets.max(1));
        (self.set, self.way) = match action {
            Action::Left => (set.saturating_sub(1), way),
            Action::Right => ((set + 1).min(sets - 1), way),
            // Over the edge of a band lies the next one.
            Action::Up if way > 0 => (set, way - 1),
            Action::Up if set >= band => (set - band, ways - 1),
            Action::Down if way + 1 < ways => (set, way + 1),
            Action::Down if set + band < sets => (set + band, 0),
            Action::Home => (0, 0),
            Action::End => (sets - 1, ways - 1),
            _ => (set, way),
        };
        match action {
            Action::PageDown => self.array = (self.array + 1) % arrays.max(1),
            Action::PageUp => self.array = (self.array + arrays.max(1) - 1) % arrays.max(1),
            _ => {}
        }
        None
    }

    fn click(&mut self, at: Position, area: Rect, c: &Context) -> Option<usize> {
        let array = self.array(c)?;
        let layout = self.drawn.get();
        let column = usize::from(at.x.checked_sub(area.x + LABEL)? / layout.cell.max(1));
        let row = usize::from(at.y.checked_sub(area.y + 2)?);
        let (band, way) = (row / (array.ways + 1), (row % (array.ways + 1)).checked_sub(1)?);
        let set = layout.first + band * layout.sets + column;
        if column < layout.sets && set < array.sets {
            (self.set, self.way) = (set, way);
        }
        None
    }

    fn table(&self, c: &Context) -> Table {
        let mut table = Table::new(&[
            "cpu", "array", "set", "way", "state", "linear", "frame", "rights", "filled", "pte_at", "pte",
        ]);
        for array in c.snapshot.part.tlb.iter().flatten() {
            for (i, p) in array.places.iter().enumerate().filter(|(_, p)| p.valid || p.ghost) {
                table.row([
                    c.cpu.to_string(),
                    array.name.to_owned(),
                    (i / array.ways).to_string(),
                    (i % array.ways).to_string(),
                    word(p).to_owned(),
                    format!("{:#010x}", p.linear),
                    format!("{:#x}", p.frame),
                    rights(p).join(" "),
                    p.filled.to_string(),
                    format!("{:#x}", p.origin),
                    p.pte.map_or(String::new(), |v| format!("{v:#x}")),
                ]);
            }
        }
        table
    }
}

fn summary(array: &ArrayPart) -> String {
    let pages = match array.holds {
        Holds::Small => "4 KiB pages",
        Holds::Large => "large pages",
        Holds::Both => "pages of both sizes",
    };
    let count = |f: &dyn Fn(&Place) -> bool| array.places.iter().filter(|p| f(p)).count();
    format!(
        "{} sets x {} ways, {pages}: {} valid, {} global, {} stale, {} flushed",
        array.sets,
        array.ways,
        count(&|p| p.valid),
        count(&|p| p.valid && p.global),
        count(&|p| p.stale.is_some()),
        count(&|p| p.ghost)
    )
}

/// As few bands as possible, with places as wide as there is room for; six columns show the page's number.
fn layout(array: &ArrayPart, grid: Rect, set: usize) -> Layout {
    let width = grid.width.saturating_sub(LABEL).max(1);
    let height = array.ways as u16 + 1;
    let bands = usize::from(grid.height / height).max(1);
    let per_band = array.sets.div_ceil(bands).max(1);
    let cell = [6, 2, 1].into_iter().find(|&c| usize::from(width / c) >= per_band).unwrap_or(1);
    // In full bands, so that the rows are as long as the screen.
    let sets = usize::from(width / cell).clamp(1, array.sets.max(1));
    let shown = sets * bands;
    let first = if shown >= array.sets { 0 } else { set / shown * shown };
    Layout { cell, sets, first }
}

fn draw_grid(array: &ArrayPart, l: &Layout, cursor: (usize, usize), grid: Rect, canvas: &mut Canvas) {
    let mut y = grid.y;
    let mut from = l.first;
    while from < array.sets && y < grid.bottom() {
        let to = (from + l.sets).min(array.sets);
        let head = Rect { y, height: 1, ..grid };
        canvas.put_in(head, 0, "set", Role::Faint);
        // A number above every tenth column or so.
        let step = usize::from((8 / l.cell).max(1));
        for set in (from..to).step_by(step) {
            let dx = LABEL + (set - from) as u16 * l.cell;
            canvas.put_in(head, dx, &set.to_string(), Role::Faint);
        }
        for way in 0..array.ways {
            let row = Rect { y: y + 1 + way as u16, height: 1, ..grid };
            if row.y >= grid.bottom() {
                return;
            }
            canvas.put_in(row, 0, &format!("way {way:<2}"), Role::Faint);
            for set in from..to {
                let Some(place) = array.places.get(set * array.ways + way) else { continue };
                let dx = LABEL + (set - from) as u16 * l.cell;
                draw_place(array, place, l.cell, (set, way) == cursor, Rect { x: row.x + dx, ..row }, canvas);
            }
        }
        y += array.ways as u16 + 1;
        from = to;
    }
}

fn draw_place(array: &ArrayPart, p: &Place, cell: u16, chosen: bool, at: Rect, canvas: &mut Canvas) {
    let mut style = look(p, array.now, canvas.theme);
    if chosen {
        style = style.add_modifier(Modifier::UNDERLINED | Modifier::BOLD);
    }
    let mark = letter(p, canvas.theme);
    let at = Rect { width: cell, ..at };
    match cell {
        6 if p.valid || p.ghost => {
            canvas.put_styled(at, 0, &format!("{:05x}", p.linear >> 12), style);
        }
        _ => {
            canvas.put_styled(at, 0, &mark.to_string(), style);
        }
    }
    if chosen && cell > 1 {
        let end = Rect { x: at.x + cell - 1, width: 1, ..at };
        canvas.put_in(end, 0, canvas.theme.pick("◄", "<"), Role::Title);
    }
}

fn word(p: &Place) -> &'static str {
    if p.stale.is_some() {
        "stale"
    } else if p.ghost {
        "flushed"
    } else if p.valid && p.global {
        "global"
    } else if p.valid {
        "valid"
    } else {
        "empty"
    }
}

fn letter(p: &Place, theme: &Theme) -> char {
    match word(p) {
        "stale" => 'S',
        "flushed" => 'f',
        "global" => 'G',
        "valid" => 'v',
        _ if theme.pick("u", "a") == "u" => '·',
        _ => '.',
    }
}

/// New entries are bright, old ones dark.
fn look(p: &Place, now: u64, theme: &Theme) -> Style {
    let age = Some(now.saturating_sub(p.filled));
    match word(p) {
        "stale" => theme.style(Role::Bad),
        "global" => aged(theme, age, AGES, [4, 1, 1]),
        "valid" => aged(theme, age, AGES, [0, 0, 5]),
        _ => theme.style(Role::Faint),
    }
}

fn draw_legend(line: Rect, canvas: &mut Canvas) {
    let place = |valid, global, stale, ghost| Place {
        valid,
        global,
        ghost,
        stale: if stale { Some((0, 0)) } else { None },
        ..Place::default()
    };
    let mut dx = 0;
    for p in [
        place(true, false, false, false),
        place(true, true, false, false),
        place(true, false, true, false),
        place(false, false, false, true),
        Place::default(),
    ] {
        let style = look(&p, 0, canvas.theme);
        dx = canvas.put_styled(line, dx, &letter(&p, canvas.theme).to_string(), style) + 1;
        dx = canvas.put_in(line, dx, word(&p), Role::Faint) + 2;
    }
    let ages = AGES.map(|a| short(a as f64));
    let text = format!("bright <{} cycles, dark >{}", ages[0], ages[1]);
    canvas.put_in(line, dx, &text, Role::Faint);
}

fn rights(p: &Place) -> Vec<&'static str> {
    let mut words = vec![if p.user { "user" } else { "supervisor" }];
    words.push(if p.write { "writable" } else { "read-only" });
    let more = [(p.dirty, "dirty"), (p.global, "global"), (p.large, "large")];
    words.extend(more.iter().filter(|m| m.0).map(|m| m.1));
    words
}

/// Bits of a PTE, as far as TLBs care. (SDM vol. 3A, "Paging".)
const PTE_BITS: [(u32, &str); 7] = [(0, "P"), (1, "W"), (2, "U"), (5, "A"), (6, "D"), (7, "PS"), (8, "G")];

fn draw_detail(array: &ArrayPart, (set, way): (usize, usize), area: Rect, canvas: &mut Canvas) {
    let inner = canvas.section(area, &format!("set {set}, way {way}"));
    let Some(p) = array.places.get(set * array.ways + way) else { return };
    let mut line = Rect { height: inner.height.min(1), ..inner };
    let mut say = |text: &str, role: Role| {
        if line.y < inner.bottom() {
            canvas.put_in(line, 1, text, role);
        }
        line.y += 1;
    };
    if !p.valid && !p.ghost {
        say("holds nothing", Role::Faint);
        return;
    }
    let age = array.now.saturating_sub(p.filled);
    say(&format!("page {:08x} -> frame {:05x}, {}", p.linear, p.frame, rights(p).join(", ")), Role::Text);
    let since = format!("filled {} cycles ago, at {}", grouped(age), grouped(p.filled));
    say(&if p.ghost { format!("{since}; flushed since") } else { since }, Role::Text);
    let bits = |v: u64| {
        let set: Vec<_> = PTE_BITS.iter().filter(|(b, _)| v >> b & 1 != 0).map(|(_, n)| *n).collect();
        set.join(" ")
    };
    match p.pte {
        Some(v) => {
            let frame = v >> 12 & 0xff_ffff;
            let says =
                if v & 1 == 0 { "not present".into() } else { format!("frame {frame:05x}, {}", bits(v)) };
            say(&format!("from the PTE at {:x}, which now is {v:08x}: {says}", p.origin), Role::Text);
        }
        None => say(&format!("from the PTE at {:x}, where no RAM is", p.origin), Role::Text),
    }
    match p.stale {
        Some((cycle, writer)) => say(
            &format!(
                "STALE: cpu {writer} changed the PTE at cycle {}, {} cycles ago",
                grouped(cycle),
                grouped(array.now.saturating_sub(cycle))
            ),
            Role::Bad,
        ),
        None if p.valid => say("agrees with its PTE", Role::Good),
        None => {}
    }
}
