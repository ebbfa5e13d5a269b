//! A machine of one or two processors with all tables in place, run with the host's shortcuts and without.
//!
//! ```text
//!  0000 0000  vectors of real mode, their handler at 400
//!       1000  GDT        2000  IDT         3000  TSS of each processor
//!       4000  handlers of protected mode, 16 bytes each
//!       5000  page directory, page tables 6000 (identity), 7000 (window), 8000 (APICs)
//!       9000  PAE: pointers, directories a000 b000, tables c000 d000 e000
//!       f000  stacks of ring 0
//!     1 0000  code of the first processor, 2 0000 of the second
//!     3 0000  data, stacks of ring 3 at 4 0000
//! ```
//!
//! Handlers step over the byte at which an exception was raised, so that a guest goes on after a fault. The pages of the
//! window (linear 4 MiB on) show low memory with every combination of rights.

use crate::input::Input;
use shootdown_emu::addr::Frame;
use shootdown_emu::config::{Adversary, Shortcuts, Strictness, Timing};
use shootdown_emu::cpu::op::{CS, DS, ES, FS, GS, SS};
use shootdown_emu::cpu::segment::{Segment, attr};
use shootdown_emu::cpu::{State, Table, cr0, cr4};
use shootdown_emu::observe::Nobody;
use shootdown_emu::snapshot::Snapshot;
use shootdown_emu::{Machine, MachineConfig, Preset, Stop};
use std::fmt;
use std::sync::OnceLock;

/// RAM in bytes.
pub(crate) const MEMORY: u64 = 2 << 20;
/// Where the code of a processor begins.
pub(crate) const CODE: [u32; 2] = [0x1_0000, 0x2_0000];
const GDT: u32 = 0x1000;
const IDT: u32 = 0x2000;
const TSS: u32 = 0x3000;
const HANDLERS: u32 = 0x4000;
const REAL_HANDLER: u32 = 0x400;
const DIRECTORY: u32 = 0x5000;
const IDENTITY: u32 = 0x6000;
const WINDOW: u32 = 0x7000;
const APICS: u32 = 0x8000;
const POINTERS: u32 = 0x9000;
const STACK: u32 = 0x1_0000;
const USER_STACK: u32 = 0x4_0000;
/// Around the code, so that a guest that leaves it spends its cycles on exceptions, not on zeros that it changes.
const BREAKPOINT: u8 = 0xcc;
/// What lies below the code.
const IMAGE: usize = 0x1_0000;

/// The state of a processor at its first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Real,
    /// 32-bit, flat, ring 0.
    Kernel,
    /// 32-bit, flat, ring 3.
    User,
    /// 16-bit protected mode, ring 0, segments of 64 KiB at the code.
    Kernel16,
    /// 32-bit, ring 3, segments with a base and a limit.
    Segmented,
    Virtual8086,
}

impl Mode {
    const ALL: [Mode; 6] =
        [Mode::Real, Mode::Kernel, Mode::User, Mode::Kernel16, Mode::Segmented, Mode::Virtual8086];

    pub(crate) fn wide(self) -> bool {
        matches!(self, Mode::Kernel | Mode::User | Mode::Segmented)
    }

    fn ring(self) -> u8 {
        if matches!(self, Mode::User | Mode::Segmented | Mode::Virtual8086) { 3 } else { 0 }
    }
}

/// Page tables in use at the first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    Off,
    TwoLevel,
    Pae,
}

/// What decides a run besides the code.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    pub(crate) paging: Paging,
    pub(crate) config: MachineConfig,
    /// Per processor: registers, EFLAGS, code and where it begins in its segment.
    pub(crate) start: Vec<Start>,
    /// Physical address and bytes that replace the prepared ones.
    pub(crate) patches: Vec<(u32, Vec<u8>)>,
    /// The processors share nothing that page walks and deliveries of interrupts touch. These do not wait for others, so
    /// that who races them may see another order without the host's shortcuts.
    apart: bool,
    cr0: u32,
    cr4: u32,
}

/// One processor's beginning.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) regs: [u32; 8],
    pub(crate) flags: u32,
    pub(crate) offset: u32,
    pub(crate) code: Vec<u8>,
}

