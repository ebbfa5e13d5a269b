//! Host speed: boots the bench guest and counts what it did, so that a
//! benchmark can say "per second".
//!
//! Simulated cycles are none of this package's business: they do not depend on
//! the host and belong to `shootdown-workloads`.

use anyhow::{Result, bail};
use shootdown_emu::config::Timing;
use shootdown_emu::loader::BootRequest;
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Preset, Stop};

/// The bench guest, as `cargo xtask image` built it.
pub const BENCH_ELF: &[u8] = include_bytes!("../../kernel-image/prebuilt/bench.elf");

/// A load of the bench guest: its name, what one round of it is called, processors, rounds.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Word on the guest's command line.
    pub name: &'static str,
    /// What `n` counts.
    pub unit: &'static str,
    /// Processors that it needs.
    pub cpus: usize,
    /// Rounds of a measurement: enough that booting (some 6 million instructions) does not count.
    pub rounds: u64,
}

/// All loads.
pub const LOADS: [Load; 5] = [
    Load { name: "integer", unit: "rounds", cpus: 1, rounds: 4_000_000 },
    Load { name: "mixed", unit: "passes", cpus: 1, rounds: 300 },
    Load { name: "walk", unit: "rounds", cpus: 1, rounds: 300 },
    Load { name: "kmap", unit: "maps", cpus: 1, rounds: 1_000_000 },
    Load { name: "shootdown", unit: "shootdowns", cpus: 4, rounds: 200_000 },
];

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Guest instructions of all processors.
    pub instructions: u64,
    /// Simulated cycles.
    pub cycles: u64,
    /// The guest's console: the result word, for comparison with other machines.
    pub console: String,
}

/// Boots the bench guest with a load and runs it to its end, with TLB model, costs and ledger on.
///
/// # Errors
/// The guest did not end as it should.
pub fn run(load: &Load, rounds: u64, preset: &str) -> Result<Done> {
    run_with(load, rounds, preset, Timing::Full)
}

/// [`run`] with a model of what memory accesses cost.
///
/// # Errors
/// As there.
pub fn run_with(load: &Load, rounds: u64, preset: &str, timing: Timing) -> Result<Done> {
    let config = MachineConfig { cpus: load.cpus, timing, ..MachineConfig::new(Preset::load(preset)?) };
    let memory = config.memory;
    let mut machine = Machine::new(config)?;
    let arguments = format!("{} n={rounds} cpus={}", load.name, load.cpus);
    machine.load_multiboot(&BootRequest {
        kernel_name: "bench.elf",
        kernel: BENCH_ELF,
        arguments: &arguments,
        modules: &[],
        memory,
    })?;
    let stop = machine.run(&mut Nobody);
    let console = String::from_utf8_lossy(&machine.take_console()).into_owned();
    if stop != Stop::Exit(0x10) {
        bail!("{}: {stop}; console: {console}", load.name);
    }
    let s = machine.snapshot();
    Ok(Done { instructions: s.totals().instructions, cycles: s.cycles(), console })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_ends_and_gives_the_same_result_again() {
        for load in &LOADS {
            let rounds = load.rounds / 100;
            let a = run(load, rounds, "p3").unwrap();
            assert!(a.console.contains("result"), "{}", a.console);
            assert_eq!(a, run(load, rounds, "p3").unwrap());
        }
    }
}
