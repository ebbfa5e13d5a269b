//! The state of a machine that did not end well, for people: every processor's
//! registers, what it waits for and what it was busy with.

use crate::waits::{self, Stuck};
use shootdown_emu::Machine;
use shootdown_emu::cpu::{Cpu, State, reg};
use std::fmt::Write as _;

/// IF in EFLAGS.
const IF: u32 = 1 << 9;

/// A few lines for each processor.
pub fn describe(machine: &Machine) -> String {
    let mut text = String::new();
    for cpu in machine.cpus() {
        // Writing to a String cannot fail.
        let _ = one(&mut text, cpu);
    }
    text
}

/// Who waits for whom, a line each; nothing if nobody does.
pub fn who_waits(stuck: &[Stuck]) -> String {
    let mut text: String = stuck.iter().map(|s| format!("{s}\n")).collect();
    let circle: Vec<_> = waits::circle(stuck).iter().map(usize::to_string).collect();
    if let Some(first) = circle.first() {
        text += &format!(
            "a deadlock: cpu {} wait in a circle\n",
            [circle.as_slice(), std::slice::from_ref(first)].concat().join(" -> ")
        );
    }
    text
}

fn one(text: &mut String, cpu: &Cpu) -> std::fmt::Result {
    let state = match cpu.state {
        State::Running => "running",
        State::Halted => "halted",
        State::WaitForSipi => "waiting for start-up",
        State::Shutdown => "shut down",
    };
    let flags = cpu.flags.get();
    let interrupts = if flags & IF != 0 { "on" } else { "off" };
    writeln!(
        text,
        "cpu {}: {state} at cycle {}, ring {}, interrupts {interrupts}, activity {}",
        cpu.id,
        cpu.clock,
        cpu.cpl,
        cpu.ledger.current().name()
    )?;
    let r = |n: usize| cpu.regs[n & 15];
    writeln!(
        text,
        "  eip {:08x}  eflags {flags:08x}  eax {:08x}  ebx {:08x}  ecx {:08x}  edx {:08x}",
        cpu.eip,
        r(reg::EAX),
        r(reg::EBX),
        r(reg::ECX),
        r(reg::EDX)
    )?;
    writeln!(
        text,
        "  esp {:08x}  ebp {:08x}     esi {:08x}  edi {:08x}",
        r(reg::ESP),
        r(reg::EBP),
        r(reg::ESI),
        r(reg::EDI)
    )?;
    writeln!(
        text,
        "  cr0 {:08x}  cr2 {:08x}     cr3 {:08x}  cr4 {:08x}",
        cpu.cr0, cpu.cr2, cpu.cr3, cpu.cr4
    )?;
    writeln!(
        text,
        "  vectors requested {}, in service {}",
        vectors(|v| cpu.apic.is_requested(v)),
        vectors(|v| cpu.apic.is_in_service(v))
    )
}

fn vectors(is_set: impl Fn(u8) -> bool) -> String {
    let set: Vec<_> = (0..=255).filter(|&v| is_set(v)).map(|v| format!("{v:#04x}")).collect();
    if set.is_empty() { "none".into() } else { set.join(" ") }
}
