//! Runs inputs through a target on stable Rust: `replay TARGET FILE...`.

use shootdown_fuzz_targets::TARGETS;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let target = arguments.first().and_then(|name| TARGETS.iter().find(|(n, _)| n == name));
    let Some((_, run)) = target else {
        let names: Vec<_> = TARGETS.iter().map(|(n, _)| *n).collect();
        eprintln!("replay: the first argument is a target: {}", names.join(", "));
        return ExitCode::from(2);
    };
    for file in &arguments[1..] {
        match std::fs::read(file) {
            Ok(bytes) => {
                println!("{file}");
                run(&bytes);
            }
            Err(e) => {
                eprintln!("replay: {file}: {e}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
