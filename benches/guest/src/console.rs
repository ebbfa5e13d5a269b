//! Text on the first serial port and on the debug console.

use shootdown_abi::{DEBUG_PORT, SERIAL_PORT};

use crate::machine::{in8, out8};

/// Line status register, with its bits for room in the transmitter and for all bytes sent.
const LINE_STATUS: u16 = SERIAL_PORT + 5;
const ROOM: u8 = 1 << 5;
const ALL_SENT: u8 = 1 << 6;

/// Prints text.
pub fn put(text: &str) {
    for byte in text.bytes() {
        wait_for(ROOM);
        out8(SERIAL_PORT, byte);
        out8(DEBUG_PORT, byte);
    }
}

/// Waits until the last byte has left: a machine that is switched off loses the rest.
pub fn drain() {
    wait_for(ALL_SENT);
}

/// Bounded: on a machine without a serial port the text is lost, not the run.
fn wait_for(bit: u8) {
    for _ in 0..100_000 {
        if in8(LINE_STATUS) & bit != 0 {
            break;
        }
    }
}

/// Prints eight hexadecimal digits.
pub fn put_hex(word: u32) {
    for shift in (0..32).step_by(4).rev() {
        let digit = (word >> shift & 15) as usize;
        put("0123456789abcdef".get(digit..digit + 1).unwrap_or("?"));
    }
}
