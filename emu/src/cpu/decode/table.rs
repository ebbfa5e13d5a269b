//! The decode table: one arm per mnemonic, giving the handler for the instruction's form.
//!
//! Ordinary instructions are here, those of the system side in `system.rs`. What
//! neither knows is told apart by the feature that CPUID would have to announce:
//! instructions of announced features that are not modelled stop the run, all others
//! are undefined.

use super::form::{Form, PlaceKind, Shape, Width};
use super::pick::{pick, pick_condition, pick_place, pick16};
use super::row::{Class, Effect, Row};
use crate::cpu::exec::operand::{Any, AnyStack, Flat, FlatStack, Near};
use crate::cpu::exec::{
    self, arith, atomic, bcd, bits, branch, flag, logic, mov, muldiv, shift, stack, string,
};
use crate::cpu::op::{Handler, Op};
use iced_x86::{Code, CpuidFeature, Mnemonic, OpKind};

/// The row for an instruction. May adjust fields that only this instruction uses otherwise.
pub(super) fn row(f: &Form, op: &mut Op) -> Row {
    let known = ordinary(f, op).or_else(|| super::system::row(f, op)).or_else(|| super::x87::row(f, op));
    let Some(row) = known else { return fallback(f) };
    let memory = matches!(f.shape, Shape::M | Shape::MR | Shape::MI | Shape::Mri | Shape::Mrr);
    if f.i.has_lock_prefix() && memory { row.with(Effect::LOCKED) } else { row }
}

