//! Reclaim and swap: is every scheme of user shootdown sound when pages go to the swap device, do the ways to find PTEs
//! agree, and are the faults caught?

mod common;

use common::{outcome, refused, sound};
use shootdown_workloads::Row;
use shootdown_workloads::kernel::RMAPS;
use shootdown_workloads::shootdown::Shootdown;

/// 64 frames of HIGHMEM for tasks that have twice as many pages together.
const SMALL: &[(&str, &str)] = &[
    ("workload", "swap"),
    ("mem", "16M"),
    ("normal", "8M"),
    ("swap", "1984"),
    ("tasks", "4"),
    ("pages", "24"),
    ("ops", "40"),
    ("warmup", "5"),
    ("footprint", "1"),
    ("think", "4"),
];

fn with<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [SMALL, pairs].concat()
}

fn row(pairs: &[(&str, &str)]) -> Row {
    let row = sound(&with(pairs));
    assert!(row.reclaimed > 0 && row.swap_ins > 0, "{pairs:?}: {} {}", row.reclaimed, row.swap_ins);
    assert!(row.ptes_visited >= row.reclaimed);
    row
}

/// Pages that go and come back are what they were, whoever runs where and has them together.
fn agree(crew: &str) {
    let of = |cpus, strategy, scheme| {
        let pairs = [("cpus", cpus), ("strategy", strategy), ("shootdown", scheme), ("crew", crew)];
        row(&pairs).checksum.expect("the kernel prints it")
    };
    let expected = of("1", "atomic", "ipi-sync");
    for (i, scheme) in Shootdown::ALL.iter().enumerate() {
        for (cpus, strategy) in
            [("2", ["batched", "task-window"][i % 2]), ("4", ["atomic", "deferred-seq"][i % 2])]
        {
            assert_eq!(of(cpus, strategy, scheme.name()), expected, "{cpus} {strategy} {}", scheme.name());
        }
    }
}

#[test]
fn processes_find_their_pages_again_under_all_schemes() {
    agree("processes");
}

#[test]
fn threads_find_their_pages_again_under_all_schemes() {
    agree("threads");
}

#[test]
fn the_adversaries_change_nothing() {
    let of = |adversary| row(&[("tlb.adversary", adversary), ("cpus", "2"), ("paging", "64g")]).checksum;
    assert_eq!(of("fill"), of("keep"));
}

/// Memory that is shared by fork, moved about and torn into areas; each search is held against a scan, in the kernel.
const TORN: &[(&str, &str)] = &[("sharing", "50"), ("moves", "20"), ("chunk", "4"), ("rmap-audit", "1")];

