//! What things cost: presets of modelled processors.
//!
//! A [`Preset`] is one TOML file of `costs/`: who the processor says it is
//! (CPUID), the shape of its TLBs and caches, its sockets, and a table of costs in which every number
//! has a source and every estimate a bracket. No cycle number stands anywhere
//! else in the crate. Presets are built in by name; a user's own file is loaded
//! by its path. Single keys can be set for one run ([`Preset::set`]).
//!
//! `SDM vol. 2A, "CPUID"` for identification; `SDM vol. 3A, "Translation
//! Lookaside Buffers (TLBs)"` for what a TLB may do.

mod hierarchy;
mod identity;
mod table;
mod tlb;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::apic::Kind;
use crate::mmu::tlb::Replacement;
pub use hierarchy::{CacheGeometry, CacheShape, Topology};
pub use identity::{Cpuid, Features};
pub use table::{COSTS, Cost, CostInfo, Costs, Unit};
use table::{CostTable, MAX_INSTRUCTION_CYCLES, RawCost};
pub use tlb::{Geometry, Pair, Second, TlbShape};

/// The presets that are built in: name and text.
const BUILTIN: [(&str, &str); 5] = [
    ("p3", include_str!("../../costs/p3.toml")),
    ("p4-xeon", include_str!("../../costs/p4-xeon.toml")),
    ("westmere-ep", include_str!("../../costs/westmere-ep.toml")),
    ("haswell-ep", include_str!("../../costs/haswell-ep.toml")),
    ("skylake-sp", include_str!("../../costs/skylake-sp.toml")),
];

/// The preset used when none is named.
pub const DEFAULT_PRESET: &str = "p3";

/// Why a preset cannot be used. Every message is one line.
#[derive(Debug, Error)]
pub enum PresetError {
    /// No built-in preset and no file has this name.
    #[error("no processor preset '{name}'; accepted are {known} or the path of a .toml file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in names.
        known: String,
    },
    /// The file cannot be read.
    #[error("{}: cannot read the preset: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("{file}, line {line}, {key}: {message}")]
    Syntax {
        /// The file or preset.
        file: String,
        /// Line number, from 1.
        line: usize,
        /// The key or section that the line begins with, as in `cost.invlpg`.
        key: String,
        /// What is wrong, with the accepted keys where one is unknown.
        message: String,
    },
    /// A value is out of range or contradicts another.
    #[error("{file}: {key} {problem}")]
    Value {
        /// The file or preset.
        file: String,
        /// The key.
        key: String,
        /// What is wrong and what is accepted.
        problem: String,
    },
    /// A key to be set does not exist.
    #[error("{file}: no key '{key}'; accepted are {accepted}")]
    Key {
        /// The file or preset.
        file: String,
        /// The key.
        key: String,
        /// The keys at that place.
        accepted: String,
    },
}

/// A modelled processor: identity, TLBs and costs, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// Short name, as given to `--cpu`.
    pub name: String,
    /// One line for lists.
    pub description: String,
    /// Core clock in MHz.
    pub clock_mhz: u32,
    /// Clock of the local APIC timer before its divider, in MHz; at most the core clock.
    pub bus_mhz: u32,
    /// The most processors that a machine of this kind has, 1..=64.
    pub max_cpus: u32,
    /// Why not more.
    pub max_cpus_reason: String,
    /// Width of physical addresses, 32..=44.
    pub physical_bits: u32,
    /// The kind of local APIC.
    pub apic: Kind,
    /// Identification.
    pub cpuid: Cpuid,
    /// What the processor can do.
    pub features: Features,
    /// The shape of the TLBs.
    pub tlb: TlbShape,
    /// The shape of the data caches.
    pub cache: CacheShape,
    /// Which processors share a socket.
    pub topology: Topology,
    file: String,
    cost: CostTable,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPreset {
    name: String,
    description: String,
    clock_mhz: u32,
    bus_mhz: u32,
    max_cpus: u32,
    max_cpus_reason: String,
    physical_bits: u32,
    apic: Kind,
    cpuid: Cpuid,
    features: Features,
    tlb: TlbShape,
    cache: CacheShape,
    topology: Topology,
    cost: std::collections::BTreeMap<String, RawCost>,
}

/// One number of a preset with all that is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// The key, as [`Preset::set`] takes it.
    pub key: String,
    /// The value in `unit`.
    pub value: f64,
    /// The unit.
    pub unit: Unit,
    /// Low end of the bracket, in `unit`.
    pub low: Option<f64>,
    /// High end of the bracket, in `unit`.
    pub high: Option<f64>,
    /// Where the value comes from; empty for the clocks and limits that define the preset.
    pub source: String,
    /// What it means.
    pub text: &'static str,
}

