//! Micro-guests: a few instructions in flat protected mode, run to `exit`.
//!
//! Memory: code at 1 MiB; page directory at [`DIRECTORY`], identity-mapped first
//! 4 MiB through 4 KiB pages at [`TABLE`], and a second table at [`TABLE2`] for
//! linear [`WINDOW`], which the tests fill. With several processors ([`load_each`])
//! each has its own page of code and of stack, and all share one interrupt handler.

#![allow(dead_code)]

pub mod traps;

use iced_x86::code_asm::*;
use shootdown_emu::cpu::Table;
use shootdown_emu::loader::BootRequest;
use shootdown_emu::observe::{Event, Nobody, Observer, Wanted};
use shootdown_emu::{Machine, MachineConfig, Preset, Stop};

/// Page directory.
pub const DIRECTORY: u32 = 0x20_0000;
/// Page table of linear 0.
pub const TABLE: u32 = 0x20_1000;
/// Page table of [`WINDOW`].
pub const TABLE2: u32 = 0x20_2000;
/// Linear addresses for the tests.
pub const WINDOW: u32 = 0x40_0000;
/// Two frames with different content.
pub const FRAME_A: u32 = 0x30_0000;
/// See [`FRAME_A`].
pub const FRAME_B: u32 = 0x30_1000;
/// First dword of [`FRAME_A`].
pub const CONTENT_A: u32 = 0xaaaa_0001;
/// First dword of [`FRAME_B`].
pub const CONTENT_B: u32 = 0xbbbb_0002;

/// Linear address of the local APIC's registers.
pub const APIC: u32 = 0x3f_f000;
/// Linear address of the I/O APIC's registers.
pub const IO_APIC: u32 = 0x3f_e000;
/// Its interrupt command register.
pub const ICR_LOW: u32 = APIC + 0x300;
/// The destination half of that.
pub const ICR_HIGH: u32 = APIC + 0x310;
/// Its end-of-interrupt register.
pub const EOI: u32 = APIC + 0xb0;
/// Vector of the one handler.
pub const VECTOR: u8 = 0x40;

const CODE: u32 = 0x11_0000;
const HANDLER: u32 = 0x18_0000;
const GDT: u32 = 0x21_0000;
const IDT: u32 = 0x21_1000;
const STACK: u32 = 0x9_0000;
const LOAD: u32 = 0x10_0000;
const ENTRY: u32 = LOAD + 0x20;

/// A one-processor machine of this preset.
pub fn config(preset: &str) -> MachineConfig {
    MachineConfig { cpus: 1, memory: 16 << 20, ..MachineConfig::new(Preset::builtin(preset).unwrap()) }
}

/// Starts an assembler with paging set up by the machine's tables; `cr4` is loaded before.
pub fn paged(cr4_bits: u32) -> CodeAssembler {
    let mut a = CodeAssembler::new(32).unwrap();
    a.mov(eax, cr4_bits).unwrap();
    a.mov(cr4, eax).unwrap();
    a.mov(eax, DIRECTORY).unwrap();
    a.mov(cr3, eax).unwrap();
    a.mov(eax, cr0).unwrap();
    a.or(eax, 0x8001_0000u32 as i32).unwrap();
    a.mov(cr0, eax).unwrap();
    a
}

/// Ends the guest.
pub fn exit(a: &mut CodeAssembler) {
    a.push(eax).unwrap();
    a.mov(eax, 0x10).unwrap();
    a.mov(edx, 0xf4).unwrap();
    a.out(dx, eax).unwrap();
}

/// Loads the code into a machine, with page tables.
pub fn load(config: MachineConfig, a: &mut CodeAssembler) -> Machine {
    let code = a.assemble(u64::from(ENTRY)).unwrap();
    let memory = config.memory;
    let mut machine = Machine::new(config).unwrap();
    let flags = 0x1_0000u32;
    let magic = 0x1bad_b002u32;
    let mut kernel = Vec::new();
    for w in [magic, flags, 0u32.wrapping_sub(magic).wrapping_sub(flags), LOAD, LOAD, 0, 0, ENTRY] {
        kernel.extend_from_slice(&w.to_le_bytes());
    }
    kernel.extend_from_slice(&code);
    machine
        .load_multiboot(&BootRequest {
            kernel_name: "test",
            kernel: &kernel,
            arguments: "",
            modules: &[],
            memory,
        })
        .unwrap();
    tables(&mut machine);
    machine.cpu_mut(0).unwrap().regs[4] = STACK;
    machine
}

/// Writes a physical dword.
pub fn poke(machine: &mut Machine, pa: u32, v: u32) {
    assert!(machine.bus_mut().ram.poke(u64::from(pa), &v.to_le_bytes()));
}

