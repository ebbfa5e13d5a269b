//! Q3: what does a highmem kernel pay, and is it the kmap?
//!
//! The same kernel runs the same load with the load's pages in the direct map (`lowmem`) and in highmem, under several
//! schemes, with two-level paging and with PAE. A load without kmaps (`syscall`) says what highmem costs that uses none of
//! them; what the ledger books to maps, flushes and locks says how much of the difference they are.

use super::Question;
use super::claim::{Conclusion, per_cent, told};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, CHECK, IDEAL, LOWMEM, Plan};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "highmem-tax",
    number: "Q3",
    question: "25 % between a highmem and a lowmem kernel for loads with much data in highmem, worse with PAE: is that the kmap?",
    asked_by: "Torvalds, quoted by Corbet, LWN, 13 October 2009",
    expectation: "25 % for loads with much data in highmem; more with PAE",
    plan,
    conclude,
    threats: &[
        "both kernels here are one: `lowmem` takes the load's pages from low memory and runs the same code otherwise, so what a \
         highmem kernel pays in its allocator and page tables is not in the difference",
        "the loads do little but touch pages, so the tax is that of the page operations, not of a whole system",
    ],
};

const LOWMEM_NAME: &str = "lowmem";
const ATOMIC: &str = "atomic";
const BATCHED: &str = "batched";
const SEQ: &str = "deferred-seq";
const PAE: &str = "paging=64g";
/// What was published, as a ratio.
const PUBLISHED: f64 = 1.25;

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        LOWMEM.only(&[]),
        Arm::plain(Strategy::Atomic),
        Arm::plain(Strategy::Batched),
        Arm::plain(Strategy::DeferredSeq),
        IDEAL,
        Arm::unsafe_control("batched, no flush", Strategy::Batched),
    ];
    let mut plan = Plan::new(
        effort,
        LOWMEM_NAME,
        arms,
        &[("workload", "pagecache-read"), ("len", "1024"), ("paging", "4g")],
    );
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("cpu", &["p4-xeon"], &[]);
    plan.factor("paging", &["64g"], &["64g"]);
    plan.factor("len", &["4096"], &[]);
    for (load, keys) in LOADS {
        for paging in ["4g", "64g"] {
            // With PAE the base has its own setting; of the others the one that maps nothing is the control.
            if paging == "64g" && *load != "syscall" || effort == Effort::Quick && *load == "kmap-storm" {
                continue;
            }
            let set = [&[("workload", *load), ("paging", paging)], *keys].concat();
            plan.setting("load", &load_name(load, paging), &set);
        }
    }
    plan
}

/// The other loads, at sizes that take as long as the base.
const LOADS: &[(&str, &[(&str, &str)])] = &[
    ("kmap-storm", &[("pages", "512"), ("ops", "100"), ("warmup", "50"), CHECK]),
    ("fork-cow", &[("pages", "128"), ("ops", "32"), ("rounds", "2"), ("warmup", "1")]),
    ("syscall", &[("ops", "2000"), ("warmup", "100")]),
];

fn load_name(load: &str, paging: &str) -> String {
    if paging == "4g" { load.into() } else { format!("{load}, {paging}") }
}

fn conclude(m: &Measured) -> Conclusion {
    let tax = |setting: &str, arm: &str| m.ratio(setting, COST, LOWMEM_NAME, arm);
    let mut verdict = String::new();
    for arm in [ATOMIC, BATCHED, SEQ] {
        let Some(base) = tax(BASE, arm) else { continue };
        let against = match () {
            () if base.low > PUBLISHED => "more than the 25 % in question",
            () if base.high < PUBLISHED => "less than the 25 % in question",
            () => "about the 25 % in question",
        };
        verdict += &format!(
            "Reading files on four processors, highmem costs {} with `{arm}`, {against}",
            per_cent(&base)
        );
        if let Some(pae) = tax(PAE, arm) {
            let word = match () {
                () if pae.low > base.high => "worse with PAE, ",
                () if pae.high < base.low => "not as bad with PAE, ",
                () => "about as much with PAE, ",
            };
            verdict += &format!("; {word}{}", per_cent(&pae));
        }
        if let Some(one) = tax("cpus=1", arm) {
            verdict += &format!("; on one processor {}", per_cent(&one));
        }
        verdict += ". ";
    }
    if let (Some(all), Some(kmap)) =
        (m.difference(BASE, COST, LOWMEM_NAME, BATCHED), m.difference(BASE, "pays.all", LOWMEM_NAME, BATCHED))
        && all.median != 0.0
    {
        let share = 100.0 * kmap.median / all.median;
        verdict += &format!(
            "Of the {} cycles that `{BATCHED}` costs more, the ledger books {share:.0} % to maps, flushes and their lock: {} the \
             kmap. ",
            told(&all, 0),
            if share > 50.0 { "it is" } else { "most of it is not" }
        );
    }
    if let Some(none) = tax("syscall", BATCHED) {
        verdict += &format!("Where nothing is mapped (`syscall`) the tax is {}. ", per_cent(&none));
    }
    if let Some(pae) = m.moved(COST, LOWMEM_NAME, BASE, PAE) {
        verdict += &format!("PAE alone, all in low memory, costs {}.", per_cent(&pae));
    }
    let settings: Vec<String> =
        LOADS.iter().flat_map(|(load, _)| ["4g", "64g"].map(|p| load_name(load, p))).collect();
    let mut shown = vec![BASE, PAE, "cpus=1"];
    shown.extend(settings.iter().map(String::as_str));
    Conclusion {
        verdict,
        pairs: vec![(LOWMEM_NAME, ATOMIC), (LOWMEM_NAME, BATCHED)],
        metric: COST,
        more: vec![("walks_per_op", "walks/operations")],
        charts: vec![Chart::bars(
            m,
            "",
            "What highmem costs (base: pagecache-read)",
            (COST, "cycles for an operation"),
            &shown,
            &[ATOMIC, BATCHED, SEQ, "ideal"],
        )],
    }
}
