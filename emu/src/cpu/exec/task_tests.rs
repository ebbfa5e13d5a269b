//! Tests of hardware task switches, on the processor of `system_tests.rs`.

use super::super::system::tests::*;
use super::super::{far, interrupt};
use crate::cpu::exception::{Exception, vector};
use crate::cpu::flags::{IF, NT, RF, VM};
use crate::cpu::op::{CS, DS, ES, FS, Flow, GS, Op, SS};
use crate::cpu::segment::Segment;
use crate::cpu::{Cpu, cr0, cr4};
use crate::ledger::Kind;

/// The other task's TSS, its descriptor, and a 16-bit TSS.
const OTHER: u32 = 0x3800;
const OTHER_SEL: u16 = 0x60;
const NARROW: u32 = 0x3a00;
const NARROW_SEL: u16 = 0x68;
/// A task gate to [`OTHER_SEL`] that ring 3 may use.
const TASK_GATE: u16 = 0x70;
const LDT: u32 = 0x3c00;
const LDT_OTHER: u16 = 0x78;
const CONFORMING: u16 = 0x80;
const ABSENT_LDT: u16 = 0x88;
const ABSENT_CODE: u16 = 0x90;
const READ_ONLY: u16 = 0x98;
const EXECUTE_ONLY: u16 = 0xa0;
const LIMIT: u16 = 0xaf;
/// Stack of ring 0 in the other task.
const OTHER_STACK0: u32 = 0xb000;

/// A selector with RPL 3.
fn user(selector: u16) -> u32 {
    u32::from(selector | 3)
}

/// The processor in its first task, in ring 0, and another task, for ring 3.
fn tasks() -> Rig {
    let mut r = rig();
    for (selector, d) in [
        (OTHER_SEL, 0x0000_8900_3800_0067),
        (NARROW_SEL, 0x0000_8100_3a00_002b),
        (TASK_GATE, 0x0000_e500_0060_0000),
        (LDT_OTHER, 0x0000_8200_3c00_000f),
        (CONFORMING, 0x00cf_9f00_0000_ffff),
        (ABSENT_LDT, 0x0000_0200_3c00_000f),
        (ABSENT_CODE, 0x00cf_7b00_0000_ffff),
        (READ_ONLY, 0x00cf_f100_0000_ffff),
        (EXECUTE_ONLY, 0x00cf_f900_0000_ffff),
    ] {
        r.poke64(GDT + u32::from(selector), d);
    }
    r.cpu.gdtr.limit = LIMIT;
    r.poke64(LDT + 8, 0x00cf_f200_0000_ffff);
    for (at, v) in [
        (0x04, OTHER_STACK0),
        (0x08, u32::from(DATA0)),
        (0x1c, 0),
        (0x20, 0x7000),
        (0x24, 0xffff_0202 & !(NT | VM | 0x0001_0000)), // reserved bits are dropped
        (0x48, u32::from(DATA3)),
        (0x4c, u32::from(CODE3)),
        (0x50, u32::from(DATA3)),
        (0x54, u32::from(DATA3)),
        (0x58, 0x0f), // the second entry of its LDT
        (0x5c, 0),
        (0x60, u32::from(LDT_OTHER)),
        (0x64, 0x68 << 16),
    ] {
        r.poke32(OTHER + at, v);
    }
    for n in 0..8 {
        r.poke32(OTHER + 0x28 + 4 * n, 0x1111_1110 + n);
        r.cpu.regs[n as usize] = 0xaaaa_0000 + n;
    }
    r.poke32(OTHER + 0x38, 0x9100); // ESP
    r.cpu.regs[4] = STACK0 - 0x100;
    for (n, v) in (0..10).zip([0x7100, 0x0202, 1, 2, 3, 4, 0x9200, 6, 7, 8]) {
        poke16(&mut r, NARROW + 0x0e + 2 * n, v);
    }
    for (n, v) in (0..5).zip([DATA3, CODE3, DATA3, DATA3, 0]) {
        poke16(&mut r, NARROW + 0x22 + 2 * n, v);
    }
    r
}