fn preset(n: u8) -> Preset {
    static ALL: OnceLock<Vec<Preset>> = OnceLock::new();
    let all = ALL.get_or_init(|| Preset::names().filter_map(Preset::builtin).collect());
    all[usize::from(n) % all.len()].clone()
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.config;
        let (cpu, n, timing, adversary, limit) =
            (&c.preset.name, c.cpus, c.timing.name(), c.adversary, c.max_cycles.unwrap_or(0));
        write!(
            f,
            "{:?} {:?} cr0 {:#x} cr4 {:#x}; {cpu} x {n}, {timing}, {adversary:?}, {limit} cycles",
            self.mode, self.paging, self.cr0, self.cr4
        )?;
        for Start { regs, flags, offset, code } in &self.start {
            write!(f, "; at {offset:x}: {code:02x?}, registers {regs:x?}, flags {flags:x}")?;
        }
        write!(f, "; patches {:x?}", self.patches)
    }
}

/// Preset, number of processors and options from one byte.
fn configuration(kind: u8) -> MachineConfig {
    let mut config = MachineConfig::new(preset(kind & 7));
    config.cpus = 1 + usize::from(kind >> 3 & 1);
    config.memory = MEMORY;
    config.timing = if kind & 0x10 != 0 { Timing::Flat } else { Timing::Full };
    config.strictness = if kind & 0x20 != 0 { Strictness::Strict } else { Strictness::Lenient };
    config.adversary = match kind >> 6 {
        1 => Adversary::Keep,
        2 => Adversary::Fill,
        _ => Adversary::None,
    };
    config
}

impl Setup {
    /// Reads everything but the code.
    pub(crate) fn read(input: &mut Input<'_>) -> Setup {
        let mode = input.choose(&Mode::ALL);
        let tables = input.byte();
        let paging = match tables & 3 {
            _ if mode == Mode::Real => Paging::Off,
            0 => Paging::Off,
            1 | 2 => Paging::TwoLevel,
            _ => Paging::Pae,
        };
        let bit = |n: u8, value: u32| if tables & 1 << n != 0 { value } else { 0 };
        let paged = if paging == Paging::Off { 0 } else { cr0::PG };
        let pae = if paging == Paging::Pae { cr4::PAE } else { 0 };
        let cr0 = cr0::ET
            | cr0::NE
            | bit(2, cr0::WP)
            | bit(3, cr0::AM)
            | bit(7, cr0::TS)
            | paged
            | if mode == Mode::Real { 0 } else { cr0::PE };
        let cr4 = bit(4, cr4::PSE) | bit(5, cr4::PGE) | bit(6, cr4::VME | cr4::PVI) | cr4::OSFXSR | pae;
        let kind = input.byte();
        let mut config = configuration(kind);
        config.max_cycles = Some(200 + 20 * u64::from(input.byte()));
        let start = (0..config.cpus)
            .map(|_| Start {
                regs: std::array::from_fn(|_| input.interesting()),
                flags: u32::from(input.word()) & 0x7fd5,
                offset: input.interesting() & 0xffff,
                code: Vec::new(),
            })
            .collect();
        let patches = (0..input.byte() & 7)
            .map(|_| {
                let at = u32::from(input.word());
                let n = usize::from(input.byte() & 15);
                (at, input.take(n).to_vec())
            })
            .collect();
        Setup { mode, paging, config, start, patches, apart: false, cr0, cr4 }
    }

    /// Two processors in the kernel's mode with these programs, as far as the configuration has them.
    pub(crate) fn kernel(config: MachineConfig, code: &[Vec<u8>]) -> Setup {
        let start = code.iter().take(config.cpus);
        let start = start.map(|c| Start { regs: [0; 8], flags: 0, offset: 0, code: c.clone() }).collect();
        Setup {
            mode: Mode::Kernel,
            paging: Paging::TwoLevel,
            config,
            start,
            patches: Vec::new(),
            apart: true,
            cr0: cr0::ET | cr0::NE | cr0::PE | cr0::PG,
            cr4: cr4::PSE | cr4::PGE,
        }
    }

    /// Processors in the kernel's mode without paging, their code empty.
    pub(crate) fn bare(kind: u8, cycles: u64) -> Setup {
        let mut config = configuration(kind);
        config.max_cycles = Some(cycles);
        let code = vec![Vec::new(); config.cpus];
        let cr0 = cr0::ET | cr0::NE | cr0::PE;
        Setup { paging: Paging::Off, cr0, cr4: 0, ..Setup::kernel(config, &code) }
    }

