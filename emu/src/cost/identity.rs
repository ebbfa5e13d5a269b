//! Who the processor says it is: vendor, signature and feature flags as CPUID
//! gives them (`SDM vol. 2A, "CPUID"`). Only features that the emulator models
//! are listed, so a guest that believes CPUID meets nothing unmodelled.

use serde::Deserialize;

/// Identification: the inputs of CPUID leaves 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpuid {
    /// Exactly twelve ASCII characters.
    pub vendor: String,
    /// Display family, 0..=15 (no extended family).
    pub family: u32,
    /// Display model, 0..=255 (extended model in its upper half).
    pub model: u32,
    /// Stepping, 0..=15.
    pub stepping: u32,
}

impl Cpuid {
    /// EAX of leaf 1, also EDX after reset.
    pub fn signature(&self) -> u32 {
        self.stepping | (self.model & 0xf) << 4 | self.family << 8 | (self.model >> 4) << 16
    }

    /// EBX, EDX and ECX of leaf 0, in the order in which they spell the vendor.
    pub fn vendor_words(&self) -> [u32; 3] {
        let mut bytes = [0; 12];
        for (to, from) in bytes.iter_mut().zip(self.vendor.bytes()) {
            *to = from;
        }
        let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        [word(0), word(4), word(8)]
    }

    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.vendor.len() != 12 || !self.vendor.is_ascii() {
            return Err(("cpuid.vendor", format!("is '{}'; accepted are 12 ASCII characters", self.vendor)));
        }
        for (key, value, high) in [
            ("cpuid.family", self.family, 15),
            ("cpuid.model", self.model, 255),
            ("cpuid.stepping", self.stepping, 15),
        ] {
            if value > high {
                return Err((key, format!("is {value}; accepted are 0 to {high}")));
            }
        }
        Ok(())
    }
}

/// Declares the features once: key and bit of leaf 1 EDX.
macro_rules! features {
    ($($name:ident $bit:literal $text:literal,)*) => {
        /// What the processor can do, flag by flag.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Features {
            $(#[doc = $text] pub $name: bool,)*
            /// INVPCID (leaf 7 EBX bit 10).
            pub invpcid: bool,
        }

        impl Features {
            /// The keys of the `[features]` table.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)* "invpcid"];

            /// EDX of leaf 1.
            pub fn edx(&self) -> u32 {
                $(u32::from(self.$name) << $bit)|*
            }

            /// EBX of leaf 7, sub-leaf 0.
            pub fn leaf7_ebx(&self) -> u32 {
                u32::from(self.invpcid) << 10
            }

            pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut bool> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    "invpcid" => Some(&mut self.invpcid),
                    _ => None,
                }
            }
        }
    };
}

features! {
    fpu 0 "x87.",
    pse 3 "4 MiB pages.",
    tsc 4 "Time-stamp counter.",
    msr 5 "RDMSR and WRMSR.",
    pae 6 "Physical address extension: 8-byte page-table entries, 2 MiB pages.",
    cx8 8 "CMPXCHG8B.",
    apic 9 "Local APIC.",
    sep 11 "SYSENTER and SYSEXIT.",
    mtrr 12 "Memory type range registers (storage only).",
    pge 13 "Global pages.",
    cmov 15 "CMOVcc.",
    pse36 17 "4 MiB pages above 4 GiB.",
    fxsr 24 "FXSAVE and FXRSTOR.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_puts_the_extended_model_where_the_manual_says() {
        let id = |model, stepping| Cpuid { vendor: "GenuineIntel".into(), family: 6, model, stepping };
        assert_eq!(id(8, 3).signature(), 0x683);
        assert_eq!(id(0x3f, 2).signature(), 0x306f2);
    }

    #[test]
    fn vendor_is_spelt_in_three_words() {
        let id = Cpuid { vendor: "GenuineIntel".into(), family: 6, model: 8, stepping: 3 };
        assert_eq!(id.vendor_words(), [0x756e_6547, 0x4965_6e69, 0x6c65_746e]);
    }
}
