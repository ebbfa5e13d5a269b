//! Shared memory in large pages: does it compute the same, is it given back as it should be, and is there room for more
//! processes?

mod common;

use common::{outcome, sound};
use shootdown_workloads::{RunError, run};
use std::sync::Arc;

const FORMATS: [&str; 2] = ["4g", "64g"];

/// Two large pages of four MiB, and a piece that is less than one of two.
const SHARED: &[(&str, &str)] =
    &[("workload", "shm-many"), ("pages", "2050"), ("tasks", "4"), ("ops", "40"), ("warmup", "5")];

/// Threads that map four MiB of shared memory each, and give it back while others have it in their TLBs.
const GIVEN_BACK: &[(&str, &str)] = &[
    ("workload", "shm-calls"),
    // No flush but those of the load.
    ("strategy", "atomic"),
    ("tasks", "3"),
    ("pages", "1024"),
    ("ops", "3"),
    ("warmup", "1"),
    ("reads", "200"),
    ("think", "0"),
];

#[test]
fn shared_memory_computes_the_same_in_large_pages() {
    for paging in FORMATS {
        let at = |pages, cpus, more: &[(&str, &str)]| {
            let set = [("shm-pages", pages), ("paging", paging), ("cpus", cpus)];
            sound(&[SHARED, &set, more].concat())
        };
        let small = at("small", "1", &[]);
        for cpus in ["1", "2", "4"] {
            let large = at("large", cpus, &[]);
            assert_eq!(large.checksum, small.checksum, "{paging}, {cpus} processors");
        }
        for adversary in ["fill", "keep"] {
            let large = at("large", "2", &[("tlb.adversary", adversary)]);
            assert_eq!(
                (large.checksum, large.harmful_uses),
                (small.checksum.clone(), 0),
                "{paging}, {adversary}"
            );
        }
        // Where everything is in the direct map, and where page tables are not.
        let low = at("large", "2", &[("strategy", "lowmem")]);
        let high = at("large", "2", &[("pte", "atomic")]);
        assert_eq!((&low.checksum, &high.checksum), (&small.checksum, &small.checksum), "{paging}");
    }
}

#[test]
fn large_pages_are_given_back_like_small_ones_or_the_call_is_refused() {
    for (paging, call, adversary) in [
        ("4g", "munmap", "none"),
        ("64g", "munmap", "fill"),
        ("4g", "munmap", "keep"),
        ("64g", "mprotect", "keep"),
    ] {
        let at = |pages, cut| {
            let cut = if call == "munmap" { cut } else { "untried" };
            let set = [("shm-pages", pages), ("cut", cut), ("call", call), ("paging", paging), ("cpus", "3")];
            sound(&[GIVEN_BACK, &set, &[("tlb.adversary", adversary)]].concat())
        };
        let (small, large) = (at("small", "done"), at("large", "refused"));
        assert_eq!(large.checksum, small.checksum, "{paging}, {call}, {adversary}");
        assert_eq!(large.harmful_uses, 0);
        // A large page goes in one; rights go in one whatever the pages.
        let (some, others) = (large.shootdowns, small.shootdowns);
        assert!(some > 0 && if call == "munmap" { some < others } else { some == others }, "{some} {others}");
    }
}

/// The oracle knows what a large page held once its frames are free.
#[test]
fn a_large_page_that_is_not_flushed_is_caught() {
    // Two large pages: the frames of one come back as those of the other.
    for (paging, pages) in [("4g", "2048"), ("64g", "1024")] {
        let set = [
            ("shm-pages", "large"),
            ("paging", paging),
            ("pages", pages),
            ("cpus", "3"),
            ("ops", "2"),
            ("fault", "no-flush"),
        ];
        let row = outcome(&[GIVEN_BACK, &set].concat()).row;
        assert!(row.harmful_uses > 0, "{paging}: {:?}", row.problems());
    }
}

/// How many processes there was memory for, of more than there is.
fn made(pages: &str) -> u32 {
    let cell = common::cell(&[
        ("workload", "shm-many"),
        ("shm-pages", pages),
        ("mem", "128M"),
        ("normal", "8M"),
        ("pages", "8192"),
        ("tasks", "1024"),
        ("ops", "1"),
        ("warmup", "0"),
        ("cpus", "1"),
    ]);
    match run(&cell, &Arc::default()) {
        Err(RunError::Refused(said)) => {
            let (_, rest) = said.split_once("cannot make task ").unwrap_or_else(|| panic!("{said}"));
            rest.split_once(' ').and_then(|(made, _)| made.parse().ok()).unwrap_or_else(|| panic!("{said}"))
        }
        other => panic!("{:?}", other.map(|o| o.console)),
    }
}

#[test]
fn more_processes_fit_where_their_shared_memory_needs_no_tables() {
    let (small, large) = (made("small"), made("large"));
    assert!(large > small + small / 2, "{small} processes with small pages, {large} with large ones");
}

#[test]
fn without_neighbouring_frames_there_is_no_large_page() {
    let cell =
        common::cell(&[("workload", "shm-many"), ("shm-pages", "large"), ("pages", "32768"), ("ops", "1")]);
    match run(&cell, &Arc::default()) {
        Err(RunError::Refused(said)) => {
            assert!(said.contains("no shared memory") && said.contains("error 12"), "{said}")
        }
        other => panic!("{:?}", other.map(|o| o.console)),
    }
}
