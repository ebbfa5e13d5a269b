//! Partial remainder, scaling, and taking a number apart: exact operations.
//!
//! A partial remainder of operands whose exponents lie 64 or more apart takes off 32 to 63 bits of
//! the quotient in one step, so that the software loop of the manual ends as it does there.
//! (SDM vol. 2, `FPREM`, `FPREM1`, `FSCALE`, `FXTRACT`.)

use super::arith::{nan, nan1};
use super::convert::from_integer;
use super::float::{Class, EXTENDED, Env, F80, flag};
use flag::{DE, ZE};

/// What is known of the quotient after a partial remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotient {
    /// There is none.
    None,
    /// The reduction has to go on.
    Incomplete,
    /// Its low bits.
    Bits(u64),
}

/// The remainder of `a` and `b`, and the quotient.
pub fn remainder(env: &mut Env, a: F80, b: F80, nearest: bool) -> (F80, Quotient) {
    if let Some(n) = nan(env, a, b) {
        return (n, Quotient::None);
    }
    let (ca, cb) = (a.class(), b.class());
    if ca == Class::Infinity || cb == Class::Zero {
        return (env.invalid(), Quotient::None);
    }
    if ca == Class::Denormal || cb == Class::Denormal {
        env.raise(DE);
        if env.unmasked(DE) {
            return (a, Quotient::None);
        }
    }
    if ca == Class::Zero {
        return (a, Quotient::Bits(0));
    }
    let p = a.number();
    let whole = |env: &mut Env| env.pack_as(p.neg, p.exp, p.wide(), EXTENDED);
    if cb == Class::Infinity {
        return (whole(env), Quotient::Bits(0));
    }
    let q = b.number();
    let apart = p.exp - q.exp;
    if apart < -1 || apart < 0 && !nearest {
        return (whole(env), Quotient::Bits(0));
    }
    let complete = apart < 64;
    let step = if complete { apart } else { apart & 31 | 32 };
    // In units of half the divisor's last place, so that its half is whole.
    let dividend = u128::from(p.sig) << (step + 1).min(64);
    let divisor = u128::from(q.sig) << 1;
    let (mut quotient, mut rest, mut neg) = (dividend / divisor, dividend % divisor, p.neg);
    if nearest && complete && (rest > divisor - rest || rest == divisor - rest && quotient & 1 != 0) {
        (quotient, rest, neg) = (quotient + 1, divisor - rest, !neg);
    }
    let bits = if complete { Quotient::Bits(quotient as u64) } else { Quotient::Incomplete };
    if rest == 0 {
        return (F80::zero(p.neg), bits);
    }
    let shift = rest.leading_zeros();
    let exp = q.exp + (apart - step) + 63 - shift as i32;
    (env.pack_as(neg, exp, rest << shift, EXTENDED), bits)
}

/// `fscale`: `a * 2^b`, `b` cut to an integer.
pub fn scale(env: &mut Env, a: F80, b: F80) -> F80 {
    if let Some(n) = nan(env, a, b) {
        return n;
    }
    let (ca, cb) = (a.class(), b.class());
    match (ca, cb, b.is_negative()) {
        (Class::Zero, Class::Infinity, false) | (Class::Infinity, Class::Infinity, true) => {
            return env.invalid();
        }
        _ => {}
    }
    if ca == Class::Denormal || cb == Class::Denormal {
        env.raise(DE);
        if env.unmasked(DE) {
            return a;
        }
    }
    match (ca, cb) {
        (Class::Zero | Class::Infinity, _) => return a,
        (_, Class::Infinity) => {
            return if b.is_negative() { F80::zero(a.is_negative()) } else { F80::infinity(a.is_negative()) };
        }
        _ => {}
    }
    let n = a.number();
    let by = match cb {
        Class::Zero | Class::Denormal => 0,
        _ => {
            let m = b.number();
            let whole = match m.exp {
                ..0 => 0,
                // Beyond this nothing changes: the result has left the range.
                17.. => 0x1_ffff,
                e => (m.sig >> (63 - e)) as i32,
            };
            if m.neg { -whole } else { whole }
        }
    };
    env.pack_as(n.neg, n.exp + by, n.wide(), EXTENDED)
}

/// `fxtract`: exponent and significand.
pub fn extract(env: &mut Env, a: F80) -> (F80, F80) {
    if let Some(n) = nan1(env, a) {
        return (n, n);
    }
    match a.class() {
        Class::Zero => {
            env.raise(ZE);
            return (F80::infinity(true), a);
        }
        Class::Infinity => return (F80::infinity(false), a),
        Class::Denormal => env.raise(DE),
        _ => {}
    }
    let n = a.number();
    (from_integer(i64::from(n.exp)), F80 { sig: n.sig, ..F80::ONE }.with_sign(n.neg))
}
