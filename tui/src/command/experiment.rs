//! `experiment`: questions with a verdict. Today: `validation`.

use crate::cli::{Experiment, ListFormat};
use crate::output::{Sink, Status, message};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use shootdown_workloads::validation::{self, Check, Effort};
use std::path::Path;

/// An experiment.
pub struct Entry {
    /// What it is called.
    pub name: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// Who asked.
    pub asked_by: &'static str,
}

/// All experiments.
pub const EXPERIMENTS: [Entry; 1] = [Entry {
    name: "validation",
    question: "do published measurements come out of the model?",
    asked_by: "whoever is to trust a figure of it",
}];

/// The command.
pub fn run(options: &Experiment) -> Result<Status> {
    let names: Vec<_> = EXPERIMENTS.iter().map(|e| e.name).collect();
    match options.name.as_str() {
        "list" => {
            Sink::Stdout.write(list_text())?;
            return Ok(Status::Sound);
        }
        "all" | "validation" => {}
        other => bail!("no experiment '{other}'; accepted are {}, all, list", names.join(", ")),
    }
    let effort = if options.quick { Effort::Quick } else { Effort::Full };
    let sink = Sink::open(options.out.as_deref())?;
    let checks = match validation::run(effort) {
        Ok(checks) => checks,
        Err(error) => {
            sink.discard();
            return Err(error.into());
        }
    };
    let text = match options.format {
        ListFormat::Text => validation::text(&checks),
        ListFormat::Json => document(&checks)?,
    };
    sink.write(&text)?;
    if let Some(directory) = &options.write {
        write(directory, &checks)?;
    }
    for c in checks.iter().filter(|c| !c.holds) {
        message(&format!("{} {}: does not hold", c.check, c.title));
    }
    Ok(if checks.iter().all(|c| c.holds) { Status::Sound } else { Status::Wrong })
}

fn document(checks: &[Check]) -> Result<String> {
    let entry = &EXPERIMENTS[0];
    let held = checks.iter().filter(|c| c.holds).count();
    let document = json!({
        "schema": 1, "name": entry.name, "question": entry.question, "asked_by": entry.asked_by,
        "verdict": format!("{held} of {} checks hold", checks.len()), "rows": checks,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// `VALIDATION.md` and its figures.
fn write(directory: &Path, checks: &[Check]) -> Result<()> {
    let put = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| {
            format!("cannot write {}; accepted is a directory that exists and may be written", path.display())
        })
    };
    for c in checks {
        if let Some(plot) = &c.plot {
            put(&validation::figure_name(c), &plot.svg())?;
        }
    }
    put("VALIDATION.md", &validation::markdown(checks))
}

/// The experiments as text.
pub fn list_text() -> String {
    EXPERIMENTS.iter().map(|e| format!("{:<12} {} ({})\n", e.name, e.question, e.asked_by)).collect()
}

/// The experiments as JSON.
pub fn list() -> Vec<Value> {
    let one = |e: &Entry| json!({ "name": e.name, "question": e.question, "asked_by": e.asked_by });
    EXPERIMENTS.iter().map(one).collect()
}
