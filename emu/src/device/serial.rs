//! A 16550A serial port whose line is never busy: what is written has been sent.
//!
//! ```text
//!  +0 RBR/THR (DLL with DLAB)   +1 IER (DLM with DLAB)   +2 IIR/FCR   +3 LCR
//!  +4 MCR   +5 LSR   +6 MSR   +7 scratch
//! ```
//!
//! A terminal is connected that sends nothing: only the loop of diagnostic mode
//! brings bytes, breaks and changes of the modem lines. The interrupt passes the
//! gate of a PC's adapter: OUT2 opens it, diagnostic mode closes it. Left out:
//! transmission time and parity. (National Semiconductor, `PC16550D` data sheet.)

use std::collections::VecDeque;

const IER_RECEIVED: u8 = 1;
const IER_THRE: u8 = 1 << 1;
const IER_LINE: u8 = 1 << 2;
const IER_MODEM: u8 = 1 << 3;
const IIR_NONE: u8 = 0b0001;
const IIR_MODEM: u8 = 0b0000;
const IIR_THRE: u8 = 0b0010;
const IIR_RECEIVED: u8 = 0b0100;
const IIR_LINE: u8 = 0b0110;
const IIR_TIMEOUT: u8 = 0b1100;
const IIR_FIFOS: u8 = 0xc0;
const FCR_ENABLE: u8 = 1;
const FCR_CLEAR_RECEIVER: u8 = 1 << 1;
const LCR_DLAB: u8 = 1 << 7;
const LCR_BREAK: u8 = 1 << 6;
const MCR_OUT2: u8 = 1 << 3;
const MCR_LOOP: u8 = 1 << 4;
const LSR_DATA: u8 = 1;
const LSR_OVERRUN: u8 = 1 << 1;
const LSR_FRAMING: u8 = 1 << 3;
const LSR_BREAK: u8 = 1 << 4;
/// Transmitter holding register and shifter empty.
const LSR_EMPTY: u8 = 0x60;
const LSR_FIFO_ERROR: u8 = 1 << 7;
/// Clear to send, data set ready, carrier: a terminal is connected.
const MSR_CONNECTED: u8 = 0xb0;
const MSR_RING: u8 = 1 << 6;

/// Bytes that the receiver's FIFO holds.
const FIFO: usize = 16;
/// Input clock of the divisor, in Hz; a bit takes 16 times the divisor.
const INPUT_HZ: u64 = 1_843_200;

#[derive(Clone, Debug)]
pub(super) struct Serial {
    clock_mhz: u32,
    divisor: [u8; 2],
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    /// Bytes that came round the loop, with their line errors.
    received: VecDeque<(u8, u8)>,
    /// Line errors not yet read.
    errors: u8,
    /// Changes of the modem lines not yet read.
    changes: u8,
    /// The "holding register empty" interrupt is due.
    empty_due: bool,
    /// Cycle of the last byte received or read.
    active: u64,
    /// The interrupt has fallen since the last look, if only for a moment.
    fell: bool,
}

impl Serial {
    pub fn new(clock_mhz: u32) -> Serial {
        Serial {
            clock_mhz: clock_mhz.max(1),
            // 9600 baud, as firmware leaves it.
            divisor: [12, 0],
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scratch: 0,
            received: VecDeque::new(),
            errors: 0,
            changes: 0,
            empty_due: false,
            active: 0,
            fell: false,
        }
    }

    fn has_fifos(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    /// Modem lines in the upper half of the MSR.
    fn lines(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CONNECTED;
        }
        // DTR, RTS, OUT1 and OUT2 come back as DSR, CTS, RI and DCD.
        (self.mcr & 1) << 5 | (self.mcr & 2) << 3 | (self.mcr & 0b1100) << 4
    }

    /// Cycle at which bytes below the trigger level have waited for four characters.
    fn timeout(&self) -> Option<u64> {
        if !self.has_fifos() || self.received.is_empty() {
            return None;
        }
        let lcr = u64::from(self.lcr);
        let bits = 1 + 5 + (lcr & 3) + (lcr >> 3 & 1) + 1 + (lcr >> 2 & 1);
        let divisor = u64::from(u16::from_le_bytes(self.divisor).max(1));
        let cycles = 4 * bits * 16 * divisor * u64::from(self.clock_mhz) * 1_000_000 / INPUT_HZ;
        Some(self.active.saturating_add(cycles))
    }

    /// Have enough bytes come for an interrupt?
    fn triggered(&self) -> bool {
        let level = match (self.has_fifos(), self.fcr >> 6) {
            (false, _) | (_, 0) => 1,
            (_, 1) => 4,
            (_, 2) => 8,
            _ => 14,
        };
        self.received.len() >= level
    }

    /// The interrupt with the highest priority, as IIR names it.
    fn cause(&self, now: u64) -> u8 {
        if self.ier & IER_LINE != 0 && self.errors != 0 {
            IIR_LINE
        } else if self.ier & IER_RECEIVED != 0 && self.triggered() {
            IIR_RECEIVED
        } else if self.ier & IER_RECEIVED != 0 && self.timeout().is_some_and(|at| now >= at) {
            IIR_TIMEOUT
        } else if self.ier & IER_THRE != 0 && self.empty_due {
            IIR_THRE
        } else if self.ier & IER_MODEM != 0 && self.changes != 0 {
            IIR_MODEM
        } else {
            IIR_NONE
        }
    }

