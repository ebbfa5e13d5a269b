//! Tests of interrupts, exceptions and far transfers, on the processor of
//! `system_tests.rs`.

use super::super::operand::AnyStack;
use super::super::system::tests::*;
use super::super::{branch, far, interrupt, segment};
use crate::apic::{Kind, LocalApic, Role};
use crate::cpu::exception::{Class, Exception, vector};
use crate::cpu::exec::system::{init, lgdt, mov_to_cr, start_up};
use crate::cpu::flags::{self, IF, IOPL, RF, VM};
use crate::cpu::op::{CS, DS, ES, FLAT, FS, Flow, Handler, Op, SS};
use crate::cpu::{Request, State, Table, cr0};
use crate::stop::Stop;
use shootdown_abi::Activity;

#[test]
fn interrupt_from_ring_3_and_back() {
    let mut r = rig();
    r.gate(0x40, CODE0, 0x1_2345, 0x8e);
    r.enter_ring3();
    let (ledger, clock) = (r.cpu.ledger.clone(), r.cpu.clock);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    assert_eq!((r.cpu.cpl, r.selector(CS), r.cpu.eip), (0, CODE0, 0x1_2345));
    assert_eq!((r.selector(SS), r.cpu.regs[4]), (DATA0, STACK0 - 20));
    let frame: Vec<u32> = (0..5).map(|i| r.peek32(STACK0 - 20 + 4 * i)).collect();
    assert_eq!(frame, [0x5000, u32::from(CODE3), IF | 2, STACK3, u32::from(DATA3)]);
    assert_eq!(r.cpu.flags.rest & IF, 0, "an interrupt gate clears IF");
    assert_eq!(r.cpu.count.interrupts, 1);
    let cost = u64::from(r.cpu.costs.interrupt_entry);
    assert_eq!(r.cpu.clock - clock, cost);
    // The entry is charged to the kernel, not to the user.
    let spent = r.cpu.ledger.totals(r.cpu.clock).since(&ledger.totals(clock));
    assert_eq!(spent.activity[Activity::Kernel as usize], cost);
    assert_eq!(spent.activity[Activity::User as usize], 0);
    assert_eq!(r.run(far::iret, op()), Err(Flow::Branch));
    assert_eq!((r.cpu.cpl, r.cpu.eip, r.cpu.regs[4], r.selector(SS)), (3, 0x5000, STACK3, DATA3));
    assert_eq!(r.cpu.flags.rest & IF, IF);
    assert!(r.cpu.ledger.check(r.cpu.clock));
}

#[test]
fn going_outward_makes_inner_data_segments_unusable() {
    let mut r = rig();
    r.cpu.regs[0] = u32::from(DATA3);
    assert_eq!(r.run(segment::mov_sreg_reg, Op { dst: ES, ..op() }), Err(Flow::Branch));
    r.enter_ring3();
    assert_eq!(r.selector(ES), DATA3, "ring 3 may use this one");
    assert_eq!((r.selector(DS), r.cpu.seg[usize::from(DS)].attr), (0, 0));
    let step = r.cpu.load::<u32>(&mut r.bus, &mem(DATA));
    assert_eq!(step, Err(Flow::Fault));
    assert_eq!(r.cpu.fault, Some(Exception::GP0));
}

#[test]
fn trap_gate_keeps_if_and_a_fault_saves_rf_and_its_code() {
    let mut r = rig();
    r.gate(14, CODE0, 0x6000, 0x8f);
    r.cpu.flags.set(IF);
    let e = Exception::with_code(vector::PF, 2);
    interrupt::deliver_exception(&mut r.cpu, &mut r.bus, e).expect("delivered");
    let esp = r.cpu.regs[4];
    assert_eq!(esp, STACK0 - 0x100 - 16, "same level: no SS:ESP");
    let frame: Vec<u32> = (0..4).map(|i| r.peek32(esp + 4 * i)).collect();
    assert_eq!(frame, [2, 0x4000, u32::from(CODE0), IF | RF | 2]);
    assert_eq!(r.cpu.flags.rest & IF, IF);
    assert_eq!(r.cpu.flags.rest & RF, 0);
    assert_eq!((r.cpu.count.exceptions, r.cpu.count.page_faults), (1, 1));
}

