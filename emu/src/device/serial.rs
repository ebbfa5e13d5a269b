//! A 16550 serial port whose line is never busy: what is written has been sent.
//!
//! ```text
//!  +0 RBR/THR (DLL with DLAB)   +1 IER (DLM with DLAB)   +2 IIR/FCR   +3 LCR
//!  +4 MCR   +5 LSR   +6 MSR   +7 scratch
//! ```
//!
//! Loopback works, since kernels test for the chip with it. Nothing is ever
//! received from outside; interrupts are shown in IIR but reach no processor.
//! (National Semiconductor, `PC16550D` data sheet.)

const IER_THRE: u8 = 1 << 1;
const IER_RECEIVED: u8 = 1;
const IIR_NONE: u8 = 0b0001;
const IIR_THRE: u8 = 0b0010;
const IIR_RECEIVED: u8 = 0b0100;
const IIR_FIFOS: u8 = 0xc0;
const FCR_ENABLE: u8 = 1;
const FCR_CLEAR_RECEIVER: u8 = 1 << 1;
const LCR_DLAB: u8 = 1 << 7;
const MCR_LOOP: u8 = 1 << 4;
const LSR_DATA: u8 = 1;
const LSR_OVERRUN: u8 = 1 << 1;
/// Transmitter holding register and shifter empty.
const LSR_EMPTY: u8 = 0x60;
/// Clear to send, data set ready, carrier: a terminal is connected.
const MSR_CONNECTED: u8 = 0xb0;

#[derive(Clone, Debug)]
pub(super) struct Serial {
    divisor: [u8; 2],
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    /// A byte that came round the loop.
    received: Option<u8>,
    overrun: bool,
    /// The "holding register empty" interrupt is due.
    empty_due: bool,
}

impl Serial {
    pub fn new() -> Serial {
        Serial {
            // 9600 baud, as firmware leaves it.
            divisor: [12, 0],
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scratch: 0,
            received: None,
            overrun: false,
            empty_due: false,
        }
    }

    pub fn read(&mut self, register: u16) -> u8 {
        match register {
            0 | 1 if self.lcr & LCR_DLAB != 0 => self.divisor[usize::from(register)],
            0 => self.received.take().unwrap_or(0),
            1 => self.ier,
            2 => {
                let fifos = if self.fcr & FCR_ENABLE != 0 { IIR_FIFOS } else { 0 };
                let cause = if self.ier & IER_RECEIVED != 0 && self.received.is_some() {
                    IIR_RECEIVED
                } else if self.ier & IER_THRE != 0 && std::mem::take(&mut self.empty_due) {
                    IIR_THRE
                } else {
                    IIR_NONE
                };
                cause | fifos
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let data = if self.received.is_some() { LSR_DATA } else { 0 };
                let overrun = if std::mem::take(&mut self.overrun) { LSR_OVERRUN } else { 0 };
                LSR_EMPTY | data | overrun
            }
            6 if self.mcr & MCR_LOOP != 0 => {
                // DTR, RTS, OUT1 and OUT2 come back as DSR, CTS, RI and DCD.
                (self.mcr & 1) << 5 | (self.mcr & 2) << 3 | (self.mcr & 0b1100) << 4
            }
            6 => MSR_CONNECTED,
            _ => self.scratch,
        }
    }

    /// Writes a register; a byte that goes out on the line is returned.
    pub fn write(&mut self, register: u16, value: u8) -> Option<u8> {
        match register {
            0 | 1 if self.lcr & LCR_DLAB != 0 => self.divisor[usize::from(register)] = value,
            0 => {
                self.empty_due = true;
                if self.mcr & MCR_LOOP == 0 {
                    return Some(value);
                }
                self.overrun |= self.received.replace(value).is_some();
            }
            1 => {
                self.empty_due |= value & IER_THRE != 0 && self.ier & IER_THRE == 0;
                self.ier = value & 0x0f;
            }
            2 => {
                if value & FCR_CLEAR_RECEIVER != 0 {
                    self.received = None;
                }
                self.fcr = value;
            }
            3 => self.lcr = value,
            4 => self.mcr = value & 0x1f,
            7 => self.scratch = value,
            // LSR and MSR are read-only.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polling_driver_sends_at_once() {
        let mut s = Serial::new();
        s.write(1, 0);
        s.write(3, LCR_DLAB);
        s.write(0, 1);
        s.write(1, 0);
        assert_eq!((s.read(0), s.read(1)), (1, 0), "115200 baud");
        s.write(3, 3);
        assert_eq!(s.read(1), 0, "IER again");
        assert_eq!(s.read(5) & 0x20, 0x20);
        assert_eq!(s.write(0, b'x'), Some(b'x'));
        assert_eq!(s.read(5), 0x60);
    }

    #[test]
    fn the_loop_returns_bytes_and_lines() {
        let mut s = Serial::new();
        s.write(4, 0x1e);
        assert_eq!(s.write(0, 0xae), None, "nothing leaves");
        assert_eq!(s.read(5), 0x61);
        assert_eq!(s.read(0), 0xae);
        assert_eq!(s.read(5), 0x60);
        assert_eq!(s.read(6), 0xd0, "RTS, OUT1 and OUT2 as CTS, RI and DCD");
        s.write(0, 1);
        s.write(0, 2);
        assert_eq!((s.read(5), s.read(5), s.read(0)), (0x63, 0x61, 2), "an overrun, told once");
        s.write(4, 0x0f);
        assert_eq!(s.write(0, 1), Some(1));
        assert_eq!(s.read(6), 0xb0);
    }

    #[test]
    fn the_scratch_register_is_there() {
        let mut s = Serial::new();
        s.write(7, 0x5a);
        assert_eq!(s.read(7), 0x5a);
    }

    #[test]
    fn iir_shows_causes_and_fifos() {
        let mut s = Serial::new();
        assert_eq!(s.read(2), 1);
        s.write(2, 1);
        assert_eq!(s.read(2), 0xc1);
        s.write(1, IER_THRE | IER_RECEIVED);
        assert_eq!((s.read(2), s.read(2)), (0xc2, 0xc1), "reading it clears it");
        s.write(4, MCR_LOOP);
        s.write(0, 9);
        assert_eq!(s.read(2), 0xc4);
        s.write(2, FCR_ENABLE | FCR_CLEAR_RECEIVER);
        assert_eq!(s.read(5) & LSR_DATA, 0);
    }
}
