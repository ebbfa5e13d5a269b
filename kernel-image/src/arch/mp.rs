//! Which processors there are, from the tables of the MultiProcessor
//! Specification 1.4, chapter 4: a floating pointer, marked `_MP_`, leads to a
//! configuration table, marked `PCMP`, with one entry of 20 bytes per processor.
//! Without tables there is one processor.

use crate::memlayout::{IMAGE_SPAN, low_phys};
use crate::param::NCPU;

/// Entry types; all but the first have 8 bytes.
const PROCESSOR: u8 = 0;
const PROCESSOR_BYTES: u32 = 20;
const OTHER_BYTES: u32 = 8;
/// Flags of a processor entry.
const USABLE: u8 = 1;
const BOOT: u8 = 2;

/// The APIC ids of the processors, the boot processor's first.
pub struct Processors {
    ids: [u8; NCPU],
    count: usize,
}

impl Processors {
    /// APIC ids in the order of processor numbers.
    pub fn ids(&self) -> &[u8] {
        &self.ids[..self.count]
    }
}

/// Finds the processors; `boot_id` is the APIC id of this one.
pub fn discover(boot_id: u8) -> Processors {
    let mut found = Processors { ids: [0; NCPU], count: 1 };
    found.ids[0] = boot_id;
    let Some(table) =
        floating_pointer().map(|at| word(at + 4)).filter(|&table| table != 0 && is_table(table))
    else {
        return found;
    };
    let mut at = table + 44;
    for _ in 0..half(table + 34) {
        if byte(at) != PROCESSOR {
            at += OTHER_BYTES;
            continue;
        }
        let (id, flags) = (byte(at + 1), byte(at + 3));
        if flags & USABLE != 0 && flags & BOOT == 0 && id != boot_id && found.count < NCPU {
            found.ids[found.count] = id;
            found.count += 1;
        }
        at += PROCESSOR_BYTES;
    }
    found
}

/// Searches the first KiB of the extended BIOS data area, the last KiB of base memory and the BIOS ROM, in the specification's order.
fn floating_pointer() -> Option<u32> {
    let ebda = u32::from(half(0x40e)) << 4;
    let base_end = u32::from(half(0x413)) << 10;
    let areas = [(ebda, 1024), (base_end.wrapping_sub(1024), 1024), (0xf_0000, 0x1_0000)];
    areas
        .into_iter()
        .filter(|&(start, bytes)| (0x400..=(1 << 20) - bytes).contains(&start))
        .flat_map(|(start, bytes)| (start..start + bytes).step_by(16))
        .find(|&at| word(at) == u32::from_le_bytes(*b"_MP_") && sum(at, 16) == 0)
}

fn is_table(at: u32) -> bool {
    at < IMAGE_SPAN - 0x1_0000
        && word(at) == u32::from_le_bytes(*b"PCMP")
        && sum(at, u32::from(half(at + 4))) == 0
}

fn sum(at: u32, bytes: u32) -> u8 {
    (at..at + bytes).fold(0, |sum, at| sum.wrapping_add(byte(at)))
}

fn byte(at: u32) -> u8 {
    // SAFETY: `low_phys` checks the range; firmware memory is read only here.
    unsafe { low_phys(at).read_volatile() }
}

fn half(at: u32) -> u16 {
    u16::from_le_bytes([byte(at), byte(at + 1)])
}

fn word(at: u32) -> u32 {
    u32::from(half(at)) | u32::from(half(at + 2)) << 16
}