#[test]
fn sixteen_bit_gate_pushes_words() {
    let mut r = rig();
    r.gate(0x40, CODE0, 0x6000, 0x86);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    let esp = r.cpu.regs[4];
    assert_eq!(esp, STACK0 - 0x100 - 6);
    assert_eq!(r.peek32(esp), u32::from(CODE0) << 16 | 0x4000);
    assert_eq!(r.run(far::iret, Op { bits: Op::OP16, ..op() }), Err(Flow::Branch));
    assert_eq!((r.cpu.eip, r.cpu.regs[4]), (0x4000, STACK0 - 0x100));
}

#[test]
fn int_n_needs_the_gates_permission() {
    let mut r = rig();
    r.gate(0x80, CODE0, 0x6000, 0xee);
    r.gate(0x81, CODE0, 0x6000, 0x8e);
    r.enter_ring3();
    let before = r.state();
    let step = r.run(interrupt::int_n, Op { imm: 0x81, ..op() });
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, 0x81 * 8 + 2));
    assert_eq!(r.state(), before);
    let step = r.run(interrupt::int_n, Op { imm: 0x82, ..op() });
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, 0x82 * 8 + 2), "an empty gate");
    assert_eq!(r.run(interrupt::int_n, Op { imm: 0x80, ..op() }), Err(Flow::Branch));
    assert_eq!((r.cpu.cpl, r.cpu.eip), (0, 0x6000));
    assert_eq!(r.peek32(r.cpu.regs[4]), 0x5002, "the next instruction");
    assert_eq!(r.cpu.flags.rest & RF, 0);
}

#[test]
fn absent_gate_is_np_with_idt_and_ext_bits() {
    let mut r = rig();
    r.gate(0x40, CODE0, 0x6000, 0x0e);
    r.gate(11, CODE0, 0x7000, 0x8e);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("#NP delivered");
    assert_eq!(r.cpu.eip, 0x7000);
    assert_eq!(r.peek32(r.cpu.regs[4]), 0x40 * 8 + 2 + 1);
}

#[test]
fn a_fault_in_delivery_becomes_a_double_then_a_triple_fault() {
    let mut r = rig();
    r.gate(14, CODE0, 0x6000, 0x8e);
    r.gate(8, CODE0, 0x7000, 0x8e);
    r.enter_ring3();
    r.poke32(TSS + 8, 0); // no stack for ring 0: #TS on every entry
    let before = r.state();
    let e = Exception::with_code(vector::PF, 4);
    let end = interrupt::deliver_exception(&mut r.cpu, &mut r.bus, e);
    assert_eq!(end, Err(Request::Stop(Stop::TripleFault { cpu: 0 })));
    assert_eq!(r.cpu.state, State::Shutdown);
    assert_eq!(r.state(), before);

    // With a gate for the page fault only missing, the double fault is delivered with code 0.
    let mut r = rig();
    r.gate(8, CODE0, 0x7000, 0x8e);
    interrupt::deliver_exception(&mut r.cpu, &mut r.bus, e).expect("#DF delivered");
    assert_eq!((r.cpu.eip, r.peek32(r.cpu.regs[4])), (0x7000, 0));
}

#[test]
fn a_stack_that_is_too_small_changes_nothing() {
    let mut r = rig();
    r.gate(0x40, CODE0, 0x6000, 0x8e);
    r.gate(12, CODE0, 0x7000, 0x8e);
    r.poke32(TSS + 4, 0x1010);
    r.poke32(TSS + 8, u32::from(SMALL_STACK));
    r.enter_ring3();
    let before = r.state();
    let stack = r.peek32(0x1000);
    // 16-bit stack of 4 KiB: the first push at 0x100c lies beyond it.
    let end = interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40);
    assert!(end.is_err(), "#SS cannot be delivered on that stack either");
    assert_eq!(r.state(), before);
    assert_eq!(r.peek32(0x1000), stack);
}

