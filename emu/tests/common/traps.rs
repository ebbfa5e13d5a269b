//! Guests that fault and trap: every vector has a handler that notes what it found and goes back.
//!
//! Flat protected mode without paging; a GDT with code and data for rings 0 and 3, a TSS with a stack for ring 0, the guest's
//! code at [`CODE`]. The handler notes the vector, the error code, the saved frame and DR6, clears DR6, and
//! sets RF in the frame when breakpoint 0 or 1 was met (tests use these for execution). After as many notes as
//! were asked for, or at `int 0x30`, the machine ends.

use iced_x86::code_asm::*;
use shootdown_emu::cpu::Table;
use shootdown_emu::cpu::segment::{Segment, attr};
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Stop};

/// The guest's code.
pub const CODE: u32 = 0x4_0000;
/// Data for the guest.
pub const DATA: u32 = 0x5_0000;
/// Its stack; that of the handlers is [`STACK0`] when the ring changes.
pub const STACK: u32 = 0x6_0000;
/// Stack of ring 0 in the TSS.
pub const STACK0: u32 = 0x7_0000;
/// The task-state segment.
pub const TSS: u32 = 0x2_0000;
/// The descriptor table, of sixteen entries; those from 0x30 on are free.
pub const GDT: u32 = 0x2_3000;
/// The interrupt descriptor table.
pub const IDT: u32 = 0x2_4000;

/// Ring-0 code, data; ring-3 code, data; the TSS.
pub const CODE0: u16 = 0x08;
/// See [`CODE0`].
pub const DATA0: u16 = 0x10;
/// See [`CODE0`].
pub const CODE3: u16 = 0x1b;
/// See [`CODE0`].
pub const DATA3: u16 = 0x23;
/// See [`CODE0`].
pub const TSS_SELECTOR: u16 = 0x28;

const STUBS: u32 = 0x3_0000;
const HANDLER: u32 = 0x3_2000;
const NOTES: u32 = 0x3_4000;
const NEXT: u32 = 0x3_3000;
const LEFT: u32 = 0x3_3004;
/// Ends the run.
pub const END: u8 = 0x30;

/// What a handler found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    pub vector: u32,
    pub code: u32,
    pub eip: u32,
    pub cs: u32,
    pub flags: u32,
    pub dr6: u32,
    pub cr2: u32,
    pub ecx: u32,
}

const FIELDS: u32 = 8;

/// Writes a dword.
pub fn put(m: &mut Machine, at: u32, v: u32) {
    assert!(m.bus_mut().ram.poke(u64::from(at), &v.to_le_bytes()));
}

/// Writes a descriptor.
pub fn descriptor(m: &mut Machine, selector: u16, d: u64) {
    put(m, GDT + u32::from(selector & !7), d as u32);
    put(m, GDT + u32::from(selector & !7) + 4, (d >> 32) as u32);
}

/// A guest of these bytes in ring 0, which ends after `notes` notes.
pub fn guest_of(config: MachineConfig, code: &[u8], notes: u32) -> Machine {
    let mut machine = Machine::new(config).unwrap();
    let m = &mut machine;
    for (selector, d) in [
        (CODE0, 0x00cf_9b00_0000_ffff),
        (DATA0, 0x00cf_9300_0000_ffff),
        (CODE3, 0x00cf_fb00_0000_ffff),
        (DATA3, 0x00cf_f300_0000_ffff),
        (TSS_SELECTOR, 0x0000_8b02_0000_2068),
    ] {
        descriptor(m, selector, d);
    }
    put(m, TSS + 4, STACK0);
    put(m, TSS + 8, DATA0.into());
    put(m, TSS + 0x64, 0x68 << 16);
    for at in (0..0x2004).step_by(4) {
        put(m, TSS + 0x68 + at, u32::MAX);
    }
    let (handler, end) = handler();
    assert!(m.bus_mut().ram.poke(u64::from(HANDLER), &handler));
    for vector in 0..=END {
        let stub = stub(vector, end);
        let at = STUBS + 32 * u32::from(vector);
        assert!(stub.len() <= 32 && m.bus_mut().ram.poke(u64::from(at), &stub));
        put(m, IDT + 8 * u32::from(vector), u32::from(CODE0) << 16 | at & 0xffff);
        put(m, IDT + 8 * u32::from(vector) + 4, at & 0xffff_0000 | 0xee00);
    }
    put(m, NEXT, NOTES);
    put(m, LEFT, notes);
    assert!(m.bus_mut().ram.poke(u64::from(CODE), code));
    m.start(0, CODE);
    let cpu = m.cpu_mut(0).unwrap();
    cpu.regs[4] = STACK;
    cpu.gdtr = Table { base: GDT, limit: 0x7f };
    cpu.idtr = Table { base: IDT, limit: 0x18f };
    cpu.tr = Segment::new(TSS_SELECTOR, TSS, 0x2068, attr::PRESENT | 11);
    machine
}

/// The same with assembled code, which ends with `int 0x30`.
pub fn guest(config: MachineConfig, a: &mut CodeAssembler, notes: u32) -> Machine {
    a.int(u32::from(END)).unwrap();
    let code = a.assemble(u64::from(CODE)).unwrap();
    guest_of(config, &code, notes)
}

fn has_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}

fn stub(vector: u8, end: u64) -> Vec<u8> {
    let mut a = CodeAssembler::new(32).unwrap();
    if vector == END {
        a.jmp(end).unwrap();
    } else {
        if !has_code(vector) {
            a.push(0).unwrap();
        }
        a.push(i32::from(vector)).unwrap();
        a.jmp(u64::from(HANDLER)).unwrap();
    }
    a.assemble(u64::from(STUBS + 32 * u32::from(vector))).unwrap()
}

