//! The instructions by opcode: operands from the stack, results to it, condition bits.
//!
//! An opcode here is the first byte (D8 to DF) and the ModR/M byte; memory operands come and go as bytes.
//! (SDM vol. 2, opcode map "Escape Opcodes"; vol. 1, "x87 FPU Register Stack".)

use super::Fpu;
use super::arith::{Binary, Operand, binary, compare, sqrt};
use super::convert::{self, DOUBLE, SINGLE};
use super::float::{Class, F80, flag};
use super::{partial, transcendental};
use flag::{C0, C1, C2, C3, IE};

/// Carry, parity, zero: what `fcomi` writes.
const EFLAGS: u32 = 1 | 4 | 0x40;
/// What `fcomi` clears besides: adjust, sign, overflow.
const CLEARED: u32 = 0x10 | 0x80 | 0x800;

/// What an instruction exchanges with the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The memory operand: as read, or to be written.
    pub memory: [u8; 10],
    /// AX, if it is to be written.
    pub ax: Option<u16>,
    /// EFLAGS, read and written.
    pub eflags: u32,
}

/// What an instruction does with its memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// There is none.
    None,
    /// Reads so many bytes.
    Read(u8),
    /// Writes so many bytes.
    Write(u8),
    /// `fldenv` and the like: an image.
    Image,
}

/// Does this instruction run in spite of a pending exception?
pub fn no_wait(opcode: u16) -> bool {
    match opcode {
        0xdbe0..=0xdbe4 | 0xdfe0 => true,
        _ if opcode & 0xc0 == 0xc0 => false,
        _ => matches!((opcode >> 8, opcode >> 3 & 7), (0xd9, 6 | 7) | (0xdd, 6 | 7)),
    }
}

/// Does this instruction leave the pointers to the last instruction alone?
pub fn is_control(opcode: u16) -> bool {
    match opcode {
        0xdbe0..=0xdbe4 | 0xdfe0 => true,
        _ if opcode & 0xc0 == 0xc0 => false,
        _ => matches!((opcode >> 8, opcode >> 3 & 7), (0xd9, 4..=7) | (0xdd, 4 | 6 | 7)),
    }
}

/// The memory operand of an opcode.
pub fn memory(opcode: u16) -> Memory {
    if opcode & 0xc0 == 0xc0 {
        return Memory::None;
    }
    match (opcode >> 8, opcode >> 3 & 7) {
        (0xd8 | 0xda, _) => Memory::Read(4),
        (0xdc, _) => Memory::Read(8),
        (0xde, _) => Memory::Read(2),
        (0xd9, 4 | 6) | (0xdd, 4 | 6) => Memory::Image,
        (0xd9 | 0xdb, 0) => Memory::Read(4),
        (0xd9, 5) => Memory::Read(2),
        (0xd9, 7) | (0xdd, 7) => Memory::Write(2),
        (0xd9 | 0xdb, 2 | 3) => Memory::Write(4),
        (0xdb, 5) | (0xdf, 4) => Memory::Read(10),
        (0xdb, 7) | (0xdf, 6) => Memory::Write(10),
        (0xdd, 0) | (0xdf, 5) => Memory::Read(8),
        (0xdd, 2 | 3) | (0xdf, 7) => Memory::Write(8),
        (0xdf, 0) => Memory::Read(2),
        (0xdf, 2 | 3) => Memory::Write(2),
        _ => Memory::None,
    }
}

fn low<const N: usize>(m: &[u8; 10]) -> [u8; N] {
    std::array::from_fn(|i| m.get(i).copied().unwrap_or(0))
}

impl Fpu {
    /// Carries out an instruction that is no image transfer. The answer says whether a memory
    /// operand of kind [`Memory::Write`] is to be written.
    pub fn execute(&mut self, opcode: u16, ports: &mut Ports) -> bool {
        if opcode & 0xc0 == 0xc0 {
            self.register(opcode, ports);
            return false;
        }
        match memory(opcode) {
            Memory::Read(_) => {
                self.read(opcode, &ports.memory);
                false
            }
            Memory::Write(_) => match self.write(opcode) {
                Some(bytes) => {
                    ports.memory = bytes;
                    true
                }
                None => false,
            },
            Memory::Image | Memory::None => false,
        }
    }