    /// The interrupt line.
    pub fn interrupt(&self, now: u64) -> bool {
        self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2 && self.cause(now) != IIR_NONE
    }

    /// Has the interrupt line been low since the last call?
    pub fn take_fall(&mut self) -> bool {
        std::mem::take(&mut self.fell)
    }

    /// The first cycle after `now` at which the line may rise by itself.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        let waits = self.ier & IER_RECEIVED != 0 && self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2;
        self.timeout().filter(|&at| waits && at > now)
    }

    pub fn read(&mut self, register: u16, now: u64) -> u8 {
        match register {
            0 | 1 if self.lcr & LCR_DLAB != 0 => self.divisor[usize::from(register)],
            0 => {
                let byte = self.received.pop_front().map_or(0, |(byte, _)| byte);
                self.active = now;
                self.show_errors();
                byte
            }
            1 => self.ier,
            2 => {
                let cause = self.cause(now);
                if cause == IIR_THRE {
                    self.empty_due = false;
                }
                cause | if self.has_fifos() { IIR_FIFOS } else { 0 }
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let data = if self.received.is_empty() { 0 } else { LSR_DATA };
                let bad = self.has_fifos() && self.received.iter().any(|&(_, errors)| errors != 0);
                if let Some((_, errors)) = self.received.front_mut() {
                    *errors = 0;
                }
                let errors = std::mem::take(&mut self.errors);
                LSR_EMPTY | data | errors | if bad { LSR_FIFO_ERROR } else { 0 }
            }
            6 => self.lines() | std::mem::take(&mut self.changes),
            _ => self.scratch,
        }
    }

    /// Writes a register; a byte that goes out on the line is returned.
    pub fn write(&mut self, register: u16, value: u8, now: u64) -> Option<u8> {
        match register {
            0 | 1 if self.lcr & LCR_DLAB != 0 => self.divisor[usize::from(register)] = value,
            0 => {
                // Full for a moment, then empty again.
                self.empty_due = false;
                self.fell |= self.cause(now) == IIR_NONE;
                self.empty_due = true;
                if self.mcr & MCR_LOOP == 0 {
                    return Some(value);
                }
                self.receive(value & 0xff_u8 >> (3 - (self.lcr & 3)), 0, now);
            }
            1 => {
                self.empty_due |= value & IER_THRE != 0 && self.ier & IER_THRE == 0;
                self.ier = value & 0x0f;
            }
            2 => {
                if value & FCR_CLEAR_RECEIVER != 0 || (value ^ self.fcr) & FCR_ENABLE != 0 {
                    self.received.clear();
                }
                self.fcr = value;
            }
            3 => {
                let begins = value & !self.lcr & LCR_BREAK != 0;
                self.lcr = value;
                if begins && self.mcr & MCR_LOOP != 0 {
                    self.receive(0, LSR_BREAK | LSR_FRAMING, now);
                }
            }
            4 => {
                let before = self.lines();
                self.mcr = value & 0x1f;
                let after = self.lines();
                // Of the ring line only the end counts.
                let changed = (before ^ after) & !(after & MSR_RING);
                self.changes |= changed >> 4;
            }
            7 => self.scratch = value,
            // LSR and MSR are read-only.
            _ => {}
        }
        None
    }

    fn receive(&mut self, byte: u8, errors: u8, now: u64) {
        self.active = now;
        if !self.has_fifos() && self.received.pop_front().is_some() {
            self.errors |= LSR_OVERRUN;
        }
        if self.received.len() >= FIFO {
            self.errors |= LSR_OVERRUN;
            return;
        }
        self.received.push_back((byte, errors));
        if self.received.len() == 1 {
            self.show_errors();
        }
    }

    /// The errors of a byte show when it is the next to be read.
    fn show_errors(&mut self) {
        self.errors |= self.received.front().map_or(0, |&(_, errors)| errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial() -> Serial {
        let mut s = Serial::new(700);
        s.write(3, 3, 0);
        s
    }

    #[test]
    fn a_polling_driver_sends_at_once() {
        let mut s = serial();
        s.write(1, 0, 0);
        s.write(3, LCR_DLAB, 0);
        s.write(0, 1, 0);
        s.write(1, 0, 0);
        assert_eq!((s.read(0, 0), s.read(1, 0)), (1, 0), "115200 baud");
        s.write(3, 3, 0);
        assert_eq!(s.read(1, 0), 0, "IER again");
        assert_eq!(s.read(5, 0) & 0x20, 0x20);
        assert_eq!(s.write(0, b'x', 0), Some(b'x'));
        assert_eq!(s.read(5, 0), 0x60);
    }

    #[test]
    fn the_loop_returns_bytes_and_lines() {
        let mut s = serial();
        s.write(4, 0x1e, 0);
        assert_eq!(s.write(0, 0xae, 0), None, "nothing leaves");
        assert_eq!(s.read(5, 0), 0x61);
        assert_eq!(s.read(0, 0), 0xae);
        assert_eq!(s.read(5, 0), 0x60);
        assert_eq!(s.read(6, 0), 0xd2, "RTS, OUT1 and OUT2 as CTS, RI and DCD; DSR has changed");
        assert_eq!(s.read(6, 0), 0xd0);
        s.write(4, 0x1a, 0);
        assert_eq!(s.read(6, 0), 0x94, "the ring has ended");
        s.write(0, 1, 0);
        s.write(0, 2, 0);
        assert_eq!((s.read(5, 0), s.read(5, 0), s.read(0, 0)), (0x63, 0x61, 2), "an overrun, told once");
        s.write(3, 0, 0);
        s.write(0, 0xff, 0);
        assert_eq!(s.read(0, 0), 0x1f, "five bits");
        s.write(4, 0x0f, 0);
        assert_eq!(s.write(0, 1, 0), Some(1));
        assert_eq!(s.read(6, 0) & 0xf0, 0xb0);
    }

    #[test]
    fn the_fifo_holds_sixteen() {
        let mut s = serial();
        s.write(2, FCR_ENABLE, 0);
        s.write(4, MCR_LOOP, 0);
        (0..17).for_each(|byte| {
            s.write(0, byte, 0);
        });
        assert_eq!(s.read(5, 0), 0x63);
        assert!((0..16).all(|byte| s.read(0, 0) == byte));
        assert_eq!(s.read(5, 0), 0x60, "the seventeenth is lost");
        s.write(0, 1, 0);
        s.write(2, 0, 0);
        assert_eq!((s.read(5, 0), s.read(2, 0)), (0x60, IIR_NONE), "switching clears it");
    }

    #[test]
    fn the_scratch_register_is_there() {
        let mut s = serial();
        s.write(7, 0x5a, 0);
        assert_eq!(s.read(7, 0), 0x5a);
    }

    #[test]
    fn causes_come_by_priority() {
        let mut s = serial();
        assert_eq!(s.read(2, 0), IIR_NONE);
        s.write(2, FCR_ENABLE, 0);
        s.write(1, 0x0f, 0);
        s.write(4, MCR_LOOP, 0);
        s.write(0, 9, 0);
        s.write(3, 3 | LCR_BREAK, 0);
        assert_eq!(s.read(2, 0), IIR_FIFOS | IIR_RECEIVED, "the break is behind the byte");
        assert_eq!((s.read(5, 0), s.read(0, 0)), (0xe1, 9), "an error waits in the FIFO");
        assert_eq!(s.read(2, 0), IIR_FIFOS | IIR_LINE);
        assert_eq!(s.read(5, 0), 0xf9);
        assert_eq!(s.read(2, 0), IIR_FIFOS | IIR_RECEIVED);
        assert_eq!((s.read(0, 0), s.read(5, 0)), (0, 0x60));
        assert_eq!(
            (s.read(2, 0), s.read(2, 0)),
            (IIR_FIFOS | IIR_THRE, IIR_FIFOS | IIR_MODEM),
            "cleared by reading"
        );
        s.read(6, 0);
        assert_eq!(s.read(2, 0), IIR_FIFOS | IIR_NONE);
    }

    #[test]
    fn few_bytes_interrupt_after_four_characters() {
        let mut s = serial();
        s.write(2, FCR_ENABLE | 0x80, 0);
        s.write(1, IER_RECEIVED, 0);
        s.write(4, MCR_LOOP, 0);
        (0..7).for_each(|byte| {
            s.write(0, byte, 100);
        });
        // 40 bits at 9600 baud.
        let wait = 700_000_000 / 9600 * 40;
        assert_eq!(s.read(2, 100), IIR_FIFOS | IIR_NONE);
        assert_eq!(s.read(2, wait + 200), IIR_FIFOS | IIR_TIMEOUT);
        s.write(0, 7, wait + 200);
        assert_eq!(s.read(2, wait + 200), IIR_FIFOS | IIR_RECEIVED, "eight");
        s.read(0, wait + 200);
        s.write(4, MCR_OUT2, wait + 200);
        assert!(!s.interrupt(wait + 200));
        let due = s.next_change(wait + 200).unwrap();
        assert!(!s.interrupt(due - 1) && s.interrupt(due));
    }

    #[test]
    fn the_line_is_gated_and_falls_between_bytes() {
        let mut s = serial();
        s.write(1, IER_THRE, 0);
        assert!(!s.interrupt(0), "OUT2 is off");
        s.write(4, MCR_OUT2, 0);
        assert!(s.interrupt(0) && !s.take_fall());
        s.write(0, b'a', 0);
        assert!(s.interrupt(0) && s.take_fall() && !s.take_fall());
        s.read(2, 0);
        assert!(!s.interrupt(0));
        s.write(4, MCR_OUT2 | MCR_LOOP, 0);
        s.write(0, b'a', 0);
        assert!(!s.interrupt(0), "diagnostic mode");
    }
}
