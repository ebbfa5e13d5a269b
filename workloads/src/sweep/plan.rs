//! A plan: the cells of a sweep with their ids, written once, trusted by everything that follows.
//!
//! `plan.jsonl` in the sweep's directory: a line for the whole, then a line for each cell. A cell's *id* is a digest of its
//! keys and values, of the program's version, of the guest's images and of everything that stands where the cell sets
//! nothing (defaults, the preset's numbers): the same id means the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::file::{Study, StudyError};
use super::whole;
use crate::cell::{Cell, KeyError};
use crate::image::hex;
use crate::report::{Config, Images};
use crate::run::RunError;

/// Version of the plan's shape.
pub const SCHEMA: u32 = 1;
/// Its file in the sweep's directory.
pub const FILE: &str = "plan.jsonl";
/// Bytes of the digest that make an id.
const ID_BYTES: usize = 10;

/// Why there is no plan. Every message is one line.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The sweep file.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// A cell cannot be made.
    #[error("cell {cell}: {source}")]
    Cell {
        /// Its keys.
        cell: String,
        /// The reason.
        source: KeyError,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// There is no plan in the directory.
    #[error("{}: no sweep is planned here; `shootdown sweep plan FILE.toml --out DIR` does it", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// The plan's file is damaged, or another's.
    #[error("{}, line {line}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Another sweep lives in the directory.
    #[error("{}: another sweep is planned here; accepted is a new directory, or the same sweep again", dir.display())]
    Other {
        /// The directory.
        dir: PathBuf,
    },
    /// The plan is of another program or images.
    #[error(
        "{}: planned by {theirs}, this is {ours}; accepted is the program that planned it, or a new plan",
        dir.display()
    )]
    Version {
        /// The directory.
        dir: PathBuf,
        /// Who planned.
        theirs: String,
        /// Who reads.
        ours: String,
    },
}

/// The first line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The sweep's name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// The guest's images.
    pub image: Images,
    /// Number of cells.
    pub cells: usize,
}

/// A cell of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The digest, hexadecimal.
    pub id: String,
    /// Keys and values that make the cell.
    pub set: BTreeMap<String, String>,
}

impl Planned {
    /// The cell.
    pub fn cell(&self) -> Result<Cell, RunError> {
        let mut cell = Cell::standard()?;
        cell.set_all(self.set.iter().map(|(k, v)| (k.as_str(), v.as_str())))?;
        Ok(cell)
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What concerns all cells.
    pub head: Head,
    /// The cells, in the order of results.
    pub cells: Vec<Planned>,
}

/// Cells as far as workload and preset, with a digest of all that a cell of it starts from.
struct Bases(HashMap<(String, String), (Cell, String)>);

impl Bases {
    /// The base of a cell with these keys.
    fn of(&mut self, set: &BTreeMap<String, String>) -> Result<&(Cell, String), KeyError> {
        let get = |key: &str| set.get(key).cloned().unwrap_or_default();
        let key = (get("workload") + &get("workload.name"), get("cpu") + &get("machine.cpu"));
        if !self.0.contains_key(&key) {
            let mut cell = Cell::standard()?;
            let first = ["workload", "workload.name", "cpu", "machine.cpu"];
            cell.set_all(first.iter().filter_map(|k| set.get(*k).map(|v| (*k, v.as_str()))))?;
            let config = Config::new(&cell, &[cell.strategy]);
            // A configuration is maps, numbers and text: it always becomes JSON.
            let digest = hex(&Sha256::digest(serde_json::to_vec(&config).unwrap_or_default()));
            self.0.insert(key.clone(), (cell, digest));
        }
        Ok(&self.0[&key])
    }
}

/// The head that this program gives to a sweep.
fn head(name: &str, cells: usize) -> Result<Head, KeyError> {
    let cell = Cell::standard()?;
    let Config { version, image, .. } = Config::new(&cell, &[cell.strategy]);
    Ok(Head { schema: SCHEMA, name: name.into(), version, image, cells })
}

impl Plan {
    /// Makes the plan of a sweep file: every cell is built and checked.
    pub fn new(path: &Path, study: &Study) -> Result<Plan, PlanError> {
        let wrong = |message| StudyError::Content { path: path.into(), message };
        let sets = study.cells().map_err(wrong)?;
        let mut bases = Bases(HashMap::new());
        let mut cells = Vec::with_capacity(sets.len());
        let mut seen = HashMap::with_capacity(sets.len());
        for set in sets {
            let failed = |source| PlanError::Cell { cell: text_of(&set), source };
            let (base, digest) = bases.of(&set).map_err(failed)?;
            let mut cell = base.clone();
            let rest = set
                .iter()
                .filter(|(k, _)| !matches!(k.as_str(), "workload" | "workload.name" | "cpu" | "machine.cpu"));
            cell.set_all(rest.map(|(k, v)| (k.as_str(), v.as_str()))).map_err(failed)?;
            cell.validate().map_err(failed)?;
            let id = id(digest, &set);
            if let Some(twin) = seen.insert(id.clone(), cells.len()) {
                return Err(wrong(format!(
                    "cells {twin} and {} are the same: {}",
                    cells.len(),
                    text_of(&set)
                ))
                .into());
            }
            cells.push(Planned { id, set });
        }
        let head = head(&study.name, cells.len())
            .map_err(|source| PlanError::Cell { cell: "(standard)".into(), source })?;
        Ok(Plan { head, cells })
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let line = |value: Result<String, serde_json::Error>| value.unwrap_or_default() + "\n";
        let mut text = line(serde_json::to_string(&self.head));
        for cell in &self.cells {
            text.push_str(&line(serde_json::to_string(cell)));
        }
        text
    }

