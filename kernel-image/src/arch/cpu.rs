//! What the processor can do (SDM vol. 2A, "CPUID"): only the feature bits of
//! leaf 1 that the kernel depends on.

use core::arch::asm;

use crate::cmdline::{Paging, options};
use crate::refuse;

/// Feature bits of CPUID leaf 1, `edx`, with the names used in messages.
const PSE: (u32, &str) = (1 << 3, "PSE (4 MiB pages)");
const TSC: (u32, &str) = (1 << 4, "TSC");
const PAE: (u32, &str) = (1 << 6, "PAE (paging=64g)");
const CX8: (u32, &str) = (1 << 8, "CX8 (cmpxchg8b)");
const APIC: (u32, &str) = (1 << 9, "APIC");
const PGE: (u32, &str) = (1 << 13, "PGE (global pages)");

/// Refuses a processor that lacks something.
pub fn check_features() {
    let present = features();
    let pae = match options().paging {
        Paging::TwoLevel => PSE,
        Paging::Pae => PAE,
    };
    for (bit, name) in [PSE, TSC, CX8, APIC, PGE, pae] {
        if present & bit == 0 {
            refuse!("cpu: no {name}; needed: an i686 with PSE, TSC, CX8, APIC and PGE");
        }
    }
}

fn features() -> u32 {
    let edx;
    // SAFETY: every i686 has CPUID; ebx, which it overwrites too, is kept.
    unsafe {
        asm!("mov {keep:e}, ebx", "cpuid", "mov ebx, {keep:e}",
            keep = out(reg) _, inout("eax") 1 => _, out("ecx") _, out("edx") edx, options(nostack));
    }
    edx
}
