//! What the fuzzers do with their bytes. Each module is one target and opens with what it feeds and what it asserts.
//!
//! ```text
//!  ../fuzz_targets/*.rs  (nightly, libFuzzer)  --\
//!                                                 >-- here -- the emulator
//!  tests/seeds.rs  (stable, kept inputs)       --/
//! ```
//!
//! An assertion that fails, a panic, an arithmetic overflow, a run that does not end or host memory without a bound is
//! a fault of the emulator, never of the input.

pub mod blocks;
pub mod config;
pub mod decoder;
pub mod devices;
mod guest;
mod input;
pub mod loader;

/// Runs one input; panics where something that must hold does not.
pub type Target = fn(&[u8]);

/// The targets by name: what `seeds/` has a folder for.
pub const TARGETS: [(&str, Target); 5] = [
    ("blocks", blocks::run),
    ("config", config::run),
    ("decoder", decoder::run),
    ("devices", devices::run),
    ("loader", loader::run),
];
