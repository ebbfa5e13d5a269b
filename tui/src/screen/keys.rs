//! What can be done, and by which key: one table. Keys, help, hints and palette are made of it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Something the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Run or pause.
    Toggle,
    /// One instruction of the focused processor.
    StepInstruction,
    /// A short simulated time.
    StepTime,
    /// To the next shootdown.
    StepShootdown,
    /// To the next stale use.
    StepStale,
    /// To the next wrap of the window.
    StepWrap,
    /// To the stop before.
    Back,
    /// To a cycle that is asked for.
    GoTo,
    /// The same from the beginning.
    Restart,
    /// Something else from the beginning.
    Setup,
    /// Faster.
    Faster,
    /// Slower.
    Slower,
    /// The screen at this place.
    Screen(usize),
    /// The next screen.
    NextScreen,
    /// The one before.
    PreviousScreen,
    /// The list of keys, and back.
    Help,
    /// The palette of all that can be done.
    Palette,
    /// Focus the next processor.
    NextCpu,
    /// Focus the one before.
    PreviousCpu,
    /// Show the next strategy's run.
    NextRun,
    /// Show the one before.
    PreviousRun,
    /// When stale uses stop the run.
    StopAt,
    /// Write what is on the screen to files.
    ExportScreen,
    /// Write the result to a file.
    ExportResult,
    /// The next colours.
    Colours,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// A screenful up.
    PageUp,
    /// A screenful down.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// Closer.
    ZoomIn,
    /// Further away.
    ZoomOut,
    /// The slowest.
    Slowest,
    /// Take what is chosen.
    Accept,
    /// Leave without.
    Cancel,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its keys, in the names of [`key`], separated by blanks; none: it is in the palette only.
    pub keys: &'static str,
    /// What it does.
    pub action: Action,
    /// Its name in the palette.
    pub name: &'static str,
    /// What it does, for the help.
    pub text: &'static str,
    /// A word for the line at the bottom; empty: not shown there.
    pub hint: &'static str,
}

const fn bind(
    keys: &'static str,
    action: Action,
    name: &'static str,
    text: &'static str,
    hint: &'static str,
) -> Binding {
    Binding { keys, action, name, text, hint }
}

/// A part of the table.
pub struct Group {
    /// What it is about.
    pub title: &'static str,
    /// Its lines.
    pub bindings: &'static [Binding],
}

/// The table. Keys of screens are the numbers of [`super::view::all`].
pub const TABLE: &[Group] = &[
    Group {
        title: "Run",
        bindings: &[
            bind("space", Action::Toggle, "run", "run on, or pause", "run/pause"),
            bind("s", Action::StepInstruction, "step", "one instruction of the focused processor", "step"),
            bind("t", Action::StepTime, "time", "a microsecond of simulated time", ""),
            bind("n", Action::StepShootdown, "shootdown", "to the next shootdown", "shootdown"),
            bind("u", Action::StepStale, "stale", "to the next use of a stale translation", ""),
            bind("w", Action::StepWrap, "wrap", "to the next wrap of the window", ""),
            bind("b", Action::Back, "back", "back to the stop before", "back"),
            bind("g", Action::GoTo, "go", "to a cycle, forwards or back", ""),
            bind("+ =", Action::Faster, "faster", "faster, up to full speed", ""),
            bind("-", Action::Slower, "slower", "slower, down to slow motion", ""),
            bind("x", Action::StopAt, "stop-at", "stop at harmful stale uses, at any, or never", ""),
        ],
    },
    Group {
        title: "What runs",
        bindings: &[
            bind("r", Action::Restart, "restart", "start the same again", ""),
            bind("c", Action::Setup, "setup", "choose load, strategies, processor, seed; start", "setup"),
            bind("]", Action::NextRun, "next-run", "show the run of the next strategy", ""),
            bind("[", Action::PreviousRun, "previous-run", "show the run of the strategy before", ""),
            bind(".", Action::NextCpu, "next-cpu", "focus the next processor", ""),
            bind(",", Action::PreviousCpu, "previous-cpu", "focus the processor before", ""),
        ],
    },
    Group {
        title: "Screens",
        bindings: &[
            bind("1", Action::Screen(0), "screen-1", "the first screen", ""),
            bind("2", Action::Screen(1), "screen-2", "the second", ""),
            bind("3", Action::Screen(2), "screen-3", "the third", ""),
            bind("4", Action::Screen(3), "screen-4", "the fourth", ""),
            bind("5", Action::Screen(4), "screen-5", "the fifth", ""),
            bind("6", Action::Screen(5), "screen-6", "the sixth", ""),
            bind("7", Action::Screen(6), "screen-7", "the seventh", ""),
            bind("tab", Action::NextScreen, "next-screen", "the next screen", "screens"),
            bind("backtab", Action::PreviousScreen, "previous-screen", "the screen before", ""),
            bind("? f1", Action::Help, "help", "this list, and back", "help"),
            bind(": ctrl-p", Action::Palette, "palette", "do something by its name", "palette"),
        ],
    },
    Group {
        title: "Within a screen",
        bindings: &[
            bind("up k", Action::Up, "up", "up", ""),
            bind("down j", Action::Down, "down", "down", ""),
            bind("left h", Action::Left, "left", "left", ""),
            bind("right l", Action::Right, "right", "right", ""),
            bind("pageup", Action::PageUp, "page-up", "a screenful up", ""),
            bind("pagedown", Action::PageDown, "page-down", "a screenful down", ""),
            bind("home", Action::Home, "home", "to the first", ""),
            bind("end", Action::End, "end", "to the last", ""),
            bind("i", Action::ZoomIn, "zoom-in", "closer", ""),
            bind("o", Action::ZoomOut, "zoom-out", "further away", ""),
            bind("m", Action::Slowest, "slowest", "to the slowest one", ""),
            bind("enter", Action::Accept, "accept", "take what is chosen", ""),
            bind("esc", Action::Cancel, "cancel", "leave a form, the palette or a message", ""),
        ],
    },
    Group {
        title: "Files and colours",
        bindings: &[
            bind("e", Action::ExportScreen, "export", "this screen as text, SVG, CSV or JSON", "export"),
            bind("E", Action::ExportResult, "result", "the result so far, as `run` writes it", ""),
            bind("", Action::Colours, "colours", "the next choice of colours", ""),
            bind("q ctrl-c", Action::Quit, "quit", "leave", "quit"),
        ],
    },
];