fn poke16(r: &mut Rig, at: u32, v: u16) {
    assert!(r.bus.ram.poke(u64::from(at), &v.to_le_bytes()));
}

fn peek16(r: &Rig, at: u32) -> u16 {
    r.peek32(at) as u16
}

fn to(selector: u16) -> Op {
    Op { disp: u32::from(selector), len: 7, ..op() }
}

/// Type of the TSS descriptor.
fn kind(r: &Rig, selector: u16) -> u32 {
    r.peek32(GDT + u32::from(selector & !7) + 4) >> 8 & 15
}

#[test]
fn a_jump_saves_one_task_and_loads_the_other() {
    let mut r = tasks();
    r.cpu.flags.set(IF | 1);
    r.cpu.dr[7] = 0x7ff;
    let segments: Vec<u16> = (0..6).map(|n| r.selector(n)).collect();
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
    // The new one.
    assert_eq!((r.cpu.eip, r.cpu.cpl, r.cpu.tr.selector), (0x7000, 3, OTHER_SEL));
    for n in [0, 1, 2, 3, 5, 6, 7] {
        assert_eq!(r.cpu.regs[n as usize], 0x1111_1110 + n);
    }
    assert_eq!(r.cpu.regs[4], 0x9100);
    let flags = r.cpu.flags.get();
    assert_eq!(flags & (IF | NT | VM | RF | 2), IF | 2);
    assert_eq!(flags & 0xffc0_0028, 0, "reserved bits");
    assert_eq!([ES, CS, SS, DS, FS, GS].map(|n| r.selector(n)), [DATA3, CODE3, DATA3, DATA3, 0x0f, 0]);
    assert!(r.cpu.seg[usize::from(FS)].writable() && !r.cpu.seg[usize::from(GS)].readable());
    assert_eq!(r.peek32(LDT + 12) >> 8 & 1, 1, "the descriptor was accessed");
    assert_eq!((r.cpu.ldtr.selector, r.cpu.ldtr.base), (LDT_OTHER, LDT));
    assert_ne!(r.cpu.cr0 & cr0::TS, 0);
    assert_eq!(r.cpu.dr[7], 0x6aa, "local breakpoints are the old task's");
    assert_eq!(peek16(&r, OTHER), 0, "a jump leaves no link");
    // The old one.
    assert_eq!((r.peek32(TSS + 0x20), r.peek32(TSS + 0x24)), (0x4007, IF | 3));
    for n in [0, 1, 2, 3, 5, 6, 7] {
        assert_eq!(r.peek32(TSS + 0x28 + 4 * n), 0xaaaa_0000 + n);
    }
    assert_eq!(r.peek32(TSS + 0x38), STACK0 - 0x100);
    for (n, s) in (0..).zip(segments) {
        assert_eq!(peek16(&r, TSS + 0x48 + 4 * n), s);
    }
    assert_eq!((kind(&r, TSS_SEL), kind(&r, OTHER_SEL)), (9, 11));
    // From ring 3 through the gate, nothing else: back is a fault.
    let step = r.run(far::jmp_far_ptr, to(TSS_SEL));
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, u32::from(TSS_SEL)));
}

#[test]
fn a_call_nests_and_iret_returns() {
    for (selector, eip) in [(OTHER_SEL, 0x7000), (NARROW_SEL, 0x7100), (TASK_GATE, 0x7000)] {
        let mut r = tasks();
        let before = r.state();
        assert_eq!(r.run(far::call_far_ptr, to(selector)), Err(Flow::Branch));
        let tr = r.cpu.tr;
        assert_eq!((r.cpu.eip, r.cpu.cpl, r.cpu.flags.rest & NT), (eip, 3, NT));
        assert_eq!(peek16(&r, tr.base), TSS_SEL, "the link");
        assert_eq!(kind(&r, TSS_SEL), 11, "still busy");
        assert_eq!(kind(&r, tr.selector) & 3, 3);
        r.cpu.eip = 0x7300;
        assert_eq!(r.run(far::iret, op()), Err(Flow::Branch));
        assert_eq!((r.cpu.eip, r.cpu.cpl, r.cpu.tr.selector), (0x4007, 0, TSS_SEL));
        assert_eq!(r.state().0, before.0);
        assert_eq!(r.cpu.flags.get(), before.2);
        assert_eq!((kind(&r, TSS_SEL), kind(&r, tr.selector) & 3), (11, 1));
        let flags = if selector == NARROW_SEL { 0x10 } else { 0x24 };
        assert_eq!(r.peek32(tr.base + flags) & NT, 0, "iret clears NT in the image");
        let saved =
            if selector == NARROW_SEL { peek16(&r, NARROW + 0x0e).into() } else { r.peek32(OTHER + 0x20) };
        assert_eq!(saved, 0x7302);
    }
}

