//! The set `host32`: single instructions whose results were captured in 32-bit user mode, flat segments, CPL 3.
//!
//! Each line gives the registers, memory and bytes before, and registers, memory
//! and exception after. The exception is delivered through an IDT in guest memory,
//! so delivery to ring 0 is checked on the way.

use crate::memory::Memory;
use crate::tally::Tally;
use flate2::read::GzDecoder;
use serde::Deserialize;
use shootdown_emu::cpu::op::{CS, DS, ES, SS};
use shootdown_emu::cpu::segment::{Segment, attr};
use shootdown_emu::cpu::{Table, cr0};
use shootdown_emu::{Machine, MachineConfig, Preset};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Windows of data memory that are compared: base address and bytes.
const WINDOWS: [(u32, usize); 2] = [(0, 0x2_0000), (0x2000_0000, 0x2_0000)];
/// Where the supervisor's tables lie.
const TSS: u32 = 0x3800_0000;
const IDT: u32 = 0x3800_1000;
const GDT: u32 = 0x3800_3000;
const STACK_TOP: u32 = 0x3800_9000;
const HANDLERS: u32 = 0x3801_0000;
const RF: u32 = 1 << 16;
const ID: u32 = 1 << 21;

#[derive(Deserialize)]
struct Case {
    /// Form.
    f: String,
    /// Instruction bytes.
    b: String,
    /// Registers before: general registers, EIP, EFLAGS.
    i: [u32; 10],
    /// Memory before.
    m: Vec<(u32, String)>,
    /// Registers after.
    o: [u32; 10],
    /// Memory that changed.
    w: Vec<(u32, String)>,
    /// Exception vector, or -1.
    x: i32,
    /// Mask of defined flags.
    k: u32,
    /// Undefined registers.
    #[serde(default)]
    u: u32,
    /// Error code.
    #[serde(default)]
    e: Option<u32>,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

/// A machine with one processor, paging off, and a supervisor that catches every exception.
fn machine() -> Machine {
    let mut config = MachineConfig::new(Preset::builtin("p3").expect("built-in preset"));
    config.cpus = 1;
    config.memory = 1 << 30;
    let mut m = Machine::new(config).expect("valid configuration");
    let ram = &mut m.bus_mut().ram;
    let flat = |kind: u64| 0x00cf_0000_0000_ffffu64 | kind << 40;
    let tss = u64::from(TSS);
    let gdt = [
        0,
        flat(0x9b),
        flat(0x93),
        flat(0xfb),
        flat(0xf3),
        0x67 | (tss & 0xff_ffff) << 16 | 0x8b << 40 | (tss >> 24) << 56,
    ];
    for (n, d) in gdt.into_iter().enumerate() {
        assert!(ram.poke(u64::from(GDT) + 8 * n as u64, &d.to_le_bytes()));
    }
    for v in 0..256u64 {
        let handler = u64::from(HANDLERS) + 16 * v;
        let gate = handler & 0xffff | 8 << 16 | 0xee00 << 32 | (handler >> 16) << 48;
        assert!(ram.poke(u64::from(IDT) + 8 * v, &gate.to_le_bytes()));
    }
    assert!(ram.poke(u64::from(TSS) + 4, &STACK_TOP.to_le_bytes()));
    assert!(ram.poke(u64::from(TSS) + 8, &0x10u32.to_le_bytes()));
    // No I/O permission map: its base lies at the limit.
    assert!(ram.poke(u64::from(TSS) + 102, &0x68u16.to_le_bytes()));
    m
}

fn prepare(m: &mut Machine, case: &Case) {
    let cpu = m.cpu_mut(0).expect("one processor");
    cpu.cr0 = cr0::PE | cr0::ET | cr0::NE;
    let c0 = cpu.cr0;
    cpu.mmu.refresh_mode(c0, 0, 0);
    let data = attr::PRESENT | attr::S | attr::RW | attr::ACCESSED | attr::BIG | 3 << 5;
    for n in [ES, SS, DS] {
        cpu.set_segment(n, Segment::flat(0x23, data));
    }
    cpu.set_segment(CS, Segment::flat(0x1b, data | attr::CODE));
    cpu.gdtr = Table { base: GDT, limit: 0x2f };
    cpu.idtr = Table { base: IDT, limit: 0x7ff };
    cpu.tr = Segment::new(0x28, TSS, 0x67, attr::PRESENT | 0xb);
    let now = cpu.clock;
    cpu.set_cpl(3, now);
    cpu.regs[..8].copy_from_slice(&case.i[..8]);
    cpu.eip = case.i[8];
    cpu.flags.set(case.i[9]);
    cpu.shadow = false;
}

/// Registers as after the instruction, with the exception if one was delivered: (registers, vector, error code).
fn outcome(m: &Machine) -> ([u32; 10], i32, Option<u32>) {
    let cpu = &m.cpus()[0];
    let mut out = [0; 10];
    out[..8].copy_from_slice(&cpu.regs[..8]);
    if cpu.cpl == 3 {
        out[8] = cpu.eip;
        out[9] = cpu.flags.get();
        return (out, -1, None);
    }
    let vector = (cpu.eip.wrapping_sub(HANDLERS) / 16) as i32;
    let mut at = u64::from(cpu.regs[4]);
    let mut pull = || {
        let mut b = [0; 4];
        assert!(m.bus().ram.peek(at, &mut b), "the supervisor's stack");
        at += 4;
        u32::from_le_bytes(b)
    };
    let code = matches!(vector, 8 | 10..=14 | 17).then(&mut pull);
    out[8] = pull();
    pull();
    out[9] = pull() & !RF;
    out[4] = pull();
    (out, vector, code)
}

/// Runs one case; what is wrong, if anything.
fn run_case(m: &mut Machine, memory: &mut Memory, case: &Case) -> Result<(), String> {
    for (at, hex) in &case.m {
        memory.place(m, *at, &bytes(hex));
    }
    assert!(m.bus_mut().ram.poke(u64::from(case.i[8]), &bytes(&case.b)), "code of the case");
    m.forget_code();
    prepare(m, case);
    let mut stop = None;
    for _ in 0..64 {
        stop = m.step(0);
        let cpu = &m.cpus()[0];
        // A repeated string instruction may need several turns.
        if stop.is_some() || cpu.cpl == 0 || cpu.eip != case.i[8] || cpu.regs[1] == 0 {
            break;
        }
    }
    for (at, hex) in &case.w {
        memory.want(*at, &bytes(hex));
    }
    let changed = memory.settle(m);
    if let Some(s) = stop {
        return Err(s.to_string());
    }
    let (have, vector, code) = outcome(m);
    if vector != case.x {
        return Err(format!("exception {vector}, wanted {}", case.x));
    }
    if code != case.e {
        return Err(format!("error code {code:?}, wanted {:?}", case.e));
    }
    for (n, (have, want)) in have.iter().zip(&case.o).enumerate() {
        let defined = match n {
            // The capturing system had set ID for its own use, whatever the case asked for.
            9 => case.k & !ID,
            _ if case.u >> n & 1 != 0 => 0,
            _ => u32::MAX,
        };
        if (have ^ want) & defined != 0 {
            return Err(format!("register {n}: {have:#x}, wanted {want:#x} (defined {defined:#x})"));
        }
    }
    match changed {
        Some((at, want, have)) => Err(format!("byte at {at:#x}: {have:#04x}, wanted {want:#04x}")),
        None => Ok(()),
    }
}

/// Runs the set in `folder`.
pub fn run(folder: &Path, tally: &mut Tally) -> Result<(), String> {
    let path = folder.join("tests.jsonl.gz");
    let file = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut m = machine();
    let mut memory = Memory::new(&mut m, &WINDOWS);
    for (n, line) in BufReader::new(GzDecoder::new(file)).lines().enumerate() {
        let line = line.map_err(|e| format!("line {}: {e}", n + 1))?;
        let case: Case = serde_json::from_str(&line).map_err(|e| format!("line {}: {e}", n + 1))?;
        let result = run_case(&mut m, &mut memory, &case);
        tally.count(&case.f, result.map_err(|what| format!("{} at eflags {:#x}: {what}", case.b, case.i[9])));
    }
    Ok(())
}
