//! One Multiboot image that runs all the guests one after the other and prints what each kept.
//!
//! ```text
//! 0x08000  where the second processor starts, in real mode
//! 0x09000  [`RESULTS`] and the other words that guest, page-fault handler and second processor share; GDT, IDT
//! 0x80000  stacks
//! 1 MiB    the image
//! 2 MiB    [`DIRECTORY`], [`TABLE`] of linear 0, [`TABLE2`] of [`WINDOW`], [`TABLE3`] for the guests to name
//! 3 MiB    [`FRAME_A`], [`FRAME_B`]
//! 7 MiB    [`FRAME_C`]: in the page of 4 MiB at physical 4 MiB what [`FRAME_A`] is in that at 0
//! ```
//!
//! Before each guest the tables stand as on a fresh machine: linear 0 to 4 MiB onto itself, [`WINDOW`] onto
//! [`FRAME_A`], nothing else; paging is off, CR4 and the shared words are 0.

use std::fmt::Write as _;

use anyhow::Result;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::guests::GUESTS;

/// What guests are written with.
pub type Code = CodeAssembler;
/// What writing an instruction gives.
pub type Written = Result<(), IcedError>;

/// The page directory; with PAE, the four PDPTEs.
pub const DIRECTORY: u32 = 0x20_0000;
/// The page table of linear 0.
pub const TABLE: u32 = 0x20_1000;
/// The page table of [`WINDOW`].
pub const TABLE2: u32 = 0x20_2000;
/// A second table for [`WINDOW`], all of it onto [`FRAME_B`].
pub const TABLE3: u32 = 0x20_3000;
/// Two pages for the directories of a guest with PAE.
pub const PAE_DIRECTORIES: u32 = 0x20_4000;
/// The linear address that guests map.
pub const WINDOW: u32 = 0x40_0000;
/// A frame that begins with [`A`].
pub const FRAME_A: u32 = 0x30_0000;
/// A frame that begins with [`B`].
pub const FRAME_B: u32 = 0x30_1000;
/// A frame that begins with [`C`].
pub const FRAME_C: u32 = 0x70_0000;
/// First dword of [`FRAME_A`].
pub const A: u32 = 0xaaaa_0001;
/// First dword of [`FRAME_B`].
pub const B: u32 = 0xbbbb_0002;
/// First dword of [`FRAME_C`].
pub const C: u32 = 0xcccc_0003;

/// CR4.PSE.
pub const PSE: u32 = 1 << 4;
/// CR4.PAE.
pub const PAE: u32 = 1 << 5;
/// CR4.PGE.
pub const PGE: u32 = 1 << 7;
/// CR0.WP and CR0.PG.
const WP_PG: u32 = 1 << 16 | 1 << 31;

/// The dwords that a guest hands on, [`KEPT`] of them.
const RESULTS: u32 = 0x9000;
/// Dwords of a result.
pub const KEPT: usize = 4;
/// Page faults taken.
pub const FAULTS: u32 = RESULTS + 0x40;
/// The error code of the last.
pub const FAULT_CODE: u32 = FAULTS + 4;
/// From this fault on the handler steps over the instruction, one of five bytes.
const SKIP_FROM: u32 = FAULTS + 8;
/// What the second processor shall do; 0: it has done it.
const COMMAND: u32 = RESULTS + 0x80;
/// What it read.
const ANSWER: u32 = COMMAND + 4;

const LOAD: u32 = 0x10_0000;
const ENTRY: u32 = LOAD + 0x20;
/// The image's code begins with near jumps of this length, so that these addresses are known to tables.
const JUMP: u32 = 5;
const FLAT: u32 = ENTRY + JUMP;
const FAULT: u32 = ENTRY + 2 * JUMP;
const SECOND: u32 = ENTRY + 3 * JUMP;
const START: u32 = 0x8000;
const GDT: u32 = 0x9400;
const GDTR: u32 = GDT + 0x40;
const IDTR: u32 = GDT + 0x48;
const IDT: u32 = 0xa000;
const STACK: u32 = 0x8_0000;
const STACK2: u32 = 0x8_2000;
const APIC_ICR: u32 = 0xfee0_0300;
const COM1: u32 = 0x3f8;

/// Turns paging on, with CR0.WP and these bits of CR4.
pub fn paging(a: &mut Code, cr4_bits: u32) -> Written {
    a.mov(eax, cr4_bits)?;
    a.mov(cr4, eax)?;
    a.mov(eax, cr0)?;
    a.or(eax, WP_PG as i32)?;
    a.mov(cr0, eax)
}

