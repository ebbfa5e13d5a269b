//! What was published for the processors of the presets: the other side of the
//! comparison, so kept apart from the presets' own numbers. Keys in [brackets] are
//! those of `docs/costs.md`. Of a range the middle is taken. What a core clock does not
//! drive (memory, messages, lines) is compared in time where the machine that was
//! measured had another clock than the preset.

use super::measure::what;
use shootdown_emu::Preset;

/// A published figure.
struct Figure {
    preset: &'static str,
    what: &'static str,
    /// In cycles, or in nanoseconds of the machine that was measured.
    value: Value,
    source: &'static str,
}

enum Value {
    Cycles(f64),
    Nanoseconds(f64),
}
use Value::{Cycles, Nanoseconds};

const fn figure(preset: &'static str, what: &'static str, value: Value, source: &'static str) -> Figure {
    Figure { preset, what, value, source }
}

const FIGURES: &[Figure] = &[
    figure("p3", what::LOCKED, Cycles(21.0), "[ILX] 0683 LOCK ADD"),
    figure("p3", what::WALK, Cycles(7.0), "[ILX] 0673, derived from strides"),
    figure("p3", what::L1, Cycles(3.0), "[ILX] 0683"),
    figure("p3", what::L2, Cycles(13.0), "[ILX] 0683"),
    figure("p3", what::MEMORY, Nanoseconds(163.5), "[ILX] 0683, random 117 to 122 at 731 MHz"),
    figure("p3", what::RING3, Cycles(407.0), "[SW] 227 in, 180 out, a weak source"),
    figure("p3", what::RDTSC, Cycles(31.0), "[ILX] P6"),
    figure("p3", what::CPUID, Cycles(138.0), "[T01], less the loop"),
    figure("p3", what::ONE_WAY, Nanoseconds(2500.0), "[LU01] 2 to 3 us for the message, without the entry"),
    figure("p3", what::UNICASTS, Nanoseconds(7500.0), "[LU01] three messages, without the entry"),
    figure("p4-xeon", what::LOCKED, Cycles(124.0), "[ILX] 0F25 LOCK ADD"),
    figure("p4-xeon", what::WALK, Cycles(36.0), "[ILX] 0F25, derived from strides"),
    figure("p4-xeon", what::L1, Cycles(2.0), "[ILX] 0F25"),
    figure("p4-xeon", what::L2, Cycles(18.0), "[ILX] 0F25"),
    figure("p4-xeon", what::MEMORY, Cycles(385.0), "[ILX] 0F25, random 370 to 400"),
    figure("p4-xeon", what::RING3, Cycles(2271.0), "[SW] 1348 in, 923 out, a weak source"),
    figure("p4-xeon", what::RDTSC, Cycles(80.0), "[ILX] Northwood"),
    figure("p4-xeon", what::CPUID, Cycles(572.0), "[T01], less the loop"),
    figure("westmere-ep", what::INVLPG, Cycles(236.0), "[H15] 232 to 240"),
    figure("westmere-ep", what::CR3, Cycles(108.0), "[H15] hot loop"),
    figure("westmere-ep", what::PGE, Cycles(828.0), "[H15] hot loop"),
    figure("westmere-ep", what::LOCKED, Cycles(19.0), "[ILX] Westmere"),
    figure("westmere-ep", what::WALK, Cycles(8.5), "[ILX] 7 to 10, derived"),
    figure("westmere-ep", what::L1, Cycles(4.0), "[ILX] 206C2"),
    figure("westmere-ep", what::L2, Cycles(10.0), "[ILX] 206C2"),
    figure("westmere-ep", what::LLC, Cycles(54.0), "[ILX] 206C2, 52 to 56 random"),
    figure("westmere-ep", what::MEMORY, Nanoseconds(67.0), "[ILX] 206C2, 215 to 250 at 3.47 GHz"),
    figure("westmere-ep", what::RDTSC, Cycles(24.0), "[ILX] Nehalem"),
    figure("haswell-ep", what::INVLPG, Cycles(216.0), "[H15] one page"),
    figure("haswell-ep", what::CR3, Cycles(124.0), "[H15] hot loop"),
    figure("haswell-ep", what::PGE, Cycles(960.0), "[H15] hot loop"),
    figure("haswell-ep", what::LOCKED, Cycles(19.0), "[ILX] 306F2"),
    figure("haswell-ep", what::L1, Cycles(4.0), "[ILX] 306F2"),
    figure("haswell-ep", what::L2, Cycles(12.0), "[ILX] 306F2"),
    figure("haswell-ep", what::LLC, Cycles(54.0), "[ILX] 306F2"),
    figure("haswell-ep", what::MEMORY, Cycles(221.0), "[ILX] 306F2"),
    figure("haswell-ep", what::TRANSFER, Nanoseconds(44.0), "[C2C] Broadwell-EP"),
    figure("haswell-ep", what::TRANSFER_REMOTE, Nanoseconds(118.0), "[C2C] Broadwell-EP"),
    figure("skylake-sp", what::PGE, Nanoseconds(539.0), "[L16] a laptop part"),
    figure("skylake-sp", what::LOCKED, Cycles(18.0), "[ILX] Skylake-X"),
    figure("skylake-sp", what::L1, Cycles(4.0), "[ILX] 50654"),
    figure("skylake-sp", what::L2, Cycles(14.0), "[ILX] 50654"),
    figure("skylake-sp", what::LLC, Cycles(75.0), "[ILX] 50654"),
    figure("skylake-sp", what::MEMORY, Nanoseconds(75.0), "[ILX] 50654"),
    figure("skylake-sp", what::TRANSFER, Nanoseconds(47.0), "[C2C] Cascade Lake"),
    figure("skylake-sp", what::TRANSFER_REMOTE, Nanoseconds(134.0), "[C2C] Cascade Lake"),
    figure("skylake-sp", what::RDTSC, Cycles(25.0), "[ILX] Skylake-X"),
];

fn of(preset: &Preset) -> impl Iterator<Item = &'static Figure> {
    let name = preset.name.clone();
    FIGURES.iter().filter(move |f| f.preset == name)
}

/// The published figure in cycles of the preset's clock.
pub fn cycles(preset: &Preset, what: &str) -> Option<f64> {
    of(preset).find(|f| f.what == what).map(|f| match f.value {
        Cycles(n) => n,
        Nanoseconds(ns) => ns * f64::from(preset.clock_mhz) / 1000.0,
    })
}

/// What is published for a preset, and where.
pub fn sources(preset: &Preset) -> impl Iterator<Item = (&'static str, &'static str)> {
    of(preset).map(|f| (f.what, f.source))
}
