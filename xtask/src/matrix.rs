//! `cargo xtask matrix`: every load under every strategy is sound, and computes the same.
//!
//! ```text
//!  for each load        a sweep: strategy x processors x paging x seed
//!  the same             two more: preempt= and pte=  x processors x paging x seed
//!  loads with threads   another: shootdown=  x processors x paging x seed
//!      shootdown sweep plan, run, merge -> a line of JSON for each cell -> judge
//! ```
//!
//! A cell has to end well: no harmful use of a stale translation, no wrong data, no deadlock. A checksum depends on the
//! load's arguments and the seed alone, so all cells of a load under one seed have to have the same one. Which strategies there are the program says
//! (`list`); a load that it has and this suite has not is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::loads::{LOADS, MEM, NORMAL};
use crate::paths;

/// Wrong by design.
const CONTROL: &str = "none";
/// Loads whose threads shoot down each other's translations.
const THREADS: &[&str] = &["fault-zero", "munmap", "mremap", "shm-calls", "mapped-file"];
/// The load that wants a swap device, and one that leaves less memory than its tasks have. It takes its frames from HIGHMEM,
/// which says nothing to [`LOW`]: that is not run with it.
const SWAP: (&str, &str) = ("swap", "swap=23952");
const LOW: &str = "lowmem";
/// The strategy of parts that vary something else.
const UNDER: &str = "batched";

/// What to run.
pub struct Plan {
    /// The program; nothing: where cargo puts it.
    pub shootdown: Option<PathBuf>,
    /// Where the results stay; nothing: nowhere. What is finished there is not run again.
    pub out: Option<PathBuf>,
    /// Only these loads; empty: all.
    pub loads: Vec<String>,
    /// Numbers of processors.
    pub cpus: Vec<u32>,
    /// Seeds of each cell, from 1 on.
    pub seeds: u32,
}

/// Cells that are run together: a load, and what varies.
struct Part {
    load: &'static str,
    arguments: &'static str,
    key: &'static str,
    values: Vec<String>,
}

/// The checksums of loads under a seed.
type Checksums<'a> = BTreeMap<(&'a str, String), String>;

/// Runs the matrix; fails when a cell does.
pub fn run(plan: &Plan) -> Result<()> {
    let program = paths::program_or(plan.shootdown.as_deref(), &paths::root());
    let parts = parts(plan, &program)?;
    let temporary = tempfile::tempdir()?;
    let directory = plan.out.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let (mut passed, mut failed) = (0, 0);
    // All parts of a load have those of the first.
    let mut expected = Checksums::new();
    for part in &parts {
        let cells = sweep(plan, part, &program, directory)?;
        for value in &part.values {
            let mine: Vec<_> = cells.iter().filter(|cell| said(cell, part.key) == *value).collect();
            let wrong: Vec<_> =
                mine.iter().filter_map(|cell| judge(cell, part.load, &mut expected)).collect();
            let name = format!("{:<14} {}={value}", part.load, part.key);
            // Both kinds of paging.
            let planned = 2 * plan.cpus.len() * plan.seeds as usize;
            if mine.len() != planned {
                bail!("{name}: {} of {planned} cells were run", mine.len());
            }
            passed += mine.len() - wrong.len();
            failed += wrong.len();
            let sums: Vec<_> =
                expected.iter().filter(|(key, _)| key.0 == part.load).map(|(_, sum)| sum.as_str()).collect();
            println!(
                "{} {name:<38} {:>3} cells {}",
                if wrong.is_empty() { "ok    " } else { "FAILED" },
                mine.len(),
                sums.join(" ")
            );
            wrong.iter().for_each(|text| println!("       {text}"));
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} cells went wrong");
    }
    Ok(())
}

/// What is to be run, by what the program says that there is.
fn parts(plan: &Plan, program: &Path) -> Result<Vec<Part>> {
    let known: Vec<_> = LOADS.iter().map(|l| l.0).collect();
    if let Some(name) = plan.loads.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no workload `{name}` here: one of {}", known.join(", "));
    }
    if let Some(name) = names(program, "workloads")?.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("xtask/src/loads.rs has no arguments for the workload {name}");
    }
    let strategies: Vec<_> = names(program, "strategies")?.into_iter().filter(|s| s != CONTROL).collect();
    let (shootdowns, ptes) = (names(program, "shootdowns")?, names(program, "pte")?);
    let mut parts = Vec::new();
    for &(load, arguments) in LOADS {
        if !plan.loads.is_empty() && !plan.loads.iter().any(|l| l == load) {
            continue;
        }
        let swaps = load == SWAP.0;
        let values = strategies.iter().filter(|s| !swaps || *s != LOW).cloned().collect();
        parts.push(Part { load, arguments, key: "strategy", values });
        parts.push(Part { load, arguments, key: "preempt", values: vec!["on".into(), "off".into()] });
        parts.push(Part { load, arguments, key: "pte", values: ptes.clone() });
        if THREADS.contains(&load) {
            parts.push(Part { load, arguments, key: "shootdown", values: shootdowns.clone() });
        }
    }
    Ok(parts)
}

/// The names in one of the program's lists.
fn names(program: &Path, list: &str) -> Result<Vec<String>> {
    let text = tell(Command::new(program).args(["list", list, "--format", "json"]))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("list {list}: no JSON"))?;
    let names = value.as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Plans, runs and merges a part's sweep: a value for each cell.
