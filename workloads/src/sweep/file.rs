//! A sweep file: which cells a study is made of.
//!
//! ```toml
//! name = "cpus"
//! repeats = 5                       # seeds 1 to 5, or from `seed` of [set] on
//!
//! [set]                             # the same in every cell: any key of `--set`
//! workload = "kmap-storm"
//! ops = 500
//!
//! [vary]                            # every combination
//! strategy = ["atomic", "batched"]
//! cpus = { from = 1, to = 8, times = 2 }
//! window = { from = 256, to = 1024, step = 256 }
//!
//! [[together]]                      # lists of equal length that change together
//! cpu = ["p3", "haswell-ep"]
//! mem = ["128M", "1G"]
//!
//! [[exclude]]                       # cells with all of these are left out
//! strategy = "batched"
//! cpus = [1, 2]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use toml::Table;

use super::values::{list, values, word};
use crate::config_file::told;

/// The most values of one range, and the most cells of a sweep.
pub const MAX_CELLS: usize = 10_000_000;

/// Why a sweep file cannot be used. Every message is one line.
#[derive(Debug, Error)]
pub enum StudyError {
    /// It cannot be read.
    #[error("{}: cannot read the sweep file: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It is not TOML, or not of this shape.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// What it says makes no sweep.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is accepted.
        message: String,
    },
}

/// Keys that change together: each with its values, all of one length. Mostly one key.
pub type Axis = BTreeMap<String, Vec<String>>;

/// What a sweep file says, checked for itself; whether a key exists is for the cells to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// Its name, the file's own if it says none.
    pub name: String,
    /// The same in every cell.
    pub set: BTreeMap<String, String>,
    /// All combinations of these; the last changes fastest.
    pub axes: Vec<Axis>,
    /// Combinations that are left out: for each key the values that match.
    pub exclude: Vec<BTreeMap<String, BTreeSet<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    name: Option<String>,
    repeats: Option<u64>,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    vary: Table,
    #[serde(default)]
    together: Vec<Table>,
    #[serde(default)]
    exclude: Vec<Table>,
}

impl Study {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Study, StudyError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| StudyError::Read { path: path.into(), source })?;
        Study::parse(path, &text)
    }

    /// Reads the text of a file; `path` is for messages and for a name.
    pub fn parse(path: &Path, text: &str) -> Result<Study, StudyError> {
        let shape: Shape = toml::from_str(text).map_err(|e| {
            let (line, message) = told(text, &e);
            StudyError::Syntax { path: path.into(), line, message }
        })?;
        let name = shape.name.clone().unwrap_or_else(|| {
            path.file_stem().map_or_else(|| "sweep".into(), |stem| stem.to_string_lossy().into_owned())
        });
        study(name, shape).map_err(|message| StudyError::Content { path: path.into(), message })
    }

    /// Names of all keys, sorted.
    pub fn keys(&self) -> BTreeSet<&str> {
        let varied = self.axes.iter().flat_map(|axis| axis.keys());
        self.set.keys().chain(varied).map(String::as_str).collect()
    }

    /// Gives a key one value in all cells, whatever the file says; exclusions of other values of it fall away.
    pub fn pin(&mut self, key: &str, value: &str) {
        for axis in &mut self.axes {
            axis.remove(key);
        }
        self.axes.retain(|axis| !axis.is_empty());
        self.set.insert(key.to_owned(), value.to_owned());
        self.exclude.retain(|rule| rule.get(key).is_none_or(|values| values.contains(value)));
    }

    /// Number of combinations before exclusion.
    fn combinations(&self) -> Option<usize> {
        self.axes.iter().try_fold(1usize, |n, axis| n.checked_mul(length(axis)))
    }

    /// The cells as keys and values, exclusions left out. Fails when an exclusion removes nothing, or all of them everything.
    pub fn cells(&self) -> Result<Vec<BTreeMap<String, String>>, String> {
        let all = self.combinations().filter(|&n| n <= MAX_CELLS).ok_or_else(|| {
            format!("more than {MAX_CELLS} cells; accepted are sweeps of at most that many combinations")
        })?;
        let mut used = vec![false; self.exclude.len()];
        let mut cells = Vec::new();
        for number in 0..all {
            let cell = self.combination(number);
            let matching = |rule: &BTreeMap<String, BTreeSet<String>>| {
                rule.iter().all(|(key, values)| cell.get(key).is_some_and(|v| values.contains(v)))
            };
            let mut excluded = false;
            for (rule, used) in self.exclude.iter().zip(&mut used) {
                if matching(rule) {
                    (excluded, *used) = (true, true);
                }
            }
            if !excluded {
                cells.push(cell);
            }
        }
        if let Some(at) = used.iter().position(|used| !used) {
            return Err(format!("[[exclude]] number {} matches no cell: its values never meet", at + 1));
        }
        if cells.is_empty() {
            return Err("[[exclude]] leaves no cell".into());
        }
        Ok(cells)
    }

    /// One combination, numbered so that the last axis changes fastest.
    fn combination(&self, mut number: usize) -> BTreeMap<String, String> {
        let mut cell = self.set.clone();
        for axis in self.axes.iter().rev() {
            let at = number % length(axis);
            number /= length(axis);
            cell.extend(axis.iter().map(|(key, values)| (key.clone(), values[at].clone())));
        }
        cell
    }
}

