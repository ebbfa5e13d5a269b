//! Reads a fuzzer's bytes as numbers. Beyond the end everything is zero, so that each input means something.

/// A cursor over the bytes.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { rest: bytes }
    }

    /// The next bytes, at most `n`.
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn dword(&mut self) -> u32 {
        u32::from(self.word()) | u32::from(self.word()) << 16
    }

    /// One of the items.
    pub(crate) fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::from(self.byte()) % items.len()]
    }

    /// A number of few bytes with values that matter in a dword: limits, page ends, signs, tables.
    pub(crate) fn interesting(&mut self) -> u32 {
        match self.byte() {
            n @ 0..0x40 => u32::from(n),
            n @ 0x40..0x80 => 0x1_0000 + (u32::from(n & 0x3f) << 10),
            0x80 => u32::MAX,
            0x81 => 0x8000_0000,
            0x82 => 0x7fff_ffff,
            0x83 => 0xffff,
            0x84 => 0x8000,
            0x85 => 0xfee0_0000,
            0x86 => 0xfec0_0000,
            n @ 0x87..0x90 => 0xfff + (u32::from(n - 0x87) << 12),
            n @ 0x90..0xc0 => u32::from(n & 0x3f) << 12,
            n @ 0xc0..0xe0 => 0x40_0000 + (u32::from(n & 0x1f) << 12),
            _ => self.dword(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }
}