#[test]
fn a_narrow_task_has_the_low_halves() {
    let mut r = tasks();
    assert_eq!(r.run(far::jmp_far_ptr, to(NARROW_SEL)), Err(Flow::Branch));
    assert_eq!((r.cpu.regs[0] as u16, r.cpu.regs[4] as u16, r.cpu.regs[7] as u16), (1, 0x9200, 8));
    assert_eq!([ES, CS, SS, DS, FS, GS].map(|n| r.selector(n)), [DATA3, CODE3, DATA3, DATA3, 0, 0]);
    r.cpu.regs[3] = 0xffff_bbbb;
    r.cpu.cpl = 0;
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
    assert_eq!(peek16(&r, NARROW + 0x12 + 6), 0xbbbb);
    assert_eq!(peek16(&r, NARROW + 0x0e), 0x7107);
    assert_eq!(kind(&r, NARROW_SEL), 1);
}

#[test]
fn task_gates_of_the_idt_push_the_error_code_in_the_new_task() {
    let mut r = tasks();
    r.poke64(IDT + 8 * 14, 0x0000_8500_0060_0000);
    r.enter_ring3();
    let e = Exception::with_code(vector::PF, 6);
    interrupt::deliver_exception(&mut r.cpu, &mut r.bus, e).expect("delivered");
    assert_eq!((r.cpu.eip, r.cpu.cpl, r.cpu.regs[4]), (0x7000, 3, 0x9100 - 4));
    assert_eq!(r.peek32(0x9100 - 4), 6);
    assert_eq!((r.peek32(TSS + 0x20), r.peek32(TSS + 0x24) & RF), (0x5000, RF));
    assert_eq!((peek16(&r, OTHER), r.cpu.flags.rest & NT), (TSS_SEL, NT));
    assert_eq!((r.cpu.count.exceptions, r.cpu.count.page_faults), (1, 1));
    // An interrupt has no code; a 16-bit task gets a word.
    let mut r = tasks();
    r.poke64(IDT + 8 * 14, 0x0000_8500_0068_0000);
    interrupt::deliver_exception(&mut r.cpu, &mut r.bus, e).expect("delivered");
    assert_eq!((r.cpu.regs[4] as u16, peek16(&r, 0x9200 - 2)), (0x9200 - 2, 6));
    let mut r = tasks();
    r.poke64(IDT + 8 * 0x40, 0x0000_8500_0060_0000);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    assert_eq!(r.cpu.regs[4], 0x9100);
    // Software needs the gate's permission.
    let mut r = tasks();
    r.poke64(IDT + 8 * 0x40, 0x0000_8500_0060_0000);
    r.poke64(IDT + 8 * 0x41, 0x0000_e500_0060_0000);
    r.enter_ring3();
    let step = r.run(interrupt::int_n, Op { imm: 0x40, ..op() });
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, 0x40 * 8 + 2));
    assert_eq!(r.run(interrupt::int_n, Op { imm: 0x41, ..op() }), Err(Flow::Branch));
    assert_eq!((r.cpu.eip, r.peek32(TSS + 0x20)), (0x7000, 0x5002));
}

/// A descriptor for the selector 0Ch.
fn local(r: &mut Rig, d: u64) {
    r.poke64(LDT + 8, d);
    r.cpu.ldtr = Segment { base: LDT, limit: 15, ..r.cpu.tr };
}

