//! Errors of the x87 unit with CR0.NE clear: FERR#, IRQ 13 through the 8259 pair, port F0h, IGNNE#.
//! (SDM vol. 1, "MS-DOS Compatibility Sub-mode".)

mod common;
use common::traps::*;
use common::{config, peek};
use iced_x86::code_asm::*;
use shootdown_emu::config::Shortcuts;
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Stop};

const APIC: u32 = 0xfee0_0000;
/// Vector of IRQ 13.
const VECTOR: u32 = 0x2d;
/// What the handler of the interrupt leaves: status words, how often it ran, EIP that it found.
const STATUS: u32 = DATA;
const COUNT: u32 = DATA + 4;
const EIP: u32 = DATA + 8;
const CONTROL: u32 = DATA + 12;
const HANDLER: u32 = CODE + 0x1000;

fn out(a: &mut CodeAssembler, port: u32, value: u32) {
    a.mov(al, value as i32).unwrap();
    a.out(port as i32, al).unwrap();
}

/// The 8259 pair with all but IRQ 13 masked, its output at the processor; the unit with zero-divide unmasked, and such an
/// exception pending.
fn pending(a: &mut CodeAssembler) {
    for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xfb)] {
        out(a, port, value);
    }
    for (port, value) in [(0xa0, 0x11), (0xa1, 0x28), (0xa1, 2), (0xa1, 1), (0xa1, 0xdf)] {
        out(a, port, value);
    }
    a.mov(dword_ptr(APIC + 0xf0), 0x1ff).unwrap();
    a.mov(dword_ptr(APIC + 0x350), 0x700).unwrap();
    a.fninit().unwrap();
    a.mov(dword_ptr(CONTROL), 0x37b).unwrap();
    a.fldcw(word_ptr(CONTROL)).unwrap();
    divide(a);
}

fn divide(a: &mut CodeAssembler) {
    a.fld1().unwrap();
    a.fldz().unwrap();
    a.fdivp(st1, st0).unwrap();
}

/// The guest with its handler, which clears the exception or, with `keep`, uses the unit in spite of it.
fn machine(shortcuts: Shortcuts, keep: bool, build: impl Fn(&mut CodeAssembler)) -> Machine {
    let mut a = CodeAssembler::new(32).unwrap();
    build(&mut a);
    let mut m = guest(MachineConfig { shortcuts, ..config("p3") }, &mut a, 1);
    let mut h = CodeAssembler::new(32).unwrap();
    h.push(eax).unwrap();
    out(&mut h, 0xf0, 0);
    h.fnstsw(ax).unwrap();
    h.mov(word_ptr(STATUS), ax).unwrap();
    if keep {
        h.fldz().unwrap(); // waits, but for IGNNE#
        h.fstp(st0).unwrap();
    } else {
        h.fnclex().unwrap();
    }
    h.inc(dword_ptr(COUNT)).unwrap();
    h.mov(eax, dword_ptr(esp + 4)).unwrap();
    h.mov(dword_ptr(EIP), eax).unwrap();
    out(&mut h, 0xa0, 0x20);
    out(&mut h, 0x20, 0x20);
    h.pop(eax).unwrap();
    h.iretd().unwrap();
    let code = h.assemble(u64::from(HANDLER)).unwrap();
    assert!(m.bus_mut().ram.poke(u64::from(HANDLER), &code));
    put(&mut m, IDT + 8 * VECTOR, u32::from(CODE0) << 16 | HANDLER & 0xffff);
    put(&mut m, IDT + 8 * VECTOR + 4, HANDLER & 0xffff_0000 | 0x8e00);
    m
}

#[test]
fn the_next_waiting_instruction_waits_for_irq_13() {
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut m = machine(shortcuts, false, |a| {
            pending(a);
            a.sti().unwrap();
            a.fnstsw(ax).unwrap(); // does not wait
            a.mov(ecx, dword_ptr(COUNT)).unwrap();
            a.wait().unwrap(); // does
            a.mov(ebx, dword_ptr(COUNT)).unwrap();
            a.fninit().unwrap();
            a.fldcw(word_ptr(CONTROL)).unwrap();
            divide(a);
            a.fld1().unwrap();
            a.mov(edi, dword_ptr(COUNT)).unwrap();
        });
        assert_eq!(notes(&mut m), []);
        let r = m.cpus()[0].regs;
        assert_eq!((r[1], r[3], r[7]), (0, 1, 2), "once for each error");
        assert_eq!(peek(&m, STATUS) & 0x84, 0x84);
    }
}

#[test]
fn the_instruction_that_waited_is_begun_again() {
    let mut m = machine(Shortcuts::On, false, |a| {
        pending(a);
        a.sti().unwrap();
        a.call(u64::from(CODE) + 0x800).unwrap();
    });
    // fld1; ret
    assert!(m.bus_mut().ram.poke(u64::from(CODE) + 0x800, &[0xd9, 0xe8, 0xc3]));
    assert_eq!(notes(&mut m), []);
    assert_eq!((peek(&m, COUNT), peek(&m, EIP)), (1, CODE + 0x800));
    assert_eq!(m.cpus()[0].fpu.status() >> 11 & 7, 5, "two of the division, one more");
}

#[test]
fn after_port_f0_the_error_is_ignored_until_it_is_cleared() {
    let mut m = machine(Shortcuts::On, true, |a| {
        pending(a);
        a.sti().unwrap();
        a.wait().unwrap();
        a.fld1().unwrap(); // still ignored
        a.mov(ebx, dword_ptr(COUNT)).unwrap();
        a.fninit().unwrap();
        a.fldcw(word_ptr(CONTROL)).unwrap();
        divide(a);
        a.wait().unwrap(); // another error
        a.mov(edi, dword_ptr(COUNT)).unwrap();
    });
    assert_eq!(notes(&mut m), []);
    let r = m.cpus()[0].regs;
    assert_eq!((r[3], r[7]), (1, 2));
}

#[test]
fn with_interrupts_off_nothing_wakes_it() {
    let mut m = machine(Shortcuts::On, false, |a| {
        pending(a);
        a.wait().unwrap();
    });
    assert_eq!(m.run(&mut Nobody), Stop::Deadlock);
}

#[test]
fn with_ne_set_it_is_an_exception() {
    let mut m = machine(Shortcuts::On, false, |a| {
        a.mov(eax, cr0).unwrap();
        a.or(eax, 0x20).unwrap();
        a.mov(cr0, eax).unwrap();
        pending(a);
        a.sti().unwrap();
        a.wait().unwrap();
    });
    assert_eq!(notes(&mut m).iter().map(|n| n.vector).collect::<Vec<_>>(), [16]);
    assert_eq!(peek(&m, COUNT), 0);
}
