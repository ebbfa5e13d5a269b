//! This side: a machine with one processor, stepped through a case.

use super::Mode;
use super::unicorn::{After, CODE, Case, MEMORY, NONE, PAGE};
use anyhow::Result;
use shootdown_emu::addr::Frame;
use shootdown_emu::cpu::op::{CS, DS, ES, FS, GS, SS};
use shootdown_emu::cpu::segment::{Segment, attr};
use shootdown_emu::cpu::{Table, cr0};
use shootdown_emu::{Machine, MachineConfig, Preset};

/// Where the supervisor's tables lie, outside the memory that is compared.
const TSS: u32 = 0x38_0000;
const IDT: u32 = 0x38_1000;
const GDT: u32 = 0x38_3000;
const STACK_TOP: u32 = 0x38_9000;
const HANDLERS: u32 = 0x39_0000;
/// The segment of the handlers in real mode; handler n begins at 16 n.
const REAL_HANDLERS: u16 = 0x3900 >> 1;
const RF: u32 = 1 << 16;
/// Turns in which a repeated instruction must be done.
const TURNS: usize = 70_000;

/// Makes the vectors of real mode point to handlers.
pub fn prepare_image(image: &mut [u8], mode: Mode) {
    if mode == Mode::Real {
        for (v, entry) in image[..1024].chunks_exact_mut(4).enumerate() {
            entry[..2].copy_from_slice(&(16 * v as u16).to_le_bytes());
            entry[2..].copy_from_slice(&REAL_HANDLERS.to_le_bytes());
        }
    }
}

/// The instruction pointer at the beginning of a case.
pub fn begin(mode: Mode) -> u32 {
    if mode == Mode::Real { 0 } else { CODE }
}

/// The machine.
pub struct Ours {
    machine: Machine,
    mode: Mode,
}

impl Ours {
    /// With the memory filled.
    pub fn new(mode: Mode, image: &[u8]) -> Result<Ours> {
        let mut config = MachineConfig::new(Preset::load("p3")?);
        config.cpus = 1;
        config.memory = 16 << 20;
        let mut machine = Machine::new(config)?;
        let ram = &mut machine.bus_mut().ram;
        ram.poke(0, image);
        let flat = |kind: u64| 0x00cf_0000_0000_ffffu64 | kind << 40;
        let tss = u64::from(TSS);
        let task = 0x67 | (tss & 0xff_ffff) << 16 | 0x8b << 40 | (tss >> 24) << 56;
        for (n, d) in [0, flat(0x9b), flat(0x93), flat(0xfb), flat(0xf3), task].into_iter().enumerate() {
            ram.poke(u64::from(GDT) + 8 * n as u64, &d.to_le_bytes());
        }
        for v in 0..256u64 {
            let handler = u64::from(HANDLERS) + 16 * v;
            let gate = handler & 0xffff | 8 << 16 | 0xee00 << 32 | (handler >> 16) << 48;
            ram.poke(u64::from(IDT) + 8 * v, &gate.to_le_bytes());
        }
        ram.poke(u64::from(TSS) + 4, &STACK_TOP.to_le_bytes());
        ram.poke(u64::from(TSS) + 8, &0x10u32.to_le_bytes());
        Ok(Ours { machine, mode })
    }

    fn prepare(&mut self, case: &Case) {
        let mut page = [0; PAGE];
        page[..case.code.len()].copy_from_slice(&case.code);
        self.machine.bus_mut().ram.poke(u64::from(CODE), &page);
        self.machine.forget_code();
        let real = self.mode == Mode::Real;
        let Some(cpu) = self.machine.cpu_mut(0) else { return };
        cpu.cr0 = cr0::ET | cr0::NE | if real { 0 } else { cr0::PE };
        let c0 = cpu.cr0;
        cpu.mmu.refresh_mode(c0, 0, 0);
        let now = cpu.clock;
        if real {
            let [es, cs, ss, ds, fs, gs] = case.segments;
            for (n, s) in [(ES, es), (SS, ss), (DS, ds), (FS, fs), (GS, gs)] {
                cpu.set_segment(n, Segment::real(s));
            }
            let code = attr::PRESENT | attr::S | attr::CODE | attr::RW | attr::ACCESSED;
            cpu.set_segment(CS, Segment::new(cs, u32::from(cs) << 4, 0xffff, code));
            cpu.idtr = Table { base: 0, limit: 0x3ff };
            cpu.set_cpl(0, now);
        } else {
            let data = attr::PRESENT | attr::S | attr::RW | attr::ACCESSED | attr::BIG | 3 << 5;
            for n in [ES, SS, DS, FS, GS] {
                cpu.set_segment(n, Segment::flat(0x23, data));
            }
            cpu.set_segment(CS, Segment::flat(0x1b, data | attr::CODE));
            cpu.gdtr = Table { base: GDT, limit: 0x2f };
            cpu.idtr = Table { base: IDT, limit: 0x7ff };
            cpu.tr = Segment::new(0x28, TSS, 0x67, attr::PRESENT | 0xb);
            cpu.set_cpl(3, now);
        }
        cpu.regs[..8].copy_from_slice(&case.regs);
        cpu.eip = begin(self.mode);
        cpu.flags.set(case.flags);
        cpu.shadow = false;
    }

