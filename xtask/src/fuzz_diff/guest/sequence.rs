//! Random instructions for a case: any that the processor has, and short idioms that use the system on purpose.
//!
//! Left out is what would end the harness and not the case (in ring 0: `hlt`, loading CR and DR registers or
//! tables from anywhere), what processor models answer differently (CPUID, time-stamp counter, MSRs), I/O that is
//! allowed, and instructions that read a flag which one before left undefined.

use super::layout::{OPERAND_COUNT, OPERANDS, selector};
use super::tables::{Batch, WINDOWS};
use super::{Mode, Paging};
use crate::fuzz_diff::generate;
use crate::random::Random;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// Longest sequence, in draws.
const MOST: u32 = 4;
/// Bits of EFLAGS that `popf` and `iret` get: all but RF and VM.
pub const FLAGS: u32 = 0x7fd5 | 1 << 18 | 1 << 21;

/// What the instructions run in.
pub struct Place<'a> {
    /// Tables and addresses.
    pub batch: &'a Batch,
    /// 16 or 32.
    pub bits: u32,
    /// Privilege level.
    pub cpl: u32,
    /// I/O privilege level.
    pub iopl: u32,
    /// Linear base of what addresses are relative to.
    pub base: u32,
    /// CR0 and CR4 at the beginning.
    pub cr0: u32,
    /// CR4.
    pub cr4: u32,
}

/// Instructions and what they leave undefined.
#[derive(Default)]
pub struct Sequence {
    /// The bytes.
    pub code: Vec<u8>,
    /// End of each instruction and the flags undefined after it.
    pub ends: Vec<(usize, u32)>,
}

impl Sequence {
    fn undefined(&self) -> u32 {
        self.ends.last().map_or(0, |(_, u)| *u)
    }

    /// Takes whole instructions up; true if the last one leaves the sequence.
    fn add(&mut self, bytes: &[u8], bits: u32) -> bool {
        let start = self.code.len();
        let mut last = false;
        let mut decoder = Decoder::new(bits, bytes, DecoderOptions::NO_PAUSE);
        while decoder.can_decode() {
            let i = decoder.decode();
            let undefined = generate::undefined_after(&i, self.undefined());
            self.ends.push((start + decoder.position(), undefined));
            last = i.is_invalid() || i.flow_control() != FlowControl::Next;
        }
        self.code.extend(bytes);
        last
    }
}

/// The next sequence.
pub fn sequence(random: &mut Random, place: &Place<'_>) -> Sequence {
    let mut s = Sequence::default();
    let wanted = 1 + random.below(MOST);
    let idioms = match place.batch.mode {
        Mode::Ring0 => 8,
        Mode::V86 | Mode::Ring3 => 4,
        _ => 5,
    };
    for _ in 0..wanted {
        let bytes = if random.below(16) < idioms {
            idiom(random, place, s.undefined())
        } else {
            (0..1000).find_map(|_| instruction(random, place, s.undefined()))
        };
        if s.add(&bytes.unwrap_or_default(), place.bits) || s.code.len() > 40 {
            break;
        }
    }
    s
}

/// Writes instructions of either size.
struct Writer {
    bytes: Vec<u8>,
    wide: bool,
}

impl Writer {
    fn raw(&mut self, b: &[u8]) {
        self.bytes.extend(b);
    }

    /// An instruction with 32-bit operands.
    fn op32(&mut self, b: &[u8]) {
        if !self.wide {
            self.bytes.push(0x66);
        }
        self.bytes.extend(b);
    }

    fn mov(&mut self, register: u8, v: u32) {
        self.op32(&[0xb8 + register]);
        self.bytes.extend(v.to_le_bytes());
    }

    fn push(&mut self, v: u32) {
        self.op32(&[0x68]);
        self.bytes.extend(v.to_le_bytes());
    }

    /// ModRM for an absolute address of 32 bits, for either size of code.
    fn absolute(&mut self, opcode: &[u8], reg: u8, at: u32) {
        if !self.wide {
            self.bytes.push(0x67);
        }
        self.bytes.extend(opcode);
        self.bytes.push(reg << 3 | 5);
        self.bytes.extend(at.to_le_bytes());
    }
}

/// Flags for `popf` and `iret`.
fn flags(random: &mut Random) -> u32 {
    // Single steps and alignment checks would end most cases.
    let rare = if random.below(8) == 0 { 0 } else { 1 << 8 | 1 << 14 | 1 << 18 };
    random.next() as u32 & FLAGS & !rare | 2
}