/// Hands on EAX as dword `n` of the result.
pub fn keep(a: &mut Code, n: usize) -> Written {
    a.mov(dword_ptr(RESULTS + 4 * n as u32), eax)
}

/// Reads the dword at `address` and hands it on.
pub fn look(a: &mut Code, address: u32, n: usize) -> Written {
    a.mov(eax, dword_ptr(address))?;
    keep(a, n)
}

/// Writes a page-table entry, or any dword.
pub fn put(a: &mut Code, address: u32, value: u32) -> Written {
    a.mov(dword_ptr(address), value as i32)
}

/// `invlpg`.
pub fn invlpg(a: &mut Code, address: u32) -> Written {
    a.invlpg(ptr(address))
}

/// Loads CR3 with what it holds.
pub fn reload_cr3(a: &mut Code) -> Written {
    a.mov(eax, cr3)?;
    a.mov(cr3, eax)
}

/// Changes bits of CR4 and changes them back.
pub fn toggle_cr4(a: &mut Code, bits: u32) -> Written {
    a.mov(eax, cr4)?;
    a.xor(eax, bits as i32)?;
    a.mov(cr4, eax)?;
    a.xor(eax, bits as i32)?;
    a.mov(cr4, eax)
}

/// Stores EAX at `address` by an instruction of five bytes, over which the handler can step.
pub fn store(a: &mut Code, address: u32) -> Written {
    let [b0, b1, b2, b3] = address.to_le_bytes();
    a.db(&[0xa3, b0, b1, b2, b3])
}

/// Lets the handler step over the instruction that faults.
pub fn step_over_faults(a: &mut Code) -> Written {
    put(a, SKIP_FROM, 1)
}

/// What the second processor can be told.
#[derive(Clone, Copy)]
pub enum Order {
    /// Turn paging on.
    Page = 1,
    /// Read the dword at [`WINDOW`].
    Read,
    /// `invlpg` [`WINDOW`].
    Invlpg,
    /// Turn paging off.
    Stop,
}

/// Has the second processor do something and waits until it is done.
pub fn second(a: &mut Code, order: Order) -> Written {
    put(a, COMMAND, order as u32)?;
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.cmp(dword_ptr(COMMAND), 0)?;
    a.jne(again)
}

/// Has the second processor read the window, and hands on what it saw.
pub fn second_looks(a: &mut Code, n: usize) -> Written {
    second(a, Order::Read)?;
    look(a, ANSWER, n)
}

/// The image.
pub fn image() -> Result<Vec<u8>> {
    let mut code = guest_code()?;
    let (magic, flags) = (0x1bad_b002u32, 1u32 << 16);
    let mut image = Vec::new();
    for word in [magic, flags, 0u32.wrapping_sub(magic).wrapping_sub(flags), LOAD, LOAD, 0, 0, ENTRY] {
        image.extend(word.to_le_bytes());
    }
    image.append(&mut code);
    Ok(image)
}

fn guest_code() -> Result<Vec<u8>> {
    let mut a = CodeAssembler::new(32)?;
    let mut main = a.create_label();
    let mut flat = a.create_label();
    let mut reset = a.create_label();
    let mut report = a.create_label();
    let mut digit = a.create_label();
    let mut send = a.create_label();
    let mut fault = a.create_label();
    let mut second = a.create_label();

    for target in [main, flat, fault, second] {
        a.jmp(target)?;
    }
    // Too far for short jumps.
    for _ in 0..16 {
        a.db(&[0x90; 8])?;
    }
    a.set_label(&mut main)?;
    a.cli()?;
    a.mov(esp, STACK)?;
    tables(&mut a)?;
    far_jump(&mut a, FLAT)?;
    a.set_label(&mut flat)?;
    data_segments(&mut a)?;
    line(&mut a)?;
    start_second(&mut a)?;
    for (number, guest) in GUESTS.iter().enumerate() {
        a.call(reset)?;
        (guest.code)(&mut a)?;
        a.mov(edi, number as u32)?;
        a.call(report)?;
    }
    print(&mut a, send, "result end\n")?;
    a.mov(eax, 0x10)?;
    a.mov(edx, 0xf4)?;
    a.out(dx, eax)?;
    let mut end = a.create_label();
    a.set_label(&mut end)?;
    a.hlt()?;
    a.jmp(end)?;

    a.set_label(&mut reset)?;
    put_back(&mut a)?;
    a.set_label(&mut report)?;
    report_one(&mut a, digit, send)?;
    a.set_label(&mut digit)?;
    print_hex(&mut a, send)?;
    a.set_label(&mut send)?;
    send_al(&mut a)?;
    a.set_label(&mut fault)?;
    handle_fault(&mut a)?;
    a.set_label(&mut second)?;
    obey(&mut a)?;
    Ok(a.assemble(u64::from(ENTRY))?)
}