    /// Writes the plan into a directory, which is made. The same plan may stand there already.
    pub fn write(&self, dir: &Path) -> Result<(), PlanError> {
        let path = dir.join(FILE);
        let failed = |source| PlanError::File { path: path.clone(), source };
        match std::fs::read_to_string(&path) {
            Ok(text) if text == self.text() => return Ok(()),
            Ok(_) => return Err(PlanError::Other { dir: dir.into() }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        std::fs::create_dir_all(dir).map_err(|source| PlanError::File { path: dir.into(), source })?;
        whole::write(&path, |out| out.write_all(self.text().as_bytes())).map_err(failed)
    }

    /// Reads the plan of a directory. Fails when another program or other images made it.
    pub fn read(dir: &Path) -> Result<Plan, PlanError> {
        let path = dir.join(FILE);
        let failed = |source| PlanError::File { path: path.clone(), source };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(PlanError::Missing { dir: dir.into() });
            }
            Err(e) => return Err(failed(e)),
        };
        let mut lines = BufReader::new(file).lines();
        let damaged = |line: usize, message: String| PlanError::Damaged { path: path.clone(), line, message };
        let first = lines.next().unwrap_or_else(|| Ok(String::new())).map_err(failed)?;
        let theirs: Head = serde_json::from_str(&first)
            .map_err(|e| damaged(1, format!("this is no plan of a sweep ({e})")))?;
        let ours = head(&theirs.name, theirs.cells)
            .map_err(|source| PlanError::Cell { cell: "(standard)".into(), source })?;
        if theirs != ours {
            return Err(PlanError::Version { dir: dir.into(), theirs: told(&theirs), ours: told(&ours) });
        }
        let mut cells = Vec::new();
        for (number, line) in lines.enumerate() {
            let line = line.map_err(failed)?;
            let cell: Planned = serde_json::from_str(&line)
                .map_err(|e| damaged(number + 2, format!("this is no cell of a plan ({e})")))?;
            cells.push(cell);
        }
        if cells.len() != theirs.cells {
            let message = format!("{} cells, but the first line says {}", cells.len(), theirs.cells);
            return Err(damaged(cells.len() + 1, message));
        }
        Ok(Plan { head: theirs, cells })
    }
}

/// Program and images in a few words.
fn told(head: &Head) -> String {
    let short = |digest: &str| digest.chars().take(8).collect::<String>();
    let Images { kernel, guest } = &head.image;
    format!(
        "version {} with kernel {} and guest {} (plan schema {})",
        head.version,
        short(kernel),
        short(guest),
        head.schema
    )
}

/// Keys and values for messages.
pub fn text_of(set: &BTreeMap<String, String>) -> String {
    set.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}

/// Digest of a cell: what it starts from, then what it sets.
fn id(base: &str, set: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    hash.update(base);
    for (key, value) in set {
        hash.update(format!("\n{key}={value}"));
    }
    hex(&hash.finalize()[..ID_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, PlanError> {
        let path = Path::new("s.toml");
        Plan::new(path, &Study::parse(path, text)?)
    }

    #[test]
    fn ids_hang_on_every_key_and_on_the_preset() {
        let ids =
            |text: &str| -> Vec<String> { plan(text).unwrap().cells.into_iter().map(|c| c.id).collect() };
        let one = ids("[vary]\ncpus = [1, 2]\nseed = [1, 2]\n");
        assert_eq!(one, ids("[vary]\nseed = [1, 2]\ncpus = [1, 2]\n"), "the order of the file is nothing");
        assert_eq!(one.iter().collect::<std::collections::HashSet<_>>().len(), 4);
        assert_ne!(ids("[set]\ncpu = \"p3\"\nops = 5"), ids("[set]\ncpu = \"haswell-ep\"\nops = 5"));
        assert_eq!(one[0].len(), 2 * ID_BYTES);
    }

    #[test]
    fn a_cell_that_cannot_be_is_named() {
        let message = plan("[vary]\ncpus = [1, 65]\n").unwrap_err().to_string();
        assert!(message.starts_with("cell cpus=65: ") && !message.contains('\n'), "{message}");
        let message = plan("[set]\ncolour = 1\n").unwrap_err().to_string();
        assert!(message.contains("no key 'colour'"), "{message}");
    }

    #[test]
    fn a_plan_comes_back_and_guards_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("new/sweep");
        let a = plan("[vary]\ncpus = [1, 2]\n").unwrap();
        a.write(&at).unwrap();
        a.write(&at).unwrap();
        assert_eq!(Plan::read(&at).unwrap(), a);
        let other = plan("[vary]\ncpus = [1, 3]\n").unwrap().write(&at).unwrap_err().to_string();
        assert!(other.contains("another sweep is planned here"), "{other}");
        let missing = Plan::read(dir.path()).unwrap_err().to_string();
        assert!(missing.contains("no sweep is planned here"), "{missing}");
    }

    #[test]
    fn damaged_and_foreign_plans_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = plan("[vary]\ncpus = [1, 2]\n").unwrap().text();
        let read = |text: &str| {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            Plan::read(dir.path()).unwrap_err().to_string()
        };
        assert!(read("").contains("line 1: this is no plan"));
        assert!(read(&text[..text.len() - 10]).contains("line 3: this is no cell"));
        let short: String = text.lines().take(2).map(|l| format!("{l}\n")).collect();
        assert!(read(&short).contains("1 cells, but the first line says 2"));
        let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
        let message = read(&text.replace(&version, "\"version\":\"9.9.9\""));
        assert!(message.contains("planned by version 9.9.9"), "{message}");
    }
}