#[test]
fn v86_saves_segments_and_comes_back() {
    let mut r = rig();
    r.gate(0x40, CODE0, 0x6000, 0x8e);
    let image = [0x100, 0x2000, VM | IF | IOPL | 2, 0xfffe, 0x3000, 0x11, 0x22, 0x33, 0x44];
    for (i, v) in (0u32..).zip(image) {
        let at = r.cpu.regs[4] + 4 * i;
        r.poke32(at, v);
    }
    assert_eq!(r.run(far::iret, op()), Err(Flow::Branch));
    assert!(r.cpu.v86() && r.cpu.cpl == 3);
    assert_eq!((r.cpu.seg[usize::from(CS)].base, r.cpu.eip), (0x2_0000, 0x100));
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    assert!(!r.cpu.v86() && r.cpu.cpl == 0);
    assert_eq!(r.cpu.regs[4], STACK0 - 36);
    let frame: Vec<u32> = (0..9).map(|i| r.peek32(STACK0 - 36 + 4 * i)).collect();
    assert_eq!(frame, image);
    assert_eq!((r.selector(DS), r.selector(FS)), (0, 0));
    assert_eq!(r.run(far::iret, op()), Err(Flow::Branch));
    assert!(r.cpu.v86());
    assert_eq!((r.selector(ES), r.selector(DS), r.selector(FS)), (0x11, 0x22, 0x33));
    // Without IOPL 3, `int n` and `iret` belong to the monitor.
    r.cpu.flags.rest &= !IOPL;
    let step = r.run(interrupt::int_n, Op { imm: 0x40, ..op() });
    assert_eq!(r.fault(step), Exception::GP0);
    let step = r.run(far::iret, op());
    assert_eq!(r.fault(step), Exception::GP0);
}

#[test]
fn call_gate_switches_stacks_and_retf_returns() {
    let mut r = rig();
    r.enter_ring3();
    r.poke32(STACK3, 0x1111);
    r.poke32(STACK3 + 4, 0x2222);
    let call = Op { disp: u32::from(GATE), imm: 0xffff_ffff, len: 7, ..op() };
    assert_eq!(r.run(far::call_far_ptr, call), Err(Flow::Branch));
    assert_eq!((r.cpu.cpl, r.selector(CS), r.cpu.eip), (0, CODE0, 0x5678));
    assert_eq!((r.selector(SS), r.cpu.regs[4]), (DATA0, STACK0 - 24));
    let frame: Vec<u32> = (0..6).map(|i| r.peek32(STACK0 - 24 + 4 * i)).collect();
    assert_eq!(frame, [0x5007, u32::from(CODE3), 0x1111, 0x2222, STACK3, u32::from(DATA3)]);
    assert_eq!(r.run(far::retf, Op { imm: 8, ..op() }), Err(Flow::Branch));
    assert_eq!(
        (r.cpu.cpl, r.cpu.eip, r.cpu.regs[4]),
        (3, 0x5007, STACK3 + 8),
        "parameters are gone from both stacks"
    );
    // The gate's target is not reachable by a jump, nor directly.
    let step = r.run(far::jmp_far_ptr, call);
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, u32::from(CODE0)));
    let step = r.run(far::call_far_ptr, Op { disp: u32::from(CODE0), ..call });
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, u32::from(CODE0)));
}

#[test]
fn far_jump_checks_the_limit_and_a_far_call_that_cannot_push_changes_nothing() {
    let mut r = rig();
    let jump = |offset, selector: u16| Op { imm: offset, disp: u32::from(selector), ..op() };
    let step = r.run(far::jmp_far_ptr, jump(0x1000, SMALL_CODE));
    assert_eq!(r.fault(step), Exception::GP0);
    assert_eq!(r.run(far::jmp_far_ptr, jump(0xfff, SMALL_CODE)), Err(Flow::Branch));
    assert!(!r.cpu.seg[usize::from(CS)].big());
    assert_eq!(r.run(far::jmp_far_ptr, jump(0x4000, CODE0)), Err(Flow::Branch));
    r.cpu.regs[0] = u32::from(SMALL_STACK);
    assert_eq!(r.run(segment::mov_sreg_reg, Op { dst: SS, ..op() }), Err(Flow::Branch));
    r.cpu.regs[4] = 0x2000;
    let before = r.state();
    let step = r.run(far::call_far_ptr, jump(0x4000, CODE0));
    assert_eq!(r.fault(step), Exception::SS0);
    assert_eq!(r.state(), before);
}

