//! Sine, cosine, tangent, arctangent, exponential, logarithms, and the constants.
//!
//! Each is summed to more than 110 bits and rounded once, by the rounding control, to the full 64 bits:
//! the error is half a unit in the last place but for one argument in about 2^45. Processors differ from
//! this by up to one unit in the last place. Angles are reduced, as P6 processors do, by a
//! pi of 66 bits: near multiples of pi/2 the result is that of the processor and not that of mathematics.
//! (SDM vol. 1, "Approximation of Pi", "Transcendental Instruction Accuracy"; vol. 2, `FSIN`, `FPATAN`, `F2XM1`, `FYL2X`.)

use super::arith::{nan, nan1};
use super::float::{Class, Env, F80, J, Rounding, flag};
use super::wide::{Wide, odd_series};
use flag::{DE, ZE};
use std::cmp::Ordering;

/// Pi/2 as the processors have it, in units of 2^-65.
const HALF_PI: u128 = 0x3_243f_6a88_85a3_08d3;

/// `fld1` (0), `fldl2t`, `fldl2e`, `fldpi`, `fldlg2`, `fldln2`, `fldz` (6). All but the first and last are rounded.
pub fn constant(rounding: Rounding, n: u8) -> F80 {
    // Significand cut, and whether the nearest is one above.
    let (se, sig, above) = match n {
        0 => return F80::ONE,
        1 => (0x4000, 0xd49a_784b_cd1b_8afe, false),
        2 => (0x3fff, 0xb8aa_3b29_5c17_f0bb, true),
        3 => (0x4000, 0xc90f_daa2_2168_c234, true),
        4 => (0x3ffd, 0x9a20_9a84_fbcf_f798, true),
        5 => (0x3ffe, 0xb172_17f7_d1cf_79ab, true),
        _ => return F80::zero(false),
    };
    let up = match rounding {
        Rounding::Nearest => above,
        Rounding::Up => true,
        Rounding::Down | Rounding::Chop => false,
    };
    F80 { se, sig: sig + u64::from(up) }
}

/// Raises the denormal exception where an operand is one; true if the instruction ends there.
fn denormal(env: &mut Env, operands: &[F80]) -> bool {
    if operands.iter().any(|v| v.class() == Class::Denormal) {
        env.raise(DE);
    }
    env.unmasked(DE)
}

/// An angle in quarter turns and a rest of at most pi/4.
struct Angle {
    quarter: u8,
    rest: Wide,
}

fn reduce(v: F80) -> Angle {
    let n = v.number();
    if n.exp < -1 {
        return Angle { quarter: 0, rest: n.into() };
    }
    let whole = u128::from(n.sig) << (n.exp + 2).min(64);
    let (mut quarters, mut rest, mut neg) = (whole / HALF_PI, whole % HALF_PI, n.neg);
    if rest > HALF_PI / 2 {
        (quarters, rest, neg) = (quarters + 1, HALF_PI - rest, !neg);
    }
    let quarter = (quarters & 3) as u8;
    // Of a negative angle the quarters count backwards.
    let quarter = if n.neg { quarter.wrapping_neg() & 3 } else { quarter };
    Angle { quarter, rest: Wide::integer(neg, rest, -65) }
}

/// `1 - z/(a*b) (1 - z/((a+2)(b+2)) (1 - ...))` with `a = first`, `b = first + 1`.
fn alternating(z: Wide, first: u32) -> Wide {
    (0..18)
        .rev()
        .map(|k| first + 2 * k)
        .fold(Wide::ONE, |t, a| Wide::ONE.minus(z.times(t).over_small(a * (a + 1))))
}

fn sine(r: Wide) -> Wide {
    r.times(alternating(r.times(r), 2))
}

fn cosine(r: Wide) -> Wide {
    alternating(r.times(r), 1)
}

/// Sine and cosine of a finite angle other than zero.
fn both(v: F80) -> (Wide, Wide) {
    let a = reduce(v);
    let (s, c) = (sine(a.rest), cosine(a.rest));
    match a.quarter {
        0 => (s, c),
        1 => (c, s.negated()),
        2 => (s.negated(), c.negated()),
        _ => (c.negated(), s),
    }
}

