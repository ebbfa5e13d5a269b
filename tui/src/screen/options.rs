//! Options of the screen: what the environment says, then the user's file, then the command line.
//!
//! The file is TOML with the keys of [`KEYS`]; unknown ones are refused.

use super::session::SPEEDS;
use super::theme::{Charset, Depth, Theme};
use super::watch::StopAt;
use anyhow::{Context, Result, bail};
use shootdown_workloads::config_file;
use std::path::{Path, PathBuf};

/// Every key, with what it takes.
pub const KEYS: [(&str, &str); 6] = [
    ("colours", "auto, none, 16, 256, true"),
    ("characters", "auto, unicode, ascii"),
    ("speed", "full, or cycles for each second: 1000, 10000, 100000, 1000000, 10000000, 30000000, 100000000"),
    ("stop-at", "harmful, any, never"),
    ("start", "running, paused"),
    ("frames", "1 to 60 for each second"),
];

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Colours and characters.
    pub theme: Theme,
    /// Cycles for each second of the host; `None`: as fast as can be.
    pub speed: Option<u64>,
    /// When stale uses stop the run.
    pub stop_at: StopAt,
    /// Does it run from the beginning?
    pub start: Start,
    /// Frames for each second at most.
    pub frames: u32,
}

/// Does it run from the beginning?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Yes.
    Running,
    /// It waits.
    Paused,
}

impl Start {
    /// All, by name.
    pub const ALL: [(&'static str, Start); 2] = [("running", Start::Running), ("paused", Start::Paused)];
}

impl Options {
    /// What the environment says, the rest as it is without a file.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Options {
        Options {
            theme: Theme { depth: Depth::detect(&variable), charset: Charset::detect(&variable) },
            speed: Some(30_000_000),
            stop_at: StopAt::Harmful,
            start: Start::Running,
            frames: 30,
        }
    }

    /// Reads a file over them.
    pub fn read(&mut self, path: &Path) -> Result<()> {
        for (key, value) in config_file::read(path)? {
            self.set(&key, &value).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Sets one key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let Some((_, accepted)) = KEYS.iter().find(|(k, _)| *k == key) else {
            let names: Vec<_> = KEYS.iter().map(|(k, _)| *k).collect();
            bail!("no key '{key}'; accepted are {}", names.join(", "));
        };
        let set = match key {
            "colours" => one_of(&Depth::ALL, value).map(|d| self.theme.depth = d),
            "characters" => one_of(&Charset::ALL, value).map(|c| self.theme.charset = c),
            "speed" => {
                let speeds = SPEEDS.iter().find(|s| s.map_or("full".into(), |n| n.to_string()) == value);
                speeds.map(|s| self.speed = *s)
            }
            "stop-at" => one_of(&StopAt::ALL, value).map(|s| self.stop_at = s),
            "start" => one_of(&Start::ALL, value).map(|s| self.start = s),
            _ => value.parse().ok().filter(|n| (1..=60).contains(n)).map(|n| self.frames = n),
        };
        let is_auto = value == "auto" && matches!(key, "colours" | "characters");
        if set.is_none() && !is_auto {
            bail!("{key}: '{value}' is not accepted; accepted are {accepted}");
        }
        Ok(())
    }
}

fn one_of<T: Copy>(all: &[(&str, T)], name: &str) -> Option<T> {
    all.iter().find(|(n, _)| *n == name).map(|&(_, value)| value)
}

/// The user's file, where there is one.
pub fn user_file(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let base = variable("XDG_CONFIG_HOME")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(base.join("shootdown").join("tui.toml")).filter(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        let mut o = Options::from_environment(|_| None);
        for (key, value) in [
            ("colours", "256"),
            ("characters", "unicode"),
            ("speed", "full"),
            ("stop-at", "any"),
            ("start", "paused"),
            ("frames", "10"),
            ("colours", "auto"),
        ] {
            o.set(key, value).unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(o.theme, Theme { depth: Depth::Many, charset: Charset::Unicode });
        assert_eq!((o.speed, o.stop_at, o.start, o.frames), (None, StopAt::Any, Start::Paused, 10));
        for (key, accepted) in KEYS {
            let e = o.set(key, "rubbish").unwrap_err().to_string();
            assert!(e.contains(key) && e.contains(accepted), "{e}");
        }
        let e = o.set("color", "256").unwrap_err().to_string();
        assert!(e.contains("no key 'color'; accepted are colours, characters"), "{e}");
    }
}