#[test]
fn calls_and_gates_check_the_stack_before_the_limit_of_the_code_segment() {
    let far_call = Op { imm: 0x1000, disp: u32::from(SMALL_CODE), ..op() };
    let through_gate = Op { imm: 0, disp: u32::from(GATE), ..op() };
    let faults = |r: &mut Rig| {
        // Gates to 5678h of a code segment of 4 KiB.
        r.poke32(GDT + u32::from(GATE & !7), u32::from(SMALL_CODE) << 16 | 0x5678);
        r.gate(0x40, SMALL_CODE, 0x5678, 0xee);
        let step = r.run(far::call_far_ptr, through_gate);
        let gate = r.fault(step);
        let step = r.run(interrupt::int_n, Op { imm: 0x40, ..op() });
        [gate, r.fault(step)]
    };
    let mut r = rig();
    assert_eq!(faults(&mut r), [Exception::GP0; 2], "room, but beyond the limit");
    let step = r.run(far::call_far_ptr, far_call);
    assert_eq!(r.fault(step), Exception::GP0);

    r.cpu.regs[0] = u32::from(SMALL_STACK);
    assert_eq!(r.run(segment::mov_sreg_reg, Op { dst: SS, ..op() }), Err(Flow::Branch));
    r.cpu.regs[4] = 0x2000;
    assert_eq!(faults(&mut r), [Exception::SS0; 2], "no room");
    let step = r.run(far::call_far_ptr, far_call);
    assert_eq!(r.fault(step), Exception::SS0);

    // From ring 3, to a stack that the TSS names.
    let mut r = rig();
    r.enter_ring3();
    assert_eq!(faults(&mut r), [Exception::GP0; 2]);
    r.poke32(TSS + 8, u32::from(DATA3));
    let wrong = Exception::with_code(vector::TS, u32::from(DATA3) & !3);
    assert_eq!(faults(&mut r), [wrong; 2], "no stack for ring 0");
    r.poke32(TSS + 4, 0x2000);
    r.poke32(TSS + 8, u32::from(SMALL_STACK));
    let full = Exception::with_code(vector::SS, u32::from(SMALL_STACK));
    assert_eq!(faults(&mut r), [full; 2], "no room there");
}

#[test]
fn a_near_call_checks_the_stack_before_the_limit_of_the_code_segment() {
    let mut r = rig();
    assert_eq!(
        r.run(far::jmp_far_ptr, Op { imm: 0x10, disp: u32::from(SMALL_CODE), ..op() }),
        Err(Flow::Branch)
    );
    r.cpu.regs[3] = 0x1000;
    let call = Op { dst: 3, ..op() };
    let step = r.run(branch::call_r::<u16, AnyStack>, call);
    assert_eq!(r.fault(step), Exception::GP0);
    r.cpu.regs[0] = u32::from(SMALL_STACK);
    assert_eq!(r.run(segment::mov_sreg_reg, Op { dst: SS, ..op() }), Err(Flow::Branch));
    r.cpu.regs[4] = 0x2000;
    let step = r.run(branch::call_r::<u16, AnyStack>, call);
    assert_eq!(r.fault(step), Exception::SS0);
}

/// Pushes what `retf` or `iret` takes, the first word on top.
fn frame(r: &mut Rig, words: &[u32]) {
    for (i, v) in (0u32..).zip(words) {
        let at = r.cpu.regs[4] + 4 * i;
        r.poke32(at, *v);
    }
}

#[test]
fn a_return_that_fails_leaves_descriptors_alone_and_checks_the_stack_before_eip() {
    let mut r = rig();
    // Ring-3 code of 4 KiB and ring-3 data, neither accessed yet.
    let (code, data) = (0x4b, 0x43);
    let fresh = |r: &mut Rig| {
        r.poke64(GDT + 0x48, 0x0040_fa00_0000_0fff);
        r.poke64(GDT + 0x40, 0x00cf_f200_0000_ffff);
    };
    let bytes = |r: &Rig| [0x48, 0x40].map(|at| r.peek32(GDT + at + 4) >> 8 & 0xff);
    for (eip, ss, expected) in [
        (0x10, u32::from(DATA3) & !3, Exception::with_code(vector::GP, 0x20)),
        (0x1000, u32::from(DATA3) & !3, Exception::with_code(vector::GP, 0x20)),
        (0x10, u32::from(ABSENT | 3), Exception::with_code(vector::GP, 0x30)),
        (0x1000, data, Exception::GP0),
    ] {
        fresh(&mut r);
        let before = r.state();
        frame(&mut r, &[eip, code, STACK3, ss]);
        let step = r.run(far::retf, op());
        assert_eq!(r.fault(step), expected, "retf to {eip:#x}, SS {ss:#x}");
        frame(&mut r, &[eip, code, 2, STACK3, ss]);
        let step = r.run(far::iret, op());
        assert_eq!(r.fault(step), expected, "iret to {eip:#x}, SS {ss:#x}");
        assert_eq!(r.state(), before);
        assert_eq!(bytes(&r), [0xfa, 0xf2], "not accessed");
    }
    frame(&mut r, &[0x10, code, STACK3, data]);
    assert_eq!(r.run(far::retf, op()), Err(Flow::Branch));
    assert_eq!(bytes(&r), [0xfb, 0xf3], "accessed");
}

