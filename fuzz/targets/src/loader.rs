//! The ELF and Multiboot loader: memory size, strings and modules, then the bytes of the kernel's file.
//!
//! Asserted: an error is one line; what an accepted kernel writes lies in RAM and is no more than RAM, whatever its
//! headers claim; and a machine with it runs its first thousand cycles.

use crate::input::Input;
use shootdown_emu::loader::{BootRequest, Module, load};
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Preset};
use std::sync::OnceLock;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    static PRESET: OnceLock<Preset> = OnceLock::new();
    let preset = PRESET.get_or_init(|| Preset::builtin("p3").expect("built in"));
    let mut input = Input::new(bytes);
    let memory = (1 + u64::from(input.byte() & 15)) << 20;
    let n = usize::from(input.byte());
    let arguments = String::from_utf8_lossy(input.take(n)).into_owned();
    let modules: Vec<_> = (0..input.byte() & 3)
        .map(|_| {
            let n = usize::from(input.byte() & 31);
            let string = String::from_utf8_lossy(input.take(n)).into_owned();
            // Some are larger than what is left of RAM.
            Module { string, bytes: vec![0xc3; usize::from(input.word()) << (input.byte() & 7)] }
        })
        .collect();
    let kernel = input.rest();
    let request = BootRequest {
        kernel_name: "folder/kernel.elf",
        kernel,
        arguments: &arguments,
        modules: &modules,
        memory,
    };
    match load(&request) {
        Err(e) => {
            let e = e.to_string();
            assert!(!e.contains('\n') && !e.is_empty(), "{e}");
        }
        Ok(image) => {
            let written: u64 = image.writes.iter().map(|w| w.bytes.len() as u64).sum();
            assert!(written <= memory, "{written} bytes written to {memory}");
            let config = MachineConfig {
                cpus: 1,
                memory,
                max_cycles: Some(1000),
                ..MachineConfig::new(preset.clone())
            };
            let mut machine = Machine::new(config).expect("valid");
            machine.load_multiboot(&request).expect("what was checked fits");
            machine.run(&mut Nobody);
            assert!(machine.ledgers_balance());
        }
    }
}