    fn read(&mut self, opcode: u16, m: &[u8; 10]) {
        let short = || i64::from(i16::from_le_bytes(low(m)));
        let int = || i64::from(i32::from_le_bytes(low(m)));
        let single = || SINGLE.widen(u64::from(u32::from_le_bytes(low(m))));
        let double = || DOUBLE.widen(u64::from_le_bytes(low(m)));
        let what = (opcode >> 3 & 7) as u8;
        match (opcode >> 8, what) {
            (0xd8, _) => self.operate(what, single()),
            (0xdc, _) => self.operate(what, double()),
            (0xda, _) => self.operate(what, convert::from_integer(int()).into()),
            (0xde, _) => self.operate(what, convert::from_integer(short()).into()),
            (0xd9, 0) => self.load_real(single()),
            (0xdd, 0) => self.load_real(double()),
            (0xd9, 5) => self.set_control(u16::from_le_bytes(low(m))),
            (0xdb, 0) => self.load(convert::from_integer(int())),
            (0xdf, 0) => self.load(convert::from_integer(short())),
            (0xdf, 5) => self.load(convert::from_integer(i64::from_le_bytes(low(m)))),
            (0xdf, 4) => self.load(convert::from_decimal(m)),
            _ => self.load(F80::from_bytes(m)),
        }
    }

    fn write(&mut self, opcode: u16) -> Option<[u8; 10]> {
        let mut bytes = [0; 10];
        let mut put = |v: u64| {
            bytes[..8].copy_from_slice(&v.to_le_bytes());
            bytes
        };
        let what = opcode >> 3 & 7;
        match (opcode >> 8, what) {
            (0xd9, 7) => return Some(put(u64::from(self.control()))),
            (0xdd, 7) => return Some(put(u64::from(self.status()))),
            _ => {}
        }
        let v = if self.empty(0) {
            if !self.underflow() {
                return None;
            }
            F80::INDEFINITE
        } else {
            self.get(0)
        };
        let mut env = self.env();
        let stored = match (opcode >> 8, what) {
            (0xd9, _) => SINGLE.narrow(&mut env, v).map(&mut put),
            (0xdd, _) => DOUBLE.narrow(&mut env, v).map(&mut put),
            (0xdb, 2 | 3) => convert::to_integer(&mut env, v, 32).map(&mut put),
            (0xdf, 2 | 3) => convert::to_integer(&mut env, v, 16).map(&mut put),
            (0xdf, 7) => convert::to_integer(&mut env, v, 64).map(&mut put),
            (0xdf, _) => convert::to_decimal(&mut env, v),
            _ => Some(v.to_bytes()),
        };
        self.settle(&env);
        // D9 /2, DB /2, DD /2, DF /2 keep the value; all others pop.
        if stored.is_some() && what != 2 {
            self.pop();
        }
        stored
    }

    /// Pushes a value as it is.
    fn load(&mut self, v: F80) {
        if !self.empty(7) {
            if self.overflow() {
                self.push(F80::INDEFINITE);
            }
            return;
        }
        self.status &= !C1;
        self.push(v);
    }

    /// `fld m32`, `fld m64`: a conversion, with what it may raise.
    fn load_real(&mut self, o: Operand) {
        if !self.empty(7) {
            return self.load(o.value);
        }
        let mut env = self.env();
        if o.denormal {
            env.raise(flag::DE);
        }
        let v = super::arith::nan1(&mut env, o.value).unwrap_or(o.value);
        self.settle(&env);
        // A denormal is loaded even if its exception is unmasked.
        if !env.unmasked(IE) {
            self.push(v);
        }
    }

    /// ST(0) and an operand from memory.
    fn operate(&mut self, what: u8, b: Operand) {
        match kind(what) {
            None => self.compare(Some(b), false, u8::from(what == 3)),
            Some(kind) => {
                if self.empty(0) {
                    if self.underflow() {
                        self.set(0, F80::INDEFINITE);
                    }
                    return;
                }
                let mut env = self.env();
                let v = binary(&mut env, kind, self.get(0).into(), b);
                if !self.settle(&env) {
                    self.set(0, v);
                }
            }
        }
    }

