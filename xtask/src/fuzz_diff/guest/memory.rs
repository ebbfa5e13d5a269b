//! What memory held when a case ended: the batch's image, the case's code, and what it changed. Cases often end in bytes
//! that are none of their instructions: which instruction those are is read here, through the page tables.

use super::cases::Case;
use super::layout::{ARENA, ARENA_BYTES, IMAGE, PRISTINE, arena, case, record};
use iced_x86::{Decoder, DecoderOptions, Instruction};
use std::collections::BTreeMap;

const PG: u32 = 1 << 31;
const PSE: u32 = 1 << 4;
const PAE: u32 = 1 << 5;
const VM: u32 = 1 << 17;
const PRESENT: u32 = 1;
const LARGE: u32 = 1 << 7;
/// Longest instruction.
const LONGEST: u32 = 15;
/// Most instructions of a path.
const MOST: usize = 32;

/// Memory and registers after a case.
pub struct Memory<'a> {
    /// From [`IMAGE`].
    pub image: &'a [u8],
    /// The case.
    pub case: &'a Case,
    /// Dwords of the arena that it changed.
    pub changes: &'a BTreeMap<u32, u32>,
    /// Its record.
    pub record: &'a [u32],
}

impl Memory<'_> {
    /// The instruction at which it ended, as far as its bytes can be read.
    pub fn instruction(&self) -> Option<Instruction> {
        self.instruction_at(self.record[record::EIP])
    }

    /// What lies where the case began and where its branches lead, other pages than its own included.
    pub fn path(&self) -> Vec<Instruction> {
        let mut found: Vec<Instruction> = self.from(self.case.eip).collect();
        let targets: Vec<u32> =
            found.iter().filter(|i| i.is_jcc_short_or_near()).map(|i| i.near_branch32()).collect();
        found.extend(targets.into_iter().flat_map(|at| self.from(at)));
        found
    }

    /// Instructions one after the other.
    fn from(&self, eip: u32) -> impl Iterator<Item = Instruction> {
        let mut eip = eip;
        std::iter::from_fn(move || {
            let i = self.instruction_at(eip)?;
            eip = eip.wrapping_add(i.len() as u32);
            Some(i)
        })
        .take(MOST)
    }

    fn instruction_at(&self, eip: u32) -> Option<Instruction> {
        let (base, bits) = self.code_segment()?;
        let start = base.wrapping_add(eip);
        let bytes: Vec<u8> = (0..LONGEST)
            .map_while(|i| self.translate(start.wrapping_add(i)).and_then(|at| self.byte(at)))
            .collect();
        let mut decoder = Decoder::with_ip(bits, &bytes, u64::from(eip), DecoderOptions::NO_PAUSE);
        let i = decoder.decode();
        (!i.is_invalid()).then_some(i)
    }

    /// Base of CS, and 16 or 32.
    fn code_segment(&self) -> Option<(u32, u32)> {
        let (selector, flags) = (self.record[record::CS], self.record[record::FLAGS]);
        if flags & VM != 0 {
            return Some((selector << 4, 16));
        }
        let table = if selector & 4 != 0 { arena::LDT } else { arena::GDT };
        let at = ARENA + table + (selector & 0xfff8);
        let (low, high) = (self.word(at)?, self.word(at + 4)?);
        let base = low >> 16 | (high & 0xff) << 16 | high & 0xff00_0000;
        Some((base, if high & 1 << 22 != 0 { 32 } else { 16 }))
    }

    fn translate(&self, linear: u32) -> Option<u32> {
        let r = self.record;
        if r[record::CR0] & PG == 0 {
            return Some(linear);
        }
        let pae = r[record::CR4] & PAE != 0;
        let (directory, bits, entry) = if pae {
            let pointer = self.word((r[record::CR3] & !31) + 8 * (linear >> 30))?;
            (pointer, 21, 8)
        } else {
            (r[record::CR3] | PRESENT, 22, 4)
        };
        let index = |shift: u32| (linear >> shift) % (4096 / entry) * entry;
        let present = |e: u32| (e & PRESENT != 0).then_some(e & !0xfff);
        let upper = self.word(present(directory)? + index(bits))?;
        if upper & LARGE != 0 && (pae || r[record::CR4] & PSE != 0) {
            return Some(present(upper)? & !((1 << bits) - 1) | linear & ((1 << bits) - 1));
        }
        let page = self.word(present(upper)? + index(12))?;
        Some(present(page)? | linear & 0xfff)
    }

    fn word(&self, at: u32) -> Option<u32> {
        let bytes: Option<Vec<u8>> = (at..at.checked_add(4)?).map(|at| self.byte(at)).collect();
        bytes.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn byte(&self, at: u32) -> Option<u8> {
        if let Some(v) = self.changes.get(&(at & !3)) {
            return Some(v.to_le_bytes()[(at & 3) as usize]);
        }
        let code = at.wrapping_sub(self.case.word(case::CODE_AT));
        if code < case::CODE_BYTES as u32 {
            return self.case.bytes.get((case::CODE + code) as usize).copied();
        }
        let at = if (ARENA..ARENA + ARENA_BYTES).contains(&at) { at - ARENA + PRISTINE } else { at };
        self.image.get(at.checked_sub(IMAGE)? as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{harness, tables::Batch};
    use super::*;
    use crate::fuzz_diff::{Mode, numbered};

    #[test]
    fn what_a_case_runs_is_found_through_tables_and_descriptors() {
        let harness = harness::assemble().expect("assembles");
        for mode in [Mode::Ring0, Mode::Ring3, Mode::Protected16, Mode::Mixed, Mode::V86] {
            for b in 0..8 {
                let batch = Batch::new(&mut numbered(5, b), mode, &harness);
                let case = super::super::cases::next(&mut numbered(5, b << 20), &batch);
                let mut r = vec![0; record::HEAD];
                for (n, v) in [
                    (record::EIP, case.eip),
                    (record::CS, case.word(case::CS)),
                    (record::FLAGS, case.word(case::FLAGS)),
                    (record::CR0, case.word(case::CR0)),
                    (record::CR3, batch.cr3),
                    (record::CR4, case.word(case::CR4)),
                ] {
                    r[n] = v;
                }
                let memory =
                    Memory { image: &batch.image, case: &case, changes: &BTreeMap::new(), record: &r };
                let first = case.instructions().next().expect("one at least");
                let found = memory.instruction();
                assert!(
                    first.is_invalid() || found.is_some_and(|i| i.code() == first.code()),
                    "{mode:?} {b}"
                );
            }
        }
    }
}
