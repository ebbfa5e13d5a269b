//! The strategies' axes: does each one cost what its point says, is what makes no sense refused, is a scheme without
//! invalidation caught, and is the bound a bound?

mod common;

use common::{SOUND, cell, outcome, sound};
use rayon::prelude::*;
use shootdown_workloads::{Row, run};
use std::sync::Arc;

const CPUS: u64 = 4;

fn row(strategy: &str, pairs: &[(&str, &str)]) -> Row {
    sound(&[&[("strategy", strategy)], pairs].concat())
}

#[test]
fn slots_of_a_processors_own_cost_one_invlpg_a_map_and_no_ipi() {
    for strategy in ["atomic", "atomic-stack", "copy-clear"] {
        for when in ["map", "unmap"] {
            let r = row(strategy, &[("when", when)]);
            assert!(r.maps >= r.operations, "{strategy}: every page is in highmem");
            // A map at one end of the measured part has its unmap on the other side.
            let apart = r.invlpg.abs_diff(r.maps);
            assert!(
                apart <= CPUS && (when == "unmap" || apart == 0),
                "{strategy} {when}: {} {}",
                r.invlpg,
                r.maps
            );
            assert_eq!((r.flush_ipis, r.global_flushes), (0, 0), "{strategy}");
        }
    }
    // The same axis under its older name.
    let (a, b) = (row("atomic", &[("when", "unmap")]), row("atomic", &[("atomic-flush", "unmap")]));
    assert_eq!((a.invlpg, a.maps), (b.invlpg, b.maps));
}

#[test]
fn a_pool_invalidates_only_what_changes_its_page() {
    let r = row("percpu-pool", &[]);
    assert_eq!((r.invlpg, r.flush_ipis), (r.maps, 0));
    // Two pages on one processor stay in its four slots.
    let r = row("percpu-pool", &[("cpus", "1"), ("tasks", "1"), ("pages", "2"), ("sharing", "0")]);
    assert!(r.kmaps >= r.operations);
    assert_eq!((r.maps, r.invlpg), (0, 0));
    let r = row(
        "percpu-pool",
        &[("when", "unmap"), ("cpus", "1"), ("tasks", "1"), ("pages", "2"), ("sharing", "0")],
    );
    assert_eq!((r.maps, r.invlpg), (r.kmaps, r.kmaps));
}

#[test]
fn a_tasks_own_slots_need_no_invlpg_after_a_cr3_load() {
    let r = row("task-window", &[]);
    assert!(r.maps >= r.operations && r.invlpg > 0 && r.flush_ipis == 0);
    let often = row("task-window", &[("tick", "2000")]);
    assert!(often.cr3_loads > 2 * r.cr3_loads, "{} {}", often.cr3_loads, r.cr3_loads);
    assert!(often.invlpg < r.invlpg, "each load flushes four slots: {} {}", often.invlpg, r.invlpg);
    let always = row("task-window", &[("when", "map"), ("cpus", "1")]);
    assert_eq!(always.invlpg, always.maps);
}

#[test]
fn a_range_costs_invlpg_by_the_slot_and_spares_global_entries() {
    let of = |wrap| row("batched-range", &[("wrap", wrap)]);
    let all = of("all-slots");
    assert!(all.wraps > 5, "{}", all.wraps);
    assert_eq!((all.invlpg, all.global_flushes), (all.wraps * CPUS * 64, 0));
    assert_eq!((all.flush_ipis, all.flush_ipi_targets), (all.wraps, all.wraps * (CPUS - 1)));
    let reclaimed = of("reclaimed-slots");
    assert!(reclaimed.invlpg <= reclaimed.wraps * CPUS * 64 && reclaimed.invlpg > 0);
    assert_eq!(reclaimed.global_flushes, 0);
    // A ceiling above the window is never met, one of 1 always.
    let high = of("ceiling:64");
    assert!(high.invlpg > 0 && high.global_flushes == 0);
    let low = of("ceiling:1");
    assert_eq!((low.invlpg, low.global_flushes), (0, low.wraps * CPUS));
    // `batched` is the same point with a flush of everything.
    let global = of("global");
    assert_eq!((global.invlpg, global.global_flushes), (0, global.wraps * CPUS));
    let ranged = row("batched", &[("wrap", "all-slots")]);
    assert_eq!((ranged.invlpg, ranged.global_flushes), (ranged.wraps * CPUS * 64, 0));
}

#[test]
fn an_axis_leads_to_the_strategy_that_lies_there() {
    let r = row("batched", &[("when", "recycle"), ("how", "invlpg")]);
    assert!(r.recycles > 0 && r.wraps == 0, "shared-invlpg");
    assert_eq!((r.invlpg, r.flush_ipis), (r.recycles * CPUS, r.recycles));
    let r = row("batched", &[("slots", "lru"), ("sharing", "100")]);
    assert!(r.conflicts > 0, "deferred-seq");
    assert_eq!((r.invlpg, r.flush_ipis), (r.recycles, r.conflicts));
    let r = row("deferred-seq", &[("who", "self"), ("sharing", "100")]);
    assert!(r.conflicts > 0, "deferred-local");
    assert_eq!((r.invlpg, r.flush_ipis), (r.recycles + r.conflicts, 0));
    let r = row("deferred-local", &[("who", "everyone"), ("sharing", "100")]);
    assert_eq!((r.invlpg, r.flush_ipis), (r.recycles, r.conflicts), "deferred-seq");
    let r = row("lowmem", &[("slots", "stack")]);
    assert!(r.maps >= r.operations && r.invlpg > 0, "atomic-stack");
}