/// Flat segments, and the page-fault handler's gate.
fn tables(a: &mut Code) -> Written {
    for (n, word) in [0u32, 0, 0xffff, 0x00cf_9b00, 0xffff, 0x00cf_9300].into_iter().enumerate() {
        put(a, GDT + 4 * n as u32, word)?;
    }
    put(a, GDTR, GDT << 16 | 23)?;
    put(a, GDTR + 4, GDT >> 16)?;
    put(a, IDTR, IDT << 16 | 0x7ff)?;
    put(a, IDTR + 4, IDT >> 16)?;
    put(a, IDT + 14 * 8, FAULT & 0xffff | 8 << 16)?;
    put(a, IDT + 14 * 8 + 4, FAULT & 0xffff_0000 | 0x8e00)?;
    a.lgdt(ptr(GDTR))?;
    a.lidt(ptr(IDTR))
}

/// `jmp 8:target` with an offset of 32 bits, from 32-bit code.
fn far_jump(a: &mut Code, target: u32) -> Written {
    let [b0, b1, b2, b3] = target.to_le_bytes();
    a.db(&[0xea, b0, b1, b2, b3, 8, 0])
}

fn data_segments(a: &mut Code) -> Written {
    a.mov(eax, 0x10)?;
    a.mov(ds, eax)?;
    a.mov(es, eax)?;
    a.mov(ss, eax)
}

/// 115,200 baud, 8 bits, no interrupts.
fn line(a: &mut Code) -> Written {
    for (port, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
        a.mov(edx, COM1 + port)?;
        a.mov(eax, value)?;
        a.out(dx, al)?;
    }
    Ok(())
}

/// Starts the second processor by INIT and SIPI, and waits for it.
fn start_second(a: &mut Code) -> Written {
    let mut real = CodeAssembler::new(16)?;
    real.cli()?;
    real.xor(ax, ax)?;
    real.mov(ds, eax)?;
    real.lgdt(ptr(GDTR))?;
    real.mov(eax, cr0)?;
    real.or(al, 1)?;
    real.mov(cr0, eax)?;
    // An offset of 32 bits from 16-bit code.
    real.db(&[0x66])?;
    far_jump(&mut real, SECOND)?;
    let mut start = real.assemble(u64::from(START))?;
    start.resize(start.len().next_multiple_of(4), 0x90);
    for (n, word) in start.chunks(4).enumerate() {
        put(a, START + 4 * n as u32, u32::from_le_bytes([word[0], word[1], word[2], word[3]]))?;
    }
    put(a, COMMAND, 1)?;
    put(a, APIC_ICR, 0x000c_4500)?;
    a.mov(ecx, 1_000_000)?;
    let mut pause = a.create_label();
    a.set_label(&mut pause)?;
    a.dec(ecx)?;
    a.jnz(pause)?;
    put(a, APIC_ICR, 0x000c_4600 | START >> 12)?;
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.cmp(dword_ptr(COMMAND), 0)?;
    a.jne(again)
}

/// What the second processor does: what it is told, for ever.
fn obey(a: &mut Code) -> Written {
    data_segments(a)?;
    a.mov(esp, STACK2)?;
    a.lidt(ptr(IDTR))?;
    let mut done = a.create_label();
    let mut next = a.create_label();
    a.set_label(&mut done)?;
    put(a, COMMAND, 0)?;
    a.set_label(&mut next)?;
    a.mov(ebx, dword_ptr(COMMAND))?;
    for order in [Order::Page, Order::Read, Order::Invlpg, Order::Stop] {
        let mut other = a.create_label();
        a.cmp(ebx, order as i32)?;
        a.jne(other)?;
        match order {
            Order::Page => {
                a.mov(eax, DIRECTORY)?;
                a.mov(cr3, eax)?;
                paging(a, 0)?;
            }
            Order::Read => {
                a.mov(eax, dword_ptr(WINDOW))?;
                a.mov(dword_ptr(ANSWER), eax)?;
            }
            Order::Invlpg => invlpg(a, WINDOW)?,
            Order::Stop => paging_off(a)?,
        }
        a.jmp(done)?;
        a.set_label(&mut other)?;
    }
    a.pause()?;
    a.jmp(next)
}

/// Turns paging off.
pub fn paging_off(a: &mut Code) -> Written {
    a.mov(eax, cr0)?;
    a.and(eax, !WP_PG as i32)?;
    a.mov(cr0, eax)
}

