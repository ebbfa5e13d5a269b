//! `cargo xtask fuzz-diff`: random instruction sequences here and on an independent implementation, and what differs.
//!
//! | modes | other side | how |
//! |---|---|---|
//! | real, flat | Unicorn | [`unicorn`]: registers set and read from outside |
//! | protected16, mixed, ring0, ring3, v86 | Bochs, or QEMU | [`guest`]: a guest that is the same on both |
//!
//! What is explained stands in `unicorn.rs` and in `guest/explained.rs`.

mod generate;
mod guest;
mod ours;
mod unicorn;

use crate::random::Random;
use anyhow::{Result, bail};
pub use guest::Peer;
use std::collections::BTreeMap;
use std::path::Path;

/// How the processor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// 16-bit code in real mode.
    Real,
    /// Flat 32-bit code.
    Flat,
    /// 16-bit code and stacks in protected mode, in all rings, with segments of all kinds.
    Protected16,
    /// Code and stacks of 16 and 32 bits in all combinations, as before.
    Mixed,
    /// Ring 0 with paging, and what the system has instructions for.
    Ring0,
    /// Ring 3 with paging.
    Ring3,
    /// Virtual-8086 mode with paging.
    V86,
}

impl Mode {
    /// As the command line has it.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// The generator for number `n` of a seed: each case can be had again from its own number.
fn numbered(seed: u64, n: u64) -> Random {
    let mut random = Random::new(seed << 40 ^ n);
    random.next();
    random
}

/// What `cargo xtask fuzz-diff` is asked.
pub struct Options<'a> {
    /// Sequences.
    pub count: u64,
    /// Number of the first.
    pub from: u64,
    /// Where the randomness begins.
    pub seed: u64,
    /// How the processor runs.
    pub mode: Mode,
    /// The other side of the modes that a guest is run for.
    pub peer: Peer,
    /// A Python with the package unicorn.
    pub python: &'a Path,
}

/// What came of it all.
#[derive(Default)]
pub struct Tally {
    compared: u64,
    /// Ended by an exception.
    faults: u64,
    differences: u64,
    dropped: BTreeMap<String, u64>,
    explained: BTreeMap<&'static str, u64>,
    vectors: BTreeMap<u32, u64>,
}

impl Tally {
    fn drop(&mut self, why: &str) {
        *self.dropped.entry(why.into()).or_default() += 1;
    }
}

/// Runs `count` sequences; fails if any difference has no explanation.
pub fn run(options: &Options<'_>) -> Result<()> {
    let tally = match options.mode {
        Mode::Real | Mode::Flat => unicorn::run(options)?,
        _ => guest::run(options)?,
    };
    let sum = |m: &BTreeMap<String, u64>| m.values().sum::<u64>();
    println!(
        "{}: {} sequences compared, {} of them faulting, {} dropped, {} explained, {} differences",
        options.mode.name(),
        tally.compared,
        tally.faults,
        sum(&tally.dropped),
        tally.explained.values().sum::<u64>(),
        tally.differences
    );
    tally.dropped.iter().for_each(|(why, n)| println!("  dropped {n}: {why}"));
    tally.explained.iter().for_each(|(why, n)| println!("  explained {n}: {why}"));
    if !tally.vectors.is_empty() {
        let each: Vec<_> = tally.vectors.iter().map(|(v, n)| format!("{v}: {n}")).collect();
        println!("  by vector {}", each.join(", "));
    }
    if tally.differences > 0 {
        bail!("{} differences", tally.differences);
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

/// The decoder's flags as bits of EFLAGS.
fn processor_flags(bits: u32) -> u32 {
    use iced_x86::RflagsBits as R;
    [(R::CF, 1), (R::PF, 4), (R::AF, 0x10), (R::ZF, 0x40), (R::SF, 0x80), (R::OF, 0x800), (R::DF, 0x400)]
        .into_iter()
        .filter(|(b, _)| bits & b != 0)
        .fold(0, |m, (_, f)| m | f)
}
