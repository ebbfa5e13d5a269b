//! Micro-guests: a few instructions for each processor, assembled here, that measure
//! the machine from inside by RDTSC.
//!
//! ```text
//!  10_0000  programs, one page for each processor       38_0000  results, dwords
//!  18_0000  interrupt handlers                          39_0000  shared words, a line each
//!  1f_0000  GDT, IDT, TSSs                              100_0000 frames of the window
//!  20_0000  page directory and tables                   4000_0000 the window: 2048 pages
//!  30_0000  stacks, one page for each processor         e0_0000  the local APIC
//! ```
//!
//! Pages have 4 KiB; programs, handlers, stacks and tables are global, as a kernel's
//! are, the window is not. All pages are open to ring 3, so that a program may go there.

use iced_x86::IcedError;
use iced_x86::code_asm::*;
use shootdown_emu::observe::{Nobody, Observer};
use shootdown_emu::{ConfigError, Machine, MachineConfig, Stop};
use thiserror::Error;

const CODE: u32 = 0x10_0000;
const HANDLERS: u32 = 0x18_0000;
const HANDLER_BYTES: u32 = 0x200;
const GDT: u32 = 0x1f_0000;
const TSS: u32 = 0x1f_2000;
const IDT: u32 = 0x1f_1000;
const POINTERS: u32 = 0x1f_0f00;
const DIRECTORY: u32 = 0x20_0000;
const IDENTITY_TABLES: u32 = 0x20_1000;
/// Identity-mapped megabytes, by four.
const IDENTITY: u32 = 4;
/// Page tables of the window.
pub const WINDOW_TABLES: u32 = 0x20_8000;
const STACKS: u32 = 0x30_0000;
const RESULTS: u32 = 0x38_0000;
const SHARED: u32 = 0x39_0000;
const FRAMES: u32 = 0x100_0000;
/// Linear address of the window.
pub const WINDOW: u32 = 0x4000_0000;
/// Pages of the window.
pub const WINDOW_PAGES: u32 = 2048;
/// Physical address of the local APIC.
const APIC_FRAME: u32 = 0xfee0_0000;
/// Linear address of its registers: low, because the assembler takes no high ones.
pub const APIC: u32 = 0xe0_0000;
/// Interrupt command register.
pub const ICR_LOW: u32 = APIC + 0x300;
/// Its destination half.
pub const ICR_HIGH: u32 = APIC + 0x310;
/// End of interrupt.
pub const EOI: u32 = APIC + 0xb0;
/// Spurious-interrupt vector register, with the enable bit.
const SVR: u32 = APIC + 0xf0;
/// Command: fixed interrupt, edge, to all others; the vector is added.
pub const TO_OTHERS: u32 = 0xc_4000;
/// Command: fixed interrupt to the processor in [`ICR_HIGH`].
pub const TO_ONE: u32 = 0x4000;
/// Delivery status of [`ICR_LOW`]: not sent yet.
pub const SEND_PENDING: u32 = 1 << 12;
/// CR4.PGE.
pub const PGE: u32 = 1 << 7;
const MEMORY: u64 = 32 << 20;
const PRESENT: u32 = 1;
const WRITABLE: u32 = 2;
const USER: u32 = 4;
const UNCACHED: u32 = 0x18;
const GLOBAL: u32 = 1 << 8;
const EXIT_OK: u32 = shootdown_abi::exit::OK;
/// Cycles after which a micro-guest is stuck.
const PATIENCE: u64 = 20_000_000_000;

/// Why a micro-guest gave no result.
#[derive(Debug, Error)]
pub enum MicroError {
    /// The code cannot be assembled, or does not fit its place.
    #[error("micro-guest: {0}")]
    Assemble(String),
    /// The machine cannot be built.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It did not come to its end.
    #[error("micro-guest: {0}")]
    Stopped(String),
}

impl From<IcedError> for MicroError {
    fn from(e: IcedError) -> MicroError {
        MicroError::Assemble(e.to_string())
    }
}

/// What emits code.
pub type Emit<'a> = &'a dyn Fn(&mut CodeAssembler) -> Result<(), IcedError>;

/// Address of the n-th shared word; each has its line.
pub const fn shared(n: u32) -> u32 {
    SHARED + 64 * n
}

/// The end of processor `cpu`'s ring-0 stack: ring 3 has the rest of its page.
pub const fn kernel_stack(cpu: u32) -> u32 {
    STACKS + 4096 * cpu + 2048
}

/// The number of the processor, from the page of its stack, into `eax`.
pub fn cpu_number(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(eax, esp)?;
    a.sub(eax, (STACKS) as i32)?;
    a.shr(eax, 12)
}

