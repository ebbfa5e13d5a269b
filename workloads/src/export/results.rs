//! Results as exports read them: the merged cells of a sweep, or the document of a single `run` or `compare`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::image::hex;
use crate::report::{Report, Row};
use crate::summary::Summary;
use crate::sweep::store::Finished;

/// Why results cannot be read. Every message is one line.
#[derive(Debug, Error)]
pub enum ResultsError {
    /// The file cannot be read.
    #[error("{}: cannot read the results: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It is something else.
    #[error(
        "{}, line {line}: {message}; accepted are the .jsonl of `sweep merge` and the JSON of `run` and `compare`",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// No cell has a result.
    #[error("{}: no cell in it has a result", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The row of a cell and what the cell set.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Keys and values.
    pub set: BTreeMap<String, String>,
    /// The machine's seed.
    pub seed: u64,
    /// Megahertz of the modelled processor.
    pub clock_mhz: u32,
    /// The figures.
    pub row: Row,
}

/// The results of a file.
#[derive(Clone, Debug)]
pub struct Results {
    /// Cells with a row, in the file's order.
    pub cells: Vec<Measured>,
    /// Cells that failed; their rows, if any, are not among `cells`.
    pub failed: usize,
    /// The file's name and the begin of its SHA-256.
    source: String,
}

/// Cells that differ in nothing but their seeds.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// What sets it apart from the other groups, as `cpus=4,strategy=batched`; `all` if there is but one.
    pub name: String,
    /// The same for legends, as `batched, cpus=4`.
    pub label: String,
    /// Its cells, in the file's order.
    pub cells: Vec<&'a Measured>,
}

impl Results {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Results, ResultsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ResultsError::Read { path: path.into(), source })?;
        let content =
            |line: usize, message: String| ResultsError::Content { path: path.into(), line, message };
        let digest = &hex(&Sha256::digest(&text))[..12];
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = format!("{name} (sha256 {digest})");
        let mut results = Results { cells: Vec::new(), failed: 0, source };
        if let Ok(report) = serde_json::from_str::<Report>(&text) {
            let config = &report.config;
            let mut set = config.parameters.clone();
            set.insert("workload".into(), config.workload.clone());
            set.insert("cpu".into(), config.machine.cpu.clone());
            set.insert("cpus".into(), config.machine.cpus.to_string());
            for (seed, row) in report.seeded() {
                set.insert("strategy".into(), row.strategy.clone());
                set.insert("seed".into(), seed.to_string());
                results.add(set.clone(), seed, config.machine.clock_mhz, row.clone());
            }
        } else {
            for (number, line) in text.lines().enumerate() {
                let cell: Finished =
                    serde_json::from_str(line).map_err(|e| content(number + 1, e.to_string()))?;
                match (cell.failure, cell.report) {
                    (None, Some(report)) => {
                        let machine = &report.config.machine;
                        for row in report.rows {
                            results.add(cell.set.clone(), machine.seed, machine.clock_mhz, row);
                        }
                    }
                    _ => results.failed += 1,
                }
            }
        }
        if results.cells.is_empty() {
            return Err(ResultsError::Empty { path: path.into() });
        }
        Ok(results)
    }

    fn add(&mut self, set: BTreeMap<String, String>, seed: u64, clock_mhz: u32, row: Row) {
        if row.problems().is_empty() {
            self.cells.push(Measured { set, seed, clock_mhz, row });
        } else {
            self.failed += 1;
        }
    }

    /// Keeps the cells whose key has one of the values. Fails, with what is accepted, when none has.
    pub fn only(&mut self, key: &str, values: &[&str]) -> Result<(), String> {
        let of = |cell: &Measured| cell.set.get(key).cloned();
        let there: BTreeSet<String> = self.cells.iter().filter_map(of).collect();
        if there.is_empty() {
            return Err(format!("--only: no cell sets {key}; accepted are {}", self.keys().join(", ")));
        }
        if let Some(stranger) = values.iter().find(|value| !there.contains(**value)) {
            let accepted: Vec<_> = there.iter().take(20).map(String::as_str).collect();
            return Err(format!("--only: {key} never is '{stranger}'; accepted are {}", accepted.join(", ")));
        }
        self.cells.retain(|cell| of(cell).is_some_and(|value| values.contains(&value.as_str())));
        if self.cells.is_empty() { Err(format!("--only: nothing is left with {key}")) } else { Ok(()) }
    }

    /// All keys but the seed.
    fn keys(&self) -> Vec<&str> {
        let keys: BTreeSet<&str> = self.cells.iter().flat_map(|c| c.set.keys()).map(String::as_str).collect();
        keys.into_iter().filter(|key| *key != "seed" && *key != "machine.seed").collect()
    }

    /// The values of a key, by their first cells.
    fn values(&self, key: &str) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let all = self.cells.iter().map(|c| c.set.get(key).map_or("", String::as_str));
        all.filter(|value| seen.insert(*value)).collect()
    }

    /// Keys that differ between cells, but for the seed.
    pub fn varied(&self) -> Vec<&str> {
        self.keys().into_iter().filter(|key| self.values(key).len() > 1).collect()
    }

    /// What all cells set alike, and how many seeds there are, as text.
    pub fn common(&self) -> String {
        let (load, rest): (Vec<&str>, Vec<&str>) =
            self.keys().into_iter().partition(|key| ["workload", "cpu", "cpus"].contains(key));
        let keys = load.into_iter().rev().chain(rest).filter(|key| self.values(key).len() == 1);
        let mut parts: Vec<_> = keys.map(|key| format!("{key}={}", self.values(key)[0])).collect();
        let seeds: BTreeSet<u64> = self.cells.iter().map(|c| c.seed).collect();
        let seeds = match (seeds.first(), seeds.last()) {
            (Some(first), Some(last)) if first != last => {
                format!("{} seeds from {first} to {last}", seeds.len())
            }
            (first, _) => format!("seed {}", first.copied().unwrap_or(1)),
        };
        parts.extend(["with".into(), seeds]);
        parts.join(" ")
    }

    /// Where an export comes from, on one line: the program, its command without directories, the results with their digest,
    /// the cells.
    pub fn origin(&self, command: &str) -> String {
        let varied: Vec<_> =
            self.varied().iter().map(|key| format!("{key}={}", self.values(key).join(","))).collect();
        format!(
            "shootdown {}: export {command} of {}; {} cells: {}; {}",
            env!("CARGO_PKG_VERSION"),
            self.source,
            self.cells.len(),
            varied.join(" "),
            self.common()
        )
    }

    /// The cells by everything but their seeds, in the order of their first cells.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let varied = self.varied();
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut at: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
        for cell in &self.cells {
            let value = |key: &&str| cell.set.get(*key).map_or("", String::as_str);
            let key: Vec<&str> = varied.iter().map(value).collect();
            let number = *at.entry(key).or_insert_with(|| {
                let parts: Vec<_> = varied.iter().map(|key| format!("{key}={}", value(key))).collect();
                let name = if parts.is_empty() { "all".into() } else { parts.join(",") };
                let label = label(cell, &varied);
                groups.push(Group { name, label, cells: Vec::new() });
                groups.len() - 1
            });
            groups[number].cells.push(cell);
        }
        groups
    }
}

