//! Sixty-four processors and 64 GiB: does every strategy run there, and does the host pay only for what the
//! guest touches?

mod common;

use common::{SOUND, cell, sound};
use rayon::prelude::*;
use shootdown_emu::Machine;
use shootdown_emu::Stop;
use shootdown_emu::loader::{BootRequest, Module};
use shootdown_emu::observe::Nobody;
use shootdown_workloads::image;

const BIG: &[(&str, &str)] = &[
    ("cpu", "haswell-ep"),
    ("cpus", "64"),
    ("mem", "64G"),
    ("paging", "64g"),
    ("normal", "800M"),
    ("window", "512"),
    ("tasks", "70"),
    ("ops", "20"),
    ("warmup", "5"),
];

fn big<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    BIG.iter().chain(pairs).copied().collect()
}

#[test]
fn every_strategy_computes_the_same_on_it() {
    let checksum = |s: &&str| sound(&big(&[("strategy", s), ("pages", "768")])).checksum;
    let checksums: Vec<_> = SOUND.par_iter().with_max_len(1).map(checksum).collect();
    assert!(checksums[0].is_some());
    assert!(checksums.iter().all(|c| *c == checksums[0]), "{checksums:?}");
}

/// The greatest memory that this process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn the_host_pays_for_what_the_guest_touches() {
    // A file of 48 MiB, each page of which is written.
    let cell = cell(&big(&[("strategy", "batched"), ("pages", "12288"), ("ops", "5"), ("warmup", "0")]));
    let mut machine = Machine::new(cell.machine.clone()).unwrap();
    machine
        .load_multiboot(&BootRequest {
            kernel_name: "kernel",
            kernel: image::KERNEL,
            arguments: &cell.command_line(),
            modules: &[Module { string: cell.module_string(), bytes: image::GUEST.to_vec() }],
            memory: cell.machine.memory,
        })
        .unwrap();
    let stop = machine.run(&mut Nobody);
    let console = String::from_utf8_lossy(&machine.take_console()).into_owned();
    assert_eq!(stop, Stop::Exit(shootdown_abi::exit::OK), "{console}");
    let touched = machine.bus().ram.touched();
    assert!((48 << 20..160 << 20).contains(&touched), "{touched} bytes");
    // The other test of this process is small and adds to the peak, if anything.
    let peak = peak();
    assert!(peak <= touched + (256 << 20), "{peak} bytes for a guest that touches {touched}");
}

#[test]
fn a_serial_apic_bus_has_no_sixteenth_processor() {
    let mut cell = cell(&[("cpu", "p3"), ("cpus", "15")]);
    cell.validate().unwrap();
    let refused = cell.set("cpus", "16").and_then(|()| cell.validate()).unwrap_err();
    let message = refused.to_string();
    assert!(message.contains("1 to 15") && message.contains("serial APIC bus"), "{message}");
}
