//! Q10: a few slots for each processor and context, or fixed slots by type?
//!
//! The pool keeps a page mapped until its slot is wanted, so that the same page again needs no `invlpg`; fixed slots are
//! invalidated at every map. Interrupts map pages too, in slots of their own in both; tasks share all of the file.

use super::Question;
use super::claim::{Conclusion, break_even, compared, told};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LOWMEM, Plan};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "percpu-pool",
    number: "Q10",
    question: "a per-CPU pool of about four slots for each context, against fixed atomic slots that need interrupts off during a \
               copy: interrupt latency",
    asked_by: "LaHaise, January 2002",
    expectation: "none in figures; the pool was to do without interrupts off during a copy",
    plan,
    conclude,
    threats: &[
        "answered for the cost alone: this kernel's fixed slots leave interrupts on during a copy, since interrupts have types of \
         their own, so that the latency that was asked about does not arise, and results hold no histogram of it",
    ],
};

const ATOMIC: &str = "atomic";
const POOL: &str = "percpu-pool";

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::plain(Strategy::PercpuPool),
        Arm::plain(Strategy::Atomic),
        Arm::plain(Strategy::Batched),
        LOWMEM,
        IDEAL,
        Arm::unsafe_control("pool, never", Strategy::PercpuPool),
    ];
    let base = [
        ("irq-kmap", "1"),
        ("tick", "20000"),
        ("len", "128"),
        ("pages", "512"),
        ("tasks", "4"),
        ("sharing", "100"),
    ];
    let mut plan = Plan::new(effort, ATOMIC, arms, &base);
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("irq-kmap", &["0"], &["0"]);
    plan.factor("pages", &["2", "4", "8", "32"], &["2", "8"]);
    plan.factor("len", &["4096"], &[]);
    plan.factor("tick", &["5000"], &[]);
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict =
        format!("With pages that come up again seldom, {}", compared(m, BASE, COST, ATOMIC, POOL));
    verdict += &format!(
        "; with a file of two pages {}; {}. ",
        compared(m, "pages=2", COST, ATOMIC, POOL),
        break_even(m, "pages", COST, ATOMIC, POOL)
    );
    let rate = |setting, arm| m.interval(setting, arm, "invlpg/operations");
    if let (Some(pool), Some(few), Some(fixed)) =
        (rate(BASE, POOL), rate("pages=2", POOL), rate(BASE, ATOMIC))
    {
        verdict += &format!(
            "The pool needs {:.2} `invlpg`s an operation, {:.2} with two pages, fixed slots {:.2}. ",
            pool.median, few.median, fixed.median
        );
    }
    let p99 = |arm| m.interval(BASE, arm, "kmap_latency.p99");
    if let (Some(pool), Some(fixed)) = (p99(POOL), p99(ATOMIC)) {
        verdict += &format!(
            "A kmap takes {} cycles (p99) from the pool, {} in a fixed slot.",
            told(&pool, 0),
            told(&fixed, 0)
        );
    }
    Conclusion {
        verdict,
        pairs: vec![(ATOMIC, POOL)],
        metric: COST,
        more: vec![("invlpg_per_op", "invlpg/operations"), ("interrupts_per_op", "interrupts/operations")],
        charts: vec![
            Chart::curve(
                m,
                "",
                "A pool of four slots against fixed ones",
                ("pages", "pages of the file"),
                (COST, "cycles for an operation"),
                &[POOL, ATOMIC, "lowmem", "ideal"],
            ),
            Chart::bars(
                m,
                "settings",
                "A pool of four slots against fixed ones",
                (COST, "cycles for an operation"),
                &[BASE, "irq-kmap=0", "cpus=1", "cpus=8", "len=4096", "tick=5000", "cpu=haswell-ep"],
                &[POOL, ATOMIC, "lowmem", "ideal"],
            ),
        ],
    }
}
