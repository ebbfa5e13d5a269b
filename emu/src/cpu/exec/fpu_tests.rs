//! What the processor does around the x87 unit. (The unit itself is compared with the host's in `emu/host-x87`.)

use super::tests::{Rig, rig};
use crate::cost::Preset;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::op::Flow;
use crate::cpu::x87::Fpu;
use crate::cpu::{Request, cr0};

const NM: Exception = Exception::plain(vector::NM);
const MF: Exception = Exception::plain(vector::MF);
/// Where operands lie.
const DATA: u32 = 0x2000;

fn ready() -> Rig {
    let mut r = rig();
    r.cpu.identify(&Preset::builtin("p3").expect("built-in preset"));
    r.cpu.cr0 |= cr0::NE;
    r.cpu.regs[3] = DATA;
    assert_eq!(r.run(&[0xdb, 0xe3]), Ok(()));
    r
}

/// Runs code that raises, and tells what.
fn raised(r: &mut Rig, code: &[u8]) -> Option<Exception> {
    assert_eq!(r.run(code), Err(Flow::Fault), "{code:02x?}");
    r.cpu.fault.take()
}

#[test]
fn the_kernel_switches_the_unit_off() {
    let mut r = ready();
    // bits of CR0, does fld1 raise #NM, does fwait
    for (bits, fld, wait) in [
        (0, false, false),
        (cr0::MP, false, false),
        (cr0::TS, true, false),
        (cr0::TS | cr0::MP, true, true),
        (cr0::EM, true, false),
        (cr0::EM | cr0::MP, true, false),
    ] {
        r.cpu.cr0 = cr0::PE | cr0::ET | cr0::NE | bits;
        for (code, faults) in [(&[0xd9, 0xe8][..], fld), (&[0xdb, 0xe3], fld), (&[0x9b], wait)] {
            let expected = if faults { Err(Flow::Fault) } else { Ok(()) };
            assert_eq!(r.run(code), expected, "{bits:x} {code:02x?}");
            assert_eq!(r.cpu.fault.take(), faults.then_some(NM));
        }
    }
}

#[test]
fn without_a_unit_every_instruction_of_it_is_missing() {
    let mut r = ready();
    let mut preset = Preset::builtin("p3").expect("built-in preset");
    preset.set("features.fpu", "false").expect("a feature");
    r.cpu.identify(&preset);
    // fld1; fninit; fnstsw ax; fnsave [ebx]; fxsave [ebx]
    for code in [&[0xd9, 0xe8][..], &[0xdb, 0xe3], &[0xdf, 0xe0], &[0xdd, 0x33], &[0x0f, 0xae, 0x03]] {
        assert_eq!(raised(&mut r, code), Some(NM), "{code:02x?}");
    }
    assert_eq!(r.run(&[0x9b]), Ok(()), "fwait has nothing to wait for");
}

#[test]
fn an_unmasked_exception_waits_for_the_next_waiting_instruction() {
    let mut r = ready();
    // fldcw [ebx] with zero-divide unmasked; fld1; fldz; fdivp
    assert!(r.bus.ram.poke(u64::from(DATA), &[0x7b, 0x03]));
    assert_eq!(r.run(&[0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9]), Ok(()));
    // fnstsw ax goes on, and shows ES, B and ZE with both operands in place.
    assert_eq!(r.run(&[0xdf, 0xe0]), Ok(()));
    assert_eq!(r.cpu.regs[0] & 0xffff, 0xb084);
    for code in [&[0x9b][..], &[0xd9, 0xe8], &[0xdd, 0x1b]] {
        assert_eq!(raised(&mut r, code), Some(MF));
    }
    assert_eq!(r.run(&[0xdb, 0xe2, 0x9b, 0xd9, 0xe8]), Ok(()), "fnclex ends it");
    // Unmasking what was raised earlier is enough: fldz; fld1; fdiv st,st1; fldcw [ebx]
    r.cpu.fpu.initialise();
    assert_eq!(r.run(&[0xd9, 0xee, 0xd9, 0xe8, 0xd8, 0xf1, 0xd9, 0x2b]), Ok(()));
    assert_eq!(raised(&mut r, &[0x9b]), Some(MF));
}

