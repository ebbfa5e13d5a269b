//! A cell: one load under one configuration, and the keys that make it.
//!
//! Keys of `--set` and of configuration files:
//!
//! ```text
//!  workload  strategy                             what runs
//!  tasks  pages  ops ...       (workload.*)       the load's own keys
//!  window  normal  fault ...   (kernel.*)         the kernel's command line
//!  cpu  cpus  mem  seed ...    (machine.*)        the machine
//!  cost.*  tlb.*  cache.*  topology.* ...         numbers of the processor preset
//!  host.shortcuts                                 must not change any figure
//! ```

use crate::kernel::KernelOptions;
use crate::strategy::Strategy;
use crate::workload::{WORKLOADS, Workload};
use shootdown_emu::config::{Adversary, TlbCoherence};
use shootdown_emu::cost::{DEFAULT_PRESET, PresetError};
use shootdown_emu::{ConfigError, MachineConfig, Preset};
use std::collections::BTreeMap;
use thiserror::Error;

/// Without progress of the guest for this many cycles the run ends as a livelock.
pub const PATIENCE: u64 = 2_000_000_000;

/// Keys of the machine, besides those of the preset.
const MACHINE_KEYS: [&str; 13] = [
    "cpu",
    "cpus",
    "mem",
    "seed",
    "strict",
    "timing",
    "jitter",
    "slice",
    "max_cycles",
    "patience",
    "tlb.adversary",
    "tlb.coherent",
    "host.shortcuts",
];

/// Why a key cannot be set. Every message is one line.
#[derive(Debug, Error)]
pub enum KeyError {
    /// There is no such key.
    #[error("no key '{key}'; accepted are {accepted}")]
    Unknown {
        /// The key.
        key: String,
        /// All keys.
        accepted: String,
    },
    /// The value is not accepted.
    #[error("{key}: {problem}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong and what is accepted.
        problem: String,
    },
    /// What was set contradicts itself.
    #[error("{0}")]
    Contradiction(String),
    /// The machine refuses.
    #[error(transparent)]
    Machine(#[from] ConfigError),
    /// The preset cannot be had.
    #[error(transparent)]
    Preset(#[from] PresetError),
}

/// One load under one configuration.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The load.
    pub workload: &'static Workload,
    /// Keys of the load that were set.
    parameters: BTreeMap<&'static str, String>,
    /// How pages get a kernel address.
    pub strategy: Strategy,
    /// The kernel's options.
    pub kernel: KernelOptions,
    /// The machine.
    pub machine: MachineConfig,
    /// Cycles without progress that end the run.
    pub patience: Option<u64>,
}

impl Cell {
    /// The default load and strategy on the default machine.
    pub fn standard() -> Result<Cell, KeyError> {
        Ok(Cell {
            workload: &WORKLOADS[0],
            parameters: BTreeMap::new(),
            strategy: Strategy::Batched,
            kernel: KernelOptions::default(),
            machine: MachineConfig::new(Preset::load(DEFAULT_PRESET)?),
            patience: Some(PATIENCE),
        })
    }

    /// The same cell under another strategy.
    pub fn with(&self, strategy: Strategy) -> Cell {
        Cell { strategy, ..self.clone() }
    }

