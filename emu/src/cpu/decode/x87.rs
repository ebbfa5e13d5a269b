//! The x87 instructions: one handler for all, which goes by the opcode; here are cost and memory accesses.
//!
//! (SDM vol. 2, opcode map "Escape Opcodes".)

use super::form::{Form, Shape};
use super::row::{Class, Effect, Row};
use crate::cpu::exec::{self, fpu};
use crate::cpu::op::Op;
use iced_x86::{Code, CpuidFeature, Mnemonic};

/// The row of an x87 instruction; `None` for any other.
pub(super) fn row(f: &Form, op: &mut Op) -> Option<Row> {
    use Mnemonic as M;
    match f.i.mnemonic() {
        M::Wait => return Some(Row::pure(fpu::fwait).with(Effect::empty())),
        M::Fxsave => return Some(Row::store(fpu::fxsave).class(Class::X87Function)),
        M::Fxrstor => return Some(Row::load(fpu::fxrstor).class(Class::X87Function).with(Effect::empty())),
        _ => {}
    }
    use CpuidFeature as C;
    let mut features = f.i.cpuid_features().iter();
    if !features.any(|c| matches!(c, C::FPU | C::FPU287 | C::FPU287XL_ONLY | C::FPU387 | C::FPU387SL_ONLY)) {
        return None;
    }
    if matches!(f.i.mnemonic(), M::Fstdw | M::Fstsg | M::Frstpm | M::Fisttp) {
        // Of the 80287XL and 80387SL alone, and of SSE3.
        return Some(Row::end(exec::undefined));
    }
    if matches!(
        f.i.code(),
        Code::Fldenv_m14byte | Code::Fnstenv_m14byte | Code::Fnsave_m94byte | Code::Frstor_m94byte
    ) {
        op.bits |= Op::OP16;
    }
    let class = match f.i.mnemonic() {
        M::Fdiv | M::Fdivp | M::Fdivr | M::Fdivrp | M::Fidiv | M::Fidivr | M::Fsqrt => Class::X87Divide,
        M::F2xm1
        | M::Fyl2x
        | M::Fyl2xp1
        | M::Fptan
        | M::Fpatan
        | M::Fsin
        | M::Fcos
        | M::Fsincos
        | M::Fprem
        | M::Fprem1
        | M::Fscale
        | M::Fxtract
        | M::Fbld
        | M::Fbstp
        | M::Fnsave
        | M::Frstor
        | M::Fnstenv
        | M::Fldenv => Class::X87Function,
        _ => Class::X87,
    };
    let access = match (f.shape, stores(f.i.mnemonic())) {
        (Shape::M, true) => Effect::STORE,
        (Shape::M, false) => Effect::LOAD,
        _ => Effect::empty(),
    };
    Some(Row::pure(fpu::execute).class(class).with(Effect::ESCAPE | access))
}

/// Is a memory operand of this instruction written?
fn stores(m: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        m,
        M::Fst | M::Fstp | M::Fist | M::Fistp | M::Fbstp | M::Fnstcw | M::Fnstsw | M::Fnstenv | M::Fnsave
    )
}
