//! State of the x87 unit for cases that use it: numbers on the edges of all formats, every rounding and precision,
//! exceptions masked, unmasked and pending, registers that are empty or full when they should not be.

use super::generate::Draft;
use super::unit::Unit;
use crate::random::Random;
use iced_x86::{MemorySize, Mnemonic};

const INTEGER_BIT: u64 = 1 << 63;
/// B and ES of the status word.
const PENDING: u16 = 0x8080;
/// Condition bits of the status word.
const CONDITIONS: u16 = 0x4700;
/// Stack fault, which comes with an invalid operation.
const STACK_FAULT: u16 = 0x40;

/// Sign and exponent, significand.
const EDGES: [(u16, u64); 40] = [
    (0, 0),
    (0, 0),
    (0, 1),
    (0, INTEGER_BIT - 1),
    (0, INTEGER_BIT),
    (1, INTEGER_BIT),
    (1, u64::MAX),
    (0x3fff, INTEGER_BIT),
    (0x3fff, INTEGER_BIT),
    (0x3fff, INTEGER_BIT | 1),
    (0x3ffe, u64::MAX),
    (0x3ffe, INTEGER_BIT),
    (0x3fff, 0xc000_0000_0000_0000),
    (0x4000, 0xa000_0000_0000_0000),
    (0x4000, 0xc90f_daa2_2168_c235),
    (0x3ffd, 0xaaaa_aaaa_aaaa_aaab),
    // Halfway in single and double precision.
    (0x3fff, 0x8000_0080_0000_0000),
    (0x3fff, 0x8000_0180_0000_0000),
    (0x3fff, 0x8000_0000_0000_0400),
    (0x3fff, 0x8000_0000_0000_0c00),
    (0x3fff, 0xffff_ffff_ffff_fc00),
    // Ends of single and double precision.
    (0x407e, 0xffff_ff80_0000_0000),
    (0x43fe, u64::MAX),
    (0x3f80, u64::MAX),
    (0x3f6a, 0xc000_0000_0000_0000),
    (0x3c00, u64::MAX),
    (0x3bcd, 0x8000_0000_0000_0001),
    // Ends of the integers and of packed decimals.
    (0x400d, 0xffff_0000_0000_0000),
    (0x400e, INTEGER_BIT),
    (0x401e, INTEGER_BIT),
    (0x403e, INTEGER_BIT),
    (0x403a, 0xde0b_6b3a_763f_ffff),
    (0x403a, 0xde0b_6b3a_7640_0000),
    (0x7ffe, u64::MAX),
    (0x7fff, INTEGER_BIT),
    (0x7fff, 0xc000_0000_0000_0000),
    (0x7fff, 0xa123_4567_89ab_cdef),
    // Unsupported: pseudo-infinity, unnormals.
    (0x7fff, 0),
    (0x3fff, 0x4000_0000_0000_0000),
    (1, 0),
];

fn bytes((exponent, significand): (u16, u64)) -> [u8; 10] {
    let mut b = [0; 10];
    b[..8].copy_from_slice(&significand.to_le_bytes());
    b[8..].copy_from_slice(&exponent.to_le_bytes());
    b
}

/// A number in extended precision.
fn extended(random: &mut Random) -> [u8; 10] {
    let sign = if random.percent(40) { 0x8000 } else { 0 };
    if random.percent(45) {
        let (exponent, significand) = random.pick(&EDGES);
        return bytes((exponent | sign, significand));
    }
    let v = random.next();
    let significand = match random.below(4) {
        // Exact in single precision.
        0 => v & 0xffff_ff00_0000_0000,
        1 => v & 0xffff_0000_0000_0000,
        _ => v,
    };
    let exponent = match random.below(8) {
        0 => random.below(0x7fff) as u16,
        1 => random.below(80) as u16,
        2 => 0x7ffe - random.below(80) as u16,
        _ => (0x3fff - 40 + random.below(80)) as u16,
    };
    bytes((
        exponent | sign,
        if exponent == 0 { significand & !INTEGER_BIT } else { significand | INTEGER_BIT },
    ))
}

fn control(random: &mut Random) -> u16 {
    let masks = if random.percent(65) { 0x3f } else { random.below(0x40) as u16 };
    let precision = random.pick(&[0u16, 2, 3, 3]);
    0x40 | masks | precision << 8 | (random.below(4) as u16) << 10
}

/// A state; so many times of a hundred an exception is pending, if one is unmasked.
fn unit(random: &mut Random, pending: u32) -> Unit {
    let control = control(random);
    let mut status = random.next() as u16 & CONDITIONS | (random.below(8) as u16) << 11;
    let flags = random.next() as u16 & 0x3f;
    if random.percent(25) {
        status |= flags & control;
    }
    if random.percent(pending) && flags & !control & 0x3f != 0 {
        status |= flags | PENDING;
    }
    if status & 1 != 0 && random.percent(50) {
        status |= STACK_FAULT;
    }
    let mut unit = Unit { control, status, full: random.next() as u8, ..Unit::default() };
    unit.last = [random.below(0x800), random.next() as u32, random.next() as u32];
    // ST(0) and ST(1) are there mostly, and ST(7) is not.
    for (i, there) in [(0, true), (1, true), (7, false)] {
        if random.percent(88) {
            let bit = 1 << unit.number(i);
            unit.full = if there { unit.full | bit } else { unit.full & !bit };
        }
    }
    for i in 0..8 {
        let n = unit.number(i);
        if unit.full >> n & 1 != 0 {
            unit.registers[n] = if i < 2 || random.percent(20) { extended(random) } else { bytes(EDGES[7]) };
        }
    }
    unit
}

