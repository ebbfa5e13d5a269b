//! Handlers run as the decoder chooses them, on a bare processor: flat protected
//! mode, ring 0, paging off. (Single instructions are checked against captured
//! results in `tests/conformance/`; here is what those cannot show.)

use crate::apic::{LocalApic, Role};
use crate::bus::{Bus, ram::Ram};
use crate::cache::Coherence;
use crate::cost::Preset;
use crate::cpu::block::Mode;
use crate::cpu::decode::{Decoded, Model, decode_block, decode_single};
use crate::cpu::exception::Exception;
use crate::cpu::exec::system::enter_multiboot;
use crate::cpu::flags::{ARITH, DF, IF, IOPL, PF, ZF};
use crate::cpu::op::{DS, Flow, Op, SS};
use crate::cpu::segment::{Segment, attr};
use crate::cpu::{Cpu, cr0};
use crate::device::Devices;
use crate::mmu::{Mmu, MmuOptions};

const FLAT32: Mode = Mode::CODE32.union(Mode::STACK32).union(Mode::FLAT);

pub(super) struct Rig {
    pub(super) cpu: Cpu,
    pub(super) bus: Bus,
}

fn rig_with(front: bool) -> Rig {
    let preset = Preset::builtin("p3").expect("built-in preset");
    let apic = LocalApic::new(0, Role::Bsp, preset.apic, preset.clock_mhz, preset.bus_mhz);
    let options = MmuOptions { front, keep: false, caches: false };
    let mut cpu = Cpu::new(0, apic, Mmu::new(&preset, 1, options), preset.costs(), true);
    let bus = Bus::new(Ram::new(16 << 20), Coherence::new(&preset, 1), Devices::new(&preset), false);
    cpu.identify(&preset);
    enter_multiboot(&mut cpu, 0x10_0000, 0);
    cpu.careful = true;
    Rig { cpu, bus }
}

pub(super) fn rig() -> Rig {
    rig_with(true)
}

impl Rig {
    pub(super) fn ops(&self, mode: Mode, code: &[u8], fused: bool) -> Vec<Op> {
        let model = Model { costs: self.cpu.costs, identity: self.cpu.identity };
        let mut padded = code.to_vec();
        padded.extend([0x90; 16]);
        let mut ops = Vec::new();
        let mut at = 0;
        while at < code.len() {
            let d = if fused { decode_block } else { decode_single };
            let Decoded::Block(b) = d(&padded[at..], 0, mode, &model, None) else { panic!("enough bytes") };
            // A single instruction is moved to its place in the block.
            let place = |o: &Op| Op { at: o.at + at as u8, ..*o };
            if fused {
                return b.ops.to_vec();
            }
            ops.extend(b.ops.iter().map(place));
            at += usize::from(b.bytes);
        }
        ops
    }

    /// Runs the instructions up to the first that does not simply go on.
    pub(super) fn run_ops(&mut self, ops: &[Op]) -> Result<(), Flow> {
        ops.iter().try_for_each(|op| (op.run)(&mut self.cpu, &mut self.bus, op))
    }

    pub(super) fn run(&mut self, code: &[u8]) -> Result<(), Flow> {
        let ops = self.ops(FLAT32, code, true);
        self.run_ops(&ops)
    }

    pub(super) fn memory(&self, at: u32, len: usize) -> Vec<u8> {
        let mut b = vec![0; len];
        assert!(self.bus.ram.peek(u64::from(at), &mut b));
        b
    }

    fn fill(&mut self, at: u32, len: usize) {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
        assert!(self.bus.ram.poke(u64::from(at), &bytes));
    }
}

#[test]
fn rep_bsf_is_bsf() {
    // Not tzcnt, which this CPUID does not announce: a source of zero leaves the destination alone.
    let mut r = rig();
    for (source, result) in [(0x50, 4), (0, 9)] {
        r.cpu.regs[..4].copy_from_slice(&[9, 0, 0, source]);
        assert_eq!(r.run(&[0xf3, 0x0f, 0xbc, 0xc3]), Ok(()));
        assert_eq!(r.cpu.regs[0], result);
    }
}