    fn machine(&self, shortcuts: Shortcuts) -> Machine {
        let config = MachineConfig { shortcuts, ..self.config.clone() };
        let mut machine = Machine::new(config).expect("the configuration is valid");
        machine.bus_mut().ram.poke(0, image());
        for (i, start) in self.start.iter().enumerate() {
            let at = CODE[i] + start.offset;
            let mut code = start.code.clone();
            // Back to the start.
            let (back, wide) = (code.len() as u32, self.mode.wide());
            code.push(0xe9);
            let to = 0u32.wrapping_sub(back + if wide { 5 } else { 3 });
            code.extend_from_slice(&to.to_le_bytes()[..if wide { 4 } else { 2 }]);
            let page = u64::from(at & !0xfff);
            machine.bus_mut().ram.poke(page, &[BREAKPOINT; 0x2000]);
            machine.bus_mut().ram.poke(u64::from(at), &code);
        }
        for (at, bytes) in &self.patches {
            machine.bus_mut().ram.poke(u64::from(*at), bytes);
        }
        for i in 0..self.start.len() {
            self.prepare(&mut machine, i);
        }
        machine
    }

    /// Puts a processor into its first state.
    fn prepare(&self, machine: &mut Machine, i: usize) {
        let start = &self.start[i];
        let Some(cpu) = machine.cpu_mut(i) else { return };
        let base = CODE[i];
        cpu.state = State::Running;
        cpu.cr0 = self.cr0;
        cpu.cr4 = self.cr4;
        cpu.cr3 = if self.paging == Paging::Pae { POINTERS } else { DIRECTORY };
        let (c0, c3, c4) = (cpu.cr0, cpu.cr3, cpu.cr4);
        cpu.mmu.refresh_mode(c0, c3, c4);
        if self.mode != Mode::Real {
            cpu.gdtr = Table { base: GDT, limit: 0xff };
            cpu.idtr = Table { base: IDT, limit: 0x7ff };
            cpu.tr = Segment::new(0x28 + 8 * i as u16, TSS + 0x400 * i as u32, 0x3ff, attr::PRESENT | 0xb);
        } else {
            cpu.idtr = Table { base: 0, limit: 0x3ff };
        }
        cpu.flags.set(start.flags | if self.mode == Mode::Virtual8086 { 1 << 17 } else { 0 });
        let ring = self.mode.ring();
        cpu.set_cpl(ring, 0);
        let data = attr::PRESENT | attr::S | attr::RW | attr::ACCESSED | u16::from(ring) << 5;
        let set = |cpu: &mut shootdown_emu::cpu::Cpu, code: Segment, data: Segment| {
            for n in [ES, SS, DS, FS, GS] {
                cpu.set_segment(n, data);
            }
            cpu.set_segment(CS, code);
        };
        let executable = data | attr::CODE;
        match self.mode {
            Mode::Real | Mode::Virtual8086 => {
                let selector = (base >> 4) as u16;
                let code = Segment::new(selector, base, 0xffff, executable);
                set(
                    cpu,
                    if self.mode == Mode::Real { code } else { Segment::new(selector, base, 0xffff, data) },
                    Segment::real(selector),
                );
            }
            Mode::Kernel => {
                set(cpu, Segment::flat(8, executable | attr::BIG), Segment::flat(0x10, data | attr::BIG));
            }
            Mode::User => {
                set(cpu, Segment::flat(0x1b, executable | attr::BIG), Segment::flat(0x23, data | attr::BIG));
            }
            Mode::Kernel16 => {
                set(
                    cpu,
                    Segment::new(0x38, base, 0xffff, executable),
                    Segment::new(0x40, base, 0xffff, data),
                );
            }
            Mode::Segmented => {
                set(
                    cpu,
                    Segment::new(0x4b, base, 0xffff, executable | attr::BIG),
                    Segment::new(0x53, base, 0xffff, data | attr::BIG),
                );
            }
        }
        cpu.regs[..8].copy_from_slice(&start.regs);
        if cpu.regs[4] == 0 {
            cpu.regs[4] = match (self.mode, ring) {
                (Mode::User, _) => USER_STACK - 0x800 * i as u32,
                (Mode::Kernel, _) => STACK - 0x400 * i as u32,
                _ => 0xf000,
            };
        }
        cpu.eip = start.offset + if matches!(self.mode, Mode::Kernel | Mode::User) { base } else { 0 };
    }

    /// Runs as the configuration says.
    pub(crate) fn run_as_configured(&self) {
        self.run(self.config.shortcuts);
    }

