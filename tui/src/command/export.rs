//! `export`: histograms, tables and figures of results.

use crate::cli;
use crate::output::{Status, message};
use anyhow::{Context, Result, anyhow, bail};
use shootdown_workloads::export::bars::Bars;
use shootdown_workloads::export::cdf::cdf;
use shootdown_workloads::export::curve::curve;
use shootdown_workloads::export::figure::Figure;
use shootdown_workloads::export::ledger::Ledger;
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
        cli::Export::Curve(cli::ExportCurve { x, y, figure }) => {
            let words = format!("curve --x {x} --y {y}");
            drawn(figure, &words, &format!("{y}-by-{x}"), |results, origin| curve(results, x, y, origin))
        }
        cli::Export::Cdf(cli::ExportCdf { latency, figure }) => {
            let words = format!("cdf --latency {latency}");
            drawn(figure, &words, &format!("{latency}-cdf"), |results, origin| {
                let (name, of) =
                    LATENCIES.into_iter().find(|(name, _)| name == latency).unwrap_or(LATENCIES[0]);
                cdf(results, name, of, origin)
            })
        }
        cli::Export::Bars(cli::ExportBars { y, by, base, figure }) => {
            let base = base.as_deref();
            let words =
                format!("bars --y {y} --by {by}{}", base.map_or(String::new(), |b| format!(" --base {b}")));
            drawn(figure, &words, &format!("{y}-relative-by-{by}"), |results, origin| {
                Bars::new(results, y, by, base, origin)
            })
        }
        cli::Export::Ledger(cli::ExportLedger { figure }) => drawn(figure, "ledger", "ledger", Ledger::new),
    }
}

/// Reads results and leaves out what is not asked for.
fn read(source: &cli::Source) -> Result<Results> {
    let path = &source.results;
    let mut results = Results::read(path)?;
    if results.failed > 0 {
        message(&format!("{}: {} failed cells are left out", path.display(), results.failed));
    }
    for word in &source.only {
        let Some((key, values)) = word.split_once('=') else {
            bail!("--only: '{word}' has no '='; accepted is KEY=VALUE,...");
        };
        results.only(key, &values.split(',').collect::<Vec<_>>()).map_err(|e| anyhow!(e))?;
    }
    Ok(results)
}

/// The words of a command with what it leaves out, for the origin of an export.
fn command(words: &str, source: &cli::Source) -> String {
    source.only.iter().fold(words.to_owned(), |words, only| format!("{words} --only {only}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    whole::write(path, |out| out.write_all(bytes)).with_context(|| format!("cannot write {}", path.display()))
}

fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

fn histograms(options: &cli::ExportHistograms) -> Result<Status> {
    let results = read(&options.source)?;
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
    let results = read(&options.source)?;
    let metrics = match options.metrics.as_slice() {
        [] => METRICS.map(str::to_owned).to_vec(),
        named => named.to_vec(),
    };
    let words = format!("table --metric {}", metrics.join(" --metric "));
    let table = Table::new(&results, &metrics, results.origin(&command(&words, &options.source)));
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

/// Makes a figure and writes it as the one file that is named, or in all forms into a directory.
fn drawn<F: Figure>(
    options: &cli::Figure,
    words: &str,
    stem: &str,
    make_figure: impl FnOnce(&Results, String) -> Result<F, String>,
) -> Result<Status> {
    let results = read(&options.source)?;
    let figure = make_figure(&results, results.origin(&command(words, &options.source)));
    let figure = figure.map_err(|e| anyhow!(e))?;
    let form = |kind: &str, file: &str| match kind {
        "svg" => Some(figure.svg()),
        "tex" => Some(figure.pgfplots()),
        "dat" => Some(figure.gnuplot(file)),
        _ => None,
    };
    let name = options.out.file_name().unwrap_or_default().to_string_lossy();
    let kind = options.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if let Some(text) = form(kind, &name) {
        write(&options.out, text.as_bytes())?;
        message(&format!("{}: {} cells", options.out.display(), results.cells.len()));
        return Ok(Status::Sound);
    }
    make(&options.out)?;
    let stem = stem.replace('/', "-per-");
    for kind in ["svg", "tex", "dat"] {
        let name = format!("{stem}.{kind}");
        write(&options.out.join(&name), form(kind, &name).unwrap_or_default().as_bytes())?;
    }
    let shown = options.out.join(&stem);
    message(&format!("{}.svg, .tex, .dat: {} cells", shown.display(), results.cells.len()));
    Ok(Status::Sound)
}
