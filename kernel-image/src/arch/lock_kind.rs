//! Which kind of lock the shared windows have (`lock=`), as a jump in the code that is put there at boot.
//!
//! Each place stands in the image as an instruction of five bytes that does nothing, as long as a jump, and
//! is in a list that the assembler makes, with the address to jump to: the static keys of Linux. So the
//! usual kind costs no look at a variable.

use core::arch::asm;

unsafe extern "C" {
    /// Pairs of addresses: a place in the code, and where a jump there leads; see `linker.ld`.
    static lock_sites: [u32; 0];
    static lock_sites_end: [u32; 0];
}

/// `jmp rel32`
const JUMP: u8 = 0xe9;
/// Bytes of a jump.
const LENGTH: u32 = 5;

/// Are there tickets?
#[inline(always)]
pub fn is_ticket() -> bool {
    // SAFETY: does nothing, or jumps to the block.
    unsafe {
        asm!(
            "2:",
            ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
            ".pushsection .lock_sites, \"a\"",
            ".long 2b, {ticket}",
            ".popsection",
            ticket = label { return true },
            options(nomem, nostack, preserves_flags),
        );
    }
    false
}

/// From here on there are. On the boot processor, on the boot page tables, which let code be written, before the
/// first lock of this kind is taken.
pub fn set_ticket() {
    let mut at = &raw const lock_sites as *const u32;
    while at < &raw const lock_sites_end as *const u32 {
        // SAFETY: `at` is in the list of pairs; nobody else runs, and the processor sees changed code from the next
        // jump on (SDM vol. 3A, "Self-Modifying Code").
        unsafe {
            let (place, target) = (at.read(), at.add(1).read());
            assert!((place as *const u8).read_volatile() == 0x0f, "no place for a jump at {place:#x}");
            (place as *mut u8).write_volatile(JUMP);
            (place as *mut u32).byte_add(1).write_unaligned(target.wrapping_sub(place + LENGTH));
            at = at.add(2);
        }
    }
}