/// A memory operand.
fn operand(random: &mut Random, size: MemorySize, mnemonic: Mnemonic) -> Option<Vec<u8>> {
    const SINGLE: [u32; 10] = [
        0,
        1,
        0x7f_ffff,
        0x80_0000,
        0x3f80_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7fa0_0001,
        0x7fc0_0000,
        0x4049_0fdb,
    ];
    const DOUBLE: [u64; 10] = [
        0,
        1,
        0x000f_ffff_ffff_ffff,
        0x0010_0000_0000_0000,
        0x3ff0_0000_0000_0000,
        0x7fef_ffff_ffff_ffff,
        0x7ff0_0000_0000_0000,
        0x7ff0_0000_0000_0001,
        0x7ff8_0000_0000_0000,
        0x4009_21fb_5444_2d18,
    ];
    let r = random.next();
    let edge = random.percent(55);
    let sign = u64::from(random.percent(40));
    Some(match size {
        MemorySize::Float32 => {
            let v = if edge { random.pick(&SINGLE) } else { 0x3e80_0000 + (r as u32 & 0x1ff_ffff) };
            (v | (sign as u32) << 31).to_le_bytes().to_vec()
        }
        MemorySize::Float64 => {
            let v =
                if edge { random.pick(&DOUBLE) } else { 0x3fd0_0000_0000_0000 + (r & 0x3f_ffff_ffff_ffff) };
            (v | sign << 63).to_le_bytes().to_vec()
        }
        MemorySize::Float80 => extended(random).to_vec(),
        MemorySize::Int16 | MemorySize::Int32 | MemorySize::Int64 => {
            let v = match random.below(4) {
                0 => random.pick(&[0i64, 1, -1, i64::MIN, i64::MAX, 0x8000, 0x7fff_ffff, -0x8000_0000]),
                1 => i64::from(r as i8),
                _ => r as i64,
            };
            v.to_le_bytes()[..size.size()].to_vec()
        }
        MemorySize::Bcd => {
            // Digits above nine are undefined.
            let digits = |r: &mut Random| (r.below(10) << 4 | r.below(10)) as u8;
            let mut b: Vec<u8> = (0..9).map(|_| digits(random)).collect();
            if edge {
                b[random.below(9) as usize..].fill(0);
            }
            b.push((sign as u8) << 7);
            b
        }
        MemorySize::FpuEnv14 | MemorySize::FpuEnv28 => unit(random, 30).environment(size.size()),
        MemorySize::FpuState94 | MemorySize::FpuState108 => unit(random, 30).state(size.size()),
        MemorySize::Fxsave_512Byte => unit(random, 30).image().to_vec(),
        // What FLDCW unmasks is pending from then on.
        MemorySize::UInt16 if mnemonic == Mnemonic::Fldcw => control(random).to_le_bytes().to_vec(),
        _ => return None,
    })
}

/// Does it only write its operand?
fn stores(mnemonic: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        mnemonic,
        M::Fst
            | M::Fstp
            | M::Fist
            | M::Fistp
            | M::Fbstp
            | M::Fnstcw
            | M::Fnstsw
            | M::Fnstenv
            | M::Fnsave
            | M::Fxsave
    )
}

/// Gives a case a unit and an operand.
pub fn arrange(d: &mut Draft) -> Option<()> {
    use Mnemonic as M;
    let mnemonic = d.i.mnemonic();
    let mut unit = unit(d.random, 8);
    let top = unit.number(0);
    match mnemonic {
        // Of the numbers between -1 and 1 alone.
        M::F2xm1 => unit.registers[top] = small(d.random, 0x3fff),
        // Of those up to 1 - sqrt(1/2), a little less here.
        M::Fyl2xp1 => unit.registers[top] = small(d.random, 0x3ffd),
        M::Fbstp | M::Fistp | M::Fist if d.random.percent(50) => {
            let exponent = 0x3ffe + d.random.below(if mnemonic == M::Fbstp { 61 } else { 66 }) as u16;
            unit.registers[top] = bytes((exponent, d.random.next() | INTEGER_BIT));
        }
        M::Fscale if d.random.percent(50) => {
            let next = unit.number(1);
            unit.registers[next] = bytes((0x4002 + d.random.below(14) as u16, d.random.next() | INTEGER_BIT));
        }
        _ => {}
    }
    if d.case.place.is_some() {
        let size = d.i.memory_size();
        if stores(mnemonic) {
            d.case.memory.retain(|(at, _)| Some(*at) != d.case.place);
        } else {
            let operand = operand(d.random, size, mnemonic)?;
            d.put_operand(&operand);
        }
    }
    d.case.unit = Some(unit);
    Some(())
}

/// A number of less than this exponent.
fn small(random: &mut Random, below: u16) -> [u8; 10] {
    let sign = if random.percent(50) { 0x8000 } else { 0 };
    match random.below(5) {
        0 => bytes((sign, 0)),
        _ => bytes(((below - 1 - random.below(40) as u16) | sign, random.next() | INTEGER_BIT)),
    }
}
