//! Colours and characters. The default colours are those of Okabe and Ito, which people with any
//! kind of colour blindness can tell apart; what a colour says is always said by a letter or a
//! word as well.

use ratatui::style::{Color, Modifier, Style};
use shootdown_abi::Activity;

/// How many colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: bold, dim and reverse only.
    None,
    /// The sixteen of every terminal.
    Sixteen,
    /// The 256 of xterm.
    Many,
    /// Any.
    True,
}

impl Depth {
    /// All, by name.
    pub const ALL: [(&'static str, Depth); 4] =
        [("none", Depth::None), ("16", Depth::Sixteen), ("256", Depth::Many), ("true", Depth::True)];

    /// What the environment says: `NO_COLOR`, `COLORTERM`, `TERM`.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Depth {
        let term = variable("TERM").unwrap_or_default();
        if variable("NO_COLOR").is_some_and(|v| !v.is_empty()) || term == "dumb" {
            return Depth::None;
        }
        match variable("COLORTERM").as_deref() {
            Some("truecolor" | "24bit") => Depth::True,
            _ if term.contains("256color") => Depth::Many,
            _ => Depth::Sixteen,
        }
    }
}

/// Which characters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Lines and blocks of Unicode.
    Unicode,
    /// ASCII only.
    Ascii,
}

impl Charset {
    /// All, by name.
    pub const ALL: [(&'static str, Charset); 2] = [("unicode", Charset::Unicode), ("ascii", Charset::Ascii)];

    /// What the environment says: the locale's encoding.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Charset {
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|v| variable(v).filter(|v| !v.is_empty()));
        let locale = locale.unwrap_or_default().to_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Charset::Unicode } else { Charset::Ascii }
    }
}

/// What a part of the screen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Plain text.
    Text,
    /// Labels, lines, what is not so important.
    Faint,
    /// Titles.
    Title,
    /// What is chosen or focused.
    Chosen,
    /// All is well.
    Good,
    /// Look here.
    Warning,
    /// Something is wrong.
    Bad,
    /// Keys in hints.
    Key,
    /// A quantity drawn as a bar or a line; up to [`SERIES`] of them side by side.
    Series(usize),
}

/// Distinct series.
pub const SERIES: usize = 6;

type Rgb = (u8, u8, u8);
// Okabe and Ito, "Color Universal Design", 2008; the black of the set is a light grey on a dark ground.
const ORANGE: Rgb = (230, 159, 0);
const SKY: Rgb = (86, 180, 233);
const GREEN: Rgb = (0, 158, 115);
const YELLOW: Rgb = (240, 228, 66);
const BLUE: Rgb = (0, 114, 178);
const VERMILLION: Rgb = (213, 94, 0);
const PURPLE: Rgb = (204, 121, 167);
const GREY: Rgb = (110, 110, 110);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// How many colours.
    pub depth: Depth,
    /// Which characters.
    pub charset: Charset,
}

impl Theme {
    /// The style of a role.
    pub fn style(&self, role: Role) -> Style {
        let plain = Style::new();
        match role {
            Role::Text => plain,
            Role::Faint if self.depth == Depth::None => plain.add_modifier(Modifier::DIM),
            Role::Faint => self.colour((150, 150, 150)),
            Role::Title => plain.add_modifier(Modifier::BOLD),
            Role::Chosen => plain.add_modifier(Modifier::REVERSED),
            Role::Good => self.colour(GREEN).add_modifier(Modifier::BOLD),
            Role::Warning => self.colour(YELLOW).add_modifier(Modifier::BOLD),
            Role::Bad => self.colour(VERMILLION).add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Role::Key => self.colour(SKY).add_modifier(Modifier::BOLD),
            Role::Series(n) => self.colour([SKY, ORANGE, GREEN, PURPLE, YELLOW, BLUE][n % SERIES]),
        }
    }

    /// The style of an activity.
    pub fn activity(&self, activity: Activity) -> Style {
        self.colour(match activity {
            Activity::User => GREEN,
            Activity::Kernel => SKY,
            Activity::Kmap => YELLOW,
            Activity::FlushInit => ORANGE,
            Activity::AckWait => VERMILLION,
            Activity::IpiHandler => PURPLE,
            Activity::LockSpin => BLUE,
            Activity::Idle => GREY,
        })
    }

