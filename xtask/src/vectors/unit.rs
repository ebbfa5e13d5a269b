//! State of the x87 unit, as cases hold it: registers by number, not by place in the stack; and its images in memory.
//!
//! The child loads and stores it by `frstor` and `fnsave`: `fxsave` leaves the pointers to the last instruction
//! out on AMD's processors unless an exception is pending.
//! (SDM vol. 1, "Saving the x87 FPU's State"; vol. 2, `FXSAVE`, "Layout of FXSAVE and FXRSTOR Memory Region".)

use super::case::{USER_CODE, USER_DATA};
use crate::lock::hex;
use serde_json::{Map, Value, json};

/// Bytes of an `fxsave` image; those of MXCSR and of XMM registers are not used.
pub const IMAGE: usize = 512;
/// Bytes of an `fnsave` image, 32-bit layout.
pub const STATE: usize = ENVIRONMENT + 80;
/// Bytes of its first part, the environment.
const ENVIRONMENT: usize = 28;
/// MXCSR after reset: `fxrstor` refuses what is no MXCSR.
const MXCSR: u32 = 0x1f80;

/// The unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Control word.
    pub control: u16,
    /// Status word, TOP included.
    pub status: u16,
    /// Bit n: register n holds something.
    pub full: u8,
    /// Low 11 bits of the last opcode, offset of the last instruction, offset of its operand.
    pub last: [u32; 3],
    /// Registers by number.
    pub registers: [[u8; 10]; 8],
}

impl Unit {
    /// Register number of ST(i).
    pub fn number(&self, i: u8) -> usize {
        usize::from(((self.status >> 11) as u8 + i) & 7)
    }

    /// The image for `fxrstor`.
    pub fn image(&self) -> [u8; IMAGE] {
        let mut b = [0; IMAGE];
        b[0..2].copy_from_slice(&self.control.to_le_bytes());
        b[2..4].copy_from_slice(&self.status.to_le_bytes());
        b[4] = self.full;
        b[6..8].copy_from_slice(&(self.last[0] as u16).to_le_bytes());
        b[8..12].copy_from_slice(&self.last[1].to_le_bytes());
        b[16..20].copy_from_slice(&self.last[2].to_le_bytes());
        b[24..28].copy_from_slice(&MXCSR.to_le_bytes());
        for i in 0..8 {
            let at = 32 + 16 * usize::from(i);
            b[at..at + 10].copy_from_slice(&self.registers[self.number(i)]);
        }
        b
    }

    /// The state in an image that `fxsave` has stored.
    pub fn from_image(b: &[u8; IMAGE]) -> Unit {
        let word = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        let dword = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        let mut unit = Unit {
            control: word(0),
            status: word(2),
            full: b[4],
            last: [u32::from(word(6)), dword(8), dword(16)],
            registers: Default::default(),
        };
        for i in 0..8 {
            let at = 32 + 16 * usize::from(i);
            let n = unit.number(i);
            unit.registers[n].copy_from_slice(&b[at..at + 10]);
        }
        unit
    }

    /// The environment in the layout of 14 or 28 bytes.
    pub fn environment(&self, size: usize) -> Vec<u8> {
        let tags = (0..8).fold(0u16, |t, n| if self.full >> n & 1 == 0 { t | 3 << (2 * n) } else { t });
        let [opcode, ip, dp] = self.last;
        let words = [self.control, self.status, tags];
        let (code, data) = (USER_CODE, USER_DATA);
        if size < ENVIRONMENT {
            let pointers = [ip as u16, code, dp as u16, data];
            return words.into_iter().chain(pointers).flat_map(u16::to_le_bytes).collect();
        }
        let pointers = [ip, u32::from(code) | opcode << 16, dp, data.into()];
        words.map(u32::from).into_iter().chain(pointers).flat_map(u32::to_le_bytes).collect()
    }

    /// The image for `frstor`, in the layout of 94 or 108 bytes.
    pub fn state(&self, size: usize) -> Vec<u8> {
        let mut b = self.environment(size - 80);
        b.extend((0..8).flat_map(|i| self.registers[self.number(i)]));
        b
    }

    /// The state in an image that `fnsave` has stored.
    pub fn from_state(b: &[u8; STATE]) -> Unit {
        let word = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        let dword = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        let full = (0..8).fold(0, |full, n| full | u8::from(word(8) >> (2 * n) & 3 != 3) << n);
        let last = [u32::from(word(18) & 0x7ff), dword(12), dword(20)];
        let mut unit = Unit { control: word(0), status: word(4), full, last, ..Unit::default() };
        for (i, register) in (0..).zip(b[ENVIRONMENT..].chunks_exact(10)) {
            let n = unit.number(i);
            unit.registers[n].copy_from_slice(register);
        }
        unit
    }

    /// The state as the file has it, with those registers that are not as in another state.
    pub fn value(&self, other: &Unit) -> Value {
        let registers: Map<String, Value> = (0..8)
            .filter(|n| self.registers[*n] != other.registers[*n])
            .map(|n| (n.to_string(), json!(hex(&self.registers[n]))))
            .collect();
        json!({"c": self.control, "s": self.status, "t": self.full, "l": self.last, "r": registers})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_holds_the_state() {
        let registers = std::array::from_fn(|n| [n as u8 + 1; 10]);
        let unit = Unit { control: 0x37f, status: 0x1b21, full: 0x5a, last: [0x7ff, 5, 6], registers };
        assert_eq!(Unit::from_image(&unit.image()), unit);
        let state: [u8; STATE] = unit.state(STATE).try_into().expect("its size");
        assert_eq!(Unit::from_state(&state), unit);
        assert_eq!(unit.state(94).len(), 94);
        assert_eq!(unit.image()[32], 4, "ST(0) is register 3");
    }
}
