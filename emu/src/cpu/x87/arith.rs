//! Addition, multiplication, division, square root, comparison; NaNs.
//!
//! Each is computed exactly, or with a sticky bit, and rounded once.
//! (SDM vol. 1, "Rules for Handling NaNs", "Operating on NaNs"; vol. 2, `FADD`, `FMUL`, `FDIV`, `FSQRT`, `FCOM`.)

use super::float::{Class, Env, F80, flag, shift_sticky};
use flag::{C0, C2, C3, DE, IE, ZE};

/// An operand: its value in the register format, and whether it was a denormal where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// The value.
    pub value: F80,
    /// A denormal in its own format.
    pub denormal: bool,
}

impl From<F80> for Operand {
    fn from(value: F80) -> Operand {
        Operand { value, denormal: value.class() == Class::Denormal }
    }
}

/// The arithmetic instructions, numbered as the opcode's bits 3 to 5 do (2 and 3 are comparisons).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a * b
    Mul,
    /// a - b
    Sub,
    /// b - a
    SubR,
    /// a / b
    Div,
    /// b / a
    DivR,
}

fn is_nan(c: Class) -> bool {
    matches!(c, Class::Quiet | Class::Signalling)
}

/// The result if an operand is unsupported or a NaN.
pub fn nan(env: &mut Env, a: F80, b: F80) -> Option<F80> {
    let (ca, cb) = (a.class(), b.class());
    if ca == Class::Unsupported || cb == Class::Unsupported {
        return Some(env.invalid());
    }
    if !is_nan(ca) && !is_nan(cb) {
        return None;
    }
    if ca == Class::Signalling || cb == Class::Signalling {
        env.raise(IE);
    }
    let a_wins = match (ca, cb) {
        (_, c) if !is_nan(c) => true,
        (c, _) if !is_nan(c) => false,
        (Class::Quiet, Class::Signalling) => true,
        (Class::Signalling, Class::Quiet) => false,
        // The larger significand; of equal ones the positive.
        _ if a.sig != b.sig => a.sig > b.sig,
        _ => !a.is_negative(),
    };
    Some(if a_wins { a } else { b }.quieted())
}

/// The same for one operand.
pub fn nan1(env: &mut Env, a: F80) -> Option<F80> {
    match a.class() {
        Class::Unsupported => Some(env.invalid()),
        Class::Signalling => {
            env.raise(IE);
            Some(a.quieted())
        }
        Class::Quiet => Some(a),
        _ => None,
    }
}

/// One arithmetic instruction; the second operand is the register or memory named in it.
pub fn binary(env: &mut Env, what: Binary, a: Operand, b: Operand) -> F80 {
    if let Some(n) = nan(env, a.value, b.value) {
        return n;
    }
    let (x, y) = (a.value, b.value);
    let r = match what {
        Binary::Add => add(env, x, y),
        Binary::Sub => add(env, x, y.negated()),
        Binary::SubR => add(env, y, x.negated()),
        Binary::Mul => mul(env, x, y),
        Binary::Div => div(env, x, y),
        Binary::DivR => div(env, y, x),
    };
    // An invalid operation or a division by zero hides the denormal; an unmasked denormal hides what follows it.
    if env.raised & (IE | ZE) == 0 && (a.denormal || b.denormal) {
        if env.masked & DE == 0 {
            env.raised = 0;
        }
        env.raise(DE);
    }
    r
}

fn add(env: &mut Env, a: F80, b: F80) -> F80 {
    use Class::{Infinity, Zero};
    let down = env.rounding == super::float::Rounding::Down;
    match (a.class(), b.class()) {
        (Infinity, Infinity) if a.is_negative() != b.is_negative() => return env.invalid(),
        (Infinity, _) => return a,
        (_, Infinity) => return b,
        (Zero, Zero) => {
            return F80::zero(if a.is_negative() == b.is_negative() { a.is_negative() } else { down });
        }
        (Zero, _) => return same(env, b),
        (_, Zero) => return same(env, a),
        _ => {}
    }
    let (mut p, mut q) = (a.number(), b.number());
    if (p.exp, p.sig) < (q.exp, q.sig) {
        std::mem::swap(&mut p, &mut q);
    }
    // One bit is left free for the carry.
    let big = p.wide() >> 1;
    let small = shift_sticky(q.wide() >> 1, (p.exp - q.exp) as u32);
    let sum = if p.neg == q.neg { big + small } else { big - small };
    if sum == 0 {
        return F80::zero(down);
    }
    let shift = sum.leading_zeros();
    env.pack(p.neg, p.exp + 1 - shift as i32, sum << shift)
}

