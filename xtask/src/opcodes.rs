//! Proves that a linked image keeps to the P6 integer instruction set.
//!
//! Every section with code is decoded from its first byte to its last, so
//! tables do not belong there. Sections whose name ends in `16` hold
//! real-mode code and are decoded as such. Anything outside the list of
//! features below is refused: SSE, MMX and x87 first of all, which neither
//! kernel nor guest program saves over a context switch.

use anyhow::{Result, bail};
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction};

use crate::elf::Code;

/// What an image may use. `PAUSE` is a `rep nop` to a P6; the long NOPs are there since the Pentium Pro.
const ALLOWED: &[CpuidFeature] = &[
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL8086_ONLY,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::CPUID,
    CpuidFeature::CX8,
    CpuidFeature::CMOV,
    CpuidFeature::TSC,
    CpuidFeature::MSR,
    CpuidFeature::PAUSE,
    CpuidFeature::MULTIBYTENOP,
    // How to flush everything from Haswell on; the kernel looks at CPUID before it uses it (`how=invpcid`).
    CpuidFeature::INVPCID,
];

/// Decodes all of a code section and names the first instruction that does not belong.
pub fn check(code: &Code<'_>) -> Result<()> {
    let bits = if code.name.ends_with("16") { 16 } else { 32 };
    let mut decoder = Decoder::with_ip(
        bits,
        code.bytes,
        u64::from(code.address),
        // A P6 knows no TZCNT and LZCNT: their bytes are BSF and BSR with an unused prefix. LLVM
        // writes `rep bsf` where both give the same.
        DecoderOptions::NO_MPFX_0FBC | DecoderOptions::NO_MPFX_0FBD,
    );
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        let start = decoder.position();
        decoder.decode_out(&mut instruction);
        let bytes = &code.bytes[start..decoder.position()];
        if instruction.is_invalid() {
            bail!(
                "{}: {:#010x}: bytes {bytes:02x?} are no instruction; tables belong into .rodata, real-mode code into .text16",
                code.name,
                instruction.ip(),
            );
        }
        if let Some(feature) = instruction.cpuid_features().iter().find(|feature| !ALLOWED.contains(feature))
        {
            bail!(
                "{}: {:#010x}: {:?} ({bytes:02x?}) needs {feature:?}, which the images may not use",
                code.name,
                instruction.ip(),
                instruction.mnemonic(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(name: &str, bytes: &[u8]) -> Result<()> {
        check(&Code { name: name.to_owned(), address: 0x10_0000, bytes })
    }

    #[test]
    fn integer_code_passes() {
        // mov eax, cr3; invlpg [eax]; lock cmpxchg8b [edi]; pause; cmovz eax, ecx; rep bsf ecx, ebx; int3
        let bytes = [
            0x0f, 0x20, 0xd8, 0x0f, 0x01, 0x38, 0xf0, 0x0f, 0xc7, 0x0f, 0xf3, 0x90, 0x0f, 0x44, 0xc1, 0xf3,
            0x0f, 0xbc, 0xcb, 0xcc,
        ];
        verdict(".text", &bytes).unwrap();
    }

    #[test]
    fn vector_and_float_code_is_named() {
        for (bytes, name) in [
            (&[0x0f_u8, 0x28, 0xc1][..], "Movaps"),
            (&[0x0f, 0x6f, 0xc1], "Movq"),
            (&[0xd9, 0xc0], "Fld"),
            (&[0xdf, 0x28], "Fild"),
            (&[0x0f, 0xae, 0xf0], "Mfence"),
        ] {
            let message = verdict(".text", bytes).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn data_in_code_is_refused() {
        let message = verdict(".text", &[0x90, 0x0f, 0xff]).unwrap_err().to_string();
        assert!(message.contains("0x00100001"), "{message}");
    }

    #[test]
    fn real_mode_sections_are_decoded_as_such() {
        // mov ax, 0xd9d9; hlt in 16-bit mode; in 32-bit mode the immediate would swallow the hlt.
        let bytes = [0xb8, 0xd9, 0xd9, 0xf4];
        verdict(".text16", &bytes).unwrap();
        assert!(verdict(".text", &bytes).is_err());
    }
}
