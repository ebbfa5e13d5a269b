//! EFLAGS with lazy arithmetic flags.
//!
//! An arithmetic operation stores two words and computes no flag; a consumer
//! derives the flag that it needs. `result` is the sign-extended result, `aux`
//! holds what the result alone cannot tell:
//!
//! ```text
//!  aux  31   30   29 ... 16 15 ........ 8 7 ... 4  3  2  1  0
//!      +----+----+---------+-------------+--------+--+-----+--+
//!      | CF | PO |    -    | parity delta|   -    |AF|  -  |SD|
//!      +----+----+---------+-------------+--------+--+-----+--+
//!  CF = bit 31; OF = bit 31 xor bit 30; AF = bit 3; ZF = (result == 0)
//!  SF = sign of result xor SD; PF = even parity of (low byte of result xor parity delta)
//! ```
//!
//! CF and PO are the carries out of and into the operation's top bit, moved to
//! bits 31 and 30, so that one form serves all widths.
//! (SDM vol. 1, "EFLAGS Register".)

use super::word::Word;

/// Carry flag.
pub const CF: u32 = 1 << 0;
/// Parity flag.
pub const PF: u32 = 1 << 2;
/// Auxiliary carry flag.
pub const AF: u32 = 1 << 4;
/// Zero flag.
pub const ZF: u32 = 1 << 6;
/// Sign flag.
pub const SF: u32 = 1 << 7;
/// Trap flag: single step.
pub const TF: u32 = 1 << 8;
/// Interrupt enable flag.
pub const IF: u32 = 1 << 9;
/// Direction flag.
pub const DF: u32 = 1 << 10;
/// Overflow flag.
pub const OF: u32 = 1 << 11;
/// I/O privilege level, two bits.
pub const IOPL: u32 = 3 << 12;
/// Nested task.
pub const NT: u32 = 1 << 14;
/// Resume flag.
pub const RF: u32 = 1 << 16;
/// Virtual-8086 mode.
pub const VM: u32 = 1 << 17;
/// Alignment check.
pub const AC: u32 = 1 << 18;
/// Virtual interrupt flag.
pub const VIF: u32 = 1 << 19;
/// Virtual interrupt pending.
pub const VIP: u32 = 1 << 20;
/// CPUID can be used when this can be toggled.
pub const ID: u32 = 1 << 21;
/// The six arithmetic flags.
pub const ARITH: u32 = CF | PF | AF | ZF | SF | OF;
/// The bit that always reads one.
pub const FIXED: u32 = 1 << 1;

/// EFLAGS: lazy arithmetic flags and the stored rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Sign-extended result of the last operation that set flags.
    pub(crate) result: u32,
    /// See the drawing above.
    pub(crate) aux: u32,
    /// All flags but the six arithmetic ones.
    pub(crate) rest: u32,
}

