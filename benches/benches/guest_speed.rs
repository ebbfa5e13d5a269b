//! Guest instructions, maps and shootdowns per second of host time.
//!
//! `cargo bench -p shootdown-benches` prints for each load the throughput in
//! guest instructions (`instructions/...`) and in its own rounds (`rounds/...`).

use criterion::{Criterion, Throughput};
use shootdown_benches::{LOADS, run};
use std::hint::black_box;

fn guest_speed(c: &mut Criterion) {
    for load in &LOADS {
        let instructions = run(load, load.rounds, "p3").expect("the bench guest runs").instructions;
        let mut group = c.benchmark_group(load.name);
        group.sample_size(10);
        group.throughput(Throughput::Elements(instructions));
        group.bench_function("instructions", |b| b.iter(|| black_box(run(load, load.rounds, "p3"))));
        if matches!(load.name, "kmap" | "shootdown") {
            group.throughput(Throughput::Elements(load.rounds));
            group.bench_function(load.unit, |b| b.iter(|| black_box(run(load, load.rounds, "p3"))));
        }
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    guest_speed(&mut criterion);
    criterion.final_summary();
}