    fn caught(&self) -> bool {
        let cpu = &self.machine.cpus()[0];
        match self.mode {
            Mode::Real => cpu.seg[CS as usize].selector == REAL_HANDLERS,
            _ => cpu.cpl == 0,
        }
    }

    /// Runs a case and puts the memory back. `None`: it cannot be compared.
    pub fn run(&mut self, case: &Case, image: &[u8]) -> Result<Option<After>> {
        self.prepare(case);
        let end = begin(self.mode) + case.code.len() as u32;
        let mut stopped = false;
        for _ in 0..if case.repeats { TURNS } else { usize::from(case.count) } {
            stopped = self.machine.step(0).is_some();
            if stopped || self.caught() || (case.repeats && self.machine.cpus()[0].eip == end) {
                break;
            }
        }
        let after = self.after();
        let pages = self.changed(image);
        // A sequence that changes its own code is another question.
        let mut page = [0; PAGE];
        self.machine.bus().ram.peek(u64::from(CODE), &mut page);
        let unchanged = page.starts_with(&case.code) && page[case.code.len()..].iter().all(|b| *b == 0);
        let Some(mut after) = after.filter(|_| !stopped && unchanged) else { return Ok(None) };
        after.pages = pages;
        Ok(Some(after))
    }

    fn after(&self) -> Option<After> {
        let cpu = &self.machine.cpus()[0];
        let mut regs: [u32; 8] = std::array::from_fn(|n| cpu.regs[n]);
        if !self.caught() {
            return Some(After {
                vector: NONE,
                regs,
                eip: cpu.eip,
                flags: cpu.flags.get(),
                frame: Vec::new(),
                pages: Vec::new(),
            });
        }
        let dword = |at: u32| {
            let mut b = [0; 4];
            self.machine.bus().ram.peek(u64::from(at), &mut b).then(|| u32::from_le_bytes(b))
        };
        match self.mode {
            Mode::Real => {
                let vector = (cpu.eip / 16) as i16;
                let base = cpu.seg[SS as usize].base;
                let at = |n: u32| base + (cpu.regs[4].wrapping_add(n) & 0xffff);
                let eip = dword(at(0))? & 0xffff;
                regs[4] = regs[4] & 0xffff_0000 | regs[4].wrapping_add(6) & 0xffff;
                let frame = (0..6).map(at).collect();
                Some(After { vector, regs, eip, flags: dword(at(4))? & 0xffff, frame, pages: Vec::new() })
            }
            _ => {
                let vector = (cpu.eip.wrapping_sub(HANDLERS) / 16) as i16;
                let at = cpu.regs[4] + if matches!(vector, 8 | 10..=14 | 17) { 4 } else { 0 };
                let (eip, flags) = (dword(at)?, dword(at + 8)? & !RF);
                regs[4] = dword(at + 12)?;
                Some(After { vector, regs, eip, flags, frame: Vec::new(), pages: Vec::new() })
            }
        }
    }

    /// Pages that differ from the image, which is put back.
    fn changed(&mut self, image: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let ram = &mut self.machine.bus_mut().ram;
        let mut pages = Vec::new();
        for n in 0..MEMORY / PAGE {
            let Some(at) = ram.offset(Frame(n as u32)) else { continue };
            let want = &image[n * PAGE..][..PAGE];
            let have = &ram.bytes()[at..at + PAGE];
            if have != want {
                pages.push((n as u8, have.to_vec()));
                ram.bytes_mut()[at..at + PAGE].copy_from_slice(want);
            }
        }
        pages
    }
}