impl Flags {
    /// Carry flag.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.aux >> 31 != 0
    }

    /// Zero flag.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.result == 0
    }

    /// Sign flag.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        (self.result >> 31) ^ (self.aux & 1) != 0
    }

    /// Overflow flag.
    #[inline(always)]
    pub fn of(&self) -> bool {
        ((self.aux >> 31) ^ (self.aux >> 30)) & 1 != 0
    }

    /// Parity flag.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        ((self.result ^ (self.aux >> 8)) & 0xff).count_ones() & 1 == 0
    }

    /// Auxiliary carry flag.
    #[inline(always)]
    pub fn af(&self) -> bool {
        self.aux & 8 != 0
    }

    /// The whole register.
    pub fn get(&self) -> u32 {
        let mut v = self.rest | FIXED;
        for (set, bit) in [
            (self.cf(), CF),
            (self.pf(), PF),
            (self.af(), AF),
            (self.zf(), ZF),
            (self.sf(), SF),
            (self.of(), OF),
        ] {
            if set {
                v |= bit;
            }
        }
        v
    }

    /// Replaces the whole register; reserved bits are forced to their fixed values.
    pub fn set(&mut self, value: u32) {
        self.rest = value & (TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID);
        self.set_arith(value);
    }

    /// Replaces the six arithmetic flags by those of `value`.
    pub fn set_arith(&mut self, value: u32) {
        // ZF decides whether the result is zero; sign and parity are then corrected by their deltas.
        let zf = value & ZF != 0;
        self.result = u32::from(!zf) << 8; // low byte zero: even parity, sign clear
        let mut aux = 0;
        if value & CF != 0 {
            aux |= 1 << 31;
        }
        if (value & CF != 0) != (value & OF != 0) {
            aux |= 1 << 30;
        }
        if value & AF != 0 {
            aux |= 8;
        }
        if value & SF != 0 {
            aux |= 1;
        }
        if value & PF == 0 {
            aux |= 1 << 8;
        }
        self.aux = aux;
    }

    /// Sets or clears one of the arithmetic flags, keeping the others.
    pub fn put(&mut self, bit: u32, on: bool) {
        let v = self.get() & !bit;
        self.set_arith(if on { v | bit } else { v });
    }

    /// Sets CF and leaves the other flags.
    #[inline(always)]
    pub fn set_cf(&mut self, on: bool) {
        let of = self.of();
        let cf = u32::from(on);
        self.aux = (self.aux & 0x3fff_ffff) | (cf << 31) | ((cf ^ u32::from(of)) << 30);
    }

    /// Flags of a logical operation: CF = OF = AF = 0.
    #[inline(always)]
    pub fn logic<W: Word>(&mut self, result: W) {
        self.result = result.sign_extend();
        self.aux = 0;
    }

    /// Flags of an addition `a + b (+ carry) = r`.
    #[inline(always)]
    pub fn add<W: Word>(&mut self, a: W, b: W, r: W) {
        let (a, b, r) = (a.to_u32(), b.to_u32(), r.to_u32());
        self.arith::<W>((a & b) | ((a | b) & !r), r);
    }

    /// Flags of a subtraction `a - b (- borrow) = r`.
    #[inline(always)]
    pub fn sub<W: Word>(&mut self, a: W, b: W, r: W) {
        let (a, b, r) = (a.to_u32(), b.to_u32(), r.to_u32());
        self.arith::<W>((!a & b) | ((!a | b) & r), r);
    }

    #[inline(always)]
    fn arith<W: Word>(&mut self, carries: u32, r: u32) {
        self.result = W::from_u32(r).sign_extend();
        // Bits 31 and 30: carry out of and into the top bit. Bit 3 stays for AF.
        self.aux = if W::BITS == 32 {
            carries & 0xc000_0008
        } else {
            ((carries << (32 - W::BITS)) & 0xc000_0000) | (carries & 8)
        };
    }

    /// Flags of `a + 1 = r`: as an addition, but CF is kept.
    #[inline(always)]
    pub fn inc<W: Word>(&mut self, a: W, r: W) {
        let cf = self.cf();
        self.add(a, W::from_u32(1), r);
        self.set_cf(cf);
    }

    /// Flags of `a - 1 = r`: as a subtraction, but CF is kept.
    #[inline(always)]
    pub fn dec<W: Word>(&mut self, a: W, r: W) {
        let cf = self.cf();
        self.sub(a, W::from_u32(1), r);
        self.set_cf(cf);
    }

    /// Flags of a shift: CF and OF as given, AF clear, the rest by the result.
    #[inline(always)]
    pub fn shifted<W: Word>(&mut self, result: W, cf: bool, of: bool) {
        self.result = result.sign_extend();
        self.aux = u32::from(cf) << 31 | u32::from(cf != of) << 30;
    }

    /// Flags of a rotate: CF and OF as given, the others stay.
    #[inline(always)]
    pub fn rotated(&mut self, cf: bool, of: bool) {
        self.aux = (self.aux & 0x3fff_ffff) | u32::from(cf) << 31 | u32::from(cf != of) << 30;
    }

    /// Condition code `cc` of Jcc, SETcc and CMOVcc (0 = O ... 15 = G).
    #[inline(always)]
    pub fn condition(&self, cc: u8) -> bool {
        let v = match (cc >> 1) & 7 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        v != (cc & 1 != 0)
    }

    /// IF: maskable interrupts are taken.
    #[inline(always)]
    pub fn interrupts(&self) -> bool {
        self.rest & IF != 0
    }

    /// I/O privilege level, 0..=3.
    #[inline(always)]
    pub fn iopl(&self) -> u8 {
        ((self.rest & IOPL) >> 12) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference_add8(a: u8, b: u8, c: u8) -> (u8, u32) {
        let wide = u32::from(a) + u32::from(b) + u32::from(c);
        let r = wide as u8;
        let mut f = 0;
        if wide > 0xff {
            f |= CF;
        }
        if r.count_ones().is_multiple_of(2) {
            f |= PF;
        }
        if (a & 15) + (b & 15) + c > 15 {
            f |= AF;
        }
        if r == 0 {
            f |= ZF;
        }
        if r & 0x80 != 0 {
            f |= SF;
        }
        if (a ^ r) & (b ^ r) & 0x80 != 0 {
            f |= OF;
        }
        (r, f)
    }

    #[test]
    fn eight_bit_additions_and_subtractions_set_every_flag_right() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                for c in 0..=1u8 {
                    let (r, want) = reference_add8(a, b, c);
                    let mut f = Flags::default();
                    f.add(a, b, r);
                    assert_eq!(f.get() & ARITH, want, "{a:#x} + {b:#x} + {c}");
                    // a - b - c is a + !b + !c with carry and auxiliary carry inverted.
                    let (r, want) = reference_add8(a, !b, 1 - c);
                    f.sub(a, b, r);
                    assert_eq!(f.get() & ARITH, want ^ (CF | AF), "{a:#x} - {b:#x} - {c}");
                }
            }
        }
    }

    #[test]
    fn every_set_of_flags_can_be_stored() {
        for v in 0..64u32 {
            let value = [CF, PF, AF, ZF, SF, OF]
                .iter()
                .enumerate()
                .map(|(i, f)| if v >> i & 1 != 0 { *f } else { 0 })
                .sum::<u32>();
            let mut f = Flags::default();
            f.set(value);
            assert_eq!(f.get() & ARITH, value);
            f.set_cf(true);
            assert_eq!(f.get() & ARITH, value | CF);
            f.set_cf(false);
            assert_eq!(f.get() & ARITH, value & !CF);
        }
    }

    #[test]
    fn inc_keeps_carry() {
        let mut f = Flags::default();
        f.set_cf(true);
        f.inc(0x7fff_ffffu32, 0x8000_0000u32);
        assert!(f.cf() && f.of() && f.sf() && !f.zf());
    }
}