#[test]
fn calls_and_gates_mark_the_code_segment_when_the_frame_is_pushed() {
    let mut r = rig();
    let fresh = 0x00cf_9a00_0000_ffffu64;
    r.poke64(GDT + 0x40, fresh);
    let byte = |r: &Rig| r.peek32(GDT + 0x44) >> 8 & 0xff;
    r.gate(0x40, 0x40, 0x6000, 0x8e);
    r.cpu.regs[0] = u32::from(SMALL_STACK);
    assert_eq!(r.run(segment::mov_sreg_reg, Op { dst: SS, ..op() }), Err(Flow::Branch));
    // No room on a stack of 4 KiB.
    r.cpu.regs[4] = 0x2000;
    let call = Op { imm: 0x4000, disp: 0x40, ..op() };
    let step = r.run(far::call_far_ptr, call);
    assert_eq!(r.fault(step), Exception::SS0);
    let int = Op { imm: 0x40, ..op() };
    let step = r.run(interrupt::int_n, int);
    assert_eq!(r.fault(step), Exception::SS0);
    assert_eq!(byte(&r), 0x9a, "not accessed");
    r.cpu.regs[4] = 0x800;
    assert_eq!(r.run(interrupt::int_n, int), Err(Flow::Branch));
    assert_eq!(byte(&r), 0x9b, "accessed");
}

#[test]
fn going_outward_clears_null_selectors_with_an_rpl() {
    let mut r = rig();
    r.cpu.regs[0] = 2;
    assert_eq!(r.run(segment::mov_sreg_reg, Op { dst: FS, ..op() }), Err(Flow::Branch));
    assert_eq!(r.selector(FS), 2);
    r.enter_ring3();
    assert_eq!(r.selector(FS), 0);
}

#[test]
fn the_bootstrap_processor_begins_again_after_init() {
    let mut r = rig();
    r.cpu.raise_nmi();
    init(&mut r.cpu, &mut r.bus);
    assert_eq!((r.cpu.state, r.cpu.nmi), (State::Running, false));
    assert_eq!((r.cpu.seg[usize::from(CS)].base, r.cpu.eip), (0xffff_0000, 0xfff0));
}

#[test]
fn an_nmi_waits_for_the_iret_of_the_one_before() {
    let mut r = rig();
    init(&mut r.cpu, &mut r.bus);
    r.cpu.regs[4] = 0x7000;
    (r.cpu.nmi, r.cpu.nmi_blocked) = (false, true);
    r.cpu.raise_nmi();
    r.cpu.raise_nmi();
    assert!(!r.cpu.interrupt_waits());
    assert_eq!(r.run(far::iret, Op { bits: Op::OP16, ..op() }), Err(Flow::Branch));
    assert!(r.cpu.nmi && r.cpu.interrupt_waits(), "one of the two");
    r.cpu.nmi = false;
    r.run(far::iret, Op { bits: Op::OP16, ..op() }).unwrap_err();
    assert!(!r.cpu.nmi);
}

