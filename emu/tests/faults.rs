//! Which of several faults is raised, what accesses across pages leave behind, double and triple faults.
//! (SDM vol. 3A, "Priority Among Simultaneous Exceptions and Interrupts", "Double Fault Exception".)

mod common;
use common::config;
use common::traps::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::Shortcuts;
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Stop};

const DE: u32 = 0;
const UD: u32 = 6;
const NM: u32 = 7;
const DF: u32 = 8;
const NP: u32 = 11;
const SS: u32 = 12;
const GP: u32 = 13;
const PF: u32 = 14;
const AC: u32 = 17;

/// A page that is absent, one that may only be read, and one for ring 0.
const ABSENT: u32 = PAGES;
const READ_ONLY: u32 = PAGES + 0x1000;
const FRAME: u32 = 0x20_0000;

/// What the bytes raise first: vector and code. EBX is [`ABSENT`], ECX is [`READ_ONLY`]; paging is on.
fn raised(ring3: bool, code: &[u8]) -> (u32, u32) {
    let mut a = CodeAssembler::new(32).unwrap();
    a.mov(ebx, ABSENT).unwrap();
    a.mov(ecx, READ_ONLY).unwrap();
    if ring3 {
        enter_ring3(&mut a, 1 << 18 | 2);
    }
    a.db(code).unwrap();
    let mut m = guest(config("p3"), &mut a, 1);
    paging(&mut m);
    page(&mut m, 1, FRAME | 5);
    // 30: a data segment of a page at the absent address; 38: one that is not present.
    descriptor(&mut m, 0x30, 0x0040_f340_0000_0fff);
    descriptor(&mut m, 0x38, 0x0040_7340_0000_0fff);
    let cpu = m.cpu_mut(0).unwrap();
    cpu.cr0 |= 1 << 18;
    let n = notes(&mut m);
    n.first().map_or((u32::MAX, 0), |n| (n.vector, n.code))
}

