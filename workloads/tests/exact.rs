//! Small cases whose time is known in closed form: one page, two processors, nobody in the way. The machine takes exactly
//! that many cycles, not one less, and each part of the formula counts as often as the formula says.

use iced_x86::code_asm::*;
use shootdown_emu::config::{Shortcuts, Timing};
use shootdown_emu::cost::Costs;
use shootdown_emu::{MachineConfig, Preset};
use shootdown_workloads::micro::*;

const PRESETS: [&str; 5] = ["p3", "p4-xeon", "westmere-ep", "haswell-ep", "skylake-sp"];
const FLUSH: u8 = 0x40;
const REQUEST: u32 = shared(0);
/// Results in lines of their own.
const SENT: u32 = 16;
const DONE: u32 = 32;
const ROUNDS: u32 = 5;

/// Cycles from the initiator's RDTSC to the target's after its acknowledgement, in the last of some rounds.
///
/// The initiator writes a request into a line that the target wrote last, and sends an IPI; the target waits in a jump to
/// itself, reads the request, invalidates the page and clears the request.
fn shootdown(config: &MachineConfig) -> u64 {
    let mut m = Micro::new(MachineConfig { cpus: 2, ..config.clone() }).unwrap();
    m.handler(FLUSH, &|a| {
        a.mov(ecx, dword_ptr(REQUEST))?;
        a.invlpg(ptr(WINDOW))?;
        a.mov(dword_ptr(REQUEST), 0)?;
        a.rdtsc()?;
        a.mov(dword_ptr(result(DONE)), eax)?;
        a.mov(dword_ptr(EOI), 0)?;
        a.iretd()
    })
    .unwrap();
    m.cpu(0, &|a| {
        let (mut round, mut wait) = (a.create_label(), a.create_label());
        a.mov(ebx, ROUNDS)?;
        a.set_label(&mut round)?;
        // Long enough for the round before to end.
        a.mov(ecx, 20_000)?;
        a.set_label(&mut wait)?;
        a.dec(ecx)?;
        a.jnz(wait)?;
        a.rdtsc()?;
        a.mov(edi, eax)?;
        a.mov(dword_ptr(REQUEST), ebx)?;
        a.mov(dword_ptr(ICR_LOW), TO_OTHERS | u32::from(FLUSH))?;
        a.mov(dword_ptr(result(SENT)), edi)?;
        a.dec(ebx)?;
        a.jnz(round)?;
        a.mov(ecx, 20_000)?;
        let mut last = a.create_label();
        a.set_label(&mut last)?;
        a.dec(ecx)?;
        a.jnz(last)?;
        finish(a)
    })
    .unwrap();
    m.cpu(1, &|a| {
        let mut wait = a.create_label();
        a.mov(eax, dword_ptr(WINDOW))?;
        a.sti()?;
        a.set_label(&mut wait)?;
        a.jmp(wait)
    })
    .unwrap();
    let done = m.run().unwrap();
    u64::from(done.result(DONE)) - u64::from(done.result(SENT))
}

/// Send, deliver, enter, invalidate, acknowledge, and the lines that travel in between.
fn formula(c: &Costs, timing: Timing) -> u64 {
    let line = if timing == Timing::Full { c.line_transfer - c.locked } else { 0 };
    let request = c.alu + c.store + line;
    let send = c.rdtsc + c.alu + request + c.apic_access;
    let deliver = c.ipi_latency;
    let enter = c.interrupt_entry_same;
    let read = c.alu + c.load + line;
    let acknowledge = c.alu + c.store + line;
    u64::from(send + deliver + enter + read + c.invlpg + acknowledge)
}

fn config(preset: &str, timing: Timing) -> MachineConfig {
    MachineConfig { timing, ..MachineConfig::new(Preset::builtin(preset).unwrap()) }
}

#[test]
fn a_shootdown_of_one_page_takes_exactly_the_sum_of_its_parts() {
    for preset in PRESETS {
        for timing in [Timing::Full, Timing::Flat] {
            let config = config(preset, timing);
            let n = formula(&config.preset.costs(), timing);
            assert_eq!(shootdown(&config), n, "{preset}, timing {}", timing.name());
            let slow = MachineConfig { shortcuts: Shortcuts::Off, ..config };
            assert_eq!(shootdown(&slow), n, "{preset}, without shortcuts");
        }
    }
}

#[test]
fn each_part_counts_as_often_as_the_formula_says() {
    for (key, times) in [
        ("rdtsc", 1),
        ("apic_access", 1),
        ("ipi_latency", 1),
        ("interrupt_entry_same", 1),
        ("invlpg", 1),
        ("line_transfer", 3),
        ("load", 1),
        ("store", 2),
        ("line_transfer_remote", 0),
        ("walk", 0),
        ("memory", 0),
        ("halt_wake", 0),
    ] {
        let before = config("haswell-ep", Timing::Full);
        let mut after = before.clone();
        let cycles = before.preset.costs().get(key).unwrap();
        after.preset.set(&format!("cost.{key}"), &(cycles + 1).to_string()).unwrap();
        assert_eq!(shootdown(&after), shootdown(&before) + times, "{key}");
    }
}
