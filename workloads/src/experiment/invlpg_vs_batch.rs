//! Q1: `invlpg` at every kmap, or one global flush when a window of slots is used up?
//!
//! The two differ in more than the flush: a shared window has a lock and tables that travel between processors, local slots
//! have not. An arm with the window and a flush that costs nothing holds the two apart. How the window is flushed at the
//! wrap, with its slots global or not, are arms; the straw man, an IPI for every reuse, is one where processors are counted.

use super::Question;
use super::claim::{Conclusion, break_even, compared, told};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LOWMEM, Plan};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "invlpg-vs-batch",
    number: "Q1",
    question: "\"what's really faster\": `invlpg` at every kmap (atomic, local), or one global flush every 1024 kmaps?",
    asked_by: "Arcangeli, pte-highmem-5, 22 January 2002",
    expectation: "open in the thread. For kernel mappings on two sockets, published in 2008 [P08]: a flush everywhere at each \
                  unmap grows with the processors, a batched one is flat",
    plan,
    conclude,
    threats: &[
        "operations follow each other faster than in any real load, so the lock of the shared window is contended; `think` \
         spreads them; in the open loop they come at even times, not at random ones, and a task waits in user mode",
        "the hidden price of a global flush is what the user program had in the TLB: here a few dozen pages (`footprint`)",
    ],
};

const ATOMIC: &str = "atomic";
const BATCHED: &str = "batched";
const FREE: &str = "batched, free flush";
const CR3: &str = "batched, G=0, cr3";
const PGE: &str = "batched, G=0, pge";
const INVPCID: &str = "batched, invpcid";
const STRAW: &str = "shared-invlpg";
/// The setting in which operations are due at times, and how many cycles a task's are apart: one after the other they take
/// `batched` some seven tenths of that.
const OPEN: &str = "open loop";
const LOAD: &str = "13500";
/// The setting with a fair lock.
const TICKET: &str = "lock=ticket";
/// The setting in which no task loses its processor in the kernel.
const KEPT: &str = "preempt=off";
/// Where the window's flush is varied.
const FLUSHES: &[&str] = &[BASE, "cpus=1", "window", "cpu", "footprint"];

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::plain(Strategy::Atomic),
        Arm::plain(Strategy::Batched),
        Arm::scheme(CR3, Strategy::Batched, &[("global-kmap", "0"), ("how", "cr3")]).only(FLUSHES),
        Arm::scheme(PGE, Strategy::Batched, &[("global-kmap", "0"), ("how", "pge")])
            .only(&[BASE, "footprint"]),
        Arm::scheme(INVPCID, Strategy::Batched, &[("how", "invpcid")]).only(&["cpu=haswell-ep"]),
        Arm::plain(Strategy::SharedInvlpg).only(&[BASE, "cpus"]),
        Arm::control(FREE, Strategy::Batched, &[("inval", "ideal")]),
        LOWMEM,
        IDEAL,
        Arm::unsafe_control("atomic, no invlpg", Strategy::Atomic),
        Arm::unsafe_control("batched, no flush", Strategy::Batched),
    ];
    let mut plan =
        Plan::new(effort, ATOMIC, arms, &[("think", "16"), ("footprint", "16"), ("sharing", "50")]);
    plan.usual(&["1", "2", "8"], &["1"]);
    plan.factor("cpu", &["p4-xeon"], &["haswell-ep"]);
    plan.factor("window", &["64", "256", "1024"], &["512"]);
    plan.factor("pages", &["64", "1024"], &["64"]);
    plan.factor("len", &["4096"], &[]);
    plan.factor("sharing", &["0"], &[]);
    plan.factor("footprint", &["48"], &[]);
    plan.factor("lock", &["ticket"], &[]);
    plan.factor("preempt", &["off"], &[]);
    if effort == Effort::Full {
        plan.setting("every", OPEN, &[("tasks", "4"), ("every", LOAD)]);
    }
    plan.factor("cost.invlpg", &["2000", "8000"], &["8000"]);
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = format!("On four processors {}", compared(m, BASE, COST, ATOMIC, BATCHED));
    verdict += &format!("; on one {}. ", compared(m, "cpus=1", COST, ATOMIC, BATCHED));
    let parts = (
        m.difference(BASE, COST, FREE, BATCHED),
        m.difference(BASE, COST, "ideal", ATOMIC),
        m.difference(BASE, COST, "ideal", FREE),
    );
    if let (Some(flush), Some(invlpg), Some(window)) = parts {
        verdict += &format!(
            "Of that the flushes themselves are {} cycles for an operation and the `invlpg`s {}, with what they make the TLBs \
             fetch again; the shared window without any flush takes {} more than local slots without any `invlpg`: {}. ",
            told(&flush, 0),
            told(&invlpg, 0),
            told(&window, 0),
            if window.low > flush.high.max(invlpg.high) {
                "it is the lock and the tables that decide, not the invalidation"
            } else if window.high < flush.low.max(invlpg.low) {
                "it is the invalidation that decides"
            } else {
                "window and invalidation weigh about the same"
            }
        );
    }
    verdict += &format!("With slots that are not global, {}. ", compared(m, BASE, COST, BATCHED, CR3));
    if let (Some(straw), Some(batched)) = (growth(m, STRAW), growth(m, BATCHED)) {
        verdict += &format!(
            "From one to {} processors an operation of `{STRAW}` becomes {straw:.1} times as dear, of `{BATCHED}` {batched:.1} \
             times: the immediate scheme grows {}. ",
            m.along("cpus").last().map_or(0.0, |p| p.0),
            if straw > batched { "faster, as published" } else { "no faster, against what was published" }
        );
    }
    if !m.values(TICKET, BATCHED, COST).is_empty() {
        verdict +=
            &format!("With a fair lock in place of 2.4's, {}. ", compared(m, TICKET, COST, ATOMIC, BATCHED));
        verdict += &longest_waits(m);
    }
    verdict += &under_load(m);
    let even = ["pages", "window", "cost.invlpg"].map(|f| break_even(m, f, COST, ATOMIC, BATCHED));
    verdict += &format!("Break-even: {}.", even.join("; "));
    let curve = |suffix, title: &str, factor, x| {
        Chart::curve(
            m,
            suffix,
            title,
            (factor, x),
            (COST, "cycles for an operation"),
            &[ATOMIC, BATCHED, FREE, STRAW, "lowmem", "ideal"],
        )
    };
    Conclusion {
        verdict,
        pairs: vec![(ATOMIC, BATCHED), (BATCHED, CR3)],
        metric: COST,
        more: vec![
            ("global_flushes_per_op", "global_flushes/operations"),
            ("invlpg_per_op", "invlpg/operations"),
            ("response.p50", "response.p50"),
            ("response.p99", "response.p99"),
            ("response.p999", "response.p999"),
            ("response.max", "response.max"),
        ],
        charts: vec![
            curve("", "invlpg at every kmap, or a flush at the wrap", "cpus", "processors"),
            curve("window", "The same against the window", "window", "slots"),
            curve("invlpg", "The same against the cost of invlpg", "cost.invlpg", "cycles of one invlpg"),
        ],
    }
}