/// The handler, and where its end of the run begins.
fn handler() -> (Vec<u8>, u64) {
    let mut a = CodeAssembler::new(32).unwrap();
    let (mut resume, mut end) = (a.create_label(), a.create_label());
    a.pushad().unwrap();
    // The guest's data segments may be anything.
    a.mov(eax, u32::from(DATA0)).unwrap();
    for s in [ds, es] {
        a.mov(s, eax).unwrap();
    }
    a.mov(edi, dword_ptr(NEXT)).unwrap();
    // vector, code, EIP, CS, EFLAGS stand above the registers.
    for i in 0..5 {
        a.mov(eax, dword_ptr(esp + 32 + 4 * i)).unwrap();
        a.mov(dword_ptr(edi + 4 * i), eax).unwrap();
    }
    a.mov(eax, dr6).unwrap();
    a.mov(dword_ptr(edi + 20), eax).unwrap();
    a.mov(ebx, cr2).unwrap();
    a.mov(dword_ptr(edi + 24), ebx).unwrap();
    a.mov(dword_ptr(edi + 28), ecx).unwrap();
    a.add(edi, 4 * FIELDS as i32).unwrap();
    a.mov(dword_ptr(NEXT), edi).unwrap();
    a.test(al, 3).unwrap();
    a.jz(resume).unwrap();
    a.or(dword_ptr(esp + 32 + 16), 0x1_0000).unwrap();
    a.set_label(&mut resume).unwrap();
    a.xor(eax, eax).unwrap();
    a.mov(dr6, eax).unwrap();
    a.dec(dword_ptr(LEFT)).unwrap();
    a.jz(end).unwrap();
    a.popad().unwrap();
    a.add(esp, 8).unwrap();
    a.iretd().unwrap();
    a.set_label(&mut end).unwrap();
    a.mov(eax, 0x10).unwrap();
    a.mov(edx, 0xf4).unwrap();
    a.out(dx, eax).unwrap();
    let options = iced_x86::BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let result = a.assemble_options(u64::from(HANDLER), options).unwrap();
    let end = result.label_ip(&end).unwrap();
    (result.inner.code_buffer, end)
}

/// Runs to the end; what the handlers noted.
pub fn notes(m: &mut Machine) -> Vec<Note> {
    let stop = m.run(&mut Nobody);
    assert_eq!(stop, Stop::Exit(0x10), "eip {:#x}", m.cpus()[0].eip);
    assert!(m.ledgers_balance());
    noted(m)
}

/// What the handlers have noted so far.
pub fn noted(m: &Machine) -> Vec<Note> {
    let n = (super::peek(m, NEXT) - NOTES) / (4 * FIELDS);
    let field = |i: u32, f: u32| super::peek(m, NOTES + 4 * (i * FIELDS + f));
    (0..n)
        .map(|i| Note {
            vector: field(i, 0),
            code: field(i, 1),
            eip: field(i, 2),
            cs: field(i, 3),
            flags: field(i, 4),
            dr6: field(i, 5),
            cr2: field(i, 6),
            ecx: field(i, 7),
        })
        .collect()
}

/// Goes to ring 3 with these flags; the code goes on there.
pub fn enter_ring3(a: &mut CodeAssembler, flags: u32) {
    let (mut there, mut start) = (a.create_label(), a.create_label());
    a.jmp(start).unwrap();
    a.set_label(&mut there).unwrap();
    a.pop(edx).unwrap();
    a.mov(eax, u32::from(DATA3)).unwrap();
    for s in [ds, es] {
        a.mov(s, eax).unwrap();
    }
    a.push(i32::from(DATA3)).unwrap();
    a.push(STACK as i32 - 0x1000).unwrap();
    a.push(flags as i32).unwrap();
    a.push(i32::from(CODE3)).unwrap();
    a.push(edx).unwrap();
    a.iretd().unwrap();
    a.set_label(&mut start).unwrap();
    a.call(there).unwrap();
}

/// Linear address of pages that are mapped one by one ([`page`]); the first 4 MiB are mapped onto themselves, for ring 3 too.
pub const PAGES: u32 = 0x40_0000;
const PAGE_DIRECTORY: u32 = 0x10_0000;
/// Page table of the first 4 MiB.
pub const LOW_TABLE: u32 = 0x10_1000;
/// Page table of [`PAGES`].
pub const PAGES_TABLE: u32 = 0x10_2000;
/// Page table of the last 4 MiB of the address space.
pub const TOP_TABLE: u32 = 0x10_3000;

/// Switches paging on, with CR0.WP.
pub fn paging(m: &mut Machine) {
    put(m, PAGE_DIRECTORY, LOW_TABLE | 7);
    put(m, PAGE_DIRECTORY + 4, PAGES_TABLE | 7);
    put(m, PAGE_DIRECTORY + 0xffc, TOP_TABLE | 7);
    for n in 0..1024 {
        put(m, LOW_TABLE + 4 * n, n << 12 | 7);
    }
    for id in 0..m.cpus().len() {
        let cpu = m.cpu_mut(id).unwrap();
        cpu.cr3 = PAGE_DIRECTORY;
        cpu.cr0 |= 0x8001_0000;
        let control = [cpu.cr0, cpu.cr3, cpu.cr4];
        cpu.mmu.refresh_mode(control[0], control[1], control[2]);
    }
}

/// Maps page `n` from [`PAGES`] on to a frame, with rights in the low bits.
pub fn page(m: &mut Machine, n: u32, pte: u32) {
    put(m, PAGES_TABLE + 4 * n, pte);
}
