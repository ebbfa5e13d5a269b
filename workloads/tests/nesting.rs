//! Kmaps of the kernel's own paths: one or two for a copy on write, and those that a copy asks for when it faults while it
//! has a page mapped. Is the same computed, and who gets stuck?

mod common;

use common::{SOUND, outcome, refused, sound};
use shootdown_abi::exit;
use shootdown_emu::Stop;
use shootdown_workloads::{Outcome, Row};

/// Children that write to memory which they share with their parent.
const FORK: &[(&str, &str)] = &[
    ("workload", "fork-cow"),
    ("tasks", "4"),
    ("pages", "24"),
    ("ops", "20"),
    ("rounds", "1"),
    ("warmup", "0"),
];
/// A bit of everything, forks among it.
const MIXED: &[(&str, &str)] = &[
    ("workload", "mixed"),
    ("tasks", "4"),
    ("pages", "24"),
    ("ops", "60"),
    ("warmup", "0"),
    ("forks", "10"),
];
/// Processors and page-table formats.
const MACHINES: [(&str, &str); 4] = [("1", "4g"), ("2", "64g"), ("4", "4g"), ("2", "4g")];
/// Loads that copy to and from their memory.
const READS: &[(&str, &str)] = &[
    ("workload", "pagecache-read"),
    ("tasks", "6"),
    ("pages", "24"),
    ("ops", "60"),
    ("warmup", "4"),
    ("buffer", "fresh"),
];
const WRITES: &[(&str, &str)] =
    &[("workload", "pagecache-write"), ("tasks", "6"), ("pages", "24"), ("ops", "60"), ("warmup", "4")];
const MAPPED: &[(&str, &str)] =
    &[("workload", "mapped-file"), ("tasks", "4"), ("pages", "24"), ("ops", "30"), ("warmup", "2")];

fn row(load: &[(&str, &str)], pairs: &[(&str, &str)]) -> Row {
    sound(&[load, pairs].concat())
}

/// Under every strategy, on 1, 2 and 4 processors, in both formats, with and without adversaries, both ways to copy compute
/// the same.
fn copies_agree(load: &[(&str, &str)]) {
    let expected = row(load, &[("cow", "pair"), ("cpus", "1")]).checksum;
    for (i, strategy) in SOUND.into_iter().enumerate() {
        let adversary = ["none", "fill", "keep"][i % 3];
        let (cpus, paging) = MACHINES[i % MACHINES.len()];
        let pairs = [
            ("strategy", strategy),
            ("cpus", cpus),
            ("paging", paging),
            ("tlb.adversary", adversary),
            ("cow", "own"),
        ];
        assert_eq!(row(load, &pairs).checksum, expected, "{strategy}");
    }
    for pte in ["kmap", "series-strict", "nowait", "reserve", "atomic"] {
        let pairs = [("pte", pte), ("cpus", "2"), ("cow", "own")];
        assert_eq!(row(load, &pairs).checksum, expected, "pte={pte}");
    }
}

#[test]
fn pages_that_are_read_where_the_task_has_them_are_copied_as_by_two_kmaps() {
    copies_agree(FORK);
}

#[test]
fn so_they_are_under_a_mixed_load() {
    copies_agree(MIXED);
}

#[test]
fn a_copy_needs_two_kmaps_or_one() {
    for strategy in ["atomic", "copy-clear", "batched", "deferred-seq", "task-window"] {
        let kmaps = |cow| row(FORK, &[("strategy", strategy), ("cow", cow), ("cpus", "1")]).kmaps;
        let copies = 4 * 20;
        let (pair, own) = (kmaps("pair"), kmaps("own"));
        // The children's stacks are copied too.
        assert!(own >= copies, "{strategy}: {own}");
        assert_eq!(pair, 2 * own, "{strategy}");
    }
}

/// Pages that others write to the swap device while they are read.
const SWAPPED: &[(&str, &str)] = &[
    ("workload", "swap"),
    ("mem", "16M"),
    ("normal", "8M"),
    ("swap", "1984"),
    ("tasks", "4"),
    ("pages", "24"),
    ("ops", "60"),
    ("warmup", "5"),
    ("sharing", "75"),
    ("writes", "60"),
    ("footprint", "1"),
    ("think", "0"),
];

#[test]
fn an_address_that_loses_its_page_while_it_is_copied_is_no_loss() {
    let expected = row(SWAPPED, &[("cpus", "1")]).checksum;
    for (cpus, strategy) in [("1", "batched"), ("2", "atomic"), ("4", "deferred-seq"), ("4", "task-window")] {
        for adversary in ["none", "keep"] {
            let pairs =
                [("cow", "own"), ("cpus", cpus), ("strategy", strategy), ("tlb.adversary", adversary)];
            let row = row(SWAPPED, &pairs);
            assert!(row.reclaimed > 0 && row.swap_ins > 0, "{cpus} {strategy}");
            assert_eq!(row.checksum, expected, "{cpus} {strategy} {adversary}");
        }
    }
}

