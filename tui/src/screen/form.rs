//! The form in which a run is chosen: load, strategies, processor, their number, memory, seed,
//! and any further keys.

use super::draw::Canvas;
use super::engine::{MOST_RUNS, Setup};
use super::palette::edit;
use super::theme::Role;
use crate::settings::strategy_list;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use shootdown_emu::Preset;
use shootdown_workloads::workload::WORKLOADS;
use shootdown_workloads::{Cell, Strategy};

/// What became of a key.
pub enum Verdict<T> {
    /// Not done yet.
    Stay,
    /// Left without.
    Leave,
    /// Taken.
    Take(T),
}

/// What a field takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One of a list, turned by left and right.
    Choice,
    /// Text.
    Text,
}

struct Field {
    label: &'static str,
    key: &'static str,
    kind: Kind,
    text: String,
    help: &'static str,
}

/// See the module.
pub struct Form {
    base: Cell,
    fields: Vec<Field>,
    at: usize,
    problem: Option<String>,
}

/// Choices of the field `key`.
fn choices(key: &str) -> Vec<String> {
    match key {
        "workload" => WORKLOADS.iter().map(|w| w.name.to_owned()).collect(),
        "cpu" => Preset::names().map(str::to_owned).collect(),
        _ => Strategy::ALL.iter().map(|s| s.name().to_owned()).collect(),
    }
}

impl Form {
    /// A form filled with what runs.
    pub fn new(setup: &Setup) -> Form {
        let machine = &setup.cell.machine;
        let strategies: Vec<_> = setup.strategies.iter().map(|s| s.name()).collect();
        let field = |label, key, kind, text, help| Field { label, key, kind, text, help };
        let fields = vec![
            field("load", "workload", Kind::Choice, setup.cell.workload.name.into(), "left and right choose"),
            field(
                "strategies",
                "strategies",
                Kind::Text,
                strategies.join(","),
                "one to four, with commas; left and right choose one",
            ),
            field("processor", "cpu", Kind::Choice, machine.preset.name.clone(), "left and right choose"),
            field("processors", "cpus", Kind::Text, machine.cpus.to_string(), "1 to 64"),
            field("memory", "mem", Kind::Text, size(machine.memory), "as 128M or 4G"),
            field("seed", "seed", Kind::Text, machine.seed.to_string(), "of everything that is random"),
            field(
                "more keys",
                "",
                Kind::Text,
                String::new(),
                "as ops=500 window=256 fault=early-ack; as --set takes them",
            ),
        ];
        Form { base: setup.cell.clone(), fields, at: 0, problem: None }
    }

