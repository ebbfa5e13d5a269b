//! Merging: all cells of a plan, in its order, whatever ran them.
//!
//! JSON Lines: the line of each cell as it was kept. CSV and Parquet: the table of `table.rs`. Nothing is merged unless every cell is there, sound or failed, and no other.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use thiserror::Error;

use super::plan::{Plan, Planned};
use super::store::{Finished, Store, StoreError};
use super::table::{Columns, Field};

/// How many names a message tells.
const SHOWN: usize = 5;

/// Why nothing is merged. Every message is one line.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Cells are not there.
    #[error("{} of {of} cells are missing: {}; `shootdown sweep run` makes them", missing.len(), shown(missing))]
    Missing {
        /// Ids.
        missing: Vec<String>,
        /// Cells of the plan.
        of: usize,
    },
    /// Files that do not belong to the plan.
    #[error("{} files are none of this plan's: {}; move them away", foreign.len(), shown(foreign))]
    Foreign {
        /// Paths.
        foreign: Vec<String>,
    },
    /// Two directories disagree.
    #[error("cell {id} is different in {} and {}; one of them is not of this program", first.display(), second.display())]
    Conflict {
        /// The cell.
        id: String,
        /// A file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// The output cannot be written.
    #[error("cannot write the merged results: {0}")]
    Write(#[from] std::io::Error),
}

fn shown(names: &[String]) -> String {
    let some: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    let rest = names.len().saturating_sub(SHOWN);
    some.join(", ") + &if rest > 0 { format!(" and {rest} more") } else { String::new() }
}

/// The shape of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A line of JSON for each cell.
    JsonLines,
    /// A line of CSV for each cell.
    Csv,
    /// The same table as Apache Parquet.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// What was merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Cells.
    pub cells: usize,
    /// Of these failed.
    pub failed: usize,
}

/// The cells of one or several directories, checked to be whole.
pub struct Sources<'a> {
    plan: &'a Plan,
    stores: Vec<(Store, super::store::Listing)>,
}

impl<'a> Sources<'a> {
    /// Lists the directories. Fails when a cell is nowhere, or a file is no cell's.
    pub fn new(plan: &'a Plan, stores: Vec<Store>) -> Result<Sources<'a>, MergeError> {
        let stores: Vec<_> = stores
            .into_iter()
            .map(|store| store.list().map(|list| (store, list)))
            .collect::<Result<_, _>>()?;
        let known: BTreeSet<&str> = plan.cells.iter().map(|c| c.id.as_str()).collect();
        let mut foreign = Vec::new();
        for (store, list) in &stores {
            for (ids, sound) in [(&list.sound, true), (&list.failed, false)] {
                let strangers = ids.iter().filter(|id| !known.contains(id.as_str()));
                foreign.extend(strangers.map(|id| store.path(id, sound).display().to_string()));
            }
            foreign.extend(list.strange.iter().cloned());
        }
        if !foreign.is_empty() {
            foreign.sort();
            return Err(MergeError::Foreign { foreign });
        }
        let there = |id: &str| stores.iter().any(|(_, l)| l.sound.contains(id) || l.failed.contains(id));
        let missing: Vec<_> = plan.cells.iter().filter(|c| !there(&c.id)).map(|c| c.id.clone()).collect();
        if !missing.is_empty() {
            return Err(MergeError::Missing { missing, of: plan.cells.len() });
        }
        Ok(Sources { plan, stores })
    }

    /// A cell's line and content, from wherever it is. A sound result and a failed one of the same cell disagree.
    fn read(&self, planned: &Planned) -> Result<(String, Finished), MergeError> {
        let mut found: Option<(PathBuf, String, Finished)> = None;
        for (store, list) in &self.stores {
            for (ids, sound) in [(&list.sound, true), (&list.failed, false)] {
                if !ids.contains(&planned.id) {
                    continue;
                }
                let path = store.path(&planned.id, sound);
                let (text, finished) = store.read(planned, sound)?;
                match &found {
                    Some((first, other, _)) if *other != text => {
                        let (first, second) = (first.clone(), path);
                        return Err(MergeError::Conflict { id: planned.id.clone(), first, second });
                    }
                    Some(_) => {}
                    None => found = Some((path, text, finished)),
                }
            }
        }
        match found {
            Some((_, text, finished)) => Ok((text, finished)),
            None => Err(MergeError::Missing { missing: vec![planned.id.clone()], of: self.plan.cells.len() }),
        }
    }

    /// Writes all cells.
    pub fn write(&self, shape: Shape, out: &mut (dyn Write + Send)) -> Result<Merged, MergeError> {
        match shape {
            Shape::JsonLines => self.each(|text, _| out.write_all(text.as_bytes())),
            Shape::Csv => {
                let columns = self.columns()?;
                let names = columns.all().map(|column| Field::Text(column.name));
                writeln!(out, "{}", line(names))?;
                self.each(|_, cell| writeln!(out, "{}", line(columns.fields(cell).into_iter())))
            }
            #[cfg(feature = "parquet")]
            Shape::Parquet => {
                let columns = self.columns()?;
                let mut file = super::parquet::Writer::new(&self.plan.head, &columns, out)?;
                let merged = self.each(|_, cell| file.add(columns.fields(cell)))?;
                file.finish()?;
                Ok(merged)
            }
        }
    }

    /// Gives each cell, its line and its content, in the plan's order.
    fn each(
        &self,
        mut give: impl FnMut(&str, &Finished) -> std::io::Result<()>,
    ) -> Result<Merged, MergeError> {
        let mut merged = Merged::default();
        for planned in &self.plan.cells {
            let (text, finished) = self.read(planned)?;
            merged.cells += 1;
            merged.failed += usize::from(finished.failure.is_some());
            give(&text, &finished)?;
        }
        Ok(merged)
    }

    /// The columns, from the first cell that has a row.
    fn columns(&self) -> Result<Columns, MergeError> {
        for planned in &self.plan.cells {
            let cell = self.read(planned)?.1;
            if let Some(row) = cell.report.as_ref().and_then(|report| report.rows.first()) {
                return Ok(Columns::new(self.plan, Some(row)));
            }
        }
        Ok(Columns::new(self.plan, None))
    }
}

fn line(fields: impl Iterator<Item = Field>) -> String {
    fields.map(|field| field.to_string()).collect::<Vec<_>>().join(",")
}
