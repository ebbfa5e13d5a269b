//! The shape of the TLBs as the preset file gives it.
//!
//! ```text
//!  [tlb.instruction] small, large      first level, 4 KiB and large pages
//!  [tlb.data]        small, large
//!  [tlb.second]      entries, ways, holds = "small" | "small-and-large"     (optional)
//!  pde_cache         entries of the paging-structure cache, 0 = none
//! ```
//!
//! Vendors document sizes and ways but no replacement policy; that is a parameter.

use serde::Deserialize;

use super::table::Unit;
use crate::mmu::tlb::{MAX_ENTRIES, Replacement};

/// The most ways of an array: one tree of PLRU bits is a 32-bit word.
const MAX_WAYS: u32 = 32;
/// The most entries of the paging-structure cache.
const MAX_PDE_CACHE: u32 = 256;

/// Keys under `tlb.` that can be set.
pub(super) const KEYS: [&str; 8] = [
    "instruction.small",
    "instruction.large",
    "data.small",
    "data.large",
    "second",
    "second.holds",
    "pde_cache",
    "replacement",
];

/// One array: `entries` in sets of `ways`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Entries; a multiple of `ways`, their quotient a power of two.
    pub entries: u32,
    /// Ways per set, 1..=32; equal to `entries` for a fully associative array.
    pub ways: u32,
}

/// The arrays of one kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// 4 KiB pages.
    pub small: Geometry,
    /// 2 MiB or 4 MiB pages.
    pub large: Geometry,
}

/// What a second level holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Holds {
    Small,
    SmallAndLarge,
}

/// The second level, shared by instructions and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RawSecond")]
pub struct Second {
    /// Entries.
    pub entries: u32,
    /// Ways per set.
    pub ways: u32,
    /// It holds large pages too.
    pub large: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSecond {
    entries: u32,
    ways: u32,
    holds: Holds,
}

impl From<RawSecond> for Second {
    fn from(raw: RawSecond) -> Second {
        Second { entries: raw.entries, ways: raw.ways, large: raw.holds == Holds::SmallAndLarge }
    }
}

impl Second {
    /// Entries and ways.
    pub fn geometry(self) -> Geometry {
        Geometry { entries: self.entries, ways: self.ways }
    }
}

/// A replacement policy by its name in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Policy {
    Lru,
    TreePlru,
    Fifo,
    Random,
}

impl From<Policy> for Replacement {
    fn from(policy: Policy) -> Replacement {
        match policy {
            Policy::Lru => Replacement::Lru,
            Policy::TreePlru => Replacement::TreePlru,
            Policy::Fifo => Replacement::Fifo,
            Policy::Random => Replacement::Random,
        }
    }
}

/// The TLBs of a processor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlbShape {
    /// Where sizes and ways come from.
    pub source: String,
    /// Policy of every array; read it with `Preset::replacement`.
    pub(super) replacement: Policy,
    /// Entries of the paging-structure cache (PDEs); 0 = none.
    pub pde_cache: u32,
    /// First level for instruction fetches.
    pub instruction: Pair,
    /// First level for loads and stores.
    pub data: Pair,
    /// Second level, where there is one.
    pub second: Option<Second>,
}

