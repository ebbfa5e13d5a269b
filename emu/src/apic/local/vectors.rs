//! A register of one bit for each vector: ISR, TMR or IRR.

/// 256 bits, with the highest one set at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vectors {
    /// As the guest reads them.
    pub words: [u32; 8],
}

impl Vectors {
    pub fn has(&self, v: u8) -> bool {
        self.words[usize::from(v >> 5)] & 1 << (v & 31) != 0
    }

    pub fn set(&mut self, v: u8) {
        self.words[usize::from(v >> 5)] |= 1 << (v & 31);
    }

    pub fn clear(&mut self, v: u8) {
        self.words[usize::from(v >> 5)] &= !(1 << (v & 31));
    }

    pub fn highest(&self) -> Option<u8> {
        let (i, word) = self.words.iter().enumerate().rev().find(|(_, w)| **w != 0)?;
        Some((i as u32 * 32 + 31 - word.leading_zeros()) as u8)
    }
}
