//! From options and configuration file to a cell.
//!
//! Later wins: defaults, configuration file, options, `--set` in their order.

use crate::cli;
use anyhow::{Context, Result, bail};
use shootdown_workloads::{Cell, Strategy, config_file};

/// A cell and the strategies that a configuration file asks for.
pub struct Settings {
    /// The cell.
    pub cell: Cell,
    /// The file's `strategies`, for `compare`.
    pub strategies: Option<Vec<Strategy>>,
}

/// Reads everything; `first` are options of the command itself.
pub fn read(options: &cli::Keys, first: &[(&str, Option<&str>)]) -> Result<Settings> {
    let mut cell = Cell::standard()?;
    let mut strategies = None;
    if let Some(path) = &options.config {
        let mut pairs = config_file::read(path)?;
        if let Some(at) = pairs.iter().position(|(key, _)| key == "strategies") {
            let (_, names) = pairs.remove(at);
            strategies = Some(strategy_list(&names).with_context(|| path.display().to_string())?);
        }
        let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        cell.set_all(pairs).with_context(|| path.display().to_string())?;
    }
    let machine = &options.machine;
    let given = [
        ("workload", options.workload.as_deref()),
        ("cpu", machine.cpu.as_deref()),
        ("cpus", machine.cpus.as_deref()),
        ("mem", machine.mem.as_deref()),
        ("seed", machine.seed.as_deref()),
        ("timing", machine.timing.as_deref()),
        ("max_cycles", machine.max_cycles.as_deref()),
    ];
    let mut pairs: Vec<(&str, &str)> =
        first.iter().chain(&given).filter_map(|(k, v)| v.map(|v| (*k, v))).collect();
    for word in &options.set {
        let Some(pair) = word.split_once('=') else {
            bail!("--set: '{word}' has no '='; accepted is key=value with one of the keys {}", cell.keys());
        };
        pairs.push(pair);
    }
    cell.set_all(pairs)?;
    Ok(Settings { cell, strategies })
}

/// Reads `a,b,c`.
pub fn strategy_list(names: &str) -> Result<Vec<Strategy>> {
    let mut list = Vec::new();
    for name in names.split(',').map(str::trim) {
        let Some(strategy) = Strategy::from_name(name) else {
            bail!("no strategy '{name}'; accepted are {}", Strategy::names());
        };
        if list.contains(&strategy) {
            bail!("strategy '{name}' is named twice");
        }
        list.push(strategy);
    }
    Ok(list)
}
