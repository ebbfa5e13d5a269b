//! `export`: histograms, tables and figures of results.

use crate::cli;
use crate::output::{Status, message};
use anyhow::{Context, Result, anyhow, bail};
use shootdown_workloads::export::curve::Curve;
use shootdown_workloads::export::results::{LATENCIES, Results};
use shootdown_workloads::export::table::{METRICS, Table};
use shootdown_workloads::export::{hgrm, hlog};
use shootdown_workloads::sweep::whole;
use std::path::Path;

/// The command.
pub fn run(what: &cli::Export) -> Result<Status> {
    match what {
        cli::Export::Histograms(options) => histograms(options),
        cli::Export::Table(options) => table(options),
        cli::Export::Curve(options) => curve(options),
    }
}

fn read(path: &Path) -> Result<Results> {
    let results = Results::read(path)?;
    if results.failed > 0 {
        message(&format!("{}: {} failed cells are left out", path.display(), results.failed));
    }
    Ok(results)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    whole::write(path, |out| out.write_all(bytes)).with_context(|| format!("cannot write {}", path.display()))
}

fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// The command and the cells of an export, without directories.
fn origin(words: &str, path: &Path, results: &Results) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let version = env!("CARGO_PKG_VERSION");
    format!("shootdown {version}: export {words} of {file}, {} cells", results.cells.len())
}

fn histograms(options: &cli::ExportHistograms) -> Result<Status> {
    let results = read(&options.results)?;
    make(&options.out)?;
    let mut all = Vec::new();
    for group in results.groups() {
        for (latency, of) in LATENCIES {
            let Some(histogram) = group.merged(of) else { continue };
            let name = format!("{}.{latency}", group.name);
            write(&options.out.join(format!("{name}.hgrm")), hgrm::hgrm(&histogram).as_bytes())?;
            write(&options.out.join(format!("{name}.csv")), hgrm::csv(&histogram).as_bytes())?;
            all.push((name, histogram, group.seconds()));
        }
    }
    write(&options.out.join("histograms.hlog"), &hlog::hlog(&all)?)?;
    message(&format!("{}: {} histograms", options.out.display(), all.len()));
    Ok(Status::Sound)
}

fn table(options: &cli::ExportTable) -> Result<Status> {
    let results = read(&options.results)?;
    let metrics = match options.metrics.as_slice() {
        [] => METRICS.map(str::to_owned).to_vec(),
        named => named.to_vec(),
    };
    let words = format!("table --metric {}", metrics.join(" --metric "));
    let table = Table::new(&results, &metrics, origin(&words, &options.results, &results));
    let table = table.map_err(|e| anyhow!("--metric: {e}"))?;
    let text = match options.out.extension().and_then(|e| e.to_str()) {
        Some("tex") => table.latex(),
        Some("csv") => table.csv(),
        _ => bail!("{}: accepted are names that end in .tex or .csv", options.out.display()),
    };
    write(&options.out, text.as_bytes())?;
    message(&format!("{}: {} groups", options.out.display(), table.entries.len()));
    Ok(Status::Sound)
}

fn curve(options: &cli::ExportCurve) -> Result<Status> {
    let results = read(&options.results)?;
    let words = format!("curve --x {} --y {}", options.x, options.y);
    let curve = Curve::new(&results, &options.x, &options.y, origin(&words, &options.results, &results));
    let curve = curve.map_err(|e| anyhow!(e))?;
    make(&options.out)?;
    let stem = format!("{}-by-{}", options.y, options.x);
    for (kind, text) in [("svg", curve.svg()), ("tex", curve.pgfplots()), ("dat", curve.gnuplot())] {
        write(&options.out.join(format!("{stem}.{kind}")), text.as_bytes())?;
    }
    message(&format!("{}: {} curves", options.out.join(stem).display(), curve.lines.len()));
    Ok(Status::Sound)
}
