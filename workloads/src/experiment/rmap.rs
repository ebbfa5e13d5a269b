//! Q12: how should reclaim find the PTEs of a page?
//!
//! Three ways to the same PTEs: through all page tables, through the list of areas that may have got the page by fork, and
//! through the family, at the same address in every process that is related by fork. The load has more pages than memory;
//! `sharing` per cent of them are there before its processes are forked. What is moved is what the schemes differ in: how
//! many processes there are, how they descend from each other, how much they share, and whether memory is moved about.

use super::Question;
use super::claim::{Conclusion, compared, told};
use super::figure::Chart;
use super::measured::Measured;
use super::plan::{Arm, BASE, Plan, Role};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "rmap",
    number: "Q12",
    question: "finding every PTE of a page through the private-vma list or through the mm_family, against scanning page tables: PTEs \
               visited and shootdowns for each page freed",
    asked_by: "LaHaise, Tweedie, \"reverse pte lookups\", March 1998",
    expectation: "both were to visit few PTEs where a scan visits all; the family is simpler to keep, but looks into every process \
                  that is related, and needs care with `mremap`",
    plan,
    conclude,
    threats: &[
        "no process of this kernel begins a new program, so all of them are one family: the worst case for `family`",
        "a space's areas are an array that is searched from its beginning, and all spaces a list that is: longer steps than those \
         of a linked list of areas, for every scheme",
        "the device is memory, as fast as a copy: with a disk's latency the cycles of a search would weigh less",
        "reclaim asks for the PTEs of one page at a time; `swap_out` of Linux to 2.4 takes what it meets in one table instead",
        "a page that several processes have is used by one of them most of the time and stays, so that most pages that go have one \
         owner: `taken_per_page` tells how many",
        "memory for tasks is small, 112 frames: with more of it a scan has more to look at, and the others have not",
    ],
};

const SCAN: &str = "scan";
const LIST: &str = "vma-list";
const FAMILY: &str = "family";
/// Cycles of all processors for each page freed.
const CYCLES: &str = "busy/reclaimed";
const VISITED: &str = "ptes_visited/reclaimed";
const SHOOTDOWNS: &str = "shootdowns/reclaimed";

/// The load's processes, all of whose pages together are as many: name and keys.
const CREWS: &[(&str, &[(&str, &str)])] = &[
    ("2 processes", &[("pages", "80"), ("tasks", "2")]),
    ("8 processes", &[("pages", "20"), ("tasks", "8")]),
];
const MANY: &str = "8 processes";

/// Everything that each has is its descendants' as well.
const DEEP: (&str, &[(&str, &str)]) = ("a line of descent", &[("tree", "deep")]);
const MOVED: (&str, &[(&str, &str)]) = ("memory that is moved", &[("chunk", "8"), ("moves", "20")]);

fn plan(effort: Effort) -> Plan {
    let swap = Strategy::Atomic;
    let arms = vec![
        Arm::scheme(SCAN, swap, &[("rmap", "scan")]),
        Arm::scheme(LIST, swap, &[("rmap", "vma-list")]),
        Arm::scheme(FAMILY, swap, &[("rmap", "family")]),
        // Low memory is enough for all: what the load costs without reclaim.
        Arm::control("lowmem", Strategy::Lowmem, &[("swap", "0")]).only(&[BASE]),
        Arm::control("ideal", Strategy::Ideal, &[]).only(&[BASE]),
        Arm {
            role: Role::Unsafe,
            ..Arm::scheme("scan, never", swap, &[("fault", "swap-no-flush")]).only(&[BASE])
        },
    ];
    let base = [
        ("workload", "swap"),
        ("mem", "16M"),
        ("normal", "8M"),
        ("swap", "1936"),
        ("tasks", "4"),
        ("pages", "40"),
        ("sharing", "25"),
        ("think", "8"),
        ("footprint", "1"),
    ];
    let mut plan = Plan::new(effort, SCAN, arms, &base);
    plan.length("30", "10", "20", "6");
    plan.usual(&["1", "8"], &["1"]);
    for (name, set) in CREWS.iter().filter(|(name, _)| effort == Effort::Full || *name == MANY) {
        plan.setting("tasks", name, set);
    }
    plan.factor("sharing", &["0", "100"], &[]);
    plan.setting("tree", DEEP.0, DEEP.1);
    plan.setting("moves", MOVED.0, MOVED.1);
    if effort == Effort::Full {
        plan.setting("crew", "threads", &[("crew", "threads")]);
        plan.factor("paging", &["64g"], &[]);
        plan.factor("shootdown", &["lazy"], &[]);
    }
    plan
}

/// A metric of the three ways in a setting.
fn each(m: &Measured, setting: &str, metric: &str, digits: usize) -> String {
    let of = |arm| match m.interval(setting, arm, metric) {
        Some(interval) => format!("{} by `{arm}`", told(&interval, digits)),
        None => format!("nothing known by `{arm}`"),
    };
    format!("{}, {} and {}", of(SCAN), of(LIST), of(FAMILY))
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = format!(
        "Among four processes that have a quarter of their pages by fork, PTEs visited for each page freed are {}; shootdowns are {}, \
         and ",
        each(m, BASE, VISITED, 1),
        each(m, BASE, SHOOTDOWNS, 2)
    );
    verdict += &format!(
        "{}, {}. ",
        compared(m, BASE, SHOOTDOWNS, SCAN, LIST),
        compared(m, BASE, SHOOTDOWNS, SCAN, FAMILY)
    );
    verdict += &format!(
        "In cycles of all processors for each page freed, {}, {}, and {}. ",
        compared(m, BASE, CYCLES, SCAN, LIST),
        compared(m, BASE, CYCLES, SCAN, FAMILY),
        compared(m, BASE, CYCLES, FAMILY, LIST)
    );
    for (name, _) in CREWS.iter().rev().take(2).chain([&DEEP, &MOVED]) {
        if m.interval(name, SCAN, VISITED).is_some() {
            let words = compared(m, name, CYCLES, FAMILY, LIST);
            verdict += &format!("With {name}, PTEs are {}; {words}. ", each(m, name, VISITED, 1));
        }
    }
    let settings = [BASE, "2 processes", MANY, DEEP.0, MOVED.0, "sharing=0", "sharing=100", "cpus=1"];
    let bars =
        |suffix, title, metric| Chart::bars(m, suffix, title, metric, &settings, &[SCAN, LIST, FAMILY]);
    Conclusion {
        verdict: verdict.trim_end().to_owned(),
        pairs: vec![(SCAN, LIST), (SCAN, FAMILY), (FAMILY, LIST)],
        metric: CYCLES,
        more: vec![
            ("ptes_per_page", VISITED),
            ("ptes_per_search", "ptes_visited/rmap_searches"),
            ("steps_per_search", "rmap_steps/rmap_searches"),
            ("searches_per_page", "rmap_searches/reclaimed"),
            ("taken_per_page", "ptes_taken/reclaimed"),
            ("shootdowns_per_page", SHOOTDOWNS),
        ],
        charts: vec![
            bars(
                "",
                "Finding the PTEs of a page (base: four processes)",
                (CYCLES, "cycles for a page freed"),
            ),
            bars("-ptes", "PTEs visited (base: four processes)", (VISITED, "PTEs visited for a page freed")),
        ],
    }
}