#[test]
fn without_numeric_errors_the_instruction_waits_unless_told_to_go_on() {
    let mut r = ready();
    r.cpu.cr0 &= !cr0::NE;
    assert!(r.bus.ram.poke(u64::from(DATA), &[0x7b, 0x03]));
    assert_eq!(r.run(&[0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9]), Ok(()));
    assert!(!r.cpu.ferr, "not before the next waiting instruction");
    assert_eq!(r.run(&[0xdf, 0xe0]), Ok(()));
    let eip = r.cpu.eip;
    for _ in 0..2 {
        assert_eq!(r.run(&[0x9b]), Err(Flow::Request));
        assert_eq!((r.cpu.request.take(), r.cpu.eip, r.cpu.ferr), (Some(Request::Halt), eip, true));
    }
    // The handler writes to port F0h and may then use the unit.
    r.bus.devices.write(0xf0, 1, 0, 0);
    assert_eq!(r.run(&[0x9b, 0xd9, 0xe8]), Ok(()));
    assert_eq!(r.run(&[0xdb, 0xe2, 0x9b]), Ok(()), "fnclex");
    assert!(!r.cpu.ferr && !r.bus.devices.ignores_numeric_errors());
}

#[test]
fn images_bring_the_state_back() {
    // fsave, 32 and 16 bits; fxsave with fxrstor.
    let pairs: [(&[u8], &[u8]); 3] = [
        (&[0xdd, 0x33], &[0xdd, 0x23]),
        (&[0x66, 0xdd, 0x33], &[0x66, 0xdd, 0x23]),
        (&[0x0f, 0xae, 0x03], &[0x0f, 0xae, 0x0b]),
    ];
    for (save, restore) in pairs {
        let mut r = ready();
        // fldpi; fld1; fchs; fldz; fincstp
        assert_eq!(r.run(&[0xd9, 0xeb, 0xd9, 0xe8, 0xd9, 0xe0, 0xd9, 0xee, 0xd9, 0xf7]), Ok(()));
        let before = (*r.cpu.fpu).clone();
        let (registers, tags, status) = (before.registers(), before.tags(), before.status());
        assert_eq!(r.run(save), Ok(()));
        *r.cpu.fpu = Fpu::default();
        assert_eq!(r.run(restore), Ok(()));
        let after = &r.cpu.fpu;
        assert_eq!(
            (after.registers(), after.tags(), after.status()),
            (registers, tags, status),
            "{save:02x?}"
        );
        assert_eq!(after.control(), 0x37f);
    }
}

#[test]
fn saving_initialises_and_storing_the_environment_masks() {
    let mut r = ready();
    assert!(r.bus.ram.poke(u64::from(DATA), &[0x40, 0x03]));
    assert_eq!(r.run(&[0xd9, 0xe8, 0xd9, 0x2b, 0xd9, 0x73, 0x20]), Ok(()));
    assert_eq!(r.cpu.fpu.control(), 0x37f, "fnstenv masks everything");
    assert_eq!(r.memory(DATA + 0x20, 2), [0x40, 0x03], "the image has the old masks");
    // The last instruction that is not control was fld1, at the block's start.
    assert_eq!(r.memory(DATA + 0x20 + 12, 6), [0, 0, 0x10, 0, 8, 0]);
    assert_eq!(r.memory(DATA + 0x20 + 18, 2), [0xe8, 0x01]);
    assert_eq!(r.run(&[0xdd, 0x73, 0x40]), Ok(()));
    assert_eq!((r.cpu.fpu.tags(), r.cpu.fpu.status(), r.cpu.fpu.control()), (0xffff, 0, 0x37f));
}