    /// Runs with the host's shortcuts and without, and compares.
    pub(crate) fn check(&self) {
        let with = self.run(Shortcuts::On);
        let without = self.run(Shortcuts::Off);
        if self.start.len() == 1 || self.apart {
            with.compare(&without, self);
        }
    }

    fn run(&self, shortcuts: Shortcuts) -> Outcome {
        let mut machine = self.machine(shortcuts);
        let stop = machine.run(&mut Nobody);
        assert!(machine.ledgers_balance(), "a ledger does not sum to its clock: {stop}");
        let ram = &machine.bus().ram;
        assert!(ram.touched() <= self.config.memory, "{} bytes touched", ram.touched());
        assert!(!stop.to_string().contains('\n'));
        Outcome { stop, snapshot: machine.snapshot(), machine }
    }
}

/// What a run leaves.
struct Outcome {
    stop: Stop,
    snapshot: Snapshot,
    machine: Machine,
}

impl Outcome {
    fn compare(&self, other: &Outcome, setup: &Setup) {
        assert_eq!(self.stop, other.stop, "shortcuts change why the run ends: {setup}");
        // A fault of one processor ends the run wherever the others happen to be.
        let only = match self.stop {
            Stop::TripleFault { cpu }
            | Stop::Unmodelled { cpu, .. }
            | Stop::EmptyPort { cpu, .. }
            | Stop::EmptyAddress { cpu, .. }
            | Stop::UnknownMsr { cpu, .. } => Some(cpu).filter(|_| self.machine.cpus().len() > 1),
            _ => None,
        };
        for (i, (a, b)) in self.machine.cpus().iter().zip(other.machine.cpus()).enumerate() {
            if only.is_some_and(|only| only != i) {
                continue;
            }
            let general =
                |c: &shootdown_emu::cpu::Cpu| (c.regs, c.eip, c.flags.get(), c.clock, c.cpl, c.state);
            assert_eq!(general(a), general(b), "shortcuts change processor {i} ({}): {setup}", self.stop);
            let system = |c: &shootdown_emu::cpu::Cpu| {
                (c.seg, c.cr0, c.cr2, c.cr3, c.cr4, c.dr, c.gdtr, c.idtr, c.ldtr, c.tr)
            };
            assert_eq!(system(a), system(b), "shortcuts change processor {i} ({}): {setup}", self.stop);
            assert_eq!(a.fpu, b.fpu, "shortcuts change processor {i} ({}): {setup}", self.stop);
        }
        if only.is_some() {
            return;
        }
        assert_eq!(self.snapshot, other.snapshot, "shortcuts change the figures: {setup}");
        let (mut a, mut b) = ([0; 4096], [0; 4096]);
        for frame in 0..MEMORY >> 12 {
            let there = self.machine.bus().ram.peek(frame << 12, &mut a);
            assert_eq!(there, other.machine.bus().ram.peek(frame << 12, &mut b), "{:?}", Frame(frame as u32));
            assert!(!there || a == b, "shortcuts change frame {frame:#x}: {setup}");
        }
    }
}

/// The tables.
fn image() -> &'static [u8] {
    static IMAGE_BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE_BYTES.get_or_init(|| {
        let mut image = vec![0; IMAGE];
        vectors(&mut image);
        descriptors(&mut image);
        tables(&mut image);
        image
    })
}

fn put(image: &mut [u8], at: u32, bytes: &[u8]) {
    image[at as usize..][..bytes.len()].copy_from_slice(bytes);
}

fn vectors(image: &mut [u8]) {
    for v in 0..256u32 {
        put(image, 4 * v, &REAL_HANDLER.to_le_bytes());
        let handler = HANDLERS + 16 * v;
        // Every third a trap gate; all may be called from ring 3.
        let kind = if v % 3 == 2 { 0xef00 } else { 0xee00 };
        put(image, IDT + 8 * v, &(handler & 0xffff | 8 << 16).to_le_bytes());
        put(image, IDT + 8 * v + 4, &(handler & 0xffff_0000 | kind).to_le_bytes());
        let code: &[u8] = match v {
            // add esp, 4; inc dword [esp]; iretd
            8 | 10..=14 | 17 => &[0x83, 0xc4, 4, 0xff, 0x04, 0x24, 0xcf],
            // inc dword [esp]; iretd
            0..0x30 => &[0xff, 0x04, 0x24, 0xcf],
            // mov dword ss:[fee000b0], 0; iretd
            _ => &[0x36, 0xc7, 0x05, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0xcf],
        };
        put(image, handler, code);
    }
    // push bp; mov bp, sp; inc word [bp + 2]; pop bp; iret
    put(image, REAL_HANDLER, &[0x55, 0x89, 0xe5, 0xff, 0x46, 2, 0x5d, 0xcf]);
    for i in 0..2 {
        let tss = TSS + 0x400 * i;
        put(image, tss + 4, &(STACK - 0x400 * i).to_le_bytes());
        put(image, tss + 8, &[0x10]);
        // Everything that a task switch to it needs, and an I/O map from 68 with some ports free.
        put(image, tss + 0x20, &(CODE[i as usize]).to_le_bytes());
        for (n, selector) in [0x10u8, 8, 0x10, 0x10, 0x10, 0x10].into_iter().enumerate() {
            put(image, tss + 0x48 + 4 * n as u32, &[selector]);
        }
        put(image, tss + 0x66, &[0x68]);
    }
}

