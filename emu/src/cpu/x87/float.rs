//! The 80-bit format and rounding into it.
//!
//! A value is a sign, an exponent and a 64-bit significand with its integer bit.
//! Arithmetic works on exact (or sticky) 128-bit significands and rounds once,
//! here: to 24, 53 or 64 bits with the extended exponent range, as the precision
//! control says, so there is no double rounding. Tininess is found after rounding.
//! (SDM vol. 1, "Floating-Point Format", "Floating-Point Exception Conditions".)

/// Exception flags and condition bits of the status word.
pub mod flag {
    /// Invalid operation.
    pub const IE: u16 = 1;
    /// Denormal operand.
    pub const DE: u16 = 2;
    /// Division by zero.
    pub const ZE: u16 = 4;
    /// Overflow.
    pub const OE: u16 = 8;
    /// Underflow.
    pub const UE: u16 = 0x10;
    /// Inexact result.
    pub const PE: u16 = 0x20;
    /// Stack fault.
    pub const SF: u16 = 0x40;
    /// Error summary.
    pub const ES: u16 = 0x80;
    /// Condition bit 0.
    pub const C0: u16 = 0x100;
    /// Condition bit 1: rounded up, or the stack overflowed.
    pub const C1: u16 = 0x200;
    /// Condition bit 2.
    pub const C2: u16 = 0x400;
    /// Condition bit 3.
    pub const C3: u16 = 0x4000;
    /// Busy: a copy of the error summary.
    pub const B: u16 = 0x8000;
}
use flag::{IE, OE, PE, UE};

/// A value in the double extended format, any bit pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct F80 {
    /// Sign (bit 15) and biased exponent.
    pub se: u16,
    /// Significand, integer bit on top.
    pub sig: u64,
}

/// The kinds of bit patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Zero.
    Zero,
    /// A denormal or pseudo-denormal.
    Denormal,
    /// A normal number.
    Normal,
    /// Infinity.
    Infinity,
    /// A quiet NaN.
    Quiet,
    /// A signalling NaN.
    Signalling,
    /// Unnormals, pseudo-infinities, pseudo-NaNs: refused by every operation.
    Unsupported,
}

/// Integer bit.
pub const J: u64 = 1 << 63;
/// The bit that makes a NaN quiet.
pub const QUIET: u64 = 1 << 62;
/// Exponent bias.
pub const BIAS: i32 = 16383;
/// Least exponent of a normal number.
pub const EMIN: i32 = 1 - BIAS;
/// What an unmasked overflow or underflow takes off or adds to the exponent.
const WRAP: i32 = 0x6000;

impl F80 {
    /// The default NaN, "real indefinite".
    pub const INDEFINITE: F80 = F80 { se: 0xffff, sig: J | QUIET };
    /// One.
    pub const ONE: F80 = F80 { se: 0x3fff, sig: J };

    /// Zero with a sign.
    pub fn zero(neg: bool) -> F80 {
        F80 { se: u16::from(neg) << 15, sig: 0 }
    }

    /// Infinity with a sign.
    pub fn infinity(neg: bool) -> F80 {
        F80 { se: 0x7fff | u16::from(neg) << 15, sig: J }
    }

    /// Is the sign bit set?
    pub fn is_negative(self) -> bool {
        self.se & 0x8000 != 0
    }

    /// The same with the other sign.
    pub fn negated(self) -> F80 {
        F80 { se: self.se ^ 0x8000, ..self }
    }

    /// The same with the sign given.
    pub fn with_sign(self, neg: bool) -> F80 {
        F80 { se: self.se & 0x7fff | u16::from(neg) << 15, ..self }
    }

    /// A NaN made quiet.
    pub fn quieted(self) -> F80 {
        F80 { sig: self.sig | QUIET, ..self }
    }

    /// From the ten bytes of memory.
    pub fn from_bytes(b: &[u8; 10]) -> F80 {
        let [s @ .., e0, e1] = *b;
        F80 { se: u16::from_le_bytes([e0, e1]), sig: u64::from_le_bytes(s) }
    }

