//! Q6: which ways to map page tables deadlock?
//!
//! A task that holds a slot of the window for a page table and sleeps for another slot waits for tasks that may do the same.
//! Base settings have slots for all and tell what each way costs; the narrow ones have few slots, more tasks than slots and a
//! timer that takes the processor away in the middle of everything, and tell who gets stuck: in page faults (a table, then
//! the page to be cleared), in `mremap` from one table to another (a table, then a second one of the same kind), and in
//! copies that fault (a page of a file, then what a fault wants). In these it does not help where tables lie: pages alone
//! use the window up.
//! A run that gets stuck ends with the kernel's book of who holds which slot and waits for which (`kmap/pools.rs`).

use super::Question;
use super::claim::{Conclusion, compared};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LONGER, LOWMEM, Plan, READS};
use crate::statistics::Interval;
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "kmap-deadlock",
    number: "Q6",
    question: "does one pool deadlock? do the \"series\" really avoid it when their pages mix? does reserving MAX_NR_TASK_KMAPS at \
               the first kmap?",
    asked_by: "Arcangeli, Dickins, January 2002",
    expectation: "one pool was held to deadlock; the series were posted to avoid it, and doubted, since their pages mix; reserving \
                  two slots (Dickins) or three (Arcangeli) at a task's first kmap was to be safe; where a copy faults with a page \
                  mapped, only the reserve of three covers what a path holds",
    plan,
    conclude,
    threats: &[
        "what was never seen in these runs is not thereby impossible: `models/tests/pools.rs` goes through all interleavings of up \
         to three tasks",
        "pages are cleared by kmaps that sleep, as in pte-highmem, and copied on write by slots of the processor's own; Linux 2.4 \
         cleared user pages by atomic kmaps too, under which a copy that faults holds one slot and wants none but for tables",
    ],
};

const KMAP: &str = "one pool";
const SERIES: &str = "series";
const STRICT: &str = "series-strict";
const RESERVE: &str = "reserve";
const TWO: &str = "reserve of two";
const NOWAIT: &str = "nowait";
const ATOMIC: &str = "atomic";
/// Nothing but pages uses the window.
const PAGES: &str = "tables in low memory";
/// The arms that are told of, in this order.
const ARMS: [&str; 7] = [KMAP, SERIES, STRICT, RESERVE, TWO, NOWAIT, ATOMIC];

/// The factor of the narrow settings that fault.
const FAULTS: &str = "slots";
/// The narrow setting that moves page tables' entries.
const MREMAP: &str = "mremap, 16 slots";
/// The narrow setting whose copies to user memory come to holes, with a page of a file mapped.
const COPIES: &str = "copies that fault, 16 slots";

/// Faults on one processor that is taken from its task all the time.
const NARROW_FAULTS: [(&str, &str); 5] =
    [("cpus", "1"), ("tick", "4000"), ("tasks", "40"), ("pages", "20"), ("warmup", "0")];

/// Where the controls run: where nobody can get stuck.
const WIDE: &[&str] = &[BASE, "cpus", "cpu", LONGER];

