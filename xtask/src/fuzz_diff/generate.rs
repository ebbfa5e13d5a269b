//! Random cases: a few instructions, and registers that mostly point into the memory that both sides have.
//!
//! Left out is what the two sides cannot be asked alike: privileged instructions and
//! I/O, transfers through gates and descriptor tables, what the processor model of
//! the other side defines otherwise (time-stamp counter, CPUID), x87 and later
//! extensions, and instructions that read a flag that one before left undefined.

use super::Mode;
use super::unicorn::{CODE, Case};
use crate::random::Random;
use iced_x86::RflagsBits;
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Longest sequence.
const MOST: u64 = 4;
/// Flags that are never compared or set at random: TF, IF, IOPL, NT and above.
const ARITHMETIC: u32 = 0x8d5;
const DIRECTION: u32 = 0x400;

/// The next case of a mode.
pub fn case(random: &mut Random, mode: Mode) -> Case {
    let mut case = Case {
        regs: [0; 8],
        flags: 2,
        segments: [0; 6],
        code: Vec::new(),
        count: 0,
        repeats: false,
        branches: false,
        undefined: 0,
    };
    case.flags |= random.next() as u32 & (ARITHMETIC | DIRECTION);
    for r in &mut case.regs {
        *r = value(random, mode);
    }
    case.regs[4] = 0x8000 | (random.next() as u32 & 0x3fff);
    if mode == Mode::Real {
        // Every segment lies in the memory whole.
        for s in &mut case.segments {
            *s = (random.next() % 0x1001) as u16;
        }
        case.segments[1] = (CODE >> 4) as u16;
    }
    let wanted = 1 + random.next() % MOST;
    while u64::from(case.count) < wanted {
        let Some((bytes, i)) = instruction(random, mode, case.undefined) else { continue };
        let repeats = i.is_string_instruction() && (i.has_rep_prefix() || i.has_repne_prefix());
        case.code.extend(bytes);
        case.count += 1;
        case.repeats |= repeats;
        case.undefined = undefined_after(&i, case.undefined);
        // What is no instruction, or leaves the sequence, ends it.
        if i.is_invalid() || i.flow_control() != iced_x86::FlowControl::Next {
            case.branches = true;
            break;
        }
        if repeats {
            break;
        }
    }
    case
}

fn value(random: &mut Random, mode: Mode) -> u32 {
    let r = random.next();
    let v = (r >> 8) as u32;
    match r & 7 {
        0 => v & 0xff,
        1 => v,
        2 => [0, 1, 0x7f, 0x80, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX][v as usize % 10],
        _ if mode == Mode::Real => v & 0xffff,
        _ => 0x4000 + (v & 0xffff),
    }
}

/// Flags that are undefined after an instruction, if `before` are before it.
pub fn undefined_after(i: &Instruction, before: u32) -> u32 {
    // OF after rotations through carry by anything but one is undefined, which the decoder does not tell.
    let rotation = matches!(i.mnemonic(), Mnemonic::Rcl | Mnemonic::Rcr);
    // Shifts by CL and repeated comparisons leave the flags alone if the count is 0.
    let by_cl =
        (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Register && i.op_register(n) == Register::CL);
    let may_not = matches!(
        i.mnemonic(),
        Mnemonic::Shl
            | Mnemonic::Sal
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Rol
            | Mnemonic::Ror
            | Mnemonic::Rcl
            | Mnemonic::Rcr
            | Mnemonic::Shld
            | Mnemonic::Shrd
    ) && by_cl
        || i.is_string_instruction() && (i.has_rep_prefix() || i.has_repne_prefix());
    let changed = if may_not { 0 } else { i.rflags_written() | i.rflags_cleared() | i.rflags_set() };
    (before & !changed) | i.rflags_undefined() | if rotation { RflagsBits::OF } else { 0 }
}

/// Random bytes to be decoded, if it is clear what their prefixes mean.
pub fn random_bytes(random: &mut Random) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = (0..3).flat_map(|_| random.next().to_le_bytes()).collect();
    // A prefix now and then, more often than chance would have it, and the second opcode page.
    const PREFIXES: [u8; 10] = [0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x66];
    if random.next().is_multiple_of(4) {
        bytes.insert(0, 0x0f);
    }
    while random.next().is_multiple_of(4) {
        bytes.insert(0, PREFIXES[random.next() as usize % PREFIXES.len()]);
    }
    // Which of two repeat prefixes counts the manual does not say: here the last, there REPNE.
    let prefixes = bytes.iter().take_while(|b| PREFIXES.contains(b));
    let both = prefixes.clone().any(|b| *b == 0xf2) && prefixes.clone().any(|b| *b == 0xf3);
    (!both).then_some(bytes)
}

/// An instruction of the processors that are compared, apart from x87 and later extensions.
pub fn known(i: &Instruction) -> bool {
    use CpuidFeature as F;
    i.cpuid_features().iter().all(|f| {
        matches!(f, F::INTEL8086 | F::INTEL186 | F::INTEL286 | F::INTEL386 | F::INTEL486 | F::CMOV | F::CX8)
    })
}

