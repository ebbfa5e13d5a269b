//! User TLB shootdown: is every scheme sound, does each one cost what its protocol says, and are its faults caught?

mod common;

use common::{outcome, sound};
use shootdown_workloads::Row;
use shootdown_workloads::shootdown::Shootdown;

const CPUS: u64 = 4;

/// Threads of one process, one for each processor, that stay where they are.
const THREADS: &[(&str, &str)] = &[
    ("workload", "munmap"),
    ("strategy", "lowmem"),
    ("tasks", "4"),
    ("pages", "2"),
    ("ops", "20"),
    ("warmup", "2"),
    ("reads", "20"),
    ("think", "0"),
    ("footprint", "1"),
];

fn with<'a>(scheme: &'a str, pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [THREADS, &[("shootdown", scheme)], pairs].concat()
}

fn row(scheme: &str, pairs: &[(&str, &str)]) -> Row {
    sound(&with(scheme, pairs))
}

#[test]
fn all_schemes_agree_and_stay_sound_under_both_adversaries() {
    let mut sums = Vec::new();
    for adversary in ["none", "fill", "keep"] {
        for scheme in Shootdown::ALL {
            let r = row(scheme.name(), &[("tlb.adversary", adversary), ("ops", "8"), ("tick", "5000")]);
            assert!(r.shootdowns > 0, "{} interrupts nobody", scheme.name());
            sums.push((r.checksum, r.harmful_uses, r.data_errors));
        }
    }
    assert!(sums[0].0.is_some() && sums.iter().all(|s| *s == sums[0]), "{sums:?}");
}

#[test]
fn a_shootdown_interrupts_the_mask_by_one_message_each_and_a_broadcast_all_by_one() {
    let r = row("ipi-sync", &[]);
    assert!(r.shootdowns >= r.operations, "{} {}", r.shootdowns, r.operations);
    assert_eq!(r.flush_ipis, r.flush_ipi_targets, "a message for each target");
    assert!(r.flush_ipi_targets <= r.shootdowns * (CPUS - 1));
    assert_eq!(r.initiator_latency.count, r.shootdowns);
    let r = row("ipi-broadcast", &[]);
    assert_eq!((r.flush_ipis, r.flush_ipi_targets), (r.shootdowns, r.shootdowns * (CPUS - 1)));
    // With two threads on four processors the mask is smaller.
    let few = row("ipi-sync", &[("tasks", "2")]);
    assert!(few.flush_ipi_targets < few.shootdowns * (CPUS - 1), "{}", few.flush_ipi_targets);
    let all = row("ipi-broadcast", &[("tasks", "2")]);
    assert_eq!(all.flush_ipi_targets, all.shootdowns * (CPUS - 1));
}

#[test]
fn a_process_with_one_thread_interrupts_nobody() {
    for scheme in Shootdown::ALL {
        let r = sound(&[
            ("workload", "mremap"),
            ("crew", "processes"),
            ("strategy", "lowmem"),
            ("shootdown", scheme.name()),
            ("ops", "20"),
            ("warmup", "2"),
        ]);
        assert_eq!((r.shootdowns, r.flush_ipis), (0, 0), "{}", scheme.name());
        assert!(r.cr3_loads + r.invlpg >= r.operations);
    }
}

#[test]
fn lazy_leaves_processors_out_that_run_the_kernel_only() {
    // Fewer threads than processors, which move about: some processor has always been left with the space's CR3.
    let pairs = [("tasks", "2"), ("think", "200"), ("tick", "3000")];
    let (sync, lazy) = (row("ipi-sync", &pairs), row("lazy", &pairs));
    let per = |r: &Row| r.flush_ipi_targets as f64 / r.operations as f64;
    assert!(per(&lazy) < per(&sync), "{} {}", per(&lazy), per(&sync));
}

#[test]
fn concurrent_is_done_sooner_than_one_after_the_other() {
    let (sync, concurrent) = (row("ipi-sync", &[]), row("concurrent", &[]));
    assert_eq!(sync.checksum, concurrent.checksum);
    let early = row("early-ack", &[]);
    assert!(early.initiator_latency.p50 < sync.initiator_latency.p50, "it does not wait for the flushes");
}

