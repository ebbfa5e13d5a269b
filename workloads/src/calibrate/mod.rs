//! Does the machine cost what its preset says? Micro-guests measure the preset
//! back from inside by RDTSC.
//!
//! Each row has the *model* (from the preset's numbers, by the formula that stands at
//! the measurement), what a guest *measured*, and what was *published* for such a
//! processor, where a figure exists. The measured figure is what the measured
//! instructions take in a loop less the same loop without them, so nothing is
//! subtracted by a constant. Model against measured tests the plumbing; published
//! against both says what the preset claims to be.

mod ipi;
mod measure;
mod published;

use crate::micro::MicroError;
use serde::{Deserialize, Serialize};
use shootdown_emu::{MachineConfig, Preset};
use std::fmt::Write as _;

/// One measured number, in core cycles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name of the preset.
    pub preset: String,
    /// What was measured.
    pub what: String,
    /// What the preset's numbers say.
    pub model: f64,
    /// What the guest measured.
    pub measured: f64,
    /// What was published, if anything.
    pub published: Option<f64>,
    /// Measured less model.
    pub deviation: f64,
}

impl Row {
    /// The deviation as a part of the model.
    pub fn relative(&self) -> f64 {
        if self.model == 0.0 { self.deviation } else { self.deviation / self.model }
    }

    /// How far [`Row::relative`] may be from zero: 1 %, and 2 % where the sender polls a serial bus, which sees a
    /// message gone up to one poll late.
    pub fn tolerance(&self) -> f64 {
        if self.what == measure::what::UNICASTS { 0.02 } else { 0.01 }
    }

    /// Does the machine cost what the preset says?
    pub fn holds(&self) -> bool {
        self.relative().abs() <= self.tolerance()
    }
}

/// Measures a preset. Keys of the configuration other than the preset are kept.
pub fn calibrate(config: &MachineConfig) -> Result<Vec<Row>, MicroError> {
    let preset = &config.preset;
    let row = |(what, model, measured): (&'static str, f64, f64)| Row {
        preset: preset.name.clone(),
        what: what.into(),
        model,
        measured,
        published: published::cycles(preset, what),
        deviation: measured - model,
    };
    Ok(measure::all(config)?.into_iter().map(row).collect())
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<12} {:<34} {:>9} {:>10} {:>10} {:>10} {:>8}\n",
        "preset", "what, in cycles", "model", "measured", "published", "deviation", ""
    );
    let mut last = "";
    for r in rows {
        if !last.is_empty() && last != r.preset {
            text.push('\n');
        }
        last = &r.preset;
        let published = r.published.map_or("-".into(), |p| format!("{p:.1}"));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<12} {:<34} {:>9.1} {:>10.1} {:>10} {:>10.1} {:>7.2} %",
            r.preset,
            r.what,
            r.model,
            r.measured,
            published,
            r.deviation,
            100.0 * r.relative()
        );
    }
    text
}

/// The sources of the published figures of these rows, one to a line.
pub fn sources(presets: &[Preset]) -> String {
    let mut text = String::new();
    for p in presets {
        for (what, source) in published::sources(p) {
            let _ = writeln!(text, "{:<12} {what:<34} {source}", p.name);
        }
    }
    text
}