#[test]
fn the_first_of_several_faults_on_one_instruction() {
    const R0: bool = false;
    const R3: bool = true;
    for (what, ring3, code, expected) in [
        // Decoding before anything else.
        ("lock on what cannot be locked, absent operand", R0, &[0xf0, 0x8b, 0x03][..], (UD, 0)),
        ("undefined form, absent operand", R0, &[0x0f, 0xb9, 0x03], (UD, 0)),
        (
            "16 bytes, undefined anyway",
            R0,
            &[0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0x0b],
            (GP, 0),
        ),
        ("mov to cr7, ring 3", R3, &[0x0f, 0x22, 0xf8], (UD, 0)),
        // Privilege before the operand.
        ("lgdt absent, ring 3", R3, &[0x0f, 0x01, 0x13], (GP, 0)),
        ("lmsw absent, ring 3", R3, &[0x0f, 0x01, 0x33], (GP, 0)),
        ("ltr absent, ring 3", R3, &[0x0f, 0x00, 0x1b], (GP, 0)),
        ("invlpg, ring 3", R3, &[0x0f, 0x01, 0x3b], (GP, 0)),
        ("outs from an absent page to a forbidden port", R3, &[0x89, 0xde, 0x6e], (GP, 0)),
        ("ins to an absent page from a forbidden port", R3, &[0x89, 0xdf, 0x6c], (GP, 0)),
        // The operand before what is computed with it.
        ("div by an absent operand", R0, &[0xf7, 0x33], (PF, 0)),
        ("bound, absent operand", R0, &[0x62, 0x03], (PF, 0)),
        ("lidt absent", R0, &[0x0f, 0x01, 0x1b], (PF, 0)),
        ("mov ds, absent operand", R0, &[0x8e, 0x1b], (PF, 0)),
        ("cmpxchg8b on a page to be read", R0, &[0x0f, 0xc7, 0x09], (PF, 3)),
        ("cmpxchg that fails still writes", R0, &[0x0f, 0xb1, 0x01], (PF, 3)),
        // Read, then write: a read-modify-write is a write from the start.
        ("inc absent", R0, &[0xff, 0x03], (PF, 2)),
        ("xchg absent", R0, &[0x87, 0x03], (PF, 2)),
        ("adc read only, ring 3", R3, &[0x11, 0x01], (PF, 7)),
        ("push absent: the read", R0, &[0xff, 0x33], (PF, 0)),
        // Segment before page: beyond the limit of 30, which begins at the absent page.
        ("limit before page", R0, &[0xb8, 0x30, 0, 0, 0, 0x8e, 0xe0, 0x64, 0xa1, 0xfd, 0x0f, 0, 0], (GP, 0)),
        ("within the limit", R0, &[0xb8, 0x30, 0, 0, 0, 0x8e, 0xe0, 0x64, 0xa1, 0xfc, 0x0f, 0, 0], (PF, 0)),
        ("null segment before page", R0, &[0x31, 0xc0, 0x8e, 0xe0, 0x64, 0x8b, 0x03], (GP, 0)),
        // The descriptor's type and rights before its presence.
        ("absent segment", R0, &[0xb8, 0x38, 0, 0, 0, 0x8e, 0xe0], (NP, 0x38)),
        ("absent segment in SS", R0, &[0xb8, 0x38, 0, 0, 0, 0x8e, 0xd0], (GP, 0x38)),
        // Page before alignment.
        ("misaligned and absent", R3, &[0x8b, 0x43, 0x01], (PF, 4)),
        ("misaligned and read only", R3, &[0x89, 0x41, 0x01], (PF, 7)),
        ("misaligned", R3, &[0x8b, 0x41, 0x01], (AC, 0)),
        (
            "limit before alignment",
            R3,
            &[0xb8, 0x30, 0, 0, 0, 0x8e, 0xe0, 0x64, 0xa1, 0xfd, 0x0f, 0, 0],
            (GP, 0),
        ),
        // The unit's availability before its operand.
        (
            "fld absent with CR0.TS",
            R0,
            &[0x0f, 0x20, 0xc0, 0x0c, 0x08, 0x0f, 0x22, 0xc0, 0xd9, 0x03],
            (NM, 0),
        ),
        ("fld absent", R0, &[0x0f, 0x06, 0xd9, 0x03], (PF, 0)),
        // Divide by zero, and a quotient that does not fit.
        ("div by zero", R0, &[0x31, 0xc0, 0xf7, 0xf0], (DE, 0)),
        ("idiv overflow", R0, &[0xb8, 0, 0, 0, 0, 0xba, 0, 0, 0, 0x80, 0xf7, 0xf9], (DE, 0)),
        // Fetches.
        ("call to an absent page", R0, &[0xff, 0xd3], (PF, 0)),
        ("call to an absent page, ring 3", R3, &[0xff, 0xd3], (PF, 4)),
        ("far jump to data", R0, &[0xea, 0, 0x10, 0, 0, 0x38, 0], (GP, 0x38)),
    ] {
        assert_eq!(raised(ring3, code), expected, "{what}");
    }
}

/// Stores `eax` with one instruction at the last bytes of page 0; what was raised, and what both pages hold.
fn store_across(first: u32, second: u32, ring3: bool) -> (Vec<Note>, [u32; 2]) {
    let mut results = Vec::new();
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut a = CodeAssembler::new(32).unwrap();
        if ring3 {
            enter_ring3(&mut a, 2);
        }
        a.mov(ecx, 0x4433_2211).unwrap();
        a.mov(dword_ptr(PAGES + 0xffe), ecx).unwrap();
        let mut m = guest(MachineConfig { shortcuts, ..config("p3") }, &mut a, 1);
        paging(&mut m);
        page(&mut m, 0, first);
        page(&mut m, 1, second);
        let notes = notes(&mut m);
        results.push((notes, [common::peek(&m, FRAME + 0xffc), common::peek(&m, FRAME + 0x3000)]));
    }
    assert!(results[0] == results[1], "shortcuts show");
    results.swap_remove(0)
}