impl Preset {
    /// The names of the built-in presets, the default first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|&(name, _)| name)
    }

    /// The built-in preset of this name.
    pub fn builtin(name: &str) -> Option<Preset> {
        // The built-in files are part of the program; a test reads them all.
        Preset::parse(name, Preset::builtin_text(name)?).ok()
    }

    /// The file of the built-in preset of this name.
    pub fn builtin_text(name: &str) -> Option<&'static str> {
        BUILTIN.iter().find(|&&(n, _)| n == name).map(|&(_, text)| text)
    }

    /// A built-in preset by name, or a file by path. Whatever ends in `.toml`
    /// or holds a path separator is a path.
    pub fn load(name_or_path: &str) -> Result<Preset, PresetError> {
        if let Some(preset) = Preset::builtin(name_or_path) {
            return Ok(preset);
        }
        let path = Path::new(name_or_path);
        let is_path = path.extension().is_some_and(|e| e == "toml") || path.components().count() > 1;
        if !is_path {
            let known: Vec<_> = Preset::names().collect();
            return Err(PresetError::Unknown { name: name_or_path.into(), known: known.join(", ") });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| PresetError::Read { path: path.into(), source })?;
        Preset::parse(name_or_path, &text)
    }

    /// Reads a preset from its text; `file` is the name used in messages.
    pub fn parse(file: &str, text: &str) -> Result<Preset, PresetError> {
        let raw: RawPreset = toml::from_str(text).map_err(|e| {
            let line = line_of(text, e.span().map_or(0, |s| s.start));
            PresetError::Syntax {
                file: file.into(),
                line,
                key: key_of(text, line),
                message: one_line(e.message()),
            }
        })?;
        let mut cost = CostTable::new();
        for (key, entry) in raw.cost {
            if !COSTS.iter().any(|info| info.key == key) {
                return Err(PresetError::Key {
                    file: file.into(),
                    key: format!("cost.{key}"),
                    accepted: table::accepted_keys(),
                });
            }
            let checked = Cost::check(entry).map_err(|problem| PresetError::Value {
                file: file.into(),
                key: format!("cost.{key}"),
                problem,
            })?;
            cost.insert(key, checked);
        }
        let preset = Preset {
            name: raw.name,
            description: raw.description,
            clock_mhz: raw.clock_mhz,
            bus_mhz: raw.bus_mhz,
            max_cpus: raw.max_cpus,
            max_cpus_reason: raw.max_cpus_reason,
            physical_bits: raw.physical_bits,
            apic: raw.apic,
            cpuid: raw.cpuid,
            features: raw.features,
            tlb: raw.tlb,
            cache: raw.cache,
            topology: raw.topology,
            file: file.into(),
            cost,
        };
        preset.validate()?;
        Ok(preset)
    }

    /// The file or name that messages about this preset give.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The replacement policy of every TLB array.
    pub fn replacement(&self) -> Replacement {
        self.tlb.replacement.into()
    }

    /// All costs in core cycles.
    pub fn costs(&self) -> Costs {
        // `validate` has seen that no key is missing.
        Costs::from_cycles(|key| self.cost.get(key).map_or(1, |c| c.cycles(self.clock_mhz)))
    }

    /// One cost as it stands in the file.
    pub fn cost(&self, key: &str) -> Option<&Cost> {
        self.cost.get(key)
    }

    /// Every number of the preset: clocks and limits, sockets, TLB and cache shapes, costs.
    pub fn numbers(&self) -> Vec<Number> {
        let plain = |key: &str, value: u32, unit, text| Number {
            key: key.into(),
            value: f64::from(value),
            unit,
            low: None,
            high: None,
            source: String::new(),
            text,
        };
        let mut numbers = vec![
            plain("clock_mhz", self.clock_mhz, Unit::Megahertz, "core clock"),
            plain("bus_mhz", self.bus_mhz, Unit::Megahertz, "clock of the APIC timer"),
            plain("max_cpus", self.max_cpus, Unit::Count, "most processors in a machine"),
            plain("physical_bits", self.physical_bits, Unit::Count, "width of a physical address"),
        ];
        for (source, shape) in [
            (&self.topology.source, self.topology.numbers()),
            (&self.tlb.source, self.tlb.numbers()),
            (&self.cache.source, self.cache.numbers()),
        ] {
            for (key, value, unit, text) in shape {
                numbers.push(Number { source: source.clone(), ..plain(&key, value, unit, text) });
            }
        }
        for info in COSTS {
            let Some(cost) = self.cost.get(info.key) else { continue };
            numbers.push(Number {
                key: format!("cost.{}", info.key),
                value: cost.value,
                unit: cost.unit,
                low: cost.bracket.map(|b| b.0),
                high: cost.bracket.map(|b| b.1),
                source: cost.source.clone(),
                text: info.text,
            });
        }
        numbers
    }

    /// Sets one key for this run: `cost.invlpg` to `120` (cycles) or `170ns`,
    /// `tlb.data.small` to `64x4`, `tlb.replacement` to `lru`, `features.pge` to
    /// `false`, `clock_mhz`... On an error nothing has changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), PresetError> {
        let mut changed = self.clone();
        changed.set_unchecked(key, value.trim())?;
        changed.validate()?;
        *self = changed;
        Ok(())
    }

    fn set_unchecked(&mut self, key: &str, value: &str) -> Result<(), PresetError> {
        let file = self.file.clone();
        let wrong = |problem: String| PresetError::Value { file: file.clone(), key: key.into(), problem };
        let unknown = |accepted: String| PresetError::Key { file: file.clone(), key: key.into(), accepted };
        if let Some(name) = key.strip_prefix("cost.") {
            let Some(slot) = self.cost.get_mut(name) else {
                return Err(unknown(format!("cost. and one of {}", table::accepted_keys())));
            };
            *slot = Cost::parse(value).map_err(wrong)?;
            return Ok(());
        }
        if let Some(name) = key.strip_prefix("features.") {
            let Some(slot) = self.features.get_mut(name) else {
                return Err(unknown(format!("features. and one of {}", Features::NAMES.join(", "))));
            };
            *slot = value.parse().map_err(|_| wrong(format!("is '{value}'; accepted are true and false")))?;
            return Ok(());
        }
        if let Some(name) = key.strip_prefix("tlb.") {
            return match self.tlb.set(name, value) {
                Some(result) => result.map_err(wrong),
                None => Err(unknown(format!("tlb. and one of {}", tlb::KEYS.join(", ")))),
            };
        }
        if let Some(name) = key.strip_prefix("cache.") {
            return match self.cache.set(name, value) {
                Some(result) => result.map_err(wrong),
                None => Err(unknown(format!("cache. and one of {}", hierarchy::CACHE_KEYS.join(", ")))),
            };
        }
        let slot = match key {
            "clock_mhz" => &mut self.clock_mhz,
            "bus_mhz" => &mut self.bus_mhz,
            "max_cpus" => &mut self.max_cpus,
            "physical_bits" => &mut self.physical_bits,
            _ => match key.strip_prefix("topology.") {
                Some(name) => self.topology.get_mut(name).ok_or_else(|| {
                    unknown(format!("topology. and one of {}", hierarchy::TOPOLOGY_KEYS.join(", ")))
                })?,
                None => {
                    return Err(unknown(
                        "cost.*, tlb.*, cache.*, topology.*, features.*, clock_mhz, bus_mhz, max_cpus, \
                         physical_bits"
                            .into(),
                    ));
                }
            },
        };
        *slot = value.parse().map_err(|_| wrong(format!("is '{value}'; accepted is a whole number")))?;
        Ok(())
    }

    fn validate(&self) -> Result<(), PresetError> {
        let wrong = |key: &str, problem: String| PresetError::Value {
            file: self.file.clone(),
            key: key.into(),
            problem,
        };
        let range = |key: &str, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(wrong(key, format!("is {value}; accepted are {low} to {high}")))
            }
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(is_name) {
            let problem = format!("is '{}'; accepted are lower-case letters, digits and '-'", self.name);
            return Err(wrong("name", problem));
        }
        range("clock_mhz", self.clock_mhz, 1, 10_000)?;
        if !(1..=self.clock_mhz).contains(&self.bus_mhz) {
            // Either of the two may be what was set.
            let problem = format!("is {}; accepted are 1 to {}, the clock_mhz", self.bus_mhz, self.clock_mhz);
            return Err(wrong("bus_mhz", problem));
        }
        range("max_cpus", self.max_cpus, 1, crate::config::MAX_CPUS as u32)?;
        range("physical_bits", self.physical_bits, 32, 44)?;
        self.cpuid.validate().map_err(|(key, problem)| wrong(key, problem))?;
        self.tlb.validate().map_err(|(key, problem)| wrong(&key, problem))?;
        self.cache.validate().map_err(|(key, problem)| wrong(&key, problem))?;
        self.topology.validate().map_err(|(key, problem)| wrong(&key, problem))?;
        for info in COSTS {
            let key = format!("cost.{}", info.key);
            match self.cost.get(info.key) {
                None => return Err(wrong(&key, format!("is missing ({})", info.text))),
                Some(cost) => cost.check_range(info, self.clock_mhz).map_err(|p| wrong(&key, p))?,
            }
        }
        for (key, own, operands) in self.costs().of_instructions() {
            if own.saturating_add(operands) > MAX_INSTRUCTION_CYCLES {
                let most = MAX_INSTRUCTION_CYCLES.saturating_sub(operands);
                let with = if operands > 0 { ", cost.load and cost.store being added to it" } else { "" };
                let problem = format!("is {own} cycles; accepted are at most {most}{with}");
                return Err(wrong(&format!("cost.{key}"), problem));
            }
        }
        Ok(())
    }
}

/// Line number, from 1, of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

/// The key at the beginning of a line, with its section; the section alone where the line is its head.
fn key_of(text: &str, line: usize) -> String {
    let mut section = "";
    let mut key = "";
    for text in text.lines().take(line).map(str::trim) {
        if let Some(head) = text.strip_prefix('[') {
            section = head.trim_end_matches(']');
            key = "";
        } else {
            key = text.split_once('=').map_or("", |(key, _)| key.trim());
        }
    }
    match (section, key) {
        ("", "") => "the file".into(),
        ("", key) => key.into(),
        (section, "") => format!("[{section}]"),
        (section, key) => format!("{section}.{key}"),
    }
}

/// The TOML reader's messages may have several lines; ours have one.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
