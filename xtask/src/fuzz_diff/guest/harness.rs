//! The part of the guest that never changes: it starts each case, catches the exception that ends it, and reports.
//!
//! ```text
//!  ROM -> start -> next -> case -- exception --> stub -> caught -> report -> next ... -> finish
//! ```
//!
//! A case ends with any exception; its last instruction is followed by `int3`. Nothing is known then about the
//! segments and the stack but that a frame was just pushed there, so the stub takes two more dwords of the stack
//! to get hold of DS. The flags in the frame are replaced by 0 once they are saved, so that those which are
//! undefined do not count as memory. What the case changed in the arena is reported as pairs of address and
//! value, and put back.

use super::layout::{
    ARENA, ARENA_BYTES, BOOT_BYTES, CASES, Entry, IDT, IMAGE, IMAGE_BYTES, MAGIC, PRISTINE, ROM_BYTES, SAVE,
    STACK_TOP, STAGE, VARS, arena, case, record, selector, var,
};
use anyhow::Result;
use iced_x86::BlockEncoderOptions;
use iced_x86::code_asm::*;

/// Vectors that have a stub.
pub const VECTORS: u32 = 0x40;
/// Above these the stub expects a frame of 16 bits.
pub const NARROW: u32 = 0x20;
/// What the record of a double fault names.
const DOUBLE_FAULT: u32 = 8;
/// Ends QEMU and the machine under test; Bochs ends by a word to another port.
const EXIT_PORT: u32 = 0xf4;
const SHUTDOWN_PORT: u32 = 0x8900;
const DEBUG_PORT: u32 = 0xe9;
/// Bytes from a case's code in the arena to the same place of its first state.
const BACK: u32 = ARENA - PRISTINE;
const VM: u32 = 1 << 17;
/// The BIOS data area.
const BIOS_DATA: u32 = 0x400;
const BIOS_DATA_BYTES: u32 = 0x100;
/// CR0 between cases: no paging, so that cases and results need not be mapped where a case could reach them.
const CR0: u32 = 0x31;

/// The code, for [`IMAGE`], whose first byte is the entry.
pub struct Harness {
    /// The bytes.
    pub code: Vec<u8>,
    /// Address of each vector's stub; those from [`VECTORS`] on are for gates of 16 bits.
    pub stubs: Vec<u32>,
    /// Where the task of double faults begins.
    pub task: u32,
}

fn at(offset: u32) -> AsmMemoryOperand {
    dword_ptr(VARS + offset)
}

fn saved(n: usize) -> AsmMemoryOperand {
    dword_ptr(SAVE + 4 * n as u32)
}

fn of(offset: u32) -> AsmMemoryOperand {
    dword_ptr(ebx + offset)
}

fn word_of(offset: u32) -> AsmMemoryOperand {
    word_ptr(ebx + offset)
}

/// Assembles it.
pub fn assemble() -> Result<Harness> {
    // The second time it is known where the stubs go.
    let (_, caught) = assemble_with(0)?;
    Ok(assemble_with(caught)?.0)
}