    /// As ten bytes of memory.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut b = [0; 10];
        b[..8].copy_from_slice(&self.sig.to_le_bytes());
        b[8..].copy_from_slice(&self.se.to_le_bytes());
        b
    }

    /// What the bit pattern is.
    pub fn class(self) -> Class {
        match (self.se & 0x7fff, self.sig & J != 0) {
            (0, _) if self.sig == 0 => Class::Zero,
            (0, _) => Class::Denormal,
            (_, false) => Class::Unsupported,
            (0x7fff, _) if self.sig == J => Class::Infinity,
            (0x7fff, _) if self.sig & QUIET != 0 => Class::Quiet,
            (0x7fff, _) => Class::Signalling,
            _ => Class::Normal,
        }
    }

    /// A finite number other than zero, normalised.
    pub fn number(self) -> Number {
        let shift = self.sig.leading_zeros();
        let exp = i32::from((self.se & 0x7fff).max(1)) - BIAS - shift as i32;
        Number { neg: self.is_negative(), exp, sig: self.sig.checked_shl(shift).unwrap_or(0) }
    }
}

/// A finite number other than zero: `sig / 2^63 * 2^exp`, integer bit set.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Negative.
    pub neg: bool,
    /// Exponent, no bias.
    pub exp: i32,
    /// Significand.
    pub sig: u64,
}

impl Number {
    /// The significand in the upper half of 128 bits.
    pub fn wide(self) -> u128 {
        u128::from(self.sig) << 64
    }
}

/// Rounding control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Toward minus infinity.
    Down,
    /// Toward plus infinity.
    Up,
    /// Toward zero.
    Chop,
}

/// A binary format: bits of precision, exponents of normal numbers, what a wrapped exponent is moved by.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Bits of the significand.
    pub bits: u32,
    /// Least exponent of a normal number.
    pub least: i32,
    /// Greatest exponent.
    pub most: i32,
}

/// What one operation runs under and what it has raised.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    /// Rounding control.
    pub rounding: Rounding,
    /// Where the precision control rounds results.
    pub format: Format,
    /// Masked exceptions: bits 0..6 of the control word.
    pub masked: u16,
    /// Raised so far: exception flags, and [`flag::C1`] if the result was rounded up.
    pub raised: u16,
}

/// The extended format with its full precision.
pub const EXTENDED: Format = Format { bits: 64, least: EMIN, most: BIAS };

