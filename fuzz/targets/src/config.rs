//! Presets, configuration files and `--set key=value`. The first byte says which: the text of a preset; lines put in the
//! place of a built-in preset's; a configuration file; lines `key=value`.
//!
//! Asserted: an error is one line (where the input is) and names the key or the place; what is accepted builds a machine,
//! on which two processors run a loop of everything that has a cost, without an overflow or an absurd amount of memory,
//! and whose ledgers sum to their clocks.

use crate::guest::Setup;
use crate::input::Input;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use shootdown_emu::{MachineConfig, Preset};
use shootdown_workloads::{Cell, config_file};
use std::path::Path;
use std::sync::OnceLock;

const FILE: &str = "input.toml";
/// The guest's run, in cycles.
const CYCLES: u64 = 20_000;
/// RAM of the machine that is built, at most: the memory of the tests' host is not the question.
const MOST_MEMORY: u64 = 1 << 30;
const ICR_LOW: u32 = 0xfee0_0300;
const ICR_HIGH: u32 = 0xfee0_0310;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.byte();
    match kind & 3 {
        0 => preset(&String::from_utf8_lossy(input.rest())),
        1 => preset(&changed(input)),
        2 => {
            let text = String::from_utf8_lossy(input.rest()).into_owned();
            match config_file::parse(Path::new(FILE), &text) {
                Err(e) => explained(&e.to_string(), FILE, &text),
                Ok(pairs) => cell(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
            }
        }
        _ => {
            let text = String::from_utf8_lossy(input.rest()).into_owned();
            cell(text.lines().filter_map(|line| line.split_once('=')));
        }
    }
}

/// A built-in preset with lines of the input in the place of some of its own.
fn changed(mut input: Input<'_>) -> String {
    let names: Vec<_> = Preset::names().collect();
    let text = Preset::builtin_text(input.choose(&names)).expect("built in");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let rest = String::from_utf8_lossy(input.rest()).into_owned();
    for line in rest.lines() {
        // In the place of the line that sets the same key, else at the end.
        let key = line.split('=').next().unwrap_or(line).trim();
        match lines.iter_mut().find(|l| l.split('=').next().is_some_and(|k| k.trim() == key)) {
            Some(old) => *old = line.into(),
            None => lines.push(line.into()),
        }
    }
    lines.join("\n")
}

fn preset(text: &str) {
    match Preset::parse(FILE, text) {
        Err(e) => explained(&e.to_string(), FILE, text),
        Ok(preset) => machine(MachineConfig::new(preset)),
    }
}

fn cell<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    static STANDARD: OnceLock<Cell> = OnceLock::new();
    let mut cell = STANDARD.get_or_init(|| Cell::standard().expect("the standard cell")).clone();
    for (key, value) in pairs {
        // Another value is the path of a file.
        if key.ends_with("cpu") && Preset::builtin(value.trim()).is_none() {
            continue;
        }
        if let Err(e) = cell.set(key, value) {
            let name = key.rsplit('.').next().unwrap_or(key);
            explained(&e.to_string(), name, &format!("{key}{value}"));
        }
    }
    match cell.validate() {
        Err(e) => explained(&e.to_string(), "", ""),
        Ok(()) => {
            cell.command_line();
            cell.module_string();
            machine(cell.machine);
        }
    }
}

/// Is the message one line that names the place?
fn explained(message: &str, place: &str, input: &str) {
    assert!(message.contains(place), "does not name {place}: {message}");
    let escapes = input.contains(['\\', '\'', '"']) || input.chars().any(char::is_control);
    assert!(!message.is_empty() && (escapes || !message.contains('\n')), "{message}");
}

fn machine(mut config: MachineConfig) {
    config.memory = config.memory.min(MOST_MEMORY);
    config.max_cycles = Some(config.max_cycles.map_or(CYCLES, |c| c.min(CYCLES)));
    if config.validate().is_err() {
        return;
    }
    static CODE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let code = CODE.get_or_init(|| [first().expect("assembles"), second().expect("assembles")]);
    Setup::kernel(config, code).run_as_configured();
}

/// Everything that has a cost of its own.
fn first() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(32)?;
    a.mov(edi, 0xfee0_0000u32)?;
    for (register, value) in [(0xf0, 0x1ffu32), (0x3e0, 0xb), (0x320, 0x41), (0x380, 500)] {
        a.mov(dword_ptr(edi + register), value)?;
    }
    a.mov(eax, cr3)?;
    a.mov(cr3, eax)?;
    a.mov(eax, cr4)?;
    a.xor(eax, 0x80)?;
    a.mov(cr4, eax)?;
    a.invlpg(byte_ptr(0x40_0000))?;
    a.mov(eax, dword_ptr(0x40_0000))?;
    a.mov(dword_ptr(0x40_5000), eax)?;
    a.lock().inc(dword_ptr(0x3_0000))?;
    a.mov(esi, 0x3_0000)?;
    a.mov(edi, 0x3_1000)?;
    a.mov(ecx, 0x40)?;
    a.rep().movsd()?;
    a.mov(edx, 0)?;
    a.mov(ecx, 7)?;
    a.div(ecx)?;
    a.imul_2(eax, ecx)?;
    a.fld1()?;
    a.fsqrt()?;
    a.fsin()?;
    a.fstp(st0)?;
    a.mov(eax, 0)?;
    a.cpuid()?;
    a.rdtsc()?;
    a.mov(ecx, 0x1b)?;
    a.rdmsr()?;
    a.in_(al, 0x71)?;
    a.out(0x80, al)?;
    a.pause()?;
    a.mov(eax, ds)?;
    a.mov(ds, eax)?;
    a.int(0x50)?;
    a.push(0)?;
    a.popfd()?;
    a.mov(edi, ICR_HIGH)?;
    a.mov(dword_ptr(edi), 0x0100_0000)?;
    a.mov(edi, ICR_LOW)?;
    a.mov(dword_ptr(edi), 0x4042)?;
    a.sti()?;
    a.hlt()?;
    a.assemble(0)
}

/// Shares a line with the first.
fn second() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(32)?;
    a.mov(edi, 0xfee0_00f0u32)?;
    a.mov(dword_ptr(edi), 0x1ff)?;
    a.sti()?;
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.lock().inc(dword_ptr(0x3_0000))?;
    a.mov(eax, dword_ptr(0x3_1000))?;
    a.invlpg(byte_ptr(0x40_0000))?;
    a.test(al, 3)?;
    a.jnz(again)?;
    a.assemble(0)
}
