//! Text on the first serial port and on the debug console.

use shootdown_abi::{DEBUG_PORT, SERIAL_PORT};

use crate::machine::{in8, out8};

/// Line status register, and its bit for an empty transmitter.
const LINE_STATUS: u16 = SERIAL_PORT + 5;
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// Prints text.
pub fn put(text: &str) {
    for byte in text.bytes() {
        // Bounded: on a machine without a serial port the text is lost, not the run.
        for _ in 0..100_000 {
            if in8(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                break;
            }
        }
        out8(SERIAL_PORT, byte);
        out8(DEBUG_PORT, byte);
    }
}

/// Prints eight hexadecimal digits.
pub fn put_hex(word: u32) {
    for shift in (0..32).step_by(4).rev() {
        let digit = (word >> shift & 15) as usize;
        put("0123456789abcdef".get(digit..digit + 1).unwrap_or("?"));
    }
}
