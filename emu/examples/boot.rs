//! Uses the machine without anything above it: boots a Multiboot kernel and
//! prints its console and a few statistics.
//!
//!     cargo run --release -p shootdown-emu --example boot -- \
//!         kernel-image/prebuilt/kernel.elf "kmap=batched" "kernel-image/prebuilt/guest.elf kmap-storm" 4 p3

use shootdown_emu::loader::{BootRequest, Module};
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Preset};
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let arg = |i: usize| args.get(i).map_or("", String::as_str);
    let kernel = std::fs::read(arg(1))?;
    let modules = match arg(3) {
        "" => Vec::new(),
        string => {
            let path = string.split_whitespace().next().unwrap_or("");
            vec![Module { string: string.into(), bytes: std::fs::read(path)? }]
        }
    };
    let mut config = MachineConfig::new(Preset::load(if arg(5).is_empty() { "p3" } else { arg(5) })?);
    config.cpus = arg(4).parse().unwrap_or(4);
    config.max_cycles = arg(6).parse().ok();
    let memory = config.memory;
    let mut machine = Machine::new(config)?;
    machine.load_multiboot(&BootRequest {
        kernel_name: "kernel",
        kernel: &kernel,
        arguments: arg(2),
        modules: &modules,
        memory,
    })?;
    let started = std::time::Instant::now();
    let stop = machine.run(&mut Nobody);
    let seconds = started.elapsed().as_secs_f64();
    std::io::stdout().write_all(&machine.take_console())?;
    let totals = machine.snapshot().totals();
    println!("{stop}; {} cycles", machine.snapshot().cycles());
    for (name, value) in totals.list() {
        println!("{name:>20} {value}");
    }
    eprintln!("{:.1} M instructions/s of host time", totals.instructions as f64 / seconds / 1e6);
    if !matches!(stop, shootdown_emu::Stop::Exit(_)) {
        for c in machine.cpus() {
            println!(
                "cpu {}: {:?} eip {:#010x} cr2 {:#x} clock {} regs {:x?}",
                c.id,
                c.state,
                c.eip,
                c.cr2,
                c.clock,
                &c.regs[..8]
            );
        }
    }
    Ok(())
}
