//! Q4: page tables in high memory: how should the kernel reach them in fork, fault and `mremap`?
//!
//! The persistent kmap keeps a table's address for the next use and takes a lock to find it; a slot of the processor's own costs
//! a PTE and an `invlpg` each time and lets nobody sleep meanwhile; "nowait" takes the first if it is to be had at once. The
//! data's own pages are mapped by `batched` under all of them, so that tables and data share the window, as they did.

use super::Question;
use super::claim::{Conclusion, compared};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LOWMEM, Plan, READS};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "pte-map",
    number: "Q4",
    question: "page tables in highmem: persistent kmap, atomic kmap, or \"nowait\" (kmap if free, else atomic) in fork, fault, mremap \
               and swap-out",
    asked_by: "Arcangeli, Dickins, January 2002",
    expectation: "open: the persistent kmap was to be cheap where a table is used again soon, the atomic one where many processors \
                  want the lock",
    plan,
    conclude,
    threats: &[
        "swap-out is left out: reclaim goes over tables of others, and this kernel does that with `pte=lowmem` and `pte=atomic` \
         alone",
        "who deadlocks is another question (Q6); this one asks for the cost where nobody does",
        "only the lowest level of tables lies in high memory, as in Linux",
    ],
};

const KMAP: &str = "tables by kmap";
const ATOMIC: &str = "tables by atomic";
const NOWAIT: &str = "tables by nowait";
const LOW: &str = "tables low";

/// The settings that are other paths: name and keys.
const PATHS: &[(&str, &[(&str, &str)])] = &[
    ("fork", &[("workload", "fork-cow"), ("pages", "128"), ("ops", "32"), ("rounds", "2"), ("warmup", "1")]),
    ("mremap", &[("workload", "mremap"), ("crew", "processes"), ("ops", "60"), ("warmup", "10")]),
    ("munmap", &[("workload", "munmap"), ("ops", "20"), ("warmup", "5")]),
];

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::scheme(KMAP, Strategy::Batched, &[("pte", "kmap")]),
        Arm::scheme(ATOMIC, Strategy::Batched, &[("pte", "atomic")]),
        Arm::scheme(NOWAIT, Strategy::Batched, &[("pte", "nowait")]),
        Arm::control(LOW, Strategy::Batched, &[]),
        LOWMEM,
        IDEAL,
        // Without invalidation the kernel's own copies take other slots, so only a load that reads files can be wrong.
        Arm::unsafe_control("batched, never", Strategy::Batched).only(&[READS]),
    ];
    let load = [("workload", "fault-zero"), ("tasks", "8"), ("pages", "64")];
    let mut plan = Plan::new(effort, KMAP, arms, &load);
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("paging", &["64g"], &[]);
    plan.factor("tasks", &["4", "16"], &[]);
    for (name, set) in PATHS {
        plan.setting("path", name, set);
    }
    plan.reads();
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = format!("In page faults on four processors, {}", compared(m, BASE, COST, KMAP, ATOMIC));
    verdict += &format!(", {}", compared(m, BASE, COST, KMAP, NOWAIT));
    verdict += &format!("; on one {}. ", compared(m, "cpus=1", COST, KMAP, ATOMIC));
    for (name, _) in PATHS {
        verdict += &format!("In {name}, {}. ", compared(m, name, COST, KMAP, ATOMIC));
    }
    verdict += &format!("Against tables in low memory, {}.", compared(m, BASE, COST, LOW, KMAP));
    let settings = [BASE, "fork", "mremap", "munmap", "cpus=1", "cpus=8", "tasks=16", "cpu=haswell-ep"];
    Conclusion {
        verdict,
        pairs: vec![(KMAP, ATOMIC), (KMAP, NOWAIT)],
        metric: COST,
        more: vec![
            ("invlpg_per_op", "invlpg/operations"),
            ("maps_per_op", "maps/operations"),
            ("flush_ipis_per_op", "flush_ipis/operations"),
        ],
        charts: vec![Chart::bars(
            m,
            "",
            "Page tables in high memory (base: page faults)",
            (COST, "cycles for an operation"),
            &settings,
            &[KMAP, ATOMIC, NOWAIT, LOW],
        )],
    }
}
