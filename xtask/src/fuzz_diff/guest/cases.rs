//! One case: registers, segments and what else it begins with.

use super::layout::{ARENA, Entry, arena, case, selector};
use super::sequence::{FLAGS, Place, Sequence, sequence};
use super::tables::{Batch, LOW, Segment};
use super::{Mode, Paging};
use crate::random::Random;
use iced_x86::{Decoder, DecoderOptions, Instruction};

/// A case.
pub struct Case {
    /// As the harness reads it.
    pub bytes: Vec<u8>,
    /// Its instructions.
    pub sequence: Sequence,
    /// 16 or 32.
    pub bits: u32,
    /// EIP of the first instruction.
    pub eip: u32,
}

impl Case {
    /// A dword of it.
    pub fn word(&self, at: u32) -> u32 {
        let at = at as usize;
        u32::from_le_bytes(std::array::from_fn(|i| self.bytes[at + i]))
    }

    /// Its instructions.
    pub fn instructions(&self) -> impl Iterator<Item = Instruction> {
        self.starts().map(|start| self.decode(start))
    }

    fn starts(&self) -> impl Iterator<Item = usize> {
        let ends = self.sequence.ends.iter().map(|(end, _)| *end);
        std::iter::once(0).chain(ends).take(self.sequence.ends.len())
    }

    fn decode(&self, start: usize) -> Instruction {
        Decoder::new(self.bits, &self.sequence.code[start..], DecoderOptions::NO_PAUSE).decode()
    }

    fn put(&mut self, at: u32, v: u32) {
        self.bytes[at as usize..at as usize + 4].copy_from_slice(&v.to_le_bytes());
    }
}