/// The result for what is no angle to compute with: NaNs, infinities, zero (`at_zero`), an unmasked denormal.
fn special(env: &mut Env, v: F80, at_zero: F80) -> Option<F80> {
    if let Some(n) = nan1(env, v) {
        return Some(n);
    }
    match v.class() {
        Class::Infinity => Some(env.invalid()),
        Class::Zero => Some(at_zero),
        _ if denormal(env, &[v]) => Some(v),
        _ => None,
    }
}

/// `fsin`.
pub fn sin(env: &mut Env, v: F80) -> F80 {
    special(env, v, v).unwrap_or_else(|| both(v).0.inexact(env))
}

/// `fcos`.
pub fn cos(env: &mut Env, v: F80) -> F80 {
    special(env, v, F80::ONE).unwrap_or_else(|| both(v).1.inexact(env))
}

/// `fsincos`: sine below, cosine on top.
pub fn sin_cos(env: &mut Env, v: F80) -> (F80, F80) {
    match special(env, v, v) {
        Some(r) if v.class() == Class::Zero => (r, F80::ONE),
        Some(r) => (r, r),
        None => {
            let (s, c) = both(v);
            (s.inexact(env), c.inexact(env))
        }
    }
}

/// `fptan`: tangent below, one on top.
pub fn tan(env: &mut Env, v: F80) -> (F80, F80) {
    match special(env, v, v) {
        Some(r) if v.class() == Class::Zero => (r, F80::ONE),
        Some(r) => (r, r),
        None => {
            let (s, c) = both(v);
            (s.over(c).inexact(env), F80::ONE)
        }
    }
}

/// Arctangent of a quotient from 0 to 1.
fn arctangent(t: Wide) -> Wide {
    let half = Wide::ONE.times_power(-1);
    let quarter = |n: u32| Wide::integer(false, u128::from(n), -2);
    let series = |u: Wide| if u.sig == 0 { u } else { u.times(odd_series(u.times(u).negated(), 32)) };
    let around = |c: Wide| t.minus(c).over(Wide::ONE.plus(t.times(c)));
    if t.compare_magnitude(quarter(1)) == Ordering::Less {
        series(t)
    } else if t.compare_magnitude(quarter(3)) == Ordering::Less {
        Wide::ATAN_HALF.plus(series(around(half)))
    } else {
        Wide::PI.times_power(-2).plus(series(around(Wide::ONE)))
    }
}

/// `fpatan`: the angle of the point (`x`, `y`).
pub fn arctan(env: &mut Env, x: F80, y: F80) -> F80 {
    if let Some(n) = nan(env, x, y) {
        return n;
    }
    if denormal(env, &[x, y]) {
        return y;
    }
    use Class::{Infinity, Zero};
    let pi = |eighths: u32, env: &mut Env| {
        Wide::PI.times(Wide::integer(false, u128::from(eighths), -2)).with_sign(y.is_negative()).inexact(env)
    };
    match (y.class(), x.class(), x.is_negative()) {
        (Infinity, Infinity, false) => return pi(1, env),
        (Infinity, Infinity, true) => return pi(3, env),
        (Infinity, ..) => return pi(2, env),
        (_, Infinity, false) | (Zero, _, false) => return F80::zero(y.is_negative()),
        (_, Infinity, true) | (Zero, _, true) => return pi(4, env),
        (_, Zero, _) => return pi(2, env),
        _ => {}
    }
    let (p, q) = (Wide::from(y.number()).with_sign(false), Wide::from(x.number()).with_sign(false));
    let steep = p.compare_magnitude(q) == Ordering::Greater;
    let (small, large) = if steep { (q, p) } else { (p, q) };
    let quotient = small.over(large);
    if !steep && !x.is_negative() && quotient.exp < -70 {
        // Far below the series' precision: the quotient itself, or the next below it.
        let exact = quotient.times(large).compare_magnitude(small) == Ordering::Equal;
        let t = if exact { quotient.minus(quotient.times_power(-127)) } else { quotient };
        return t.with_sign(y.is_negative()).inexact(env);
    }
    let mut angle = arctangent(quotient);
    if steep {
        angle = Wide::PI.times_power(-1).minus(angle);
    }
    if x.is_negative() {
        angle = Wide::PI.minus(angle);
    }
    angle.with_sign(y.is_negative()).inexact(env)
}

