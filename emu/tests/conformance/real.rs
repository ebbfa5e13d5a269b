//! The sets `80286` and `80386`: single instructions captured in real mode, each followed by a `hlt`.
//!
//! The processor is alone with RAM, as the captured one was, and takes exceptions through the vector table that the
//! case gives. Compared are all registers, all memory, and the flags pushed by an exception, as far as defined.

use crate::differs;
use crate::memory::Memory;
use crate::moo::{self, Case, Registers};
use crate::tally::Tally;
use flate2::read::GzDecoder;
use shootdown_emu::config::Strictness;
use shootdown_emu::cpu::exception::vector;
use shootdown_emu::cpu::op::{CS, DS, ES, FS, GS, SS};
use shootdown_emu::cpu::segment::Segment;
use shootdown_emu::cpu::{State, Table, cr0, reg};
use shootdown_emu::{Machine, MachineConfig, Preset};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Real mode reaches 1 MiB + 64 KiB - 16.
const REACH: usize = 0x11_0000;
/// Instructions that a case may take: its own, handlers and the `hlt`.
const MOST_INSTRUCTIONS: u64 = 64;
/// Turns that they may take: a repeated one may need one for each element.
const MOST_TURNS: usize = 1 << 17;
/// CR0 bits that all these processors have.
const CR0: u32 = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
/// EFLAGS bits of an 80286 in real mode.
const FLAGS_80286: u32 = 0x0fff;
/// EFLAGS bits of an 80386.
const FLAGS_80386: u32 = 0x3_ffff;

/// Runs the set `80286` in `folder`.
pub fn run_80286(folder: &Path, tally: &mut Tally) -> Result<(), String> {
    let masks = flag_masks(&folder.join("flags_masks.csv"))?;
    for (form, path) in files(folder)? {
        let defined = *masks.get(&form).ok_or(format!("flags_masks.csv has no form {form}"))?;
        run_file(&form, &path, FLAGS_80286, tally, |case| match differs::from_80286(case) {
            Some(reason) => Err(reason),
            None => Ok(defined & !differs::undefined_flags(&form, case)),
        })?;
    }
    Ok(())
}

/// Runs the set `80386` in `folder`.
pub fn run_80386(folder: &Path, tally: &mut Tally) -> Result<(), String> {
    for (form, path) in files(folder)? {
        run_file(&form, &path, FLAGS_80386, tally, |_| Ok(u32::MAX))?;
    }
    Ok(())
}