fn ordinary(f: &Form, op: &mut Op) -> Option<Row> {
    use Mnemonic as M;
    let row = match f.i.mnemonic() {
        M::Add => binary::<arith::Add>(f)?,
        M::Adc => binary::<arith::Adc>(f)?,
        M::Sub => binary::<arith::Sub>(f)?,
        M::Sbb => binary::<arith::Sbb>(f)?,
        M::Cmp => binary::<arith::Cmp>(f)?,
        M::And => binary::<logic::And>(f)?,
        M::Or => binary::<logic::Or>(f)?,
        M::Xor => binary::<logic::Xor>(f)?,
        M::Test => binary::<logic::Test>(f)?,
        M::Inc => unary::<arith::Inc>(f)?,
        M::Dec => unary::<arith::Dec>(f)?,
        M::Neg => unary::<arith::Neg>(f)?,
        M::Not => unary::<logic::Not>(f)?,

        M::Shl | M::Sal => shift::<shift::Shl>(f, op)?,
        M::Shr => shift::<shift::Shr>(f, op)?,
        M::Sar => shift::<shift::Sar>(f, op)?,
        M::Rol => shift::<shift::Rol>(f, op)?,
        M::Ror => shift::<shift::Ror>(f, op)?,
        M::Rcl => shift::<shift::Rcl>(f, op)?,
        M::Rcr => shift::<shift::Rcr>(f, op)?,
        M::Shld => double_shift::<shift::Shld>(f)?,
        M::Shrd => double_shift::<shift::Shrd>(f)?,

        M::Mul => wide::<muldiv::Mul>(f, Class::Multiply)?,
        M::Div => wide::<muldiv::Div>(f, Class::Divide)?,
        M::Idiv => wide::<muldiv::Idiv>(f, Class::Divide)?,
        M::Imul => imul(f)?,

        M::Bt => bit::<bits::Bt>(f)?,
        M::Bts => bit::<bits::Bts>(f)?,
        M::Btr => bit::<bits::Btr>(f)?,
        M::Btc => bit::<bits::Btc>(f)?,
        M::Bsf => scan::<bits::Bsf>(f)?,
        M::Bsr => scan::<bits::Bsr>(f)?,

        M::Mov => mov(f)?,
        M::Movzx => extend::<mov::Zero>(f)?,
        M::Movsx => extend::<mov::Sign>(f)?,
        M::Lea => match (f.width, f.place) {
            (Width::Dword, PlaceKind::Near) => Row::pure(mov::lea_near),
            (w, _) => Row::pure(pick16!(w, mov::lea)),
        },
        M::Xchg => match f.shape {
            Shape::RR => Row::pure(pick!(f.width, mov::xchg_rr)),
            Shape::MR => Row::modify(pick_place!(f.width, f.place, mov::xchg_mr)).with(Effect::LOCKED),
            _ => return None,
        },
        M::Bswap => match f.width {
            Width::Dword => Row::pure(mov::bswap),
            _ => Row::pure(mov::bswap16),
        },
        M::Cbw => Row::pure(mov::convert::<u16, u8>),
        M::Cwde => Row::pure(mov::convert::<u32, u16>),
        M::Cwd => Row::pure(mov::convert_double::<u16>),
        M::Cdq => Row::pure(mov::convert_double::<u32>),
        M::Xlatb => Row::load(mov::xlat),
        M::Nop | M::Reservednop => Row::pure(mov::nop),
        M::Pause => Row::pure(mov::nop).class(Class::Pause),

        M::Push => push(f)?,
        M::Pop => pop(f)?,
        M::Pusha | M::Pushad => Row::store(pick16!(stack_width(f), stack::pusha)),
        M::Popa | M::Popad => Row::load(pick16!(stack_width(f), stack::popa)).with(Effect::LOAD),
        M::Pushf | M::Pushfd => Row::store(pick16!(stack_width(f), stack::pushf)),
        M::Popf | M::Popfd => Row::load(pick16!(stack_width(f), stack::popf)).with(Effect::ENDS),
        M::Enter => Row::store(pick16!(stack_width(f), stack::enter)),
        M::Leave => match stack_width(f) {
            Width::Dword if f.flat32() => Row::load(stack::leave_flat),
            w => Row::load(pick16!(w, stack::leave)),
        },

        M::Jmp | M::Call if f.i.is_jmp_far() || f.i.is_call_far() => return None,
        M::Jmp if f.i.is_jmp_far_indirect() => return None,
        M::Call if f.i.is_call_far_indirect() => return None,
        M::Jmp => jmp(f)?,
        M::Call => call(f, op)?,
        M::Ret => ret(f, op),
        M::Loop => count_loop::<branch::Always>(f, op),
        M::Loope => count_loop::<branch::WhileZero>(f, op),
        M::Loopne => count_loop::<branch::WhileNotZero>(f, op),
        M::Jcxz | M::Jecxz => {
            op.mask = if f.i.mnemonic() == M::Jcxz { 0xffff } else { u32::MAX };
            Row::branch(pick16!(target_width(f), branch::jump_if_count_zero))
        }
        M::Bound => Row::load(pick16!(f.width, branch::bound)),

        M::Movsb | M::Movsw | M::Movsd => string::<string::Movs>(f, op, Effect::LOAD | Effect::STORE)?,
        M::Cmpsb | M::Cmpsw | M::Cmpsd => string::<string::Cmps>(f, op, Effect::LOAD)?,
        M::Stosb | M::Stosw | M::Stosd => string::<string::Stos>(f, op, Effect::STORE)?,
        M::Lodsb | M::Lodsw | M::Lodsd => string::<string::Lods>(f, op, Effect::LOAD)?,
        M::Scasb | M::Scasw | M::Scasd => string::<string::Scas>(f, op, Effect::LOAD)?,

        M::Xadd => match f.shape {
            Shape::RR => Row::pure(pick!(f.width, atomic::xadd_rr)),
            Shape::MR => Row::modify(pick_place!(f.width, f.place, atomic::xadd_mr)),
            _ => return None,
        },
        M::Cmpxchg => match f.shape {
            Shape::RR => Row::pure(pick!(f.width, atomic::cmpxchg_rr)),
            Shape::MR => Row::modify(pick_place!(f.width, f.place, atomic::cmpxchg_mr)),
            _ => return None,
        },
        M::Cmpxchg8b => Row::modify(atomic::cmpxchg8b),

        M::Clc => Row::pure(flag::clc),
        M::Stc => Row::pure(flag::stc),
        M::Cmc => Row::pure(flag::cmc),
        M::Cld => Row::pure(flag::cld),
        M::Std => Row::pure(flag::std),
        M::Cli => Row::pure(flag::cli).with(Effect::ENDS),
        M::Sti => Row::pure(flag::sti).with(Effect::ENDS),
        M::Lahf => Row::pure(flag::lahf),
        M::Sahf => Row::pure(flag::sahf),
        M::Salc => Row::pure(flag::salc),

        M::Daa => Row::pure(bcd::daa),
        M::Das => Row::pure(bcd::das),
        M::Aaa => Row::pure(bcd::aaa),
        M::Aas => Row::pure(bcd::aas),
        M::Aam => Row::pure(bcd::aam).class(Class::Divide),
        M::Aad => Row::pure(bcd::aad).class(Class::Multiply),

        M::Ud0 | M::Ud1 | M::Ud2 | M::Rsm => Row::end(exec::undefined),
        _ => return conditional(f, op),
    };
    Some(row)
}

