//! What CPUID answers.
//!
//! Leaves 0 and 1, and leaf 7 where the preset has `invpcid`. Cache and TLB
//! descriptors (leaf 2), topology and extended leaves are left out: a leaf beyond
//! the last basic one answers as the last one does, as on these processors.
//! Nothing is promised that the emulator does not model.
//! (SDM vol. 2A, `CPUID`.)

use crate::cost::Preset;
use crate::cpu::Cpu;

/// Bits of EDX of leaf 1.
pub mod feature {
    /// x87.
    pub const FPU: u32 = 1 << 0;
    /// Debugging extensions.
    pub const DE: u32 = 1 << 2;
    /// 4 MiB pages.
    pub const PSE: u32 = 1 << 3;
    /// RDTSC.
    pub const TSC: u32 = 1 << 4;
    /// PAE.
    pub const PAE: u32 = 1 << 6;
    /// Local APIC, present and enabled.
    pub const APIC: u32 = 1 << 9;
    /// SYSENTER.
    pub const SEP: u32 = 1 << 11;
    /// Memory type range registers.
    pub const MTRR: u32 = 1 << 12;
    /// Global pages.
    pub const PGE: u32 = 1 << 13;
    /// Physical addresses of 36 bits in 4 MiB pages.
    pub const PSE36: u32 = 1 << 17;
    /// FXSAVE and FXRSTOR.
    pub const FXSR: u32 = 1 << 24;
}

/// INVPCID, bit of EBX of leaf 7.
const INVPCID: u32 = 1 << 10;

/// Identity of a processor: the fixed part of what CPUID answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Family, model and stepping: EAX of leaf 1, and EDX after reset.
    pub signature: u32,
    vendor: [u32; 3],
    features: u32,
    extended: u32,
}

impl Identity {
    /// The identity that a preset describes.
    pub fn new(preset: &Preset) -> Identity {
        Identity {
            signature: preset.cpuid.signature(),
            vendor: preset.cpuid.vendor_words(),
            features: preset.features.edx() | feature::DE,
            extended: preset.features.leaf7_ebx(),
        }
    }

    /// Are all these features of leaf 1 EDX there?
    pub fn has(&self, features: u32) -> bool {
        self.features & features == features
    }

    /// Is INVPCID there?
    pub fn has_invpcid(&self) -> bool {
        self.extended & INVPCID != 0
    }

    /// EAX, EBX, ECX, EDX for `leaf` on the processor with this APIC id.
    fn leaf(&self, leaf: u32, apic_id: u8, apic: ApicState) -> [u32; 4] {
        let last = if self.extended != 0 { 7 } else { 1 };
        let [ebx, edx, ecx] = self.vendor;
        match leaf.min(last) {
            0 => [last, ebx, ecx, edx],
            1 => {
                let hidden = if apic == ApicState::Off { feature::APIC } else { 0 };
                [self.signature, u32::from(apic_id) << 24, 0, self.features & !hidden]
            }
            7 => [0, self.extended, 0, 0],
            _ => [0; 4],
        }
    }
}

/// IA32_APIC_BASE.E: software can switch the local APIC off, and CPUID then hides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApicState {
    On,
    Off,
}

/// EAX, EBX, ECX, EDX for `leaf` on this processor.
pub fn leaf(cpu: &Cpu, leaf: u32) -> [u32; 4] {
    let apic = if cpu.msr.apic_base & 1 << 11 != 0 { ApicState::On } else { ApicState::Off };
    cpu.identity.leaf(leaf, cpu.id as u8, apic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(preset: &str) -> Identity {
        Identity::new(&Preset::builtin(preset).expect("built-in preset"))
    }

    #[test]
    fn p3_has_two_leaves_and_an_x87() {
        let p3 = identity("p3");
        let zero = p3.leaf(0, 0, ApicState::On);
        assert_eq!(
            zero,
            [1, u32::from_le_bytes(*b"Genu"), u32::from_le_bytes(*b"ntel"), u32::from_le_bytes(*b"ineI")]
        );
        let one = p3.leaf(1, 3, ApicState::On);
        assert_eq!(one[0], 0x683);
        assert_eq!(one[1] >> 24, 3);
        assert!(p3.has(feature::FPU | feature::FXSR));
        assert!(p3.has(feature::PSE | feature::PGE | feature::PAE | feature::APIC));
        assert_eq!(p3.leaf(0x8000_0000, 3, ApicState::On), one, "beyond the last leaf: the last leaf");
    }

    #[test]
    fn an_apic_switched_off_is_hidden() {
        let p3 = identity("p3");
        assert_ne!(p3.leaf(1, 0, ApicState::On)[3] & feature::APIC, 0);
        assert_eq!(p3.leaf(1, 0, ApicState::Off)[3] & feature::APIC, 0);
    }

    #[test]
    fn haswell_offers_invpcid() {
        let h = identity("haswell-ep");
        assert_eq!(h.leaf(0, 0, ApicState::On)[0], 7);
        assert_eq!(h.leaf(7, 0, ApicState::On)[1], INVPCID);
        assert_eq!(h.leaf(2, 0, ApicState::On), [0; 4]);
        assert!(h.has_invpcid() && !identity("p3").has_invpcid());
    }
}
