//! The screens. Each is a file here and a line in [`all`]; it draws from the snapshot alone and
//! says what it needs of it ([`View::interest`]).
//!
//! ```text
//!  +--------------------------------------------------+
//!  | 1 Overview  2 ...                      shootdown |  tabs
//!  | RUNNING  batched  kmap-storm on 4 x p3 ...       |  status
//!  |                                                  |
//!  |  the view                                        |
//!  |                                                  |
//!  | what was found, if anything                      |  banner
//!  | space run/pause ...                              |  hints, messages, prompts
//!  +--------------------------------------------------+
//! ```

mod compare;
mod console;
mod help;
mod overview;
mod timeline;
mod tlb;
mod window;

use super::draw::Canvas;
use super::export::Table;
use super::keys::Action;
use super::snapshot::{Interest, Snapshot};
use super::theme::{Depth, Role, Theme};
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};

/// Every screen, in the order of its tab. Help is the last.
pub fn all() -> Vec<Box<dyn View>> {
    vec![
        Box::<overview::Overview>::default(),
        Box::<timeline::Timeline>::default(),
        Box::<tlb::Tlb>::default(),
        Box::<window::Window>::default(),
        Box::<compare::Compare>::default(),
        Box::<console::Console>::default(),
        Box::<help::Help>::default(),
    ]
}

/// What a view draws from.
pub struct Context<'a> {
    /// The machines.
    pub snapshot: &'a Snapshot,
    /// Colours and characters.
    pub theme: &'a Theme,
    /// The focused processor.
    pub cpu: usize,
}

/// One screen.
pub trait View {
    /// Its name on the tab, in files and in scripts.
    fn name(&self) -> &'static str;

    /// What it shows, in a line for the help.
    fn purpose(&self) -> &'static str;

    /// What it needs of a snapshot beyond the figures.
    fn interest(&self) -> Interest {
        Interest::empty()
    }

    /// Draws it.
    fn draw(&self, context: &Context, area: Rect, canvas: &mut Canvas);

    /// Does an action of the group "within a screen"; gives the processor to focus, if it is to change.
    fn act(&mut self, _action: Action, _context: &Context) -> Option<usize> {
        None
    }

    /// A click at a place within `area`, where the view was drawn; gives the processor to focus, if it is to change.
    fn click(&mut self, _at: Position, _area: Rect, _context: &Context) -> Option<usize> {
        None
    }

    /// Its figures, for CSV and JSON.
    fn table(&self, context: &Context) -> Table;
}

/// The style of something by its age in cycles: bright below `ages[0]`, dark from `ages[1]` on, or where it is not known.
/// `series` are the colours, youngest first.
fn aged(theme: &Theme, age: Option<u64>, ages: [u64; 2], series: [usize; 3]) -> Style {
    let style = |n: usize| theme.style(Role::Series(series[n]));
    match age {
        Some(age) if age < ages[0] => style(0).add_modifier(Modifier::BOLD),
        Some(age) if age < ages[1] => style(1),
        _ if theme.depth == Depth::None => style(2).add_modifier(Modifier::DIM),
        _ => style(2),
    }
}