/// Changes that make a switch fail in the old task: what, by which transfer, the fault.
#[test]
fn what_is_checked_before_the_switch_faults_in_the_old_task() {
    type Change = fn(&mut Rig);
    let descriptor = |r: &mut Rig, selector: u16, d: u64| r.poke64(GDT + u32::from(selector), d);
    let fault = |v, selector: u16| Exception::with_code(v, u32::from(selector));
    let busy: Change = |r| r.poke64(GDT + u32::from(OTHER_SEL), 0x0000_8b00_3800_0067);
    let absent: Change = |r| r.poke64(GDT + u32::from(OTHER_SEL), 0x0000_0900_3800_0067);
    let short: Change = |r| r.poke64(GDT + u32::from(OTHER_SEL), 0x0000_8900_3800_0066);
    let gate_absent: Change = |r| r.poke64(GDT + u32::from(TASK_GATE), 0x0000_6500_0060_0000);
    let gate_local: Change = |r| r.poke64(GDT + u32::from(TASK_GATE), 0x0000_e500_0064_0000);
    let gate_beyond: Change = |r| r.poke64(GDT + u32::from(TASK_GATE), 0x0000_e500_01f8_0000);
    let gate_to_code: Change = |r| r.poke64(GDT + u32::from(TASK_GATE), 0x0000_e500_0008_0000);
    let gate_ring0: Change = |r| r.poke64(GDT + u32::from(TASK_GATE), 0x0000_8500_0060_0000);
    let local_here: Change = |r| local(r, 0x0000_8900_3800_0067);
    let local_absent: Change = |r| local(r, 0x0000_0900_3800_0067);
    let nothing: Change = |_| {};
    for (what, change, selector, expected) in [
        ("in the LDT", local_here, 0x0c, fault(vector::GP, 0x0c)),
        ("absent in the LDT", local_absent, 0x0c, fault(vector::GP, 0x0c)),
        ("busy", busy, OTHER_SEL, fault(vector::GP, OTHER_SEL)),
        ("absent", absent, OTHER_SEL, fault(vector::NP, OTHER_SEL)),
        ("short", short, OTHER_SEL, fault(vector::TS, OTHER_SEL)),
        ("rpl", nothing, OTHER_SEL | 3, fault(vector::GP, OTHER_SEL)),
        ("itself", nothing, TSS_SEL, fault(vector::GP, TSS_SEL)),
        ("busy by gate", busy, TASK_GATE, fault(vector::GP, OTHER_SEL)),
        ("absent by gate", absent, TASK_GATE, fault(vector::NP, OTHER_SEL)),
        ("short by gate", short, TASK_GATE, fault(vector::TS, OTHER_SEL)),
        ("gate absent", gate_absent, TASK_GATE, fault(vector::NP, TASK_GATE)),
        ("gate to the LDT", gate_local, TASK_GATE, fault(vector::GP, 0x64)),
        ("gate beyond the GDT", gate_beyond, TASK_GATE, fault(vector::GP, 0x1f8)),
        ("gate to code", gate_to_code, TASK_GATE, fault(vector::GP, CODE0)),
        ("gate for ring 0", gate_ring0, TASK_GATE | 3, fault(vector::GP, TASK_GATE)),
    ] {
        for transfer in [far::jmp_far_ptr, far::call_far_ptr] {
            let mut r = tasks();
            change(&mut r);
            let (before, old) = (r.state(), r.peek32(TSS + 0x20));
            let step = r.run(transfer, to(selector));
            assert_eq!(r.fault(step), expected, "{what}");
            assert!(r.state() == before && r.peek32(TSS + 0x20) == old, "{what}");
            assert_eq!(kind(&r, TSS_SEL), 11, "{what}");
        }
    }
    // Back by a link: to what is not there, not busy, absent.
    for (what, link, d, expected) in [
        ("null", 0, 0, fault(vector::TS, 0)),
        ("local", OTHER_SEL | 4, 0x0000_8b00_3800_0067, fault(vector::TS, OTHER_SEL | 4)),
        ("beyond", 0x1f8, 0, fault(vector::TS, 0x1f8)),
        ("available", OTHER_SEL, 0x0000_8900_3800_0067, fault(vector::TS, OTHER_SEL)),
        ("absent", OTHER_SEL, 0x0000_0b00_3800_0067, fault(vector::NP, OTHER_SEL)),
        ("short", OTHER_SEL, 0x0000_8b00_3800_0066, fault(vector::TS, OTHER_SEL)),
    ] {
        let mut r = tasks();
        if d != 0 {
            descriptor(&mut r, OTHER_SEL, d);
        }
        poke16(&mut r, TSS, link);
        r.cpu.flags.set(NT);
        let before = r.state();
        let step = r.run(far::iret, op());
        assert_eq!(r.fault(step), expected, "{what}");
        assert!(r.state() == before, "{what}");
    }
    // In an event the codes have the EXT bit.
    let mut r = tasks();
    r.poke64(IDT + 8 * 14, 0x0000_8500_0060_0000);
    r.gate(vector::NP.into(), CODE0, 0x6000, 0x8e);
    absent(&mut r);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 14).expect("#NP delivered");
    assert_eq!((r.cpu.eip, r.peek32(r.cpu.regs[4])), (0x6000, u32::from(OTHER_SEL) | 1));
}

