//! Single instructions against real processors: every vector set that is at hand.
//!
//! A set is a folder below one of those named by `SHOOTDOWN_CONFORMANCE` (separated by colons), else below
//! `../shared/conformance` beside the repository:
//!
//! | folder | captured on | read by |
//! |---|---|---|
//! | `host32/tests.jsonl.gz` | a P6-family processor, 32-bit user mode | `host32.rs` |
//! | `80286/*.MOO.gz` | an 80286, real mode | `real.rs`, without what an i686 does differently (`differs.rs`) |
//! | `80386/*.MOO.gz` | an 80386, real mode | `real.rs` |
//!
//! Where there is no such folder the test says so and checks nothing.

mod differs;
mod host32;
mod memory;
mod moo;
mod real;
mod tally;

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

type Set = (&'static str, fn(&Path, &mut Tally) -> Result<(), String>);

#[test]
fn instructions_do_what_processors_do() {
    let sets: [Set; 3] = [("host32", host32::run), ("80286", real::run_80286), ("80386", real::run_80386)];
    let (mut ran, mut good) = (0, true);
    for folder in folders() {
        for (name, run) in sets {
            let folder = folder.join(name);
            if !folder.is_dir() {
                continue;
            }
            let mut tally = Tally::default();
            if let Err(what) = run(&folder, &mut tally) {
                panic!("{}: {what}", folder.display());
            }
            good &= tally.close(name);
            ran += 1;
        }
    }
    if ran == 0 {
        println!("conformance: no vector set found ({VARIABLE}); none was run");
    }
    assert!(good, "an instruction differs from the processor");
}
