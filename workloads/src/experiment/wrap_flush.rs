//! Q9: what to flush when the window's cursor wraps?
//!
//! Everything, by CR4.PGE; every slot of the window, or only those that are taken back, by a loop of `invlpg`, since x86 has
//! no flush of a range; that loop up to 33 slots as later kernels do; or, with slots that are not global, everything but the
//! kernel's own by CR3. The order is taken by what the flush costs initiator and targets; what it makes the TLBs fetch
//! again is told apart.

use super::Question;
use super::claim::{Conclusion, break_even, compared, told};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LOWMEM, Plan};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "wrap-flush",
    number: "Q9",
    question: "at the wrap: global flush, flush of just the window's range, or page by page?",
    asked_by: "Mackerras, January 2002",
    expectation: "Arcangeli's answer: x86 has no flush of a range and falls back to the global flush. Linux later flushed up to \
                  33 pages one by one [H14]",
    plan,
    conclude,
    threats: &[
        "what a global flush spoils is what the user program and the kernel have in the TLB: `footprint` moves it",
    ],
};

const GLOBAL: &str = "global, pge";
const CR3: &str = "G=0, cr3";
const ALL: &str = "all slots";
const TAKEN: &str = "slots taken back";
const CEILING: &str = "up to 33";
const FLUSH: &str = "pays.flush";

fn plan(effort: Effort) -> Plan {
    let range = |name, set| Arm::scheme(name, Strategy::BatchedRange, set);
    let arms = vec![
        Arm::scheme(GLOBAL, Strategy::Batched, &[]),
        Arm::scheme(CR3, Strategy::Batched, &[("global-kmap", "0"), ("how", "cr3")]),
        range(ALL, &[("wrap", "all-slots")]),
        range(TAKEN, &[("wrap", "reclaimed-slots")]),
        range(CEILING, &[("wrap", "ceiling:33")]),
        LOWMEM,
        IDEAL,
        Arm::unsafe_control("no flush", Strategy::Batched),
    ];
    let mut plan = Plan::new(effort, GLOBAL, arms, &[("footprint", "16"), ("think", "16")]);
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("cpu", &["p4-xeon"], &[]);
    plan.factor("window", &["16", "32", "512"], &["16"]);
    plan.factor("footprint", &["4", "48"], &[]);
    plan.factor("hot", &["80"], &[]);
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let slots = m.plan.base_value("window").unwrap_or_default();
    let mut verdict =
        format!("With {slots} slots {} of the flush itself", compared(m, BASE, FLUSH, GLOBAL, ALL));
    verdict += &format!(", {}", compared(m, BASE, FLUSH, GLOBAL, TAKEN));
    verdict += &format!(", {}. ", compared(m, BASE, FLUSH, GLOBAL, CR3));
    let refill = |arm: &str| m.interval(BASE, arm, "refill");
    if let (Some(global), Some(range)) = (refill(GLOBAL), refill(ALL)) {
        verdict += &format!(
            "The TLBs fetch again for {} cycles an operation after a global flush and {} after one of the range. ",
            told(&global, 1),
            told(&range, 1)
        );
    }
    let whole = |arm| {
        let flush = m.difference(BASE, FLUSH, GLOBAL, arm)?.median;
        Some(flush + m.difference(BASE, "refill", GLOBAL, arm)?.median)
    };
    if let Some(more) = whole(ALL) {
        verdict += &format!(
            "Both together, the range {} {:.0} cycles an operation. ",
            if more > 0.0 { "costs" } else { "saves" },
            more.abs()
        );
    }
    verdict += &format!("Of the whole operation {}. ", compared(m, BASE, COST, GLOBAL, ALL));
    verdict += &format!("Break-even of the flush itself: {}.", break_even(m, "window", FLUSH, GLOBAL, ALL));
    let arms = [GLOBAL, CR3, ALL, TAKEN, CEILING];
    Conclusion {
        verdict,
        pairs: vec![(GLOBAL, ALL), (GLOBAL, TAKEN), (CR3, GLOBAL)],
        metric: FLUSH,
        more: vec![
            ("pays.flush", FLUSH),
            ("flush.p50", "initiator_latency.p50"),
            ("invlpg_per_op", "invlpg/operations"),
        ],
        charts: vec![
            Chart::curve(
                m,
                "",
                "What is flushed at the wrap",
                ("window", "slots"),
                (FLUSH, "cycles of initiator and targets, per operation"),
                &arms,
            ),
            Chart::bars(
                m,
                "settings",
                "The flush at the wrap, initiator and targets",
                (FLUSH, "cycles"),
                &[BASE, "cpus=1", "cpus=8", "footprint=48", "cpu=haswell-ep", "hot=80"],
                &arms,
            ),
        ],
    }
}