/// What a cell has for these keys, for legends: the strategy's name, then `key=value`; `all` for no key.
pub fn label(cell: &Measured, keys: &[&str]) -> String {
    let value = |key: &str| cell.set.get(key).map_or("", String::as_str);
    let strategy = keys.iter().filter(|key| **key == "strategy").map(|key| value(key).to_owned());
    let others = keys.iter().filter(|key| **key != "strategy").map(|key| format!("{key}={}", value(key)));
    let parts: Vec<_> = strategy.chain(others).collect();
    if parts.is_empty() { "all".into() } else { parts.join(", ") }
}

/// Which histogram of a row.
pub type Latency = fn(&Row) -> &Summary;

/// The latencies that a row has a histogram of, by their names in exports.
pub const LATENCIES: [(&str, Latency); 8] = [
    ("kmap", |row| &row.kmap_latency),
    ("initiator", |row| &row.initiator_latency),
    ("target", |row| &row.target_latency),
    ("interrupt", |row| &row.irq_latency),
    ("timer", |row| &row.timer_latency),
    ("irqs-off", |row| &row.irqs_off),
    ("exposure", |row| &row.exposure),
    ("response", |row| &row.response),
];

impl Group<'_> {
    /// One histogram of all cells of the group: their histograms added, not their percentiles averaged. `None`: nothing was
    /// recorded.
    pub fn merged(&self, of: Latency) -> Option<Histogram<u64>> {
        let mut all = shootdown_emu::histogram::new();
        for cell in &self.cells {
            // Adding fails for values beyond the bounds, and all of ours have the same.
            all.add(of(&cell.row).histogram()?).ok()?;
        }
        (!all.is_empty()).then_some(all)
    }

    /// Simulated seconds of all regions of interest together.
    pub fn seconds(&self) -> f64 {
        self.cells.iter().map(|c| c.row.cycles as f64 / (f64::from(c.clock_mhz) * 1e6)).sum()
    }
}
