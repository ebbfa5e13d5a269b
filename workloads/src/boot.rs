//! Booting any Multiboot kernel, and the statistics of it.
//!
//! No region of interest here: every figure is of the whole run.

use crate::report::{CpuSection, LedgerSection, MachineSection, SCHEMA, StopSection};
use serde::Serialize;
use sha2::{Digest, Sha256};
use shootdown_emu::config::Adversary;
use shootdown_emu::loader::Module;
use shootdown_emu::{Machine, Stop};
use std::collections::BTreeMap;

/// What was booted.
#[derive(Clone, Debug, Serialize)]
pub struct BootConfig {
    /// Version of this program.
    pub version: &'static str,
    /// The machine.
    pub machine: MachineSection,
    /// SHA-256 of the kernel's file, or the ROM's.
    pub kernel: String,
    /// The kernel's command line.
    pub append: String,
    /// SHA-256 of each module's file.
    pub modules: Vec<String>,
}

impl BootConfig {
    /// What a machine was given.
    pub fn new(machine: &Machine, kernel: &[u8], append: &str, modules: &[Module]) -> BootConfig {
        let adversary = match machine.config().adversary {
            Adversary::None => "none",
            Adversary::Fill => "fill",
            Adversary::Keep => "keep",
        };
        BootConfig {
            version: env!("CARGO_PKG_VERSION"),
            machine: MachineSection::new(machine.config(), adversary),
            kernel: sha256(kernel),
            append: append.into(),
            modules: modules.iter().map(|m| sha256(&m.bytes)).collect(),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Counters and ledger under the same names, for a processor or for all.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The clock; of all processors: the sum of their clocks.
    pub cycles: u64,
    /// Counters by name.
    #[serde(flatten)]
    pub counters: BTreeMap<String, u64>,
    /// Both axes; each sums to `cycles`.
    pub ledger: LedgerSection,
}

/// The document of `boot --stats`.
#[derive(Clone, Debug, Serialize)]
pub struct BootStats {
    /// Version of the document's shape.
    pub schema: u32,
    /// What was booted.
    pub config: BootConfig,
    /// Why it ended.
    pub stop: StopSection,
    /// Greatest clock.
    pub cycles: u64,
    /// Instructions of all processors.
    pub instructions: u64,
    /// Each processor.
    pub cpus: Vec<Figures>,
    /// All of them.
    pub totals: Figures,
}

impl BootStats {
    /// Statistics of a machine that has stopped.
    pub fn new(machine: &Machine, config: BootConfig, stop: &Stop) -> BootStats {
        let snapshot = machine.snapshot();
        let total = snapshot.totals();
        BootStats {
            schema: SCHEMA,
            config,
            stop: StopSection::new(stop),
            cycles: snapshot.cycles(),
            instructions: total.instructions,
            cpus: snapshot
                .cpus
                .iter()
                .map(|c| {
                    let CpuSection { cycles, counters, ledger } = CpuSection::new(c);
                    Figures { cycles, counters, ledger }
                })
                .collect(),
            totals: Figures {
                cycles: snapshot.cpus.iter().map(|c| c.clock).sum(),
                counters: total.list().into_iter().map(|(name, n)| (name.into(), n)).collect(),
                ledger: LedgerSection::new(&snapshot.ledger()),
            },
        }
    }

    /// The document: JSON with a newline at its end.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}