#[test]
fn fxsave_wants_sixteen_byte_boundaries_and_its_feature() {
    let mut r = ready();
    r.cpu.regs[3] = DATA + 8;
    for code in [[0x0f, 0xae, 0x03], [0x0f, 0xae, 0x0b]] {
        assert_eq!(raised(&mut r, &code), Some(Exception::GP0));
    }
    r.cpu.identity = Default::default();
    assert_eq!(raised(&mut r, &[0x0f, 0xae, 0x03]), Some(Exception::UD));
}

#[test]
fn a_store_that_faults_leaves_the_stack_alone() {
    let mut r = ready();
    assert_eq!(r.run(&[0xd9, 0xe8]), Ok(()));
    let before = (*r.cpu.fpu).clone();
    // A data segment of 4 KiB: the ten bytes of fstp [ebx] end beyond it.
    let small = crate::cpu::segment::Segment::new(0x10, 0, 0x2007, crate::cpu::segment::attr::PRESENT | 0x12);
    r.cpu.set_segment(crate::cpu::op::DS, small);
    let ops = r.ops(crate::cpu::block::Mode::CODE32 | crate::cpu::block::Mode::STACK32, &[0xdb, 0x3b], true);
    assert_eq!(r.run_ops(&ops), Err(Flow::Fault));
    assert_eq!(r.cpu.fault.take(), Some(Exception::GP0));
    assert!(*r.cpu.fpu == before);
    assert_eq!(r.memory(DATA, 8), [0; 8], "nor is a part of it written");
}

#[test]
fn a_store_that_an_exception_keeps_back_faults_nevertheless() {
    // fldcw [ebx] with invalid operations unmasked; a store of an empty register, into the code segment first.
    let stores: [&[u8]; 4] = [&[0xd9, 0x1b], &[0xdd, 0x1b], &[0xdb, 0x3b], &[0xdf, 0x1b]];
    for store in stores {
        let mut r = ready();
        assert!(r.bus.ram.poke(u64::from(DATA), &[0x7e, 0x03]));
        assert_eq!(r.run(&[0xd9, 0x2b]), Ok(()));
        let before = (*r.cpu.fpu).clone();
        let into_code: Vec<u8> = [0x2e].iter().chain(store).copied().collect();
        assert_eq!(raised(&mut r, &into_code), Some(Exception::GP0), "{store:02x?}");
        assert!(*r.cpu.fpu == before, "nothing has happened");
        assert_eq!(r.run(store), Ok(()));
        assert!(r.cpu.fpu.pending());
        assert_eq!(r.memory(DATA, 2), [0x7e, 0x03], "and nothing is written");
    }
}

#[test]
fn a_number_does_not_wrap_within_eight_bytes() {
    let mut r = ready();
    // One in double precision at FFFC; fld qword [bx]
    assert!(r.bus.ram.poke(0xfffc, &1f64.to_le_bytes()));
    r.cpu.regs[3] = 0xfffc;
    assert_eq!(r.run(&[0x67, 0xdd, 0x07]), Ok(()));
    assert_eq!(r.cpu.fpu.registers()[..10], [0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
    // The last two of ten bytes at FFF9 begin anew: fstp tbyte [bx]
    r.cpu.regs[3] = 0xfff9;
    assert_eq!(r.run(&[0x67, 0xdb, 0x3f]), Ok(()));
    assert_eq!(r.memory(0xfff9, 8), [0, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(r.memory(1, 2), [0xff, 0x3f]);
}

#[test]
fn a_stack_fault_of_two_results_clears_the_range_flag() {
    for code in [[0xd9, 0xf2], [0xd9, 0xfb]] {
        let mut r = ready();
        // C2 from a number: fld1; fxam; fstp st0
        assert_eq!(r.run(&[0xd9, 0xe8, 0xd9, 0xe5, 0xdd, 0xd8]), Ok(()));
        assert_ne!(r.cpu.fpu.status() & 0x400, 0);
        assert_eq!(r.run(&code), Ok(()));
        assert_eq!(r.cpu.fpu.status() & 0x441, 0x41, "{code:02x?}");
    }
}