fn length(axis: &Axis) -> usize {
    axis.values().next().map_or(1, Vec::len)
}

fn study(name: String, shape: Shape) -> Result<Study, String> {
    let mut set = BTreeMap::new();
    for (key, value) in &shape.set {
        set.insert(key.clone(), word(key, value)?);
    }
    let mut axes = Vec::new();
    for (key, value) in &shape.vary {
        axes.push(Axis::from([(key.clone(), values(key, value)?)]));
    }
    for (number, group) in shape.together.iter().enumerate() {
        let mut axis = Axis::new();
        for (key, value) in group {
            axis.insert(key.clone(), list(key, value)?);
        }
        let lengths: BTreeSet<_> = axis.values().map(Vec::len).collect();
        if lengths.len() != 1 {
            let lengths: Vec<_> = axis.iter().map(|(key, v)| format!("{key} has {}", v.len())).collect();
            return Err(format!(
                "[[together]] number {}: {}; accepted are lists of equal length",
                number + 1,
                if lengths.is_empty() { "it is empty".into() } else { lengths.join(", ") }
            ));
        }
        axes.push(axis);
    }
    if let Some(repeats) = shape.repeats {
        let first = match set.remove("seed") {
            Some(text) => text
                .parse()
                .map_err(|_| format!("set.seed: '{text}' is not accepted; accepted is a number"))?,
            None => 1u64,
        };
        let last = first.checked_add(repeats).filter(|_| repeats > 0 && repeats <= MAX_CELLS as u64);
        let last =
            last.ok_or(format!("repeats: {repeats} is not accepted; accepted are 1 to {MAX_CELLS}"))?;
        axes.push(Axis::from([("seed".to_owned(), (first..last).map(|n| n.to_string()).collect())]));
    }
    // Each key once.
    let mut seen: BTreeSet<&str> = set.keys().map(String::as_str).collect();
    for key in axes.iter().flat_map(|axis| axis.keys()) {
        if !seen.insert(key) {
            return Err(format!(
                "{key} is given twice; accepted is one of [set], [vary], [[together]], repeats"
            ));
        }
    }
    let study = Study { name, exclude: Vec::new(), set, axes };
    let exclude = shape.exclude.iter().enumerate().map(|(n, rule)| exclusion(&study, n + 1, rule));
    Ok(Study { exclude: exclude.collect::<Result<_, _>>()?, ..study })
}

