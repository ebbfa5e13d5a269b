//! The form of an instruction: which operands, how wide, how addressed; and the
//! fields of the operation that follow from them.

use crate::cpu::block::Mode;
use crate::cpu::exec::undefined;
use crate::cpu::op::{CS, FLAT, NO_REG, Op};
use iced_x86::{Instruction, OpKind, Register};

/// Operand width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Byte,
    Word,
    Dword,
}

impl Width {
    fn of_bytes(bytes: usize) -> Width {
        match bytes {
            1 => Width::Byte,
            2 => Width::Word,
            _ => Width::Dword,
        }
    }
}

/// Kinds of the operands, in order: R register, M memory, I immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    None,
    R,
    M,
    I,
    RR,
    RM,
    MR,
    RI,
    MI,
    Rrr,
    Rmr,
    Rri,
    Rmi,
    Mri,
    Mrr,
    Other,
}

/// How the memory operand is addressed: which type of `exec::operand` serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaceKind {
    Near,
    Flat,
    Any,
}

/// Everything that the choice of a handler depends on.
pub(super) struct Form<'a> {
    pub i: &'a Instruction,
    pub mode: Mode,
    pub shape: Shape,
    /// Width of the first operand.
    pub width: Width,
    /// Width of the second operand.
    pub width2: Width,
    pub place: PlaceKind,
}

impl Form<'_> {
    /// Code is flat and 32-bit, as is the stack: targets need no check, ESP no mask.
    pub fn flat32(&self) -> bool {
        self.mode.contains(Mode::FLAT | Mode::CODE32 | Mode::STACK32)
    }

    /// Condition code as encoded, 0 = O ... 15 = G, of Jcc, SETcc and CMOVcc.
    pub fn condition(&self) -> u8 {
        (self.i.condition_code() as u8).wrapping_sub(1) & 15
    }
}

/// Looks at the operands, fills the operation's fields, and tells the form.
pub(super) fn form<'a>(i: &'a Instruction, mode: Mode, op: &mut Op) -> Form<'a> {
    let mut kinds = ['-'; 3];
    let mut widths = [Width::Dword; 2];
    for k in 0..i.op_count() {
        let kind = i.op_kind(k);
        let letter = match kind {
            OpKind::Register => {
                let r = i.op_register(k);
                match k {
                    0 => op.dst = r.number() as u8,
                    1 => op.src = r.number() as u8,
                    _ => {}
                }
                if let Some(w) = widths.get_mut(k as usize) {
                    *w = Width::of_bytes(r.size());
                }
                'R'
            }
            OpKind::Memory => {
                memory(i, mode, op);
                if let Some(w) = widths.get_mut(k as usize) {
                    *w = Width::of_bytes(i.memory_size().size());
                }
                'M'
            }
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32 => {
                op.imm = i.immediate(k) as u32;
                'I'
            }
            OpKind::Immediate8_2nd => {
                // `enter`: the nesting level stands above the frame size.
                op.imm |= u32::from(i.immediate8_2nd()) << 16;
                'I'
            }
            OpKind::NearBranch16 => {
                op.imm = u32::from(i.near_branch16());
                op.mask = 0xffff;
                '-'
            }
            OpKind::NearBranch32 => {
                op.imm = i.near_branch32();
                '-'
            }
            OpKind::FarBranch16 => {
                op.imm = u32::from(i.far_branch16());
                op.disp = u32::from(i.far_branch_selector());
                op.bits |= Op::OP16;
                '-'
            }
            OpKind::FarBranch32 => {
                op.imm = i.far_branch32();
                op.disp = u32::from(i.far_branch_selector());
                '-'
            }
            OpKind::MemorySegSI | OpKind::MemorySegESI => {
                op.seg = segment(i.memory_segment(), mode);
                string_operand(i, k, kind, op, &mut widths);
                '-'
            }
            OpKind::MemoryESDI | OpKind::MemoryESEDI => {
                string_operand(i, k, kind, op, &mut widths);
                '-'
            }
            _ => '-',
        };
        if let Some(place) = kinds.get_mut(k as usize) {
            *place = letter;
        }
    }
    let shape = match kinds {
        ['-', '-', '-'] => Shape::None,
        ['R', '-', '-'] => Shape::R,
        ['M', '-', '-'] => Shape::M,
        ['I', _, '-'] => Shape::I,
        ['R', 'R', '-'] => Shape::RR,
        ['R', 'M', '-'] => Shape::RM,
        ['M', 'R', '-'] => Shape::MR,
        ['R', 'I', '-'] => Shape::RI,
        ['M', 'I', '-'] => Shape::MI,
        ['R', 'R', 'R'] => Shape::Rrr,
        ['R', 'M', 'R'] => Shape::Rmr,
        ['R', 'R', 'I'] => Shape::Rri,
        ['R', 'M', 'I'] => Shape::Rmi,
        ['M', 'R', 'I'] => Shape::Mri,
        ['M', 'R', 'R'] => Shape::Mrr,
        _ => Shape::Other,
    };
    let place = match (op.seg == FLAT && op.mask == u32::MAX, op.index) {
        (true, NO_REG) => PlaceKind::Near,
        (true, _) => PlaceKind::Flat,
        (false, _) => PlaceKind::Any,
    };
    Form { i, mode, shape, width: widths[0], width2: widths[1], place }
}

/// An operation without operands, to be filled.
pub(super) fn blank(at: u8, len: u8) -> Op {
    Op {
        run: undefined,
        imm: 0,
        disp: 0,
        mask: u32::MAX,
        before: 0,
        cost: 0,
        at,
        len,
        dst: 0,
        src: 0,
        base: NO_REG,
        index: NO_REG,
        scale: 0,
        seg: FLAT,
        bits: 0,
    }
}

fn string_operand(i: &Instruction, k: u32, kind: OpKind, op: &mut Op, widths: &mut [Width; 2]) {
    if matches!(kind, OpKind::MemorySegSI | OpKind::MemoryESDI) {
        op.mask = 0xffff;
    }
    if let Some(w) = widths.get_mut(k as usize) {
        *w = Width::of_bytes(i.memory_size().size());
    }
}

/// Number of a segment for a memory operand: [`FLAT`] where no check can fail. CS keeps its number,
/// for a write through it must fault.
fn segment(r: Register, mode: Mode) -> u8 {
    let number = match r {
        Register::None => return FLAT,
        r => r.number() as u8,
    };
    if mode.contains(Mode::FLAT) && number < 4 && number != CS { FLAT } else { number }
}

fn memory(i: &Instruction, mode: Mode, op: &mut Op) {
    let (base, index) = (i.memory_base(), i.memory_index());
    let number = |r: Register| if r == Register::None { NO_REG } else { r.number() as u8 };
    op.base = number(base);
    op.index = number(index);
    op.scale = i.memory_index_scale().trailing_zeros() as u8;
    op.disp = i.memory_displacement32();
    op.seg = segment(i.memory_segment(), mode);
    let short = match (base, index) {
        (Register::None, Register::None) => i.memory_displ_size() == 2,
        (Register::None, r) | (r, _) => r.size() == 2,
    };
    op.mask = if short { 0xffff } else { u32::MAX };
}