    /// Sets keys in their order, but `workload` and `cpu` first, because others depend on them.
    pub fn set_all<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), KeyError> {
        let (first, rest): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(key, _)| matches!(plain(key), "workload" | "cpu"));
        for (key, value) in first.into_iter().chain(rest) {
            self.set(key, value)?;
        }
        Ok(())
    }

    /// Sets one key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), KeyError> {
        let value = value.trim();
        let wrong = |problem: String| KeyError::Value { key: key.into(), problem };
        let name = plain(key);
        match name {
            "workload" => {
                self.workload = Workload::from_name(value).ok_or_else(|| {
                    wrong(format!("'{value}' is unknown; accepted are {}", Workload::names()))
                })?;
                self.parameters.clear();
                return Ok(());
            }
            "strategy" => {
                self.strategy = Strategy::from_name(value).ok_or_else(|| {
                    wrong(format!("'{value}' is unknown; accepted are {}", Strategy::names()))
                })?;
                return Ok(());
            }
            "cpu" => {
                let preset = Preset::load(value)?;
                self.machine.cpus = self.machine.cpus.min(preset.max_cpus as usize);
                self.machine.preset = preset;
                return Ok(());
            }
            "patience" if value == "none" => {
                self.patience = None;
                return Ok(());
            }
            "patience" => {
                let cycles = value.parse().map_err(|_| {
                    wrong(format!(
                        "'{value}' is not accepted; accepted are a number of cycles below 2^64, or none"
                    ))
                })?;
                self.patience = Some(cycles);
                return Ok(());
            }
            "host.shortcuts" => return Ok(self.machine.set("shortcuts", value)?),
            "max-cycles" => return Ok(self.machine.set("max_cycles", value)?),
            _ => {}
        }
        if let Some(known) = self.workload.key(name) {
            let checked = known.check(value);
            let checked = checked.ok_or_else(|| {
                wrong(format!("'{value}' is not accepted; accepted are {}", known.accepted))
            })?;
            self.parameters.insert(known.name, checked);
            return Ok(());
        }
        if let Some(result) = self.kernel.set(name, value) {
            return result.map_err(wrong);
        }
        let of_preset = name
            .split('.')
            .next()
            .is_some_and(|head| matches!(head, "cost" | "tlb" | "cache" | "topology" | "features"))
            || matches!(name, "clock_mhz" | "bus_mhz" | "max_cpus" | "physical_bits");
        if of_preset || MACHINE_KEYS.contains(&name) {
            return Ok(self.machine.set(name, value)?);
        }
        Err(KeyError::Unknown { key: key.into(), accepted: self.keys() })
    }

    /// Names of all keys, for messages.
    pub fn keys(&self) -> String {
        format!(
            "workload, strategy; of {}: {}; of the kernel: {}; of the machine: {}; of the processor: cost.*, tlb.*, \
             cache.*, topology.*, features.*, clock_mhz, bus_mhz, max_cpus, physical_bits",
            self.workload.name,
            self.workload.key_names(),
            KernelOptions::KEYS.join(", "),
            MACHINE_KEYS.join(", ")
        )
    }

    /// Checks what depends on several keys.
    pub fn validate(&self) -> Result<(), KeyError> {
        self.machine.validate()?;
        if !self.kernel.smp && self.machine.cpus > 1 {
            return Err(KeyError::Contradiction(format!(
                "smp: 'off' is a kernel for one processor, but cpus is {}; accepted with it is cpus=1",
                self.machine.cpus
            )));
        }
        if let Some(fault) = self.kernel.fault
            && !fault.breaks(self.strategy, &self.kernel)
        {
            return Err(KeyError::Contradiction(format!(
                "fault: '{}' belongs to {}, but the strategy is {}, highmem is {}, shootdown is {}, swap is {}, disk is {} and bounce is {}; accepted with them are {}",
                fault.name,
                fault.of(),
                self.strategy.name(),
                if self.kernel.highmem { "on" } else { "off" },
                self.kernel.shootdown.name(),
                self.kernel.swap,
                self.kernel.disk,
                if self.kernel.bounce { "on" } else { "off" },
                self.faults()
            )));
        }
        Ok(())
    }

    fn faults(&self) -> String {
        let mut names = vec!["none"];
        names.extend(
            crate::strategy::FAULTS.iter().filter(|f| f.breaks(self.strategy, &self.kernel)).map(|f| f.name),
        );
        names.join(", ")
    }

    /// Every key of the load with its value, in the load's order.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let value = |k: &crate::workload::Key| {
            self.parameters.get(k.name).cloned().unwrap_or_else(|| k.standard(self.machine.cpus))
        };
        self.workload.keys.iter().map(|k| (k.name, value(k))).collect()
    }

    /// The seed in the 32 bits that kernel and guest take.
    pub fn guest_seed(&self) -> u32 {
        (self.machine.seed ^ (self.machine.seed >> 32)) as u32
    }

    /// The machine of the cell: with coherent TLBs if they were asked for, or if what is compared is that bound.
    pub fn machine(&self) -> MachineConfig {
        let mut machine = self.machine.clone();
        if self.kernel.wants_coherent_tlbs(self.strategy) {
            machine.tlb_coherence = TlbCoherence::Hardware;
        }
        machine
    }

    /// The kernel's command line.
    pub fn command_line(&self) -> String {
        self.kernel.command_line(self.strategy, self.machine.memory, self.guest_seed())
    }

    /// The string of the guest program's module.
    pub fn module_string(&self) -> String {
        let mut text = format!("guest {}", self.workload.name);
        for (key, value) in self.parameters() {
            text.push_str(&format!(" {key}={value}"));
        }
        text.push_str(&format!(" seed={}", self.guest_seed()));
        text
    }

    /// Name of the adversary mode.
    pub fn adversary(&self) -> &'static str {
        match self.machine.adversary {
            Adversary::None => "none",
            Adversary::Fill => "fill",
            Adversary::Keep => "keep",
        }
    }
}

