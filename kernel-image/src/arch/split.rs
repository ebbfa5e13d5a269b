//! Where the kernel's half begins, as a constant in the code that is changed at boot (`split=`).
//!
//! Each address in the direct map is a sum with it, so it is no variable: that
//! would be one more memory operand in every walk of a page table. It stands in
//! the code as the last four bytes of an instruction, and each such place is in a
//! list that the assembler makes (Linux has had the like since 6.11, "runtime constants").

use core::arch::asm;

/// What stands in the image: 3 GiB for the user.
const AS_BUILT: u32 = 0xC000_0000;

unsafe extern "C" {
    /// Addresses of the constant's places in the code; see `linker.ld`.
    static split_sites: [u32; 0];
    static split_sites_end: [u32; 0];
}

/// Where the direct map begins.
#[inline(always)]
pub fn page_offset() -> u32 {
    let value;
    // SAFETY: loads a constant.
    unsafe {
        asm!(
            "mov {value}, {constant}",
            "2:",
            ".pushsection .split_sites, \"a\"",
            ".long 2b - 4",
            ".popsection",
            value = out(reg) value,
            constant = const AS_BUILT,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    value
}

/// The sum of it and `phys`.
#[inline(always)]
pub fn direct(phys: u32) -> u32 {
    let address;
    // SAFETY: adds a constant.
    unsafe {
        asm!(
            "lea {address}, [{phys} + {constant}]",
            "2:",
            ".pushsection .split_sites, \"a\"",
            ".long 2b - 4",
            ".popsection",
            address = out(reg) address,
            phys = in(reg) phys,
            constant = const AS_BUILT,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    address
}

/// Lets the direct map begin elsewhere. On the boot processor before anything uses it, on the boot page tables, which let
/// code be written.
///
/// Not inlined: the compiler takes the constant for one, and may load it early, but not before a call.
#[inline(never)]
pub fn set_page_offset(value: u32) {
    if value == AS_BUILT {
        return;
    }
    let mut at = &raw const split_sites as *const u32;
    while at < &raw const split_sites_end as *const u32 {
        // SAFETY: `at` is in the list, whose elements are places of the constant; nobody else runs, and the processor
        // sees changed code from the next jump on (SDM vol. 3A, "Self-Modifying Code").
        unsafe {
            let place = at.read() as *mut u32;
            assert!(place.read_unaligned() == AS_BUILT, "another constant at {place:?}");
            place.write_unaligned(value);
            at = at.add(1);
        }
    }
}