#[test]
fn enter_wraps_a_16_bit_stack_pointer_alone() {
    // enter 0,1 with 32-bit operands: what is pushed as this frame's pointer has the upper half of ESP.
    let mut r = rig();
    r.cpu.regs[4] = 0x1_0000;
    r.cpu.regs[5] = 0x1_2345;
    let stack16 = Mode::CODE32.union(Mode::FLAT);
    let ops = r.ops(stack16, &[0xc8, 0, 0, 1], true);
    let mut ss = r.cpu.seg[SS as usize];
    ss.attr &= !attr::BIG;
    r.cpu.set_segment(SS, ss);
    assert_eq!(r.run_ops(&ops), Ok(()));
    assert_eq!((r.cpu.regs[4], r.cpu.regs[5]), (0x1_fff8, 0x1_fffc));
    assert_eq!(r.memory(0xfff8, 8), [0xfc, 0xff, 1, 0, 0x45, 0x23, 1, 0]);
}

#[test]
fn prefetches_do_nothing() {
    let mut r = rig();
    r.cpu.regs[3] = 0xffff_fff0;
    let before = (r.cpu.regs, r.cpu.flags);
    // prefetchnta [ebx], where nothing is
    assert_eq!(r.run(&[0x0f, 0x18, 0x03]), Ok(()));
    assert!((r.cpu.regs, r.cpu.flags) == before);
}

#[test]
fn a_fused_pair_does_what_its_halves_do() {
    let heads: [&[u8]; 12] = [
        &[0x39, 0xc8],             // cmp eax,ecx
        &[0x38, 0xe1],             // cmp cl,ah
        &[0x83, 0xf8, 0x80],       // cmp eax,-128
        &[0x3c, 0x7f],             // cmp al,127
        &[0x85, 0xc8],             // test eax,ecx
        &[0xa8, 0x81],             // test al,0x81
        &[0x39, 0x0b],             // cmp [ebx],ecx
        &[0x3b, 0x0b],             // cmp ecx,[ebx]
        &[0x80, 0x7b, 0x01, 0x03], // cmp byte [ebx+1],3
        &[0x83, 0x3c, 0xb3, 0xff], // cmp dword [ebx+esi*4],-1
        &[0x48],                   // dec eax
        &[0x41],                   // inc ecx
    ];
    let values =
        [0u32, 1, 2, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ff80, 0xffff_ffff];
    let mut r = rig();
    for head in heads {
        for cc in 0..16u8 {
            let code = [head, &[0x70 | cc, 0x20]].concat();
            let (pair, halves) = (r.ops(FLAT32, &code, true), r.ops(FLAT32, &code, false));
            assert_eq!((pair.len(), halves.len()), (1, 2), "{code:02x?}");
            for a in values {
                for b in values {
                    let mut after = Vec::new();
                    for ops in [&pair, &halves] {
                        r.cpu.eip = 0x5000;
                        r.cpu.regs[..8].copy_from_slice(&[a, b, 0, 0x2000, 0x9000, 0, 1, 0]);
                        r.cpu.flags.set(0x8d5);
                        for at in [0x2000, 0x2004] {
                            assert!(r.bus.ram.poke(at, &a.to_le_bytes()));
                        }
                        // The second half's distances count from its own start.
                        let mut flow = Ok(());
                        for op in ops.iter() {
                            let own = ops.len() > 1 && op.at > 0;
                            let op = if own {
                                Op { disp: op.disp + u32::from(op.at), imm: op.imm + u32::from(op.at), ..*op }
                            } else {
                                *op
                            };
                            flow = (op.run)(&mut r.cpu, &mut r.bus, &op);
                        }
                        assert_eq!(flow, Err(Flow::Branch));
                        after.push((r.cpu.eip, r.cpu.regs, r.cpu.flags.get()));
                    }
                    assert_eq!(after[0], after[1], "{code:02x?} with {a:#x} and {b:#x}");
                }
            }
        }
    }
}

#[test]
fn spans_do_what_single_elements_do() {
    // (code, count, source, destination): within pages, across pages, overlapping by less than an element and more.
    let cases: [(&[u8], u32, u32, u32); 9] = [
        (&[0xf3, 0xa5], 100, 0x2000, 0x8000),
        (&[0xf3, 0xa5], 3000, 0x2ffe, 0x8001),
        (&[0xf3, 0xa4], 5000, 0x2000, 0x2001),
        (&[0xf3, 0xa5], 500, 0x2000, 0x2002),
        (&[0xf3, 0xa5], 500, 0x2000, 0x2008),
        (&[0xf3, 0xa4], 5000, 0x2005, 0x2000),
        (&[0xf3, 0xaa], 9000, 0, 0x3003),
        (&[0xf3, 0xab], 2500, 0, 0x3ffd),
        (&[0xf3, 0x66, 0xab], 2500, 0, 0x3ffd),
    ];
    for (code, count, from, to) in cases {
        let mut after = Vec::new();
        for front in [true, false] {
            let mut r = rig_with(front);
            r.fill(0x2000, 0x8000);
            (r.cpu.regs[0], r.cpu.regs[1], r.cpu.regs[6], r.cpu.regs[7]) = (0xa1b2_c3d4, count, from, to);
            // The front array fills with the first touch.
            assert_eq!(r.run(code), Err(Flow::Branch));
            after.push((r.memory(0, 0x1_0000), r.cpu.regs, r.cpu.clock));
        }
        assert!(after[0] == after[1], "{code:02x?} {count} {from:#x} {to:#x}");
        assert_eq!(after[0].1[1], 0);
    }
}

