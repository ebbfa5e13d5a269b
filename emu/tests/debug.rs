//! Breakpoints, single step, and what the debug registers say afterwards.
//! (SDM vol. 3B, "Debug Registers", "Debug Exceptions".)

mod common;
use common::config;
use common::traps::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::Shortcuts;
use shootdown_emu::{Machine, MachineConfig};

const TF: u32 = 0x100;
const RF: u32 = 0x1_0000;
const BS: u32 = 0x4000;
const BD: u32 = 0x2000;
const DB: u32 = 1;

/// DR7 with breakpoint `n` enabled: what it waits for (R/W) and its length field.
fn enable(n: u32, what: u32, length: u32) -> u32 {
    2 << (2 * n) | (what | length << 2) << (16 + 4 * n)
}

/// Sets breakpoint address `n`.
fn address(a: &mut CodeAssembler, n: usize, at: u32) {
    a.mov(eax, at).unwrap();
    a.mov([dr0, dr1, dr2, dr3][n], eax).unwrap();
}

fn set_dr7(a: &mut CodeAssembler, v: u32) {
    a.mov(eax, v).unwrap();
    a.mov(dr7, eax).unwrap();
}

fn set_tf(a: &mut CodeAssembler) {
    a.pushfd().unwrap();
    a.or(dword_ptr(esp), TF as i32).unwrap();
    a.popfd().unwrap();
}

fn clear_tf(a: &mut CodeAssembler) {
    a.pushfd().unwrap();
    a.and(dword_ptr(esp), !TF as i32).unwrap();
    a.popfd().unwrap();
}

/// Runs the same guest with host shortcuts on, off, and step by step: all must note the same. (vector, bits of DR6) and
/// the notes; labels are addresses in the code.
fn run(build: impl Fn(&mut CodeAssembler)) -> Vec<Note> {
    let mut all = Vec::new();
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut a = CodeAssembler::new(32).unwrap();
        build(&mut a);
        let mut m = guest(MachineConfig { shortcuts, ..config("p3") }, &mut a, 200);
        let notes = notes(&mut m);
        let cpu = &m.cpus()[0];
        all.push((notes, cpu.clock, cpu.count, cpu.regs));
    }
    let mut a = CodeAssembler::new(32).unwrap();
    build(&mut a);
    let mut m = guest(config("p3"), &mut a, 200);
    while m.step(0).is_none() {}
    assert!(all[0] == all[1], "shortcuts show: {:?} {:?}", all[0].0, all[1].0);
    assert_eq!(all[0].0, noted(&m), "stepping shows");
    all.swap_remove(0).0
}

/// DR6 without its fixed bits.
fn bits(n: &Note) -> u32 {
    assert_eq!(n.dr6 & 0xffff_0ff0, 0xffff_0ff0);
    n.dr6 & 0xf00f
}

/// (vector, distance from CODE, bits of DR6)
fn brief(notes: &[Note]) -> Vec<(u32, u32, u32)> {
    notes.iter().map(|n| (n.vector, n.eip - CODE, bits(n))).collect()
}

#[test]
fn an_execution_breakpoint_is_a_fault_once() {
    let notes = run(|a| {
        let mut here = a.create_label();
        address(a, 0, CODE + 17);
        set_dr7(a, enable(0, 0, 0));
        a.nop().unwrap();
        a.set_label(&mut here).unwrap();
        a.inc(esi).unwrap(); // breaks here
        a.nop().unwrap();
        a.cmp(esi, 2).unwrap();
        a.jne(here).unwrap();
    });
    assert_eq!(brief(&notes), [(DB, 17, 1), (DB, 17, 1)], "each time that it is reached");
    assert!(notes.iter().all(|n| n.flags & RF == 0), "RF is left for the handler");
}

#[test]
fn rf_holds_for_one_instruction_only() {
    // The breakpoint is on the second instruction after an iret with RF.
    let notes = run(|a| {
        address(a, 0, CODE + 30);
        set_dr7(a, enable(0, 0, 0));
        a.push(RF as i32 | 2).unwrap(); // 16, 5 bytes
        a.push(i32::from(CODE0)).unwrap(); // 21, 2 bytes
        a.push(CODE as i32 + 29).unwrap(); // 23, 5 bytes
        a.iretd().unwrap(); // 28
        a.nop().unwrap(); // 29
        a.nop().unwrap(); // 30
        a.pushfd().unwrap();
        a.pop(esi).unwrap();
    });
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].flags & RF, 0);
}

