//! Q2: how much of the invalidation on other processors does a sequence number defer away?
//!
//! A recycled slot needs an invalidation on every processor that may have used it. A switch of address spaces loads CR3
//! anyway and does it in passing; what is left are *conflicts*, uses on a processor that has not flushed since. The share of
//! conflicts is the answer, and what moves it: how much is shared, how often tasks switch, how large the window is.

use super::Question;
use super::claim::{Conclusion, compared, told};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LOWMEM, Plan};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "deferred",
    number: "Q2",
    question: "how much of the SMP invalidation does a per-CPU sequence number defer away, and when does a conflict still force \
               it?",
    asked_by: "Tweedie, \"Linux and physical memory\", 21 January 1999",
    expectation: "invalidation everywhere is needed only when several processors need the same address without a context switch \
                  in between; said in advance: `deferred-local` needs no IPI and should beat `deferred-seq`",
    plan,
    conclude,
    threats: &[
        "Tweedie's window of about 100 MB, 25 600 slots, holds every page of this load: nothing is recycled there",
        "he has no pins and a number for each processor; the kernel pins slots in use and has one epoch",
        "how long old translations stay usable (`exposure`) is unbounded by design and ends here with the run",
    ],
};

const SEQ: &str = "deferred-seq";
const LOCAL: &str = "deferred-local";
const BATCHED: &str = "batched";
const CONFLICTS: &str = "conflicts/recycles";
/// The setting with fair locks.
const TICKET: &str = "lock=ticket";
/// Tweedie's window, in slots, with the memory that its tables need.
const HIS: &str = "window=25600";

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::plain(Strategy::DeferredSeq),
        Arm::plain(Strategy::DeferredLocal),
        Arm::plain(Strategy::Batched),
        Arm::plain(Strategy::Atomic).only(&[BASE, "cpus", "cpu"]),
        Arm::plain(Strategy::SharedInvlpg).only(&[BASE, "cpus=1"]),
        LOWMEM.only(&[BASE, "cpus", "cpu", "sharing"]),
        IDEAL.only(&[BASE, "cpus", "cpu", "sharing"]),
        Arm::unsafe_control("deferred-seq, never", Strategy::DeferredSeq),
    ];
    let mut plan = Plan::new(effort, BATCHED, arms, &[("think", "16"), ("tasks", "8"), ("sharing", "50")]);
    plan.usual(&["1", "2", "8"], &["1"]);
    plan.factor("sharing", &["0", "100"], &["0", "100"]);
    plan.factor("lock", &["ticket"], &[]);
    plan.factor("tasks", &["4", "16"], &["4"]);
    plan.factor("hot", &["80"], &[]);
    plan.factor("window", &["256"], &[]);
    plan.setting("window", HIS, &[("mem", "256M"), ("normal", "64M"), ("window", "25600")]);
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = String::new();
    if let Some(share) = m.interval(BASE, SEQ, CONFLICTS) {
        let deferred = |s: f64| 100.0 * (1.0 - s);
        verdict += &format!(
            "In the base {:.1} % [{:.1}, {:.1}] of recycled slots need no flush of other processors",
            deferred(share.median),
            deferred(share.high),
            deferred(share.low)
        );
        let elsewhere: Vec<String> = ["sharing=0", "sharing=100", "tasks=4", "tasks=16", "hot=80"]
            .iter()
            .filter_map(|s| Some(format!("{s}: {:.1} %", deferred(m.median(s, SEQ, CONFLICTS)?))))
            .collect();
        verdict += &format!(" ({}). ", elsewhere.join(", "));
    }
    if !m.values(TICKET, SEQ, COST).is_empty() {
        verdict += &format!("With fair locks, {}. ", compared(m, TICKET, COST, BATCHED, SEQ));
    }
    let rates =
        (m.interval(BASE, SEQ, "flush_ipis/operations"), m.interval(BASE, BATCHED, "flush_ipis/operations"));
    if let (Some(seq), Some(batched)) = rates {
        let thousand = |i: crate::statistics::Interval| format!("{:.1}", 1000.0 * i.median);
        verdict += &format!(
            "A thousand operations send {} flushes everywhere with `{SEQ}` and {} with `{BATCHED}`. ",
            thousand(seq),
            thousand(batched)
        );
    }
    verdict +=
        &format!("{}; {}. ", compared(m, BASE, COST, BATCHED, SEQ), compared(m, BASE, COST, LOCAL, SEQ));
    if let (Some(recycled), Some(conflicts)) =
        (m.interval(HIS, SEQ, "recycles"), m.interval(HIS, SEQ, "conflicts"))
    {
        verdict += &format!(
            "With Tweedie's own window {:.0} slots are recycled and {:.0} conflicts found. ",
            recycled.median, conflicts.median
        );
    }
    if let Some(exposure) = m.interval(BASE, LOCAL, "exposure.p99") {
        verdict +=
            &format!("Old translations stay usable with `{LOCAL}` for {} cycles (p99).", told(&exposure, 0));
    }
    let settings = [BASE, "sharing=0", "sharing=100", "tasks=4", "tasks=16", "cpus=1", "cpu=haswell-ep"];
    Conclusion {
        verdict,
        pairs: vec![(BATCHED, SEQ), (LOCAL, SEQ)],
        metric: COST,
        more: vec![
            ("conflicts_per_recycle", CONFLICTS),
            ("recycles_per_op", "recycles/operations"),
            ("switches_per_op", "mm_switches/operations"),
            ("exposure.p99", "exposure.p99"),
        ],
        charts: vec![
            Chart::bars(
                m,
                "",
                "Sequence numbers against a flush at the wrap",
                (COST, "cycles for an operation"),
                &settings,
                &[BATCHED, SEQ, LOCAL, "lowmem", "ideal"],
            ),
            Chart::curve(
                m,
                "sharing",
                "Conflicts for each recycled slot",
                ("sharing", "per cent of pages and operations common to all tasks"),
                (CONFLICTS, "conflicts for each recycled slot"),
                &[SEQ, LOCAL],
            ),
        ],
    }
}