impl TlbShape {
    /// The first-level arrays with their keys.
    fn arrays(&self) -> [(&'static str, Geometry); 4] {
        [
            ("tlb.instruction.small", self.instruction.small),
            ("tlb.instruction.large", self.instruction.large),
            ("tlb.data.small", self.data.small),
            ("tlb.data.large", self.data.large),
        ]
    }

    /// Key, value, unit and meaning of every number.
    pub(super) fn numbers(&self) -> Vec<(String, u32, Unit, &'static str)> {
        let mut arrays = self.arrays().to_vec();
        if let Some(second) = self.second {
            arrays.push(("tlb.second", second.geometry()));
        }
        let mut numbers = Vec::new();
        for (key, g) in arrays {
            numbers.push((format!("{key}.entries"), g.entries, Unit::Entries, "TLB entries"));
            numbers.push((format!("{key}.ways"), g.ways, Unit::Ways, "ways of a set"));
        }
        numbers.push(("tlb.pde_cache".into(), self.pde_cache, Unit::Entries, "paging-structure cache"));
        numbers
    }

    /// Sets the key `tlb.<name>`; `None` when there is no such key.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        Some(match name {
            "instruction.small" => assign(&mut self.instruction.small, geometry(value)),
            "instruction.large" => assign(&mut self.instruction.large, geometry(value)),
            "data.small" => assign(&mut self.data.small, geometry(value)),
            "data.large" => assign(&mut self.data.large, geometry(value)),
            "second" if value == "none" => assign(&mut self.second, Ok(None)),
            "second" => {
                let large = self.second.is_some_and(|s| s.large);
                let second = geometry(value)
                    .map(|g| Some(Second { entries: g.entries, ways: g.ways, large }))
                    .map_err(|e| format!("{e}, or none"));
                assign(&mut self.second, second)
            }
            "second.holds" => match (&mut self.second, value) {
                (None, _) => {
                    Err("cannot be set: this processor has no second level; set tlb.second first".into())
                }
                (Some(second), "small") => assign(&mut second.large, Ok(false)),
                (Some(second), "small-and-large") => assign(&mut second.large, Ok(true)),
                _ => Err(format!("is '{value}'; accepted are small, small-and-large")),
            },
            "pde_cache" => assign(
                &mut self.pde_cache,
                value.parse().map_err(|_| format!("is '{value}'; accepted is a whole number, 0 for none")),
            ),
            "replacement" => assign(
                &mut self.replacement,
                match value {
                    "lru" => Ok(Policy::Lru),
                    "tree-plru" => Ok(Policy::TreePlru),
                    "fifo" => Ok(Policy::Fifo),
                    "random" => Ok(Policy::Random),
                    _ => Err(format!("is '{value}'; accepted are lru, tree-plru, fifo, random")),
                },
            ),
            _ => return None,
        })
    }

    /// Checks sizes; the error is the key and what is wrong with it.
    pub(super) fn validate(&self) -> Result<(), (String, String)> {
        let mut arrays = self.arrays().to_vec();
        let mut total: u64 = arrays.iter().map(|(_, g)| u64::from(g.entries)).sum();
        if let Some(second) = self.second {
            arrays.push(("tlb.second", second.geometry()));
            // Large pages of a shared second level are kept in an array of the same shape.
            total += 2 * u64::from(second.entries);
        }
        for &(key, g) in &arrays {
            let wrong = |problem: String| Err((key.to_string(), problem));
            if g.ways == 0 || g.ways > MAX_WAYS {
                return wrong(format!("has {} ways; accepted are 1 to {MAX_WAYS}", g.ways));
            }
            if g.entries == 0 || g.entries % g.ways != 0 || !(g.entries / g.ways).is_power_of_two() {
                return wrong(format!(
                    "has {} entries in {} ways; accepted is a power of two of sets, entries = sets x ways",
                    g.entries, g.ways
                ));
            }
        }
        if total > MAX_ENTRIES as u64 {
            let each: Vec<_> = arrays.iter().map(|(key, g)| format!("{key} {}", g.entries)).collect();
            let problem = format!(
                "arrays have {total} entries together ({}; the second level counts twice); accepted are at most {MAX_ENTRIES}",
                each.join(", ")
            );
            return Err(("tlb".into(), problem));
        }
        if self.pde_cache > MAX_PDE_CACHE {
            let problem = format!("is {}; accepted are 0 to {MAX_PDE_CACHE}", self.pde_cache);
            return Err(("tlb.pde_cache".into(), problem));
        }
        Ok(())
    }
}

fn assign<T>(slot: &mut T, value: Result<T, String>) -> Result<(), String> {
    *slot = value?;
    Ok(())
}

/// Reads `64x4`: entries and ways.
fn geometry(text: &str) -> Result<Geometry, String> {
    let wrong = || format!("is '{text}'; accepted is ENTRIESxWAYS as in 64x4");
    let (entries, ways) = text.split_once('x').ok_or_else(wrong)?;
    let number = |s: &str| s.trim().parse::<u32>().map_err(|_| wrong());
    Ok(Geometry { entries: number(entries)?, ways: number(ways)? })
}
