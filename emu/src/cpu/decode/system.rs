//! Rows of the decode table for the system side: segments, far transfers,
//! interrupts, control registers, ports.

use super::form::{Form, Shape, Width};
use super::pick::pick;
use super::row::Row;
use super::table::stack_width;
use crate::cpu::exec::{far, interrupt, io, msr, segment, system};
use crate::cpu::op::{Handler, Op};
use iced_x86::{Code, MemorySize, Mnemonic};

/// The row, if the instruction belongs here.
pub(super) fn row(f: &Form, op: &mut Op) -> Option<Row> {
    use Mnemonic as M;
    let by_shape = |register: Handler, memory: Handler| match f.shape {
        Shape::R | Shape::RR => Some(Row::end(register)),
        Shape::M | Shape::RM | Shape::MR => Some(Row::end(memory)),
        _ => None,
    };
    if narrow(f) {
        op.bits |= Op::OP16;
    }
    // A single operand is a source here.
    let source = |op: &mut Op| op.src = op.dst;
    let row = match f.i.mnemonic() {
        M::Mov => mov(f)?,
        M::Push => {
            source(op);
            Row::store(segment::push_sreg)
        }
        M::Pop => Row::end(segment::pop_sreg),
        M::Les => load_far(op, 0),
        M::Lss => load_far(op, 2),
        M::Lds => load_far(op, 3),
        M::Lfs => load_far(op, 4),
        M::Lgs => load_far(op, 5),
        M::Lar => by_shape(segment::lar_reg, segment::lar_mem)?,
        M::Lsl => by_shape(segment::lsl_reg, segment::lsl_mem)?,
        M::Verr => {
            source(op);
            by_shape(segment::verr_reg, segment::verr_mem)?
        }
        M::Verw => {
            source(op);
            by_shape(segment::verw_reg, segment::verw_mem)?
        }
        M::Arpl => by_shape(segment::arpl_reg, segment::arpl_mem)?,

        M::Jmp if f.i.is_jmp_far() => Row::end(far::jmp_far_ptr),
        M::Jmp => Row::end(far::jmp_far_mem),
        M::Call if f.i.is_call_far() => Row::end(far::call_far_ptr),
        M::Call => Row::end(far::call_far_mem),
        M::Retf => Row::end(far::retf),
        M::Iret | M::Iretd => Row::end(far::iret),
        M::Sysenter => Row::end(far::sysenter),
        M::Sysexit => Row::end(far::sysexit),

        M::Int => Row::end(interrupt::int_n),
        M::Int3 => Row::end(interrupt::int3),
        M::Into => Row::end(interrupt::into),
        M::Int1 => Row::end(interrupt::int1),

        M::Lgdt => Row::end(system::lgdt),
        M::Lidt => Row::end(system::lidt),
        M::Sgdt => Row::end(system::sgdt),
        M::Sidt => Row::end(system::sidt),
        M::Lldt => {
            source(op);
            by_shape(system::lldt_reg, system::lldt_mem)?
        }
        M::Ltr => {
            source(op);
            by_shape(system::ltr_reg, system::ltr_mem)?
        }
        M::Lmsw => {
            source(op);
            by_shape(system::lmsw_reg, system::lmsw_mem)?
        }
        M::Sldt => by_shape(system::sldt_reg, system::sldt_mem)?,
        M::Str => by_shape(system::str_reg, system::str_mem)?,
        M::Smsw => by_shape(system::smsw_reg, system::smsw_mem)?,
        M::Clts => Row::end(system::clts),
        M::Invlpg => Row::end(system::invlpg),
        M::Invpcid => Row::end(system::invpcid),
        M::Wbinvd => Row::end(system::wbinvd),
        M::Invd => Row::end(system::invd),
        M::Hlt => Row::end(system::hlt),
        M::Rdtsc => Row::end(system::rdtsc),
        M::Rdpmc => Row::end(system::rdpmc),
        M::Cpuid => Row::end(system::cpuid),
        M::Rdmsr => Row::end(msr::rdmsr),
        M::Wrmsr => Row::end(msr::wrmsr),

        M::In => match f.shape {
            Shape::RI => Row::end(pick!(f.width, io::in_imm)),
            _ => Row::end(pick!(f.width, io::in_dx)),
        },
        M::Out => match f.shape {
            Shape::RR => Row::end(pick!(f.width2, io::out_dx)),
            _ => Row::end(pick!(f.width2, io::out_imm)),
        },
        M::Insb | M::Insw | M::Insd => {
            repeat(f, op);
            Row::end(pick!(f.width, io::ins))
        }
        M::Outsb | M::Outsw | M::Outsd => {
            repeat(f, op);
            Row::end(pick!(f.width2, io::outs))
        }
        _ => return None,
    };
    Some(row)
}

/// Has the instruction a 16-bit operand size?
fn narrow(f: &Form) -> bool {
    match f.i.code() {
        Code::Jmp_m1616 | Code::Call_m1616 => true,
        Code::Lgdt_m1632_16 | Code::Lidt_m1632_16 | Code::Sgdt_m1632_16 | Code::Sidt_m1632_16 => true,
        // A segment register has 16 bits whatever the operand size; ESP tells.
        _ if matches!(f.i.mnemonic(), Mnemonic::Push | Mnemonic::Pop) => {
            f.i.stack_pointer_increment().unsigned_abs() == 2
        }
        _ => {
            stack_width(f) == Width::Word
                || matches!(f.shape, Shape::R | Shape::RR | Shape::RM) && f.width == Width::Word
                || f.i.memory_size() == MemorySize::SegPtr16
        }
    }
}

fn repeat(f: &Form, op: &mut Op) {
    if f.i.has_rep_prefix() || f.i.has_repne_prefix() {
        op.bits |= Op::REP;
    }
}

fn load_far(op: &mut Op, segment_number: u8) -> Row {
    op.src = segment_number;
    Row::end(segment::load_far)
}

/// `mov` with a segment, control or debug register.
fn mov(f: &Form) -> Option<Row> {
    let (to, from) = (f.i.op0_register(), f.i.op1_register());
    Some(match f.shape {
        Shape::RR if to.is_segment_register() => Row::end(segment::mov_sreg_reg),
        Shape::RM if to.is_segment_register() => Row::end(segment::mov_sreg_mem),
        Shape::RR if from.is_segment_register() => Row::pure(segment::mov_reg_sreg),
        Shape::MR if from.is_segment_register() => Row::store(segment::mov_mem_sreg),
        Shape::RR if to.is_cr() => Row::end(system::mov_to_cr),
        Shape::RR if from.is_cr() => Row::end(system::mov_from_cr),
        Shape::RR if to.is_dr() => Row::end(system::mov_to_dr),
        Shape::RR if from.is_dr() => Row::end(system::mov_from_dr),
        _ => return None,
    })
}