#[test]
fn a_store_across_pages_happens_whole_or_not_at_all() {
    let frames = [FRAME, FRAME + 0x3000];
    for a in [0, 1, 3, 5, 7] {
        for b in [0, 1, 3, 5, 7] {
            for ring3 in [false, true] {
                let (notes, memory) = store_across(frames[0] | a, frames[1] | b, ring3);
                // CR0.WP is set.
                let fails = |pte: u32| pte & 1 == 0 || pte & 2 == 0 || ring3 && pte & 4 == 0;
                let code = |pte: u32| pte & 1 | 2 | if ring3 { 4 } else { 0 };
                let expected = match (fails(a), fails(b)) {
                    (true, _) => vec![(PF, code(a), PAGES + 0xffe)],
                    (false, true) => vec![(PF, code(b), PAGES + 0x1000)],
                    (false, false) => vec![],
                };
                let found: Vec<_> = notes.iter().map(|n| (n.vector, n.code, n.cr2)).collect();
                assert_eq!(found, expected, "{a} {b} {ring3}");
                let written = if expected.is_empty() { [0x2211_0000, 0x4433] } else { [0, 0] };
                assert_eq!(memory, written, "{a} {b} {ring3}");
            }
        }
    }
}

#[test]
fn an_access_wraps_at_four_gib() {
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut a = CodeAssembler::new(32).unwrap();
        a.mov(ecx, 0xffff_fffe_u32).unwrap();
        a.mov(dword_ptr(ecx), 0x4433_2211).unwrap();
        a.mov(ebx, dword_ptr(ecx)).unwrap();
        // The page at the end goes.
        a.mov(dword_ptr(TOP_TABLE + 0xffc), 0).unwrap();
        a.invlpg(ptr(0xffff_f000_u32)).unwrap();
        a.mov(ebx, dword_ptr(ecx)).unwrap();
        let mut m = guest(MachineConfig { shortcuts, ..config("p3") }, &mut a, 1);
        paging(&mut m);
        put(&mut m, TOP_TABLE + 0xffc, FRAME | 3);
        let n = notes(&mut m)[0];
        assert_eq!(common::peek(&m, FRAME + 0xffc) >> 16, 0x2211);
        assert_eq!(common::peek(&m, 0) & 0xffff, 0x4433);
        assert_eq!((n.vector, n.code, n.cr2), (PF, 0, 0xffff_fffe));
    }
}

#[test]
fn an_operand_of_eight_bytes_faults_at_its_beginning() {
    // Whole in a page that may be read only; across its end; only the upper half in it.
    for (offset, address) in [(0, READ_ONLY), (0xffc, READ_ONLY + 0xffc), (-4, READ_ONLY)] {
        let mut a = CodeAssembler::new(32).unwrap();
        a.cmpxchg8b(qword_ptr(READ_ONLY.wrapping_add_signed(offset))).unwrap();
        let mut m = guest(config("p3"), &mut a, 1);
        paging(&mut m);
        page(&mut m, 0, FRAME | 7);
        page(&mut m, 1, FRAME | 5);
        let n = notes(&mut m)[0];
        assert_eq!((n.vector, n.code, n.cr2), (PF, 3, address));
    }
}

#[test]
fn a_push_across_pages_that_fails_leaves_esp() {
    let mut a = CodeAssembler::new(32).unwrap();
    a.mov(esp, PAGES + 0x1002).unwrap();
    a.mov(ebp, esp).unwrap();
    enter_ring3_like(&mut a);
    let mut m = guest(config("p3"), &mut a, 1);
    paging(&mut m);
    page(&mut m, 1, FRAME | 7);
    let n = notes(&mut m)[0];
    assert_eq!((n.vector, n.code, n.cr2, n.ecx), (PF, 6, PAGES + 0xffe, PAGES + 0x1002));
}

/// To ring 3 with the stack kept: ESP from EBP. Pushes there; ECX holds ESP.
fn enter_ring3_like(a: &mut CodeAssembler) {
    a.mov(esp, STACK).unwrap();
    enter_ring3(a, 2);
    a.mov(esp, ebp).unwrap();
    a.mov(ecx, esp).unwrap();
    a.push(eax).unwrap();
}

