//! Single instructions against real processors: every vector set that is at hand.
//!
//! The repository's own set, `emu/tests/vectors` (32-bit user mode with the x87 unit, captured by
//! `cargo xtask capture-vectors`), is always run. Any other is a folder below one of those named by
//! `SHOOTDOWN_CONFORMANCE` (separated by colons), else below `../shared/conformance` beside the repository:
//!
//! | folder | captured on | read by |
//! |---|---|---|
//! | `host32/tests.jsonl.gz` | a P6-family processor, 32-bit user mode | `user32.rs` |
//! | `80286/*.MOO.gz` | an 80286, real mode | `real.rs`, without what an i686 does differently (`differs.rs`) |
//! | `80386/*.MOO.gz` | an 80386, real mode | `real.rs` |
//!
//! Where there is no such folder the test says so and runs its own set alone.

mod differs;
mod memory;
mod moo;
mod real;
mod tally;
mod unit;
mod user32;

use std::path::{Path, PathBuf};
use tally::Tally;

const VARIABLE: &str = "SHOOTDOWN_CONFORMANCE";

fn folders() -> Vec<PathBuf> {
    let Some(named) = std::env::var_os(VARIABLE) else {
        return vec![[env!("CARGO_MANIFEST_DIR"), "..", "..", "shared", "conformance"].iter().collect()];
    };
    let folders: Vec<_> = std::env::split_paths(&named).collect();
    for folder in &folders {
        assert!(folder.is_dir(), "{VARIABLE}: {} is not a folder", folder.display());
    }
    folders
}

type Runner = fn(&Path, &mut Tally) -> Result<(), String>;
type Set = (&'static str, Runner);

/// Runs a set and closes it: is all as it should be?
fn run_set(name: &str, run: Runner, folder: &Path) -> bool {
    let mut tally = Tally::default();
    if let Err(what) = run(folder, &mut tally) {
        panic!("{}: {what}", folder.display());
    }
    tally.close(name)
}

#[test]
fn instructions_do_what_processors_do() {
    let sets: [Set; 3] =
        [("host32", user32::run_host32), ("80286", real::run_80286), ("80386", real::run_80386)];
    let own: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "vectors"].iter().collect();
    let (mut ran, mut good) = (0, run_set("user32", user32::run_own, &own));
    for folder in folders() {
        for (name, run) in sets {
            let folder = folder.join(name);
            if folder.is_dir() {
                good &= run_set(name, run, &folder);
                ran += 1;
            }
        }
    }
    if ran == 0 {
        println!("conformance: no other vector set found ({VARIABLE}); its own alone was run");
    }
    assert!(good, "an instruction differs from the processor");
}
