//! What a machine is made of, checked once before it is built.
//!
//! [`MachineConfig`] holds everything that decides a run besides the guest's own
//! bytes: equal configurations and equal images give equal results. Keys of
//! [`MachineConfig::set`] are those of `--set` and of configuration files; keys
//! that describe the processor are handed on to the [`Preset`].

use thiserror::Error;

use crate::apic::Kind;
use crate::cost::{Preset, PresetError};
use crate::loader::{HOLE_BYTES, MemoryMap};

/// The most processors that the emulator models.
pub const MAX_CPUS: usize = 64;
/// The least memory, in bytes: conventional memory and the firmware area.
pub const MIN_MEMORY: u64 = 1 << 20;
/// The most memory, in bytes: what 36-bit physical addresses reach.
pub const MAX_MEMORY: u64 = 64 << 30;
/// The granule of the memory size, in bytes.
const PAGE: u64 = 4096;
/// The largest jitter, in cycles.
pub const MAX_JITTER: u32 = 1_000_000;
/// Accepted factors on the scheduler's lookahead.
pub const SLICES: std::ops::RangeInclusive<f64> = 0.1..=2.0;

/// What an access to an unknown MSR, an empty port or an empty address does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// It stops the run.
    Strict,
    /// As on a PC: #GP, or all ones.
    Lenient,
}

/// What the TLBs do that hardware is allowed to do and the plain model does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adversary {
    /// Nothing: entries are filled by use and evicted by replacement.
    None,
    /// Any present, reachable PTE may be filled at any time (seeded).
    Fill,
    /// No entry is ever evicted.
    Keep,
}

/// Host-side shortcuts, which must not change any figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcuts {
    /// Use them.
    On,
    /// Take the exact model's path always, for comparison.
    Off,
}

/// What a memory access costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Data caches, line transfers and contention for lines.
    Full,
    /// A first-level hit always.
    Flat,
}

impl Timing {
    /// The name as [`MachineConfig::set`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Timing::Full => "full",
            Timing::Flat => "flat",
        }
    }
}

/// Who keeps TLBs true to the page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlbCoherence {
    /// Software, as on every processor: an entry answers until it is invalidated or evicted.
    Software,
    /// The machine: the write of a PTE ends the entries that it makes wrong, on all processors, at no cost. No
    /// processor does it; it is the bound that no scheme can beat.
    Hardware,
}

/// A machine and how to run it.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineConfig {
    /// Processors, 1..=64 and at most the preset's limit.
    pub cpus: usize,
    /// RAM in bytes: 1 MiB..=64 GiB, a multiple of 4 KiB.
    pub memory: u64,
    /// The processor.
    pub preset: Preset,
    /// Seed of everything that is random.
    pub seed: u64,
    /// What happens at the edge of the model.
    pub strictness: Strictness,
    /// TLB behaviour at its worst.
    pub adversary: Adversary,
    /// Who keeps TLBs true to the page tables.
    pub tlb_coherence: TlbCoherence,
    /// What memory accesses cost.
    pub timing: Timing,
    /// Host-side shortcuts.
    pub shortcuts: Shortcuts,
    /// The most that scheduling and latencies are lengthened by, in cycles; 0 = exact.
    pub jitter: u32,
    /// Factor on the scheduler's lookahead, 0.1..=2: how far one processor runs before the others follow, a choice of
    /// the host's that figures do not depend on (with `timing=full`).
    pub slice: f64,
    /// The run ends when the slowest processor's clock reaches this many cycles.
    pub max_cycles: Option<u64>,
}