/// The next case of a batch.
pub fn next(random: &mut Random, batch: &Batch) -> Case {
    let cpl = match batch.mode {
        Mode::Ring0 => 0,
        Mode::Ring3 | Mode::V86 => 3,
        _ => [0, 0, 0, 1, 2, 3, 3, 3][random.below(8) as usize],
    };
    let v86 = batch.mode == Mode::V86;
    let segments = &batch.segments;
    let (code_big, stack_big) = match batch.mode {
        Mode::Protected16 => (0, 0),
        Mode::Mixed => (random.below(2) as usize, random.below(2) as usize),
        _ => (1, 1),
    };
    let cs = segments[2 * cpl as usize + code_big];
    let ss = segments[8 + 2 * cpl as usize + stack_big];
    let real = |random: &mut Random| LOW / 16 + random.below(0x1f00);
    let data: [u32; 4] = std::array::from_fn(|n| match (v86, batch.mode) {
        (true, _) => real(random),
        // Mostly flat, in rings 0 and 3.
        (_, Mode::Ring0 | Mode::Ring3) if n < 2 || random.below(4) > 0 => ss.selector | cpl,
        _ => loadable(random, segments),
    });
    let base_of = |s: u32| match segments.iter().find(|d| d.selector == s & !3) {
        _ if v86 => s << 4,
        Some(d) => d.base,
        None => 0,
    };

    // Somewhere in the first page of code, or so that it goes on into another.
    let near_end = random.below(4) == 0;
    let offset = if near_end { 0xff8 - random.below(0x18) } else { 0x40 + random.below(0xf00) };
    // The page after the third is any page.
    let alias = if near_end && batch.paging != Paging::Off && random.below(2) == 0 { 0x2000 } else { 0 };
    let code_selector = if v86 { LOW / 16 - random.below(0x10) } else { cs.selector | cpl };
    let code_base = if v86 { code_selector << 4 } else { cs.base };
    let fits = alias == 0 || v86 || cs.limit >= 0x3000;
    let linear = batch.code() + offset + if fits { alias } else { 0 };
    let eip = linear.wrapping_sub(code_base);

    let iopl = random.below(4);
    let mut flags = random.next() as u32 & FLAGS & !0x7100 | iopl << 12 | 2;
    let mut cr0 = 0x31 | if batch.paging == Paging::Off { 0 } else { 1 << 31 };
    cr0 |= random.next() as u32 & (1 << 16 | 1 << 18);
    if random.below(8) == 0 {
        cr0 |= random.next() as u32 & 0xe;
    }
    // Alignment checks would end most cases.
    if random.below(8) != 0 {
        flags &= !(1 << 18);
    }
    if cpl > 0 && random.below(32) == 0 {
        flags |= 1 << 8;
    }
    if random.below(8) == 0 {
        flags |= 1 << 14;
    }
    let cr4 = batch.cr4 | if random.below(4) == 0 { random.next() as u32 & 0x0c } else { 0 };
    let (stack_selector, esp) = if v86 {
        let s = real(random);
        (s, (batch.data() + 0x100 + random.below(0x2e00)).wrapping_sub(s << 4) & 0xffff)
    } else {
        let good = cpl == 0 || random.below(4) != 0;
        let anywhere = ss.limit == u32::MAX && !good;
        let esp = if anywhere { batch.address(random) } else { batch.stack(random, &ss, good) };
        (ss.selector | cpl, esp)
    };
    // A stack of 16 bits leaves the upper half alone.
    let esp = if ss.big && !v86 { esp } else { esp & 0xffff | random.next() as u32 & 0xffff_0000 };

    let place = Place {
        batch,
        bits: if code_big == 1 && !v86 { 32 } else { 16 },
        cpl,
        iopl,
        base: base_of(data[0]),
        cr0,
        cr4,
    };
    let sequence = sequence(random, &place);
    let entry = match (v86, cpl) {
        (true, _) => Entry::V86,
        (_, 0) => Entry::Same,
        _ => Entry::Outer,
    };
    let bits = place.bits;
    let mut c = Case { bytes: vec![0; case::BYTES as usize], sequence, bits, eip };
    let stack_base = if v86 { stack_selector << 4 } else { ss.base };
    for at in [case::EAX, case::ECX, case::EDX, case::EBX, case::EBP, case::ESI, case::EDI] {
        let base = if at == case::EBP { stack_base } else { base_of(data[random.below(2) as usize]) };
        let v = value(random, batch, base, v86 || bits == 16);
        c.put(at, v);
    }
    let ldt = if random.below(16) == 0 { 0 } else { selector::LDT };
    let v86_flag = if v86 { 1 << 17 } else { 0 };
    for (at, v) in [
        (case::ENTRY, entry as u32),
        (case::CODE_AT, ARENA + arena::CODE + offset),
        (case::CR0, cr0),
        (case::CR4, cr4),
        (case::CR2, random.next() as u32),
        (case::LDT, ldt),
        (case::FLAGS, flags | v86_flag),
        (case::EIP, eip),
        (case::CS, code_selector),
        (case::DS, data[0]),
        (case::ES, data[1]),
        (case::FS, data[2]),
        (case::GS, data[3]),
        (case::ESP, esp),
        (case::SS, stack_selector),
    ] {
        c.put(at, v);
    }
    if ldt == 0 {
        // What lies in it cannot be loaded then.
        for at in [case::DS, case::ES, case::FS, case::GS] {
            if !v86 && c.word(at) & 4 != 0 {
                c.put(at, 0);
            }
        }
    }
    let code = case::CODE as usize;
    c.bytes[code..code + case::CODE_BYTES].fill(0xcc);
    c.bytes[code..code + c.sequence.code.len()].copy_from_slice(&c.sequence.code);
    c
}

/// A selector that the harness can load.
fn loadable(random: &mut Random, segments: &[Segment]) -> u32 {
    for _ in 0..100 {
        let s = segments[random.below(segments.len() as u32) as usize];
        if s.loadable() {
            return s.selector | random.below(s.dpl + 1);
        }
    }
    0
}

/// What a register holds: mostly an address, relative to `base`.
fn value(random: &mut Random, batch: &Batch, base: u32, narrow: bool) -> u32 {
    let v = random.next() as u32;
    match random.below(16) {
        0..=1 => v & 0xff,
        2 => v,
        3 => [0, 1, 0x7f, 0x80, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX][v as usize % 10],
        4..=5 => batch.any_selector(random) | v & 0xffff_0000,
        _ => {
            let address = batch.address(random).wrapping_sub(base);
            if narrow && random.below(8) == 0 { address & 0xffff | v & 0xffff_0000 } else { address }
        }
    }
}