/// All lines of the table.
pub fn bindings() -> impl Iterator<Item = &'static Binding> {
    TABLE.iter().flat_map(|g| g.bindings)
}

/// What a key does.
pub fn action(event: &KeyEvent) -> Option<Action> {
    bindings().find(|b| b.keys.split(' ').filter_map(key).any(|k| same(&k, event))).map(|b| b.action)
}

fn same(a: &KeyEvent, b: &KeyEvent) -> bool {
    let held = KeyModifiers::CONTROL | KeyModifiers::ALT;
    a.code == b.code && a.modifiers & held == b.modifiers & held
}

/// The key of a name: a character, `space`, `enter`, `esc`, `tab`, `backtab`, `backspace`, `delete`, an arrow, `home`,
/// `end`, `pageup`, `pagedown`, `f1` to `f12`, each maybe after `ctrl-`.
pub fn key(name: &str) -> Option<KeyEvent> {
    let (held, name) = match name.strip_prefix("ctrl-") {
        Some(rest) => (KeyModifiers::CONTROL, rest),
        None => (KeyModifiers::NONE, name),
    };
    let mut letters = name.chars();
    let code = match (name, letters.next(), letters.next()) {
        (_, Some(c), None) => KeyCode::Char(c),
        ("space", ..) => KeyCode::Char(' '),
        ("enter", ..) => KeyCode::Enter,
        ("esc", ..) => KeyCode::Esc,
        ("tab", ..) => KeyCode::Tab,
        ("backtab", ..) => KeyCode::BackTab,
        ("backspace", ..) => KeyCode::Backspace,
        ("delete", ..) => KeyCode::Delete,
        ("up", ..) => KeyCode::Up,
        ("down", ..) => KeyCode::Down,
        ("left", ..) => KeyCode::Left,
        ("right", ..) => KeyCode::Right,
        ("home", ..) => KeyCode::Home,
        ("end", ..) => KeyCode::End,
        ("pageup", ..) => KeyCode::PageUp,
        ("pagedown", ..) => KeyCode::PageDown,
        (_, Some('f'), _) => KeyCode::F(name[1..].parse().ok().filter(|n| (1..=12).contains(n))?),
        _ => return None,
    };
    Some(KeyEvent::new(code, held))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_key_is_known_and_does_one_thing() {
        let mut seen = HashMap::new();
        for b in bindings() {
            for name in b.keys.split(' ').filter(|n| !n.is_empty()) {
                let event = key(name).unwrap_or_else(|| panic!("no key '{name}'"));
                assert_eq!(seen.insert((event.code, event.modifiers), b.name), None, "{name}");
                assert_eq!(action(&event), Some(b.action), "{name}");
            }
        }
        assert!(key("nothing").is_none() && key("f13").is_none() && key("").is_none());
    }

    #[test]
    fn names_and_texts_are_told_apart() {
        let mut names: Vec<_> = bindings().map(|b| b.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(bindings().all(|b| !b.text.is_empty()));
    }
}
