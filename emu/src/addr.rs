//! The three kinds of address that must not be mixed up.
//!
//! ```text
//!  LinAddr   32 bits   what segmentation gives and the TLB looks up
//!  PhysAddr  up to 44 bits in use (36 with PAE), what the bus carries
//!  Frame     a physical page number: PhysAddr / 4 KiB
//! ```
//!
//! Only the MMU turns a linear address into a physical one; these types have
//! no conversion between the two. Inside one function plain integers are fine.

use std::fmt;

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a small page and of a frame.
pub const PAGE_SIZE: u32 = 1 << PAGE_SHIFT;

/// A linear address: after segmentation, before paging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinAddr(pub u32);

/// A physical address in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(pub u64);

/// A physical page number (4 KiB pages); 32 bits of it reach 44 address bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub u32);

impl LinAddr {
    /// The linear page number, 0..2^20.
    pub const fn page(self) -> u32 {
        self.0 >> PAGE_SHIFT
    }

    /// The offset inside the 4 KiB page.
    pub const fn offset(self) -> u32 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// The address `bytes` further on; wraps at 4 GiB as the processor does.
    pub const fn wrapping_add(self, bytes: u32) -> LinAddr {
        LinAddr(self.0.wrapping_add(bytes))
    }
}

impl PhysAddr {
    /// The frame that holds this address. Bits above 43 are cut off; no preset has that many.
    pub const fn frame(self) -> Frame {
        Frame((self.0 >> PAGE_SHIFT) as u32)
    }

    /// The offset inside the frame.
    pub const fn offset(self) -> u32 {
        self.0 as u32 & (PAGE_SIZE - 1)
    }
}

impl Frame {
    /// The physical address of the frame's first byte.
    pub const fn base(self) -> PhysAddr {
        PhysAddr((self.0 as u64) << PAGE_SHIFT)
    }

    /// The physical address `offset` bytes into the frame; the offset is taken modulo 4 KiB.
    pub const fn at(self, offset: u32) -> PhysAddr {
        PhysAddr(self.base().0 | (offset & (PAGE_SIZE - 1)) as u64)
    }
}

impl fmt::Display for LinAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#011x}", self.0)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_and_offset_make_the_address_again() {
        let pa = PhysAddr(0xf_1234_5678);
        assert_eq!(pa.frame(), Frame(0x00f1_2345));
        assert_eq!(pa.offset(), 0x678);
        assert_eq!(pa.frame().at(pa.offset()), pa);
        assert_eq!(pa.frame().base(), PhysAddr(0xf_1234_5000));
    }

    #[test]
    fn an_offset_never_leaves_its_frame() {
        assert_eq!(Frame(1).at(0x1fff), PhysAddr(0x1fff));
    }

    #[test]
    fn linear_addresses_wrap_at_four_gib() {
        assert_eq!(LinAddr(0xffff_fffe).wrapping_add(4), LinAddr(2));
        assert_eq!(LinAddr(0xffff_f123).page(), 0xf_ffff);
        assert_eq!(LinAddr(0xffff_f123).offset(), 0x123);
    }

    #[test]
    fn addresses_print_in_hex() {
        assert_eq!(LinAddr(0xc000_0000).to_string(), "0xc0000000");
        assert_eq!(PhysAddr(0xf_ffff_f000).to_string(), "0xffffff000");
        assert_eq!(PhysAddr(0x1000).to_string(), "0x000001000");
        assert_eq!(Frame(0x123).to_string(), "0x123");
    }
}
