//! `list`: presets, strategies, schemes of user shootdown, ways to reach page tables, loads, experiments.

use crate::cli::{List, ListFormat, Listing};
use crate::command::experiment;
use crate::output::{Sink, Status};
use anyhow::Result;
use serde_json::{Value, json};
use shootdown_emu::Preset;
use shootdown_workloads::Strategy;
use shootdown_workloads::pte::Pte;
use shootdown_workloads::shootdown::Shootdown;
use shootdown_workloads::strategy::{FAULTS, Of};
use shootdown_workloads::workload::WORKLOADS;
use std::fmt::Write as _;

/// The command.
pub fn run(options: &List) -> Result<Status> {
    let text = match (options.what, options.format) {
        (Listing::Cpus, ListFormat::Text) => cpus_text(),
        (Listing::Cpus, ListFormat::Json) => document(cpus())?,
        (Listing::Strategies, ListFormat::Text) => strategies_text(),
        (Listing::Strategies, ListFormat::Json) => document(strategies())?,
        (Listing::Shootdowns, ListFormat::Text) => shootdowns_text(),
        (Listing::Shootdowns, ListFormat::Json) => document(shootdowns())?,
        (Listing::Pte, ListFormat::Text) => page_tables_text(),
        (Listing::Pte, ListFormat::Json) => document(page_tables())?,
        (Listing::Workloads, ListFormat::Text) => workloads_text(),
        (Listing::Workloads, ListFormat::Json) => document(workloads())?,
        (Listing::Experiments, ListFormat::Text) => experiment::list_text(),
        (Listing::Experiments, ListFormat::Json) => document(experiment::list())?,
    };
    Sink::Stdout.write(&text)?;
    Ok(Status::Sound)
}

fn document(list: Vec<Value>) -> Result<String> {
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}

fn presets() -> impl Iterator<Item = Preset> {
    Preset::names().filter_map(Preset::builtin)
}

fn cpus() -> Vec<Value> {
    let one = |p: Preset| {
        json!({
            "name": p.name, "description": p.description, "clock_mhz": p.clock_mhz, "max_cpus": p.max_cpus,
            "max_cpus_reason": p.max_cpus_reason,
            "numbers": p.numbers().into_iter().map(|n| json!({
                "key": n.key, "value": n.value, "unit": n.unit.name(), "low": n.low, "high": n.high,
                "source": n.source, "text": n.text,
            })).collect::<Vec<_>>(),
        })
    };
    presets().map(one).collect()
}

fn cpus_text() -> String {
    let mut text = String::new();
    for p in presets() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}: {}; at most {} processors: {}",
            p.name, p.description, p.max_cpus, p.max_cpus_reason
        );
        for n in p.numbers() {
            let bracket = match (n.low, n.high) {
                (Some(low), Some(high)) => format!("{low}..{high}"),
                _ => String::new(),
            };
            let line =
                format!("  {:<30} {:>7} {:<7} {:<11} {}", n.key, n.value, n.unit.name(), bracket, n.source);
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.push('\n');
    }
    text
}

fn strategies() -> Vec<Value> {
    let faults = |s: Strategy| -> Vec<Value> {
        let own = FAULTS.iter().filter(|f| matches!(f.of, Of::Strategies(of) if of.contains(&s)));
        own.map(|f| json!({ "name": f.name, "description": f.description })).collect()
    };
    let one = |s: Strategy| {
        json!({
            "name": s.name(), "description": s.description(), "origin": s.origin(),
            "compared": Strategy::COMPARED.contains(&s), "faults": faults(s),
        })
    };
    Strategy::ALL.iter().copied().map(one).collect()
}

fn strategies_text() -> String {
    let mut text = String::new();
    for &s in Strategy::ALL {
        let _ = writeln!(text, "{:<14} {}\n{:<14} {}", s.name(), s.description(), "", s.origin());
    }
    text.push_str("\nplanted faults (--set fault=NAME):\n");
    for f in FAULTS {
        let _ = writeln!(text, "  {:<15} {:<31} {}", f.name, f.of(), f.description);
    }
    text
}

fn shootdowns() -> Vec<Value> {
    let faults = |s: Shootdown| -> Vec<Value> {
        let own = FAULTS.iter().filter(|f| matches!(f.of, Of::Shootdowns(of) if of.contains(&s)));
        own.map(|f| json!({ "name": f.name, "description": f.description })).collect()
    };
    let one = |&s: &Shootdown| json!({ "name": s.name(), "description": s.description(), "origin": s.origin(), "faults": faults(s) });
    Shootdown::ALL.iter().map(one).collect()
}

fn shootdowns_text() -> String {
    let mut text = String::new();
    for &s in Shootdown::ALL {
        let _ = writeln!(text, "{:<14} {}\n{:<14} {}", s.name(), s.description(), "", s.origin());
    }
    text
}

fn page_tables() -> Vec<Value> {
    let one = |&p: &Pte| json!({ "name": p.name(), "description": p.description(), "origin": p.origin() });
    Pte::ALL.iter().map(one).collect()
}

fn page_tables_text() -> String {
    let mut text = String::new();
    for &p in Pte::ALL {
        let _ = writeln!(text, "{:<14} {}\n{:<14} {}", p.name(), p.description(), "", p.origin());
    }
    text
}

fn workloads() -> Vec<Value> {
    let one = |w: &shootdown_workloads::Workload| {
        json!({
            "name": w.name, "description": w.description, "operation": w.operation,
            "keys": w.keys.iter().map(|k| json!({
                "key": k.name, "text": k.text, "accepted": k.accepted.to_string(),
                "default_on_4_cpus": k.standard(4),
            })).collect::<Vec<_>>(),
        })
    };
    WORKLOADS.iter().map(one).collect()
}

fn workloads_text() -> String {
    let mut text = String::new();
    for (i, w) in WORKLOADS.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        let _ = writeln!(text, "{}: {}\n  an operation is {}", w.name, w.description, w.operation);
        for k in w.keys {
            let standard = match k.standard {
                shootdown_workloads::workload::Standard::PerCpu(n) => format!("{n} per processor"),
                _ => k.standard(1),
            };
            let _ = writeln!(text, "  {:<10} {} ({}; {standard} if not set)", k.name, k.text, k.accepted);
        }
    }
    text
}