#[test]
fn data_breakpoints_see_each_size_and_overlap() {
    // (R/W, length field, offset of the breakpoint, bytes that it covers)
    for (what, length, at, covers) in
        [(1, 0, 1, 1..2), (3, 0, 0, 0..1), (1, 1, 2, 2..4), (3, 3, 4, 4..8), (3, 3, 6, 4..8), (1, 1, 3, 2..4)]
    {
        for size in [1u32, 2, 4] {
            for offset in 0..9u32 {
                for write in [false, true] {
                    let notes = run(|a| {
                        address(a, 2, DATA + at);
                        set_dr7(a, enable(2, what, length));
                        a.mov(ecx, DATA + offset).unwrap();
                        match (size, write) {
                            (1, true) => a.mov(byte_ptr(ecx), al).unwrap(),
                            (2, true) => a.mov(word_ptr(ecx), ax).unwrap(),
                            (_, true) => a.mov(dword_ptr(ecx), eax).unwrap(),
                            (1, _) => a.mov(al, byte_ptr(ecx)).unwrap(),
                            (2, _) => a.mov(ax, word_ptr(ecx)).unwrap(),
                            (_, _) => a.mov(eax, dword_ptr(ecx)).unwrap(),
                        }
                        a.nop().unwrap();
                    });
                    let meets = offset < covers.end && covers.start < offset + size;
                    let hit = meets && (write || what == 3);
                    // Two instructions of 8 and 8 bytes, one of 5, then the access.
                    let end = 21 + if size == 2 { 3 } else { 2 };
                    let expected = if hit { vec![(DB, end, 4)] } else { vec![] };
                    assert_eq!(
                        brief(&notes),
                        expected,
                        "{what} {length} {at}: {size} at {offset}, write {write}"
                    );
                }
            }
        }
    }
}

#[test]
fn pushes_calls_and_read_modify_writes_are_seen() {
    let notes = run(|a| {
        address(a, 2, STACK - 4);
        address(a, 3, DATA);
        set_dr7(a, enable(2, 1, 3) | enable(3, 3, 3));
        a.push(1).unwrap();
        a.pop(ecx).unwrap(); // a read: not seen by a breakpoint on writes
        a.inc(dword_ptr(DATA)).unwrap();
        a.push(dword_ptr(DATA)).unwrap(); // both
        a.pop(ecx).unwrap();
        a.lock().cmpxchg8b(qword_ptr(DATA - 4)).unwrap();
    });
    assert_eq!(notes.iter().map(bits).collect::<Vec<_>>(), [4, 8, 12, 8]);
}

#[test]
fn a_repeated_string_instruction_traps_after_its_element() {
    let notes = run(|a| {
        address(a, 2, DATA + 8);
        set_dr7(a, enable(2, 1, 3));
        a.mov(edi, DATA).unwrap();
        a.mov(ecx, 5).unwrap();
        a.rep().stosd().unwrap();
        a.mov(edi, DATA).unwrap();
        a.mov(ecx, 3).unwrap();
        a.rep().stosd().unwrap();
    });
    assert_eq!(brief(&notes), [(DB, 26, 4), (DB, 40, 4)]);
    assert_eq!(notes.iter().map(|n| (n.ecx, n.flags & RF)).collect::<Vec<_>>(), [(2, RF), (0, 0)]);
}

#[test]
fn a_faulting_instruction_reports_no_data_breakpoint() {
    let notes = run(|a| {
        address(a, 2, DATA);
        set_dr7(a, enable(2, 3, 3));
        a.mov(dword_ptr(DATA), 0x1_0000).unwrap();
        a.mov(ecx, 0).unwrap();
        // Reads the datum as a selector: #GP.
        a.mov(dword_ptr(DATA), 0x1f8).unwrap();
        set_dr7(a, enable(2, 3, 3));
        a.mov(es, word_ptr(DATA)).unwrap();
        a.nop().unwrap();
    });
    // The fault repeats until the notes are full: it is never skipped.
    assert_eq!((notes[0].vector, bits(&notes[0])), (DB, 4));
    assert_eq!((notes[1].vector, bits(&notes[1])), (DB, 4));
    assert!(notes[2..].iter().all(|n| (n.vector, n.code, bits(n)) == (13, 0x1f8, 0)));
}