#[test]
fn what_loading_the_segments_finds_faults_in_the_new_task() {
    // (offset in the TSS, selector there, vector, code)
    let fault = |v: u8, selector: u32| (v, selector & !3);
    let cases = [
        ("LDT beyond", 0x60, 0x1f8, fault(vector::TS, 0x1f8)),
        ("LDT local", 0x60, 0x0c, fault(vector::TS, 0x0c)),
        ("LDT is code", 0x60, u32::from(CODE0), fault(vector::TS, CODE0.into())),
        ("LDT absent", 0x60, u32::from(ABSENT_LDT), fault(vector::TS, ABSENT_LDT.into())),
        ("CS null", 0x4c, 3, fault(vector::TS, 0)),
        ("CS beyond", 0x4c, user(0x1f8), fault(vector::TS, 0x1f8)),
        ("CS is data", 0x4c, user(DATA3), fault(vector::TS, DATA3.into())),
        ("CS of another ring", 0x4c, user(CODE0), fault(vector::TS, CODE0.into())),
        ("CS absent", 0x4c, user(ABSENT_CODE), fault(vector::NP, ABSENT_CODE.into())),
        ("SS null", 0x50, 3, fault(vector::TS, 0)),
        ("SS beyond", 0x50, user(0x1f8), fault(vector::TS, 0x1f8)),
        ("SS of another RPL", 0x50, u32::from(DATA3) & !3, fault(vector::TS, DATA3.into())),
        ("SS of another ring", 0x50, user(DATA0), fault(vector::TS, DATA0.into())),
        ("SS read only", 0x50, user(READ_ONLY), fault(vector::TS, READ_ONLY.into())),
        ("DS beyond", 0x54, user(0x1f8), fault(vector::TS, 0x1f8)),
        ("DS not for ring 3", 0x54, user(DATA0), fault(vector::TS, DATA0.into())),
        ("DS execute only", 0x54, user(EXECUTE_ONLY), fault(vector::TS, EXECUTE_ONLY.into())),
        ("ES system", 0x48, user(TSS_SEL), fault(vector::TS, TSS_SEL.into())),
        ("FS absent", 0x58, user(ABSENT & !3), fault(vector::TS, ABSENT.into())),
        ("GS absent", 0x5c, user(ABSENT_CODE), fault(vector::NP, ABSENT_CODE.into())),
    ];
    for (what, at, selector, (v, code)) in cases {
        for (event, software) in [(false, false), (true, false), (false, true)] {
            let mut r = tasks();
            r.gate(v.into(), CODE0, 0x6000, 0x8e);
            r.gate(vector::DF.into(), CODE0, 0x6800, 0x8e);
            r.poke32(OTHER + at, selector);
            let ext = u32::from(event);
            if event {
                r.poke64(IDT + 8 * 0x40, 0x0000_8500_0060_0000);
                interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
            } else if software {
                // In the middle of a block, whose place is none of the new task's.
                r.poke64(IDT + 8 * 0x41, 0x0000_e500_0060_0000);
                let int = Op { imm: 0x41, at: 5, ..op() };
                assert_eq!(r.run(interrupt::int_n, int), Err(Flow::Branch), "{what}");
            } else {
                assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch), "{what}");
            }
            assert_eq!((r.cpu.eip, r.cpu.cpl, r.cpu.tr.selector), (0x6000, 0, OTHER_SEL), "{what}");
            assert_eq!(r.cpu.regs[4], OTHER_STACK0 - 24, "{what}");
            let frame: Vec<u32> = (0..6).map(|i| r.peek32(OTHER_STACK0 - 24 + 4 * i)).collect();
            let (cs, ss) = (r.peek32(OTHER + 0x4c), r.peek32(OTHER + 0x50));
            assert_eq!(
                [frame[0], frame[1], frame[2], frame[4], frame[5]],
                [code | ext, 0x7000, cs, 0x9100, ss],
                "{what}"
            );
            assert_eq!(r.peek32(TSS + 0x20), 0x4000 + if event { 0 } else { 7 }, "{what}");
        }
    }
    // A conforming segment takes on the level of its RPL.
    let mut r = tasks();
    r.poke32(OTHER + 0x4c, user(CONFORMING));
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
    assert_eq!((r.cpu.cpl, r.selector(CS)), (3, CONFORMING | 3));
    // An error code that does not fit the stack is #SS in the new task.
    let mut r = tasks();
    r.gate(vector::DF.into(), CODE0, 0x6800, 0x8e);
    r.poke64(IDT + 8 * 14, 0x0000_8500_0060_0000);
    r.poke64(GDT + u32::from(READ_ONLY), 0x0040_f300_0000_0fff);
    r.poke32(OTHER + 0x50, user(READ_ONLY));
    let e = Exception::with_code(vector::PF, 0);
    interrupt::deliver_exception(&mut r.cpu, &mut r.bus, e).expect("a double fault delivered");
    assert_eq!((r.cpu.eip, r.peek32(OTHER_STACK0 - 20)), (0x6800, 0x7000));
}

