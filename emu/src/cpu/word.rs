//! Operand widths: one trait, so that a handler is written once for 8, 16 and 32 bits.

/// An unsigned operand of 8, 16 or 32 bits.
pub trait Word: Copy + Eq + Default + std::fmt::Debug + 'static {
    /// Width in bits.
    const BITS: u32;
    /// Width in bytes.
    const BYTES: u32;
    /// The low bits of `v`.
    fn from_u32(v: u32) -> Self;
    /// Zero-extended.
    fn to_u32(self) -> u32;
    /// Sign-extended to 32 bits.
    fn sign_extend(self) -> u32;
    /// Reads from the first bytes of `bytes`, little-endian; `None` when they are too few.
    fn get(bytes: &[u8], at: usize) -> Option<Self>;
    /// Writes to `bytes` at `at`, little-endian; false when they are too few.
    fn put(self, bytes: &mut [u8], at: usize) -> bool;
    /// The register `index` (0..=7; for bytes AL, CL, DL, BL, AH, CH, DH, BH).
    fn reg(regs: &[u32; 16], index: u8) -> Self;
    /// Writes register `index`, keeping the bits that the width does not cover.
    fn set_reg(self, regs: &mut [u32; 16], index: u8);
}

macro_rules! word {
    ($t:ty, $signed:ty, $bits:literal, |$regs:ident, $i:ident| $get:expr, |$v:ident| $set:expr) => {
        impl Word for $t {
            const BITS: u32 = $bits;
            const BYTES: u32 = $bits / 8;
            #[inline(always)]
            fn from_u32(v: u32) -> Self {
                v as $t
            }
            #[inline(always)]
            fn to_u32(self) -> u32 {
                self as u32
            }
            #[inline(always)]
            fn sign_extend(self) -> u32 {
                self as $signed as i32 as u32
            }
            #[inline(always)]
            fn get(bytes: &[u8], at: usize) -> Option<Self> {
                let b = bytes.get(at..)?.first_chunk::<{ $bits / 8 }>()?;
                Some(<$t>::from_le_bytes(*b))
            }
            #[inline(always)]
            fn put(self, bytes: &mut [u8], at: usize) -> bool {
                match bytes.get_mut(at..).and_then(|b| b.first_chunk_mut::<{ $bits / 8 }>()) {
                    Some(b) => {
                        *b = self.to_le_bytes();
                        true
                    }
                    None => false,
                }
            }
            #[inline(always)]
            fn reg($regs: &[u32; 16], $i: u8) -> Self {
                $get
            }
            #[inline(always)]
            fn set_reg(self, $regs: &mut [u32; 16], $i: u8) {
                let $v = self;
                $set
            }
        }
    };
}

word!(u32, i32, 32, |regs, i| regs[(i & 7) as usize], |v| regs[(i & 7) as usize] = v);
word!(u16, i16, 16, |regs, i| regs[(i & 7) as usize] as u16, |v| {
    let r = &mut regs[(i & 7) as usize];
    *r = (*r & 0xffff_0000) | u32::from(v);
});
word!(u8, i8, 8, |regs, i| (regs[(i & 3) as usize] >> ((i & 4) * 2)) as u8, |v| {
    let shift = (i & 4) * 2;
    let r = &mut regs[(i & 3) as usize];
    *r = (*r & !(0xff << shift)) | (u32::from(v) << shift);
});