    /// The character that stands for an activity: a letter where there is no colour to tell them apart.
    pub fn activity_mark(&self, activity: Activity) -> char {
        if activity == Activity::Idle {
            return if self.charset == Charset::Unicode { '·' } else { '.' };
        }
        if self.depth == Depth::None { activity_letter(activity) } else { self.full() }
    }

    /// A colour, as near as the terminal has it.
    pub fn colour(&self, (r, g, b): Rgb) -> Style {
        match self.depth {
            Depth::None => Style::new(),
            Depth::True => Style::new().fg(Color::Rgb(r, g, b)),
            Depth::Many => Style::new().fg(Color::Indexed(cube(r, g, b))),
            Depth::Sixteen => Style::new().fg(sixteen((r, g, b))),
        }
    }

    /// A full block.
    pub fn full(&self) -> char {
        if self.charset == Charset::Unicode { '█' } else { '#' }
    }

    /// Eight heights, lowest first, behind a blank.
    pub fn heights(&self) -> [char; 9] {
        match self.charset {
            Charset::Unicode => [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Charset::Ascii => [' ', '.', ':', '-', '=', '+', '*', '%', '#'],
        }
    }

    /// Eight widths, thinnest first, behind a blank.
    pub fn widths(&self) -> [char; 9] {
        match self.charset {
            Charset::Unicode => [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'],
            Charset::Ascii => [' ', ' ', ' ', ' ', '#', '#', '#', '#', '#'],
        }
    }

    /// Unicode or its replacement.
    pub fn pick(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.charset == Charset::Unicode { unicode } else { ascii }
    }
}

/// A letter for each activity.
pub fn activity_letter(activity: Activity) -> char {
    match activity {
        Activity::User => 'u',
        Activity::Kernel => 'k',
        Activity::Kmap => 'm',
        Activity::FlushInit => 'F',
        Activity::AckWait => 'W',
        Activity::IpiHandler => 'H',
        Activity::LockSpin => 'L',
        Activity::Idle => '.',
    }
}

/// The nearest colour of xterm's 6x6x6 cube, or of its greys.
fn cube(r: u8, g: u8, b: u8) -> u8 {
    if r == g && g == b {
        return 232 + ((u16::from(r).saturating_sub(8)) / 10).min(23) as u8;
    }
    // The cube's steps: 0, 95, 135, 175, 215, 255.
    let step = |v: u8| {
        if v < 48 {
            0
        } else if v < 115 {
            1
        } else {
            ((v - 35) / 40).min(5)
        }
    };
    16 + 36 * step(r) + 6 * step(g) + step(b)
}

fn sixteen(rgb: Rgb) -> Color {
    match rgb {
        ORANGE => Color::LightYellow,
        SKY => Color::LightCyan,
        GREEN => Color::Green,
        YELLOW => Color::Yellow,
        BLUE => Color::LightBlue,
        VERMILLION => Color::LightRed,
        PURPLE => Color::LightMagenta,
        GREY => Color::DarkGray,
        _ => Color::Gray,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn the_environment_decides() {
        assert_eq!(Depth::detect(env(&[("TERM", "xterm-256color")])), Depth::Many);
        assert_eq!(
            Depth::detect(env(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")])),
            Depth::True
        );
        assert_eq!(
            Depth::detect(env(&[("TERM", "xterm"), ("NO_COLOR", "1"), ("COLORTERM", "truecolor")])),
            Depth::None
        );
        assert_eq!(Depth::detect(env(&[("TERM", "xterm"), ("NO_COLOR", "")])), Depth::Sixteen);
        assert_eq!(Charset::detect(env(&[("LANG", "C.UTF-8")])), Charset::Unicode);
        assert_eq!(Charset::detect(env(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")])), Charset::Ascii);
        assert_eq!(Charset::detect(env(&[])), Charset::Ascii);
    }

    #[test]
    fn activities_are_told_apart_in_every_depth() {
        for (name, depth) in Depth::ALL {
            let theme = Theme { depth, charset: Charset::Ascii };
            let looks: HashSet<_> =
                Activity::ALL.iter().map(|&a| (theme.activity(a), theme.activity_mark(a))).collect();
            assert_eq!(looks.len(), Activity::ALL.len(), "{name}");
        }
    }
}
