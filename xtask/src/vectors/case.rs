//! A case: the state before one instruction, what a processor made of it, and the line of the file.
//!
//! The format is described in `emu/tests/vectors/README.md`.

use super::unit::Unit;
use crate::lock::hex;
use serde_json::{Map, Value, json};

/// Selectors of a 32-bit program on Linux: code, and all else.
pub const USER_CODE: u16 = 0x23;
/// See [`USER_CODE`].
pub const USER_DATA: u16 = 0x2b;
/// ES, CS, SS, DS, FS, GS of a case that does not say otherwise.
pub const SEGMENTS: [u16; 6] = [USER_DATA, USER_CODE, USER_DATA, USER_DATA, 0, 0];
/// Number of the instruction pointer among the registers.
pub const EIP: usize = 8;
/// Number of the flags.
pub const EFLAGS: usize = 9;

/// Registers, memory and x87 unit before an instruction.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Name of the form.
    pub form: String,
    /// Instruction.
    pub code: Vec<u8>,
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, EIP, EFLAGS.
    pub registers: [u32; 10],
    /// ES, CS, SS, DS, FS, GS.
    pub segments: [u16; 6],
    /// Memory that is not zero.
    pub memory: Vec<(u32, Vec<u8>)>,
    /// Where an operand in memory lies.
    pub place: Option<u32>,
    /// x87 unit, if the instruction uses it.
    pub unit: Option<Unit>,
}

/// What a processor made of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// As in [`Case`].
    pub registers: [u32; 10],
    /// As in [`Case`].
    pub segments: [u16; 6],
    /// Bytes that changed.
    pub changed: Vec<(u32, Vec<u8>)>,
    /// As in [`Case`].
    pub unit: Option<Unit>,
    /// Exception with its error code.
    pub exception: Option<(u8, u32)>,
}

/// What the manual leaves undefined after a case, and is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Bits of EFLAGS.
    pub flags: u32,
    /// Bit n: general register n.
    pub registers: u32,
    /// Bits of the x87 status word.
    pub status: u16,
    /// Of the x87 pointers: 1 the opcode, 2 the instruction's, 4 the operand's.
    pub pointers: u8,
    /// Results of the x87 unit hold within one unit of the last place.
    pub approximate: bool,
    /// Memory: address and bytes.
    pub memory: Vec<(u32, u32)>,
}

/// Flags that are compared, unless undefined: the arithmetic ones and DF.
const COMPARED: u32 = 0xcd5;
/// IF, IOPL, NT and AC: compared where all flags are loaded.
const SYSTEM: u32 = 0x4_7200;
/// Vectors with an error code.
const WITH_CODE: [u8; 6] = [8, 10, 11, 12, 13, 14];

/// The line of the file.
pub fn line(case: &Case, after: &After, open: &Open, loads_flags: bool) -> Value {
    let pieces = |m: &[(u32, Vec<u8>)]| -> Value { m.iter().map(|(at, b)| json!([at, hex(b)])).collect() };
    let compared = COMPARED | if loads_flags { SYSTEM } else { 0 };
    let mut o = Map::new();
    o.insert("f".into(), json!(case.form));
    o.insert("b".into(), json!(hex(&case.code)));
    o.insert("i".into(), json!(case.registers));
    o.insert("m".into(), pieces(&case.memory));
    o.insert("o".into(), json!(after.registers));
    o.insert("w".into(), pieces(&without(&after.changed, &open.memory)));
    o.insert("x".into(), json!(after.exception.map_or(-1, |(v, _)| i32::from(v))));
    o.insert("k".into(), json!(compared & !open.flags));
    if open.registers != 0 {
        o.insert("u".into(), json!(open.registers));
    }
    if let Some((v, code)) = after.exception
        && WITH_CODE.contains(&v)
    {
        o.insert("e".into(), json!(code));
    }
    if case.segments != SEGMENTS || after.segments != case.segments {
        o.insert("s".into(), json!(case.segments));
        o.insert("t".into(), json!(after.segments));
    }
    if !open.memory.is_empty() {
        o.insert("d".into(), json!(open.memory));
    }
    if let (Some(before), Some(unit)) = (&case.unit, &after.unit) {
        o.insert("p".into(), before.value(&Unit::default()));
        // What is undefined also hangs on whether the host interrupted the case.
        let mut unit = unit.clone();
        for (n, last) in unit.last.iter_mut().enumerate() {
            if open.pointers & 1 << n != 0 {
                *last = before.last[n];
            }
        }
        o.insert("q".into(), unit.value(before));
        o.insert("y".into(), json!(!open.status));
        o.insert("z".into(), json!(open.pointers));
        if open.approximate {
            o.insert("n".into(), json!(1));
        }
    }
    Value::Object(o)
}

/// The changes outside the undefined pieces.
fn without(changed: &[(u32, Vec<u8>)], undefined: &[(u32, u32)]) -> Vec<(u32, Vec<u8>)> {
    let kept = |at: u32| !undefined.iter().any(|&(from, len)| (from..from + len).contains(&at));
    let bytes = changed.iter().flat_map(|(at, b)| (*at..).zip(b.iter().copied()));
    pieces(bytes.filter(|(at, _)| kept(*at)))
}

/// Bytes in the order of their addresses, put together.
pub fn pieces(bytes: impl Iterator<Item = (u32, u8)>) -> Vec<(u32, Vec<u8>)> {
    let mut out: Vec<(u32, Vec<u8>)> = Vec::new();
    for (at, byte) in bytes {
        match out.last_mut() {
            Some((from, piece)) if *from + piece.len() as u32 == at => piece.push(byte),
            _ => out.push((at, vec![byte])),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_bytes_are_no_changes() {
        let changed = vec![(0x100, vec![1, 2, 3, 4])];
        assert_eq!(without(&changed, &[(0x101, 2)]), [(0x100, vec![1]), (0x103, vec![4])]);
    }
}