#[test]
fn a_repeated_instruction_stops_at_the_element_that_meets_the_event() {
    let mut r = rig();
    let each = u64::from(r.cpu.costs.string_element);
    let ops = r.ops(FLAT32, &[0xf3, 0xab], true);
    let start = r.cpu.clock;
    (r.cpu.regs[1], r.cpu.regs[7]) = (1000, 0x2000);
    r.cpu.event_at = start + 10 * each - 1;
    assert_eq!(r.run_ops(&ops), Err(Flow::Repeat));
    assert_eq!(r.cpu.regs[1], 990, "the tenth element's end is the first at or after the event");
    r.cpu.event_at = u64::MAX;
    assert_eq!(r.run_ops(&ops), Err(Flow::Branch));
    assert_eq!((r.cpu.regs[1], r.cpu.regs[7]), (0, 0x2000 + 4000));
}

#[test]
fn a_fault_in_the_middle_of_a_repetition_keeps_what_was_done() {
    let mut r = rig();
    let ds = r.cpu.seg[DS as usize];
    r.cpu.set_segment(DS, Segment::new(ds.selector, 0, 0x2fff, ds.attr));
    r.fill(0x2000, 0x1000);
    let ops = r.ops(Mode::CODE32 | Mode::STACK32, &[0xf3, 0xa5], true);
    (r.cpu.regs[1], r.cpu.regs[6], r.cpu.regs[7]) = (100, 0x2ff0, 0x8000);
    assert_eq!(r.run_ops(&ops), Err(Flow::Fault));
    assert_eq!(r.cpu.fault, Some(Exception::GP0));
    assert_eq!((r.cpu.regs[1], r.cpu.regs[6], r.cpu.regs[7]), (96, 0x3000, 0x8010));
    assert_eq!(r.memory(0x8000, 16), r.memory(0x2ff0, 16));
    assert_eq!(r.memory(0x8010, 4), [0; 4]);
}

#[test]
fn a_fault_in_the_middle_of_a_repeated_comparison_finds_the_flags_of_before() {
    let mut r = rig();
    let ds = r.cpu.seg[DS as usize];
    r.cpu.set_segment(DS, Segment::new(ds.selector, 0, 0x2fff, ds.attr));
    let ops = r.ops(Mode::CODE32 | Mode::STACK32, &[0xf3, 0xa6], true);
    r.cpu.flags.set(ARITH & !ZF);
    let before = r.cpu.flags.get();
    (r.cpu.regs[1], r.cpu.regs[6], r.cpu.regs[7]) = (100, 0x2ff0, 0x8000);
    assert_eq!(r.run_ops(&ops), Err(Flow::Fault));
    assert_eq!((r.cpu.regs[1], r.cpu.regs[6], r.cpu.regs[7]), (84, 0x3000, 0x8010), "16 are equal");
    assert_eq!(r.cpu.flags.get(), before);
    // With room it ends, and the flags are those of the last element.
    r.cpu.set_segment(DS, ds);
    assert_eq!(r.run_ops(&ops), Err(Flow::Branch));
    assert_eq!((r.cpu.regs[1], r.cpu.flags.get() & ARITH), (0, ZF | PF));
}

#[test]
fn sixteen_bit_string_registers_wrap_and_keep_their_upper_halves() {
    let mut r = rig();
    // 67 f3 aa: rep stosb with DI and CX
    (r.cpu.regs[0], r.cpu.regs[1], r.cpu.regs[7]) = (0x55, 0xabcd_0004, 0x1234_fffe);
    assert_eq!(r.run(&[0x67, 0xf3, 0xaa]), Err(Flow::Branch));
    assert_eq!((r.cpu.regs[1], r.cpu.regs[7]), (0xabcd_0000, 0x1234_0002));
    assert_eq!((r.memory(0xfffe, 3), r.memory(0, 3)), (vec![0x55, 0x55, 0], vec![0x55, 0x55, 0]));
}