/// Why a machine cannot be built. Every message is one line.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No such number of processors.
    #[error("cpus: {given} is out of range; accepted are 1 to {MAX_CPUS}")]
    Cpus {
        /// The number asked for.
        given: usize,
    },
    /// More processors than the preset's hardware has.
    #[error(
        "cpus: {given} is more than '{preset}' has; accepted are 1 to {limit}: {reason} (another --cpu, or --set max_cpus={given} to pretend)"
    )]
    CpusOfPreset {
        /// The number asked for.
        given: usize,
        /// The preset.
        preset: String,
        /// Its limit.
        limit: u32,
        /// Why.
        reason: String,
    },
    /// A memory size that is no size or out of range.
    #[error(
        "mem: '{given}' {problem}; accepted are 1M to 64G in steps of 4K, written as 128M, 4G or a number of bytes"
    )]
    Memory {
        /// As it was given.
        given: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Memory that the preset's processors cannot address.
    #[error(
        "mem: {given} bytes need physical addresses beyond the {bits} bits of '{preset}'; accepted are at most {limit} bytes"
    )]
    PhysicalBits {
        /// The size asked for.
        given: u64,
        /// The preset.
        preset: String,
        /// Its address width.
        bits: u32,
        /// The most memory that fits.
        limit: u64,
    },
    /// A key with a value that it does not take.
    #[error("{key}: '{given}' is not accepted; accepted are {accepted}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        given: String,
        /// What it takes.
        accepted: &'static str,
    },
    /// The preset refuses the key or the value.
    #[error(transparent)]
    Preset(#[from] PresetError),
}

impl MachineConfig {
    /// Four processors of a preset with 128 MiB, seed 1, strict, caches, nothing random.
    /// (One to four, where the preset has fewer.)
    pub fn new(preset: Preset) -> MachineConfig {
        MachineConfig {
            cpus: preset.max_cpus.min(4) as usize,
            memory: 128 << 20,
            preset,
            seed: 1,
            strictness: Strictness::Strict,
            adversary: Adversary::None,
            tlb_coherence: TlbCoherence::Software,
            timing: Timing::Full,
            shortcuts: Shortcuts::On,
            jitter: 0,
            slice: 1.0,
            max_cycles: None,
        }
    }