#[test]
fn real_mode_to_protected_mode_and_back_to_real_interrupts() {
    let mut r = rig();
    r.cpu.apic = LocalApic::new(1, Role::Ap, Kind::P6, 700, 100);
    init(&mut r.cpu, &mut r.bus);
    assert_eq!(r.cpu.state, State::WaitForSipi);
    start_up(&mut r.cpu, 8);
    assert_eq!((r.cpu.seg[usize::from(CS)].base, r.selector(CS), r.cpu.eip), (0x8000, 0x800, 0));
    // An interrupt through the vector table of real mode.
    r.poke32(0x40 * 4, 0x1234_0056);
    r.cpu.idtr = Table { base: 0, limit: 0x3ff };
    r.cpu.regs[4] = 0x7000;
    r.cpu.flags.set(IF);
    interrupt::deliver_interrupt(&mut r.cpu, &mut r.bus, 0x40).expect("delivered");
    assert_eq!((r.cpu.seg[usize::from(CS)].base, r.cpu.eip, r.cpu.regs[4]), (0x1_2340, 0x56, 0x6ffa));
    assert_eq!(r.cpu.flags.rest & IF, 0);
    assert_eq!(r.run(far::iret, Op { bits: Op::OP16, ..op() }), Err(Flow::Branch));
    assert_eq!((r.selector(CS), r.cpu.eip, r.cpu.flags.rest & IF), (0x800, 0, IF));
    // The trampoline's way up: lgdt, PE, far jump with 32-bit offset.
    r.poke32(DATA, GDT << 16 | u32::from(GDT_LIMIT));
    r.poke32(DATA + 4, GDT >> 16 | 0xff00);
    let lgdt16 = Op { bits: Op::OP16, seg: FLAT, ..mem(DATA) };
    assert_eq!(r.run(lgdt, lgdt16), Err(Flow::Branch));
    assert_eq!(r.cpu.gdtr, Table { base: GDT, limit: GDT_LIMIT }, "24-bit base");
    r.cpu.regs[0] = r.cpu.cr0 | cr0::PE;
    assert_eq!(r.run(mov_to_cr, op()), Err(Flow::Branch));
    let jump = Op { imm: 0x12_3456, disp: u32::from(CODE0), ..op() };
    assert_eq!(r.run(far::jmp_far_ptr, jump), Err(Flow::Branch));
    assert_eq!(r.cpu.eip, 0x12_3456);
    assert!(r.cpu.seg[usize::from(CS)].big());
}

#[test]
fn sysenter_and_sysexit_use_flat_segments() {
    let mut r = rig();
    let step = r.run(far::sysenter, op());
    assert_eq!(r.fault(step), Exception::GP0, "no selector set");
    r.cpu.msr.sysenter = [u32::from(CODE0), STACK0, 0x7000];
    r.enter_ring3();
    assert_eq!(r.run(far::sysenter, op()), Err(Flow::Branch));
    assert_eq!((r.cpu.cpl, r.selector(CS), r.selector(SS)), (0, CODE0, DATA0));
    assert_eq!((r.cpu.eip, r.cpu.regs[4], r.cpu.flags.rest & IF), (0x7000, STACK0, 0));
    (r.cpu.regs[1], r.cpu.regs[2]) = (STACK3, 0x5002);
    assert_eq!(r.run(far::sysexit, op()), Err(Flow::Branch));
    assert_eq!((r.cpu.cpl, r.selector(CS), r.selector(SS)), (3, CODE3, DATA3));
    assert_eq!((r.cpu.eip, r.cpu.regs[4]), (0x5002, STACK3));
}

#[test]
fn into_and_int3_are_traps() {
    let mut r = rig();
    r.gate(4, CODE0, 0x6000, 0xee);
    r.gate(3, CODE0, 0x7000, 0xee);
    assert_eq!(r.run(interrupt::into, op()), Err(Flow::Branch));
    assert_eq!(r.cpu.eip, 0x4002, "no overflow: the next instruction");
    r.cpu.flags.put(flags::OF, true);
    assert_eq!(r.run(interrupt::into, op()), Err(Flow::Branch));
    assert_eq!((r.cpu.eip, r.peek32(r.cpu.regs[4])), (0x6000, 0x4004));
    assert_eq!(r.run(interrupt::int3, op()), Err(Flow::Branch));
    assert_eq!((r.cpu.eip, r.peek32(r.cpu.regs[4])), (0x7000, 0x6002));
    assert_eq!(r.cpu.count.exceptions, 2);
}

#[test]
fn software_interrupts_save_rf_as_0() {
    for (vector, interrupt) in
        [(3, interrupt::int3 as Handler), (1, interrupt::int1), (0x80, interrupt::int_n)]
    {
        let mut r = rig();
        r.gate(vector, CODE0, 0x6000, 0xee);
        r.cpu.flags.rest |= RF;
        assert_eq!(r.run(interrupt, Op { imm: vector, ..op() }), Err(Flow::Branch));
        assert_eq!((r.cpu.eip, r.peek32(r.cpu.regs[4] + 8) & RF), (0x6000, 0), "vector {vector}");
    }
}

#[test]
fn a_trap_exception_is_reported_after_its_instruction() {
    let mut r = rig();
    r.gate(1, CODE0, 0x6000, 0x8e);
    let e = Exception { vector: vector::DB, code: None, class: Class::Trap };
    interrupt::deliver_exception(&mut r.cpu, &mut r.bus, e).expect("delivered");
    assert_eq!(r.peek32(r.cpu.regs[4] + 8) & RF, 0, "traps do not set RF");
}
