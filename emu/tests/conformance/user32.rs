//! Sets of single instructions whose results were captured in 32-bit user mode, flat segments, CPL 3: `host32`, and the
//! repository's own (`emu/tests/vectors/README.md` has the format).
//!
//! Each line gives the registers, memory and bytes before, and registers, memory
//! and exception after. The exception is delivered through an IDT in guest memory,
//! so delivery to ring 0 is checked on the way.

use crate::memory::Memory;
use crate::tally::Tally;
use crate::unit::{Defined, Unit};
use flate2::read::GzDecoder;
use serde::Deserialize;
use shootdown_emu::cpu::op::{CS, DS, ES, FS, GS, SS};
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
/// Selectors of user mode in the table below: code, and the rest. Those of Linux, which the captures have.
const USER_CODE: u16 = 0x23;
const USER_DATA: u16 = 0x2b;
const TASK: u16 = 0x40;
/// ES, CS, SS, DS, FS, GS.
const SEGMENTS: [u16; 6] = [USER_DATA, USER_CODE, USER_DATA, USER_DATA, 0, 0];
const STACK_TOP: u32 = 0x3800_9000;
const HANDLERS: u32 = 0x3801_0000;
/// How the line begins that says where a file comes from.
const HEADER: &str = "{\"captured\"";
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
    /// Segments before, if not [`SEGMENTS`].
    #[serde(default)]
    s: Option<[u16; 6]>,
    /// Segments after.
    #[serde(default)]
    t: Option<[u16; 6]>,
    /// Undefined memory: address and bytes.
    #[serde(default)]
    d: Vec<(u32, usize)>,
    /// x87 unit before.
    #[serde(default)]
    p: Option<Unit>,
    /// x87 unit after.
    #[serde(default)]
    q: Option<Unit>,
    /// Mask of the defined bits of its status word.
    #[serde(default)]
    y: u16,
    /// Bits of the pointers of the unit that are undefined.
    #[serde(default)]
    z: u8,
    /// One: its results hold within one unit of the last place.
    #[serde(default)]
    n: u8,
}

/// Bytes from hexadecimal.
pub fn bytes(hex: &str) -> Vec<u8> {
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
        (0x08, flat(0x9b)),
        (0x10, flat(0x9b)),
        (0x18, flat(0x93)),
        (USER_CODE & !3, flat(0xfb)),
        (USER_DATA & !3, flat(0xf3)),
        (TASK, 0x67 | (tss & 0xff_ffff) << 16 | 0x8b << 40 | (tss >> 24) << 56),
    ];
    for (selector, d) in gdt {
        assert!(ram.poke(u64::from(GDT) + u64::from(selector), &d.to_le_bytes()));
    }
    for v in 0..256u64 {
        let handler = u64::from(HANDLERS) + 16 * v;
        // User mode may ask for a breakpoint and for an overflow.
        let kind = if matches!(v, 3 | 4) { 0xee00u64 } else { 0x8e00 };
        let gate = handler & 0xffff | 8 << 16 | kind << 32 | (handler >> 16) << 48;
        assert!(ram.poke(u64::from(IDT) + 8 * v, &gate.to_le_bytes()));
    }
    assert!(ram.poke(u64::from(TSS) + 4, &STACK_TOP.to_le_bytes()));
    assert!(ram.poke(u64::from(TSS) + 8, &0x18u32.to_le_bytes()));
    // No I/O permission map: its base lies at the limit.
    assert!(ram.poke(u64::from(TSS) + 102, &0x68u16.to_le_bytes()));
    m
}

fn prepare(m: &mut Machine, case: &Case) {
    let cpu = m.cpu_mut(0).expect("one processor");
    cpu.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE;
    let c0 = cpu.cr0;
    cpu.mmu.refresh_mode(c0, 0, 0);
    let data = attr::PRESENT | attr::S | attr::RW | attr::ACCESSED | attr::BIG | 3 << 5;
    for (n, selector) in [ES, CS, SS, DS, FS, GS].into_iter().zip(case.s.unwrap_or(SEGMENTS)) {
        cpu.set_segment(
            n,
            match selector {
                0 => Segment::new(0, 0, 0, 0),
                USER_CODE => Segment::flat(USER_CODE, data | attr::CODE),
                _ => Segment::flat(USER_DATA, data),
            },
        );
    }
    cpu.gdtr = Table { base: GDT, limit: 0x7f };
    cpu.idtr = Table { base: IDT, limit: 0x7ff };
    cpu.ldtr = Segment::new(0, 0, 0, 0);
    cpu.tr = Segment::new(TASK, TSS, 0x67, attr::PRESENT | 0xb);
    let now = cpu.clock;
    cpu.set_cpl(3, now);
    cpu.regs[..8].copy_from_slice(&case.i[..8]);
    cpu.eip = case.i[8];
    cpu.flags.set(case.i[9]);
    cpu.shadow = false;
    if let Some(unit) = &case.p {
        unit.load(&mut cpu.fpu);
    }
}

