//! Without a terminal: frames as text on standard output, each after a key and some simulated
//! time. The same input gives the same bytes.

use super::app::{App, Effect};
use super::engine::{Command, Engine, Pace};
use super::latency::Freshness;
use super::options::Start;
use super::{export, keys};
use anyhow::{Result, bail};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyEvent};
use ratatui::layout::Rect;
use std::fmt::Write as _;
use std::sync::Arc;

/// How a session is scripted.
pub struct Script {
    /// Frames.
    pub frames: u32,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Keys before each frame, in order; an empty list: none before this one.
    pub keys: Vec<Vec<KeyEvent>>,
    /// Cycles that pass before each frame.
    pub cycles: u64,
    /// Only the last frame, and how.
    pub output: Output,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Every frame as text under a line that says which.
    All,
    /// The last frame as text.
    Last,
    /// The last frame as SVG.
    Picture,
}

/// Reads a script of keys: a word for each frame, which is a key's name, `.` for none, or letters to be typed within
/// single quotes, without blanks.
pub fn script(text: &str) -> Result<Vec<Vec<KeyEvent>>> {
    let mut frames = Vec::new();
    for word in text.split_whitespace() {
        let mut events = Vec::new();
        if let Some(typed) = word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
            events.extend(typed.chars().filter_map(|c| keys::key(&c.to_string())));
        } else if word != "." {
            let Some(key) = keys::key(word) else {
                bail!(
                    "--keys: no key '{word}'; accepted are single characters, space, enter, esc, tab, backtab, backspace, delete, up, \
                     down, left, right, home, end, pageup, pagedown, f1 to f12, each maybe after ctrl-; '.' for a frame without one, \
                     'text' in quotes for letters"
                );
            };
            events.push(key);
        }
        frames.push(events);
    }
    Ok(frames)
}

/// Runs a script; gives what is to be written.
pub fn run(mut engine: Engine, app: &mut App, script: &Script, start: Start) -> String {
    let mut pending = vec![Effect::Command(Command::Look(app.look()))];
    if start == Start::Running {
        pending.push(Effect::Command(Command::Run));
    }
    let area = Rect::new(0, 0, script.size.0, script.size.1);
    let mut text = String::new();
    let mut left = false;
    for frame in 1..=script.frames {
        let keys = script.keys.get(frame as usize - 1).map_or(&[][..], Vec::as_slice);
        for key in keys {
            pending.extend(app.event(&Event::Key(*key)));
            left |= obey(&mut engine, &mut pending);
            // So that the next key meets what this one has made.
            app.show(Arc::new(engine.snapshot(Freshness::All)));
        }
        left |= obey(&mut engine, &mut pending);
        pass(&mut engine, script.cycles);
        app.show(Arc::new(engine.snapshot(Freshness::All)));
        let mut buffer = Buffer::empty(area);
        app.draw(&mut buffer);
        let last = left || frame == script.frames;
        match script.output {
            Output::All => {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "-- frame {frame}, cycle {}", engine.now());
                text.push_str(&export::text(&buffer));
            }
            Output::Last if last => text = export::text(&buffer),
            Output::Picture if last => text = export::svg(&buffer),
            _ => {}
        }
        if left {
            break;
        }
    }
    text
}

fn obey(engine: &mut Engine, effects: &mut Vec<Effect>) -> bool {
    let mut left = false;
    for effect in effects.drain(..) {
        match effect {
            Effect::Command(command) => engine.obey(command),
            // Simulated time passes by frames.
            Effect::Speed(_) => {}
            Effect::Quit => left = true,
        }
    }
    left
}

/// Lets simulated time pass.
fn pass(engine: &mut Engine, cycles: u64) {
    let end = engine.now().saturating_add(cycles);
    // A run that has ended stands still while others go on: then pieces are counted.
    let mut pieces = cycles / 100_000 + 1;
    while engine.pace() != Pace::Paused {
        let before = engine.now();
        if before >= end && !matches!(engine.pace(), Pace::Seeking(_)) {
            return;
        }
        engine.advance(end);
        if engine.now() == before {
            pieces -= 1;
            if pieces == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::crossterm::event::KeyCode;

    #[test]
    fn scripts_are_read() {
        let read = script("space . 'ab' ctrl-p").unwrap();
        let codes: Vec<Vec<_>> = read.iter().map(|f| f.iter().map(|k| k.code).collect()).collect();
        assert_eq!(
            codes,
            [
                vec![KeyCode::Char(' ')],
                vec![],
                vec![KeyCode::Char('a'), KeyCode::Char('b')],
                vec![KeyCode::Char('p')]
            ]
        );
        let e = script("spcae").unwrap_err().to_string();
        assert!(e.contains("no key 'spcae'"), "{e}");
    }
}
