//! `experiment`: questions with a verdict. Those of the mailing lists, and `validation` of the model itself.

use crate::cli::{Experiment, ListFormat};
use crate::interrupt;
use crate::output::{Sink, Status, message};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use shootdown_workloads::experiment::{self, Answer, QUESTIONS, Question};
use shootdown_workloads::validation::{self, Check, Effort};
use std::path::Path;

/// What `list` says of an experiment.
struct Entry {
    name: &'static str,
    question: &'static str,
    asked_by: &'static str,
}

const VALIDATION: Entry = Entry {
    name: "validation",
    question: "do published measurements come out of the model?",
    asked_by: "whoever is to trust a figure of it",
};

fn entries() -> impl Iterator<Item = Entry> {
    let of = |q: &&Question| Entry { name: q.name, question: q.question, asked_by: q.asked_by };
    QUESTIONS.iter().map(of).chain([VALIDATION])
}

/// The command.
pub fn run(options: &Experiment) -> Result<Status> {
    let effort = if options.quick { Effort::Quick } else { Effort::Full };
    match options.name.as_str() {
        "list" => {
            Sink::Stdout.write(list_text())?;
            Ok(Status::Sound)
        }
        "all" => questions(options, QUESTIONS, effort),
        "validation" => validate(options, effort),
        name => match Question::from_name(name) {
            Some(question) => questions(options, &[question], effort),
            None => {
                let names: Vec<_> = entries().map(|e| e.name).collect();
                bail!("no experiment '{name}'; accepted are {}, all, list", names.join(", "))
            }
        },
    }
}

/// Opens the sink, makes the result, writes it; without a result nothing is left behind.
fn made<T>(
    options: &Experiment,
    make: impl FnOnce() -> Result<T>,
    text: impl FnOnce(&T) -> Result<String>,
) -> Result<T> {
    let sink = Sink::open(options.out.as_deref())?;
    if let Some(directory) = &options.write
        && !directory.is_dir()
    {
        sink.discard();
        bail!(
            "--write: {} is no directory; accepted is one that exists and may be written",
            directory.display()
        );
    }
    match make() {
        Ok(result) => {
            sink.write(text(&result)?)?;
            Ok(result)
        }
        Err(error) => {
            sink.discard();
            Err(error)
        }
    }
}

fn questions(options: &Experiment, all: &[&'static Question], effort: Effort) -> Result<Status> {
    let interrupt = interrupt::flag();
    let answers = made(
        options,
        || {
            let mut answers = Vec::new();
            for q in all {
                let runs = (q.plan)(effort).runs_in_order().len();
                message(&format!("{} {}: {runs} runs", q.number, q.name));
                answers.push(q.answer(effort, &interrupt)?);
                keep(options, &answers)?;
            }
            Ok(answers)
        },
        |answers| match (options.format, answers.as_slice()) {
            (ListFormat::Text, _) => {
                Ok(answers.iter().map(experiment::render).collect::<Vec<_>>().join("\n"))
            }
            (ListFormat::Json, [one]) => Ok(serde_json::to_string_pretty(one)? + "\n"),
            (ListFormat::Json, _) => Ok(serde_json::to_string_pretty(answers)? + "\n"),
        },
    )?;
    for answer in &answers {
        answer.problems.iter().for_each(|p| message(&format!("{}: {p}", answer.name)));
    }
    Ok(if answers.iter().all(|a| a.problems.is_empty()) { Status::Sound } else { Status::Wrong })
}

/// Writes the last answer's charts, and all there are until now: an interrupt takes nothing that is finished.
fn keep(options: &Experiment, answers: &[Answer]) -> Result<()> {
    let Some(directory) = &options.write else { return Ok(()) };
    for (answer, chart) in answers.last().iter().flat_map(|a| a.charts.iter().map(move |c| (a, c))) {
        put(directory, &answer.chart_name(chart), &chart.svg)?;
    }
    put(directory, "results.md", &experiment::document(answers))
}

fn validate(options: &Experiment, effort: Effort) -> Result<Status> {
    let checks = made(
        options,
        || Ok(validation::run(effort)?),
        |checks| match options.format {
            ListFormat::Text => Ok(validation::text(checks)),
            ListFormat::Json => document(checks),
        },
    )?;
    if let Some(directory) = &options.write {
        for c in &checks {
            if let Some(plot) = &c.plot {
                put(directory, &validation::figure_name(c), &plot.svg())?;
            }
        }
        put(directory, "VALIDATION.md", &validation::markdown(&checks))?;
    }
    for c in checks.iter().filter(|c| !c.holds) {
        message(&format!("{} {}: does not hold", c.check, c.title));
    }
    Ok(if checks.iter().all(|c| c.holds) { Status::Sound } else { Status::Wrong })
}

fn document(checks: &[Check]) -> Result<String> {
    let held: Vec<_> = checks.iter().filter(|c| c.holds).map(|c| c.check).collect();
    let document = json!({
        "schema": 1, "name": VALIDATION.name, "question": VALIDATION.question, "asked_by": VALIDATION.asked_by,
        "expectation": "that they do, within the tolerance of each check",
        "verdict": format!("{} of {} checks hold", held.len(), checks.len()), "holds_in": held, "rows": checks,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Writes a file of the document.
fn put(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    std::fs::write(&path, text).with_context(|| {
        format!("cannot write {}; accepted is a directory that exists and may be written", path.display())
    })
}

/// The experiments as text.
pub fn list_text() -> String {
    entries().map(|e| format!("{:<16} {} ({})\n", e.name, e.question, e.asked_by)).collect()
}

/// The experiments as JSON.
pub fn list() -> Vec<Value> {
    let one = |e: Entry| json!({ "name": e.name, "question": e.question, "asked_by": e.asked_by });
    entries().map(one).collect()
}