    /// Checks what depends on several fields and on limits.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_CPUS).contains(&self.cpus) {
            return Err(ConfigError::Cpus { given: self.cpus });
        }
        if self.cpus as u64 > u64::from(self.preset.max_cpus) {
            return Err(ConfigError::CpusOfPreset {
                given: self.cpus,
                preset: self.preset.name.clone(),
                limit: self.preset.max_cpus,
                reason: self.preset.max_cpus_reason.clone(),
            });
        }
        check_memory(&self.memory.to_string(), self.memory)?;
        // The end of RAM counts: beyond the hole below 4 GiB it lies higher than the size says.
        let reach = 1_u64 << self.preset.physical_bits.min(44);
        if MemoryMap::new(self.memory).end() > reach {
            return Err(ConfigError::PhysicalBits {
                given: self.memory,
                preset: self.preset.name.clone(),
                bits: self.preset.physical_bits,
                limit: reach.saturating_sub(HOLE_BYTES),
            });
        }
        if self.jitter > MAX_JITTER {
            return Err(ConfigError::Value {
                key: "jitter",
                given: self.jitter.to_string(),
                accepted: "0 to 1000000 cycles",
            });
        }
        // Not a number lies in no range.
        if !SLICES.contains(&self.slice) {
            return Err(ConfigError::Value {
                key: "slice",
                given: self.slice.to_string(),
                accepted: "0.1 to 2",
            });
        }
        Ok(())
    }

    /// The kind of local APIC: the preset's, unless more processors were asked for
    /// (with `max_cpus` set) than 4-bit APIC ids can name.
    pub fn apic_kind(&self) -> Kind {
        match self.preset.apic {
            Kind::P6 if self.cpus > 15 => Kind::XApic,
            kind => kind,
        }
    }

    /// Sets one key: `cpus`, `mem`, `seed`, `strict` (`true`, `false`), `tlb.adversary`
    /// (`none`, `fill`, `keep`), `tlb.coherent` (`on`, `off`), `timing` (`full`, `flat`), `shortcuts` (`on`, `off`), `jitter`, `slice`,
    /// `max_cycles` (a number or `none`), or any key of [`Preset::set`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let value = value.trim();
        match key {
            "cpus" => self.cpus = number("cpus", value, "1 to 64")?,
            "mem" => self.memory = parse_memory(value)?,
            "seed" => self.seed = number("seed", value, "whole numbers below 2^64")?,
            "strict" => {
                self.strictness = choice(
                    "strict",
                    value,
                    "true, false",
                    &[("true", Strictness::Strict), ("false", Strictness::Lenient)],
                )?;
            }
            "tlb.adversary" => {
                self.adversary = choice(
                    "tlb.adversary",
                    value,
                    "none, fill, keep",
                    &[("none", Adversary::None), ("fill", Adversary::Fill), ("keep", Adversary::Keep)],
                )?;
            }
            "tlb.coherent" => {
                self.tlb_coherence = choice(
                    "tlb.coherent",
                    value,
                    "on, off",
                    &[("on", TlbCoherence::Hardware), ("off", TlbCoherence::Software)],
                )?;
            }
            "timing" => {
                self.timing =
                    choice("timing", value, "full, flat", &[("full", Timing::Full), ("flat", Timing::Flat)])?;
            }
            "shortcuts" => {
                self.shortcuts =
                    choice("shortcuts", value, "on, off", &[("on", Shortcuts::On), ("off", Shortcuts::Off)])?;
            }
            "jitter" => self.jitter = number("jitter", value, "0 to 1000000 cycles")?,
            "slice" => self.slice = number("slice", value, "0.1 to 2")?,
            "max_cycles" if value == "none" => self.max_cycles = None,
            "max_cycles" => {
                self.max_cycles =
                    Some(number("max_cycles", value, "a number of cycles below 2^64, or none")?);
            }
            _ => self.preset.set(key, value)?,
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(
    key: &'static str,
    value: &str,
    accepted: &'static str,
) -> Result<T, ConfigError> {
    value.parse().map_err(|_| ConfigError::Value { key, given: value.into(), accepted })
}

fn choice<T: Copy>(
    key: &'static str,
    value: &str,
    accepted: &'static str,
    table: &[(&str, T)],
) -> Result<T, ConfigError> {
    let found = table.iter().find(|(name, _)| *name == value);
    found.map(|&(_, v)| v).ok_or_else(|| ConfigError::Value { key, given: value.into(), accepted })
}

/// Reads a memory size: bytes, or with K, M, G or T (powers of 1024; either case).
/// The size must be one that a machine may have.
pub fn parse_memory(text: &str) -> Result<u64, ConfigError> {
    let text = text.trim();
    let wrong = |problem| ConfigError::Memory { given: text.into(), problem };
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("is no memory size"));
    }
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    let bytes = bytes.ok_or_else(|| wrong("is too much"))?;
    check_memory(text, bytes)?;
    Ok(bytes)
}

