//! The forms of instructions, found by decoding every opcode: nothing is listed that could be forgotten.
//!
//! A form is what the decoder calls a code (`Add_rm32_r32`), apart for a register and for memory. Its templates are the
//! opcodes, with or without the prefix 66, that decode to it.

use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};
use std::collections::BTreeMap;

/// Opcode bytes of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// With the prefix 66.
    pub narrow: bool,
    /// In the second opcode map (0F).
    pub second: bool,
    pub opcode: u8,
    /// The byte behind the opcode; its last field is free but for x87 instructions without memory.
    pub modrm: u8,
}

/// A form.
#[derive(Clone, Debug)]
pub struct Form {
    pub code: Code,
    /// With an operand in memory.
    pub memory: bool,
    pub templates: Vec<Template>,
}

impl Form {
    /// Name in the file.
    pub fn name(&self) -> String {
        let name = format!("{:?}", self.code).to_lowercase();
        if self.memory { name + ".mem" } else { name }
    }

    /// Does it use the x87 unit?
    pub fn x87(&self) -> bool {
        use CpuidFeature as F;
        let unit = [F::FPU, F::FPU287, F::FPU287XL_ONLY, F::FPU387, F::FPU387SL_ONLY, F::FXSR];
        self.code.cpuid_features().iter().any(|f| unit.contains(f))
    }
}

/// Decodes as the processors asked here do.
pub fn decode(bytes: &[u8], eip: u32) -> Instruction {
    Decoder::with_ip(32, bytes, eip.into(), DecoderOptions::NONE).decode()
}

/// Is there an operand in memory by ModR/M byte or offset?
pub fn in_memory(i: &Instruction) -> bool {
    (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory)
}

/// Is it a prefix?
pub fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
}

/// All forms, by name.
pub fn all() -> Vec<Form> {
    let mut found: BTreeMap<String, Form> = BTreeMap::new();
    for narrow in [false, true] {
        for second in [false, true] {
            for opcode in (0..=u8::MAX).filter(|o| second || *o != 0x0f && !is_prefix(*o)) {
                for modrm in 0..=u8::MAX {
                    // The last field tells x87 instructions apart where it names no operand in memory.
                    if modrm & 7 != 0 && (modrm < 0xc0 || second || opcode & 0xf8 != 0xd8) {
                        continue;
                    }
                    let t = Template { narrow, second, opcode, modrm };
                    let i = t.decode();
                    if !askable(&i) {
                        continue;
                    }
                    let form = Form { code: i.code(), memory: in_memory(&i), templates: Vec::new() };
                    found.entry(form.name()).or_insert(form).templates.push(t);
                }
            }
        }
    }
    found.into_values().collect()
}

impl Template {
    /// Up to the ModR/M byte.
    pub fn bytes(&self) -> Vec<u8> {
        let mut b = Vec::new();
        if self.narrow {
            b.push(0x66);
        }
        if self.second {
            b.push(0x0f);
        }
        b.extend([self.opcode, self.modrm]);
        b
    }

    /// The instruction, with zeros behind.
    pub fn decode(&self) -> Instruction {
        let mut bytes = self.bytes();
        bytes.resize(15, 0);
        decode(&bytes, 0)
    }
}

/// Can it be asked in 32-bit user mode, of processors of several makers and ages, with one answer?
fn askable(i: &Instruction) -> bool {
    use CpuidFeature as F;
    use Mnemonic as M;
    const FEATURES: [CpuidFeature; 20] = [
        F::INTEL8086,
        F::INTEL8086_ONLY,
        F::INTEL186,
        F::INTEL286,
        F::INTEL286_ONLY,
        F::INTEL386,
        F::INTEL386_ONLY,
        F::INTEL486,
        F::CMOV,
        F::CX8,
        F::MSR,
        F::FPU,
        F::FPU287,
        F::FPU387,
        F::FXSR,
        F::MULTIBYTENOP,
        F::PAUSE,
        F::SMM,
        F::RDPMC,
        F::UDBG,
    ];
    let known = i.cpuid_features().iter().all(|f| FEATURES.contains(f));
    let left_out = match i.mnemonic() {
        // The system runs these in the processor's place (UMIP), or they give what it likes.
        M::Sgdt | M::Sidt | M::Sldt | M::Str | M::Smsw => true,
        // A breakpoint that debuggers use; the system would stop the child.
        M::Int1 => true,
        // Undefined with 16 bits.
        M::Bswap => i.code() == Code::Bswap_r16,
        // With an operand by register they are other instructions to later processors.
        M::Les | M::Lds | M::Bound => !in_memory(i),
        // A prefetch to some; by register undefined to AMD's processors, and nothing to Intel's.
        M::Reservednop => {
            matches!(i.code(), Code::Reservednop_rm16_r16_0F0D | Code::Reservednop_rm32_r32_0F0D)
        }
        // Of the 80387SL and the 80287XL.
        M::Fstdw | M::Fstsg | M::Frstpm => true,
        _ => false,
    };
    !i.is_invalid() && known && !left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_manual_are_there() {
        let forms = all();
        let has = |name: &str| forms.iter().any(|f| f.name() == name);
        for name in [
            "add_rm32_r32",
            "add_rm32_r32.mem",
            "sal_rm8_1",
            "cmpxchg8b_m64.mem",
            "movsd_m32_m32",
            "enterd_imm16_imm8",
            "fadd_m64fp.mem",
            "fpatan",
            "fcompp",
            "fnsave_m108byte.mem",
            "fcmovb_st0_sti",
            "hlt",
            "into",
        ] {
            assert!(has(name), "{name}");
        }
        assert!(!has("sgdt_m1632.mem") && !has("cpuid"));
        assert!(forms.len() > 600, "{}", forms.len());
    }
}