/// A few instructions that belong together; none if one of them reads undefined flags.
fn idiom(random: &mut Random, place: &Place<'_>, undefined: u32) -> Option<Vec<u8>> {
    let batch = place.batch;
    let mut w = Writer { bytes: Vec::new(), wide: place.bits == 32 };
    let register = [0u8, 1, 2, 3, 5, 6, 7][random.below(7) as usize];
    let filler = |random: &mut Random, base: u32| batch.code().wrapping_sub(base) + random.below(0xf80);
    let sel = batch.any_selector(random);
    let target = |random: &mut Random| {
        let s = batch.segments[random.below(8) as usize];
        (s.selector | s.dpl, filler(random, s.base))
    };
    let system = if batch.mode == Mode::Ring0 { 24 } else { 16 };
    match random.below(system) {
        // Segment registers.
        0..=2 => {
            w.mov(register, sel);
            let n = [0u8, 2, 3, 4, 5, 1][random.below(6) as usize];
            w.raw(&[0x8e, 0xc0 | n << 3 | register]);
        }
        3 => {
            w.push(sel);
            let pops: [&[u8]; 5] = [&[0x07], &[0x17], &[0x1f], &[0x0f, 0xa1], &[0x0f, 0xa9]];
            w.op32(pops[random.below(5) as usize]);
        }
        // What may be done with a selector.
        4..=5 => {
            w.mov(register, sel);
            let other = random.below(4) as u8;
            match random.below(4) {
                0 => w.op32(&[0x0f, 0x02, 0xc0 | other << 3 | register]),
                1 => w.op32(&[0x0f, 0x03, 0xc0 | other << 3 | register]),
                n => w.raw(&[0x0f, 0x00, 0xe0 | (n as u8 & 1) << 3 | register]),
            }
        }
        // Far transfers.
        6..=7 => {
            let (cs, eip) = target(random);
            let cs = if random.below(3) == 0 { sel } else { cs };
            w.op32(&[[0x9a, 0xea][random.below(2) as usize]]);
            w.raw(&eip.to_le_bytes());
            w.raw(&(cs as u16).to_le_bytes());
        }
        8..=9 => {
            // A return, to any ring.
            let s = batch.segments[random.below(8) as usize];
            let (cs, eip) = (s.selector | s.dpl, filler(random, s.base));
            let stack = batch.segments[8 + 2 * s.dpl as usize + random.below(2) as usize];
            let esp = batch.stack(random, &stack, true);
            let ss = if random.below(8) == 0 { sel } else { stack.selector | s.dpl };
            w.push(ss);
            w.push(esp);
            if random.below(2) == 0 {
                // To virtual-8086 mode only where its addresses mean something.
                let v86 = batch.paging != Paging::Off && random.below(8) == 0;
                let image = flags(random) | u32::from(v86) << 17;
                let eip = if v86 { eip & 0xffff } else { eip };
                w.push(image);
                w.push(if random.below(8) == 0 { sel } else { cs });
                w.push(eip);
                w.op32(&[0xcf]);
            } else {
                w.push(if random.below(8) == 0 { sel } else { cs });
                w.push(eip);
                w.op32(&[0xcb]);
            }
        }
        10..=11 => {
            let image = flags(random);
            w.push(image);
            w.op32(&[0x9d]);
            if random.below(2) == 0 {
                w.op32(&[0x9c]);
            }
        }
        12..=13 => {
            if undefined != 0 {
                return None;
            }
            w.raw(&[0xcd, 0x1c + random.below(0x28) as u8]);
        }
        14 => w.raw(&[[0xfa, 0xfb][random.below(2) as usize]]),
        // LOCK where it is not allowed.
        15 => {
            w.raw(&[0xf0, [0x01, 0x8b, 0x39, 0x85][random.below(4) as usize], 0xc0 | random.below(64) as u8])
        }
        16..=17 => {
            let (n, v) = match random.below(3) {
                0 => {
                    let flip = [1 << 16, 1 << 18, 0x20, 2, 8, 1 << 30, 1 << 29, 3 << 29, 4];
                    (0, place.cr0 ^ flip[random.below(9) as usize])
                }
                1 => (3, batch.cr3 | (random.below(4) * 8)),
                _ => {
                    // PSE, TSD, DE, PGE, PCE, and what is reserved.
                    let flip = [0x10, 4, 8, 0x80, 0x80, 0x100, 0x1000, 1 << 21];
                    (4, place.cr4 ^ flip[random.below(8) as usize])
                }
            };
            w.mov(register, v);
            w.raw(&[0x0f, 0x22, 0xc0 | n << 3 | register]);
        }
        18 => {
            let n = [0u8, 1, 2, 3, 4, 5, 6, 7][random.below(8) as usize];
            if random.below(2) == 0 {
                w.raw(&[0x0f, 0x21, 0xc0 | n << 3 | register]);
            } else {
                // Breakpoints of all kinds, where something may be.
                let v = match n {
                    4..=7 if random.below(2) == 0 => 0x400,
                    5 | 7 => random.next() as u32 & 0xffff_03ff | 0x400,
                    _ => batch.address(random),
                };
                w.mov(register, v);
                w.raw(&[0x0f, 0x23, 0xc0 | n << 3 | register]);
            }
        }
        19 => {
            let n = random.below(2 * OPERAND_COUNT);
            w.absolute(&[0x0f, 0x01], if n < OPERAND_COUNT { 2 } else { 3 }, OPERANDS + 8 * n);
        }
        20 => {
            let s = [selector::LDT, 0, sel][random.below(3) as usize];
            w.mov(register, s);
            // LLDT, LTR
            w.raw(&[0x0f, 0x00, 0xd0 | ((random.below(4) == 0) as u8 * 8) | register]);
        }
        21..=22 if batch.paging != Paging::Off => {
            // Another entry for a page, made known, and used.
            let (window, page) = (random.below(3), random.below(32));
            let at = batch.entry_address(window, page);
            let linear = WINDOWS + window * batch.window_bytes() + 0x1000 * page + random.below(0xffc);
            let bits = random.next() as u32 & 0x7f;
            w.absolute(&[0x80], [1, 4, 6][random.below(3) as usize], at);
            w.raw(&[bits as u8]);
            w.absolute(&[0x0f, 0x01], 7, linear);
            w.absolute(&[[0x8b, 0x89, 0x01, 0x3b][random.below(4) as usize]], register, linear);
        }
        _ => {
            w.mov(0, random.next() as u32 & 0xf);
            // LMSW, CLTS
            w.raw([&[0x0f, 0x01, 0xf0][..], &[0x0f, 0x06]][random.below(2) as usize]);
        }
    }
    let mut u = undefined;
    for i in &mut Decoder::new(place.bits, &w.bytes, DecoderOptions::NO_PAUSE) {
        if i.rflags_read() & u != 0 {
            return None;
        }
        u = generate::undefined_after(&i, u);
    }
    Some(w.bytes)
}