/// What a case has come to.
struct Outcome {
    registers: [u32; 10],
    /// ES, CS, SS, DS, FS, GS.
    segments: [u16; 6],
    vector: i32,
    code: Option<u32>,
}

/// Registers as after the instruction, with the exception if one was delivered.
fn outcome(m: &Machine) -> Outcome {
    let cpu = &m.cpus()[0];
    let mut out = [0; 10];
    out[..8].copy_from_slice(&cpu.regs[..8]);
    let mut segments = [ES, CS, SS, DS, FS, GS].map(|n| cpu.seg[usize::from(n)].selector);
    if cpu.cpl == 3 {
        out[8] = cpu.eip;
        out[9] = cpu.flags.get();
        return Outcome { registers: out, segments, vector: -1, code: None };
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
    segments[1] = pull() as u16;
    out[9] = pull() & !RF;
    out[4] = pull();
    segments[2] = pull() as u16;
    Outcome { registers: out, segments, vector, code }
}

/// Runs one case; what is wrong, if anything.
fn run_case(m: &mut Machine, memory: &mut Memory, case: &Case, ignored: u32) -> Result<(), String> {
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
    for &(at, len) in &case.d {
        let mut have = vec![0; len];
        assert!(m.bus().ram.peek(u64::from(at), &mut have), "memory of the case");
        memory.want(at, &have);
    }
    let changed = memory.settle(m);
    if let Some(s) = stop {
        return Err(s.to_string());
    }
    let Outcome { registers, segments, vector, code } = outcome(m);
    if vector != case.x {
        return Err(format!("exception {vector}, wanted {}", case.x));
    }
    if code != case.e {
        return Err(format!("error code {code:x?}, wanted {:x?}", case.e));
    }
    for (n, (have, want)) in registers.iter().zip(&case.o).enumerate() {
        let defined = match n {
            9 => case.k & !ignored,
            _ if case.u >> n & 1 != 0 => 0,
            _ => u32::MAX,
        };
        if (have ^ want) & defined != 0 {
            return Err(format!("register {n}: {have:#x}, wanted {want:#x} (defined {defined:#x})"));
        }
    }
    let wanted = case.t.unwrap_or(SEGMENTS);
    if segments != wanted {
        return Err(format!("segments {segments:#x?}, wanted {wanted:#x?}"));
    }
    if let (Some(before), Some(after)) = (&case.p, &case.q) {
        let defined = Defined { status: case.y, open_pointers: case.z, approximate: case.n != 0 };
        after.compare(before, &m.cpus()[0].fpu, &defined)?;
    }
    match changed {
        Some((at, want, have)) => Err(format!("byte at {at:#x}: {have:#04x}, wanted {want:#04x}")),
        None => Ok(()),
    }
}

/// Runs the set `host32` in `folder`.
pub fn run_host32(folder: &Path, tally: &mut Tally) -> Result<(), String> {
    // The capturing system had set ID for its own use, whatever the case asked for.
    run(&folder.join("tests.jsonl.gz"), ID, tally)
}

/// Runs the repository's own set.
pub fn run_own(folder: &Path, tally: &mut Tally) -> Result<(), String> {
    run(&folder.join("tests.jsonl.gz"), 0, tally)
}

/// Runs the cases of a file. Some bits of EFLAGS are ignored.
fn run(path: &Path, ignored: u32, tally: &mut Tally) -> Result<(), String> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut m = machine();
    let mut memory = Memory::new(&mut m, &WINDOWS);
    for (n, line) in BufReader::new(GzDecoder::new(file)).lines().enumerate() {
        let line = line.map_err(|e| format!("line {}: {e}", n + 1))?;
        if line.starts_with(HEADER) {
            continue;
        }
        let case: Case = serde_json::from_str(&line).map_err(|e| format!("line {}: {e}", n + 1))?;
        let result = run_case(&mut m, &mut memory, &case, ignored);
        tally.count(&case.f, result.map_err(|what| format!("{} at eflags {:#x}: {what}", case.b, case.i[9])));
    }
    Ok(())
}
