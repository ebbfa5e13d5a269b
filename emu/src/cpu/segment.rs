//! Segment registers: selector, cached descriptor, and the limits in the form
//! that the fast path compares.
//!
//! (SDM vol. 3A, "Segment Descriptors".) Attributes are kept as in the high
//! dword of a descriptor, shifted right by 8:
//!
//! ```text
//!  15  14  13  12  11..8   7   6..5   4   3..0
//! | G | D | 0 | A |  -   | P | DPL  | S | type |
//! ```

/// Attribute bits of a cached descriptor.
pub mod attr {
    /// Accessed (type bit 0 of code and data segments).
    pub const ACCESSED: u16 = 1 << 0;
    /// Writable (data) or readable (code).
    pub const RW: u16 = 1 << 1;
    /// Expand-down (data) or conforming (code).
    pub const DOWN_OR_CONFORMING: u16 = 1 << 2;
    /// Code segment.
    pub const CODE: u16 = 1 << 3;
    /// Code or data, not a system segment.
    pub const S: u16 = 1 << 4;
    /// Present.
    pub const PRESENT: u16 = 1 << 7;
    /// Default operation size is 32 bits (code), stack pointer is ESP (stack).
    pub const BIG: u16 = 1 << 14;
    /// Limit counts 4 KiB units.
    pub const GRANULAR: u16 = 1 << 15;
}

/// A segment register with its descriptor cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Base linear address.
    pub base: u32,
    /// Limit in bytes (granularity already applied).
    pub limit: u32,
    /// Attributes; 0 when unusable (null selector).
    pub attr: u16,
    /// Offsets below this may be read with up to 4 bytes without further checks.
    pub(crate) read_end: u32,
    /// Offsets below this may be written with up to 4 bytes without further checks.
    pub(crate) write_end: u32,
}

impl Segment {
    /// A segment register with this content.
    pub fn new(selector: u16, base: u32, limit: u32, attr: u16) -> Segment {
        let mut s = Segment { selector, base, limit, attr, read_end: 0, write_end: 0 };
        s.refresh();
        s
    }

    /// As after a load in real or virtual-8086 mode: base = selector * 16, limit 64 KiB, everything allowed.
    pub fn real(selector: u16) -> Segment {
        Segment::new(
            selector,
            u32::from(selector) << 4,
            0xffff,
            attr::PRESENT | attr::S | attr::RW | attr::ACCESSED,
        )
    }

    /// Flat data or stack segment, base 0 and limit 4 GiB.
    pub fn flat(selector: u16, attr: u16) -> Segment {
        Segment::new(selector, 0, u32::MAX, attr | attr::GRANULAR)
    }

    /// Recomputes the fast limits after a change of base, limit or attributes.
    pub fn refresh(&mut self) {
        let up = self.attr & attr::PRESENT != 0
            && self.attr & attr::S != 0
            && (self.attr & attr::CODE != 0 || self.attr & attr::DOWN_OR_CONFORMING == 0);
        let end = if up { self.limit.saturating_sub(2) } else { 0 };
        self.read_end = if self.readable() { end } else { 0 };
        self.write_end = if self.writable() { end } else { 0 };
    }

    /// Data segment, or readable code segment.
    pub fn readable(&self) -> bool {
        self.attr & attr::PRESENT != 0 && (self.attr & attr::CODE == 0 || self.attr & attr::RW != 0)
    }

    /// Writable data segment.
    pub fn writable(&self) -> bool {
        self.attr & attr::PRESENT != 0 && self.attr & attr::CODE == 0 && self.attr & attr::RW != 0
    }

    /// Default operand size (CS) or stack pointer size (SS) is 32 bits.
    pub fn big(&self) -> bool {
        self.attr & attr::BIG != 0
    }

    /// Descriptor privilege level.
    pub fn dpl(&self) -> u8 {
        ((self.attr >> 5) & 3) as u8
    }

    /// Do `size` bytes at `offset` lie within the limit?
    pub fn contains(&self, offset: u32, size: u32) -> bool {
        let Some(last) = offset.checked_add(size - 1) else {
            // An access that wraps at 4 GiB is allowed only by a flat segment.
            return self.limit == u32::MAX
                && self.attr & (attr::CODE | attr::DOWN_OR_CONFORMING) != attr::DOWN_OR_CONFORMING;
        };
        if self.attr & (attr::S | attr::CODE | attr::DOWN_OR_CONFORMING) == attr::S | attr::DOWN_OR_CONFORMING
        {
            let top = if self.big() { u32::MAX } else { 0xffff };
            offset > self.limit && last <= top
        } else {
            last <= self.limit
        }
    }

    /// Base 0, limit 4 GiB, expand-up, readable and writable: needs no checks.
    pub fn is_flat_data(&self) -> bool {
        self.base == 0 && self.write_end == u32::MAX - 2
    }
}
