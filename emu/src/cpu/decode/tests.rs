//! Decoding without running: blocks, their ends, costs and forms.

use super::*;
use crate::cost::Preset;
use crate::cpu::exec;
use crate::cpu::op::{DS, FLAT, FS, NO_REG};

const FLAT32: Mode = Mode::CODE32.union(Mode::STACK32).union(Mode::FLAT);

fn model() -> Model {
    let preset = Preset::builtin("p3").expect("built-in preset");
    Model { costs: preset.costs(), identity: Identity::new(&preset) }
}

fn block_in(mode: Mode, code: &[u8]) -> Block {
    match decode_block(code, 0x1000, mode, &model(), None) {
        Decoded::Block(b) => b,
        Decoded::NeedSecondPage => panic!("needs a second page: {code:02x?}"),
    }
}

fn block(code: &[u8]) -> Block {
    block_in(FLAT32, code)
}

fn same(a: Handler, b: Handler) -> bool {
    std::ptr::fn_addr_eq(a, b)
}

#[test]
fn a_block_ends_with_the_first_branch() {
    // mov eax,[ebx+8]; add eax,ecx; jmp $+2; nop
    let b = block(&[0x8b, 0x43, 0x08, 0x01, 0xc8, 0xeb, 0x00, 0x90]);
    assert_eq!((b.ops.len(), b.bytes, b.instructions), (3, 7, 3));
    assert_eq!(b.ops[2].at, 5);
    assert!(!b.spin);
}

#[test]
fn operands_fill_the_fields() {
    // mov edx,fs:[ecx+esi*4+0x12345678]
    let b = block(&[0x64, 0x8b, 0x94, 0xb1, 0x78, 0x56, 0x34, 0x12, 0xc3]);
    let op = &b.ops[0];
    assert_eq!((op.dst, op.base, op.index, op.scale), (2, 1, 6, 2));
    assert_eq!((op.disp, op.seg, op.mask, op.len), (0x1234_5678, FS, u32::MAX, 8));
    // mov [bp+si-2],al with 16-bit addresses: segment SS, flat here
    let op = &block(&[0x67, 0x88, 0x42, 0xfe, 0xc3]).ops[0];
    assert_eq!((op.src, op.base, op.index, op.mask, op.seg), (0, 5, 6, 0xffff, FLAT));
    // mov eax,[0x1000]
    let op = &block(&[0xa1, 0x00, 0x10, 0x00, 0x00, 0xc3]).ops[0];
    assert_eq!((op.base, op.index, op.disp), (NO_REG, NO_REG, 0x1000));
}

#[test]
fn only_a_flat_mode_decodes_segments_away() {
    let code = [0x8b, 0x43, 0x08, 0xc3];
    assert_eq!(block(&code).ops[0].seg, FLAT);
    assert_eq!(block_in(Mode::CODE32 | Mode::STACK32, &code).ops[0].seg, DS);
}

#[test]
fn static_costs_add_up() {
    let c = model().costs;
    // add [ebx],eax; mov eax,[ebx]; lock xadd [ebx],ecx; ret
    let b = block(&[0x01, 0x03, 0x8b, 0x03, 0xf0, 0x0f, 0xc1, 0x0b, 0xc3]);
    let each = [c.alu + c.load + c.store, c.alu + c.load, c.locked, c.branch + c.load];
    assert_eq!(b.ops.iter().map(|o| u32::from(o.cost)).collect::<Vec<_>>(), each);
    assert_eq!(b.cost, each.iter().sum::<u32>());
    assert_eq!(b.locked, c.locked);
    assert_eq!(u32::from(b.ops[3].before), each[..3].iter().sum::<u32>());
}

#[test]
fn xchg_with_memory_is_locked_without_a_prefix() {
    let b = block(&[0x87, 0x03, 0xc3]);
    assert!(b.ops[0].bits & Op::LOCKED != 0);
    let b = block(&[0x87, 0xc3, 0xc3]);
    assert!(b.ops[0].bits & Op::LOCKED == 0);
}

#[test]
fn waiting_loops_are_spin_candidates_and_others_not() {
    // l: pause; cmp dword [ebx],0; jne l
    assert!(block(&[0xf3, 0x90, 0x83, 0x3b, 0x00, 0x75, 0xf9]).spin);
    // l: mov [ebx],eax; jmp l
    assert!(!block(&[0x89, 0x03, 0xeb, 0xfc]).spin);
    // pause; jmp to the instruction itself, not to the block's start
    assert!(!block(&[0xf3, 0x90, 0xeb, 0xfe]).spin);
    // l: lock cmpxchg [ebx],ecx; jne l
    assert!(!block(&[0xf0, 0x0f, 0xb1, 0x0b, 0x75, 0xfa]).spin);
}