    /// `to` = `a` op `b`, all places in the stack; pops `pops` times.
    fn between(&mut self, kind: Binary, a: u8, b: u8, to: u8, pops: u8) {
        let v = if self.empty(a) || self.empty(b) {
            if !self.underflow() {
                return;
            }
            F80::INDEFINITE
        } else {
            let mut env = self.env();
            let v = binary(&mut env, kind, self.get(a).into(), self.get(b).into());
            if self.settle(&env) {
                return;
            }
            v
        };
        self.set(to, v);
        (0..pops).for_each(|_| self.pop());
    }

    /// ST(0) becomes what `f` makes of it.
    fn unary(&mut self, f: impl FnOnce(&mut super::float::Env, F80) -> F80) {
        if self.empty(0) {
            if self.underflow() {
                self.set(0, F80::INDEFINITE);
            }
            return;
        }
        let mut env = self.env();
        let v = f(&mut env, self.get(0));
        if !self.settle(&env) {
            self.set(0, v);
        }
    }

    /// ST(1) op ST(0): the result replaces ST(1) after a pop, or ST(0).
    fn both(&mut self, pops: bool, f: impl FnOnce(&mut super::float::Env, F80, F80) -> F80) {
        let v = if self.empty(0) || self.empty(1) {
            if !self.underflow() {
                return;
            }
            F80::INDEFINITE
        } else {
            let mut env = self.env();
            let v = f(&mut env, self.get(0), self.get(1));
            if self.settle(&env) {
                return;
            }
            v
        };
        if pops {
            self.pop();
        }
        self.set(0, v);
    }

    /// Compares ST(0) with an operand (`None`: empty) and sets C3, C2, C0. An unmasked exception stops only the pops.
    fn compare(&mut self, b: Option<Operand>, quiet: bool, pops: u8) {
        let (codes, allowed) = self.ordered(b, quiet);
        self.status = self.status & !(C3 | C2 | C0) | codes;
        if allowed {
            (0..pops).for_each(|_| self.pop());
        }
    }

    /// The same into EFLAGS.
    fn compare_flags(&mut self, i: u8, quiet: bool, pops: u8, eflags: &mut u32) {
        let b = (!self.empty(i)).then(|| self.get(i).into());
        let (codes, allowed) = self.ordered(b, quiet);
        let bit = |c: u16, f: u32| if codes & c != 0 { f } else { 0 };
        *eflags = *eflags & !(EFLAGS | CLEARED) | bit(C3, 0x40) | bit(C2, 4) | bit(C0, 1);
        if allowed {
            (0..pops).for_each(|_| self.pop());
        }
    }

    /// The codes, and whether no unmasked exception was met.
    fn ordered(&mut self, b: Option<Operand>, quiet: bool) -> (u16, bool) {
        let Some(b) = b.filter(|_| !self.empty(0)) else {
            return (C3 | C2 | C0, self.underflow());
        };
        let mut env = self.env();
        let codes = compare(&mut env, self.get(0).into(), b, quiet);
        (codes, !self.settle(&env))
    }