#[test]
fn port_breakpoints_need_debugging_extensions() {
    for de in [0, 8] {
        let notes = run(|a| {
            a.mov(eax, de).unwrap();
            a.mov(cr4, eax).unwrap();
            address(a, 2, 0x70);
            set_dr7(a, enable(2, 2, 1));
            a.in_(al, 0x71).unwrap();
            a.out(0x80, al).unwrap();
            a.out(0x70, al).unwrap();
            a.in_(al, 0x80).unwrap();
        });
        let expected = if de == 0 { vec![] } else { vec![(DB, 26, 4), (DB, 30, 4)] };
        assert_eq!(brief(&notes), expected);
    }
}

#[test]
fn general_detect_is_a_fault_that_ends_itself() {
    let notes = run(|a| {
        set_dr7(a, 1 << 13);
        a.mov(ecx, dr7).unwrap(); // breaks, and goes on
        a.mov(ebx, dr3).unwrap();
    });
    assert_eq!(brief(&notes), [(DB, 8, BD)]);
    assert_eq!(notes[0].flags & RF, RF);
}

#[test]
fn single_step_traps_after_each_instruction() {
    let notes = run(|a| {
        set_tf(a); // 8 bytes pushfd, or [esp],imm32 (7), popfd: 1 + 7 + 1
        a.nop().unwrap(); // 9
        a.cmp(ecx, 5).unwrap(); // 10: a fused pair
        a.jne(u64::from(CODE) + 15).unwrap(); // 13
        a.mov(ecx, 2).unwrap(); // 15
        a.mov(esi, DATA).unwrap(); // 20
        a.rep().lodsb().unwrap(); // 25
        clear_tf(a); // 27, 28, 35
        a.nop().unwrap();
    });
    let steps: Vec<u32> = notes.iter().map(|n| n.eip - CODE).collect();
    assert_eq!(steps, [10, 13, 15, 20, 25, 25, 27, 28, 35, 36], "popf that clears TF is the last");
    assert!(notes.iter().all(|n| n.vector == DB && bits(n) == BS));
    assert_eq!(notes.iter().map(|n| n.flags & RF).collect::<Vec<_>>(), [0, 0, 0, 0, 0, RF, 0, 0, 0, 0]);
}

#[test]
fn software_interrupts_are_not_stepped_into() {
    let notes = run(|a| {
        set_tf(a);
        a.int3().unwrap(); // 9
        a.nop().unwrap(); // 10
        a.ud2().unwrap(); // 11: faults for ever
    });
    assert_eq!(brief(&notes)[..3], [(3, 10, 0), (DB, 11, BS), (6, 11, 0)]);
    assert_eq!((notes[0].flags & TF, notes[2].flags & (TF | RF)), (TF, TF | RF));
}

#[test]
fn a_load_of_ss_holds_debug_exceptions_for_one_instruction() {
    let notes = run(|a| {
        a.mov(ebx, u32::from(DATA0)).unwrap(); // 5
        a.mov(dword_ptr(DATA), ebx).unwrap(); // 6
        a.nop().unwrap();
        address(a, 0, CODE + 42); // 8
        address(a, 2, DATA); // 8
        set_dr7(a, enable(0, 0, 0) | enable(2, 3, 1)); // 8
        a.mov(ss, word_ptr(DATA)).unwrap(); // 36: 6 bytes
        a.mov(esp, STACK).unwrap(); // 42: the breakpoint here is missed
        a.nop().unwrap(); // 47
        set_tf(a); // 48
        a.mov(ss, ebx).unwrap(); // 57
        a.nop().unwrap(); // 59
        clear_tf(a);
    });
    let brief = brief(&notes);
    assert_eq!(brief[0], (DB, 47, 4), "after the instruction behind it");
    assert_eq!(brief[1], (DB, 60, BS), "no step between mov ss and the next");
}

#[test]
fn sti_holds_no_step() {
    let notes = run(|a| {
        set_tf(a);
        a.sti().unwrap(); // 9
        a.nop().unwrap(); // 10
        clear_tf(a);
    });
    assert_eq!(brief(&notes)[..2], [(DB, 10, BS), (DB, 11, BS)]);
}

