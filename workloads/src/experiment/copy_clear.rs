//! Q13: two local addresses for copying and clearing, or the recycled window of page_kva?
//!
//! The load copies and clears: children write to memory that they share with their parent. A copy needs two pages mapped at
//! once, which is what the two addresses are for; or one, if the old page is read where the task has it (`cow=own`), as was
//! said in the same thread. Those arms tell what the second kmap costs under each.

use super::Question;
use super::claim::{Conclusion, compared};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LONGER, LOWMEM, Plan, READS};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "copy-clear",
    number: "Q13",
    question: "two local temporary addresses for copy and clear, against a recycled page_kva window; and is one enough, if the old \
               page of a copy is read at the task's own address?",
    asked_by: "Jelinek, Miller, Tweedie, in Tweedie's discussion, 1999",
    expectation: "open: addresses local through the task's own page table need no invalidation elsewhere, but one here for every \
                  use",
    plan,
    conclude,
    threats: &[
        "the two addresses need a page table for each address space, whose memory is not counted",
        "threads of one address space on two processors would collide on them; the load's processes have one thread each",
    ],
};

const PAIR: &str = "copy-clear";
const SEQ: &str = "deferred-seq";
const LOCAL: &str = "deferred-local";
const ATOMIC: &str = "atomic";
const PAIR_OWN: &str = "copy-clear, one kmap";
const SEQ_OWN: &str = "deferred-seq, one kmap";
const ATOMIC_OWN: &str = "atomic, one kmap";

/// The old page is read at the task's own address.
const OWN: &[(&str, &str)] = &[("cow", "own")];
/// Where pages are copied on write.
const COPIED: &[&str] = &[BASE, "cpus", "cpu", "window", "tasks", LONGER];

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::plain(Strategy::CopyClear),
        Arm::plain(Strategy::DeferredSeq),
        Arm::plain(Strategy::DeferredLocal),
        Arm::plain(Strategy::Atomic),
        Arm::scheme(PAIR_OWN, Strategy::CopyClear, OWN).only(COPIED),
        Arm::scheme(SEQ_OWN, Strategy::DeferredSeq, OWN).only(COPIED),
        Arm::scheme(ATOMIC_OWN, Strategy::Atomic, OWN).only(COPIED),
        LOWMEM,
        IDEAL,
        // Without invalidation the kernel's own copies take other slots, so only a load that reads files can be wrong.
        Arm::unsafe_control("copy-clear, never", Strategy::CopyClear).only(&[READS]),
    ];
    let base = [("workload", "fork-cow"), ("pages", "128"), ("ops", "32"), ("rounds", "2"), ("warmup", "1")];
    let mut plan = Plan::new(effort, SEQ, arms, &base);
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("window", &["32", "1024"], &["1024"]);
    plan.factor("tasks", &["4"], &[]);
    plan.reads();
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = format!("Copying on write on four processors, {}", compared(m, BASE, COST, PAIR, SEQ));
    verdict += &format!(", {}", compared(m, BASE, COST, PAIR, LOCAL));
    verdict += &format!("; on one {}. ", compared(m, "cpus=1", COST, PAIR, SEQ));
    verdict += &format!("Against slots of the processor's own, {}. ", compared(m, BASE, COST, ATOMIC, PAIR));
    let pays = |arm| m.median(BASE, arm, "pays.all");
    if let (Some(pair), Some(seq)) = (pays(PAIR), pays(SEQ)) {
        verdict += &format!(
            "Maps, flushes and their locks are {pair:.0} cycles of a copied page with the two addresses and {seq:.0} with the window. "
        );
    }
    let own = [(PAIR_OWN, PAIR), (SEQ_OWN, SEQ), (ATOMIC_OWN, ATOMIC)];
    let told: Vec<_> = own.iter().map(|(one, two)| compared(m, BASE, COST, one, two)).collect();
    verdict += &format!("With the old page read at the task's own address, {}.", told.join(", "));
    Conclusion {
        verdict,
        pairs: vec![(PAIR, SEQ), (PAIR, LOCAL), (PAIR_OWN, PAIR), (SEQ_OWN, SEQ), (ATOMIC_OWN, ATOMIC)],
        metric: COST,
        more: vec![
            ("kmaps_per_op", "kmaps/operations"),
            ("invlpg_per_op", "invlpg/operations"),
            ("conflicts_per_recycle", "conflicts/recycles"),
        ],
        charts: vec![Chart::bars(
            m,
            "",
            "Two local addresses against a recycled window (base: fork-cow)",
            (COST, "cycles for an operation"),
            &[BASE, "cpus=1", "cpus=8", "window=1024", "cpu=haswell-ep"],
            &[PAIR, PAIR_OWN, SEQ, SEQ_OWN, LOCAL, ATOMIC, ATOMIC_OWN, "lowmem", "ideal"],
        )],
    }
}