/// Address of the n-th result.
pub const fn result(n: u32) -> u32 {
    RESULTS + 4 * n
}

/// Address of the PTE of the n-th page of the window.
pub const fn window_pte(n: u32) -> u32 {
    WINDOW_TABLES + 4 * n
}

/// What the PTE of the n-th page of the window holds at first.
pub const fn window_entry(n: u32) -> u32 {
    (FRAMES + 4096 * n) | USER | WRITABLE | PRESENT
}

/// A machine with a program for each processor.
pub struct Micro {
    config: MachineConfig,
    programs: Vec<CodeAssembler>,
    handlers: Vec<(u8, CodeAssembler)>,
}

impl Micro {
    /// As many processors as the configuration has; a program that gets no code sleeps.
    pub fn new(config: MachineConfig) -> Result<Micro, MicroError> {
        let config = MachineConfig { memory: config.memory.max(MEMORY), ..config };
        let mut programs = Vec::new();
        for i in 0..config.cpus as u32 {
            let mut a = CodeAssembler::new(32)?;
            a.lgdt(ptr(POINTERS))?;
            a.lidt(ptr(POINTERS + 8))?;
            a.mov(eax, PGE)?;
            a.mov(cr4, eax)?;
            a.mov(eax, DIRECTORY)?;
            a.mov(cr3, eax)?;
            a.mov(eax, cr0)?;
            a.or(eax, 0x8001_0000u32 as i32)?;
            a.mov(cr0, eax)?;
            a.mov(esp, STACKS + 4096 * (i + 1))?;
            a.mov(eax, 0x28 + 8 * i)?;
            a.ltr(ax)?;
            a.mov(dword_ptr(SVR), 0x1ff)?;
            programs.push(a);
        }
        Ok(Micro { config, programs, handlers: Vec::new() })
    }

    /// Adds to the program of a processor.
    pub fn cpu(&mut self, id: usize, emit: Emit<'_>) -> Result<(), MicroError> {
        match self.programs.get_mut(id) {
            Some(a) => Ok(emit(a)?),
            None => Err(MicroError::Assemble(format!("no processor {id}"))),
        }
    }

    /// What all processors do at an interrupt or exception; it has to end with `iretd`. Gives its address.
    pub fn handler(&mut self, vector: u8, emit: Emit<'_>) -> Result<u32, MicroError> {
        let mut a = CodeAssembler::new(32)?;
        emit(&mut a)?;
        self.handlers.push((vector, a));
        Ok(HANDLERS + HANDLER_BYTES * (self.handlers.len() as u32 - 1))
    }

    /// Runs until processor 0 ends the machine ([`finish`]).
    pub fn run(self) -> Result<Outcome, MicroError> {
        self.observed(&mut Nobody)
    }

    /// [`Micro::run`] with an observer.
    pub fn observed(mut self, observer: &mut dyn Observer) -> Result<Outcome, MicroError> {
        let mut machine = Machine::new(self.config.clone())?;
        machine.set_patience(PATIENCE);
        self.tables(&mut machine)?;
        for (i, mut a) in self.programs.drain(..).enumerate() {
            // Whoever comes to the end of its program waits for ever.
            let mut wait = a.create_label();
            a.set_label(&mut wait)?;
            a.hlt()?;
            a.jmp(wait)?;
            let at = CODE + 4096 * i as u32;
            place(&mut machine, at, 4096, &a.assemble(u64::from(at))?)?;
            machine.start(i, at);
        }
        match machine.run(observer) {
            Stop::Exit(EXIT_OK) => Ok(Outcome { machine }),
            stop => Err(MicroError::Stopped(stop.to_string())),
        }
    }

