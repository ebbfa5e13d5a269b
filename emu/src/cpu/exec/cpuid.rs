//! What CPUID answers.
//!
//! Leaves 0 and 1, and leaf 7 where the preset has `invpcid`. Cache and TLB
//! descriptors (leaf 2), topology and extended leaves are left out: a leaf beyond
//! the last basic one answers as the last one does, as on these processors.
//! Nothing is promised that the emulator does not model, and what a preset does not promise is not there: instructions
//! are undefined ([`Identity::offers`]), bits of CR4 and model-specific registers reserved.
//! (SDM vol. 2A, `CPUID`.)

use crate::cost::Preset;
use crate::cpu::Cpu;
use iced_x86::{CpuidFeature, Instruction};

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
    /// RDMSR and WRMSR.
    pub const MSR: u32 = 1 << 5;
    /// PAE.
    pub const PAE: u32 = 1 << 6;
    /// CMPXCHG8B.
    pub const CX8: u32 = 1 << 8;
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
    /// CMOVcc, and FCMOVcc with an x87 unit.
    pub const CMOV: u32 = 1 << 15;
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

    /// Is this instruction there? Without a unit x87 instructions are there and raise #NM.
    pub fn offers(&self, i: &Instruction) -> bool {
        i.cpuid_features().iter().all(|f| match f {
            CpuidFeature::TSC => self.has(feature::TSC),
            CpuidFeature::MSR => self.has(feature::MSR),
            CpuidFeature::CX8 => self.has(feature::CX8),
            CpuidFeature::SEP => self.has(feature::SEP),
            CpuidFeature::CMOV => self.has(feature::CMOV),
            CpuidFeature::FXSR => self.has(feature::FXSR),
            CpuidFeature::INVPCID => self.extended & INVPCID != 0,
            _ => true,
        })
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
    use iced_x86::{Decoder, DecoderOptions};

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
    }

    #[test]
    fn what_is_not_announced_is_not_there() {
        let codes: [(&str, &[u8]); 7] = [
            ("tsc", &[0x0f, 0x31]),
            ("msr", &[0x0f, 0x30]),
            ("cx8", &[0x0f, 0xc7, 0x0b]),
            ("sep", &[0x0f, 0x34]),
            ("cmov", &[0x0f, 0x40, 0xc1]),
            ("fxsr", &[0x0f, 0xae, 0x03]),
            ("invpcid", &[0x66, 0x0f, 0x38, 0x82, 0x03]),
        ];
        let mut preset = Preset::builtin("haswell-ep").expect("built-in preset");
        for (name, code) in codes {
            let i = Decoder::new(32, code, DecoderOptions::NONE).decode();
            assert!(Identity::new(&preset).offers(&i), "{name}");
            preset.set(&format!("features.{name}"), "false").expect("a feature");
            assert!(!Identity::new(&preset).offers(&i), "{name}");
        }
    }
}
