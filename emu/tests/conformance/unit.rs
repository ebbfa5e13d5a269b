//! The x87 unit of a case: state before and after, and what is compared.

use crate::user32::bytes;
use serde::Deserialize;
use shootdown_emu::cpu::x87::Fpu;
use shootdown_emu::cpu::x87::image::EXTENDED;
use std::collections::BTreeMap;

/// Status bits that follow from the last place of a result: C1, PE, UE.
const LAST_PLACE: u16 = 0x230;
/// Names of the pointers to the last instruction.
const POINTERS: [&str; 3] = ["opcode", "instruction pointer", "operand pointer"];

/// A state; registers by number that are zero, or as before, are left out.
#[derive(Clone, Deserialize)]
pub struct Unit {
    /// Control word.
    c: u16,
    /// Status word.
    s: u16,
    /// Bit n: register n holds something.
    t: u8,
    /// Last opcode, offset of the instruction, of its operand.
    l: [u32; 3],
    /// Registers.
    r: BTreeMap<usize, String>,
}

/// What is compared.
pub struct Defined {
    /// Bits of the status word.
    pub status: u16,
    /// Bit n: pointer n is undefined.
    pub open_pointers: u8,
    /// Results hold within one unit of the last place.
    pub approximate: bool,
}

/// A state as words and registers by number.
struct Flat {
    control: u16,
    status: u16,
    full: u8,
    last: [u32; 3],
    registers: [[u8; 10]; 8],
}

impl Unit {
    fn registers(&self, others: [[u8; 10]; 8]) -> [[u8; 10]; 8] {
        let mut registers = others;
        for (n, hex) in &self.r {
            registers[*n].copy_from_slice(&bytes(hex));
        }
        registers
    }

    /// Puts the state into a unit.
    pub fn load(&self, to: &mut Fpu) {
        let mut b = [0; EXTENDED];
        b[0..2].copy_from_slice(&self.c.to_le_bytes());
        b[2..4].copy_from_slice(&self.s.to_le_bytes());
        b[4] = self.t;
        b[6..8].copy_from_slice(&(self.l[0] as u16).to_le_bytes());
        b[8..12].copy_from_slice(&self.l[1].to_le_bytes());
        b[16..20].copy_from_slice(&self.l[2].to_le_bytes());
        let registers = self.registers(Default::default());
        for (i, place) in b[32..].chunks_exact_mut(16).enumerate() {
            place[..10].copy_from_slice(&registers[number(self.s, i)]);
        }
        to.set_extended(&b);
    }

    /// Is the state after a case, that began with another, in the unit? Else what differs.
    pub fn compare(&self, before: &Unit, unit: &Fpu, defined: &Defined) -> Result<(), String> {
        let have = Flat::of(unit);
        if have.control != self.c || have.full != self.t {
            return Err(format!(
                "control {:#06x} full {:#04x}, wanted {:#06x} {:#04x}",
                have.control, have.full, self.c, self.t
            ));
        }
        let mut status = defined.status;
        if defined.approximate {
            status &= !LAST_PLACE;
            if (have.status | self.s) & !self.c & LAST_PLACE & 0x3f != 0 {
                // With them the summary.
                status &= !0x8080;
            }
        }
        if (have.status ^ self.s) & status != 0 {
            return Err(format!(
                "status {:#06x}, wanted {:#06x} (defined {status:#06x})",
                have.status, self.s
            ));
        }
        for (n, ((have, want), name)) in have.last.iter().zip(&self.l).zip(POINTERS).enumerate() {
            if defined.open_pointers >> n & 1 == 0 && have != want {
                return Err(format!("{name} {have:#x}, wanted {want:#x}"));
            }
        }
        let wanted = self.registers(before.registers(Default::default()));
        for (n, (have, want)) in have.registers.iter().zip(&wanted).enumerate() {
            let near =
                if defined.approximate { place(have).abs_diff(place(want)) <= 1 } else { have == want };
            if !near {
                return Err(format!("register {n}: {have:02x?}, wanted {want:02x?}"));
            }
        }
        Ok(())
    }
}

impl Flat {
    fn of(unit: &Fpu) -> Flat {
        let b = unit.extended();
        let word = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        let dword = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        let mut registers = [[0; 10]; 8];
        for (i, place) in b[32..].chunks_exact(16).enumerate() {
            registers[number(word(2), i)].copy_from_slice(&place[..10]);
        }
        let last = [u32::from(word(6)), dword(8), dword(16)];
        Flat { control: word(0), status: word(2), full: b[4], last, registers }
    }
}

/// Register number of ST(i).
fn number(status: u16, i: usize) -> usize {
    (usize::from(status >> 11) + i) & 7
}

/// The place of a number among all in their order.
fn place(b: &[u8; 10]) -> i128 {
    let mut wide = [0; 16];
    wide[..10].copy_from_slice(b);
    let v = i128::from_le_bytes(wide);
    let sign = 1 << 79;
    // The integer bit says nothing new of a number that is normal or denormal.
    let magnitude = (v & !sign) >> 64 << 63 | v & ((1 << 63) - 1);
    if v & sign != 0 { -magnitude } else { magnitude }
}
