//! Code that changes: by itself, by another mapping, by another processor, by a change of the page tables.
//! (SDM vol. 3A, "Self-Modifying Code", "Cross-Modifying Code".)

mod common;
use common::config;
use common::traps::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::{Shortcuts, Timing};
use shootdown_emu::{Machine, MachineConfig};

/// A routine of the tests: `mov eax, imm32; ret` at this linear address.
fn routine(m: &mut Machine, at: u32, value: u8) {
    assert!(m.bus_mut().ram.poke(u64::from(at), &[0xb8, value, 0, 0, 0, 0xc3]));
}

/// Frames for code.
const FRAME: u32 = 0x20_0000;

fn all(mut f: impl FnMut(MachineConfig)) {
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        for timing in [Timing::Full, Timing::Flat] {
            f(MachineConfig { shortcuts, timing, ..config("p3") });
        }
    }
}

/// Calls the routine at `at` and adds what it returns to EBX, shifted by a byte.
fn call(a: &mut CodeAssembler, at: u32) {
    a.call(u64::from(at)).unwrap();
    a.shl(ebx, 8).unwrap();
    a.or(ebx, eax).unwrap();
}

/// Runs to the end; EBX. Nothing may have trapped.
fn result(m: &mut Machine) -> u32 {
    assert_eq!(notes(m), []);
    m.cpus()[0].regs[3]
}

#[test]
fn the_next_instruction_is_seen_changed() {
    all(|config| {
        let mut a = CodeAssembler::new(32).unwrap();
        a.xor(ebx, ebx).unwrap(); // 0
        a.mov(byte_ptr(CODE + 10), 0x55).unwrap(); // 2, 7 bytes
        a.mov(al, 0x11).unwrap(); // 9: its operand is at 10
        a.movzx(ebx, al).unwrap();
        assert_eq!(result(&mut guest(config, &mut a, 1)), 0x55);
    });
}

#[test]
fn a_string_instruction_that_overwrites_what_follows() {
    all(|config| {
        let mut a = CodeAssembler::new(32).unwrap();
        a.xor(ebx, ebx).unwrap(); // 0
        a.mov(eax, 0x4343_4343).unwrap(); // 2: inc ebx, four times
        a.mov(edi, CODE + 22).unwrap(); // 7
        a.mov(ecx, 2).unwrap(); // 12
        a.nop().unwrap(); // 17
        a.rep().stosd().unwrap(); // 18
        a.db(&[0x90; 10]).unwrap();
        let mut m = guest(config, &mut a, 1);
        assert_eq!(result(&mut m), 8);
    });
}

#[test]
fn a_page_mapped_twice_changes_under_both_addresses() {
    all(|config| {
        let mut a = CodeAssembler::new(32).unwrap();
        for (write, run) in [(0u32, 1u32), (1, 0), (1, 1), (0, 0)] {
            // Both have run before.
            call(&mut a, PAGES);
            call(&mut a, PAGES + 4096);
            a.inc(byte_ptr(PAGES + 4096 * write + 1)).unwrap();
            call(&mut a, PAGES + 4096 * run);
        }
        let mut m = guest(config, &mut a, 1);
        paging(&mut m);
        page(&mut m, 0, FRAME | 3);
        page(&mut m, 1, FRAME | 3);
        routine(&mut m, FRAME, 1);
        // The last four values: 4, 4 before the last change, then 5.
        assert_eq!(result(&mut m), 0x0404_0405 | 4 << 24);
    });
}

/// A routine whose first instruction begins three bytes before the end of page 0.
const ACROSS: u32 = PAGES + 0xffd;

fn across(config: MachineConfig, build: impl Fn(&mut CodeAssembler)) -> Machine {
    let mut a = CodeAssembler::new(32).unwrap();
    build(&mut a);
    let mut m = guest(config, &mut a, 1);
    paging(&mut m);
    page(&mut m, 0, FRAME | 3);
    page(&mut m, 1, (FRAME + 0x4000) | 3);
    // mov eax, 04030201: B8 01 02 in the first page, 03 04 in the second.
    assert!(m.bus_mut().ram.poke(u64::from(FRAME) + 0xffd, &[0xb8, 1, 2]));
    assert!(m.bus_mut().ram.poke(u64::from(FRAME) + 0x4000, &[3, 4, 0xc3]));
    assert!(m.bus_mut().ram.poke(u64::from(FRAME) + 0x6000, &[5, 6, 0xc3]));
    m
}