/// How delivery of the first exception can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    /// Its gate is absent: #NP.
    Absent,
    /// Its gate is of no kind: #GP.
    Kind,
    /// The page of the IDT with its gate is absent: #PF.
    Page,
}

#[test]
fn two_exceptions_make_a_double_fault_when_the_table_says_so() {
    // The first exception by an instruction of ring 0.
    let firsts: [(u32, &[u8]); 7] = [
        (DE, &[0x31, 0xc0, 0xf7, 0xf0]),
        (UD, &[0x0f, 0x0b]),
        (NM, &[0xd9, 0xe8]),
        (NP, &[0xb8, 0x38, 0, 0, 0, 0x8e, 0xe0]),
        (SS, &[0xb8, 0x38, 0, 0, 0, 0x8e, 0xd0]),
        (GP, &[0xb8, 0xf8, 0x01, 0, 0, 0x8e, 0xe0]),
        (PF, &[0x8b, 0x03]),
    ];
    for (first, code) in firsts {
        for fails in [Fails::Absent, Fails::Kind, Fails::Page] {
            for handled in [true, false] {
                let mut a = CodeAssembler::new(32).unwrap();
                a.mov(ebx, ABSENT).unwrap();
                a.db(code).unwrap();
                let mut m = guest(config("p3"), &mut a, 1);
                paging(&mut m);
                // 38: a stack segment that is not present.
                descriptor(&mut m, 0x38, 0x0040_1340_0000_0fff);
                if first == NM {
                    m.cpu_mut(0).unwrap().cr0 |= 8;
                }
                let gate = break_gate(&mut m, first, fails);
                let second = match fails {
                    Fails::Absent => (NP, first * 8 + 2 + 1),
                    Fails::Kind => (GP, first * 8 + 2 + 1),
                    Fails::Page => (PF, 0),
                };
                // The table of the manual.
                let contributory = |v: u32| matches!(v, DE | 10 | NP | SS | GP);
                let double = contributory(first) && contributory(second.0)
                    || first == PF && (contributory(second.0) || second.0 == PF);
                let mut expected = if double { (DF, 0) } else { second };
                if !handled {
                    // The gate of what should be delivered is of no kind: #GP while #NP, #GP or #PF is delivered.
                    put(&mut m, gate(expected.0) + 4, 0);
                    expected = if double { (u32::MAX, 0) } else { (DF, 0) };
                }
                // The gate of the double fault lies in the absent page, too, when it comes before the first's.
                if expected.0 == DF && fails == Fails::Page && first > DF {
                    expected = (u32::MAX, 0);
                }
                let stop = m.run(&mut Nobody);
                let found = noted(&m).first().map(|n| (n.vector, n.code));
                if expected.0 == u32::MAX {
                    assert_eq!(
                        (stop, found),
                        (Stop::TripleFault { cpu: 0 }, None),
                        "{first} {fails:?} {handled}"
                    );
                } else {
                    assert_eq!(found, Some(expected), "{first} {fails:?} {handled}");
                }
            }
        }
    }
}

/// Breaks a vector's gate; where gates are now.
fn break_gate(m: &mut Machine, vector: u32, fails: Fails) -> impl Fn(u32) -> u32 + use<> {
    let gate = IDT + 8 * vector;
    match fails {
        Fails::Absent => {
            let high = common::peek(m, gate + 4);
            put(m, gate + 4, high & !0x8000);
        }
        Fails::Kind => put(m, gate + 4, 0x8000),
        Fails::Page => {
            // The table moves so that it goes on in a page that is there right behind this gate.
            let mut table = vec![0; 0x190];
            assert!(m.bus_mut().ram.peek(u64::from(IDT), &mut table));
            let behind = 8 * (vector + 1);
            assert!(m.bus_mut().ram.poke(u64::from(FRAME + 0x2000), &table[behind as usize..]));
            page(m, 2, (FRAME + 0x2000) | 7);
            m.cpu_mut(0).unwrap().idtr.base = PAGES + 0x2000 - behind;
        }
    }
    move |v| match fails {
        Fails::Page if v > vector => FRAME + 0x2000 + 8 * (v - vector - 1),
        _ => IDT + 8 * v,
    }
}