fn sweep(plan: &Plan, part: &Part, program: &Path, directory: &Path) -> Result<Vec<Value>> {
    let name = format!("{}-{}", part.load, part.key);
    let file = directory.join(format!("{name}.toml"));
    std::fs::write(&file, study(plan, part)).with_context(|| format!("cannot write {}", file.display()))?;
    let (cells, merged) = (directory.join(&name), directory.join(format!("{name}.jsonl")));
    tell(Command::new(program).args(["sweep", "plan"]).arg(&file).arg("--out").arg(&cells))?;
    // Its status says whether a cell failed, which is told here with more words.
    let run = Command::new(program)
        .args(["sweep", "run", "--retry-failed"])
        .arg(&cells)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.with_context(|| format!("cannot run {}", program.display()))?;
    // Nor may results of an earlier matrix be taken for these.
    let _ = std::fs::remove_file(&merged);
    let _ = tell(Command::new(program).args(["sweep", "merge"]).arg(&cells).arg("--out").arg(&merged));
    let text = std::fs::read_to_string(&merged)
        .with_context(|| format!("{name}: no results in {}", cells.display()))?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("{name}: no JSON"))).collect()
}

/// The sweep file of a part.
fn study(plan: &Plan, part: &Part) -> String {
    let mut text =
        format!("repeats = {}\n\n[set]\nworkload = \"{}\"\nmem = \"{MEM}M\"\n", plan.seeds, part.load);
    if part.key != "strategy" {
        text += &format!("strategy = \"{UNDER}\"\n");
    }
    let device = (part.load == SWAP.0).then_some(SWAP.1);
    for (key, value) in
        part.arguments.split(' ').chain([NORMAL]).chain(device).filter_map(|word| word.split_once('='))
    {
        text += &format!("{key} = \"{value}\"\n");
    }
    text + &format!(
        "\n[vary]\n{} = {:?}\ncpus = {:?}\npaging = [\"4g\", \"64g\"]\n",
        part.key, part.values, plan.cpus
    )
}

/// The standard output of a command that ends well.
fn tell(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| {
        let program = Path::new(command.get_program()).display().to_string();
        format!("cannot run {program}; `cargo build --release` makes it, --shootdown names another")
    })?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The value of a key in a cell.
fn said(cell: &Value, key: &str) -> String {
    match &cell["set"][key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is wrong with a cell, and how to run it again; the first sound cell of a load under a seed says what the others have
/// to compute.
fn judge<'a>(cell: &Value, load: &'a str, expected: &mut Checksums<'a>) -> Option<String> {
    let problem = match cell["report"]["rows"][0]["checksum"].as_str() {
        _ if !cell["failure"].is_null() => {
            let problems = cell["failure"]["problems"].as_array().into_iter().flatten();
            problems.filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
        }
        None => "no checksum".to_owned(),
        Some(sum) => {
            let first = expected.entry((load, said(cell, "seed"))).or_insert_with(|| sum.to_owned());
            if first == sum {
                return None;
            }
            format!("checksum {sum}, but {first} before")
        }
    };
    let set = cell["set"].as_object().into_iter().flatten();
    let words: Vec<_> = set.map(|(key, _)| format!("--set {key}={}", said(cell, key))).collect();
    Some(format!("{problem}: shootdown run {}", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cell(checksum: &str, seed: u32, problems: &[&str]) -> Value {
        let failure = if problems.is_empty() { Value::Null } else { json!({ "problems": problems }) };
        json!({
            "set": { "cpus": "2", "seed": seed.to_string(), "strategy": "batched" },
            "failure": failure,
            "report": { "rows": [{ "checksum": checksum }] },
        })
    }

    #[test]
    fn cells_are_held_against_the_first_of_their_load() {
        let mut expected = Checksums::new();
        assert!(judge(&cell("0x3", 1, &["12 data errors"]), "peek", &mut expected).is_some());
        assert!(expected.is_empty(), "a run that goes wrong says nothing of the others");
        assert_eq!(judge(&cell("0x1", 1, &[]), "peek", &mut expected), None);
        assert_eq!(judge(&cell("0x2", 1, &[]), "munmap", &mut expected), None);
        assert_eq!(judge(&cell("0x2", 2, &[]), "peek", &mut expected), None);
        let wrong = judge(&cell("0x2", 1, &[]), "peek", &mut expected).unwrap();
        assert_eq!(
            wrong,
            "checksum 0x2, but 0x1 before: shootdown run --set cpus=2 --set seed=1 --set strategy=batched"
        );
        assert!(judge(&cell("0x1", 2, &[]), "peek", &mut expected).is_some());
        let wrong = judge(&cell("0x1", 1, &["the guest panicked"]), "peek", &mut expected).unwrap();
        assert!(wrong.starts_with("the guest panicked: "), "{wrong}");
    }

    #[test]
    fn a_sweep_file_has_the_load_and_what_varies() {
        let plan = Plan { shootdown: None, out: None, loads: vec![], cpus: vec![1, 8], seeds: 3 };
        let (load, arguments) = LOADS[0];
        let values = vec!["lowmem".to_owned(), "batched".to_owned()];
        let text = study(&plan, &Part { load, arguments, key: "strategy", values });
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["set"]["tasks"].as_str(), Some("6"));
        assert_eq!(table["set"]["normal"].as_str(), Some("32M"));
        assert_eq!(table["vary"]["strategy"].as_array().map(Vec::len), Some(2));
        assert_eq!(table["repeats"].as_integer(), Some(3));
        assert_eq!(table["vary"]["cpus"].as_array().map(Vec::len), Some(2));
    }
}
