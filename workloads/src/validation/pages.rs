//! C2: the cost of a flush against the number of its pages [H14].
//!
//! Page by page with `invlpg`, against everything at once. The published figures are
//! means of traced flushes in a running kernel: each has the tracing's cost in it, so
//! slopes and crossings are compared, not heights.

use super::parts::{each_page, flush_global, invalidate};
use super::{Check, CheckError, Effort, Table};
use crate::micro::*;
use crate::plot::{Plot, Scale, Series};
use crate::statistics::Line;
use iced_x86::code_asm::*;
use serde_json::json;
use shootdown_emu::{MachineConfig, Preset};

const PRESET: &str = "haswell-ep";
/// Pages and mean cycles of traced flushes, Ivy Bridge.
const PUBLISHED: [(f64, f64); 15] = [
    (1.0, 1276.0),
    (2.0, 1505.0),
    (3.0, 1880.0),
    (4.0, 2447.0),
    (5.0, 2358.0),
    (6.0, 2563.0),
    (7.0, 2862.0),
    (8.0, 3542.0),
    (10.0, 3570.0),
    (16.0, 5041.0),
    (20.0, 6749.0),
    (24.0, 6912.0),
    (32.0, 9350.0),
    (33.0, 8534.0),
    (35.0, 11400.0),
];
/// The full flush, traced.
const PUBLISHED_FULL: f64 = 2283.0;
/// Pages of the program whose translations a full flush takes: a second-level TLB of 512.
const WARM: u32 = 512;
const ROUNDS: u32 = 64;

/// Cycles for a flush of n pages, for a full flush, for a CR3 load, and to touch [`WARM`] pages before and after one.
struct Measured {
    pages: Vec<(f64, f64)>,
    full: f64,
    cr3: f64,
    warm: f64,
    cold: f64,
}

fn measure(config: &MachineConfig, counts: &[u32]) -> Result<Measured, MicroError> {
    let mut m = Micro::new(MachineConfig { cpus: 1, ..config.clone() })?;
    let touch: Emit<'_> = &|a| each_page(a, WARM, &|a| a.mov(eax, dword_ptr(ebx)));
    m.cpu(0, &|a| {
        timed(a, 0, ROUNDS, &nothing, &nothing)?;
        timed(a, 1, ROUNDS, &nothing, &flush_global)?;
        timed(a, 2, ROUNDS, &touch, touch)?;
        timed(a, 3, ROUNDS, &|a| touch(a).and_then(|()| flush_global(a)), touch)?;
        timed(a, 4, ROUNDS, &|a| a.mov(eax, cr3), &|a| a.mov(cr3, eax))?;
        for (i, &n) in counts.iter().enumerate() {
            timed(a, 5 + i as u32, ROUNDS, &nothing, &|a| invalidate(a, n))?;
        }
        finish(a)
    })?;
    let done = m.run()?;
    let mean = |slot: u32| done.mean(slot, 0, ROUNDS);
    Ok(Measured {
        pages: counts.iter().enumerate().map(|(i, &n)| (f64::from(n), mean(5 + i as u32))).collect(),
        full: mean(1),
        cr3: mean(4),
        warm: mean(2),
        cold: mean(3),
    })
}

/// The check.
pub fn check(_: Effort) -> Result<Check, CheckError> {
    let config = MachineConfig::new(Preset::load(PRESET)?);
    let counts: Vec<u32> = PUBLISHED.iter().map(|p| p.0 as u32).collect();
    let m = measure(&config, &counts)?;
    let failed = || CheckError::Failed("C2: no line through the points".into());
    let ours = Line::fit(&m.pages).ok_or_else(failed)?;
    let theirs = Line::fit(&PUBLISHED).ok_or_else(failed)?;
    let refill = m.cold - m.warm;
    let per_page = ours.slope + refill / f64::from(WARM);
    let crossing = (m.full - ours.intercept) / ours.slope;
    let crossing_cr3 = (m.cr3 - ours.intercept) / ours.slope;
    let with_refill = (m.full + refill - ours.intercept) / per_page;
    let slope_holds = (ours.slope - 230.0).abs() <= 60.0;
    let direct_holds = (3.0..=6.0).contains(&crossing);
    let refill_holds = (60.0..=110.0).contains(&with_refill);

    let mut table = Table::new(&["", "published", "ours", "must be"]);
    let row = |name: &str, a: String, b: f64, must: &str| [name.into(), a, format!("{b:.1}"), must.into()];
    table.row(row("cycles per page", format!("{:.0}", theirs.slope), ours.slope, "170 to 290"));
    table.row(row("full flush", format!("{PUBLISHED_FULL} traced"), m.full, "-"));
    table.row(row("refill of 512 entries", "about 22000".into(), refill, "-"));
    table.row(row("crossing, direct cost", "3 to 4".into(), crossing, "3 to 6"));
    table.row(row("crossing, refill added", "85 to 95".into(), with_refill, "60 to 110"));
    table.row(row("crossing with a CR3 load, direct", "-".into(), crossing_cr3, "-"));
    Ok(Check {
        check: "C2",
        title: "pages per flush",
        holds: slope_holds && direct_holds && refill_holds,
        published: json!({
            "slope": theirs.slope, "full": PUBLISHED_FULL, "refill": 22000, "crossing_direct": [3, 4],
            "crossing_refill": [85, 95], "pages": PUBLISHED,
        }),
        ours: json!({
            "slope": ours.slope, "r2": ours.r2, "full": m.full, "refill": refill, "crossing_direct": crossing,
            "crossing_refill": with_refill, "crossing_cr3": crossing_cr3, "pages": m.pages,
        }),
        tolerance: "a straight line of 230 +/- 60 cycles per page; crossing with the full flush at 3 to 6 pages on \
                    direct cost, at 60 to 110 with the refill of a warm 512-entry TLB",
        calibrated: "nothing".into(),
        predicted: "slope, both crossings",
        preset: PRESET,
        source: "[H14], Ivy Bridge",
        analysis: format!(
            "The full flush here is CR4.PGE off and on, which kernel mappings need. A CR3 load in a hot loop takes \
             {:.0} cycles, less than one `invlpg`: on direct cost alone it would win from the first page on. The \
             refill of 512 entries takes {refill:.0} cycles: a choice without it flushes everything far too early.",
            m.cr3
        ),
        table,
        plot: Some(Plot {
            title: "Flushing n pages: invlpg against everything".into(),
            x: "pages".into(),
            y: "cycles".into(),
            origin: None,
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            series: vec![
                Series::ours("invlpg, ours", m.pages),
                Series::published("traced flushes, published", PUBLISHED.to_vec()),
                Series::ours("full flush, ours", vec![(1.0, m.full), (35.0, m.full)]),
                Series::published(
                    "full flush, published",
                    vec![(1.0, PUBLISHED_FULL), (35.0, PUBLISHED_FULL)],
                ),
            ],
        }),
    })
}