#[test]
fn an_instruction_across_two_pages_changes_with_either() {
    all(|config| {
        let mut m = across(config, |a| {
            a.call(u64::from(ACROSS)).unwrap();
            a.mov(esi, eax).unwrap();
            a.mov(byte_ptr(PAGES + 0x1000), 0x33).unwrap(); // in the second page
            a.call(u64::from(ACROSS)).unwrap();
            a.mov(edi, eax).unwrap();
            a.mov(byte_ptr(PAGES + 0xffe), 0x11).unwrap(); // in the first
            a.call(u64::from(ACROSS)).unwrap();
            a.mov(ebp, eax).unwrap();
            a.mov(byte_ptr(FRAME + 0x4001), 0x44).unwrap(); // by another mapping
            a.call(u64::from(ACROSS)).unwrap();
            a.mov(ebx, eax).unwrap();
        });
        assert_eq!(result(&mut m), 0x4433_0211);
        let r = m.cpus()[0].regs;
        assert_eq!((r[6], r[7], r[5]), (0x0403_0201, 0x0433_0201, 0x0433_0211));
    });
}

#[test]
fn a_second_page_that_is_mapped_anew_is_fetched_after_invlpg() {
    all(|config| {
        let mut m = across(config, |a| {
            a.call(u64::from(ACROSS)).unwrap();
            a.mov(esi, eax).unwrap();
            a.mov(dword_ptr(PAGES_TABLE + 4), (FRAME + 0x6000) as i32 | 3).unwrap();
            a.call(u64::from(ACROSS)).unwrap(); // through the stale translation
            a.mov(edi, eax).unwrap();
            a.invlpg(ptr(PAGES + 0x1000)).unwrap();
            a.call(u64::from(ACROSS)).unwrap();
            a.mov(ebx, eax).unwrap();
        });
        assert_eq!(result(&mut m), 0x0605_0201);
        let r = m.cpus()[0].regs;
        assert_eq!((r[6], r[7]), (0x0403_0201, 0x0403_0201));
    });
}

#[test]
fn a_second_page_that_is_missing_faults_with_its_own_address() {
    all(|config| {
        for (pte, user, code) in [(0, false, 0), (0, true, 4), ((FRAME + 0x4000) | 3, true, 5)] {
            let mut m = across(config.clone(), |a| {
                a.call(u64::from(ACROSS)).unwrap(); // it was decoded once
                a.mov(dword_ptr(PAGES_TABLE + 4), pte as i32).unwrap();
                a.invlpg(ptr(PAGES + 0x1000)).unwrap();
                if user {
                    enter_ring3(a, 2);
                }
                a.call(u64::from(ACROSS)).unwrap();
            });
            page(&mut m, 0, FRAME | 7);
            let n = notes(&mut m)[0];
            assert_eq!((n.vector, n.code, n.eip, n.cr2), (14, code, ACROSS, PAGES + 0x1000));
        }
    });
}

#[test]
fn code_that_another_processor_writes_is_seen() {
    const FLAG: u32 = DATA;
    all(|config| {
        // The first waits until the second has changed what both have run, says so, and waits for the next change.
        let mut a = CodeAssembler::new(32).unwrap();
        a.xor(ebx, ebx).unwrap();
        for round in 0..4 {
            let mut wait = a.create_label();
            call(&mut a, FRAME);
            a.mov(dword_ptr(FLAG), 2 * round + 1).unwrap();
            a.set_label(&mut wait).unwrap();
            a.cmp(dword_ptr(FLAG), 2 * round + 2).unwrap();
            a.jne(wait).unwrap();
        }
        call(&mut a, FRAME);
        let mut m = guest(MachineConfig { cpus: 2, ..config }, &mut a, 1);
        let mut b = CodeAssembler::new(32).unwrap();
        for round in 0..4 {
            let mut wait = b.create_label();
            b.set_label(&mut wait).unwrap();
            b.cmp(dword_ptr(FLAG), 2 * round + 1).unwrap();
            b.jne(wait).unwrap();
            b.call(u64::from(FRAME)).unwrap();
            b.inc(byte_ptr(FRAME + 1)).unwrap();
            b.mov(dword_ptr(FLAG), 2 * round + 2).unwrap();
        }
        let mut end = b.create_label();
        b.set_label(&mut end).unwrap();
        b.jmp(end).unwrap();
        let second = CODE + 0x8000;
        let code = b.assemble(u64::from(second)).unwrap();
        assert!(m.bus_mut().ram.poke(u64::from(second), &code));
        routine(&mut m, FRAME, 1);
        m.start(1, second);
        m.cpu_mut(1).unwrap().regs[4] = STACK - 0x2000;
        assert_eq!(result(&mut m), 0x0203_0405);
    });
}

