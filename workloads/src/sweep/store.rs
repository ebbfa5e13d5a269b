//! Finished cells: one file each below `cells/`, written whole or not at all.
//!
//! `ID.json` holds a sound result, `ID.failed.json` one that found something wrong or did not reach its end: a sweep is told
//! without opening its files. Each is one line of JSON ([`Finished`]), so that a merge is their lines one after another.
//! A file is written under another name (beginning with a dot) and renamed; what a killed run leaves under such names is
//! nobody's and is passed over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::Planned;
use super::whole;
use crate::report::{Config, Report};
use crate::run::{Outcome, RunError};

/// Version of the file's shape.
pub const SCHEMA: u32 = 1;
const SOUND: &str = ".json";
const FAILED: &str = ".failed.json";

/// Why a file of a cell cannot be used. Every message is one line.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It is cut off or something else.
    #[error("{}: {message}; remove it, and `shootdown sweep run` makes the cell again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// How a cell ended that did not end well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What went wrong, a line each.
    pub problems: Vec<String>,
    /// What the guest printed, its last lines.
    pub console: Vec<String>,
    /// Every processor's state, when the guest did not end the run itself.
    pub state: Option<String>,
}

/// A finished cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The cell's id.
    pub id: String,
    /// Keys and values that make the cell.
    pub set: BTreeMap<String, String>,
    /// What went wrong; null for a sound result.
    pub failure: Option<Failure>,
    /// The result, as `shootdown run --format json` gives it; null when the cell could not begin.
    pub report: Option<Report>,
}

impl Finished {
    /// What became of a planned cell.
    pub fn new(planned: &Planned, result: Result<&Outcome, &RunError>) -> Finished {
        let (failure, report) = match result {
            Err(error) => {
                let problems = vec![error.to_string()];
                (Some(Failure { problems, console: Vec::new(), state: None }), None)
            }
            Ok(outcome) => {
                let problems = outcome.row.problems();
                let failure = (!problems.is_empty()).then(|| Failure {
                    problems,
                    console: outcome.last_words().map(str::to_owned).collect(),
                    state: outcome.state.clone(),
                });
                let config = planned.cell().ok().map(|cell| Config::new(&cell, &[cell.strategy]));
                (failure, config.map(|config| Report::new(config, vec![outcome.row.clone()])))
            }
        };
        Finished { schema: SCHEMA, id: planned.id.clone(), set: planned.set.clone(), failure, report }
    }

    /// The file's text: one line.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

/// The files of a sweep's cells.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Ids of sound results.
    pub sound: std::collections::HashSet<String>,
    /// Ids of failed cells.
    pub failed: std::collections::HashSet<String>,
    /// Files of no such name.
    pub strange: Vec<String>,
}

impl Store {
    /// Of the sweep in this directory.
    pub fn new(sweep: &Path) -> Store {
        Store { dir: sweep.join("cells") }
    }

    /// Makes the directory and proves that files can be written there.
    pub fn prepare(&self) -> Result<(), StoreError> {
        let failed = |source| StoreError::File { path: self.dir.clone(), source };
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        tempfile::NamedTempFile::with_prefix_in(".try-", &self.dir).map_err(failed)?;
        Ok(())
    }

    /// The path of a cell's file.
    pub fn path(&self, id: &str, sound: bool) -> PathBuf {
        self.dir.join(format!("{id}{}", if sound { SOUND } else { FAILED }))
    }

    /// Names of the directory, sorted into what they say. A directory that is not there is empty.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let failed = |source| StoreError::File { path: self.dir.clone(), source };
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Listing::default()),
            Err(e) => return Err(failed(e)),
        };
        let mut listing = Listing::default();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            if let Some(id) = name.strip_suffix(FAILED) {
                listing.failed.insert(id.to_owned());
            } else if let Some(id) = name.strip_suffix(SOUND) {
                listing.sound.insert(id.to_owned());
            } else {
                listing.strange.push(name);
            }
        }
        listing.strange.sort();
        Ok(listing)
    }

    /// Keeps a finished cell: under its name there is the whole of it or nothing, whatever happens.
    pub fn keep(&self, finished: &Finished) -> Result<(), StoreError> {
        let sound = finished.failure.is_none();
        let path = self.path(&finished.id, sound);
        let failed = |source| StoreError::File { path: path.clone(), source };
        let text = finished.text().map_err(|e| failed(e.into()))?;
        whole::write(&path, |out| out.write_all(text.as_bytes())).map_err(failed)?;
        // A cell run again may end the other way.
        let other = self.path(&finished.id, !sound);
        match std::fs::remove_file(&other) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::File { path: other, source })
            }
            _ => Ok(()),
        }
    }

    /// The line of a finished cell, held against the plan.
    pub fn read(&self, planned: &Planned, sound: bool) -> Result<(String, Finished), StoreError> {
        let path = self.path(&planned.id, sound);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| StoreError::File { path: path.clone(), source })?;
        let damaged = |message: String| StoreError::Damaged { path: path.clone(), message };
        let Some(line) = text.strip_suffix('\n') else {
            return Err(damaged("it is cut off".into()));
        };
        let finished: Finished =
            serde_json::from_str(line).map_err(|e| damaged(format!("this is no finished cell ({e})")))?;
        if finished.schema != SCHEMA {
            return Err(damaged(format!("its schema is {}, accepted is {SCHEMA}", finished.schema)));
        }
        if (&finished.id, &finished.set) != (&planned.id, &planned.set) {
            return Err(damaged("it holds another cell than the plan has under this id".into()));
        }
        if finished.failure.is_none() != sound {
            return Err(damaged("its name and its content differ on whether the cell failed".into()));
        }
        Ok((text, finished))
    }
}