/// Each way to find PTEs finds those that a scan finds, and pages are what they were.
fn all_find_the_same(pairs: &[(&str, &str)]) {
    let mut sums = Vec::new();
    for (name, _) in RMAPS {
        for (cpus, paging) in [("1", "4g"), ("2", "64g"), ("4", "4g"), ("4", "64g")] {
            let more = [("rmap", *name), ("cpus", cpus), ("paging", paging)];
            let row = row(&[TORN, &more, pairs].concat());
            assert!(row.rmap_searches >= row.reclaimed && row.ptes_taken >= row.reclaimed, "{name} {cpus}");
            sums.push(row.checksum);
        }
    }
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

#[test]
fn all_ways_to_find_ptes_agree_among_processes() {
    all_find_the_same(&[]);
}

#[test]
fn all_ways_to_find_ptes_agree_down_a_line_of_descent() {
    all_find_the_same(&[("tree", "deep"), ("swap", "1920")]);
}

#[test]
fn all_ways_to_find_ptes_agree_among_threads() {
    all_find_the_same(&[("crew", "threads")]);
}

/// Reclaim reaches tables of others, in high memory too, without waiting for a slot that somebody holds who waits for memory.
#[test]
fn page_tables_in_high_memory_swap_under_every_way_to_reach_them() {
    // The tables take some of the frames.
    let room = [("swap", "1952"), ("ops", "20"), ("warmup", "0")];
    let of = |pairs: &[(&str, &str)]| row(&[TORN, &room, pairs].concat()).checksum;
    let expected = of(&[("cpus", "1")]);
    for (i, pte) in ["atomic", "kmap", "nowait", "series", "series-strict", "reserve"].into_iter().enumerate()
    {
        let strategy = ["batched", "shared-invlpg", "batched-range"][i % 3];
        for (cpus, paging) in [("1", "4g"), ("2", "64g"), ("4", "4g")] {
            let pairs = [
                ("pte", pte),
                ("strategy", strategy),
                ("cpus", cpus),
                ("paging", paging),
                ("rmap", RMAPS[i % RMAPS.len()].0),
                ("tlb.adversary", ["none", "keep", "fill"][i % 3]),
            ];
            assert_eq!(of(&pairs), expected, "{pte} {cpus} {paging}");
        }
    }
    let said = refused(&with(&[("swap", "0"), ("disk", "100"), ("pte", "kmap"), ("cpus", "1")]));
    assert!(said.contains("disk=100 does not go with pte=kmap"), "{said}");
}

#[test]
fn lists_and_families_visit_fewer_ptes_than_a_scan() {
    let visited = |rmap| {
        let row = row(&[("rmap", rmap), ("cpus", "2"), ("sharing", "50")]);
        row.ptes_visited as f64 / row.reclaimed as f64
    };
    let (scan, list, family) = (visited("scan"), visited("vma-list"), visited("family"));
    // Most of 100 PTEs; those of the owners and some more; those of all five processes at most.
    assert!(scan > 10.0 * list && scan > 5.0 * family && list < family, "{scan} {list} {family}");
}

#[test]
fn a_way_that_misses_ptes_is_caught_by_the_audit() {
    for (rmap, fault) in [("vma-list", "rmap-vma-not-split"), ("family", "rmap-family-no-mremap")] {
        let pairs = with(&[TORN, &[("rmap", rmap), ("cpus", "2"), ("fault", fault)]].concat());
        let outcome = outcome(&pairs);
        let said = format!("rmap={rmap} does not find the PTE");
        assert!(outcome.console.contains(&said), "{fault}: {}", outcome.console);
    }
}

#[test]
fn a_line_of_descent_is_no_crew_of_threads() {
    let said = refused(&with(&[("tree", "deep"), ("crew", "threads"), ("cpus", "1")]));
    assert!(said.contains("goes with crew=processes only"), "{said}");
}

#[test]
fn low_memory_swaps_as_well() {
    // The device is at the end of low memory, and leaves some 280 frames of it.
    row(&[("strategy", "lowmem"), ("swap", "1400"), ("cpus", "2"), ("pages", "60")]);
}

#[test]
fn without_a_device_a_task_ends_when_memory_does() {
    let outcome = outcome(&with(&[("swap", "0"), ("pages", "1200"), ("cpus", "1"), ("ops", "1")]));
    assert!(outcome.console.contains("killed"), "{}", outcome.console);
}

/// The last 4 MiB of memory, where HIGHMEM and the device are, are beyond what the device reaches.
const BOUNCE: &[(&str, &str)] = &[("bounce", "on"), ("bounce-limit", "8M"), ("cpus", "2")];

#[test]
fn pages_that_the_device_does_not_reach_go_through_bounce_pages() {
    let of = |pairs: &[(&str, &str)]| row(&[BOUNCE, pairs].concat());
    let off = of(&[("bounce", "off")]);
    assert_eq!((off.bounces, off.bounce_waits), (0, 0));
    for strategy in ["atomic", "batched", "deferred-seq"] {
        let on = of(&[("strategy", strategy), ("paging", "64g")]);
        // All that went or came, and nothing twice.
        assert!(
            on.bounces >= on.swap_ins && on.bounces <= 2 * (on.swap_ins + on.reclaimed),
            "{}",
            on.bounces
        );
        assert_eq!(on.checksum, off.checksum, "{strategy}");
    }
    // 4 GiB, if nothing is said: below that nothing bounces.
    let pairs = [("bounce", "on"), ("cpus", "2")];
    assert_eq!(row(&pairs).bounces, 0);
}

#[test]
fn a_pool_of_one_page_makes_tasks_wait() {
    let one = row(&[BOUNCE, &[("bounce-pages", "1"), ("cpus", "4")]].concat());
    assert!(one.bounce_waits > 0 && one.bounces > 0);
}

#[test]
fn a_limit_below_all_free_memory_is_refused() {
    let said = refused(&with(&[BOUNCE, &[("bounce-limit", "1M")]].concat()));
    assert!(said.contains("accepted: a larger bounce-limit="), "{said}");
}

/// A race needs luck: the fault must show itself under at least one of these seeds.
const SEEDS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];

fn caught(fault: &str, hard: &[(&str, &str)], shows: fn(&Row) -> bool) {
    let run = |seed, more: &[(&str, &str)]| {
        outcome(&with(&[hard, &[("cpus", "4"), ("seed", seed)], more].concat())).row
    };
    let seed = SEEDS.into_iter().find(|seed| shows(&run(seed, &[("fault", fault)])));
    let Some(seed) = seed else { panic!("{fault}: nothing shows under {SEEDS:?}") };
    assert_eq!(run(seed, &[]).problems(), Vec::<String>::new(), "without {fault}");
}

/// Pages that are written so often that some are chosen while they are, and TLBs that keep what is used: a window so large
/// that no wrap flushes them, and a machine that evicts nothing.
const WRITTEN: &[(&str, &str)] = &[
    ("pages", "30"),
    ("ops", "300"),
    ("writes", "100"),
    ("hot", "95"),
    ("sharing", "0"),
    ("think", "0"),
    ("tlb.adversary", "keep"),
    ("window", "1024"),
];

#[test]
fn a_page_that_is_copied_before_the_flush_is_caught_by_the_data() {
    caught("swap-copy-first", WRITTEN, |row| row.data_errors > 0);
}

#[test]
fn a_page_that_goes_without_a_flush_is_caught_by_the_oracle() {
    caught("swap-no-flush", &[("crew", "threads"), ("writes", "80"), ("hot", "80")], |row| {
        row.harmful_uses > 0
    });
}
