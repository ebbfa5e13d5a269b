//! `shootdown tui`: live screens over running machines.
//!
//! ```text
//!  engine.rs    the machines: run, pause, step, back, restart      lane.rs, watch.rs   one of them
//!  session.rs   the engine on its own thread                       history.rs, latency.rs  the course of a run, its histograms
//!  snapshot.rs  all that one frame shows                           view/       the screens, a file each
//!  app.rs       what is shown, what a key does                     keys.rs     the table of keys
//!  form.rs, palette.rs   what lies on top                          draw.rs, theme.rs, export.rs
//!  live.rs      the loop on a terminal (terminal.rs)               headless.rs the loop without one
//! ```
//!
//! Commands go to the engine, snapshots come back; views draw from a snapshot alone. With the
//! same cell and the same keys the headless loop gives the same bytes.

mod app;
mod draw;
mod engine;
mod export;
mod form;
pub mod headless;
mod history;
mod keys;
mod lane;
mod latency;
pub mod live;
pub mod options;
mod palette;
mod session;
mod snapshot;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod view;
mod watch;

pub use app::App;
pub use engine::{Engine, MOST_RUNS, Setup};
pub use options::Options;