/// SHLD and SHRD of 16 bits: the result of a shift by more is undefined.
pub fn wide_shift(i: &Instruction) -> bool {
    matches!(i.mnemonic(), Mnemonic::Shld | Mnemonic::Shrd)
        && (i.op0_kind() == OpKind::Register && i.op0_register().size() == 2 || i.memory_size().size() == 2)
}

/// Random bytes that are an instruction both sides can be asked, or none at all.
fn instruction(random: &mut Random, mode: Mode, undefined: u32) -> Option<(Vec<u8>, Instruction)> {
    let mut bytes = random_bytes(random)?;
    let bits = if mode == Mode::Real { 16 } else { 32 };
    let mut decoder = Decoder::with_ip(bits, &bytes, 0, DecoderOptions::NO_PAUSE);
    let i = decoder.decode();
    let length = if i.is_invalid() { decoder.position() } else { i.len() };
    if i.is_invalid() {
        return None;
    }
    if !askable(&i, mode) || i.rflags_read() & undefined != 0 {
        return None;
    }
    let offsets = decoder.get_constant_offsets(&i);
    bytes.truncate(length);
    if offsets.has_displacement() && offsets.displacement_size() == 4 {
        // Within the memory, or a little way from where a register points.
        let at = offsets.displacement_offset();
        let absolute = i.memory_base() == Register::None && i.memory_index() == Register::None;
        bytes[at + 2] = if absolute { bytes[at + 2] & 1 } else { 0 };
        bytes[at + 3] = 0;
        if !absolute {
            bytes[at + 1] &= 0x1f;
        }
        if i.memory_segment() == Register::None {
            return None;
        }
    }
    Some((bytes, i))
}

fn askable(i: &Instruction, mode: Mode) -> bool {
    let near = |i: &Instruction| {
        (0..i.op_count()).all(|n| !matches!(i.op_kind(n), OpKind::FarBranch16 | OpKind::FarBranch32))
    };
    let segment =
        (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Register && i.op_register(n).is_segment_register());
    let left_out = matches!(
        i.mnemonic(),
        Mnemonic::In
            | Mnemonic::Out
            | Mnemonic::Insb
            | Mnemonic::Insw
            | Mnemonic::Insd
            | Mnemonic::Outsb
            | Mnemonic::Outsw
            | Mnemonic::Outsd
            | Mnemonic::Int
            | Mnemonic::Int1
            | Mnemonic::Int3
            | Mnemonic::Into
            | Mnemonic::Iret
            | Mnemonic::Iretd
            | Mnemonic::Retf
            | Mnemonic::Hlt
            | Mnemonic::Cli
            | Mnemonic::Sti
            | Mnemonic::Wait
            | Mnemonic::Lds
            | Mnemonic::Les
            | Mnemonic::Lss
            | Mnemonic::Lfs
            | Mnemonic::Lgs
            | Mnemonic::Lar
            | Mnemonic::Lsl
            | Mnemonic::Verr
            | Mnemonic::Verw
            | Mnemonic::Arpl
            | Mnemonic::Sldt
            | Mnemonic::Str
            | Mnemonic::Sgdt
            | Mnemonic::Sidt
            | Mnemonic::Smsw
            | Mnemonic::Lmsw
            | Mnemonic::Popf
            | Mnemonic::Popfd
            | Mnemonic::Pushf
            | Mnemonic::Pushfd
            | Mnemonic::Clts
            | Mnemonic::Loadall
            | Mnemonic::Umov
            | Mnemonic::Ibts
            | Mnemonic::Xbts
            | Mnemonic::Montmul
            | Mnemonic::Cmpxchg8b
    );
    let far = matches!(i.code(), Code::Call_m1616 | Code::Call_m1632 | Code::Jmp_m1616 | Code::Jmp_m1632);
    // The code segment may be written there; and the code is none of the memory.
    let code = i.segment_prefix() == Register::CS;
    // There the number is taken as signed (manual: "RET", a count of bytes).
    let long = matches!(i.code(), Code::Retnw_imm16 | Code::Retnd_imm16) && i.immediate16() >= 0x8000;
    // TEST by its second encoding is none there; real processors have it.
    let alias = matches!(
        i.code(),
        Code::Test_rm8_imm8_F6r1 | Code::Test_rm16_imm16_F7r1 | Code::Test_rm32_imm32_F7r1
    );
    // There the whole of EBP is written; the manual and captured vectors say BP.
    let enter = mode == Mode::Flat && i.code() == Code::Enterw_imm16_imm8;
    known(i)
        && near(i)
        && !segment
        && !left_out
        && !far
        && !wide_shift(i)
        && !i.is_privileged()
        && !i.has_lock_prefix()
        && !code
        && !alias
        && !long
        && !enter
}
