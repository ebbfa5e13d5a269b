//! Where an i686 does otherwise than an 80286: cases of that set that cannot hold here, each with its reason.
//!
//! References are to the Intel 64 and IA-32 Architectures Software Developer's Manual.

use crate::moo::Case;
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, Register, UsedMemory};
use shootdown_emu::cpu::exception::vector;
use shootdown_emu::cpu::flags::{ARITH, OF};

/// An 80286 executes instructions of at most so many bytes.
const LONGEST_80286: usize = 10;

/// Does the form use a port?
pub fn uses_port(form: &str) -> bool {
    matches!(form, "6C" | "6D" | "6E" | "6F" | "E4" | "E5" | "E6" | "E7" | "EC" | "ED" | "EE" | "EF")
}

/// An exception of the captured processor that an i686 reports by vector 12: operands in the stack segment raise #SS
/// and not #GP (vol. 3, "Interrupt 12").
pub fn may_be_stack_fault(case: &Case) -> bool {
    let instruction = Decoder::new(16, &case.bytes, DecoderOptions::NONE).decode();
    let mut info = InstructionInfoFactory::new();
    let in_stack = |m: &UsedMemory| m.segment() == Register::SS;
    case.overruns() && info.info(&instruction).used_memory().iter().any(in_stack)
}

/// Flags that are undefined after this case beyond those of its form.
///
/// - OF after shifts and rotates by other than one (vol. 2, `SAL/SAR/SHL/SHR`, `RCL/RCR/ROL/ROR`).
/// - All after a divide error: an i686 saves them as before the instruction, for it is a fault (vol. 3, "Interrupt
///   0"); an 80286 has computed some. Likewise after a fault in the middle of a repeated comparison (vol. 2, `REP`).
pub fn undefined_flags(form: &str, case: &Case) -> u32 {
    let divided = case.exception.is_some_and(|(v, _)| v == vector::DE);
    if divided || case.faults_in_string() {
        return ARITH;
    }
    let count = match form.get(..2) {
        Some("C0" | "C1") => case.bytes.iter().rev().nth(1).map(|b| u32::from(*b)),
        Some("D2" | "D3") => case.before.registers.iter().find(|(n, _)| *n == "cx").map(|(_, v)| v & 0xff),
        _ => None,
    };
    if count.is_some_and(|n| n & 31 != 1) { OF } else { 0 }
}

impl Case {
    /// The captured processor took #GP: an operand of the instruction reaches beyond its segment.
    fn overruns(&self) -> bool {
        self.exception.is_some_and(|(v, _)| v == vector::GP)
    }

    fn faults_in_string(&self) -> bool {
        self.overruns() && Parts::of(&self.bytes).string()
    }
}

/// Registers that an i686 leaves otherwise: after a fault in a string instruction it stands before the element that
/// faulted (vol. 2, `REP`), an 80286 behind it or in between.
pub fn different_registers(case: &Case) -> &'static [&'static str] {
    if case.faults_in_string() { &["cx", "si", "di"] } else { &[] }
}

/// Why an i686 need not do as this case says, if so.
pub fn from_80286(case: &Case) -> Option<&'static str> {
    let i = Parts::of(&case.bytes);
    if case.bytes.len() > LONGEST_80286 + 1 {
        return Some(
            "over 10 bytes: too long for an 80286, while an i686 takes 15 (vol. 3, \"Interrupt 13\")",
        );
    }
    if i.lock && !i.lockable() {
        return Some("LOCK on what an i686 does not lock: #UD (vol. 2, \"LOCK\")");
    }
    if matches!(i.opcode, 0x8c | 0x8e) && matches!(i.reg(), 4 | 5) {
        return Some("segment registers 4 and 5 are FS and GS (vol. 2, \"MOV\")");
    }
    if matches!(i.opcode, 0xd8..=0xdf) {
        return Some("captured without a coprocessor (vol. 3, \"Configuring the x87 FPU Environment\")");
    }
    if i.opcode == 0x8f && case.overruns() {
        return Some("POP to memory that faults: an i686 keeps SP (vol. 3, \"Faults\")");
    }
    None
}

/// The parts of an instruction that decide.
struct Parts {
    lock: bool,
    opcode: u8,
    modrm: u8,
}

impl Parts {
    fn of(bytes: &[u8]) -> Parts {
        let prefix = |b: &u8| matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0xf0 | 0xf2 | 0xf3);
        let prefixes = bytes.iter().take_while(|b| prefix(b)).count();
        let at = |n: usize| bytes.get(prefixes + n).copied().unwrap_or_default();
        Parts { lock: bytes.iter().take(prefixes).any(|b| *b == 0xf0), opcode: at(0), modrm: at(1) }
    }

    fn reg(&self) -> u8 {
        self.modrm >> 3 & 7
    }

    /// Reads, changes and writes memory in a form that may be locked.
    fn lockable(&self) -> bool {
        let form = match self.opcode {
            0x00..=0x37 => self.opcode & 7 < 2,
            0x80..=0x83 => self.reg() != 7,
            0x86 | 0x87 => true,
            0xf6 | 0xf7 => matches!(self.reg(), 2 | 3),
            0xfe | 0xff => self.reg() < 2,
            _ => false,
        };
        form && self.modrm >> 6 != 3
    }

    fn string(&self) -> bool {
        matches!(self.opcode, 0x6c..=0x6f | 0xa4..=0xa7 | 0xaa..=0xaf)
    }
}