/// Jcc, SETcc, CMOVcc.
fn conditional(f: &Form, op: &mut Op) -> Option<Row> {
    let cc = f.condition();
    let code = f.i.code();
    if code.is_jcc_short_or_near() {
        return Some(if f.flat32() && f.i.op0_kind() == OpKind::NearBranch32 {
            op.disp = u32::from(op.at) + u32::from(op.len);
            Row::branch(pick_condition!(cc, branch::jcc_flat))
        } else {
            Row::branch(pick_condition!(cc, branch::jcc))
        });
    }
    use Mnemonic as M;
    match f.i.mnemonic() {
        M::Seta
        | M::Setae
        | M::Setb
        | M::Setbe
        | M::Sete
        | M::Setg
        | M::Setge
        | M::Setl
        | M::Setle
        | M::Setne
        | M::Setno
        | M::Setnp
        | M::Setns
        | M::Seto
        | M::Setp
        | M::Sets => match f.shape {
            Shape::R => Some(Row::pure(pick_condition!(cc, mov::set_r))),
            Shape::M => Some(Row::store(pick_condition!(cc, mov::set_m))),
            _ => None,
        },
        M::Cmova
        | M::Cmovae
        | M::Cmovb
        | M::Cmovbe
        | M::Cmove
        | M::Cmovg
        | M::Cmovge
        | M::Cmovl
        | M::Cmovle
        | M::Cmovne
        | M::Cmovno
        | M::Cmovnp
        | M::Cmovns
        | M::Cmovo
        | M::Cmovp
        | M::Cmovs => match (f.shape, f.width) {
            (Shape::RR, Width::Word) => Some(Row::pure(pick_condition!(cc, mov::cmov_rr, u16))),
            (Shape::RR, _) => Some(Row::pure(pick_condition!(cc, mov::cmov_rr, u32))),
            (Shape::RM, Width::Word) => Some(Row::load(pick_condition!(cc, mov::cmov_rm, u16))),
            (Shape::RM, _) => Some(Row::load(pick_condition!(cc, mov::cmov_rm, u32))),
            _ => None,
        },
        _ => None,
    }
}

fn binary<O: arith::Binary>(f: &Form) -> Option<Row> {
    let memory = |h| if O::WRITES { Row::modify(h) } else { Row::load(h) };
    Some(match f.shape {
        Shape::RR => Row::pure(pick!(f.width, arith::binary_rr, O)),
        Shape::RI => Row::pure(pick!(f.width, arith::binary_ri, O)),
        Shape::RM => Row::load(pick_place!(f.width, f.place, arith::binary_rm, O)),
        Shape::MR => memory(pick_place!(f.width, f.place, arith::binary_mr, O)),
        Shape::MI => memory(pick_place!(f.width, f.place, arith::binary_mi, O)),
        _ => return None,
    })
}

