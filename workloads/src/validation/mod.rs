//! The experiment `validation`: do published measurements come out of the model?
//!
//! Seven checks, C1 to C7, each in its file: what was published beside what the model
//! gives, how far they may lie apart, what was *calibrated* (and where that stands:
//! nothing of a preset outside its bracket) and what was *predicted*. A check that
//! does not hold stays in the table, with the reason.
//!
//! | | file | published | needs |
//! |---|---|---|---|
//! | C1 | `microcosts.rs` | INVLPG, CR3, CR4.PGE [H15] | `calibrate` |
//! | C2 | `pages.rs` | cost of a flush against its pages [H14] | micro-guest |
//! | C3 | `targets.rs` | a shootdown against its targets [A19a] | micro-guest |
//! | C4 | `vmap.rs` | immediate against lazy kernel unmaps [P08] | micro-guest |
//! | C5 | `pool.rs` | the size of the kmap pool [B02a], [B02c] | the kernel, `batched` |
//! | C6 | `xpfo.rs` | immediate against deferred, whole system [XPFO] | micro-guest |
//! | C7 | `entry.rs` | CR3 at each kernel entry [B03], [M03] | micro-guest |
//!
//! C2 to C4, C6 and C7 run short programs that do what the measured code did, because the
//! guest kernel's own paths are shorter than Linux's. Paths that they lack stand in as a
//! number of idle cycles, which is what is calibrated.

mod entry;
mod microcosts;
mod pages;
mod parts;
mod pool;

mod targets;
mod vmap;
mod xpfo;

use crate::cell::KeyError;
use crate::micro::MicroError;
use crate::plot::Plot;
use crate::run::RunError;
pub use crate::text_table::Table;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;
use shootdown_emu::cost::PresetError;
use std::fmt::Write as _;
use thiserror::Error;

/// Why a check could not be made. Every message is one line.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A micro-guest.
    #[error(transparent)]
    Micro(#[from] MicroError),
    /// A preset.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// A key of a cell.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A cell.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A run that did not end as it should.
    #[error("{0}")]
    Failed(String),
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Everything.
    Full,
    /// Fewer points and operations, for a look.
    Quick,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// `C1` to `C7`.
    pub check: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Does it hold?
    pub holds: bool,
    /// The published figures.
    pub published: Value,
    /// Ours.
    pub ours: Value,
    /// What must come out, and how near.
    pub tolerance: &'static str,
    /// What was calibrated, and to what value; `nothing` if nothing was.
    pub calibrated: String,
    /// What was predicted.
    pub predicted: &'static str,
    /// The processor preset.
    pub preset: &'static str,
    /// Where the published figures stand.
    pub source: &'static str,
    /// What the result means; where the check does not hold, why.
    pub analysis: String,
    /// The figures side by side.
    pub table: Table,
    /// A figure, where one helps.
    #[serde(skip)]
    pub plot: Option<Plot>,
}

/// Makes all checks. They run side by side; the result does not depend on that.
pub fn run(effort: Effort) -> Result<Vec<Check>, CheckError> {
    type Make = fn(Effort) -> Result<Check, CheckError>;
    let checks: [Make; 7] = [
        microcosts::check,
        pages::check,
        targets::check,
        vmap::check,
        pool::check,
        xpfo::check,
        entry::check,
    ];
    checks.par_iter().map(|check| check(effort)).collect()
}

/// The checks as text.
pub fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for c in checks {
        let verdict = if c.holds { "holds" } else { "DOES NOT HOLD" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {}: {verdict}\n", c.check, c.title);
        text += &c.table.text();
        let _ = writeln!(text, "\n  must come out  {}", c.tolerance);
        let _ = writeln!(text, "  calibrated     {}", c.calibrated);
        let _ = writeln!(text, "  predicted      {}", c.predicted);
        let _ = writeln!(text, "  preset         {}; published in {}", c.preset, c.source);
        let _ = writeln!(text, "  {}\n", c.analysis);
    }
    let held = checks.iter().filter(|c| c.holds).count();
    let _ = writeln!(text, "{held} of {} checks hold", checks.len());
    text
}

/// The file name of a check's figure.
pub fn figure_name(check: &Check) -> String {
    format!("validation-{}.svg", check.check.to_lowercase())
}

/// The checks as the document `VALIDATION.md`.
pub fn markdown(checks: &[Check]) -> String {
    let mut text = String::from(
        "# Validation\n\n\
         Do published measurements come out of the model? Written by\n\n\
         \u{20}   cargo run --release -- experiment validation --write docs\n\n\
         Sources in [brackets] are listed in `costs.md`. *Calibrated* is what was fitted before the comparison, \
         *predicted* what was not; no parameter of a preset is taken outside its bracket. What the model is: an \
         in-order processor whose costs add up, sequentially consistent memory, no overlapped misses or walks \
         (`SPECIFICATION.md`). The microcosts of all presets: `shootdown calibrate`.\n\n\
         | check | what | holds | calibrated |\n|---|---|---|---|\n",
    );
    for c in checks {
        let holds = if c.holds { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {} | {} | {holds} | {} |", c.check, c.title, c.calibrated);
    }
    for c in checks {
        let verdict = if c.holds { "Holds." } else { "**Does not hold.**" };
        let _ = write!(
            text,
            "\n## {}: {}\n\n{verdict} {}\n\n{}",
            c.check,
            c.title,
            c.analysis,
            c.table.markdown()
        );
        if c.plot.is_some() {
            let _ = write!(text, "\n![{}]({})\n", c.title, figure_name(c));
        }
        let _ = write!(
            text,
            "\n- Must come out: {}\n- Calibrated: {}\n- Predicted: {}\n- Preset `{}`; published in {}\n",
            c.tolerance, c.calibrated, c.predicted, c.preset, c.source
        );
    }
    text
}