#[test]
fn an_instruction_that_crosses_the_page_is_a_block_of_its_own() {
    let start = [0x90, 0xb8, 0x01, 0x02];
    let b = block(&start);
    assert_eq!((b.ops.len(), b.bytes), (1, 1), "stops before the crossing instruction");
    assert!(matches!(decode_block(&start[1..], 0x1ffd, FLAT32, &model(), None), Decoded::NeedSecondPage));
    let mut both = vec![0xb8, 0x01, 0x02, 0x03, 0x04];
    both.extend([0x90; 16]);
    let Decoded::Block(b) = decode_block(&both, 0x1ffd, FLAT32, &model(), Some(Frame(7))) else {
        panic!("enough bytes")
    };
    assert_eq!((b.ops.len(), b.bytes, b.second), (1, 5, Some(Frame(7))));
    assert_eq!(b.ops[0].imm, 0x0403_0201);
}

#[test]
fn undefined_and_overlong_instructions_raise_when_run() {
    // ud2; mov eax,[ebx] with lock; aesenc (not announced by CPUID); sysret-like 0f 04; fisttp (SSE3), of each size
    for code in [
        &[0x0f, 0x0b][..],
        &[0xf0, 0x8b, 0x03],
        &[0x66, 0x0f, 0x38, 0xdc, 0xc1],
        &[0x0f, 0x04],
        &[0xdf, 0x0b],
        &[0xdb, 0x0b],
        &[0xdd, 0x0b],
    ] {
        let b = block(&[code, &[0; 15]].concat());
        assert!(same(b.ops[0].run, exec::undefined), "{code:02x?}");
    }
    let b = block(&[[0x66u8; 15].as_slice(), &[0x90]].concat());
    assert!(same(b.ops[0].run, exec::too_long));
}

#[test]
fn x87_keeps_its_opcode() {
    // fld dword fs:[ebx+0x12345678]
    let b = block(&[0x64, 0xd9, 0x83, 0x78, 0x56, 0x34, 0x12]);
    let op = &b.ops[0];
    assert!(same(op.run, exec::fpu::execute));
    assert_eq!((op.imm, op.disp, op.base, op.seg), (0xd983, 0x1234_5678, 3, FS));
}

#[test]
fn branch_targets_do_not_depend_on_the_address() {
    // nop; jne -3 (to the start)
    let b = block(&[0x90, 0x75, 0xfd]);
    assert_eq!((b.ops[1].imm, b.ops[1].disp), (0, 3));
    // 16-bit code: jmp -2 wraps within 64 KiB
    let b = block_in(Mode::REAL, &[0xeb, 0xfe]);
    assert_eq!((b.ops[0].imm, b.ops[0].mask), (0, 0xffff));
}

#[test]
fn blocks_stay_short_enough_for_their_fields() {
    let long = [0xc7, 0x83, 1, 0, 0, 0, 2, 0, 0, 0].repeat(100);
    let b = block(&long);
    assert!(b.ops.len() <= MAX_OPS);
    assert!(b.ops.iter().zip(0..).all(|(op, i)| usize::from(op.at) == i * 10));
    assert!(b.bytes <= 270);
}

#[test]
fn single_stepping_gets_one_instruction() {
    let Decoded::Block(b) = decode_single(&[0x90, 0x90, 0xc3], 0, FLAT32, &model(), None) else {
        panic!("enough bytes")
    };
    assert_eq!((b.ops.len(), b.bytes), (1, 1));
}

#[test]
fn a_comparison_and_its_jump_are_one_operation() {
    let c = model().costs;
    // mov eax,ebx; cmp dword [ebx+ecx*4+8],5; jl -12 (to the start)
    let b = block(&[0x89, 0xd8, 0x83, 0x7c, 0x8b, 0x08, 0x05, 0x7c, 0xf7]);
    assert_eq!((b.ops.len(), b.instructions, b.bytes), (2, 3, 9));
    let op = &b.ops[1];
    assert!(op.bits & (Op::FUSED | Op::PURE) == Op::FUSED | Op::PURE);
    assert_eq!((op.at, op.len, op.imm, op.mask), (2, 7, 5, 0));
    assert_eq!(b.cost, 2 * c.alu + c.load + c.branch);
    assert!(b.spin);
    // A comparison that is not followed by a jump, and one in 16-bit code, stay alone.
    assert!(block(&[0x39, 0xd8, 0x90, 0x74, 0x00]).ops.iter().all(|o| o.bits & Op::FUSED == 0));
    assert_eq!(block_in(Mode::REAL, &[0x39, 0xd8, 0x74, 0x00]).ops.len(), 2);
}

#[test]
fn a_page_end_between_comparison_and_jump_keeps_them_apart() {
    let b = block(&[0x39, 0xd8, 0x0f, 0x84]);
    assert_eq!((b.ops.len(), b.bytes, b.instructions), (1, 2, 1));
    assert!(b.ops[0].bits & Op::FUSED == 0);
}
