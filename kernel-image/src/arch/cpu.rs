//! What the processor can do (SDM vol. 2A, "CPUID"): only the feature bits of
//! leaf 1 that the kernel depends on, and INVPCID.

use core::arch::asm;

use crate::cmdline::{Paging, options};
use crate::refuse;

/// Feature bits of CPUID leaf 1, `edx`, with the names used in messages.
const PSE: (u32, &str) = (1 << 3, "PSE (4 MiB pages)");
const TSC: (u32, &str) = (1 << 4, "TSC");
const PAE: (u32, &str) = (1 << 6, "PAE (highmem=64g)");
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

/// INVPCID, bit of `ebx` of leaf 7.
const INVPCID: u32 = 1 << 10;

/// Refuses a processor without `invpcid`.
pub fn need_invpcid() {
    if cpuid(0)[0] < 7 || cpuid(7)[1] & INVPCID == 0 {
        refuse!("cpu: no INVPCID (how=invpcid); accepted: invlpg, cr3, pge");
    }
}

fn features() -> u32 {
    cpuid(1)[3]
}

/// `eax`, `ebx`, `ecx`, `edx` of a leaf, subleaf 0.
fn cpuid(leaf: u32) -> [u32; 4] {
    let (eax, ebx, ecx, edx);
    // SAFETY: every i686 has CPUID; ebx, which the compiler keeps for itself, is put back.
    unsafe {
        asm!("mov {keep:e}, ebx", "cpuid", "xchg {keep:e}, ebx",
            keep = out(reg) ebx, inout("eax") leaf => eax, inout("ecx") 0 => ecx, out("edx") edx, options(nostack));
    }
    [eax, ebx, ecx, edx]
}
