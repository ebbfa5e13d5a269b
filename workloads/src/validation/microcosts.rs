//! C1: INVLPG, CR3 and CR4.PGE, read back by RDTSC.

use super::{Check, CheckError, Effort, Table};
use crate::calibrate::{Row, calibrate};
use serde_json::json;
use shootdown_emu::{MachineConfig, Preset};

/// Nearness to the model and to the published figure.
const TOLERANCE: f64 = 0.01;

/// The check.
pub fn check(_: Effort) -> Result<Check, CheckError> {
    let mut rows: Vec<Row> = Vec::new();
    for name in ["westmere-ep", "haswell-ep"] {
        rows.extend(calibrate(&MachineConfig::new(Preset::load(name)?))?);
    }
    rows.retain(|r| ["invlpg", "cr3 load", "cr4.pge off/on"].contains(&r.what.as_str()));
    let mut table = Table::new(&["preset", "what", "published", "model", "ours"]);
    for r in &rows {
        let published = r.published.map_or("-".into(), |p| p.to_string());
        table.row([r.preset.clone(), r.what.clone(), published, r.model.to_string(), r.measured.to_string()]);
    }
    let near = |r: &Row| {
        r.relative().abs() <= TOLERANCE
            && r.published.is_some_and(|p| (r.measured - p).abs() <= TOLERANCE * p)
    };
    let named = |of: fn(&Row) -> serde_json::Value| {
        rows.iter().map(|r| (format!("{} {}", r.preset, r.what), of(r))).collect::<serde_json::Map<_, _>>()
    };
    Ok(Check {
        check: "C1",
        title: "microcosts by RDTSC",
        holds: rows.len() == 6 && rows.iter().all(near),
        published: json!(named(|r| json!(r.published))),
        ours: json!(named(|r| json!(r.measured))),
        tolerance: "a guest's loop reads the published numbers back within 1 %",
        calibrated: "nothing: the presets hold these figures".into(),
        predicted: "nothing: this tests the plumbing, not the model",
        preset: "westmere-ep, haswell-ep",
        source: "[H15]",
        analysis:
            "The hot loop of CR4.PGE walks for its own page after each of the two writes; the preset's \
                   figure is the published one less these walks, and the loop reads the published one back."
                .into(),
        table,
        plot: None,
    })
}
