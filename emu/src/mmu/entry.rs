//! Page-table entry formats.
//!
//! ```text
//!  two-level PDE/PTE, 32 bits
//!  31 .............. 12 11 . 9  8   7    6 5  4   3   2   1   0
//! | frame              | avail | G |PS/-| D A |PCD|PWT|U/S|R/W| P |
//!
//!  PDE with PS (CR4.PSE): 31..22 frame, 21..13 reserved or, with PSE-36,
//!  20..13 = physical bits 39..32, 12 PAT
//!
//!  PAE entries: the same low bits in 64; frame in bits 35..12 (P6), the rest
//!  reserved; PDPTE: only P, PWT, PCD, avail, frame. Large PDE: 35..21.
//! ```
//!
//! (SDM vol. 3A, "Paging".)

/// Present.
pub const P: u64 = 1;
/// Writable.
pub const RW: u64 = 1 << 1;
/// User may access.
pub const US: u64 = 1 << 2;
/// Accessed.
pub const A: u64 = 1 << 5;
/// Dirty.
pub const D: u64 = 1 << 6;
/// Page size, in a PDE.
pub const PS: u64 = 1 << 7;
/// Global.
pub const G: u64 = 1 << 8;

/// Frame number of a 4 KiB page or page table named by a two-level entry.
pub fn frame_of_32(entry: u64) -> u32 {
    (entry as u32) >> 12
}

/// First frame of the 4 MiB page named by a two-level PDE, PSE-36 included.
pub fn large_frame_of_32(pde: u64) -> u32 {
    let high = ((pde >> 13) & 0xff) as u32;
    ((pde as u32) >> 22 << 10) | (high & 0xf) << 20
}

/// Frame number of a 4 KiB page or table named by a PAE entry.
pub fn frame_of_pae(entry: u64) -> u32 {
    ((entry >> 12) & 0x00ff_ffff) as u32
}

/// First frame of the 2 MiB page named by a PAE PDE.
pub fn large_frame_of_pae(pde: u64) -> u32 {
    frame_of_pae(pde) & !0x1ff
}

/// Reserved bits of a two-level PDE that maps a 4 MiB page: with 36 physical address bits PSE-36 uses bits 13 to 16.
pub const LARGE_RESERVED: u64 = 0x3e_0000;
/// The same without PSE-36.
pub const LARGE_RESERVED_32: u64 = 0x3f_e000;
/// Reserved bits of a PAE PTE or a PDE that names a table, for 36 physical address bits without NX.
pub const PAE_RESERVED: u64 = 0xffff_fff0_0000_0000;
/// Reserved bits of a PAE PDE that maps a 2 MiB page (bit 12 is PAT).
pub const PAE_LARGE_RESERVED: u64 = PAE_RESERVED | 0x1f_e000;
/// Reserved bits of a PDPTE.
pub const PDPTE_RESERVED: u64 = PAE_RESERVED | 0x1e6;
