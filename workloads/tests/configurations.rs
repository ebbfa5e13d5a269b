//! Kernels that were configured otherwise: do they compute the same, and do they leave out what their configuration says?

mod common;

use common::{refused, sound};
use shootdown_workloads::Row;

/// A load of files and user memory whose checksum depends on its own keys alone.
const LOAD: &[(&str, &str)] = &[
    ("workload", "mixed"),
    ("tasks", "4"),
    ("pages", "128"),
    ("ops", "40"),
    ("warmup", "5"),
    ("think", "4"),
];

fn run(pairs: &[(&str, &str)]) -> Row {
    sound(&[LOAD, pairs].concat())
}

/// What a run with the kernel's defaults prints.
fn usual() -> Option<String> {
    run(&[("cpus", "2")]).checksum
}

/// `normal=` above RAM: all of it is low, as it is in a kernel without high memory that fits.
const ALL_LOW: (&str, &str) = ("normal", "512M");

#[test]
fn memory_formats_agree() {
    let expected = usual();
    for highmem in ["4g", "64g"] {
        for cpus in ["1", "4"] {
            assert_eq!(run(&[("highmem", highmem), ("cpus", cpus)]).checksum, expected, "{highmem}, {cpus}");
        }
    }
    for strategy in ["lowmem", "atomic", "batched", "deferred-seq", "task-window"] {
        let row = run(&[("highmem", "off"), ALL_LOW, ("strategy", strategy), ("cpus", "2")]);
        assert_eq!(row.checksum, expected, "{strategy}");
    }
}

/// Without high memory a kmap is a sum under every strategy: nothing is invalidated for it, nobody is asked.
#[test]
fn without_highmem_a_kmap_is_the_address_in_the_direct_map() {
    let files =
        [("workload", "pagecache-read"), ("pages", "256"), ("tasks", "4"), ("ops", "100"), ("cpus", "2")];
    let off = |strategy: &str| {
        sound(&[&files[..], &[("highmem", "off"), ALL_LOW, ("strategy", strategy)]].concat())
    };
    let lowmem = off("lowmem");
    for strategy in ["atomic", "batched", "shared-invlpg", "none"] {
        let row = off(strategy);
        assert_eq!(row.kmap_latency.p50, lowmem.kmap_latency.p50, "{strategy}");
        assert_eq!((row.kmaps, row.maps), (lowmem.kmaps, 0), "{strategy}");
        assert_eq!((row.invlpg, row.flush_ipis), (0, 0), "{strategy}");
    }
    let on = sound(&[&files[..], &[("strategy", "atomic")]].concat());
    assert!(on.invlpg > 100, "the same load with highmem uses slots");
}

/// What lies above the low zones is not there: a load that needs it fails without, and runs with high memory.
#[test]
fn without_highmem_memory_above_the_direct_map_is_not_used() {
    let big = [("workload", "kmap-storm"), ("pages", "6000"), ("tasks", "2"), ("ops", "20"), ("cpus", "1")];
    sound(&[&big[..], &[("normal", "16M")]].concat());
    let said = refused(&[&big[..], &[("normal", "16M"), ("highmem", "off")]].concat());
    assert!(said.contains("cannot make a file of 6000 pages"), "{said}");
    sound(&[&big[..], &[ALL_LOW, ("highmem", "off")]].concat());
}

#[test]
fn what_a_kernel_without_highmem_does_not_have_is_refused() {
    let said = refused(&[("highmem", "off"), ("pte", "atomic")]);
    assert!(said.contains("highmem=off with pte=atomic") && said.contains("accepted"), "{said}");
    let said = refused(&[("highmem", "off"), ("paging", "64g")]);
    assert!(said.contains("highmem=off with paging=64g") && said.contains("accepted"), "{said}");
}
