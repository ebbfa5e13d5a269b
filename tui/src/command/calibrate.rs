//! `calibrate`: the presets measured back from inside the machine.

use crate::cli::{Calibrate, Format};
use crate::output::{Sink, Status, message};
use anyhow::{Context, Result, bail};
use shootdown_emu::{MachineConfig, Preset};
use shootdown_workloads::calibrate::{Row, calibrate, sources, table};

/// The command.
pub fn run(options: &Calibrate) -> Result<Status> {
    let names = match &options.cpu {
        Some(name) => vec![name.clone()],
        None => Preset::names().map(str::to_owned).collect(),
    };
    let mut presets = Vec::new();
    let mut configs = Vec::new();
    for name in names {
        let mut config = MachineConfig::new(Preset::load(&name)?);
        for word in &options.set {
            let Some((key, value)) = word.split_once('=') else {
                bail!(
                    "--set: '{word}' has no '='; accepted is key=value with a key of the preset (`list cpus`)"
                );
            };
            config.preset.set(key, value).with_context(|| format!("--set {word}"))?;
        }
        presets.push(config.preset.clone());
        configs.push(config);
    }
    let sink = Sink::open(options.out.as_deref())?;
    let mut rows: Vec<Row> = Vec::new();
    for config in &configs {
        match calibrate(config) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                sink.discard();
                return Err(error.into());
            }
        }
    }
    let text = match options.format {
        Format::Text => format!("{}\npublished by\n{}", table(&rows), sources(&presets)),
        Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
        Format::Csv => csv(&rows),
    };
    sink.write(&text)?;
    let off: Vec<_> = rows.iter().filter(|r| !r.holds()).collect();
    for r in &off {
        message(&format!("{}: {} is {:.1} % off its model", r.preset, r.what, 100.0 * r.relative()));
    }
    Ok(if off.is_empty() { Status::Sound } else { Status::Wrong })
}

fn csv(rows: &[Row]) -> String {
    let mut text = String::from("preset,what,model,measured,published,deviation\n");
    for r in rows {
        let published = r.published.map_or(String::new(), |p| p.to_string());
        text +=
            &format!("{},\"{}\",{},{},{published},{}\n", r.preset, r.what, r.model, r.measured, r.deviation);
    }
    text
}
