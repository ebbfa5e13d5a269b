//! Configuration files: TOML with the keys of `--set`.
//!
//! Tables are joined with dots, so `[tlb.data]` with `small = "64x4"` is
//! `tlb.data.small`. An array of words is a list (`strategies`).

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file cannot be used. Every message is one line.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: cannot read the configuration: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value of a kind that no key takes.
    #[error("{}: {key} is {found}; accepted are text, numbers, true and false", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it is.
        found: &'static str,
    },
}

/// Reads a file: keys and values, sorted by key.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, FileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.into(), source })?;
    parse(path, &text)
}

/// Reads the text of a file; `path` is for messages.
pub fn parse(path: &Path, text: &str) -> Result<Vec<(String, String)>, FileError> {
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let (line, message) = told(text, &e);
        FileError::Syntax { path: path.into(), line, message }
    })?;
    let mut pairs = Vec::new();
    flatten(path, "", &table, &mut pairs)?;
    pairs.sort();
    Ok(pairs)
}

/// Where in the text an error is, as a line from 1, and what it is, on one line.
pub(crate) fn told(text: &str, error: &toml::de::Error) -> (usize, String) {
    let before = text.bytes().take(error.span().map_or(0, |s| s.start));
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    (before.filter(|&b| b == b'\n').count() + 1, message)
}

fn flatten(
    path: &Path,
    prefix: &str,
    table: &toml::Table,
    pairs: &mut Vec<(String, String)>,
) -> Result<(), FileError> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if let toml::Value::Table(inner) = value {
            flatten(path, &key, inner, pairs)?;
            continue;
        }
        let text = match value {
            toml::Value::Array(items) => {
                let words: Result<Vec<_>, _> = items.iter().map(scalar).collect();
                words.map(|w| w.join(","))
            }
            other => scalar(other),
        };
        let text = text.map_err(|found| FileError::Kind { path: path.into(), key: key.clone(), found })?;
        pairs.push((key, text));
    }
    Ok(())
}

fn scalar(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(s) => Ok(s.clone()),
        toml::Value::Integer(n) => Ok(n.to_string()),
        toml::Value::Float(x) => Ok(x.to_string()),
        toml::Value::Boolean(b) => Ok(b.to_string()),
        toml::Value::Datetime(_) => Err("a date"),
        toml::Value::Array(_) => Err("a list within a list"),
        toml::Value::Table(_) => Err("a table within a list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_dotted_keys() {
        let text = "workload = \"kmap-storm\"\npages = 64\nstrategies = [\"atomic\", \"batched\"]\n[tlb.data]\nsmall = \"64x4\"\n[kernel]\nglobal-kmap = true\n";
        let pairs = parse(Path::new("x.toml"), text).unwrap();
        let expect = [
            ("kernel.global-kmap", "true"),
            ("pages", "64"),
            ("strategies", "atomic,batched"),
            ("tlb.data.small", "64x4"),
            ("workload", "kmap-storm"),
        ];
        assert_eq!(pairs, expect.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let e = parse(Path::new("x.toml"), "pages = 1\npages = 2\n").unwrap_err().to_string();
        assert!(e.starts_with("x.toml, line 2:") && !e.contains('\n'), "{e}");
        let e = parse(Path::new("x.toml"), "pages = [[1]]").unwrap_err().to_string();
        assert!(e.contains("pages is a list within a list"), "{e}");
    }
}
