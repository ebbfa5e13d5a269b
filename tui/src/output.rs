//! Where results and messages go, and the exit status.
//!
//! Data to standard output or a file, messages to standard error. Colour only on
//! a terminal, never with `NO_COLOR`. A reader that closes the pipe early is no error.

use anyhow::{Context, Result};
use shootdown_workloads::table::Paint;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit status for bad usage or input.
pub const BAD_INPUT: u8 = 2;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All well.
    Sound,
    /// The run found something wrong, or did not get to its end.
    Wrong,
    /// The guest's own exit status.
    Guest(u8),
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        match status {
            Status::Sound => ExitCode::SUCCESS,
            Status::Wrong => ExitCode::from(1),
            Status::Guest(code) => ExitCode::from(code),
        }
    }
}

/// A line for people, to standard error. That nobody reads it is no reason to fail.
pub fn message(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// An error with its causes, each said once, on one line.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string().replace('\n', " ");
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Did the reader of standard output go away?
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Where a result goes: checked before the run, written after it.
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, open.
    File {
        /// Its path.
        path: PathBuf,
        /// It.
        file: File,
        /// It was not there before.
        is_new: bool,
    },
}

impl Sink {
    /// Opens the file, if one is named. What is in it stays until [`Sink::write`].
    pub fn open(path: Option<&Path>) -> Result<Sink> {
        let Some(path) = path else { return Ok(Sink::Stdout) };
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| {
            format!(
                "cannot write {}; accepted is a file in a directory that exists and may be written",
                path.display()
            )
        })?;
        Ok(Sink::File { path: path.into(), file, is_new })
    }

    /// Writes the whole result.
    pub fn write(self, result: impl AsRef<[u8]>) -> Result<()> {
        match self {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(result.as_ref())?;
                out.flush()?;
            }
            Sink::File { path, mut file, .. } => {
                // Devices and pipes cannot be cut; they have no old content either.
                if file.metadata().is_ok_and(|m| m.is_file()) {
                    file.set_len(0).with_context(|| format!("cannot write {}", path.display()))?;
                }
                file.write_all(result.as_ref())
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// There is no result: a file that was made for it goes away again.
    pub fn discard(self) {
        if let Sink::File { path, file, is_new: true } = self {
            drop(file);
            // Nothing was written; an empty file left behind does no harm.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Colour or not.
    pub fn paint(&self) -> Paint {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        match self {
            Sink::Stdout if wanted && !dumb && io::stdout().is_terminal() => Paint::Colour,
            _ => Paint::Plain,
        }
    }
}