/// How long after they were due operations are done, where they do not wait for each other.
fn under_load(m: &Measured) -> String {
    let told_of = |arm| {
        let [p50, p999] = ["response.p50", "response.p999"].map(|metric| m.interval(OPEN, arm, metric));
        Some(format!("{} (p99.9: {})", told(&p50?, 0), told(&p999?, 0)))
    };
    match (told_of(ATOMIC), told_of(BATCHED)) {
        (Some(atomic), Some(batched)) => format!(
            "Where an operation of each task is due every {LOAD} cycles, some seven tenths of what `{BATCHED}` bears, it is done {batched} \
             cycles after it was due with `{BATCHED}` and {atomic} with `{ATOMIC}`. "
        ),
        _ => String::new(),
    }
}

/// What a fair lock does to the slowest kmaps, and what is the scheduler's share.
fn longest_waits(m: &Measured) -> String {
    let p999 = |setting| m.interval(setting, BATCHED, "kmap_latency.p999");
    match (p999(BASE), p999(TICKET), p999(KEPT)) {
        (Some(tas), Some(ticket), Some(kept)) => format!(
            "One kmap of a thousand of `{BATCHED}` takes {} cycles or more with 2.4's lock, {} with the fair one, and {} with 2.4's where no \
             task loses its processor in the middle of it. ",
            told(&tas, 0),
            told(&ticket, 0),
            told(&kept, 0)
        ),
        _ => String::new(),
    }
}

/// How many times as dear an operation is on the most processors as on one.
fn growth(m: &Measured, arm: &str) -> Option<f64> {
    let curve = m.curve("cpus", arm, COST);
    let (first, last) = (curve.first()?, curve.last()?);
    (curve.len() > 1).then_some(last.1.median / first.1.median)
}