/// The key without the part of the cell that it may be written under.
fn plain(key: &str) -> &str {
    match key.split_once('.') {
        Some(("workload", "name")) => "workload",
        Some(("workload" | "kernel" | "machine", rest)) => rest,
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        Cell::standard().unwrap()
    }

    #[test]
    fn keys_reach_their_part() {
        let mut c = cell();
        c.set_all([
            ("pages", "64"),
            ("kernel.window", "32"),
            ("cost.invlpg", "500"),
            ("tlb.adversary", "keep"),
            ("slice", "2"),
            ("host.shortcuts", "off"),
            ("machine.cpus", "2"),
            ("workload.think", "0"),
            ("cpu", "haswell-ep"),
            ("strategy", "deferred-seq"),
        ])
        .unwrap();
        assert_eq!(c.machine.preset.name, "haswell-ep");
        assert_eq!(c.machine.preset.costs().invlpg, 500, "the preset is chosen before its numbers are set");
        assert_eq!((c.adversary(), c.machine.slice), ("keep", 2.0));
        assert_eq!(
            c.module_string(),
            "guest kmap-storm tasks=4 pages=64 ops=6000 warmup=500 len=128 hold=0 sharing=50 hot=0 order=random think=0 \
             footprint=16 check=100 every=0 seed=1"
        );
        assert!(c.command_line().starts_with("kmap=deferred-seq window=32 "));
        c.validate().unwrap();
    }

    #[test]
    fn an_unknown_key_is_told_with_all_others() {
        let e = cell().set("colour", "red").unwrap_err().to_string();
        for key in ["'colour'", "pages", "window", "cpus", "cost.*", "host.shortcuts"] {
            assert!(e.contains(key), "{e}");
        }
        assert!(!e.contains('\n'));
        // A key of another load is none of this one.
        assert!(cell().set("rounds", "4").is_err());
    }

    #[test]
    fn a_kernel_for_one_processor_gets_one() {
        let mut c = cell();
        c.set_all([("smp", "off"), ("cpus", "2")]).unwrap();
        let told = c.validate().unwrap_err().to_string();
        assert!(told.contains("but cpus is 2; accepted with it is cpus=1"), "{told}");
        c.set("cpus", "1").unwrap();
        c.validate().unwrap();
    }

    #[test]
    fn a_fault_needs_its_strategy() {
        let mut c = cell();
        c.set("fault", "b").unwrap();
        assert!(c.validate().unwrap_err().to_string().contains("deferred-seq"));
        c.set("strategy", "deferred-seq").unwrap();
        c.validate().unwrap();
        c.set("fault", "gen-late").unwrap();
        assert!(c.validate().unwrap_err().to_string().contains("tlb-gen"));
        c.set("shootdown", "tlb-gen").unwrap();
        c.validate().unwrap();
    }
}