    fn tables(&mut self, machine: &mut Machine) -> Result<(), MicroError> {
        let mut directory = vec![0u32; 1024];
        let rights = USER | WRITABLE | PRESENT;
        for i in 0..IDENTITY {
            directory[i as usize] = (IDENTITY_TABLES + 4096 * i) | rights;
            let table = (0..1024).map(|j| (((i * 1024) + j) << 12) | rights | GLOBAL);
            words(machine, IDENTITY_TABLES + 4096 * i, table)?;
        }
        for i in 0..WINDOW_PAGES / 1024 {
            directory[(WINDOW >> 22) as usize + i as usize] = (WINDOW_TABLES + 4096 * i) | rights;
        }
        words(machine, WINDOW_TABLES, (0..WINDOW_PAGES).map(window_entry))?;
        words(
            machine,
            IDENTITY_TABLES + 4 * (APIC >> 12),
            [APIC_FRAME | UNCACHED | GLOBAL | rights].into_iter(),
        )?;
        words(machine, DIRECTORY, directory.into_iter())?;

        let tss = |i: u32| TSS + 128 * i;
        let mut gdt = vec![0u64, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
        gdt.extend([0x00cf_fb00_0000_ffff, 0x00cf_f300_0000_ffff]);
        for i in 0..self.config.cpus as u32 {
            gdt.push(
                0x0000_8900_0000_0067 | u64::from(tss(i) & 0xff_ffff) << 16 | u64::from(tss(i) >> 24) << 56,
            );
            // ESP0 and SS0: half-way down the stack, so that ring 3 may have its upper half.
            words(machine, tss(i) + 4, [kernel_stack(i), 0x10].into_iter())?;
        }
        let mut idt = vec![0u64; 256];
        for (k, (vector, mut a)) in self.handlers.drain(..).enumerate() {
            let at = HANDLERS + HANDLER_BYTES * k as u32;
            place(machine, at, HANDLER_BYTES as usize, &a.assemble(u64::from(at))?)?;
            idt[usize::from(vector)] =
                u64::from(at & 0xffff) | 0x0000_ee00_0008_0000 | u64::from(at >> 16) << 48;
        }
        let dwords = |v: Vec<u64>| v.into_iter().flat_map(|q| [q as u32, (q >> 32) as u32]);
        let limit = (gdt.len() * 8 - 1) as u32;
        words(machine, GDT, dwords(gdt))?;
        words(machine, IDT, dwords(idt))?;
        words(machine, POINTERS, [limit | GDT << 16, GDT >> 16, 2047 | IDT << 16, IDT >> 16].into_iter())
    }
}

fn words(machine: &mut Machine, at: u32, words: impl Iterator<Item = u32>) -> Result<(), MicroError> {
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    place(machine, at, bytes.len(), &bytes)
}

fn place(machine: &mut Machine, at: u32, room: usize, bytes: &[u8]) -> Result<(), MicroError> {
    if bytes.len() > room || !machine.bus_mut().ram.poke(u64::from(at), bytes) {
        return Err(MicroError::Assemble(format!("{} bytes do not fit at {at:#x}", bytes.len())));
    }
    Ok(())
}

/// A micro-guest that has come to its end.
pub struct Outcome {
    /// The machine as it stands.
    pub machine: Machine,
}

impl Outcome {
    /// The n-th result.
    pub fn result(&self, n: u32) -> u32 {
        let mut bytes = [0; 4];
        self.machine.bus().ram.peek(u64::from(result(n)), &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Mean cycles of what [`timed`] measured, less the same loop without it (`empty`).
    pub fn mean(&self, timed: u32, empty: u32, rounds: u32) -> f64 {
        (f64::from(self.result(timed)) - f64::from(self.result(empty))) / f64::from(rounds)
    }
}

/// Ends the machine.
pub fn finish(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(eax, EXIT_OK)?;
    a.mov(edx, u32::from(shootdown_abi::EXIT_PORT))?;
    a.out(dx, eax)
}

/// Goes on in ring 3, with the stack's upper half.
pub fn enter_ring3(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let (mut leave, mut there) = (a.create_label(), a.create_label());
    // The return address of the call is where ring 3 begins.
    a.call(leave)?;
    a.jmp(there)?;
    a.set_label(&mut leave)?;
    a.pop(eax)?;
    a.mov(ecx, esp)?;
    a.push(0x23)?;
    a.push(ecx)?;
    a.pushfd()?;
    a.push(0x1b)?;
    a.push(eax)?;
    a.iretd()?;
    a.set_label(&mut there)?;
    a.mov(eax, 0x23)?;
    a.mov(ds, eax)?;
    a.mov(es, eax)
}

/// Runs `prepare` and `body` some times to warm up and then `rounds` times, and stores in a result what `body` took
/// in all of these, by RDTSC, the second RDTSC included. `esi`, `edi` and `ebp` are taken.
pub fn timed(
    a: &mut CodeAssembler,
    to: u32,
    rounds: u32,
    prepare: Emit<'_>,
    body: Emit<'_>,
) -> Result<(), IcedError> {
    const WARM: u32 = 4;
    for n in [WARM, rounds] {
        let mut next = a.create_label();
        a.xor(esi, esi)?;
        a.mov(ebp, n)?;
        a.set_label(&mut next)?;
        prepare(a)?;
        a.rdtsc()?;
        a.mov(edi, eax)?;
        body(a)?;
        a.rdtsc()?;
        a.sub(eax, edi)?;
        a.add(esi, eax)?;
        a.dec(ebp)?;
        a.jnz(next)?;
    }
    a.mov(dword_ptr(result(to)), esi)
}

/// No code.
pub fn nothing(_: &mut CodeAssembler) -> Result<(), IcedError> {
    Ok(())
}