    fn register(&mut self, opcode: u16, ports: &mut Ports) {
        let i = (opcode & 7) as u8;
        let what = (opcode >> 3 & 7) as u8;
        let there = |s: &Fpu| (!s.empty(i)).then(|| Operand::from(s.get(i)));
        match (opcode >> 8, what) {
            (0xd8, _) => match kind(what) {
                Some(k) => self.between(k, 0, i, 0, 0),
                None => self.compare(there(self), false, u8::from(what == 3)),
            },
            (0xdc, 2 | 3) => self.compare(there(self), false, u8::from(what == 3)),
            (0xde, 2) => self.compare(there(self), false, 1),
            (0xde, 3) => self.compare(there(self), false, 2),
            (0xdc | 0xde, _) => {
                // The operands keep their places; reversed forms are numbered the other way round.
                if let Some(k) = kind(what) {
                    self.between(k, 0, i, i, u8::from(opcode >> 8 == 0xde));
                }
            }
            (0xd9, 0) => self.load_register(i),
            (0xd9 | 0xdd, 1) | (0xdf, 1) => self.exchange(i),
            // An alias of `fstp` that takes an empty register for nothing wrong.
            (0xd9, 3) if self.empty(0) => {
                self.status &= !C1;
                self.pop();
            }
            (0xd9, 3) => self.store_register(i, 1),
            (0xd9, 4..=7) => self.unit(opcode),
            (0xda | 0xdb, 0..=3) => self.conditional(opcode, ports.eflags),
            (0xda, 5) => self.compare(there(self), true, 2),
            (0xdb, 4) => match i {
                2 => self.clear_exceptions(),
                3 => self.initialise(),
                _ => {}
            },
            (0xdb, 5) => self.compare_flags(i, true, 0, &mut ports.eflags),
            (0xdb, 6) => self.compare_flags(i, false, 0, &mut ports.eflags),
            (0xdf, 5) => self.compare_flags(i, true, 1, &mut ports.eflags),
            (0xdf, 6) => self.compare_flags(i, false, 1, &mut ports.eflags),
            (0xdd, 0) => {
                self.status &= !C1;
                self.free(i);
            }
            (0xdf, 0) => {
                self.status &= !C1;
                self.free(i);
                self.pop();
            }
            (0xdd, 2) => self.store_register(i, 0),
            (0xdd, 3) | (0xdf, 2 | 3) => self.store_register(i, 1),
            (0xdd, 4) => self.compare(there(self), true, 0),
            (0xdd, 5) => self.compare(there(self), true, 1),
            (0xdf, 4) => ports.ax = Some(self.status()),
            _ => {}
        }
    }

    /// `fld st(i)`.
    fn load_register(&mut self, i: u8) {
        if self.empty(i) {
            if self.underflow() {
                self.push(F80::INDEFINITE);
            }
            return;
        }
        self.load(self.get(i));
    }

    /// `fst st(i)`, `fstp st(i)`.
    fn store_register(&mut self, i: u8, pops: u8) {
        let v = if self.empty(0) {
            if !self.underflow() {
                return;
            }
            F80::INDEFINITE
        } else {
            self.status &= !C1;
            self.get(0)
        };
        self.set(i, v);
        (0..pops).for_each(|_| self.pop());
    }

    /// `fxch`.
    fn exchange(&mut self, i: u8) {
        self.status &= !C1;
        if (self.empty(0) || self.empty(i)) && !self.underflow() {
            return;
        }
        let read = |j| if self.empty(j) { F80::INDEFINITE } else { self.get(j) };
        let (a, b) = (read(0), read(i));
        self.set(0, b);
        self.set(i, a);
    }

    /// `fcmovcc`.
    fn conditional(&mut self, opcode: u16, eflags: u32) {
        let i = (opcode & 7) as u8;
        if self.empty(0) || self.empty(i) {
            if self.underflow() {
                self.set(0, F80::INDEFINITE);
            }
            return;
        }
        let met = match opcode >> 3 & 3 {
            0 => eflags & 1 != 0,
            1 => eflags & 0x40 != 0,
            2 => eflags & 0x41 != 0,
            _ => eflags & 4 != 0,
        };
        // DA: if the condition holds; DB: if not.
        if met == (opcode >> 8 == 0xda) {
            self.set(0, self.get(i));
        }
    }

    /// D9 E0 to D9 FF.
    fn unit(&mut self, opcode: u16) {
        match opcode & 0xff {
            0xe0 => self.sign(|v| v.negated()),
            0xe1 => self.sign(|v| v.with_sign(false)),
            0xe4 => self.compare(Some(F80::default().into()), false, 0),
            0xe5 => self.examine(),
            n @ 0xe8..=0xee => {
                let v = transcendental::constant(self.env().rounding, (n - 0xe8) as u8);
                self.load(v);
            }
            0xf0 => self.unary(transcendental::exp2_minus_1),
            0xf1 => self.both(true, transcendental::y_log2_x),
            0xf2 => self.angle_two(transcendental::tan),
            0xf3 => self.both(true, transcendental::arctan),
            0xf4 => self.extract(),
            0xf5 => self.remainder(true),
            0xf6 | 0xf7 => {
                self.status &= !C1;
                self.top =
                    if opcode & 1 == 0 { self.top.wrapping_sub(1) } else { self.top.wrapping_add(1) } & 7;
            }
            0xf8 => self.remainder(false),
            0xf9 => self.both(true, transcendental::y_log2_x_plus_1),
            0xfa => self.unary(sqrt),
            0xfb => self.angle_two(transcendental::sin_cos),
            0xfc => self.unary(convert::round_to_integer),
            0xfd => self.both(false, partial::scale),
            0xfe => self.angle(transcendental::sin),
            0xff => self.angle(transcendental::cos),
            _ => {}
        }
    }