/// A subroutine: the state that every guest begins in.
fn put_back(a: &mut Code) -> Written {
    paging_off(a)?;
    a.xor(eax, eax)?;
    a.mov(cr4, eax)?;
    a.mov(edi, RESULTS)?;
    a.mov(ecx, 0x20)?;
    a.rep().stosd()?;
    put(a, SKIP_FROM, 4)?;
    // Both directories and all tables, then what is in them.
    a.mov(edi, DIRECTORY)?;
    a.mov(ecx, 6 * 1024)?;
    a.rep().stosd()?;
    put(a, DIRECTORY, TABLE | 7)?;
    put(a, DIRECTORY + 4, TABLE2 | 7)?;
    a.mov(edi, TABLE)?;
    a.mov(eax, 3)?;
    fill(a, 1024, 4096)?;
    put(a, TABLE2, FRAME_A | 3)?;
    a.mov(edi, TABLE3)?;
    a.mov(eax, FRAME_B | 3)?;
    fill(a, 1024, 0)?;
    for (frame, content) in [(FRAME_A, A), (FRAME_B, B), (FRAME_C, C)] {
        put(a, frame, content)?;
    }
    a.mov(eax, DIRECTORY)?;
    a.mov(cr3, eax)?;
    a.ret()
}

/// Stores `count` dwords at EDI, the first one EAX, each greater by `step`.
fn fill(a: &mut Code, count: u32, step: i32) -> Written {
    a.mov(ecx, count)?;
    let mut next = a.create_label();
    a.set_label(&mut next)?;
    a.stosd()?;
    a.add(eax, step)?;
    a.dec(ecx)?;
    a.jnz(next)
}

/// A subroutine: prints `guest`, the number in EDI, and the results.
fn report_one(a: &mut Code, digit: CodeLabel, send: CodeLabel) -> Written {
    print(a, send, "guest ")?;
    a.mov(ebx, edi)?;
    a.call(digit)?;
    for n in 0..KEPT {
        print(a, send, " ")?;
        a.mov(ebx, dword_ptr(RESULTS + 4 * n as u32))?;
        a.call(digit)?;
    }
    print(a, send, "\n")?;
    a.ret()
}

fn print(a: &mut Code, send: CodeLabel, text: &str) -> Written {
    for byte in text.bytes() {
        a.mov(eax, u32::from(byte))?;
        a.call(send)?;
    }
    Ok(())
}

/// A subroutine: prints EBX as eight hexadecimal digits.
fn print_hex(a: &mut Code, send: CodeLabel) -> Written {
    a.mov(ecx, 8)?;
    let mut next = a.create_label();
    let mut decimal = a.create_label();
    a.set_label(&mut next)?;
    a.rol(ebx, 4)?;
    a.mov(eax, ebx)?;
    a.and(eax, 15)?;
    a.add(eax, i32::from(b'0'))?;
    a.cmp(eax, i32::from(b'9'))?;
    a.jbe(decimal)?;
    a.add(eax, i32::from(b'a' - b'9' - 1))?;
    a.set_label(&mut decimal)?;
    a.call(send)?;
    a.dec(ecx)?;
    a.jnz(next)?;
    a.ret()
}

/// A subroutine: sends AL when the line is free.
fn send_al(a: &mut Code) -> Written {
    a.push(eax)?;
    a.mov(edx, COM1 + 5)?;
    let mut busy = a.create_label();
    a.set_label(&mut busy)?;
    a.in_(al, dx)?;
    a.test(al, 0x20)?;
    a.jz(busy)?;
    a.pop(eax)?;
    a.mov(edx, COM1)?;
    a.out(dx, al)?;
    a.ret()
}

/// Counts the fault, and lets the instruction be tried again or steps over it.
fn handle_fault(a: &mut Code) -> Written {
    a.push(eax)?;
    a.mov(eax, dword_ptr(esp + 4))?;
    a.mov(dword_ptr(FAULT_CODE), eax)?;
    a.inc(dword_ptr(FAULTS))?;
    a.mov(eax, dword_ptr(FAULTS))?;
    a.cmp(eax, dword_ptr(SKIP_FROM))?;
    let mut retry = a.create_label();
    a.jb(retry)?;
    a.add(dword_ptr(esp + 8), 5)?;
    a.set_label(&mut retry)?;
    a.pop(eax)?;
    a.add(esp, 4)?;
    a.iretd()
}

/// A result as it is printed.
pub fn words(values: &[u32]) -> String {
    let mut text = String::new();
    for n in 0..KEPT {
        let _ = write!(text, "{}{:08x}", if n == 0 { "" } else { " " }, values.get(n).unwrap_or(&0));
    }
    text
}