/// A rule of `[[exclude]]`: every key must be one of the sweep, every value must occur.
fn exclusion(
    study: &Study,
    number: usize,
    rule: &Table,
) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    if rule.is_empty() {
        return Err(format!(
            "[[exclude]] number {number} is empty; accepted are keys of the sweep with values"
        ));
    }
    let mut matches = BTreeMap::new();
    for (key, value) in rule {
        let occurring: Vec<&String> = match study.axes.iter().find_map(|axis| axis.get(key)) {
            Some(values) => values.iter().collect(),
            None => study.set.get(key).into_iter().collect(),
        };
        if occurring.is_empty() {
            let keys: Vec<_> = study.keys().into_iter().collect();
            return Err(format!(
                "[[exclude]] number {number}: {key} is no key of this sweep; accepted are {}",
                keys.join(", ")
            ));
        }
        let wanted = values(key, value)?;
        if let Some(stranger) = wanted.iter().find(|v| !occurring.contains(v)) {
            let shown: Vec<_> = occurring.iter().take(20).map(|v| v.as_str()).collect();
            return Err(format!(
                "[[exclude]] number {number}: {key} never is {stranger}; it is {}",
                shown.join(", ")
            ));
        }
        matches.insert(key.clone(), wanted.into_iter().collect());
    }
    Ok(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Study, String> {
        Study::parse(Path::new("a/cpus.toml"), text).map_err(|e| e.to_string())
    }

    const WHOLE: &str = "repeats = 2\n[set]\nworkload = \"kmap-storm\"\nops = 500\n\
        [vary]\nstrategy = [\"atomic\", \"batched\"]\ncpus = { from = 1, to = 5, times = 2 }\n\
        [[together]]\ncpu = [\"p3\", \"haswell-ep\"]\nmem = [\"128M\", \"1G\"]\n\
        [[exclude]]\nstrategy = \"batched\"\ncpus = [1, 2]\n";

    #[test]
    fn every_combination_but_the_excluded() {
        let study = parse(WHOLE).unwrap();
        assert_eq!(study.name, "cpus");
        let cells = study.cells().unwrap();
        // (2 strategies x 3 numbers - 2) x 2 presets x 2 seeds.
        assert_eq!(cells.len(), 16);
        let first = &cells[0];
        let of = |key: &str| first[key].as_str();
        assert_eq!(
            ["cpus", "strategy", "cpu", "mem", "seed", "ops"].map(of),
            ["1", "atomic", "p3", "128M", "1", "500"]
        );
        assert_eq!(cells[1]["seed"], "2", "seeds change fastest");
        assert!(cells.iter().all(|c| c["mem"] == if c["cpu"] == "p3" { "128M" } else { "1G" }));
        assert!(!cells.iter().any(|c| c["strategy"] == "batched" && c["cpus"] != "4"));
    }

    #[test]
    fn a_pinned_key_has_one_value() {
        let mut study = parse(WHOLE).unwrap();
        study.pin("cpus", "4");
        study.pin("seed", "7");
        study.pin("pages", "64");
        let cells = study.cells().unwrap();
        assert_eq!(cells.len(), 4, "2 strategies x 2 presets");
        assert!(cells.iter().all(|c| c["cpus"] == "4" && c["seed"] == "7" && c["pages"] == "64"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("[vary]\ncpus = []", "the list is empty"),
            ("[vary]\ncpus = { from = 8, to = 1 }", "the range from 8 to 1 is empty"),
            ("[vary]\ncpus = { from = 1, to = 8, by = 2 }", "cpus.by = 2: accepted are { from"),
            ("[vary]\ncpus = { from = 0, to = 8, times = 2 }", "from then at least 1"),
            ("[vary]\ncpus = { from = 1, to = 8, step = 0 }", "step is at least 1"),
            ("[vary]\ncpus = [1, 2, 1]", "1 is named twice"),
            ("[vary]\ncpus = [[1]]", "accepted here is one text"),
            ("[set]\ncpus = [1]", "accepted here is one text"),
            ("[set]\ncpus = 1\n[vary]\ncpus = [1, 2]", "cpus is given twice"),
            ("repeats = 2\n[vary]\nseed = [1]", "seed is given twice"),
            ("repeats = 0", "repeats: 0 is not accepted"),
            ("[[together]]\ncpus = [1, 2]\nmem = [\"1G\"]", "cpus has 2, mem has 1"),
            (
                "[vary]\ncpus = [1, 2]\n[[exclude]]\nwindow = 5",
                "window is no key of this sweep; accepted are cpus",
            ),
            ("[vary]\ncpus = [1, 2]\n[[exclude]]\ncpus = 3", "cpus never is 3; it is 1, 2"),
            ("[vary]\ncpus = [1, 2]\n[[exclude]]\ncpus = [1, 2]", "leaves no cell"),
            (
                "[[together]]\ncpus = [1, 2]\nops = [5, 6]\n[[exclude]]\ncpus = 1\nops = 6",
                "number 1 matches no cell",
            ),
            ("colour = 1", "line 1: unknown field `colour`"),
        ] {
            let message = parse(text).and_then(|s| s.cells().map(|_| ())).unwrap_err();
            assert!(message.contains(wanted) && !message.contains('\n'), "{text}: {message}");
        }
    }

    #[test]
    fn huge_sweeps_are_refused_before_they_are_made() {
        let text = "[vary]\nops = { from = 1, to = 10000 }\npages = { from = 1, to = 10000 }\n";
        assert!(parse(text).unwrap().cells().unwrap_err().contains("more than 10000000 cells"));
    }
}