fn unary<O: arith::Unary>(f: &Form) -> Option<Row> {
    Some(match f.shape {
        Shape::R => Row::pure(pick!(f.width, arith::unary_r, O)),
        Shape::M => Row::modify(pick_place!(f.width, f.place, arith::unary_m, O)),
        _ => return None,
    })
}

fn shift<O: shift::Shift>(f: &Form, op: &Op) -> Option<Row> {
    Some(match f.shape {
        Shape::RI if op.imm & 31 == 0 => Row::pure(mov::nop),
        Shape::RI => Row::pure(pick!(f.width, shift::shift_ri, O)),
        Shape::RR => Row::pure(pick!(f.width, shift::shift_rc, O)),
        Shape::MI => Row::modify(pick!(f.width, shift::shift_mi, Any, O)),
        Shape::MR => Row::modify(pick!(f.width, shift::shift_mc, Any, O)),
        _ => return None,
    })
}

fn double_shift<O: shift::DoubleShift>(f: &Form) -> Option<Row> {
    use shift::{ByCl, ByImmediate, double_m, double_r};
    Some(match f.shape {
        Shape::Rri => Row::pure(pick16!(f.width, double_r, O, ByImmediate)),
        Shape::Rrr => Row::pure(pick16!(f.width, double_r, O, ByCl)),
        Shape::Mri => Row::modify(pick16!(f.width, double_m, O, ByImmediate)),
        Shape::Mrr => Row::modify(pick16!(f.width, double_m, O, ByCl)),
        _ => return None,
    })
}

fn wide<O: muldiv::Wide>(f: &Form, class: Class) -> Option<Row> {
    let row = match f.shape {
        Shape::R => Row::pure(pick!(f.width, muldiv::wide_r, O)),
        Shape::M => Row::load(pick!(f.width, muldiv::wide_m, Any, O)),
        _ => return None,
    };
    Some(row.class(class))
}

fn imul(f: &Form) -> Option<Row> {
    let row = match f.shape {
        Shape::R | Shape::M => return wide::<muldiv::Imul>(f, Class::Multiply),
        Shape::RR => Row::pure(pick16!(f.width, muldiv::imul_rr)),
        Shape::Rri => Row::pure(pick16!(f.width, muldiv::imul_rri)),
        Shape::RM => Row::load(pick16!(f.width, muldiv::imul_rm, Any)),
        Shape::Rmi => Row::load(pick16!(f.width, muldiv::imul_rmi, Any)),
        _ => return None,
    };
    Some(row.class(Class::Multiply))
}

fn bit<O: bits::BitChange>(f: &Form) -> Option<Row> {
    let memory = |h| if O::WRITES { Row::modify(h) } else { Row::load(h) };
    Some(match f.shape {
        Shape::RR => Row::pure(pick16!(f.width, bits::bit_rr, O)),
        Shape::RI => Row::pure(pick16!(f.width, bits::bit_ri, O)),
        Shape::MR => memory(pick16!(f.width, bits::bit_mr, O)),
        Shape::MI => memory(pick16!(f.width, bits::bit_mi, O)),
        _ => return None,
    })
}

fn scan<O: bits::Scan>(f: &Form) -> Option<Row> {
    Some(match f.shape {
        Shape::RR => Row::pure(pick16!(f.width, bits::scan_rr, O)),
        Shape::RM => Row::load(pick16!(f.width, bits::scan_rm, O)),
        _ => return None,
    })
}

