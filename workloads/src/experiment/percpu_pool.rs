//! Q10: a few slots for each processor and context, or fixed slots by type?
//!
//! The pool keeps a page mapped until its slot is wanted, so that the same page again needs no `invlpg`; fixed slots are
//! invalidated at every map. Interrupts map pages too: from the pool and with types of their own (`atomic`) in slots
//! that no task has, with `atomic-irqs=off` in those of the tasks, which keep interrupts off from map to unmap. Tasks share all of
//! the file.
//!
//! What a timer interrupt waits for is told by the machine, from its request to its acceptance. It waits for any
//! stretch without interrupts, not for copies alone: what the other two arms have is the kernel's own share.

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
        "the latency ends where the interrupt is taken: the entry, and what the handler itself does, are the same in all arms",
        "interrupts are off in this kernel's own paths as well (handlers, the scheduler), and an interrupt may come in one of \
         those: a driver that keeps them off for longer would hide what a copy adds",
        "a copy holds one slot here; one from page to page holds two, and one of a fork is as long as a page",
    ],
};

const ATOMIC: &str = "atomic";
/// Fixed slots as the question has them.
const CLOSED: &str = "atomic, irqs off";
const POOL: &str = "percpu-pool";

/// Bytes of the long copies: a page.
const LONG: &str = "4096";
/// What a timer interrupt waits for: 99 of 100 no longer, and the one that waits longest.
const P99: &str = "timer_latency.p99";
const MOST: &str = "timer_latency.max";

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::plain(Strategy::PercpuPool),
        Arm::plain(Strategy::Atomic),
        Arm::scheme(CLOSED, Strategy::Atomic, &[("atomic-irqs", "off")]),
        Arm::plain(Strategy::Batched),
        LOWMEM.only(&[BASE, "cpus", "cpu", "pages", "len"]),
        IDEAL,
        Arm::unsafe_control("pool, never", Strategy::PercpuPool),
    ];
    let base = [
        ("irq-kmap", "1"),
        ("tick", "5000"),
        ("len", "128"),
        ("pages", if effort == Effort::Full { "512" } else { "256" }),
        ("tasks", "4"),
        ("sharing", "100"),
    ];
    let mut plan = Plan::new(effort, ATOMIC, arms, &base);
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("irq-kmap", &["0"], &["0"]);
    plan.factor("pages", &["2", "8", "32"], &["2", "8"]);
    plan.factor("len", &["1024", LONG], &[LONG]);
    plan.factor("tick", &["20000"], &[]);
    plan
}

/// What a timer interrupt waits in a setting under the three, in cycles.
fn latency(m: &Measured, setting: &str) -> Option<String> {
    let one = |arm| {
        let (p99, most) = (m.interval(setting, arm, P99)?, m.interval(setting, arm, MOST)?);
        Some(format!("`{arm}` {} and {}", told(&p99, 0), told(&most, 0)))
    };
    Some(format!("{}, {}, {}", one(POOL)?, one(ATOMIC)?, one(CLOSED)?))
}

fn conclude(m: &Measured) -> Conclusion {
    let long = format!("len={LONG}");
    let mut verdict = String::new();
    if let (Some(short), Some(page)) = (latency(m, BASE), latency(m, &long)) {
        verdict += &format!(
            "A timer interrupt waits (p99 and longest, cycles) with copies of 128 bytes under {short}; with copies of {LONG} bytes under {page}. "
        );
    }
    for (bytes, setting) in [("128", BASE), (LONG, long.as_str())] {
        verdict += &format!(
            "With {bytes} bytes, in latency (p99) {}, {}; in cost {}. ",
            compared(m, setting, P99, ATOMIC, CLOSED),
            compared(m, setting, P99, ATOMIC, POOL),
            compared(m, setting, COST, ATOMIC, CLOSED)
        );
    }
    verdict += &format!("With pages that come up again seldom, {}", compared(m, BASE, COST, ATOMIC, POOL));
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
        pairs: vec![(ATOMIC, POOL), (ATOMIC, CLOSED)],
        metric: COST,
        more: vec![
            ("invlpg_per_op", "invlpg/operations"),
            ("interrupts_per_op", "interrupts/operations"),
            ("timer.p50", "timer_latency.p50"),
            ("timer.p99", P99),
            ("timer.max", MOST),
            ("irqs_off.p99", "irqs_off.p99"),
            ("irqs_off.max", "irqs_off.max"),
        ],
        charts: vec![
            Chart::curve(
                m,
                "",
                "A pool of four slots against fixed ones",
                ("pages", "pages of the file"),
                (COST, "cycles for an operation"),
                &[POOL, ATOMIC, "lowmem", "ideal"],
            ),
            Chart::curve(
                m,
                "latency",
                "What a timer interrupt waits for while pages are copied",
                ("len", "bytes of a copy"),
                (P99, "cycles from request to acceptance, p99"),
                &[POOL, ATOMIC, CLOSED, "lowmem"],
            ),
            Chart::bars(
                m,
                "settings",
                "A pool of four slots against fixed ones",
                (COST, "cycles for an operation"),
                &[BASE, "irq-kmap=0", "cpus=1", "cpus=8", &long, "tick=20000", "cpu=haswell-ep"],
                &[POOL, ATOMIC, CLOSED, "lowmem", "ideal"],
            ),
        ],
    }
}