#[test]
fn downward_moves_go_element_by_element() {
    let mut r = rig();
    r.fill(0x2000, 64);
    let want = r.memory(0x2000, 16);
    r.cpu.flags.rest |= DF;
    (r.cpu.regs[1], r.cpu.regs[6], r.cpu.regs[7]) = (16, 0x200f, 0x2017);
    assert_eq!(r.run(&[0xf3, 0xa4]), Err(Flow::Branch));
    assert_eq!(r.memory(0x2008, 16), want);
    assert_eq!((r.cpu.regs[6], r.cpu.regs[7]), (0x1fff, 0x2007));
}

#[test]
fn stack_instructions_leave_esp_when_they_fault() {
    let mut r = rig();
    let small = Segment::new(0x10, 0, 0x2fff, r.cpu.seg[DS as usize].attr);
    r.cpu.set_segment(DS, small);
    let mode = Mode::CODE32 | Mode::STACK32;
    r.cpu.regs[4] = 0x8000;
    // push dword [0x5000]; pop dword [0x5000]: beyond the limit of DS
    for code in [&[0xff, 0x35, 0x00, 0x50, 0x00, 0x00], &[0x8f, 0x05, 0x00, 0x50, 0x00, 0x00]] {
        let ops = r.ops(mode, code, true);
        assert_eq!(r.run_ops(&ops), Err(Flow::Fault));
        assert_eq!((r.cpu.fault.take(), r.cpu.regs[4]), (Some(Exception::GP0), 0x8000));
    }
}

#[test]
fn pusha_beyond_the_limit_writes_nothing() {
    let mut r = rig();
    r.cpu.set_segment(SS, Segment::real(0x2000));
    r.fill(0x2_0000, 0x10);
    let before = r.memory(0x2_0000, 0x10);
    r.cpu.regs[4] = 15;
    let ops = r.ops(Mode::empty(), &[0x60], true);
    // The eighth push lies at offset FFFF: #SS with protected segments, #GP in real mode.
    assert_eq!(r.run_ops(&ops), Err(Flow::Fault));
    assert_eq!((r.cpu.fault.take(), r.cpu.regs[4]), (Some(Exception::SS0), 15));
    r.cpu.cr0 &= !cr0::PE;
    assert_eq!(r.run_ops(&ops), Err(Flow::Fault));
    assert_eq!((r.cpu.fault.take(), r.cpu.regs[4]), (Some(Exception::GP0), 15));
    assert_eq!(r.memory(0x2_0000, 0x10), before);
}

#[test]
fn popf_and_sti_obey_the_privilege_level() {
    let mut r = rig();
    r.cpu.regs[4] = 0x8000;
    assert!(r.bus.ram.poke(0x8000, &(IF | IOPL).to_le_bytes()));
    assert_eq!(r.run(&[0x9d]), Err(Flow::Branch));
    assert_eq!(r.cpu.flags.rest & (IF | IOPL), IF | IOPL, "ring 0 may do all");
    r.cpu.flags.set(0);
    r.cpu.set_cpl(3, 0);
    r.cpu.regs[4] = 0x8000;
    assert_eq!(r.run(&[0x9d]), Err(Flow::Branch));
    assert_eq!(r.cpu.flags.rest & (IF | IOPL), 0, "ring 3 changes neither, silently");
    assert_eq!(r.run(&[0xfb]), Err(Flow::Fault));
    assert_eq!(r.cpu.fault.take(), Some(Exception::GP0));
    r.cpu.set_cpl(0, 0);
    assert_eq!(r.run(&[0xfb]), Err(Flow::Branch));
    assert!(r.cpu.shadow, "the next instruction still runs");
}

#[test]
fn sixteen_bit_branches_are_cut_and_checked() {
    let mut r = rig();
    let cs = r.cpu.seg[1];
    r.cpu.set_segment(1, Segment::new(cs.selector, 0, 0x7fff, cs.attr & !(1 << 14)));
    r.cpu.eip = 0x100;
    // jmp -0x110: wraps to 0xfff2, beyond the limit
    let ops = r.ops(Mode::empty(), &[0xe9, 0xed, 0xfe], true);
    assert_eq!(r.run_ops(&ops), Err(Flow::Fault));
    assert_eq!((r.cpu.fault.take(), r.cpu.eip), (Some(Exception::GP0), 0x100));
    let ops = r.ops(Mode::empty(), &[0xeb, 0xfe], true);
    assert_eq!((r.run_ops(&ops), r.cpu.eip), (Err(Flow::Branch), 0x100));
}
