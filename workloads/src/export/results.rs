//! Results as exports read them: the merged cells of a sweep, or the document of a single `run` or `compare`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use thiserror::Error;

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
}

/// Cells that differ in nothing but their seeds.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// What sets it apart from the other groups, as `cpus=4,strategy=batched`; `all` if there is but one.
    pub name: String,
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
        let mut results = Results { cells: Vec::new(), failed: 0 };
        if let Ok(report) = serde_json::from_str::<Report>(&text) {
            for row in report.rows {
                let mut set = BTreeMap::from([("strategy".to_owned(), row.strategy.clone())]);
                set.insert("seed".into(), report.config.machine.seed.to_string());
                results.add(set, report.config.machine.clock_mhz, row);
            }
        } else {
            for (number, line) in text.lines().enumerate() {
                let cell: Finished =
                    serde_json::from_str(line).map_err(|e| content(number + 1, e.to_string()))?;
                match (cell.failure, cell.report) {
                    (None, Some(report)) => {
                        for row in report.rows {
                            results.add(cell.set.clone(), report.config.machine.clock_mhz, row);
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

    fn add(&mut self, set: BTreeMap<String, String>, clock_mhz: u32, row: Row) {
        if row.problems().is_empty() {
            self.cells.push(Measured { set, clock_mhz, row });
        } else {
            self.failed += 1;
        }
    }

    /// Keys that differ between cells, but for the seed.
    pub fn varied(&self) -> Vec<&str> {
        let keys: BTreeSet<&str> = self.cells.iter().flat_map(|c| c.set.keys()).map(String::as_str).collect();
        let differs = |key: &&str| self.cells.iter().any(|c| c.set.get(*key) != self.cells[0].set.get(*key));
        keys.into_iter().filter(|key| *key != "seed" && *key != "machine.seed").filter(differs).collect()
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
                groups.push(Group { name, cells: Vec::new() });
                groups.len() - 1
            });
            groups[number].cells.push(cell);
        }
        groups
    }
}

/// Which histogram of a row.
pub type Latency = fn(&Row) -> &Summary;

/// The latencies that a row has a histogram of, by their names in exports.
pub const LATENCIES: [(&str, Latency); 4] = [
    ("kmap", |row| &row.kmap_latency),
    ("initiator", |row| &row.initiator_latency),
    ("target", |row| &row.target_latency),
    ("exposure", |row| &row.exposure),
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
