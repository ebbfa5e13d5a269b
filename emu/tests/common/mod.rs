//! Micro-guests: a few instructions in flat protected mode, run to `exit`.
//!
//! Memory: code at 1 MiB; page directory at [`DIRECTORY`], identity-mapped first
//! 4 MiB through 4 KiB pages at [`TABLE`], and a second table at [`TABLE2`] for
//! linear [`WINDOW`], which the tests fill.

#![allow(dead_code)]

use iced_x86::code_asm::*;
use shootdown_emu::loader::BootRequest;
use shootdown_emu::observe::Nobody;
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
    let ram = &mut machine.bus_mut().ram;
    let mut put = |pa: u32, v: u32| assert!(ram.poke(u64::from(pa), &v.to_le_bytes()));
    put(DIRECTORY, TABLE | 7);
    put(DIRECTORY + 4, TABLE2 | 7);
    for page in 0..1024 {
        put(TABLE + page * 4, page << 12 | 3);
    }
    put(TABLE2, FRAME_A | 3);
    put(FRAME_A, CONTENT_A);
    put(FRAME_B, CONTENT_B);
    machine.cpu_mut(0).unwrap().regs[4] = 0x9_0000;
    machine
}

/// Runs to the exit and checks the ledger.
pub fn run(machine: &mut Machine) {
    let stop = machine.run(&mut Nobody);
    assert_eq!(stop, Stop::Exit(0x10), "cpu: eip {:#x}", machine.cpus()[0].eip);
    assert!(machine.ledgers_balance());
}

/// Physical dword.
pub fn peek(machine: &Machine, pa: u32) -> u32 {
    let mut b = [0; 4];
    assert!(machine.bus().ram.peek(u64::from(pa), &mut b));
    u32::from_le_bytes(b)
}