fn slots(window: &str) -> String {
    format!("faults, {window} slots")
}

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        Arm::deadlocks(KMAP, Strategy::Batched, &[("pte", "kmap")]),
        Arm::deadlocks(SERIES, Strategy::Batched, &[("pte", "series")]),
        Arm::deadlocks(STRICT, Strategy::Batched, &[("pte", "series-strict")]),
        Arm::scheme(RESERVE, Strategy::Batched, &[("pte", "reserve")]),
        Arm::deadlocks(TWO, Strategy::Batched, &[("pte", "reserve"), ("reserve", "2")]),
        // These two by copies that fault alone.
        Arm::deadlocks(NOWAIT, Strategy::Batched, &[("pte", "nowait")]),
        Arm::deadlocks(ATOMIC, Strategy::Batched, &[("pte", "atomic")]),
        Arm::deadlocks(PAGES, Strategy::Batched, &[]).only(&[COPIES]),
        LOWMEM.only(WIDE),
        IDEAL.only(WIDE),
        // Only a load that reads files can be wrong without invalidation: see Q4.
        Arm::unsafe_control("batched, never", Strategy::Batched).only(&[READS]),
    ];
    let load = [("workload", "fault-zero"), ("tasks", "8"), ("pages", "64")];
    let mut plan = Plan::new(effort, KMAP, arms, &load);
    plan.usual(&["1", "8"], &["1"]);
    plan.reads();
    let windows: &[&str] = match effort {
        Effort::Full => &["16", "24", "48"],
        Effort::Quick => &["16"],
    };
    let ops = if effort == Effort::Full { "20" } else { "10" };
    for window in windows {
        let set = [&NARROW_FAULTS[..], &[("ops", ops), ("window", window)]].concat();
        plan.setting(FAULTS, &slots(window), &set);
    }
    // With PAE a table holds 512 entries: a region of 260 pages that moves up comes to lie in two of them.
    let mremap = [
        ("workload", "mremap"),
        ("crew", "processes"),
        ("cpus", "1"),
        ("paging", "64g"),
        ("tick", "4000"),
        ("tasks", "20"),
        ("pages", "260"),
        ("ops", "2"),
        ("warmup", "0"),
        ("len", "4"),
        ("reads", "0"),
        ("window", "16"),
    ];
    plan.setting("mremap", MREMAP, &mremap);
    let copies = [
        ("workload", "pagecache-read"),
        ("buffer", "fresh"),
        ("user-copy", "fault"),
        ("cpus", "1"),
        ("tick", "4000"),
        ("tasks", "40"),
        ("pages", "256"),
        ("ops", if effort == Effort::Full { "20" } else { "12" }),
        ("warmup", "0"),
        ("think", "0"),
        ("window", "16"),
    ];
    plan.setting("copies", COPIES, &copies);
    plan
}

/// How often each arm got stuck, as a sentence.
fn stuck(m: &Measured, setting: &str) -> String {
    let told = |arm: &&str| {
        let runs = m.samples(setting, arm).len();
        (runs > 0).then(|| format!("`{arm}` {} of {runs}", m.deadlocks(setting, arm)))
    };
    let all: Vec<_> = ARMS.iter().chain(&[PAGES]).filter_map(told).collect();
    format!("In {setting}, runs that deadlock: {}. ", all.join(", "))
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = stuck(m, &slots("16"));
    verdict += &stuck(m, MREMAP);
    verdict += &stuck(m, COPIES);
    let safe = m.along(FAULTS).into_iter().find(|(_, setting)| {
        *setting != BASE && m.deadlocks(setting, KMAP) == 0 && !m.samples(setting, KMAP).is_empty()
    });
    verdict += &match safe {
        Some((slots, _)) => format!("One pool got stuck in faults under no seed from {slots:.0} slots on. "),
        None => "One pool got stuck in faults with every number of slots that was tried here. ".into(),
    };
    verdict += &format!("Where slots are enough for all, {}, ", compared(m, BASE, COST, KMAP, RESERVE));
    verdict += &format!("{}, ", compared(m, BASE, COST, KMAP, NOWAIT));
    verdict += &format!("{}.", compared(m, BASE, COST, KMAP, SERIES));
    let share = |arm: &str| -> Vec<(f64, Interval)> {
        let of = |(slots, setting): (f64, &str)| {
            let runs = m.samples(setting, arm).len();
            Some((slots, Interval::share(m.deadlocks(setting, arm), runs)?))
        };
        let narrow = m.along(FAULTS).into_iter().filter(|(_, setting)| *setting != BASE);
        narrow.filter_map(of).collect()
    };
    Conclusion {
        verdict,
        pairs: vec![(KMAP, RESERVE), (KMAP, NOWAIT), (KMAP, ATOMIC)],
        metric: COST,
        more: vec![("maps_per_op", "maps/operations")],
        charts: vec![
            Chart::lines(
                m,
                "",
                "40 tasks that fault on one processor",
                ("slots of the window", "share of seeds that deadlock"),
                ARMS.iter().map(|arm| ((*arm).to_owned(), share(arm))).collect(),
            ),
            Chart::bars(
                m,
                "cost",
                "Page faults with slots for all",
                (COST, "cycles for an operation"),
                &[BASE, "cpus=1", "cpus=8", "cpu=haswell-ep"],
                &ARMS,
            ),
        ],
    }
}