impl Env {
    /// The environment of a control word.
    pub fn new(control: u16) -> Env {
        let rounding = match control >> 10 & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Chop,
        };
        let bits = match control >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Env { rounding, format: Format { bits, ..EXTENDED }, masked: control & 0x3f, raised: 0 }
    }

    /// Raises exceptions.
    pub fn raise(&mut self, flags: u16) {
        self.raised |= flags;
    }

    /// Has one of these been raised whose mask is clear?
    pub fn unmasked(&self, flags: u16) -> bool {
        self.raised & flags & !self.masked != 0
    }

    /// Invalid operation; the masked answer.
    pub fn invalid(&mut self) -> F80 {
        self.raise(IE);
        F80::INDEFINITE
    }

    /// Rounds `sig` (bit 127 set; bit 0 sticky) to `bits` bits: the upper bits, whether they carried out
    /// (the significand is then 2), whether something was lost, whether the magnitude grew.
    pub fn round_bits(&self, neg: bool, sig: u128, bits: u32) -> Rounded {
        if bits == 0 || bits > 127 {
            return Rounded { sig, carry: false, inexact: false, up: false };
        }
        let unit = 1u128 << (128 - bits);
        let lost = sig & (unit - 1);
        let half = unit >> 1;
        let kept = sig - lost;
        let up = lost != 0
            && match self.rounding {
                Rounding::Nearest => lost > half || lost == half && kept & unit != 0,
                Rounding::Down => neg,
                Rounding::Up => !neg,
                Rounding::Chop => false,
            };
        let (sig, carry) = if up { kept.overflowing_add(unit) } else { (kept, false) };
        Rounded { sig, carry, inexact: lost != 0, up }
    }

    /// Rounds `sig / 2^127 * 2^exp` (bit 127 set, bit 0 sticky) to a format: the significand, integer bit on
    /// top (clear for a denormal), and the exponent. `None`: overflow to infinity.
    pub fn round(&mut self, neg: bool, exp: i32, sig: u128, f: Format) -> Option<(i32, u128)> {
        let free = self.round_bits(neg, sig, f.bits);
        let free_exp = exp + i32::from(free.carry);
        let free_sig = if free.carry { 1 << 127 } else { free.sig };
        if free_exp < f.least {
            if self.masked & UE != 0 {
                return Some(self.round_tiny(neg, exp, sig, f));
            }
            self.raise(UE);
            if free_exp + WRAP < f.least {
                // Beyond the reach of a wrapped exponent: zero.
                self.raise(PE);
                return Some((f.least, 0));
            }
            self.inexact(&free);
            return Some((free_exp + WRAP, free_sig));
        }
        if free_exp > f.most {
            self.raise(OE);
            let unmasked = self.masked & OE == 0;
            if unmasked && free_exp - WRAP <= f.most {
                self.inexact(&free);
                return Some((free_exp - WRAP, free_sig));
            }
            self.raise(PE);
            let to_infinity = match self.rounding {
                // Beyond the reach of a wrapped exponent.
                _ if unmasked => true,
                Rounding::Nearest => true,
                Rounding::Down => neg,
                Rounding::Up => !neg,
                Rounding::Chop => false,
            };
            if to_infinity {
                self.raise(flag::C1);
                return None;
            }
            return Some((f.most, !(u128::MAX >> f.bits)));
        }
        self.inexact(&free);
        Some((free_exp, free_sig))
    }

    /// A masked underflow: denormalised, then rounded at the format's last place.
    fn round_tiny(&mut self, neg: bool, exp: i32, sig: u128, f: Format) -> (i32, u128) {
        let sig = shift_sticky(sig, f.least.saturating_sub(exp) as u32);
        let r = self.round_bits(neg, sig, f.bits);
        if r.inexact {
            self.raise(UE);
        }
        self.inexact(&r);
        (f.least, r.sig)
    }

    fn inexact(&mut self, r: &Rounded) {
        if r.inexact {
            self.raise(PE);
        }
        if r.up {
            self.raise(flag::C1);
        }
    }

    /// Rounds `sig / 2^127 * 2^exp` into a register, at the precision that the control word asks for.
    pub fn pack(&mut self, neg: bool, exp: i32, sig: u128) -> F80 {
        self.pack_as(neg, exp, sig, self.format)
    }

    /// [`Env::pack`] at a precision of its own (transcendental functions and loads ignore the control word's).
    pub fn pack_as(&mut self, neg: bool, exp: i32, sig: u128, f: Format) -> F80 {
        let sign = u16::from(neg) << 15;
        match self.round(neg, exp, sig, f) {
            None => F80::infinity(neg),
            Some((exp, sig)) => {
                let sig = (sig >> 64) as u64;
                if sig == 0 {
                    return F80::zero(neg);
                }
                let biased = if sig & J == 0 { 0 } else { (exp + BIAS) as u16 };
                F80 { se: sign | biased, sig }
            }
        }
    }
}

/// What [`Env::round_bits`] found.
pub struct Rounded {
    /// The rounded significand.
    pub sig: u128,
    /// It became 2.
    pub carry: bool,
    /// Bits were lost.
    pub inexact: bool,
    /// The magnitude grew.
    pub up: bool,
}

/// Shifts right; what falls out is kept as a sticky bit 0.
pub fn shift_sticky(sig: u128, by: u32) -> u128 {
    match by {
        0 => sig,
        1..=127 => sig >> by | u128::from(sig << (128 - by) != 0),
        _ => u128::from(sig != 0),
    }
}