#[test]
fn memory_that_is_missing_faults_in_the_old_task() {
    // Paging with everything mapped but one page: that of the new TSS (read), that of the old one (written).
    for (missing, code) in [(OTHER & !0xfff, 0), (0x6000, 2)] {
        let mut r = tasks();
        // The old TSS moves to a page of its own.
        r.cpu.tr.base = 0x6000;
        paging(&mut r);
        r.poke32(0x2_1000 + (missing >> 12) * 4, 0);
        let before = r.state();
        let step = r.run(far::jmp_far_ptr, to(OTHER_SEL));
        assert_eq!(r.fault(step), Exception::with_code(vector::PF, code), "{missing:#x}");
        assert!(r.state() == before);
        assert_eq!((kind(&r, TSS_SEL), kind(&r, OTHER_SEL)), (11, 9));
    }
}

/// The first 4 MiB mapped onto themselves, by two directories.
fn paging(r: &mut Rig) {
    for page in 0..256 {
        r.poke32(0x2_1000 + 4 * page, page << 12 | 7);
    }
    r.poke32(0x2_0000, 0x2_1007);
    r.poke32(0x2_2000, 0x2_1007);
    r.cpu.cr3 = 0x2_0000;
    r.cpu.cr0 |= cr0::PG;
    let Cpu { cr0, cr3, cr4, .. } = r.cpu;
    r.cpu.mmu.refresh_mode(cr0, cr3, cr4);
}

