//! What the data caches and their coherence cost the host: each load with
//! `timing` flat and full, in turns, and the ratio of the shortest times.
//!
//! `cargo bench -p shootdown-benches --bench timing_cost`

use shootdown_benches::{LOADS, run_with};
use shootdown_emu::config::Timing;
use std::time::Instant;

const PAIRS: usize = 5;

fn main() {
    // Cargo passes options of the test harness; there is nothing to choose here.
    println!(
        "{:<10} {:>12} {:>12} {:>8}   least of {PAIRS} runs in turns, host time",
        "load", "flat", "full", "ratio"
    );
    for load in &LOADS {
        let rounds = load.rounds / 2;
        let mut least = [f64::INFINITY; 2];
        for _ in 0..PAIRS {
            for (least, timing) in least.iter_mut().zip([Timing::Flat, Timing::Full]) {
                let start = Instant::now();
                run_with(load, rounds, "p3", timing).expect("the bench guest runs");
                *least = least.min(start.elapsed().as_secs_f64());
            }
        }
        let [flat, full] = least;
        println!("{:<10} {:>9.1} ms {:>9.1} ms {:>8.2}", load.name, flat * 1e3, full * 1e3, full / flat);
    }
}
