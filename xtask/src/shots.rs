//! Pictures of the screens of `shootdown tui`, from scripted sessions without a terminal.
//!
//! `cargo xtask shots` writes `docs/screens/*.svg`; `--check` proves that they are what the
//! program draws, which holds byte for byte as sessions are deterministic. `redraw.rs` makes all drawings.

use crate::paths;
use crate::redraw::{self, Drawing};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A picture: its name, and the options of its session.
const SHOTS: &[(&str, &str)] = &[
    ("overview", "--cpus 8 --frame-cycles 4000000 --headless 12"),
    (
        "compare",
        "--strategies atomic,batched,deferred-seq --screen compare --frame-cycles 4000000 --headless 12",
    ),
    ("console", "--screen console --frame-cycles 4000000 --headless 12 --keys #........nsss"),
    ("stale", "--strategies none --frame-cycles 4000000 --headless 6"),
    ("timeline", "--cpus 8 --screen timeline --frame-cycles 4000000 --headless 12 --keys #...........m"),
    ("tlb", "--strategies deferred-local --screen tlb --frame-cycles 4000000 --headless 12"),
    ("window", "--screen window --frame-cycles 4000000 --headless 12"),
    ("help", "--screen help --headless 1"),
];

/// What all sessions have in common: a small load, so that a picture takes seconds.
const COMMON: &str = "--set pages=512 --set window=64 --set ops=600 --set warmup=50 --size 120x36 --picture";

/// What to do.
pub struct Plan {
    /// Compare with the pictures that are there, write none.
    pub check: bool,
    /// Write PNG files here, too.
    pub png: Option<PathBuf>,
    /// The program.
    pub shootdown: Option<PathBuf>,
}

/// Draws or checks the pictures.
pub fn run(plan: &Plan) -> Result<()> {
    let root = paths::root();
    let program = paths::program_or(plan.shootdown.as_deref(), &root);
    redraw::told(&redraw::put(&root, pictures(&program)?, plan.check)?, "shots")?;
    if let Some(png) = &plan.png {
        for (name, _) in SHOTS {
            convert(&root.join(path(name)), &png.join(format!("{name}.png")))?;
        }
    }
    Ok(())
}

/// All pictures.
pub fn pictures(program: &Path) -> Result<Vec<Drawing>> {
    let one =
        |(name, options): &(&str, &str)| Ok(Drawing { path: path(name), bytes: draw(program, options)? });
    SHOTS.iter().map(one).collect()
}

/// Where a picture lies in the checkout.
fn path(name: &str) -> PathBuf {
    Path::new("docs/screens").join(format!("{name}.svg"))
}

fn draw(program: &Path, options: &str) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.arg("tui").args(COMMON.split(' '));
    for word in options.split(' ') {
        // A script of keys is one argument of many words, one letter each.
        match word.strip_prefix('#') {
            Some(keys) => command.arg(keys.chars().map(String::from).collect::<Vec<_>>().join(" ")),
            None => command.arg(word),
        };
    }
    // Nothing of the user's terminal or files.
    for name in ["NO_COLOR", "LC_ALL", "LC_CTYPE"] {
        command.env_remove(name);
    }
    command.env("LANG", "C.UTF-8").env("TERM", "xterm-256color").env("COLORTERM", "truecolor");
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    redraw::output(&mut command)
}

fn convert(svg: &Path, png: &Path) -> Result<()> {
    if let Some(directory) = png.parent() {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let status = Command::new("rsvg-convert").arg(svg).arg("-o").arg(png).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("rsvg-convert {}: {status}", svg.display()),
        Err(error) => bail!("cannot run rsvg-convert (Debian: librsvg2-bin): {error}"),
    }
}
