//! Help: the screens and the keys, from their tables.

use super::{Context, View, all};
use crate::screen::draw::Canvas;
use crate::screen::export::Table;
use crate::screen::keys::{Action, TABLE};
use crate::screen::theme::{Role, activity_letter};
use ratatui::layout::Rect;
use shootdown_abi::Activity;

/// See the module.
#[derive(Default)]
pub struct Help {
    /// Lines scrolled over.
    skip: usize,
}

/// A line of the help.
enum Line {
    Title(String),
    Key(String, String),
    Blank,
}

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for group in TABLE {
        lines.push(Line::Title(group.title.into()));
        for b in group.bindings {
            let key = if b.keys.is_empty() { format!(":{}", b.name) } else { b.keys.to_owned() };
            lines.push(Line::Key(key, b.text.to_owned()));
        }
        lines.push(Line::Blank);
    }
    lines.push(Line::Title("Screens".into()));
    lines.extend(all().iter().map(|v| Line::Key(v.name().into(), v.purpose().into())));
    lines.push(Line::Blank);
    lines.push(Line::Title("Activities of a processor: letters where there are no colours".into()));
    for &a in Activity::ALL {
        lines.push(Line::Key(activity_letter(a).to_string(), format!("{}: {}", a.name(), meaning(a))));
    }
    lines
}

fn meaning(activity: Activity) -> &'static str {
    match activity {
        Activity::User => "ring 3",
        Activity::Kernel => "kernel work that is none of the others",
        Activity::Kmap => "finding, mapping or releasing a kernel address",
        Activity::FlushInit => "starting a shootdown",
        Activity::AckWait => "waiting for the others to acknowledge it",
        Activity::IpiHandler => "flushing at another's request",
        Activity::LockSpin => "spinning on a lock",
        Activity::Idle => "nothing to run",
    }
}

impl View for Help {
    fn name(&self) -> &'static str {
        "Help"
    }

    fn purpose(&self) -> &'static str {
        "this list"
    }

    fn draw(&self, _c: &Context, area: Rect, canvas: &mut Canvas) {
        let lines = lines();
        let room = usize::from(area.height).max(1);
        let columns = if area.width >= 120 { 2 } else { 1 };
        let width = area.width / columns;
        let skip = self.skip.min(lines.len().saturating_sub(room));
        for (i, line) in lines.iter().skip(skip).take(room * usize::from(columns)).enumerate() {
            let place = Rect {
                x: area.x + (i / room) as u16 * width,
                y: area.y + (i % room) as u16,
                width,
                height: 1,
            };
            match line {
                Line::Title(text) => {
                    canvas.put_in(place, 1, text, Role::Title);
                }
                Line::Key(key, text) => {
                    canvas.put_in(place, 2, key, Role::Key);
                    canvas.put_in(place, 14, text, Role::Text);
                }
                Line::Blank => {}
            }
        }
        if skip + room * usize::from(columns) < lines.len() {
            let last = Rect { y: area.bottom() - 1, height: 1, ..area };
            canvas.put_right(last, area.width - 1, " more: down ", Role::Chosen);
        }
    }

    fn act(&mut self, action: Action, _c: &Context) -> Option<usize> {
        let last = lines().len() - 1;
        self.skip = match action {
            Action::Up => self.skip.saturating_sub(1),
            Action::Down => self.skip + 1,
            Action::PageUp => self.skip.saturating_sub(15),
            Action::PageDown => self.skip + 15,
            Action::Home => 0,
            Action::End => last,
            _ => self.skip,
        }
        .min(last);
        None
    }

    fn table(&self, _c: &Context) -> Table {
        let mut table = Table::new(&["keys", "name", "text"]);
        for b in TABLE.iter().flat_map(|g| g.bindings) {
            table.row([b.keys, b.name, b.text].map(str::to_owned));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_into_a_column_of_the_smallest_good_screen() {
        for line in lines() {
            match line {
                Line::Key(key, text) => assert!(key.len() <= 11 && text.len() <= 65, "{key} {text}"),
                Line::Title(text) => assert!(text.len() < 78, "{text}"),
                Line::Blank => {}
            }
        }
    }

    #[test]
    fn the_help_says_every_key_and_every_screen() {
        let text: Vec<String> = lines()
            .into_iter()
            .filter_map(|l| match l {
                Line::Key(key, text) => Some(format!("{key} {text}")),
                _ => None,
            })
            .collect();
        for b in TABLE.iter().flat_map(|g| g.bindings).filter(|b| !b.keys.is_empty()) {
            assert!(text.contains(&format!("{} {}", b.keys, b.text)), "{}", b.name);
        }
        for v in all() {
            assert!(text.contains(&format!("{} {}", v.name(), v.purpose())), "{}", v.name());
        }
    }
}
