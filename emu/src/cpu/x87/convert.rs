//! Between registers and memory: single, double, integers, packed decimal.
//!
//! Loads are exact. Stores round once, to the format of the destination, by the rounding
//! control; the precision control has no part in them.
//! (SDM vol. 2, `FLD`, `FST`, `FILD`, `FIST`, `FBLD`, `FBSTP`.)

use super::arith::Operand;
use super::float::{BIAS, Class, Env, F80, Format, J, QUIET, flag, shift_sticky};
use flag::{IE, PE};

/// Layout of an interchange format.
#[derive(Clone, Copy)]
pub struct Layout {
    format: Format,
    /// Bits of the exponent.
    exponent: u32,
}

/// Single precision.
pub const SINGLE: Layout = Layout { format: Format { bits: 24, least: -126, most: 127 }, exponent: 8 };
/// Double precision.
pub const DOUBLE: Layout = Layout { format: Format { bits: 53, least: -1022, most: 1023 }, exponent: 11 };

/// What an unmasked exception leaves undone: nothing is stored.
pub type Stored<T> = Option<T>;

impl Layout {
    fn fraction(self) -> u32 {
        self.format.bits - 1
    }

    /// The value of the bits, signalling NaNs as they are.
    pub fn widen(self, bits: u64) -> Operand {
        let fraction = bits & ((1 << self.fraction()) - 1);
        let neg = bits >> (self.fraction() + self.exponent) & 1 != 0;
        let e = (bits >> self.fraction()) as i32 & ((1 << self.exponent) - 1);
        let top = fraction << (64 - self.format.bits);
        let value = if e == (1 << self.exponent) - 1 {
            F80 { se: 0x7fff, sig: top | J }
        } else if e != 0 {
            F80 { se: (e - self.format.most + BIAS) as u16, sig: top | J }
        } else if fraction != 0 {
            let shift = top.leading_zeros();
            F80 { se: (self.format.least - shift as i32 + BIAS) as u16, sig: top << shift }
        } else {
            F80::zero(false)
        };
        Operand { value: value.with_sign(neg), denormal: e == 0 && fraction != 0 }
    }

    /// The bits of a value rounded to this format.
    pub fn narrow(self, env: &mut Env, v: F80) -> Stored<u64> {
        let f = self.format;
        let sign = u64::from(v.is_negative()) << (self.fraction() + self.exponent);
        let top = ((1u64 << self.exponent) - 1) << self.fraction();
        let nan = |v: F80| {
            let payload = (v.sig | QUIET) << 1 >> (65 - f.bits);
            u64::from(v.is_negative()) << (self.fraction() + self.exponent) | top | payload
        };
        match v.class() {
            Class::Zero => Some(sign),
            Class::Infinity => Some(sign | top),
            Class::Quiet => Some(nan(v)),
            Class::Signalling => {
                env.raise(IE);
                (!env.unmasked(IE)).then(|| nan(v))
            }
            Class::Unsupported => {
                let v = env.invalid();
                (!env.unmasked(IE)).then(|| nan(v))
            }
            Class::Normal | Class::Denormal => {
                let n = v.number();
                let rounded = env.round(n.neg, n.exp, n.wide(), f);
                if env.unmasked(flag::OE | flag::UE) {
                    // Nothing is rounded, as nothing is stored.
                    env.raised &= !(PE | flag::C1);
                    return None;
                }
                let Some((exp, sig)) = rounded else { return Some(sign | top) };
                let digits = (sig >> (128 - f.bits)) as u64;
                // The integer bit adds one to the exponent field; a denormal has none.
                Some(sign | (((exp - f.least) as u64) << self.fraction()).wrapping_add(digits))
            }
        }
    }
}

/// Rounds to an integer: sign and magnitude. `None`: no integer of 64 bits, or not a number.
fn integer(env: &mut Env, v: F80) -> Option<(bool, u64)> {
    match v.class() {
        Class::Zero => return Some((v.is_negative(), 0)),
        Class::Normal | Class::Denormal => {}
        _ => return None,
    }
    let n = v.number();
    if n.exp > 63 {
        return None;
    }
    // 64 integer bits above 64 of fraction.
    let fixed = shift_sticky(n.wide(), (63 - n.exp) as u32);
    let (whole, fraction) = ((fixed >> 64) as u64, fixed as u64);
    let up = fraction != 0
        && match env.rounding {
            super::float::Rounding::Nearest => fraction > J || fraction == J && whole & 1 != 0,
            super::float::Rounding::Down => n.neg,
            super::float::Rounding::Up => !n.neg,
            super::float::Rounding::Chop => false,
        };
    let whole = whole.checked_add(u64::from(up))?;
    if fraction != 0 {
        env.raise(PE);
    }
    if up {
        env.raise(flag::C1);
    }
    Some((n.neg, whole))
}

/// `frndint`.
pub fn round_to_integer(env: &mut Env, v: F80) -> F80 {
    if let Some(n) = super::arith::nan1(env, v) {
        return n;
    }
    match v.class() {
        Class::Zero | Class::Infinity => return v,
        Class::Denormal => {
            env.raise(flag::DE);
            if env.unmasked(flag::DE) {
                return v;
            }
        }
        _ => {}
    }
    if v.number().exp >= 63 {
        return v;
    }
    match integer(env, v) {
        Some((neg, whole)) => from_magnitude(neg, whole),
        None => v,
    }
}

/// The integer of `bits` bits (16, 32, 64) nearest to a value, sign-extended.
pub fn to_integer(env: &mut Env, v: F80, bits: u32) -> Stored<u64> {
    let before = env.raised;
    let limit = 1u64 << (bits - 1);
    match integer(env, v) {
        Some((false, m)) if m < limit => Some(m),
        Some((true, m)) if m <= limit => Some(m.wrapping_neg()),
        _ => {
            env.raised = before | IE;
            (!env.unmasked(IE)).then_some(limit)
        }
    }
}

fn from_magnitude(neg: bool, m: u64) -> F80 {
    if m == 0 {
        return F80::zero(neg);
    }
    let shift = m.leading_zeros();
    F80 { se: (BIAS + 63 - shift as i32) as u16, sig: m << shift }.with_sign(neg)
}

/// The value of an integer, exact.
pub fn from_integer(v: i64) -> F80 {
    from_magnitude(v < 0, v.unsigned_abs())
}

/// The value of eighteen packed decimal digits and a sign. Digits above nine count as they stand.
pub fn from_decimal(b: &[u8; 10]) -> F80 {
    let digits = b[..9].iter().rev();
    let m = digits.fold(0u64, |m, d| m * 100 + u64::from(d >> 4) * 10 + u64::from(d & 15));
    from_magnitude(b[9] & 0x80 != 0, m)
}

/// A value as eighteen packed decimal digits and a sign.
pub fn to_decimal(env: &mut Env, v: F80) -> Stored<[u8; 10]> {
    let before = env.raised;
    match integer(env, v) {
        Some((neg, mut m)) if m < 1_000_000_000_000_000_000 => {
            let mut b = [0; 10];
            for d in &mut b[..9] {
                *d = (m / 10 % 10 * 16 + m % 10) as u8;
                m /= 100;
            }
            b[9] = u8::from(neg) << 7;
            Some(b)
        }
        _ => {
            env.raised = before | IE;
            (!env.unmasked(IE)).then_some([0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff])
        }
    }
}