/// The set's files by form.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(form) = name.strip_suffix(".MOO.gz") {
            found.push((form.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// Mask of defined flags by form.
fn flag_masks(path: &Path) -> Result<BTreeMap<String, u32>, String> {
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let text = fs::read_to_string(path).map_err(|e| wrong(&e.to_string()))?;
    let row = |line: &str| {
        let mut fields = line.split(',');
        let (form, mask) = (fields.next()?, u32::from_str_radix(fields.next()?, 16).ok()?);
        Some((form.to_owned(), mask))
    };
    text.lines().skip(1).map(|line| row(line).ok_or_else(|| wrong(line))).collect()
}

/// A processor alone with RAM.
fn machine() -> Machine {
    let mut config = MachineConfig::new(Preset::builtin("p3").expect("built-in preset"));
    config.cpus = 1;
    config.memory = 16 << 20;
    config.strictness = Strictness::Lenient;
    let mut m = Machine::new(config).expect("valid configuration");
    m.bus_mut().ram.fill_adapter_area();
    m
}

/// Runs the cases of a file. `defined` gives the flags that are defined after a case, or why it is left out.
fn run_file(
    form: &str,
    path: &Path,
    kept: u32,
    tally: &mut Tally,
    defined: impl Fn(&Case) -> Result<u32, &'static str>,
) -> Result<(), String> {
    let wrong = |what: String| format!("{}: {what}", path.display());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| wrong(e.to_string()))?;
    GzDecoder::new(file).read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?;
    let file = moo::read(&bytes).map_err(wrong)?;
    let mut m = machine();
    let mut memory = Memory::new(&mut m, &[(0, REACH)]);
    for (n, case) in file.cases.iter().enumerate() {
        let flags = match defined(case) {
            Ok(f) => f & kept,
            Err(reason) => {
                tally.exclude(reason);
                continue;
            }
        };
        let empty = m.cpus()[0].count.empty_ports;
        let result = run_case(&mut m, &mut memory, case, kept, flags, &file.defined);
        if result.is_err() && differs::uses_port(form) && m.cpus()[0].count.empty_ports == empty {
            tally.exclude("the port has a device on this machine, none on the captured one");
            continue;
        }
        let bytes: String = case.bytes.iter().map(|b| format!("{b:02x}")).collect();
        tally.count(form, result.map_err(|what| format!("{n} {bytes} ({}): {what}", case.name)));
    }
    Ok(())
}

/// Runs one case; what is wrong, if anything.
fn run_case(
    m: &mut Machine,
    memory: &mut Memory,
    case: &Case,
    kept: u32,
    flags: u32,
    defined: &Registers,
) -> Result<(), String> {
    for &(at, byte) in &case.before.memory {
        memory.place(m, at, &[byte]);
    }
    if differs::may_be_stack_fault(case) {
        let entry = |v: u8| 4 * u32::from(v);
        let handler: Vec<u8> = (0..4).filter_map(|i| memory.wanted(entry(vector::GP) + i)).collect();
        memory.place(m, entry(vector::SS), &handler);
    }
    m.forget_code();
    prepare(m, &case.before.registers, kept);
    let begin = m.cpus()[0].count.instructions;
    let mut stop = None;
    for _ in 0..MOST_TURNS {
        stop = m.step(0);
        let cpu = &m.cpus()[0];
        if stop.is_some() || cpu.state != State::Running || cpu.count.instructions - begin > MOST_INSTRUCTIONS
        {
            break;
        }
    }
    for &(at, byte) in &case.after.memory {
        memory.want(at, &[byte]);
    }
    if case.exception.is_some() {
        want_flags(m, memory, case, flags);
    }
    let changed = memory.settle(m);
    if let Some(s) = stop {
        return Err(s.to_string());
    }
    if m.cpus()[0].state == State::Running {
        return Err("does not come to its hlt".into());
    }
    for &(name, before) in &case.before.registers {
        let after = lookup(&case.after.registers, name).unwrap_or(before);
        let mut mask = lookup(defined, name).unwrap_or(u32::MAX);
        mask &= lookup(&case.after.defined, name).unwrap_or(u32::MAX);
        mask &= match name {
            "flags" | "eflags" => flags,
            "ip" => 0xffff,
            _ if differs::different_registers(case).contains(&name) => 0,
            "cr0" => CR0,
            _ => u32::MAX,
        };
        let have = register(m, name);
        if (have ^ after) & mask != 0 {
            return Err(format!(
                "{name}: {have:#x}, wanted {after:#x} (defined {mask:#x}, before {before:#x})"
            ));
        }
    }
    match changed {
        Some((at, want, have)) => Err(format!("byte at {at:#x}: {have:#04x}, wanted {want:#04x}")),
        None => Ok(()),
    }
}

/// Undefined bits of the flags that an exception has pushed are wanted as they are. The place follows from the stack
/// at the end, for the file gives it rounded to the bus's words.
fn want_flags(m: &Machine, memory: &mut Memory, case: &Case, defined: u32) {
    let after = |name| lookup(&case.after.registers, name).or_else(|| lookup(&case.before.registers, name));
    let (Some(ss), Some(sp)) = (after("ss"), after("sp").or_else(|| after("esp"))) else { return };
    for (i, defined) in (4..).zip([defined as u8, (defined >> 8) as u8]) {
        let at = (ss << 4) + (sp.wrapping_add(i) & 0xffff);
        let mut have = [0];
        if m.bus().ram.peek(u64::from(at), &mut have)
            && let Some(want) = memory.wanted(at)
        {
            memory.want(at, &[want & defined | have[0] & !defined]);
        }
    }
}

fn lookup(registers: &Registers, name: &str) -> Option<u32> {
    registers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

/// Number of a general register.
fn general(name: &str) -> Option<usize> {
    Some(match name.strip_prefix('e').unwrap_or(name) {
        "ax" => reg::EAX,
        "bx" => reg::EBX,
        "cx" => reg::ECX,
        "dx" => reg::EDX,
        "sp" => reg::ESP,
        "bp" => reg::EBP,
        "si" => reg::ESI,
        "di" => reg::EDI,
        _ => return None,
    })
}

/// Number of a segment register.
fn segment(name: &str) -> Option<u8> {
    Some(match name {
        "cs" => CS,
        "ss" => SS,
        "ds" => DS,
        "es" => ES,
        "fs" => FS,
        "gs" => GS,
        _ => return None,
    })
}

fn prepare(m: &mut Machine, registers: &Registers, kept: u32) {
    let cpu = m.cpu_mut(0).expect("one processor");
    cpu.state = State::Running;
    cpu.shadow = false;
    cpu.idtr = Table { base: 0, limit: 0x3ff };
    cpu.cr0 = cr0::ET;
    for &(name, value) in registers {
        match name {
            "cr0" => cpu.cr0 |= value & CR0,
            "cr3" => cpu.cr3 = value,
            "ip" | "eip" => cpu.eip = value,
            "flags" | "eflags" => cpu.flags.set(value & kept),
            "dr6" => cpu.dr[6] = value,
            "dr7" => cpu.dr[7] = value,
            _ => {
                if let Some(n) = general(name) {
                    cpu.regs[n] = value;
                } else if let Some(n) = segment(name) {
                    cpu.set_segment(n, Segment::real(value as u16));
                }
            }
        }
    }
    let (c0, c3) = (cpu.cr0, cpu.cr3);
    cpu.mmu.refresh_mode(c0, c3, 0);
}

fn register(m: &Machine, name: &str) -> u32 {
    let cpu = &m.cpus()[0];
    match name {
        "cr0" => cpu.cr0,
        "cr3" => cpu.cr3,
        "ip" | "eip" => cpu.eip,
        "flags" | "eflags" => cpu.flags.get(),
        "dr6" => cpu.dr[6],
        "dr7" => cpu.dr[7],
        _ => general(name)
            .map(|n| cpu.regs[n])
            .or_else(|| segment(name).map(|n| u32::from(cpu.seg[usize::from(n)].selector)))
            .unwrap_or_default(),
    }
}
