//! Q11: atomic slots named by type, or a stack of them?
//!
//! They came with different times of invalidation, at the map and at the unmap, which must not be what is compared: both
//! run with both.

use super::Question;
use super::claim::{Conclusion, compared};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LOWMEM, Plan};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "atomic-stack",
    number: "Q11",
    question: "atomic slots named by type, against a per-CPU stack of slots",
    asked_by: "Zijlstra, in Corbet, LWN, 2009",
    expectation: "none in the sources at hand",
    plan,
    conclude,
    threats: &["what the stack is for, mistakes that it makes impossible, has no cycles"],
};

const TYPE_MAP: &str = "type, at map";
const TYPE_UNMAP: &str = "type, at unmap";
const STACK_MAP: &str = "stack, at map";
const STACK_UNMAP: &str = "stack, at unmap";

fn plan(effort: Effort) -> Plan {
    const MAP: &[(&str, &str)] = &[("atomic-flush", "map")];
    const UNMAP: &[(&str, &str)] = &[("atomic-flush", "unmap")];
    let arms = vec![
        Arm::scheme(TYPE_MAP, Strategy::Atomic, MAP),
        Arm::scheme(STACK_MAP, Strategy::AtomicStack, MAP),
        Arm::scheme(TYPE_UNMAP, Strategy::Atomic, UNMAP),
        Arm::scheme(STACK_UNMAP, Strategy::AtomicStack, UNMAP),
        LOWMEM,
        IDEAL,
        Arm::unsafe_control("stack, never", Strategy::AtomicStack),
    ];
    let mut plan = Plan::new(effort, TYPE_MAP, arms, &[("irq-kmap", "0"), ("len", "128")]);
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("irq-kmap", &["1"], &["1"]);
    plan.factor("len", &["4096"], &[]);
    let copies =
        [("workload", "fork-cow"), ("pages", "128"), ("ops", "32"), ("rounds", "2"), ("warmup", "1")];
    plan.setting("load", "fork-cow", &copies);
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let on = |setting| {
        format!(
            "invalidated at the map {}, at the unmap {}",
            compared(m, setting, COST, TYPE_MAP, STACK_MAP),
            compared(m, setting, COST, TYPE_UNMAP, STACK_UNMAP)
        )
    };
    let mut verdict = format!("On four processors, {}; on one, {}. ", on(BASE), on("cpus=1"));
    verdict += &format!("When to invalidate: {}.", compared(m, "cpus=1", COST, TYPE_MAP, TYPE_UNMAP));
    Conclusion {
        verdict,
        pairs: vec![(TYPE_MAP, STACK_MAP), (TYPE_UNMAP, STACK_UNMAP)],
        metric: COST,
        more: vec![("invlpg_per_op", "invlpg/operations")],
        charts: vec![Chart::bars(
            m,
            "",
            "Slots by type against a stack",
            (COST, "cycles for an operation"),
            &[BASE, "cpus=1", "cpus=8", "irq-kmap=1", "fork-cow", "cpu=haswell-ep"],
            &[TYPE_MAP, STACK_MAP, TYPE_UNMAP, STACK_UNMAP, "lowmem", "ideal"],
        )],
    }
}