    fn sign(&mut self, f: impl FnOnce(F80) -> F80) {
        if self.empty(0) {
            if self.underflow() {
                self.set(0, F80::INDEFINITE);
            }
            return;
        }
        self.status &= !C1;
        self.set(0, f(self.get(0)));
    }

    /// `fxam`.
    fn examine(&mut self) {
        let v = self.get(0);
        let codes = match v.class() {
            _ if self.empty(0) => C3 | C0,
            Class::Unsupported => 0,
            Class::Quiet | Class::Signalling => C0,
            Class::Normal => C2,
            Class::Infinity => C2 | C0,
            Class::Zero => C3,
            Class::Denormal => C3 | C2,
        };
        let sign = if v.is_negative() { C1 } else { 0 };
        self.status = self.status & !(C3 | C2 | C1 | C0) | codes | sign;
    }

    /// `fprem`, `fprem1`.
    fn remainder(&mut self, nearest: bool) {
        self.status &= !C2;
        if self.empty(0) || self.empty(1) {
            if self.underflow() {
                self.set(0, F80::INDEFINITE);
            }
            return;
        }
        let mut env = self.env();
        let (v, quotient) = partial::remainder(&mut env, self.get(0), self.get(1), nearest);
        if self.settle(&env) {
            return;
        }
        self.set(0, v);
        let codes = match quotient {
            partial::Quotient::None => return,
            partial::Quotient::Incomplete => C2,
            partial::Quotient::Bits(q) => {
                let bit = |n: u32, c: u16| if q >> n & 1 != 0 { c } else { 0 };
                bit(2, C0) | bit(1, C3) | bit(0, C1)
            }
        };
        self.status = self.status & !(C3 | C2 | C1 | C0) | codes;
    }

    /// `fxtract`: two results.
    fn extract(&mut self) {
        self.two(partial::extract);
    }

    /// ST(0) becomes the first of two results and the second is pushed.
    fn two(&mut self, f: impl FnOnce(&mut super::float::Env, F80) -> (F80, F80)) {
        if self.empty(0) || !self.empty(7) {
            let allowed = if self.empty(0) { self.underflow() } else { self.overflow() };
            if allowed {
                self.set(0, F80::INDEFINITE);
                self.push(F80::INDEFINITE);
            }
            return;
        }
        let mut env = self.env();
        let (under, top) = f(&mut env, self.get(0));
        if !self.settle(&env) {
            self.set(0, under);
            self.push(top);
        }
    }

    /// Sets C2 if ST(0) is beyond the range of an angle; the instruction then does nothing more.
    fn out_of_range(&mut self) -> bool {
        let v = self.get(0);
        let out = !self.empty(0) && matches!(v.class(), Class::Normal) && v.number().exp >= 63;
        if out {
            self.status = self.status & !C1 | C2;
        }
        out
    }

    fn angle(&mut self, f: fn(&mut super::float::Env, F80) -> F80) {
        self.status &= !C2;
        if !self.out_of_range() {
            self.unary(f);
        }
    }

    /// `fptan` and `fsincos`: two results of an angle.
    fn angle_two(&mut self, f: fn(&mut super::float::Env, F80) -> (F80, F80)) {
        self.status &= !C2;
        if self.empty(0) || !self.empty(7) || !self.out_of_range() {
            self.two(f);
        }
    }
}

/// The arithmetic of bits 3 to 5 of an opcode; `None` for comparisons.
fn kind(what: u8) -> Option<Binary> {
    Some(match what {
        0 => Binary::Add,
        1 => Binary::Mul,
        4 => Binary::Sub,
        5 => Binary::SubR,
        6 => Binary::Div,
        7 => Binary::DivR,
        _ => return None,
    })
}
