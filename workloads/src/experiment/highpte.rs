//! Q7: when do page tables fill low memory, and what does it cost to move them to high memory?
//!
//! Processes that map one piece of shared memory have a page table each for every 4 MiB (2 MiB with PAE) of it: the
//! memory is there once, its tables as often as there are processes. Filling settings fork until there is no memory for
//! another process and count; the others tell what moved tables cost where both fit. Shared memory in large pages,
//! which needs no such tables, is the control: it is what moving them is held against where memory is shared.

use super::Question;
use super::claim::{Conclusion, compared};
use super::figure::Chart;
use super::measured::{COST, Measured, PROCESSES};
use super::plan::{Arm, BASE, IDEAL, LONGER, LOWMEM, Plan, READS};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "highpte",
    number: "Q7",
    question: "when do page tables of many processes fill the low zone, and what does moving them to highmem cost?",
    asked_by: "van Riel, January 2002; Molnar, \"simpler highpte\", 18 February 2002",
    expectation: "none in figures",
    plan,
    conclude,
    threats: &[
        "low memory is 8 MiB here, the kernel in it, and shared memory 8 and 16 MiB: how many processes fit is this machine's \
         number; the ratio is what carries over, as long as tables are most of what a process has in low memory",
        "van Riel's remedy, shared memory in large pages, finds its blocks of neighbouring frames here because nothing else has \
         taken memory before; on a machine that has run for days they may not be there, and the mapping fails",
        "under `pte=kmap` and `nowait` copies of pages take slots of the processor, as those of Linux 2.4 did, and with tables in low \
         memory the shared window: where pages are copied, that is part of the difference",
        "without swap; only the lowest level of tables lies in high memory, as in Linux",
    ],
};

const LOW: &str = "tables low";
const ATOMIC: &str = "tables by atomic";
const KMAP: &str = "tables by kmap";
const NOWAIT: &str = "tables by nowait";
const LARGE: &str = "large pages";

/// Where memory is enough for all.
const FITS: &[&str] = &[BASE, "cpus", "cpu", "paging", LONGER, "load"];

fn filling(pages: &str) -> String {
    format!("filled, {pages} shared pages")
}

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::scheme(LOW, Strategy::Batched, &[]),
        Arm::scheme(ATOMIC, Strategy::Batched, &[("pte", "atomic")]),
        // How many processes fit is the same whichever way high tables are mapped.
        Arm::scheme(KMAP, Strategy::Batched, &[("pte", "kmap")]).only(FITS),
        Arm::scheme(NOWAIT, Strategy::Batched, &[("pte", "nowait")]).only(FITS),
        // Where memory is shared in pieces that are long enough; the large pages need no table, the others have theirs low.
        Arm::scheme(LARGE, Strategy::Batched, &[("shm-pages", "large")]).only(&["shared", "shm-many"]),
        LOWMEM.only(FITS),
        IDEAL.only(FITS),
        // Only a load that reads files can be wrong without invalidation: see Q4.
        Arm::unsafe_control("batched, never", Strategy::Batched).only(&[READS]),
    ];
    // Forks are measured, too: they are what goes over most tables.
    let (pages, ops) = if effort == Effort::Full { ("256", "32") } else { ("128", "32") };
    let load = [("workload", "fork-cow"), ("tasks", "4"), ("pages", pages), ("ops", ops)];
    let rounds = [("rounds", "2"), ("warmup", "1")];
    let mut plan = Plan::new(effort, LOW, arms, &[&load[..], &rounds].concat());
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("paging", &["64g"], &[]);
    let shared =
        [("workload", "shm-many"), ("tasks", "16"), ("pages", "1024"), ("ops", "100"), ("warmup", "50")];
    plan.setting("load", "shm-many", &shared);
    plan.reads();
    let sizes: &[&str] = match effort {
        Effort::Full => &["2048", "4096"],
        Effort::Quick => &["2048"],
    };
    for pages in sizes {
        let set = [
            ("workload", "shm-many"),
            ("mem", "128M"),
            ("normal", "8M"),
            ("tasks", "1024"),
            ("ops", "1"),
            ("warmup", "0"),
            ("pages", pages),
        ];
        plan.filling("shared", &filling(pages), &set);
    }
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = String::new();
    let sizes: Vec<(f64, String)> =
        m.along("shared").into_iter().filter(|(_, s)| *s != BASE).map(|(x, s)| (x, s.to_owned())).collect();
    let ends = sizes.iter().take(1).chain(sizes.iter().skip(1).last());
    for (pages, setting) in ends {
        let fit = |arm| m.interval(setting, arm, PROCESSES);
        if let (Some(low), Some(high), Some(times)) =
            (fit(LOW), fit(ATOMIC), m.ratio(setting, PROCESSES, LOW, ATOMIC))
        {
            verdict += &format!(
                "Of processes that share {:.0} MiB, {:.0} fit with tables in low memory and {:.0} with tables in high \
                 memory, {:.2} times as many. ",
                pages / 256.0,
                low.median,
                high.median,
                times.median
            );
        }
        if let (Some(large), Some(times)) = (fit(LARGE), m.ratio(setting, PROCESSES, LOW, LARGE)) {
            verdict += &format!(
                "In large pages the same memory has room for {:.0} processes, {:.2} times as many. ",
                large.median, times.median
            );
        }
    }
    for (setting, what) in
        [(BASE, "In fork on four processors"), ("paging=64g", "With PAE"), ("shm-many", "In shared memory")]
    {
        if !m.values(setting, ATOMIC, COST).is_empty() {
            verdict += &format!(
                "{what}, {}, {}. ",
                compared(m, setting, COST, LOW, ATOMIC),
                compared(m, setting, COST, LOW, KMAP)
            );
        }
    }
    if !m.values("shm-many", LARGE, COST).is_empty() {
        verdict += &format!(
            "Large pages, in shared memory: {}; {}. ",
            compared(m, "shm-many", COST, LOW, LARGE),
            compared(m, "shm-many", COST, ATOMIC, LARGE)
        );
    }
    Conclusion {
        verdict: verdict.trim_end().to_owned(),
        pairs: vec![(LOW, ATOMIC), (LOW, KMAP)],
        metric: COST,
        more: vec![("invlpg_per_op", "invlpg/operations"), ("processes", PROCESSES)],
        charts: vec![
            Chart::curve(
                m,
                "",
                "Processes that fit, 8 MiB of low memory",
                ("shared", "pages that all of them share"),
                (PROCESSES, "processes"),
                &[LOW, ATOMIC, LARGE],
            ),
            Chart::bars(
                m,
                "cost",
                "Page tables in high memory (base: fork)",
                (COST, "cycles for an operation"),
                &[BASE, "cpus=1", "cpus=8", "paging=64g", "shm-many", "cpu=haswell-ep"],
                &[LOW, ATOMIC, KMAP, NOWAIT, LARGE],
            ),
        ],
    }
}