fn assemble_with(address: u32) -> Result<(Harness, u32)> {
    let mut a = CodeAssembler::new(32)?;
    let (mut next, mut caught) = (a.create_label(), a.create_label());
    start(&mut a)?;
    begin(&mut a, &mut next)?;
    let mut stubs = Vec::new();
    for n in 0..2 * VECTORS {
        let mut stub = a.create_label();
        a.set_label(&mut stub)?;
        let (vector, narrow) = (n % VECTORS, n >= VECTORS);
        if !matches!(vector, 8 | 10..=14 | 17) {
            a.push(0)?;
        }
        a.push((vector | u32::from(narrow) << 8) as i32)?;
        // Gates of 16 bits come by a segment with another base: jmp far CODE:caught.
        let [b0, b1, b2, b3] = address.to_le_bytes();
        a.db(&[0xea, b0, b1, b2, b3, selector::CODE as u8, 0])?;
        stubs.push(stub);
    }
    let mut task = a.create_label();
    a.set_label(&mut task)?;
    // A double fault comes by a task of its own, with nothing on its stack but the error code: the rest is in the TSS.
    a.pop(eax)?;
    for v in [2, selector::CODE as i32, 0] {
        a.push(v)?;
    }
    a.push(eax)?;
    a.push(DOUBLE_FAULT as i32)?;
    a.jmp(caught)?;
    take(&mut a, &mut caught)?;
    report(&mut a, next)?;
    let done = a.assemble_options(u64::from(IMAGE), BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
    let stubs = stubs.iter().map(|l| Ok(done.label_ip(l)? as u32)).collect::<Result<_>>()?;
    let (caught, task) = (done.label_ip(&caught)? as u32, done.label_ip(&task)? as u32);
    Ok((Harness { code: done.inner.code_buffer, stubs, task }, caught))
}

/// A ROM with the image and the cases: it copies them into RAM, clears the BIOS data area and jumps to the harness.
pub fn rom(image: &[u8], cases: &[u8]) -> Result<Vec<u8>> {
    let mut rom = vec![0xf4; ROM_BYTES];
    rom[..image.len()].copy_from_slice(image);
    rom[IMAGE_BYTES..][..cases.len()].copy_from_slice(cases);
    let boot = &mut rom[ROM_BYTES - BOOT_BYTES..];
    // At F000:0100 the pointer to the table at F000:0110: flat code, flat data.
    boot[0x100..0x106].copy_from_slice(&[0x17, 0, 0x10, 1, 0x0f, 0]);
    boot[0x110..0x118].fill(0);
    boot[0x118..0x120].copy_from_slice(&0x00cf_9b00_0000_ffffu64.to_le_bytes());
    boot[0x120..0x128].copy_from_slice(&0x00cf_9300_0000_ffffu64.to_le_bytes());
    let code = [
        0xfa, // cli
        0x2e, 0x0f, 0x01, 0x16, 0x00, 0x01, // lgdt cs:[0x100]
        0x0f, 0x20, 0xc0, // mov eax, cr0
        0x66, 0x25, 0xfe, 0xff, 0xff, 0x9f, // and eax, 0x9ffffffe: caches on
        0x66, 0x83, 0xc8, 0x01, // or eax, 1
        0x0f, 0x22, 0xc0, // mov cr0, eax
        0x66, 0xea, 0x00, 0x02, 0x0f, 0x00, 0x08, 0x00, // jmp 8:000f0200
    ];
    boot[..code.len()].copy_from_slice(&code);
    let mut a = CodeAssembler::new(32)?;
    a.mov(eax, selector::DATA)?;
    for s in [ds, es, ss] {
        a.mov(s, eax)?;
    }
    a.cld()?;
    // What firmware leaves for systems, or does not: cases may run into it.
    a.xor(eax, eax)?;
    a.mov(edi, BIOS_DATA)?;
    a.mov(ecx, BIOS_DATA_BYTES / 4)?;
    a.rep().stosd()?;
    let from = (ROM_BYTES as u32).wrapping_neg();
    for (from, to, bytes) in [(from, IMAGE, image.len()), (from + IMAGE_BYTES as u32, CASES, cases.len())] {
        a.mov(esi, from)?;
        a.mov(edi, to)?;
        a.mov(ecx, bytes as u32 / 4)?;
        a.rep().movsd()?;
    }
    a.mov(eax, IMAGE)?;
    a.jmp(eax)?;
    let code = a.assemble(0xf_0200)?;
    boot[0x200..0x200 + code.len()].copy_from_slice(&code);
    // jmp f000:0000
    boot[0xfff0..0xfff5].copy_from_slice(&[0xea, 0, 0, 0, 0xf0]);
    Ok(rom)
}

fn start(a: &mut CodeAssembler) -> Result<()> {
    a.mov(eax, selector::DATA)?;
    for s in [ds, es, fs, gs, ss] {
        a.mov(s, eax)?;
    }
    a.mov(esp, STACK_TOP)?;
    // No interrupt comes from outside.
    a.mov(al, 0xff)?;
    a.out(0x21, al)?;
    a.out(0xa1, al)?;
    a.cld()?;
    a.mov(esi, PRISTINE)?;
    a.mov(edi, ARENA)?;
    a.mov(ecx, ARENA_BYTES / 4)?;
    a.rep().movsd()?;
    tables(a)?;
    a.mov(eax, at(var::CR4))?;
    a.mov(cr4, eax)?;
    a.mov(eax, CR0 as i32)?;
    a.mov(cr0, eax)?;
    let mut quiet = a.create_label();
    a.cmp(at(var::STREAM), 0)?;
    a.je(quiet)?;
    for b in MAGIC {
        a.mov(al, u32::from(*b))?;
        a.out(DEBUG_PORT as i32, al)?;
    }
    a.set_label(&mut quiet)?;
    a.nop()?;
    Ok(())
}

/// GDTR and IDTR as the harness wants them.
fn tables(a: &mut CodeAssembler) -> Result<()> {
    for (base, bytes, gdt) in [(ARENA + arena::GDT, 8 * arena::GDT_ENTRIES, true), (IDT, 0x800, false)] {
        a.mov(at(var::SCRATCH), (bytes - 1) << 16)?;
        a.mov(at(var::SCRATCH + 4), base)?;
        let operand = ptr(VARS + var::SCRATCH + 2);
        if gdt { a.lgdt(operand)? } else { a.lidt(operand)? }
    }
    Ok(())
}

/// From the end of one case into the next.
fn begin(a: &mut CodeAssembler, next: &mut CodeLabel) -> Result<()> {
    let (mut go, mut left_out, mut outer, mut finish) =
        (a.create_label(), a.create_label(), a.create_label(), a.create_label());
    a.set_label(next)?;
    a.mov(ebx, at(var::INDEX))?;
    a.cmp(ebx, at(var::COUNT))?;
    a.jae(finish)?;
    a.mov(saved(record::INDEX), ebx)?;
    a.shl(ebx, case::BYTES.ilog2())?;
    a.add(ebx, CASES as i32)?;
    a.cmp(of(case::ENTRY), 0)?;
    a.jne(go)?;
    a.set_label(&mut left_out)?;
    a.inc(at(var::INDEX))?;
    a.jmp(*next)?;

    a.set_label(&mut go)?;
    a.mov(esi, ebx)?;
    a.mov(edi, STAGE)?;
    a.mov(ebx, edi)?;
    a.mov(ecx, case::BYTES / 4)?;
    a.rep().movsd()?;
    a.mov(edi, of(case::CODE_AT))?;
    a.mov(at(var::CODE), edi)?;
    for back in [0, BACK] {
        a.lea(esi, of(case::CODE))?;
        a.mov(edi, of(case::CODE_AT))?;
        a.sub(edi, back as i32)?;
        a.mov(ecx, case::CODE_BYTES as u32 / 4)?;
        a.rep().movsd()?;
    }
    // An available TSS; loading it makes it busy again.
    a.mov(byte_ptr(ARENA + arena::GDT + selector::TSS + 5), 0x89)?;
    a.mov(eax, selector::TSS)?;
    a.ltr(ax)?;
    a.lldt(word_of(case::LDT))?;
    a.mov(eax, of(case::CR2))?;
    a.mov(cr2, eax)?;
    a.mov(eax, of(case::CR4))?;
    a.mov(cr4, eax)?;
    a.mov(eax, at(var::CR3))?;
    a.mov(cr3, eax)?;
    a.mov(eax, of(case::CR0))?;
    a.mov(cr0, eax)?;
    // What can only be loaded at the end.
    for (from, to) in [
        (case::EIP, var::FAR),
        (case::CS, var::FAR + 4),
        (case::EBX, var::EBX),
        (case::ESI, var::ESI),
        (case::DS, var::DS),
    ] {
        a.mov(eax, of(from))?;
        a.mov(at(to), eax)?;
    }
    let mut real = a.create_label();
    a.cmp(of(case::ENTRY), Entry::V86 as i32)?;
    a.je(real)?;
    a.mov(es, word_of(case::ES))?;
    a.mov(fs, word_of(case::FS))?;
    a.mov(gs, word_of(case::GS))?;
    a.set_label(&mut real)?;
    for (register, from) in [(ecx, case::ECX), (edx, case::EDX), (ebp, case::EBP), (edi, case::EDI)] {
        a.mov(register, of(from))?;
    }
    a.cmp(of(case::ENTRY), Entry::Same as i32)?;
    a.jne(outer)?;
    // All the flags: VIF and VIP, too, which POPF leaves alone.
    let (mut iret, mut flagged) = (a.create_label(), a.create_label());
    a.push(of(case::FLAGS))?;
    a.push(selector::CODE as i32)?;
    a.call(iret)?;
    a.jmp(flagged)?;
    a.set_label(&mut iret)?;
    a.iretd()?;
    a.set_label(&mut flagged)?;
    a.lss(esp, of(case::ESP))?;
    a.mov(eax, of(case::EAX))?;
    a.mov(ebx, at(var::EBX))?;
    a.mov(esi, at(var::ESI))?;
    a.mov(ds, word_ptr(VARS + var::DS))?;
    a.jmp(fword_ptr(VARS + var::FAR).cs())?;

    a.set_label(&mut outer)?;
    // Only virtual-8086 mode takes these four.
    for from in
        [case::GS, case::FS, case::DS, case::ES, case::SS, case::ESP, case::FLAGS, case::CS, case::EIP]
    {
        a.push(of(from))?;
    }
    let mut iret = a.create_label();
    a.cmp(of(case::ENTRY), Entry::V86 as i32)?;
    a.mov(eax, of(case::EAX))?;
    a.mov(ebx, at(var::EBX))?;
    a.mov(esi, at(var::ESI))?;
    a.je(iret)?;
    a.mov(ds, word_ptr(VARS + var::DS))?;
    a.set_label(&mut iret)?;
    a.iretd()?;

    a.set_label(&mut finish)?;
    a.mov(edx, SHUTDOWN_PORT)?;
    for b in b"Shutdown" {
        a.mov(al, u32::from(*b))?;
        a.out(dx, al)?;
    }
    a.mov(eax, 0)?;
    a.out(EXIT_PORT as i32, al)?;
    a.cli()?;
    a.hlt()?;
    Ok(())
}

/// From a stub to the harness's own state, with everything of the case saved.
fn take(a: &mut CodeAssembler, caught: &mut CodeLabel) -> Result<()> {
    let labels: [CodeLabel; 7] = std::array::from_fn(|_| a.create_label());
    let [mut narrow, mut framed, mut outer, mut narrow_outer, mut v86, mut known, mut same] = labels;
    a.set_label(caught)?;
    a.push(eax)?;
    a.mov(eax, ds)?;
    a.push(eax)?;
    a.mov(eax, selector::DATA)?;
    a.mov(ds, eax)?;
    a.pop(saved(record::DS))?;
    a.pop(saved(record::EAX))?;
    for (n, register) in [ecx, edx, ebx].into_iter().enumerate() {
        a.mov(saved(record::EAX + 1 + n), register)?;
    }
    for (n, register) in [ebp, esi, edi].into_iter().enumerate() {
        a.mov(saved(record::EAX + 5 + n), register)?;
    }
    for (n, register) in [(record::ES, es), (record::FS, fs), (record::GS, gs)] {
        a.mov(eax, register)?;
        a.mov(saved(n), eax)?;
    }
    a.pop(saved(record::INFO))?;
    a.pop(saved(record::ERROR))?;
    for n in [record::EIP, record::CS, record::FLAGS] {
        a.mov(saved(n), 0)?;
    }
    a.test(saved(record::INFO), 0x100)?;
    a.jnz(narrow)?;
    for n in [record::EIP, record::CS, record::FLAGS] {
        a.pop(saved(n))?;
    }
    a.push(0)?;
    a.pop(at(var::SCRATCH))?;
    a.jmp(framed)?;
    a.set_label(&mut narrow)?;
    for n in [record::EIP, record::CS, record::FLAGS] {
        a.pop(word_ptr(SAVE + 4 * n as u32))?;
    }
    a.xor(eax, eax)?;
    a.push(ax)?;
    a.pop(word_ptr(VARS + var::SCRATCH))?;
    a.set_label(&mut framed)?;
    a.test(saved(record::FLAGS), VM as i32)?;
    a.jnz(outer)?;
    a.test(saved(record::CS), 3)?;
    a.jz(same)?;
    a.set_label(&mut outer)?;
    a.test(saved(record::INFO), 0x100)?;
    a.jnz(narrow_outer)?;
    a.pop(saved(record::EAX + 4))?;
    a.pop(saved(record::SS))?;
    a.test(saved(record::FLAGS), VM as i32)?;
    a.jnz(v86)?;
    a.jmp(known)?;
    a.set_label(&mut v86)?;
    for n in [record::ES, record::DS, record::FS, record::GS] {
        a.pop(saved(n))?;
    }
    a.jmp(known)?;
    a.set_label(&mut narrow_outer)?;
    for n in [record::EAX + 4, record::SS] {
        a.mov(saved(n), 0)?;
        a.pop(word_ptr(SAVE + 4 * n as u32))?;
    }
    a.jmp(known)?;
    a.set_label(&mut same)?;
    a.mov(saved(record::EAX + 4), esp)?;
    a.mov(eax, ss)?;
    a.mov(saved(record::SS), eax)?;
    a.set_label(&mut known)?;
    a.mov(eax, selector::DATA)?;
    a.mov(ss, eax)?;
    a.mov(esp, STACK_TOP)?;
    a.mov(es, eax)?;
    a.push(2)?;
    a.popfd()?;
    Ok(())
}

/// The registers of the system and what changed in memory; then the next case.
fn report(a: &mut CodeAssembler, next: CodeLabel) -> Result<()> {
    for (n, register) in [(record::CR0, cr0), (record::CR2, cr2), (record::CR3, cr3), (record::CR4, cr4)] {
        a.mov(eax, register)?;
        a.mov(saved(n), eax)?;
    }
    for (n, register) in [dr0, dr1, dr2, dr3, dr6, dr7].into_iter().enumerate() {
        a.mov(eax, register)?;
        a.mov(saved(record::DR + n), eax)?;
    }
    a.sldt(word_ptr(SAVE + 4 * record::SYSTEM as u32))?;
    a.str(word_ptr(SAVE + 4 * record::SYSTEM as u32 + 2))?;
    a.mov(saved(record::GDTR), 0)?;
    a.mov(saved(record::IDTR), 0)?;
    a.sgdt(ptr(SAVE + 4 * record::GDTR as u32 + 2))?;
    a.sidt(ptr(SAVE + 4 * record::IDTR as u32 + 2))?;
    a.xor(eax, eax)?;
    a.mov(dr7, eax)?;
    for register in [dr0, dr1, dr2, dr3] {
        a.mov(register, eax)?;
    }
    a.mov(eax, 0xffff_0ff0u32)?;
    a.mov(dr6, eax)?;
    a.mov(eax, CR0 as i32)?;
    a.mov(cr0, eax)?;
    // Bytes that are none of a case's may be x87 instructions.
    a.fninit()?;
    a.mov(eax, at(var::CR4))?;
    a.mov(cr4, eax)?;
    tables(a)?;
    a.xor(ebp, ebp)?;
    a.mov(edx, SAVE + 4 * record::HEAD as u32)?;
    a.mov(ebx, VARS + var::PIECES)?;
    let labels: [CodeLabel; 5] = std::array::from_fn(|_| a.create_label());
    let [mut piece, mut more, mut full, mut over, mut all] = labels;
    a.set_label(&mut piece)?;
    a.mov(esi, dword_ptr(ebx))?;
    a.test(esi, esi)?;
    a.jz(all)?;
    a.lea(edi, dword_ptr(esi - BACK as i32))?;
    a.mov(ecx, dword_ptr(ebx + 4))?;
    a.set_label(&mut more)?;
    a.repe().cmpsd()?;
    a.je(over)?;
    a.cmp(ebp, record::MOST_CHANGES as i32)?;
    a.jae(full)?;
    a.lea(eax, dword_ptr(esi - 4))?;
    a.mov(dword_ptr(edx), eax)?;
    a.mov(eax, dword_ptr(esi - 4))?;
    a.mov(dword_ptr(edx + 4), eax)?;
    a.add(edx, 8)?;
    a.set_label(&mut full)?;
    a.inc(ebp)?;
    a.mov(eax, dword_ptr(edi - 4))?;
    a.mov(dword_ptr(esi - 4), eax)?;
    a.test(ecx, ecx)?;
    a.jnz(more)?;
    a.set_label(&mut over)?;
    a.add(ebx, 8)?;
    a.jmp(piece)?;
    a.set_label(&mut all)?;
    a.mov(saved(record::CHANGES), ebp)?;
    a.mov(eax, 0xcccc_ccccu32)?;
    for back in [0, BACK] {
        a.mov(edi, at(var::CODE))?;
        a.sub(edi, back as i32)?;
        a.mov(ecx, case::CODE_BYTES as u32 / 4)?;
        a.rep().stosd()?;
    }
    a.mov(esi, SAVE)?;
    a.mov(ecx, edx)?;
    a.sub(ecx, esi)?;
    a.inc(at(var::INDEX))?;
    // Memory gets it in any case: a case that strays there finds the same everywhere.
    a.mov(edi, at(var::RESULT))?;
    a.shr(ecx, 2)?;
    a.rep().movsd()?;
    a.mov(at(var::RESULT), edi)?;
    a.cmp(at(var::STREAM), 0)?;
    a.je(next)?;
    a.mov(esi, SAVE)?;
    a.mov(ecx, edx)?;
    a.sub(ecx, esi)?;
    a.mov(edx, DEBUG_PORT)?;
    a.rep().outsb()?;
    a.jmp(next)?;
    Ok(())
}