#[test]
fn stale_translations_of_code_run_the_old_page() {
    all(|config| {
        let mut a = CodeAssembler::new(32).unwrap();
        call(&mut a, PAGES);
        a.mov(dword_ptr(PAGES_TABLE), (FRAME + 0x1000) as i32 | 3).unwrap();
        call(&mut a, PAGES);
        a.invlpg(ptr(PAGES)).unwrap();
        call(&mut a, PAGES);
        let mut m = guest(config, &mut a, 1);
        paging(&mut m);
        page(&mut m, 0, FRAME | 3);
        routine(&mut m, FRAME, 1);
        routine(&mut m, FRAME + 0x1000, 2);
        assert_eq!(result(&mut m) & 0xff_ffff, 0x01_0102);
    });
}

#[test]
fn a_loop_that_changes_its_own_body() {
    all(|config| {
        // Adds 1, then 2, ... up to 100: the immediate grows each time.
        let mut a = CodeAssembler::new(32).unwrap();
        let mut again = a.create_label();
        a.xor(ebx, ebx).unwrap(); // 0
        a.mov(ecx, 100).unwrap(); // 2
        a.set_label(&mut again).unwrap();
        a.db(&[0x83, 0xc3, 0x01]).unwrap(); // 7: add ebx, 1; the immediate is at 9
        a.inc(byte_ptr(CODE + 9)).unwrap();
        a.dec(ecx).unwrap();
        a.jnz(again).unwrap();
        assert_eq!(result(&mut guest(config, &mut a, 1)), 5050);
    });
}

#[test]
fn an_instruction_that_writes_more_than_once_into_code_is_done_once() {
    all(|config| {
        let mut a = CodeAssembler::new(32).unwrap();
        call(&mut a, FRAME);
        // Its halves lie in two lines, neither in a cache; the pointer is overwritten by what is read.
        a.mov(edx, FRAME + 0x13c).unwrap();
        a.xor(eax, eax).unwrap();
        a.cmpxchg8b(qword_ptr(edx)).unwrap();
        a.mov(ebx, edx).unwrap();
        a.shl(ebx, 16).unwrap();
        a.or(ebx, eax).unwrap();
        // A carry that would count twice, in two lines again.
        a.stc().unwrap();
        a.adc(dword_ptr(FRAME + 0x1fe), 0x10).unwrap();
        a.add(ebx, dword_ptr(FRAME + 0x1fe)).unwrap();
        let mut m = guest(config, &mut a, 1);
        routine(&mut m, FRAME, 7);
        assert!(m.bus_mut().ram.poke(u64::from(FRAME + 0x13c), &[0x11, 0x11, 0, 0, 0x22, 0x22]));
        assert_eq!(result(&mut m), 0x2222_1111 + 0x11);
    });
}

#[test]
fn an_instruction_that_overwrites_itself_comes_to_its_end() {
    // Each begins a line; what it pushes first lies over it, the rest in the line before, which is in no cache.
    const AT: u32 = FRAME + 0x140;
    all(|config| {
        for (instruction, pushes) in [([0x60, 0x90, 0x90, 0x90], 8), ([0xc8, 0, 0, 9], 10)] {
            let mut a = CodeAssembler::new(32).unwrap();
            a.mov(edx, esp).unwrap();
            // `inc ebx`, four times.
            a.mov(eax, 0x4343_4343).unwrap();
            a.mov(ebp, DATA).unwrap();
            a.mov(esp, AT + 4).unwrap();
            a.jmp(u64::from(AT)).unwrap();
            let mut m = guest(config.clone(), &mut a, 1);
            // mov ebx, esp; mov esp, edx; int 0x30
            let code = [&instruction[..], &[0x89, 0xe3, 0x89, 0xd4, 0xcd, END]].concat();
            assert!(m.bus_mut().ram.poke(u64::from(AT), &code));
            assert_eq!(result(&mut m), AT + 4 - 4 * pushes);
        }
    });
}