    /// What was filled in.
    fn setup(&self) -> Result<Setup, String> {
        let mut cell = self.base.clone();
        let text = |key: &str| self.fields.iter().find(|f| f.key == key).map_or("", |f| f.text.trim());
        // A load that is chosen anew loses its keys.
        if text("workload") != cell.workload.name {
            cell.set("workload", text("workload")).map_err(|e| e.to_string())?;
        }
        if text("cpu") != cell.machine.preset.name {
            cell.set("cpu", text("cpu")).map_err(|e| e.to_string())?;
        }
        for key in ["cpus", "mem", "seed"] {
            cell.set(key, text(key)).map_err(|e| e.to_string())?;
        }
        for word in text("").split_whitespace() {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("'{word}' has no '='; accepted is key=value"))?;
            cell.set(key, value).map_err(|e| e.to_string())?;
        }
        let strategies = strategy_list(text("strategies")).map_err(|e| e.to_string())?;
        if strategies.len() > MOST_RUNS {
            return Err(format!("{} strategies; accepted are 1 to {MOST_RUNS}", strategies.len()));
        }
        for &strategy in &strategies {
            cell.with(strategy).validate().map_err(|e| e.to_string())?;
        }
        cell.strategy = strategies[0];
        Ok(Setup { cell, strategies })
    }

    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Verdict<Setup> {
        let last = self.fields.len() - 1;
        match key.code {
            KeyCode::Esc => return Verdict::Leave,
            KeyCode::Up | KeyCode::BackTab => self.at = self.at.checked_sub(1).unwrap_or(last),
            KeyCode::Down | KeyCode::Tab => self.at = if self.at == last { 0 } else { self.at + 1 },
            KeyCode::Left => self.turn(false),
            KeyCode::Right => self.turn(true),
            KeyCode::Enter => match self.setup() {
                Ok(setup) => return Verdict::Take(setup),
                Err(problem) => self.problem = Some(problem),
            },
            _ => {
                let field = &mut self.fields[self.at];
                if field.kind == Kind::Text {
                    edit(&mut field.text, key);
                }
            }
        }
        Verdict::Stay
    }

    fn turn(&mut self, forward: bool) {
        let field = &mut self.fields[self.at];
        if field.kind == Kind::Text && field.key != "strategies" {
            return;
        }
        let choices = choices(field.key);
        let at = choices.iter().position(|c| *c == field.text);
        let next = match at {
            None => 0,
            Some(at) if forward => (at + 1) % choices.len(),
            Some(at) => (at + choices.len() - 1) % choices.len(),
        };
        if let Some(choice) = choices.get(next) {
            field.text.clone_from(choice);
        }
    }

    /// Draws it over the view.
    pub fn draw(&self, canvas: &mut Canvas, area: Rect) {
        let (width, height) = (area.width.min(76), (self.fields.len() as u16 + 6).min(area.height));
        let place = Rect {
            x: area.x + (area.width - width) / 2,
            y: area.y + (area.height - height) / 2,
            width,
            height,
        };
        let inner = canvas.frame(place, "choose what runs");
        let mut line = Rect { height: 1, ..inner };
        for (i, field) in self.fields.iter().enumerate() {
            canvas.put_in(line, 0, field.label, if i == self.at { Role::Key } else { Role::Faint });
            let role = if i == self.at { Role::Chosen } else { Role::Text };
            let room = usize::from(line.width.saturating_sub(14));
            let skip = field.text.chars().count().saturating_sub(room);
            let shown: String = field.text.chars().skip(skip).collect();
            canvas.put_in(line, 13, if shown.is_empty() { " " } else { &shown }, role);
            line.y += 1;
        }
        line.y += 1;
        match &self.problem {
            Some(problem) => {
                // Accepted values can be many: two lines of them.
                let room = usize::from(line.width).max(1);
                let letters: Vec<char> = problem.chars().collect();
                for part in letters.chunks(room).take(2) {
                    canvas.put_in(line, 0, &part.iter().collect::<String>(), Role::Warning);
                    line.y += 1;
                }
            }
            None => {
                canvas.put_in(line, 0, self.fields[self.at].help, Role::Faint);
                line.y += 1;
                canvas.put_in(line, 0, "enter starts, esc leaves, ctrl-u empties a field", Role::Faint);
            }
        }
    }
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) { format!("{}G", bytes >> 30) } else { format!("{}M", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let mut cell = Cell::standard().unwrap();
        cell.set("ops", "77").unwrap();
        Form::new(&Setup { cell, strategies: vec![Strategy::Batched] })
    }

    fn fill(form: &mut Form, key: &str, text: &str) {
        form.fields.iter_mut().find(|f| f.key == key).unwrap().text = text.into();
    }

    fn wrong(key: &str, text: &str) -> String {
        let mut form = form();
        fill(&mut form, key, text);
        form.setup().unwrap_err()
    }

    #[test]
    fn what_is_not_touched_stays() {
        let setup = form().setup().unwrap();
        assert_eq!(setup.strategies, [Strategy::Batched]);
        assert!(setup.cell.parameters().contains(&("ops", "77".into())));
    }

    #[test]
    fn fields_are_checked_and_taken_over() {
        let mut form = form();
        fill(&mut form, "strategies", "atomic,deferred-seq");
        fill(&mut form, "cpus", "2");
        fill(&mut form, "", "window=64 ops=9");
        let setup = form.setup().unwrap();
        assert_eq!(setup.strategies, [Strategy::Atomic, Strategy::DeferredSeq]);
        assert_eq!(setup.cell.machine.cpus, 2);
        assert!(setup.cell.parameters().contains(&("ops", "9".into())));
        for (key, text, told) in [
            ("cpus", "999", "cpus"),
            ("strategies", "atomic,batched,lowmem,none,deferred-seq", "5 strategies"),
            ("", "nonsense", "has no '='"),
            ("seed", "x", "seed"),
        ] {
            let problem = wrong(key, text);
            assert!(problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn choices_turn_both_ways() {
        let mut form = form();
        let first = form.fields[0].text.clone();
        form.turn(true);
        assert_ne!(form.fields[0].text, first);
        form.turn(false);
        assert_eq!(form.fields[0].text, first);
    }
}
