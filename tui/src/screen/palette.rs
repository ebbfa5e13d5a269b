//! The palette: everything that can be done, found by a few letters of its name. And the
//! prompt, a line that is asked for.

use super::draw::Canvas;
use super::form::Verdict;
use super::keys::{self, Action, Binding};
use super::theme::Role;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

/// See the module.
pub struct Palette {
    text: String,
    at: usize,
}

impl Palette {
    /// One that shows everything.
    pub fn new() -> Palette {
        Palette { text: String::new(), at: 0 }
    }

    fn found(&self) -> Vec<&'static Binding> {
        let words: Vec<_> = self.text.split(' ').filter(|w| !w.is_empty()).collect();
        let fits = |b: &&Binding| words.iter().all(|w| b.name.contains(w) || b.text.contains(w));
        keys::bindings().filter(|b| b.action != Action::Palette).filter(fits).collect()
    }

    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Verdict<Action> {
        let found = self.found();
        match key.code {
            KeyCode::Esc => return Verdict::Leave,
            KeyCode::Enter => {
                return found.get(self.at).map_or(Verdict::Stay, |b| Verdict::Take(b.action));
            }
            KeyCode::Up => self.at = self.at.saturating_sub(1),
            KeyCode::Down => self.at = (self.at + 1).min(found.len().saturating_sub(1)),
            _ => {
                if edit(&mut self.text, key) {
                    self.at = 0;
                }
            }
        }
        Verdict::Stay
    }

    /// Draws it over the view.
    pub fn draw(&self, canvas: &mut Canvas, area: Rect) {
        let (width, height) = (area.width.min(70), area.height.min(18));
        let place = Rect {
            x: area.x + (area.width - width) / 2,
            y: area.y + 2.min(area.height - height),
            width,
            height,
        };
        let inner = canvas.frame(place, "do something by its name");
        canvas.put_in(inner, 0, ": ", Role::Key);
        let end = canvas.put_in(inner, 2, &self.text, Role::Text);
        canvas.put_in(inner, end, "_", Role::Key);
        let list = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
        let skip = (self.at + 1).saturating_sub(usize::from(list.height));
        for (i, b) in self.found().iter().enumerate().skip(skip).take(usize::from(list.height)) {
            let line = Rect { y: list.y + (i - skip) as u16, height: 1, ..list };
            let role = if i == self.at { Role::Chosen } else { Role::Text };
            canvas.put_in(line, 0, &format!("{:<16}", b.name), role);
            canvas.put_in(line, 17, b.text, Role::Faint);
            canvas.put_right(line, line.width, b.keys, Role::Key);
        }
    }
}

/// A line that is asked for.
pub struct Prompt {
    /// What is asked.
    pub question: &'static str,
    /// What asks.
    pub action: Action,
    /// What was typed so far.
    pub text: String,
}

impl Prompt {
    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Verdict<String> {
        match key.code {
            KeyCode::Esc => return Verdict::Leave,
            KeyCode::Enter if !self.text.trim().is_empty() => {
                return Verdict::Take(self.text.trim().to_owned());
            }
            _ => {
                edit(&mut self.text, key);
            }
        }
        Verdict::Stay
    }

    /// Draws it in the bottom line.
    pub fn draw(&self, canvas: &mut Canvas, line: Rect) {
        canvas.put_in(line, 0, &" ".repeat(usize::from(line.width)), Role::Text);
        let end = canvas.put_in(line, 1, &format!("{}: ", self.question), Role::Key);
        let end = canvas.put_in(line, end, &self.text, Role::Text);
        canvas.put_in(line, end, "_", Role::Key);
    }
}

/// Edits a line at its end; true: it has changed. Ctrl-u empties it.
pub fn edit(text: &mut String, key: &KeyEvent) -> bool {
    match key.code {
        KeyCode::Backspace => text.pop().is_some(),
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            text.clear();
            true
        }
        KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
            text.push(c);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(palette: &mut Palette, text: &str) {
        for c in text.chars() {
            palette.key(&KeyEvent::from(KeyCode::Char(c)));
        }
    }

    #[test]
    fn letters_narrow_the_choice_and_enter_takes_it() {
        let mut palette = Palette::new();
        let all = palette.found().len();
        typed(&mut palette, "wrap");
        assert!(palette.found().len() < all);
        assert!(matches!(palette.key(&KeyEvent::from(KeyCode::Enter)), Verdict::Take(Action::StepWrap)));
        typed(&mut palette, " no such thing");
        assert!(matches!(palette.key(&KeyEvent::from(KeyCode::Enter)), Verdict::Stay));
        assert!(matches!(palette.key(&KeyEvent::from(KeyCode::Esc)), Verdict::Leave));
    }
}