fn descriptors(image: &mut [u8]) {
    let flat = |kind: u64| 0x00cf_0000_0000_ffff | kind << 40;
    let small = |kind: u64, wide: u64, base: u64| 0xffff | base << 16 | kind << 40 | wide << 54;
    let tss = |at: u32, kind: u64| 0x3ff | u64::from(at) << 16 | kind << 40;
    let code = u64::from(CODE[0]);
    let gate = |selector: u64, kind: u64| u64::from(HANDLERS) | selector << 16 | kind << 40;
    let all = [
        0,
        flat(0x9b),
        flat(0x93),
        flat(0xfb),
        flat(0xf3),
        tss(TSS, 0x8b),
        tss(TSS + 0x400, 0x8b),
        small(0x9b, 0, code),
        small(0x93, 0, code),
        small(0xfb, 1, code),
        small(0xf3, 1, code),
        gate(8, 0xec),
        gate(8, 0xe4),
        gate(0x70, 0xe5),
        tss(TSS + 0x800, 0xe9),
        small(0xe2, 0, u64::from(GDT)),
        flat(0x9f),
        small(0x97, 1, code),
        flat(0x13),
        flat(0x91),
    ];
    for (n, descriptor) in (0u32..).zip(all) {
        put(image, GDT + 8 * n, &descriptor.to_le_bytes());
    }
}

/// Rights of the window's pages, by page.
const RIGHTS: [u32; 8] = [7, 5, 3, 1, 0x107, 0x67, 0x17, 0];

fn tables(image: &mut [u8]) {
    let entry = |image: &mut [u8], at: u32, n: u32, value: u32| put(image, at + 4 * n, &value.to_le_bytes());
    let wide = |image: &mut [u8], at: u32, n: u32, value: u32| put(image, at + 8 * n, &value.to_le_bytes());
    let high = 0xfec0_0000u32;
    for (n, value) in [
        (0, IDENTITY | 7),
        (1, WINDOW | 7),
        (2, 0x87),
        (3, DIRECTORY | 7),
        (4, 0x187),
        (high >> 22, APICS | 7),
    ] {
        entry(image, DIRECTORY, n, value);
    }
    let (low, window, apics) = (POINTERS + 0x3000, POINTERS + 0x4000, POINTERS + 0x5000);
    for n in 0..1024 {
        let shown = |n: u32| (0x8000 + ((n % 0x50) << 12)) | RIGHTS[n as usize % 8];
        entry(image, IDENTITY, n, n << 12 | 7);
        entry(image, WINDOW, n, shown(n));
        if n < 512 {
            wide(image, low, n, n << 12 | 7);
            wide(image, window, n, shown(n));
        }
    }
    for (n, page) in [(0, high), (0x200, 0xfee0_0000)] {
        entry(image, APICS, n, page | 0x1b);
    }
    wide(image, apics, 0, high | 0x1b);
    wide(image, apics + 0x800, 0, 0xfee0_0000 | 0x1b);
    let (first, last) = (POINTERS + 0x1000, POINTERS + 0x2000);
    for (at, n, value) in [
        (POINTERS, 0, first | 1),
        (POINTERS, 3, last | 1),
        (first, 0, low | 7),
        (first, 1, 0x87),
        (first, 2, window | 7),
        (first, 3, first | 7),
        (last, high >> 21 & 511, apics | 7),
        (last, 0xfee0_0000 >> 21 & 511, (apics + 0x800) & !0xfff | 7),
    ] {
        wide(image, at, n, value);
    }
}