#[test]
fn a_step_wakes_from_hlt() {
    let notes = run(|a| {
        set_tf(a);
        a.hlt().unwrap(); // 9
        clear_tf(a);
    });
    assert_eq!(brief(&notes)[0], (DB, 10, BS));
}

#[test]
fn several_reasons_come_together() {
    let notes = run(|a| {
        address(a, 2, DATA);
        address(a, 3, DATA + 2);
        set_dr7(a, enable(2, 1, 3) | enable(3, 3, 0));
        set_tf(a);
        a.mov(dword_ptr(DATA), eax).unwrap();
        clear_tf(a);
    });
    assert_eq!(bits(&notes[0]), BS | 4 | 8);
}

#[test]
fn int1_is_a_trap_without_bits() {
    let notes = run(|a| {
        a.db(&[0xf1]).unwrap();
        a.nop().unwrap();
    });
    assert_eq!(brief(&notes), [(DB, 1, 0)]);
}

#[test]
fn a_breakpoint_comes_before_what_its_instruction_raises() {
    let notes = run(|a| {
        address(a, 1, CODE + 16);
        set_dr7(a, enable(1, 0, 0));
        a.ud2().unwrap();
    });
    assert_eq!(brief(&notes)[..2], [(DB, 16, 2), (6, 16, 0)]);
    // Also before the limit of the code segment, which is a fault of the fetch.
    let mut a = CodeAssembler::new(32).unwrap();
    let mut m = guest(config("p3"), &mut a, 1);
    limited(&mut m);
    let seen: Vec<_> = self::notes(&mut m).iter().map(|n| (n.vector, n.eip)).collect();
    assert_eq!(seen, [(1, 0x1000)]);
}

/// A code segment of 4 KiB with a jump to its end, where a breakpoint is.
fn limited(m: &mut Machine) {
    descriptor(m, 0x30, 0x0040_9b04_0000_0fff);
    let cpu = m.cpu_mut(0).unwrap();
    (cpu.dr[0], cpu.regs[0]) = (CODE + 0x1000, 2);
    let mut a = CodeAssembler::new(32).unwrap();
    a.mov(dr7, eax).unwrap();
    let mut code = a.assemble(u64::from(CODE)).unwrap();
    // jmp 30:1000 would fault itself; jmp 30:0ffb, then five bytes of nothing.
    code.extend([0xea, 0xfb, 0x0f, 0, 0, 0x30, 0]);
    assert!(m.bus_mut().ram.poke(u64::from(CODE), &code));
    assert!(m.bus_mut().ram.poke(u64::from(CODE + 0xffb), &[0x90; 5]));
}

#[test]
fn debug_registers_four_and_five_are_six_and_seven_unless_extended() {
    let notes = run(|a| {
        a.mov(eax, 0x402).unwrap();
        a.db(&[0x0f, 0x23, 0xe8]).unwrap(); // mov dr5,eax
        a.db(&[0x0f, 0x21, 0xe6]).unwrap(); // mov esi,dr4
        a.mov(eax, 8).unwrap();
        a.mov(cr4, eax).unwrap();
        a.db(&[0x0f, 0x21, 0xe6]).unwrap(); // 19
    });
    assert_eq!((notes[0].vector, notes[0].eip - CODE), (6, 19));
}