/// A finite number other than zero, rounded to the precision in force.
fn same(env: &mut Env, a: F80) -> F80 {
    let n = a.number();
    env.pack(n.neg, n.exp, n.wide())
}

fn mul(env: &mut Env, a: F80, b: F80) -> F80 {
    use Class::{Infinity, Zero};
    let neg = a.is_negative() != b.is_negative();
    match (a.class(), b.class()) {
        (Infinity, Zero) | (Zero, Infinity) => return env.invalid(),
        (Infinity, _) | (_, Infinity) => return F80::infinity(neg),
        (Zero, _) | (_, Zero) => return F80::zero(neg),
        _ => {}
    }
    let (p, q) = (a.number(), b.number());
    let product = u128::from(p.sig) * u128::from(q.sig);
    let shift = product.leading_zeros();
    env.pack(neg, p.exp + q.exp + 1 - shift as i32, product << shift)
}

fn div(env: &mut Env, a: F80, b: F80) -> F80 {
    use Class::{Infinity, Zero};
    let neg = a.is_negative() != b.is_negative();
    match (a.class(), b.class()) {
        (Infinity, Infinity) | (Zero, Zero) => return env.invalid(),
        (Infinity, _) => return F80::infinity(neg),
        (_, Infinity) | (Zero, _) => return F80::zero(neg),
        (_, Zero) => {
            env.raise(ZE);
            return F80::infinity(neg);
        }
        _ => {}
    }
    let (p, q) = (a.number(), b.number());
    let d = u128::from(q.sig);
    let (high, rest) = (p.wide() / d, p.wide() % d);
    let quotient = (high << 32) | ((rest << 32) / d);
    let sticky = u128::from((rest << 32) % d != 0);
    // 2^96 stands for one.
    let shift = quotient.leading_zeros();
    env.pack(neg, p.exp - q.exp + 31 - shift as i32, quotient << shift | sticky)
}

/// `fsqrt`.
pub fn sqrt(env: &mut Env, a: F80) -> F80 {
    if let Some(n) = nan1(env, a) {
        return n;
    }
    let class = a.class();
    match class {
        Class::Zero => return a,
        _ if a.is_negative() => return env.invalid(),
        Class::Infinity => return a,
        Class::Denormal => {
            env.raise(DE);
            if env.masked & DE == 0 {
                return a;
            }
        }
        _ => {}
    }
    let n = a.number();
    let odd = n.exp & 1 != 0;
    let square = u128::from(n.sig) << if odd { 64 } else { 63 };
    let root = square.isqrt();
    let rest = square - root * root;
    let below = u128::from(rest > root) << 63 | u128::from(rest != 0);
    env.pack(false, (n.exp - i32::from(odd)) / 2, root << 64 | below)
}

/// The order of two values as C3, C2, C0. `quiet`: only signalling NaNs are invalid.
pub fn compare(env: &mut Env, a: Operand, b: Operand, quiet: bool) -> u16 {
    let (x, y) = (a.value, b.value);
    let (cx, cy) = (x.class(), y.class());
    let any = |c| cx == c || cy == c;
    if any(Class::Unsupported) || any(Class::Signalling) || any(Class::Quiet) {
        if !quiet || any(Class::Unsupported) || any(Class::Signalling) {
            env.raise(IE);
        }
        return C3 | C2 | C0;
    }
    if a.denormal || b.denormal {
        env.raise(DE);
    }
    match order(x, y) {
        std::cmp::Ordering::Greater => 0,
        std::cmp::Ordering::Less => C0,
        std::cmp::Ordering::Equal => C3,
    }
}

fn order(x: F80, y: F80) -> std::cmp::Ordering {
    // A pseudo-denormal has the value of the normal number with exponent 1.
    let magnitude = |v: F80| {
        let e = i128::from(v.se & 0x7fff);
        let e = if e == 0 && v.sig >> 63 != 0 { 1 } else { e };
        let m = e << 64 | i128::from(v.sig);
        if v.is_negative() { -m } else { m }
    };
    magnitude(x).cmp(&magnitude(y))
}