fn tables(m: &mut Machine) {
    poke(m, DIRECTORY, TABLE | 7);
    poke(m, DIRECTORY + 4, TABLE2 | 7);
    for page in 0..1024 {
        poke(m, TABLE + page * 4, page << 12 | 3);
    }
    poke(m, TABLE + (APIC >> 12) * 4, 0xfee0_0000 | 0x1b);
    poke(m, TABLE + (IO_APIC >> 12) * 4, 0xfec0_0000 | 0x1b);
    poke(m, TABLE2, FRAME_A | 3);
    poke(m, FRAME_A, CONTENT_A);
    poke(m, FRAME_B, CONTENT_B);
}

/// Starts the program of one of several processors: paging as in [`paged`], its APIC enabled.
pub fn program() -> CodeAssembler {
    let mut a = paged(0);
    a.mov(dword_ptr(APIC + 0xf0), 0x1ff).unwrap();
    a
}

/// Loads a program for each processor, and what all of them do at interrupt [`VECTOR`].
pub fn load_each(
    config: MachineConfig,
    programs: &mut [CodeAssembler],
    handler: &mut CodeAssembler,
) -> Machine {
    let mut machine = Machine::new(MachineConfig { cpus: programs.len(), ..config }).unwrap();
    let m = &mut machine;
    tables(m);
    for (i, word) in [0, 0, 0xffff, 0x00cf_9b00, 0xffff, 0x00cf_9300].into_iter().enumerate() {
        poke(m, GDT + 4 * i as u32, word);
    }
    on_vector(m, VECTOR, handler);
    for (i, a) in programs.iter_mut().enumerate() {
        let page = 4096 * i as u32;
        let code = a.assemble(u64::from(CODE + page)).unwrap();
        assert!(code.len() <= 4096 && m.bus_mut().ram.poke(u64::from(CODE + page), &code));
        m.start(i, CODE + page);
        let cpu = m.cpu_mut(i).unwrap();
        cpu.regs[4] = STACK + page + 4096;
        cpu.gdtr = Table { base: GDT, limit: 23 };
        cpu.idtr = Table { base: IDT, limit: 0x7ff };
    }
    machine
}

/// What all processors do at this vector: at most 64 bytes.
pub fn on_vector(m: &mut Machine, vector: u8, handler: &mut CodeAssembler) {
    let at = HANDLER + 64 * u32::from(vector);
    poke(m, IDT + 8 * u32::from(vector), at & 0xffff | 8 << 16);
    poke(m, IDT + 8 * u32::from(vector) + 4, at & 0xffff_0000 | 0x8e00);
    let code = handler.assemble(u64::from(at)).unwrap();
    assert!(code.len() <= 64 && m.bus_mut().ram.poke(u64::from(at), &code));
}

/// Waits for interrupts for ever: at each cycle an instruction ends.
pub fn wait(a: &mut CodeAssembler) {
    let mut here = a.create_label();
    a.sti().unwrap();
    a.set_label(&mut here).unwrap();
    a.jmp(here).unwrap();
}

/// Goes on at this cycle or some tens of cycles later.
pub fn wait_until(a: &mut CodeAssembler, cycle: u32) {
    let mut again = a.create_label();
    a.set_label(&mut again).unwrap();
    a.rdtsc().unwrap();
    a.cmp(eax, cycle).unwrap();
    a.jb(again).unwrap();
}

/// Takes this many cycles, where simple operations and branches take one each.
pub fn delay(a: &mut CodeAssembler, cycles: u32) {
    // One to load the count, two for each turn.
    let turns = (cycles - 1) / 2;
    let mut next = a.create_label();
    a.mov(ecx, turns).unwrap();
    if turns > 0 {
        a.set_label(&mut next).unwrap();
        a.dec(ecx).unwrap();
        a.jnz(next).unwrap();
    }
    for _ in 0..(cycles - 1) % 2 {
        a.nop().unwrap();
    }
}

/// Runs to the exit and checks the ledger.
pub fn run(machine: &mut Machine) {
    let stop = machine.run(&mut Nobody);
    assert_eq!(stop, Stop::Exit(0x10), "cpu: eip {:#x}", machine.cpus()[0].eip);
    assert!(machine.ledgers_balance());
}

/// Notes events of some classes.
pub struct Log {
    wanted: Wanted,
    /// In the order of the simulation.
    pub events: Vec<Event>,
}

impl Log {
    /// An empty log.
    pub fn new(wanted: Wanted) -> Log {
        Log { wanted, events: Vec::new() }
    }
}

impl Observer for Log {
    fn wanted(&self) -> Wanted {
        self.wanted
    }
    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }
}

/// Physical dword.
pub fn peek(machine: &Machine, pa: u32) -> u32 {
    let mut b = [0; 4];
    assert!(machine.bus().ram.peek(u64::from(pa), &mut b));
    u32::from_le_bytes(b)
}
