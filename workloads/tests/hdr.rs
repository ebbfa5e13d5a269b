//! Exported histograms against HdrHistogram's Java library (Debian: libhdrhistogram-java, a Java runtime), where it is
//! installed; else the tests say that they did nothing. The one for Python reads them in `tui/tests/readers.rs`.

use std::path::Path;
use std::process::Command;

use hdrhistogram::Histogram;
use rayon::prelude::*;
use shootdown_workloads::export::{hgrm, hlog};

const JAR: &str = "/usr/share/java/hdrhistogram.jar";

/// Histograms of all shapes; the numbers come from a small generator of their own.
fn shapes() -> Vec<(String, Histogram<u64>)> {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 33
    };
    let mut all = Vec::new();
    for n in 0..40u64 {
        let mut h = shootdown_emu::histogram::new();
        let count = [1, 2, 3, 10, 100, 1000, 20_000][(n % 7) as usize];
        for _ in 0..count {
            let value = match n % 4 {
                0 => random() % 100,
                1 => 1 + random() % 1_000_000,
                2 => 1 << (random() % 39),
                _ => 4000 + (random() % 50) * (random() % 50),
            };
            h.record(value).unwrap();
        }
        all.push((format!("shape{n}"), h));
    }
    all
}

fn java(log: &Path, tag: &str, out: &Path, csv: bool) {
    let mut command = Command::new("java");
    command.args(["-cp", JAR, "org.HdrHistogram.HistogramLogProcessor", "-outputValueUnitRatio", "1.0"]);
    command.arg("-i").arg(log).args(["-tag", tag]).arg("-o").arg(out);
    if csv {
        command.arg("-csv");
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_java_library_reads_the_log_and_prints_the_same_distribution() {
    if !Path::new(JAR).is_file() || Command::new("java").arg("-version").output().is_err() {
        println!("SKIPPED: {JAR} or java is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("all.hlog");
    let shapes = shapes();
    let rows: Vec<_> = shapes.iter().map(|(tag, h)| (tag.clone(), h.clone(), 1.5)).collect();
    std::fs::write(&log, hlog::hlog(&rows).unwrap()).unwrap();
    shapes.par_iter().for_each(|(tag, histogram)| {
        let out = dir.path().join(tag);
        java(&log, tag, &out, false);
        // The processor adds an extension, and above the library's text a line about the interval.
        let theirs = std::fs::read_to_string(out.with_extension("hgrm")).unwrap();
        let (interval, theirs) = theirs.split_once('\n').unwrap();
        assert!(interval.starts_with("#[Overall"));
        assert_eq!(hgrm::hgrm(histogram), theirs, "{tag}");
    });
    let (tag, histogram) = &shapes[5];
    let out = dir.path().join("csv");
    java(&log, tag, &out, true);
    let theirs = std::fs::read_to_string(out.with_extension("hgrm")).unwrap();
    assert_eq!(hgrm::csv(histogram), theirs.split_once('\n').unwrap().1);
    println!("{} distributions equal those of the Java library", shapes.len());
}
