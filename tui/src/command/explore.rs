//! `explore`: many seeds of one cell, and the smallest cell that still goes wrong.

use crate::cli::{self, ListFormat};
use crate::output::{Sink, Status, message};
use crate::{interrupt, settings};
use anyhow::{Result, bail};
use shootdown_workloads::explore::{Exploration, Reproducer, Smallest, explore, shrink};
use shootdown_workloads::{Cell, Outcome, RunError};

/// The command.
pub fn run(options: &cli::Explore) -> Result<Status> {
    let read = settings::read(&options.keys, &[("strategy", options.strategy.as_deref())])?;
    if read.strategies.is_some() {
        bail!("strategies: a list is for `compare`; accepted here is strategy = \"NAME\"");
    }
    let sink = Sink::open(options.out.as_deref())?;
    let interrupt = interrupt::flag();
    match search(options, &read.cell, |cell| shootdown_workloads::run(cell, &interrupt)) {
        Ok(found) => {
            if found.interrupted {
                message("interrupted: runs that had not come to their end are left out");
            }
            sink.write(match options.format {
                ListFormat::Text => found.text(),
                ListFormat::Json => serde_json::to_string_pretty(&found)? + "\n",
            })?;
            Ok(if found.is_sound() { Status::Sound } else { Status::Wrong })
        }
        Err(error) => {
            sink.discard();
            Err(error.into())
        }
    }
}

/// What goes wrong, and how it is had in the smallest cell.
fn search(
    options: &cli::Explore,
    cell: &Cell,
    run: impl Fn(&Cell) -> Result<Outcome, RunError> + Sync,
) -> Result<Exploration, RunError> {
    let explored = explore(cell, options.seeds, options.first, &run)?;
    let mut told = Exploration::new(cell, options.seeds, &explored);
    if let Some(found) = explored.found.into_iter().next()
        && !explored.interrupted
    {
        match shrink(cell, found, &run)? {
            Some(smallest) => told.smallest = Some(Reproducer::new(&smallest, command(options, &smallest))),
            None => told.interrupted = true,
        }
    }
    Ok(told)
}

/// The command line that runs the smallest cell.
fn command(options: &cli::Explore, Smallest { seed, changed, .. }: &Smallest) -> String {
    let mut words = words(options);
    let changed = changed.iter().copied().chain([("seed", *seed)]);
    words.extend(changed.flat_map(|(key, value)| ["--set".into(), format!("{key}={value}")]));
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("shootdown run {}", words.join(" "))
}

/// The options again, as they were given. What is changed comes behind them as `--set`, and the last one wins.
fn words(options: &cli::Explore) -> Vec<String> {
    let cli::Keys { workload, machine, set, config } = &options.keys;
    let config = config.as_ref().map(|path| path.display().to_string());
    let given = [
        ("--config", &config),
        ("--strategy", &options.strategy),
        ("--workload", workload),
        ("--cpu", &machine.cpu),
        ("--cpus", &machine.cpus),
        ("--mem", &machine.mem),
        ("--timing", &machine.timing),
        ("--max-cycles", &machine.max_cycles),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value.clone()?]));
    let set = set.iter().map(|pair| ["--set".to_owned(), pair.clone()]);
    given.chain(set).flatten().collect()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        for (word, expected) in [
            ("ops=5", "ops=5"),
            ("my file", "'my file'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
