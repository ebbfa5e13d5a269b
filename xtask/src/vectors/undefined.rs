//! What the manual leaves undefined after an instruction.
//!
//! (SDM vol. 1, appendix A, "EFLAGS Cross-Reference", and appendix C; vol. 2, each instruction's "Flags Affected" and
//! "FPU Flags Affected"; vol. 1, "x87 FPU Instruction and Data (Operand) Pointers".)

use super::case::{After, Case, Open};
use super::forms::{decode, in_memory};
use iced_x86::{Instruction, MemorySize, Mnemonic, Register};

const CF: u32 = 1;
const PF: u32 = 4;
const AF: u32 = 0x10;
const ZF: u32 = 0x40;
const SF: u32 = 0x80;
const OF: u32 = 0x800;
const ARITHMETIC: u32 = CF | PF | AF | ZF | SF | OF;
/// Vector of the divide error.
const DIVIDE: u8 = 0;

/// Condition bits of the x87 status word.
const C0: u16 = 0x100;
const C1: u16 = 0x200;
const C2: u16 = 0x400;
const C3: u16 = 0x4000;

/// Of the pointers to the last x87 instruction: that to the operand, and all.
const OPERAND: u8 = 4;
/// See [`OPERAND`].
const POINTERS: u8 = 7;

/// What is undefined in the outcome of a case.
pub fn after(case: &Case, after: &After) -> Open {
    // LOCK in front, where there is one, is none of the instruction's matter.
    let code = case.code.strip_prefix(&[0xf0]).unwrap_or(&case.code);
    let i = decode(code, case.registers[8]);
    let mut open = Open::default();
    match after.exception {
        Some((DIVIDE, _)) => open.flags = ARITHMETIC,
        // A fault changes nothing, and a trap has changed all it does.
        Some(_) => {}
        None => {
            open.flags = flags(&i, case);
            open.registers = registers(&i, case, after);
        }
    }
    if case.unit.is_some() {
        unit(&i, case, after, &mut open);
    }
    open
}

fn size(i: &Instruction) -> u32 {
    let bytes = if in_memory(i) { i.memory_size().size() } else { i.op0_register().size() };
    8 * bytes as u32
}

/// The count of a shift, of which five bits are used.
fn count(i: &Instruction, case: &Case) -> u32 {
    let last = i.op_count() - 1;
    let count =
        if i.op_register(last) == Register::CL { case.registers[1] } else { u32::from(i.immediate8()) };
    count & 31
}

fn flags(i: &Instruction, case: &Case) -> u32 {
    use Mnemonic as M;
    let shifted = || count(i, case);
    let unless_one = |n: u32| if n == 1 { 0 } else { OF };
    match i.mnemonic() {
        M::Rol | M::Ror | M::Rcl | M::Rcr if shifted() == 0 => 0,
        M::Rol | M::Ror | M::Rcl | M::Rcr => unless_one(shifted()),
        M::Shl | M::Sal | M::Shr | M::Sar | M::Shld | M::Shrd if shifted() == 0 => 0,
        M::Sar => AF | unless_one(shifted()),
        M::Shl | M::Sal | M::Shr => AF | unless_one(shifted()) | if shifted() >= size(i) { CF } else { 0 },
        M::Shld | M::Shrd if shifted() > size(i) => ARITHMETIC,
        M::Shld | M::Shrd => AF | unless_one(shifted()),
        M::And | M::Or | M::Xor | M::Test => AF,
        M::Mul | M::Imul => SF | ZF | AF | PF,
        M::Div | M::Idiv => ARITHMETIC,
        M::Bt | M::Bts | M::Btr | M::Btc => OF | SF | AF | PF,
        M::Bsf | M::Bsr => CF | OF | SF | AF | PF,
        M::Aaa | M::Aas => OF | SF | ZF | PF,
        M::Aam | M::Aad => OF | AF | CF,
        M::Daa | M::Das => OF,
        _ => 0,
    }
}

/// Destination of `bsf` and `bsr` where no bit is set, and of double shifts by more than there is.
fn registers(i: &Instruction, case: &Case, after: &After) -> u32 {
    use Mnemonic as M;
    let destination = 1 << i.op0_register().full_register32().number().min(31);
    match i.mnemonic() {
        M::Bsf | M::Bsr if after.registers[9] & ZF != 0 => destination,
        M::Shld | M::Shrd if !in_memory(i) && count(i, case) > size(i) => destination,
        _ => 0,
    }
}

/// Is the result in memory undefined as a whole? Then the case is of no use.
pub fn useless(case: &Case) -> bool {
    let i = decode(case.code.strip_prefix(&[0xf0]).unwrap_or(&case.code), case.registers[8]);
    matches!(i.mnemonic(), Mnemonic::Shld | Mnemonic::Shrd) && in_memory(&i) && count(&i, case) > size(&i)
}

fn unit(i: &Instruction, case: &Case, after: &After, open: &mut Open) {
    use Mnemonic as M;
    if after.exception.is_some() {
        // The system keeps none on all processors.
        open.pointers = POINTERS;
        return;
    }
    open.status = match i.mnemonic() {
        // All four are defined.
        M::Fcom
        | M::Fcomp
        | M::Fcompp
        | M::Fucom
        | M::Fucomp
        | M::Fucompp
        | M::Ficom
        | M::Ficomp
        | M::Ftst
        | M::Fxam
        | M::Fprem
        | M::Fprem1 => 0,
        M::Fninit | M::Fnsave | M::Fldenv | M::Frstor | M::Fxsave | M::Fxrstor | M::Wait => 0,
        // These leave C2 for arguments out of range.
        M::Fptan | M::Fsin | M::Fcos | M::Fsincos => C0 | C3,
        // The manual clears C1; some processors leave it.
        M::Fcomi | M::Fcomip | M::Fucomi | M::Fucomip => C0 | C1 | C2 | C3,
        M::Fnop | M::Ffree | M::Fldcw | M::Fnstcw | M::Fnstsw | M::Fnstenv | M::Fnclex => C0 | C1 | C2 | C3,
        _ => C0 | C2 | C3,
    };
    open.approximate = matches!(
        i.mnemonic(),
        M::F2xm1 | M::Fyl2x | M::Fyl2xp1 | M::Fptan | M::Fpatan | M::Fsin | M::Fcos | M::Fsincos
    );
    if !in_memory(i) {
        open.pointers |= OPERAND;
    }
    if i.mnemonic() == M::Fxrstor {
        // AMD's processors load and store them if an exception is pending alone.
        open.pointers = POINTERS;
    }
    let (true, Some(at)) = (matches!(i.mnemonic(), M::Fnstenv | M::Fnsave | M::Fxsave), case.place) else {
        return;
    };
    open.memory = match i.memory_size() {
        // Selectors, which the system does not keep for a program, and reserved words.
        MemorySize::FpuEnv14 | MemorySize::FpuState94 => vec![(at + 8, 2), (at + 12, 2)],
        MemorySize::FpuEnv28 | MemorySize::FpuState108 => {
            vec![(at + 2, 2), (at + 6, 2), (at + 10, 2), (at + 16, 2), (at + 24, 4)]
        }
        // Pointers, MXCSR, and what belongs to SSE.
        _ => vec![(at + 6, 26), (at + 160, 352)],
    };
}
