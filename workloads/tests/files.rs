//! Loads that write and map files: do they compute the same whatever maps pages and whoever flushes, and does the data
//! tell when a mapping is wrong?

mod common;

use common::{SOUND, outcome, refused, sound};
use shootdown_workloads::Row;
use shootdown_workloads::shootdown::Shootdown;

/// Four times as many pages as the window has slots.
const WRITES: &[(&str, &str)] =
    &[("workload", "pagecache-write"), ("tasks", "5"), ("pages", "256"), ("ops", "60"), ("warmup", "10")];

const MAPPED: &[(&str, &str)] =
    &[("workload", "mapped-file"), ("tasks", "5"), ("pages", "6"), ("ops", "30"), ("warmup", "5")];

const MIXED: &[(&str, &str)] =
    &[("workload", "mixed"), ("tasks", "5"), ("pages", "256"), ("ops", "60"), ("warmup", "10")];

fn checksum(load: &[(&str, &str)], pairs: &[(&str, &str)]) -> String {
    sound(&[load, pairs].concat()).checksum.expect("the kernel prints it")
}

/// The checksum of a load is that of one processor under every strategy, in both formats.
fn agree(load: &[(&str, &str)], strategies: &[&str]) {
    let expected = checksum(load, &[("cpus", "1"), ("strategy", "lowmem")]);
    for (i, strategy) in strategies.iter().enumerate() {
        let paging = ["4g", "64g"][i % 2];
        let pairs = [("cpus", "4"), ("strategy", strategy), ("paging", paging)];
        assert_eq!(checksum(load, &pairs), expected, "{pairs:?}");
    }
}

#[test]
fn what_is_written_is_read_under_all_strategies() {
    agree(WRITES, &SOUND);
}

#[test]
fn so_it_is_in_pages_that_all_tasks_write() {
    let common = [WRITES, &[("sharing", "100"), ("writes", "100"), ("len", "4096")]].concat();
    agree(&common, &["batched", "deferred-seq", "task-window"]);
}

#[test]
fn a_page_that_is_written_through_a_wrong_mapping_is_caught_by_the_data() {
    let row = outcome(&[WRITES, &[("strategy", "none"), ("cpus", "4")]].concat()).row;
    assert!(row.data_errors > 0, "{:?}", row.problems());
}

#[test]
fn mapped_files_are_what_read_and_write_see_under_all_schemes() {
    for call in ["munmap", "mprotect", "fork"] {
        let load = [MAPPED, &[("call", call)]].concat();
        let expected = checksum(&load, &[("cpus", "1"), ("strategy", "atomic")]);
        for (i, scheme) in Shootdown::ALL.iter().enumerate() {
            let strategy = ["batched", "task-window", "lowmem"][i % 3];
            let pairs = [("cpus", "4"), ("strategy", strategy), ("shootdown", scheme.name())];
            assert_eq!(checksum(&load, &pairs), expected, "{call} {pairs:?}");
        }
    }
}

#[test]
fn mapped_files_need_their_shootdowns() {
    let row = |fault| {
        let pairs = [("cpus", "4"), ("reads", "40"), ("tlb.adversary", "keep"), ("fault", fault)];
        outcome(&[MAPPED, &pairs].concat()).row
    };
    let shows = |row: &Row| row.shootdowns > 0 && row.problems().is_empty();
    assert!(shows(&row("none")));
    // The frames stay the file's, so that it is the data that tells.
    assert!(row("no-flush").data_errors > 0);
}

#[test]
fn adversaries_and_page_tables_in_highmem_do_not_show_in_mapped_files() {
    let of = |pairs: &[(&str, &str)]| checksum(MAPPED, &[&[("cpus", "2")][..], pairs].concat());
    let expected = of(&[]);
    assert_eq!(of(&[("tlb.adversary", "fill"), ("paging", "64g")]), expected);
    assert_eq!(of(&[("tlb.adversary", "keep")]), expected);
    assert_eq!(of(&[("pte", "kmap")]), expected);
    assert_eq!(of(&[("pte", "atomic")]), expected);
}

/// 148 frames of HIGHMEM, and a device beyond what bounces.
const DISK: &[(&str, &str)] = &[
    ("mem", "16M"),
    ("normal", "8M"),
    ("disk", "1900"),
    ("bounce", "on"),
    ("bounce-limit", "8M"),
    ("footprint", "1"),
];

#[test]
fn files_that_are_larger_than_memory_hold_what_they_hold_in_memory() {
    for load in [WRITES, MAPPED, MIXED] {
        // All loads have a file of 200 pages and more then.
        let load = [load, &[("tasks", "4"), ("pages", if load == MAPPED { "14" } else { "220" })]].concat();
        let expected = checksum(&load, &[("cpus", "1"), ("footprint", "1")]);
        for pairs in [
            &[("cpus", "1"), ("strategy", "atomic"), ("bounce", "off")][..],
            &[("cpus", "4"), ("strategy", "batched"), ("paging", "64g"), ("tlb.adversary", "fill")],
            &[
                ("cpus", "2"),
                ("strategy", "deferred-seq"),
                ("disk", "1700"),
                ("swap", "200"),
                ("bounce-pages", "1"),
            ],
        ] {
            let row = sound(&[&load[..], DISK, pairs].concat());
            assert_eq!(row.checksum.as_ref(), Some(&expected), "{pairs:?}");
            assert!(
                row.file_ins > 0 && row.file_outs > 0 && row.reclaimed > 0,
                "{pairs:?}: {}",
                row.file_ins
            );
            assert_eq!(row.bounces > 0, pairs[2] != ("bounce", "off"), "{pairs:?}");
        }
    }
}

#[test]
fn faults_of_the_device_are_caught_by_the_data() {
    let small = [
        WRITES,
        &[("pages", "200"), ("tasks", "4"), ("ops", "80"), ("cpus", "4")],
        DISK,
        &[("disk", "1984")],
    ];
    for (fault, hard) in
        [("bounce-early", &[][..]), ("clean-late", &[("hot", "80"), ("writes", "90"), ("bounce", "off")][..])]
    {
        let row = |seed, fault| {
            outcome(&[&small.concat()[..], hard, &[("seed", seed), ("fault", fault)]].concat()).row
        };
        let seed = ["1", "2", "3", "4"].into_iter().find(|seed| row(seed, fault).data_errors > 0);
        let Some(seed) = seed else { panic!("{fault}: nothing shows") };
        assert_eq!(row(seed, "none").problems(), Vec::<String>::new(), "without {fault}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let cell = |pairs: &[(&'static str, &'static str)]| [WRITES, DISK, pairs].concat();
    let said = refused(&cell(&[("thread-kmap", "1")]));
    assert!(said.contains("accepted: irq-kmap=0, thread-kmap=0"), "{said}");
    let said = refused(&cell(&[("disk", "5000")]));
    assert!(said.contains("accepted: more memory or a smaller swap= or disk="), "{said}");
    let said = refused(&cell(&[("disk", "100")]));
    assert!(said.contains("cannot make a file of 256 pages"), "{said}");
}

#[test]
fn mixed_agrees() {
    agree(MIXED, &["atomic", "batched", "deferred-seq", "task-window", "copy-clear"]);
    let memory = [MIXED, &[("files", "0"), ("forks", "20")]].concat();
    agree(&memory, &["batched", "task-window"]);
}
