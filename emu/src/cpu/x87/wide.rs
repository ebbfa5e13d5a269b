//! Numbers with 128-bit significands: what the series of `transcendental.rs` are summed in.
//!
//! Results are cut, not rounded: each operation is wrong by less than one unit in the
//! 128th place, so a series of some thirty terms is right to more than 115 bits.

use super::float::{EXTENDED, Env, F80, Number};
use std::cmp::Ordering;

/// `sig / 2^127 * 2^exp`, integer bit set; zero has `sig == 0`.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    /// Negative.
    pub neg: bool,
    /// Exponent.
    pub exp: i32,
    /// Significand.
    pub sig: u128,
}

impl Wide {
    /// Zero.
    pub const ZERO: Wide = Wide { neg: false, exp: 0, sig: 0 };
    /// One.
    pub const ONE: Wide = Wide { neg: false, exp: 0, sig: 1 << 127 };
    /// Pi.
    pub const PI: Wide = Wide { neg: false, exp: 1, sig: 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1 };
    /// Natural logarithm of 2.
    pub const LN2: Wide = Wide { neg: false, exp: -1, sig: 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af };
    /// Logarithm of e to base 2.
    pub const LOG2_E: Wide = Wide { neg: false, exp: 0, sig: 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89 };
    /// Angle whose tangent is 1/2.
    pub const ATAN_HALF: Wide = Wide { neg: false, exp: -2, sig: 0xed63_382b_0dda_7b45_6fe4_45ec_bc3a_8d03 };

    /// `m * 2^exp`.
    pub fn integer(neg: bool, m: u128, exp: i32) -> Wide {
        if m == 0 {
            return Wide::ZERO;
        }
        let shift = m.leading_zeros();
        Wide { neg, exp: exp + 127 - shift as i32, sig: m << shift }
    }

    /// Times a power of two.
    pub fn times_power(self, n: i32) -> Wide {
        Wide { exp: self.exp + n, ..self }
    }

    /// The other sign.
    pub fn negated(self) -> Wide {
        Wide { neg: !self.neg, ..self }
    }

    /// The sign given.
    pub fn with_sign(self, neg: bool) -> Wide {
        Wide { neg, ..self }
    }

    /// Which magnitude is greater?
    pub fn compare_magnitude(self, o: Wide) -> Ordering {
        match (self.sig, o.sig) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            _ => (self.exp, self.sig).cmp(&(o.exp, o.sig)),
        }
    }

    /// Sum.
    pub fn plus(self, o: Wide) -> Wide {
        let (a, b) = if self.compare_magnitude(o) == Ordering::Less { (o, self) } else { (self, o) };
        if b.sig == 0 {
            return a;
        }
        let by = (a.exp - b.exp) as u32;
        let small = b.sig.checked_shr(by).unwrap_or(0);
        if a.neg == b.neg {
            let (sum, carry) = a.sig.overflowing_add(small);
            return if carry {
                Wide { exp: a.exp + 1, sig: sum >> 1 | 1 << 127, ..a }
            } else {
                Wide { sig: sum, ..a }
            };
        }
        // What was cut off the smaller one makes the difference smaller.
        let lost = by >= 128 || by > 0 && b.sig << (128 - by) != 0;
        let sig = a.sig - small - u128::from(lost);
        Wide::integer(a.neg, sig, a.exp - 127)
    }

    /// Difference.
    pub fn minus(self, o: Wide) -> Wide {
        self.plus(o.negated())
    }

    /// Product.
    pub fn times(self, o: Wide) -> Wide {
        if self.sig == 0 || o.sig == 0 {
            return Wide::ZERO;
        }
        let (a1, a0) = (self.sig >> 64, self.sig & u128::from(u64::MAX));
        let (b1, b0) = (o.sig >> 64, o.sig & u128::from(u64::MAX));
        let low = u128::from(u64::MAX);
        let middle = ((a0 * b0) >> 64) + ((a1 * b0) & low) + ((a0 * b1) & low);
        let high = a1 * b1 + ((a1 * b0) >> 64) + ((a0 * b1) >> 64) + (middle >> 64);
        let shift = high.leading_zeros();
        let below = if shift == 0 { 0 } else { middle >> 63 & 1 };
        Wide { neg: self.neg != o.neg, exp: self.exp + o.exp + 1 - shift as i32, sig: high << shift | below }
    }

    /// Quotient; `o` is not zero.
    pub fn over(self, o: Wide) -> Wide {
        if self.sig == 0 || o.sig == 0 {
            return Wide::ZERO;
        }
        let (mut rest, mut over, mut q) = (self.sig, false, 0u128);
        for _ in 0..128 {
            q <<= 1;
            if over || rest >= o.sig {
                rest = rest.wrapping_sub(o.sig);
                q |= 1;
            }
            over = rest >> 127 != 0;
            rest <<= 1;
        }
        Wide::integer(self.neg != o.neg, q, self.exp - o.exp - 127)
    }

    /// Quotient by a small number, 1 to 2^31.
    pub fn over_small(self, d: u32) -> Wide {
        let d = u128::from(d.max(1));
        if self.sig == 0 {
            return self;
        }
        let q = self.sig / d;
        let shift = q.leading_zeros();
        let sig = (q << shift) | (((self.sig % d) << shift) / d);
        Wide { exp: self.exp - shift as i32, sig, ..self }
    }

    /// Rounded into a register with full precision. The value is taken to be inexact.
    pub fn inexact(self, env: &mut Env) -> F80 {
        env.pack_as(self.neg, self.exp, self.sig | 1, EXTENDED)
    }

    /// Rounded into a register with full precision; the value is exact.
    pub fn exact(self, env: &mut Env) -> F80 {
        if self.sig == 0 {
            return F80::zero(self.neg);
        }
        env.pack_as(self.neg, self.exp, self.sig, EXTENDED)
    }
}

impl From<Number> for Wide {
    fn from(n: Number) -> Wide {
        Wide { neg: n.neg, exp: n.exp, sig: n.wide() }
    }
}

/// `sum of z^k / (k * step + 1)` for `k` from 0 to `last`: what the series of arctangents and logarithms have in common.
pub fn odd_series(z: Wide, last: u32) -> Wide {
    (0..=last).rev().fold(Wide::ZERO, |t, k| Wide::ONE.over_small(2 * k + 1).plus(z.times(t)))
}