/// All ways to reach page tables, and strategies that a task may sleep under: what is computed does not hang on when
/// buffers become usable.
fn faulting_copies_agree(load: &[(&str, &str)]) {
    let expected = row(load, &[("cpus", "1")]).checksum;
    for (i, (strategy, pte)) in [
        ("batched", "lowmem"),
        ("batched-range", "atomic"),
        ("shared-invlpg", "kmap"),
        ("batched", "nowait"),
        ("batched", "series"),
        ("batched-range", "series-strict"),
        ("shared-invlpg", "reserve"),
        ("task-window", "lowmem"),
        ("task-window", "atomic"),
        ("lowmem", "lowmem"),
    ]
    .into_iter()
    .enumerate()
    {
        let (cpus, paging) = MACHINES[i % MACHINES.len()];
        let adversary = ["none", "fill", "keep"][i % 3];
        let pairs = [
            ("user-copy", "fault"),
            ("strategy", strategy),
            ("pte", pte),
            ("cpus", cpus),
            ("paging", paging),
            ("tlb.adversary", adversary),
        ];
        assert_eq!(row(load, &pairs).checksum, expected, "{strategy} pte={pte}");
    }
}

#[test]
fn reads_into_pages_that_were_never_touched_agree() {
    faulting_copies_agree(READS);
    // The same by a buffer that is there.
    let kept = row(READS, &[("buffer", "kept"), ("user-copy", "fault")]).checksum;
    assert_eq!(row(READS, &[]).checksum, kept);
}

#[test]
fn writes_agree_whenever_their_buffers_become_usable() {
    faulting_copies_agree(WRITES);
}

#[test]
fn threads_that_map_what_others_read_and_write_agree() {
    faulting_copies_agree(MAPPED);
}

#[test]
fn loads_of_all_kinds_agree_with_copies_that_fault() {
    faulting_copies_agree(MIXED);
}

#[test]
fn schemes_whose_slots_forbid_to_sleep_are_refused() {
    for (strategy, why) in [
        ("atomic", "may not sleep"),
        ("atomic-stack", "may not sleep"),
        ("percpu-pool", "may not sleep"),
        ("copy-clear", "may not sleep"),
        ("deferred-seq", "nobody keeps a book"),
        ("deferred-local", "nobody keeps a book"),
    ] {
        let said = refused(&[("strategy", strategy), ("user-copy", "fault")]);
        assert!(said.contains("user-copy=fault with slots=") && said.contains(why), "{strategy}: {said}");
        assert!(said.contains("accepted: slots=rotating, task, none"), "{strategy}: {said}");
    }
    let said = refused(&[("pte", "kmap"), ("reserve", "2")]);
    assert!(
        said.contains("reserve=2 with pte=kmap") && said.contains("accepted with it: pte=reserve"),
        "{said}"
    );
}

/// Copies to holes by many tasks, on one processor that is taken from them at every moment, with 16 slots.
fn narrow(pairs: &[(&str, &str)]) -> Outcome {
    let cell = [
        ("workload", "pagecache-read"),
        ("buffer", "fresh"),
        ("cpus", "1"),
        ("window", "16"),
        ("tick", "4000"),
        ("tasks", "40"),
        ("pages", "256"),
        ("ops", "12"),
        ("warmup", "0"),
        ("think", "0"),
    ];
    outcome(&[&cell, pairs].concat())
}

/// The counterexamples of `models/tests/pools.rs`, in the kernel: what a path holds that copies, faults, and clears a hole.
#[test]
fn copies_that_fault_deadlock_everywhere_but_under_a_reserve_of_three() {
    let stuck = |pairs: &[(&str, &str)]| {
        let run = narrow(&[&[("user-copy", "fault")], pairs].concat());
        assert_eq!(run.stop, Stop::Exit(exit::DEADLOCK), "{pairs:?}: {}", run.console);
        run.console
    };
    let holders = |console: &str, what: &str| {
        let waits = console.lines().filter(|line| line.ends_with("waits for a slot of DEFAULT"));
        waits.filter(|line| line.contains(what)).count()
    };
    // No table is in the window here, and every slot is held by a task that waits for one to clear a page.
    for pte in ["lowmem", "atomic"] {
        let console = stuck(&[("pte", pte)]);
        // Two tasks that read the same page hold the same slot.
        assert!(holders(&console, "holds slot") >= 16, "{console}");
    }
    for pte in ["kmap", "series", "nowait"] {
        stuck(&[("pte", pte)]);
    }
    // A third of the slots is DEFAULT's.
    let strict = stuck(&[("pte", "series-strict")]);
    assert!(holders(&strict, "(DEFAULT)") >= 5, "{strict}");
    // Two are not enough: a page, a table, and a page to be cleared.
    let two = stuck(&[("pte", "reserve"), ("reserve", "2")]);
    assert!(two.lines().any(|line| line.contains(" and slot ") && line.contains("waits for")), "{two}");

    let sums: Vec<_> = [
        &[("pte", "reserve"), ("user-copy", "fault")][..],
        &[("pte", "reserve"), ("user-copy", "before")],
        &[("pte", "reserve"), ("user-copy", "before"), ("reserve", "2")],
        &[("pte", "series-strict"), ("user-copy", "before")],
        &[("strategy", "task-window"), ("user-copy", "fault")],
    ]
    .into_iter()
    .map(|pairs| {
        let run = narrow(pairs);
        assert_eq!(run.row.problems(), Vec::<String>::new(), "{pairs:?}: {}", run.console);
        run.row.checksum.expect("the kernel prints it")
    })
    .collect();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

#[test]
fn buffers_that_are_swapped_out_are_read_and_written() {
    let swapped = [("user-copy", "fault"), ("mem", "16M"), ("normal", "8M"), ("swap", "1900")];
    for strategy in ["batched", "task-window"] {
        let more = [("strategy", strategy), ("cpus", "2"), ("footprint", "40"), ("think", "200")];
        let row = row(WRITES, &[&swapped[..], &more].concat());
        assert!(row.swap_ins > 0, "{strategy}: {}", row.swap_ins);
    }
}