/// `f2xm1`: from -1 to 1; beyond, where the manual leaves it open, the argument.
pub fn exp2_minus_1(env: &mut Env, v: F80) -> F80 {
    if let Some(n) = nan1(env, v) {
        return n;
    }
    match v.class() {
        Class::Zero => return v,
        Class::Infinity => return if v.is_negative() { F80::ONE.negated() } else { v },
        _ if denormal(env, &[v]) => return v,
        _ => {}
    }
    let n = v.number();
    if n.exp >= 0 {
        let minus_one = n.neg && n.exp == 0 && n.sig == J;
        return if minus_one { F80 { se: 0xbffe, sig: J } } else { v };
    }
    let y = Wide::from(n).times(Wide::LN2);
    let series = (2..36u32).rev().fold(Wide::ONE, |t, k| Wide::ONE.plus(y.times(t).over_small(k)));
    y.times(series).inexact(env)
}

/// Logarithm to base 2 of (1 + s) / (1 - s), |s| < 0.18.
fn log2_of_ratio(s: Wide) -> Wide {
    s.times(odd_series(s.times(s), 28)).times_power(1).times(Wide::LOG2_E)
}

/// Logarithm to base 2 of a positive number, and whether it is exact.
fn log2(x: Wide) -> (Wide, bool) {
    // The significand is taken between 0.7 and 1.4.
    let big = x.sig > 0xb504_f333_f9de_6484 << 64;
    let k = x.exp + i32::from(big);
    let m = Wide { exp: -i32::from(big), ..x };
    let whole = Wide::integer(k < 0, u128::from(k.unsigned_abs()), 0);
    let d = m.minus(Wide::ONE);
    if d.sig == 0 {
        return (whole, true);
    }
    (whole.plus(log2_of_ratio(d.over(m.plus(Wide::ONE)))), false)
}

/// `fyl2x`: `y` times the logarithm to base 2 of `x`.
pub fn y_log2_x(env: &mut Env, x: F80, y: F80) -> F80 {
    if let Some(n) = nan(env, x, y) {
        return n;
    }
    use Class::{Infinity, Zero};
    let (cx, cy) = (x.class(), y.class());
    let below_one = x.se & 0x7fff < 0x3fff;
    let one = x == F80::ONE;
    match (cx, cy) {
        _ if x.is_negative() && cx != Zero => return env.invalid(),
        (Infinity, Zero) | (Zero, Zero) => return env.invalid(),
        (_, Infinity) if one => return env.invalid(),
        _ => {}
    }
    if cx == Zero && cy != Infinity {
        // As in a division by zero, a denormal is not reported besides.
        env.raise(ZE);
        return F80::infinity(!y.is_negative());
    }
    if denormal(env, &[x, y]) {
        return y;
    }
    match (cx, cy) {
        (Infinity, _) => return F80::infinity(y.is_negative()),
        (Zero, _) => return F80::infinity(!y.is_negative()),
        (_, Infinity) => return F80::infinity(y.is_negative() != below_one),
        (_, Zero) => return F80::zero(y.is_negative() != below_one),
        _ if one => return F80::zero(y.is_negative()),
        _ => {}
    }
    let (l, exact) = log2(x.number().into());
    let product = Wide::from(y.number()).times(l);
    if exact { product.exact(env) } else { product.inexact(env) }
}

/// `fyl2xp1`: `y` times the logarithm to base 2 of `x + 1`. From -1 down there is none.
pub fn y_log2_x_plus_1(env: &mut Env, x: F80, y: F80) -> F80 {
    if let Some(n) = nan(env, x, y) {
        return n;
    }
    use Class::{Infinity, Zero};
    let (cx, cy) = (x.class(), y.class());
    let too_low = x.is_negative() && x.se & 0x7fff >= 0x3fff;
    match (cx, cy) {
        _ if too_low => return env.invalid(),
        (Infinity, Zero) | (Zero, Infinity) => return env.invalid(),
        _ if denormal(env, &[x, y]) => return y,
        (Infinity, _) | (_, Infinity) => return F80::infinity(x.is_negative() != y.is_negative()),
        (Zero, _) | (_, Zero) => return F80::zero(x.is_negative() != y.is_negative()),
        _ => {}
    }
    let d = Wide::from(x.number());
    let y = Wide::from(y.number());
    if d.exp < -2 {
        let s = d.over(d.plus(Wide::ONE.times_power(1)));
        return y.times(log2_of_ratio(s)).inexact(env);
    }
    let (l, exact) = log2(d.plus(Wide::ONE));
    let product = y.times(l);
    if exact { product.exact(env) } else { product.inexact(env) }
}