fn check_memory(given: &str, bytes: u64) -> Result<(), ConfigError> {
    let problem = if bytes < MIN_MEMORY {
        "is too little"
    } else if bytes > MAX_MEMORY {
        "is too much"
    } else if !bytes.is_multiple_of(PAGE) {
        "is not a multiple of 4K"
    } else {
        return Ok(());
    };
    Err(ConfigError::Memory { given: given.into(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(preset: &str) -> MachineConfig {
        MachineConfig::new(Preset::builtin(preset).expect("built in"))
    }

    fn refused(change: impl FnOnce(&mut MachineConfig)) -> String {
        let mut c = config("p3");
        change(&mut c);
        let message = c.validate().expect_err("must be refused").to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }

    #[test]
    fn the_default_machine_is_valid() {
        for preset in Preset::names() {
            config(preset).validate().unwrap_or_else(|e| panic!("{e}"));
        }
    }

    #[test]
    fn processors_are_limited_with_the_reason() {
        assert!(refused(|c| c.cpus = 0).contains("1 to 64"));
        assert!(refused(|c| c.cpus = 65).contains("1 to 64"));
        let e = refused(|c| c.cpus = 16);
        assert!(e.contains("4-bit APIC ids") && e.contains("1 to 15"), "{e}");
        let mut c = config("p3");
        c.cpus = 15;
        assert!(c.validate().is_ok());
        c.set("max_cpus", "16").unwrap();
        assert_eq!(c.apic_kind(), Kind::P6);
        c.cpus = 16;
        assert!(c.validate().is_ok(), "told to pretend");
        assert_eq!(c.apic_kind(), Kind::XApic, "with ids of 8 bits");
        let mut c = config("haswell-ep");
        c.cpus = 64;
        assert!(c.validate().is_ok());
    }

    #[test]
    fn memory_is_limited() {
        assert!(refused(|c| c.memory = 4096).contains("too little"));
        assert!(refused(|c| c.memory = (1 << 20) + 1).contains("multiple of 4K"));
        assert!(refused(|c| c.memory = (64 << 30) + 4096).contains("too much"));
        let mut c = config("p3");
        for memory in [1 << 20, 64 << 30] {
            c.memory = memory;
            assert!(c.validate().is_ok());
        }
        c.set("physical_bits", "32").unwrap();
        c.memory = 4 << 30;
        let e = c.validate().unwrap_err().to_string();
        assert!(e.contains("32 bits") && e.contains("3758096384"), "{e}");
        c.memory = 0xe000_0000;
        assert!(c.validate().is_ok());
    }

    #[test]
    fn sizes_are_read_and_bad_ones_explained() {
        assert_eq!(parse_memory("128M").unwrap(), 128 << 20);
        assert_eq!(parse_memory("4g").unwrap(), 4 << 30);
        assert_eq!(parse_memory("64G").unwrap(), 64 << 30);
        assert_eq!(parse_memory("1024K").unwrap(), 1 << 20);
        assert_eq!(parse_memory("1048576").unwrap(), 1 << 20);
        for (text, problem) in [
            ("17T", "too much"),
            ("99999999999999999999", "too much"),
            ("99999999999999T", "too much"),
            ("0", "too little"),
            ("1023K", "too little"),
            ("1048577", "multiple"),
            ("", "no memory size"),
            ("M", "no memory size"),
            ("-1G", "no memory size"),
            ("4GB", "no memory size"),
            ("1.5G", "no memory size"),
            ("4µ", "no memory size"),
        ] {
            let e = parse_memory(text).unwrap_err().to_string();
            assert!(e.contains(problem) && e.contains("1M to 64G"), "{text}: {e}");
        }
    }

    #[test]
    fn keys_reach_the_machine_or_the_preset() {
        let mut c = config("p3");
        for (key, value) in [
            ("cpus", "8"),
            ("mem", "1G"),
            ("seed", "18446744073709551615"),
            ("strict", "false"),
            ("tlb.adversary", "fill"),
            ("shortcuts", "off"),
            ("jitter", "100"),
            ("slice", "0.5"),
            ("max_cycles", "1000000"),
            ("cost.invlpg", "120"),
        ] {
            c.set(key, value).unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!((c.cpus, c.memory, c.seed), (8, 1 << 30, u64::MAX));
        assert_eq!(c.strictness, Strictness::Lenient);
        assert_eq!(c.adversary, Adversary::Fill);
        assert_eq!(c.shortcuts, Shortcuts::Off);
        assert_eq!((c.jitter, c.slice, c.max_cycles), (100, 0.5, Some(1_000_000)));
        assert_eq!(c.preset.costs().invlpg, 120);
        c.set("max_cycles", "none").unwrap();
        assert_eq!(c.max_cycles, None);
    }

    #[test]
    fn bad_keys_and_values_are_explained() {
        let mut c = config("p3");
        for (key, value, expect) in [
            ("tlb.adversary", "drop", "none, fill, keep"),
            ("strict", "1", "true, false"),
            ("cpus", "-1", "1 to 64"),
            ("max_cycles", "soon", "or none"),
            ("slice", "thin", "0.1 to 2"),
            ("colour", "red", "no key 'colour'"),
        ] {
            let e = c.set(key, value).unwrap_err().to_string();
            assert!(e.contains(expect), "{e}");
        }
        assert!(refused(|c| c.jitter = MAX_JITTER + 1).starts_with("jitter"));
        for slice in [0.0, 0.09, 2.1, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(|c| c.slice = slice).ends_with("accepted are 0.1 to 2"));
        }
    }
}