#[test]
fn misaligned_operands_of_ring_3_raise_ac_where_asked() {
    const AC: u32 = 1 << 18;
    // (CR0.AM, EFLAGS.AC, offset, bytes)
    for am in [false, true] {
        for ac in [0, AC] {
            for offset in 0..9u32 {
                for (size, code) in [
                    (1u32, &[0x8a, 0x01][..]),      // mov al,[ecx]
                    (2, &[0x66, 0x8b, 0x01]),       // mov ax,[ecx]
                    (4, &[0x8b, 0x01]),             // mov eax,[ecx]
                    (4, &[0x89, 0x01]),             // mov [ecx],eax
                    (4, &[0xff, 0x01]),             // inc dword [ecx]
                    (4, &[0xff, 0x31]),             // push dword [ecx]
                    (2, &[0x8e, 0x01]),             // mov es,[ecx]
                    (4, &[0xd9, 0x01]),             // fld dword [ecx]
                    (8, &[0xdd, 0x01]),             // fld qword [ecx]
                    (8, &[0xdb, 0x29]),             // fld tbyte [ecx]
                    (8, &[0xdd, 0x19]),             // fstp qword [ecx]
                    (2, &[0xd9, 0x29]),             // fldcw [ecx]
                    (4, &[0xd9, 0x31]),             // fnstenv [ecx]
                    (2, &[0x66, 0xd9, 0x31]),       // the same with 16 bits
                    (4, &[0xdd, 0x31]),             // fnsave [ecx]
                    (2, &[0x66, 0xdd, 0x31]),       // the same with 16 bits
                    (8, &[0xf0, 0x0f, 0xc7, 0x09]), // lock cmpxchg8b [ecx]
                    (4, &[0xa5]),                   // movsd
                ] {
                    let mut a = CodeAssembler::new(32).unwrap();
                    if am {
                        a.mov(eax, cr0).unwrap();
                        a.or(eax, 1 << 18).unwrap();
                        a.mov(cr0, eax).unwrap();
                    }
                    a.fninit().unwrap();
                    for r in [ecx, esi] {
                        a.mov(r, DATA + offset).unwrap();
                    }
                    a.mov(edi, DATA + 0x100).unwrap();
                    enter_ring3(&mut a, ac | 2);
                    a.db(code).unwrap();
                    let mut m = guest(config("p3"), &mut a, 1);
                    let faults: Vec<_> = notes(&mut m).iter().map(|n| (n.vector, n.code)).collect();
                    let expected = am && ac != 0 && offset % size != 0;
                    assert_eq!(
                        faults,
                        if expected { vec![(17, 0)] } else { vec![] },
                        "{am} {ac} {offset} {code:02x?}"
                    );
                }
            }
        }
    }
}

/// TSS of another task.
const OTHER: u32 = 0x2_2800;

/// Another task in ring 0, at 30 in the GDT, which begins at `eip`.
fn task(m: &mut Machine, eip: u32) {
    descriptor(m, 0x30, 0x0000_8902_2800_0067);
    for (at, v) in [
        (0x04, STACK0 - 0x800),
        (0x08, DATA0.into()),
        (0x20, eip),
        (0x24, 2),
        (0x38, STACK - 0x800),
        (0x48, DATA0.into()),
        (0x4c, CODE0.into()),
        (0x50, DATA0.into()),
        (0x54, DATA0.into()),
    ] {
        put(m, OTHER + at, v);
    }
}

/// As on QEMU; Bochs drops the trap.
#[test]
fn a_step_over_a_task_switch_traps_in_the_new_task() {
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut a = CodeAssembler::new(32).unwrap();
        set_tf(&mut a);
        a.db(&[0xea, 0, 0, 0, 0, 0x30, 0]).unwrap(); // 9: jmp 30:0
        a.int(u32::from(END)).unwrap();
        // The other task, at 18.
        a.nop().unwrap();
        a.int(u32::from(END)).unwrap();
        let mut m = guest(MachineConfig { shortcuts, ..config("p3") }, &mut a, 2);
        task(&mut m, CODE + 18);
        let notes = notes(&mut m);
        assert_eq!(brief(&notes), [(DB, 18, BS)], "before its first instruction, and no more");
        assert_eq!(notes[0].flags & TF, 0, "TF was the old task's");
    }
}

#[test]
fn a_task_with_the_trap_bit_breaks_before_its_first_instruction() {
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut a = CodeAssembler::new(32).unwrap();
        a.db(&[0x9a, 0, 0, 0, 0, 0x30, 0]).unwrap(); // call 30:0
        a.mov(esi, 0x1234).unwrap();
        a.int(u32::from(END)).unwrap();
        // The other task, at 14.
        a.inc(edi).unwrap();
        a.iretd().unwrap();
        let mut m = guest(MachineConfig { shortcuts, ..config("p3") }, &mut a, 2);
        task(&mut m, CODE + 14);
        put(&mut m, OTHER + 0x64, 1);
        assert_eq!(brief(&notes(&mut m)), [(DB, 14, 0x8000)]);
        let cpu = &m.cpus()[0];
        assert_eq!((cpu.regs[6], cpu.tr.selector), (0x1234, TSS_SELECTOR));
        assert_eq!(common::peek(&m, OTHER + 0x44), 1, "EDI of the other task");
    }
}