/// Random bytes that are an instruction, its addresses turned to where something is.
fn instruction(random: &mut Random, place: &Place<'_>, undefined: u32) -> Option<Vec<u8>> {
    let mut bytes = generate::random_bytes(random)?;
    let mut decoder = Decoder::with_ip(place.bits, &bytes, 0, DecoderOptions::NO_PAUSE);
    let i = decoder.decode();
    if i.is_invalid() || !askable(&i, place) || i.rflags_read() & undefined != 0 {
        return None;
    }
    if undefined != 0 && matches!(i.mnemonic(), Mnemonic::Int | Mnemonic::Int1 | Mnemonic::Into) {
        return None;
    }
    let offsets = decoder.get_constant_offsets(&i);
    bytes.truncate(i.len());
    if offsets.has_displacement() {
        let (at, size) = (offsets.displacement_offset(), offsets.displacement_size());
        let absolute = i.memory_base() == Register::None && i.memory_index() == Register::None;
        let v = if absolute {
            place.batch.address(random).wrapping_sub(place.base)
        } else {
            (random.next() as i32 >> 20) as u32
        };
        if size != 1 && random.below(8) != 0 {
            bytes[at..at + size].copy_from_slice(&v.to_le_bytes()[..size]);
        }
    }
    let near = matches!(i.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32);
    if near && offsets.has_immediate() {
        // Ahead, where nothing but `int3` is; backwards it might never end.
        let (at, size) = (offsets.immediate_offset(), offsets.immediate_size());
        bytes[at + size - 1] = 0;
        if size == 1 {
            bytes[at] = random.below(0x40) as u8;
        } else {
            bytes[at + 1] &= 0x1f;
            bytes[at + 2..at + size].fill(0);
        }
    } else if matches!(i.op0_kind(), OpKind::FarBranch16 | OpKind::FarBranch32) {
        let v = place.batch.any_selector(random) as u16;
        let at = offsets.immediate_offset2();
        bytes[at..at + 2].copy_from_slice(&v.to_le_bytes());
    } else if i.mnemonic() == Mnemonic::Int && offsets.has_immediate() {
        bytes[offsets.immediate_offset()] = 0x1c + random.below(0x28) as u8;
    }
    Some(bytes)
}

fn askable(i: &Instruction, place: &Place<'_>) -> bool {
    use Mnemonic as M;
    let ring0 = place.cpl == 0;
    let v86 = place.batch.mode == Mode::V86;
    if !generate::known(i) || generate::wide_shift(i) {
        return false;
    }
    let repeats = i.has_rep_prefix() || i.has_repne_prefix();
    match i.mnemonic() {
        M::Loadall | M::Umov | M::Ibts | M::Xbts | M::Montmul | M::Wait | M::Cpuid | M::Rdtsc | M::Rsm => {
            false
        }
        M::In | M::Out => v86 || place.cpl > place.iopl,
        M::Insb | M::Insw | M::Insd | M::Outsb | M::Outsw | M::Outsd => {
            !repeats && (v86 || place.cpl > place.iopl)
        }
        M::Hlt | M::Lgdt | M::Lidt | M::Rdmsr | M::Wrmsr => !ring0,
        M::Mov => {
            let to = i.op0_register();
            !(ring0 && (to.is_cr() || to.is_dr() || to.is_tr()) || to.is_tr() || i.op1_register().is_tr())
        }
        M::Retf | M::Iret | M::Iretd if matches!(i.code(), Code::Iretq | Code::Retfq) => false,
        _ => true,
    }
}
