//! Makes cases: an instruction of a form with random operands, and registers and memory so that it does something.
//!
//! Operands in memory lie within the memory of the cases; branches end in that for code, or, with 16-bit operands,
//! below 10000h, where the fetch after them faults.

use super::case::{Case, SEGMENTS};
use super::forms::{Form, decode, in_memory};
use super::image::{CODE, DATA};
use super::operands::ESP;
use super::x87;
use crate::random::Random;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

const IF: u32 = 0x202;
const ARITHMETIC: u32 = 0x8d5;
const LOCK: u8 = 0xf0;
/// The prefix of the segment that is taken anyway.
const DS: u8 = 0x3e;
/// The direction flag.
pub const DF: u32 = 0x400;

/// Bytes of the longest instruction.
const LONGEST: usize = 15;

/// A case in the making.
pub struct Draft<'a> {
    pub random: &'a mut Random,
    pub case: Case,
    pub i: Instruction,
    /// Bit n: general register n is not to be changed any more.
    pub fixed: u8,
    /// With LOCK, put in front at the end.
    pub locked: bool,
}

/// A number of the kind that shows mistakes.
pub fn value(random: &mut Random) -> u32 {
    const EDGES: [u32; 12] =
        [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let v = random.next() as u32;
    match random.below(8) {
        0..3 => random.pick(&EDGES),
        3 => v & 0xff,
        4 => v & 0xffff,
        _ => v,
    }
}

/// A case of a form, or `None` where the random bytes did not make one.
pub fn case(random: &mut Random, form: &Form) -> Option<Case> {
    let (code, i) = instruction(random, form)?;
    let locked = if lockable(&i) { random.percent(20) } else { random.percent(1) && !system(&i) };
    let eip = CODE.start + 0x1000 + random.below(0xe000);
    let mut registers = [0; 10];
    for r in &mut registers[..8] {
        *r = value(random);
    }
    let mut flags = IF | random.next() as u32 & ARITHMETIC;
    if i.is_string_instruction() || random.percent(10) {
        flags |= random.next() as u32 & DF;
    }
    registers[ESP] =
        DATA[1].start + 0x8000 + (random.below(0x4000) & if random.percent(80) { !3 } else { !0 });
    registers[8] = eip;
    registers[9] = flags;
    let case = Case { form: form.name(), code, registers, segments: SEGMENTS, ..Case::default() };
    let mut draft = Draft { random, case, i, fixed: 0, locked };
    draft.before_address();
    if in_memory(&i) {
        draft.address()?;
    }
    draft.after_address()?;
    if form.x87() {
        x87::arrange(&mut draft)?;
    }
    draft.branch()?;
    let relative = matches!(i.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32);
    // UD0 has a ModR/M byte to some processors, none to others.
    let fixed = form.memory || relative || i.is_string_instruction() || i.mnemonic() == Mnemonic::Ud0;
    if !fixed && draft.random.percent(1) {
        // As long as an instruction may be, or one byte longer.
        let most = LONGEST + draft.random.below(2) as usize;
        let prefixes = most - draft.case.code.len() - usize::from(locked);
        draft.case.code.splice(..0, vec![DS; prefixes]);
    }
    if locked {
        draft.case.code.insert(0, LOCK);
    }
    Some(draft.case)
}

/// Bytes that decode to the form.
fn instruction(random: &mut Random, form: &Form) -> Option<(Vec<u8>, Instruction)> {
    let t = random.pick(&form.templates);
    let wanted = t.decode();
    let mut bytes = Vec::new();
    if random.percent(if form.memory { 15 } else { 2 }) {
        bytes.push(random.pick(&[0x26, 0x36, 0x3e, 0x2e, 0x26, 0x36, 0x3e, 0x64, 0x65]));
    }
    if random.percent(if form.memory { 18 } else { 2 }) {
        bytes.push(0x67);
    }
    if wanted.is_string_instruction() && !wanted.is_privileged() {
        // REPNE is defined where it compares.
        let compares = wanted.rflags_written() != 0;
        bytes.extend(random.pick(&[None, Some(0xf3), if compares { Some(0xf2) } else { Some(0xf3) }]));
    }
    bytes.extend(t.bytes());
    if (form.memory || !form.x87())
        && let Some(modrm) = bytes.last_mut()
    {
        *modrm |= random.below(8) as u8;
    }
    while bytes.len() < LONGEST {
        let v = value(random).to_le_bytes();
        bytes.extend(if random.percent(50) { &v[..] } else { &v[..1] });
    }
    bytes.truncate(LONGEST);
    let i = decode(&bytes, 0);
    bytes.truncate(i.len());
    let same = !i.is_invalid() && i.mnemonic() == wanted.mnemonic() && in_memory(&i) == form.memory;
    (same && alike(&i)).then_some((bytes, i))
}

/// Is the answer one and the same with these operands too?
fn alike(i: &Instruction) -> bool {
    use Mnemonic as M;
    let registers = [i.op0_register(), i.op1_register()];
    let lacking = |r: &Register| {
        matches!(
            r,
            Register::CR1 | Register::CR5 | Register::CR6 | Register::CR7 | Register::DR4 | Register::DR5
        )
    };
    match i.mnemonic() {
        // It would push onto its own code.
        M::Call => i.op0_register() != Register::ESP && i.op0_register() != Register::SP,
        // The system's gate.
        M::Int => i.immediate8() != 0x80,
        M::Mov => !registers.iter().any(lacking),
        _ => true,
    }
}

/// LOCK is left away: with a move from CR0 it is one from CR8 to AMD's processors, which also take a locked VERW.
fn system(i: &Instruction) -> bool {
    i.is_privileged() || matches!(i.mnemonic(), Mnemonic::Reservednop | Mnemonic::Nop | Mnemonic::Verw)
}

/// Does it read, change and write memory, so that LOCK may stand before it?
fn lockable(i: &Instruction) -> bool {
    use Mnemonic as M;
    let known =
        [M::Add, M::Adc, M::And, M::Btc, M::Btr, M::Bts, M::Cmpxchg, M::Cmpxchg8b, M::Dec, M::Inc, M::Neg];
    let rest = [M::Not, M::Or, M::Sbb, M::Sub, M::Xadd, M::Xchg, M::Xor];
    i.op0_kind() == OpKind::Memory && (known.contains(&i.mnemonic()) || rest.contains(&i.mnemonic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::forms;
    use crate::vectors::image::DATA;
    use std::ops::Range;

    #[test]
    fn every_form_makes_cases_and_a_seed_makes_the_same() {
        let make = |form: &Form| {
            let mut random = Random::new(7);
            (0..500).find_map(|_| case(&mut random, form))
        };
        for form in forms::all() {
            let made = make(&form).unwrap_or_else(|| panic!("no case of {}", form.name()));
            assert_eq!(format!("{:?}", Some(&made)), format!("{:?}", make(&form)));
            assert_eq!(made.unit.is_some(), form.x87());
            for (at, bytes) in &made.memory {
                let there = |r: &Range<u32>| r.contains(at) && r.end - at >= bytes.len() as u32;
                assert!(DATA.iter().any(there), "{}: {at:#x}", form.name());
            }
        }
    }
}