#[test]
fn every_instruction_flushes_the_window_soundly() {
    let preset = ("cpu", "haswell-ep");
    let sums: Vec<_> = ["pge", "cr3", "invpcid", "invlpg"]
        .map(|how| row("batched", &[preset, ("how", how), ("tlb.adversary", "fill"), ("ops", "100")]))
        .iter()
        .map(|r| (r.wraps > 0, r.checksum.clone()))
        .collect();
    assert!(sums.iter().all(|s| s.0 && *s == sums[0]), "{sums:?}");
    let r = row("batched", &[("how", "cr3")]);
    assert_eq!((r.global_flushes, r.invlpg), (0, 0), "slots are not global then");
    let r = row("deferred-local", &[("how", "cr3"), ("sharing", "100")]);
    assert!(r.conflicts > 0);
    assert_eq!((r.invlpg, r.flush_ipis), (r.recycles, 0), "conflicts are resolved by CR3 loads");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let refusal = |strategy: &str, pairs: &[(&str, &str)]| {
        let cell = cell(&[&[("strategy", strategy)], pairs].concat());
        run(&cell, &Arc::default()).map(|o| o.stop).expect_err("it is refused").to_string()
    };
    for (strategy, pairs, says) in [
        ("batched", &[("who", "self")][..], "all processors use the window"),
        ("atomic", &[("who", "everyone")], "nobody else uses these slots"),
        ("atomic", &[("when", "wrap")], "accepted: map, unmap"),
        ("lowmem", &[("when", "map")], "the direct map never changes"),
        ("deferred-seq", &[("how", "pge")], "count CR3 loads"),
        ("deferred-seq", &[("how", "invlpg")], "for itself only"),
        ("deferred-seq", &[("global-kmap", "1")], "a CR3 load would not flush the window"),
        ("task-window", &[("global-kmap", "1")], "would outlive its address space"),
        ("copy-clear", &[("global-kmap", "1")], "would outlive its address space"),
        ("batched", &[("global-kmap", "1"), ("how", "cr3")], "spares global entries"),
        ("atomic", &[("wrap", "all-slots")], "nothing wraps"),
        ("batched", &[("wrap", "all-slots"), ("how", "pge")], "does not go with this wrap="),
        ("batched", &[("how", "invpcid")], "no INVPCID"),
        ("batched", &[("inval", "ideal"), ("fault", "skip-idle")], "nothing is invalidated"),
        (
            "deferred-seq",
            &[("window", "65536"), ("normal", "768M"), ("mem", "1G")],
            "for a window of 65536 slots",
        ),
    ] {
        let said = refusal(strategy, pairs);
        assert!(said.contains(says) && !said.contains('\n'), "{strategy} {pairs:?}: {said}");
    }
}

#[test]
fn windows_of_all_sizes_work() {
    for slots in ["128", "4096", "65536"] {
        for strategy in ["batched", "deferred-seq"] {
            let r = row(strategy, &[("window", slots), ("mem", "128M"), ("normal", "32M"), ("ops", "50")]);
            assert!(r.kmaps >= r.operations, "{strategy} {slots}");
        }
    }
}

#[test]
fn every_scheme_without_its_invalidation_is_caught() {
    for strategy in SOUND.into_iter().filter(|s| !matches!(*s, "lowmem" | "ideal")) {
        let r = outcome(&[("strategy", strategy), ("inval", "none"), ("tick", "2000")]).row;
        assert!(r.harmful_uses > 0 && !r.problems().is_empty(), "{strategy}: {}", r.harmful_uses);
        let strategies_own = (r.flush_ipis, r.global_flushes, r.invlpg);
        assert_eq!(strategies_own, (0, 0, 0), "{strategy}");
    }
}

/// Cycles of a run in the scheme itself: mapping, flushing, and waiting for others that do. The load's own work and the
/// idle end of a short run, when the last task is alone, differ by luck.
fn scheme(row: &Row) -> u64 {
    let own = ["kmap", "flush-init", "ack-wait", "ipi-handler", "lock-spin"];
    own.iter().filter_map(|activity| row.ledger.activity.get(*activity)).sum()
}

#[test]
fn coherent_tlbs_make_every_scheme_sound_and_none_dearer() {
    for strategy in SOUND.into_iter().filter(|s| *s != "ideal") {
        for adversary in ["none", "fill", "keep"] {
            let r = row(strategy, &[("inval", "ideal"), ("tlb.adversary", adversary), ("ops", "100")]);
            assert_eq!((r.stale_uses, r.invlpg, r.flush_ipis, r.global_flushes), (0, 0, 0, 0), "{strategy}");
        }
        let (bound, real) = (row(strategy, &[("inval", "ideal")]), row(strategy, &[]));
        assert_eq!(bound.checksum, real.checksum);
        if real.invlpg + real.global_flushes > 0 {
            let (bound, real) = (scheme(&bound), scheme(&real));
            assert!(bound < real, "{strategy}: {bound} instead of {real}");
        }
    }
    // Coherence alone makes nothing stale either, whatever the kernel still does.
    let r = row("deferred-seq", &[("tlb.coherent", "on"), ("sharing", "100")]);
    assert_eq!(r.stale_uses, 0);
    assert!(r.conflicts > 0);
}

#[test]
fn interrupts_and_kernel_threads_read_pages_soundly() {
    let readers = [("irq-kmap", "1"), ("thread-kmap", "1"), ("tick", "2000"), ("ops", "100")];
    SOUND.par_iter().with_max_len(1).for_each(|strategy| {
        for adversary in ["none", "fill", "keep"] {
            let r = row(strategy, &[&readers[..], &[("tlb.adversary", adversary)]].concat());
            assert!(r.kmaps > r.operations + 20, "{strategy}: they read at every tick");
        }
    });
    for strategy in ["atomic-stack", "percpu-pool"] {
        row(strategy, &[&readers[..], &[("when", "unmap"), ("tlb.adversary", "fill")]].concat());
    }
}