/// The loads of user memory, with what makes them different.
const LOADS: [(&str, &[(&str, &str)]); 8] = [
    ("fault-zero", &[("crew", "threads")]),
    ("munmap", &[("call", "fork")]),
    ("mremap", &[]),
    ("peek", &[]),
    ("fault-zero", &[("crew", "processes")]),
    ("munmap", &[("call", "discard")]),
    ("munmap", &[("call", "mprotect")]),
    ("shm-many", &[]),
];

/// Runs these loads under `lowmem` and two of the strategies that threads are hard on, by turns.
fn agree(loads: &[(&str, &[(&str, &str)])]) {
    let strategies = ["task-window", "copy-clear", "batched", "deferred-seq"];
    for (i, (load, pairs)) in loads.iter().enumerate() {
        let of = |strategy| {
            let small = [
                ("workload", *load),
                ("strategy", strategy),
                ("pages", "12"),
                ("ops", "15"),
                ("warmup", "2"),
            ];
            sound(&[&small, *pairs].concat()).checksum.expect("the kernel prints it")
        };
        let expected = of("lowmem");
        for strategy in [strategies[i % 4], strategies[(i + 1) % 4]] {
            assert_eq!(of(strategy), expected, "{load} {pairs:?} {strategy}");
        }
    }
}

#[test]
fn loads_whose_tasks_share_an_address_space_agree() {
    agree(&LOADS[..4]);
}

#[test]
fn the_other_loads_of_user_memory_agree() {
    agree(&LOADS[4..]);
}

/// A race needs luck: the fault must show itself under at least one of these seeds.
const SEEDS: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

fn caught(scheme: &str, fault: &str, pairs: &[(&str, &str)], shows: fn(&Row) -> bool) {
    let with = |more: &[(&'static str, &str)], seed| {
        let all = [&[("shootdown", scheme), ("seed", seed)], more].concat();
        [THREADS, pairs, &all]
            .concat()
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect::<Vec<_>>()
    };
    let run = |all: Vec<(String, String)>| {
        outcome(&all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>()).row
    };
    let found = SEEDS.into_iter().find(|seed| shows(&run(with(&[("fault", fault)], seed))));
    let Some(seed) = found else { panic!("{scheme} with fault {fault}: nothing shows under {SEEDS:?}") };
    assert_eq!(run(with(&[], seed)).problems(), Vec::<String>::new(), "{scheme} without {fault}");
}

#[test]
fn threads_that_read_what_is_going_use_stale_entries_but_no_harmful_ones() {
    let r = row("ipi-sync", &[("call", "discard")]);
    assert!(r.stale_uses > 0, "nobody reads while a shootdown is in flight");
    assert_eq!(r.harmful_uses, 0);
}

#[test]
fn frames_that_are_given_up_before_the_flush_are_caught() {
    for scheme in ["ipi-sync", "lazy"] {
        caught(scheme, "free-first", &[("call", "discard")], |r| r.harmful_uses > 0);
    }
}

/// Fewer threads than processors, switched often: they come back to a processor that has kept their CR3.
const RETURNS: &[(&str, &str)] = &[("tasks", "3"), ("tick", "2000")];

/// More threads than processors, whose copy-on-write breaks meet, with TLBs that fill whenever they may.
const BREAKS: &[(&str, &str)] =
    &[("tasks", "7"), ("tick", "2000"), ("tlb.adversary", "fill"), ("call", "fork"), ("ops", "8")];

#[test]
fn a_processor_that_does_not_flush_when_it_comes_back_is_caught() {
    caught("lazy", "no-return-flush", RETURNS, |r| r.harmful_uses > 0);
}

#[test]
fn a_generation_that_is_read_too_late_is_caught() {
    caught("tlb-gen", "gen-late", BREAKS, |r| r.harmful_uses > 0);
}

#[test]
fn a_munmap_that_does_not_flush_is_caught_by_the_oracle_and_the_data() {
    for scheme in ["ipi-sync", "tlb-gen"] {
        caught(scheme, "no-flush", &[], |r| r.harmful_uses > 0 && r.data_errors > 0);
    }
}