fn mov(f: &Form) -> Option<Row> {
    let special = |k| {
        let r = f.i.op_register(k);
        f.i.op_kind(k) == OpKind::Register && !(r.is_gpr8() || r.is_gpr16() || r.is_gpr32())
    };
    if special(0) || special(1) {
        return None;
    }
    Some(match f.shape {
        Shape::RR => Row::pure(pick!(f.width, mov::mov_rr)),
        Shape::RI => Row::pure(pick!(f.width, mov::mov_ri)),
        Shape::RM => Row::load(pick_place!(f.width, f.place, mov::mov_rm)),
        Shape::MR => Row::store(pick_place!(f.width, f.place, mov::mov_mr)),
        Shape::MI => Row::store(pick_place!(f.width, f.place, mov::mov_mi)),
        _ => return None,
    })
}

fn extend<E: mov::Extend>(f: &Form) -> Option<Row> {
    use mov::{extend_rm, extend_rr};
    Some(match (f.shape, f.width2) {
        (Shape::RR, Width::Byte) => Row::pure(pick16!(f.width, extend_rr, u8, E)),
        (Shape::RR, _) => Row::pure(pick16!(f.width, extend_rr, u16, E)),
        (Shape::RM, Width::Byte) => Row::load(match f.place {
            PlaceKind::Near => pick16!(f.width, extend_rm, u8, E, Near),
            PlaceKind::Flat => pick16!(f.width, extend_rm, u8, E, Flat),
            PlaceKind::Any => pick16!(f.width, extend_rm, u8, E, Any),
        }),
        (Shape::RM, _) => Row::load(match f.place {
            PlaceKind::Near => pick16!(f.width, extend_rm, u16, E, Near),
            PlaceKind::Flat => pick16!(f.width, extend_rm, u16, E, Flat),
            PlaceKind::Any => pick16!(f.width, extend_rm, u16, E, Any),
        }),
        _ => return None,
    })
}

/// Operand size of an instruction that names it only by its opcode and prefix.
pub(super) fn stack_width(f: &Form) -> Width {
    match f.i.code() {
        Code::Pushaw
        | Code::Popaw
        | Code::Pushfw
        | Code::Popfw
        | Code::Enterw_imm16_imm8
        | Code::Leavew
        | Code::Push_imm16
        | Code::Pushw_imm8
        | Code::Retnw
        | Code::Retnw_imm16
        | Code::Retfw
        | Code::Retfw_imm16
        | Code::Iretw
        | Code::Pushw_ES
        | Code::Pushw_CS
        | Code::Pushw_SS
        | Code::Pushw_DS
        | Code::Pushw_FS
        | Code::Pushw_GS
        | Code::Popw_ES
        | Code::Popw_SS
        | Code::Popw_DS
        | Code::Popw_FS
        | Code::Popw_GS => Width::Word,
        _ => Width::Dword,
    }
}

/// Width of a relative branch's target.
fn target_width(f: &Form) -> Width {
    if f.i.op0_kind() == OpKind::NearBranch16 { Width::Word } else { Width::Dword }
}

fn push(f: &Form) -> Option<Row> {
    let flat = f.flat32();
    Some(match f.shape {
        Shape::R if f.i.op0_register().is_segment_register() => return None,
        Shape::R if flat => Row::store(pick16!(f.width, stack::push_r, FlatStack)),
        Shape::R => Row::store(pick16!(f.width, stack::push_r, AnyStack)),
        Shape::I if flat => Row::store(pick16!(stack_width(f), stack::push_i, FlatStack)),
        Shape::I => Row::store(pick16!(stack_width(f), stack::push_i, AnyStack)),
        Shape::M => Row::modify(match f.place {
            PlaceKind::Near if flat => pick16!(f.width, stack::push_m, Near, FlatStack),
            _ => pick16!(f.width, stack::push_m, Any, AnyStack),
        }),
        _ => return None,
    })
}

fn pop(f: &Form) -> Option<Row> {
    Some(match f.shape {
        Shape::R if f.i.op0_register().is_segment_register() => return None,
        Shape::R if f.flat32() && f.width == Width::Dword => Row::load(stack::pop_flat),
        Shape::R => Row::load(pick16!(f.width, stack::pop_r, AnyStack)),
        Shape::M => Row::modify(pick16!(f.width, stack::pop_m)),
        _ => return None,
    })
}