#[test]
fn another_address_space_is_loaded_and_flushes_once() {
    for (cr3, loads) in [(0x2_0000, 0), (0x2_2000, 1)] {
        let mut r = tasks();
        paging(&mut r);
        r.poke32(OTHER + 0x1c, cr3);
        assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
        assert_eq!((r.cpu.cr3, r.cpu.count.cr3_loads), (cr3, loads));
        let flush = r.cpu.ledger.totals(r.cpu.clock).kind[Kind::Flush as usize];
        assert_eq!(flush, loads * u64::from(r.cpu.costs.cr3_load));
        assert!(r.cpu.ledger.check(r.cpu.clock));
    }
    // With PAE the four entries are checked: the fault is the new task's.
    let mut r = tasks();
    for page in 0..256 {
        r.poke64(0x2_3000 + 8 * page, u64::from(page) << 12 | 7);
    }
    r.poke64(0x2_2000, 0x2_3007);
    r.poke64(0x2_0000, 0x2_2001);
    r.poke64(0x2_4000, 0x2_2003);
    (r.cpu.cr3, r.cpu.cr4) = (0x2_0000, cr4::PAE);
    r.cpu.cr0 |= cr0::PG;
    let Cpu { cr0, cr3, cr4, .. } = r.cpu;
    r.cpu.mmu.load_pdptes([0x2_2001, 0, 0, 0]);
    r.cpu.mmu.refresh_mode(cr0, cr3, cr4);
    r.gate(vector::GP.into(), CODE0, 0x6000, 0x8e);
    r.poke32(OTHER + 0x1c, 0x2_4000);
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
    assert_eq!((r.cpu.eip, r.cpu.cr3, r.cpu.tr.selector), (0x6000, 0x2_0000, OTHER_SEL));
    assert_eq!(r.peek32(OTHER_STACK0 - 24), 0);
}

#[test]
fn a_task_may_be_one_of_virtual_8086_mode() {
    let mut r = tasks();
    r.gate(0x40, CODE0, 0x6000, 0x8e);
    for (at, v) in
        [(0x24, VM | IF | 2), (0x4c, 0x2000), (0x50, 0x3001), (0x54, 0x1234), (0x20, 0x100), (0x60, 0)]
    {
        r.poke32(OTHER + at, v);
    }
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
    assert!(r.cpu.v86() && r.cpu.cpl == 3);
    assert_eq!([CS, SS, DS].map(|n| r.cpu.seg[usize::from(n)].base), [0x2_0000, 0x3_0010, 0x1_2340]);
    // And may be left by an interrupt, or by a task gate, which saves its selectors and VM.
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    assert_eq!((r.cpu.cpl, r.peek32(OTHER_STACK0 - 36), r.peek32(OTHER_STACK0 - 8)), (0, 0x100, 0x0f));
    assert_eq!(r.run(far::iret, op()), Err(Flow::Branch));
    r.poke64(IDT + 8 * 0x40, 0x0000_8500_0028_0000);
    r.poke64(GDT + u32::from(TSS_SEL), 0x0000_8900_3000_0067);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    assert_eq!((r.cpu.tr.selector, r.cpu.cpl, r.cpu.v86()), (TSS_SEL, 0, false));
    assert_eq!((peek16(&r, OTHER + 0x50), r.peek32(OTHER + 0x24) & VM), (0x3001, VM));
}

#[test]
fn the_trap_bit_asks_for_a_debug_exception() {
    let mut r = tasks();
    r.gate(vector::DB.into(), CODE0, 0x6000, 0x8e);
    r.poke32(OTHER + 0x64, 1);
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
    assert_eq!(r.cpu.take_debug_trap().map(|e| e.vector), Some(vector::DB));
    assert_eq!(r.cpu.dr[6], 0xffff_8ff0);
    // After an event it comes with the delivery.
    let mut r = tasks();
    r.gate(vector::DB.into(), CODE0, 0x6000, 0x8e);
    r.poke32(OTHER + 0x64, 1);
    r.poke64(IDT + 8 * 0x40, 0x0000_8500_0060_0000);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    assert_eq!((r.cpu.eip, r.peek32(OTHER_STACK0 - 20)), (0x6000, 0x7000));
}

#[test]
fn a_switch_costs_its_parts() {
    let mut r = tasks();
    let clock = r.cpu.clock;
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Branch));
    let c = r.cpu.costs;
    // Written: ten registers, six selectors. Read: those, CR3, LDT.
    let expected = c.far + 7 * c.segment + (16 + 18) * c.load.max(c.store);
    assert_eq!(r.cpu.clock - clock, u64::from(expected));
    // Outside careful mode nothing happens yet.
    let mut r = tasks();
    r.cpu.careful = false;
    let before = r.state();
    assert_eq!(r.run(far::jmp_far_ptr, to(OTHER_SEL)), Err(Flow::Careful));
    assert!(r.state() == before);
}
