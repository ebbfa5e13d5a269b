//! Runs every kept input through its target, on stable Rust: crashes that were fixed stay fixed.

use shootdown_fuzz_targets::TARGETS;
use std::path::Path;

#[test]
fn every_seed_is_survived() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    for (name, run) in TARGETS {
        let mut files: Vec<_> = std::fs::read_dir(seeds.join(name))
            .unwrap_or_else(|e| panic!("seeds/{name}: {e}"))
            .map(|f| f.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "seeds/{name} is empty");
        for file in files {
            // The name of the input that fails is the last one printed.
            println!("{}", file.display());
            run(&std::fs::read(&file).unwrap());
        }
    }
}
