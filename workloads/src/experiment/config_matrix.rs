//! Q8: do all kernels that 2.5 could be configured to boot, and do they bear a load?
//!
//! Molnar's matrix: one processor or many, preemption inside the kernel or not, no high memory, two-level paging and PAE, the
//! last two with page tables in low memory and in high memory: twenty kernels. Here they are one image and twenty command
//! lines (`cargo xtask qemu` boots the same on QEMU). A kernel for one processor has no LOCK prefix; one without high memory
//! uses what the direct map reaches, which on this machine is all.

use super::Question;
use super::claim::{Conclusion, compared};
use super::figure::Chart;
use super::measured::{COST, Measured, Sample};
use super::plan::{Arm, BASE, IDEAL, LOWMEM, Plan};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "config-matrix",
    number: "Q8",
    question: "UP and SMP x preempt on and off x nohighmem, 4G, 4G-highpte, 64G, 64G-highpte: do all twenty boot and pass the \
               stress load?",
    asked_by: "Molnar, \"simpler highpte\", February 2002",
    expectation: "\"all twenty boot and pass the stress load\"",
    plan,
    conclude,
    threats: &[
        "a kernel for one processor still takes the words of its spinlocks, without LOCK; Linux has no words there",
        "highpte is Molnar's: page tables by slots of the processor's own (`pte=atomic`)",
        "the machine's RAM fits the direct map, so a kernel without high memory lacks none; with 64 GiB it would lack most",
    ],
};

/// Twenty arms: for each kind of processor and preemption the same memories.
macro_rules! kernels {
    ($($memory:literal: $($key:literal = $value:literal),+;)*) => {
        &[
            $(kernel(concat!("UP ", $memory),
                &[("smp", "off"), ("cpus", "1"), ("preempt", "off"), $(($key, $value)),+]),)*
            $(kernel(concat!("UP preempt ", $memory),
                &[("smp", "off"), ("cpus", "1"), ("preempt", "on"), $(($key, $value)),+]),)*
            $(kernel(concat!("SMP ", $memory),
                &[("smp", "on"), ("preempt", "off"), $(($key, $value)),+]),)*
            $(kernel(concat!("SMP preempt ", $memory),
                &[("smp", "on"), ("preempt", "on"), $(($key, $value)),+]),)*
        ]
    };
}

const fn kernel(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm::scheme(name, Strategy::Batched, set)
}

/// The twenty. Without high memory NORMAL ends where RAM does.
const KERNELS: &[Arm] = kernels! {
    "nohighmem": "highmem" = "off", "normal" = "512M";
    "4G": "highmem" = "4g";
    "4G-highpte": "highmem" = "4g", "pte" = "atomic";
    "64G": "highmem" = "64g";
    "64G-highpte": "highmem" = "64g", "pte" = "atomic";
};

/// Their names: a kind of processors and preemption, and a memory.
const KINDS: [&str; 4] = ["UP", "UP preempt", "SMP", "SMP preempt"];
const MEMORIES: [&str; 5] = ["nohighmem", "4G", "4G-highpte", "64G", "64G-highpte"];

/// What the others are held against.
const FIRST: &str = "UP nohighmem";
const UP: &str = "UP 4G";
const SMP: &str = "SMP 4G";

/// Kernels that run in all settings, not in the matrix alone.
const EVERYWHERE: &[&str] = &[FIRST, UP, SMP];

fn plan(effort: Effort) -> Plan {
    let once = |arm: &Arm| {
        let (all, many) = (EVERYWHERE.contains(&arm.name), arm.name.starts_with("SMP"));
        match (all, many) {
            (true, _) => *arm,
            (false, true) => arm.only(&[BASE, "cpus=1"]),
            (false, false) => arm.only(&[BASE]),
        }
    };
    let mut arms: Vec<Arm> = KERNELS.iter().map(once).collect();
    // Without invalidation only a load that reads many files finds out.
    let never = Arm::unsafe_control("batched, never", Strategy::Batched);
    arms.extend([LOWMEM, IDEAL, never]);
    let load = [("workload", "mixed"), ("tasks", "8"), ("pages", "256"), ("window", "64")];
    let mut plan = Plan::new(effort, FIRST, arms, &load);
    plan.length("60", "15", "30", "10");
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("cpu", &[], &["haswell-ep"]);
    plan
}

/// How many kernels something holds of in every setting they run in, and a word for those of which it does not.
fn count(m: &Measured, what: &str, holds: impl Fn(&Sample) -> bool) -> String {
    let of = |arm: &&Arm| {
        let settings = m.plan.settings.iter();
        settings.flat_map(|s| m.samples(&s.name, arm.name)).all(&holds)
    };
    let (good, bad): (Vec<&Arm>, Vec<&Arm>) = KERNELS.iter().partition(of);
    let text = format!("{} of {} {what}", good.len(), KERNELS.len());
    let names: Vec<_> = bad.iter().map(|arm| format!("`{}`", arm.name)).collect();
    if names.is_empty() { text } else { format!("{text} (not {})", names.join(", ")) }
}

fn conclude(m: &Measured) -> Conclusion {
    let boots = count(m, "kernels boot", |s| s.boots);
    let passes = count(m, "pass the load", |s| s.boots && s.problems.is_empty());
    let agrees = count(m, "print the checksum of the first", |s| s.boots && !s.differs);
    let mut verdict = format!("Under {} seeds {boots}, {passes}, {agrees}. ", m.plan.seeds);
    let against = |a, b| compared(m, BASE, COST, a, b);
    verdict += &format!("On one processor, {}; {}; ", against(FIRST, UP), against(UP, "UP 4G-highpte"));
    verdict += &format!("{}; {}. ", against(UP, "UP 64G"), against(UP, "UP preempt 4G"));
    verdict += &format!("On four, {}; {}. ", against(SMP, "SMP 4G-highpte"), against(SMP, "SMP 64G"));
    verdict += &format!("On one processor, {}.", compared(m, "cpus=1", COST, UP, SMP));
    Conclusion {
        verdict,
        pairs: vec![(UP, SMP)],
        metric: COST,
        more: vec![("locked_per_op", "kind.locked/operations"), ("ipis_per_op", "ipis/operations")],
        charts: vec![Chart::grid(
            m,
            "",
            "Twenty kernels (base: mixed)",
            (COST, "cycles for an operation"),
            &KINDS,
            &MEMORIES,
        )],
    }
}