fn jmp(f: &Form) -> Option<Row> {
    Some(match f.shape {
        Shape::R => Row::branch(pick16!(f.width, branch::jmp_r)),
        Shape::M => Row::branch(pick16!(f.width, branch::jmp_m, Any)).with(Effect::LOAD),
        _ if f.flat32() && f.i.op0_kind() == OpKind::NearBranch32 => Row::branch(branch::jmp_flat),
        _ => Row::branch(branch::jmp),
    })
}

fn call(f: &Form, op: &mut Op) -> Option<Row> {
    let flat = f.flat32();
    let row = match f.shape {
        Shape::R if flat => Row::branch(pick16!(f.width, branch::call_r, FlatStack)),
        Shape::R => Row::branch(pick16!(f.width, branch::call_r, AnyStack)),
        Shape::M if flat => Row::branch(pick16!(f.width, branch::call_m, Any, FlatStack)).with(Effect::LOAD),
        Shape::M => Row::branch(pick16!(f.width, branch::call_m, Any, AnyStack)).with(Effect::LOAD),
        _ if flat && f.i.op0_kind() == OpKind::NearBranch32 => {
            op.disp = u32::from(op.at) + u32::from(op.len);
            Row::branch(branch::call_flat)
        }
        _ => Row::branch(pick16!(target_width(f), branch::call)),
    };
    Some(row.with(Effect::STORE))
}

fn ret(f: &Form, op: &Op) -> Row {
    let w = stack_width(f);
    let row = if f.flat32() && w == Width::Dword && op.imm == 0 {
        Row::branch(branch::ret_flat)
    } else {
        Row::branch(pick16!(w, branch::ret))
    };
    row.with(Effect::LOAD)
}

fn count_loop<L: branch::LoopWhile>(f: &Form, op: &mut Op) -> Row {
    op.mask = match f.i.code() {
        Code::Loop_rel8_16_CX
        | Code::Loop_rel8_32_CX
        | Code::Loope_rel8_16_CX
        | Code::Loope_rel8_32_CX
        | Code::Loopne_rel8_16_CX
        | Code::Loopne_rel8_32_CX => 0xffff,
        _ => u32::MAX,
    };
    Row::branch(pick16!(target_width(f), branch::loop_while, L))
}

fn string<O: string::StringOp>(f: &Form, op: &mut Op, accesses: Effect) -> Option<Row> {
    // MOVSD and CMPSD are also names of SSE2 instructions.
    if !f.i.is_string_instruction() {
        return None;
    }
    if f.i.has_repne_prefix() {
        op.bits |= Op::REPNE;
    } else if f.i.has_rep_prefix() {
        op.bits |= Op::REP;
    }
    let width = if f.i.op0_kind() == OpKind::Register { f.width2 } else { f.width };
    if op.bits & (Op::REP | Op::REPNE) == 0 {
        return Some(Row::pure(pick!(width, string::once, O)).with(accesses));
    }
    Some(Row::pure(pick!(width, string::repeat, O)).class(Class::Repeat).with(Effect::ENDS))
}

/// What the table does not know: unmodelled or undefined by CPUID feature.
fn fallback(f: &Form) -> Row {
    use CpuidFeature as C;
    let features = f.i.cpuid_features();
    let any = |list: &[C]| features.iter().any(|c| list.contains(c));
    let stop = |run: Handler| Row { run, class: Class::Dynamic, effect: Effect::ENDS | Effect::BYTES };
    if any(&[
        C::INTEL8086,
        C::INTEL186,
        C::INTEL286,
        C::INTEL386,
        C::INTEL486,
        C::CMOV,
        C::CX8,
        C::TSC,
        C::MSR,
    ]) {
        stop(exec::unmodelled)
    } else {
        Row::end(exec::undefined)
    }
}
