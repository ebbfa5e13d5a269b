//! The devices behind the I/O ports, and which port belongs to which.
//!
//! ```text
//!  020-021 0a0-0a1  8259 pair           pic.rs
//!  040-043 061      8254, speaker port  pit.rs
//!  070-071          CMOS clock          cmos.rs
//!  080              POST code           here
//!  0e9              debug port          debug_port.rs
//!  0f4-0f7          isa-debug-exit      exit_port.rs
//!  3f8-3ff          16550               serial.rs
//! ```
//!
//! Devices are byte-wide: a wider access is taken apart into bytes at consecutive
//! ports, as the bus does. The exit port alone takes 32 bits at once. Interrupt
//! lines are left out: none of these devices interrupts a processor, so guests
//! mask the 8259 and poll. Reads may have side effects; [`Devices::peek_post`]
//! and the device structs' own fields are for observers.

mod cmos;
mod debug_port;
mod exit_port;
mod pic;
mod pit;
mod serial;

use crate::cost::Preset;
use cmos::Cmos;
use debug_port::DebugPort;
use pic::Pics;
use pit::Pit;
use serial::Serial;

const PIC_FIRST: u16 = 0x20;
const PIC_SECOND: u16 = 0xa0;
const PIT: u16 = 0x40;
const SPEAKER: u16 = 0x61;
const CMOS_INDEX: u16 = 0x70;
const CMOS_DATA: u16 = 0x71;
const POST: u16 = 0x80;
const DEBUG: u16 = shootdown_abi::DEBUG_PORT;
const EXIT: u16 = shootdown_abi::EXIT_PORT;
const SERIAL: u16 = shootdown_abi::SERIAL_PORT;

/// What a read of a port gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRead {
    /// The value, in the low bits.
    Value(u32),
    /// No device answers: the bus floats.
    Empty,
}

/// What a write to a port does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortWrite {
    /// A device took it.
    Done,
    /// No device answers.
    Empty,
    /// The guest asks to end the machine with this value.
    Exit(u32),
}

/// All port devices of a machine.
#[derive(Clone, Debug)]
pub struct Devices {
    serial: Serial,
    pics: Pics,
    pit: Pit,
    cmos: Cmos,
    post: u8,
    /// What the serial port has put out.
    output: Vec<u8>,
    /// What the debug port has put out.
    debug: DebugPort,
}

impl Devices {
    /// The devices after reset. Their clocks run against the preset's processor clock.
    pub fn new(preset: &Preset) -> Devices {
        Devices {
            serial: Serial::new(),
            pics: Pics::new(),
            pit: Pit::new(preset.clock_mhz),
            cmos: Cmos::new(preset.clock_mhz),
            post: 0,
            output: Vec::new(),
            debug: DebugPort::default(),
        }
    }

    /// The CMOS reports this much RAM, in bytes (without it, none above 1 MiB).
    pub fn with_memory(mut self, bytes: u64) -> Devices {
        self.cmos.set_memory(bytes);
        self
    }

    /// Reads `size` bytes (1, 2 or 4) at `port`; `now` is the reading processor's clock in cycles.
    /// Where only some of the bytes have a device, the others float.
    pub fn read(&mut self, port: u16, size: u32, now: u64) -> PortRead {
        let (mut value, mut answered) = (0, false);
        for i in 0..size.min(4) {
            let byte = port.checked_add(i as u16).and_then(|port| self.read_byte(port, now));
            answered |= byte.is_some();
            value |= u32::from(byte.unwrap_or(0xff)) << (8 * i);
        }
        if answered { PortRead::Value(value) } else { PortRead::Empty }
    }

    /// Writes the low `size` bytes (1, 2 or 4) of `value` at `port`.
    pub fn write(&mut self, port: u16, size: u32, value: u32, now: u64) -> PortWrite {
        if exit_port::covers(port) {
            return exit_port::write(size, value);
        }
        let mut answered = false;
        for i in 0..size.min(4) {
            if let Some(port) = port.checked_add(i as u16) {
                answered |= self.write_byte(port, (value >> (8 * i)) as u8, now);
            }
        }
        if answered { PortWrite::Done } else { PortWrite::Empty }
    }

    /// What the guest has put out on the serial line since the last call.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What the guest has put out on the debug port since the last call: at least the last 64 KiB of it.
    pub fn take_debug(&mut self) -> Vec<u8> {
        self.debug.take()
    }

    /// The last POST code.
    pub fn peek_post(&self) -> u8 {
        self.post
    }

    fn read_byte(&mut self, port: u16, now: u64) -> Option<u8> {
        Some(match port {
            PIC_FIRST..=0x21 => self.pics.first.read(port - PIC_FIRST),
            PIC_SECOND..=0xa1 => self.pics.second.read(port - PIC_SECOND),
            PIT..=0x43 => self.pit.read(port - PIT, now),
            SPEAKER => self.pit.read_speaker(now),
            CMOS_INDEX => self.cmos.read_index(),
            CMOS_DATA => self.cmos.read(now),
            POST => self.post,
            DEBUG => debug_port::READ,
            _ if exit_port::covers(port) => exit_port::READ,
            SERIAL..=0x3ff => self.serial.read(port - SERIAL),
            _ => return None,
        })
    }

    fn write_byte(&mut self, port: u16, value: u8, now: u64) -> bool {
        match port {
            PIC_FIRST..=0x21 => self.pics.first.write(port - PIC_FIRST, value),
            PIC_SECOND..=0xa1 => self.pics.second.write(port - PIC_SECOND, value),
            PIT..=0x43 => self.pit.write(port - PIT, value, now),
            SPEAKER => self.pit.write_speaker(value, now),
            CMOS_INDEX => self.cmos.write_index(value),
            CMOS_DATA => self.cmos.write(value),
            POST => self.post = value,
            DEBUG => self.debug.write(value),
            SERIAL..=0x3ff => self.output.extend(self.serial.write(port - SERIAL, value)),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn devices() -> Devices {
        Devices::new(&Preset::builtin("p3").expect("built in")).with_memory(128 << 20)
    }

    #[test]
    fn serial_and_debug_output_are_kept_apart() {
        let mut d = devices();
        for (port, byte) in [(0x3f8, b'a'), (0xe9, b'b'), (0x3f8, b'c'), (0xe9, b'd')] {
            assert_eq!(d.write(port, 1, byte.into(), 0), PortWrite::Done);
        }
        assert_eq!((d.take_output(), d.take_debug()), (b"ac".to_vec(), b"bd".to_vec()));
        assert_eq!((d.take_output(), d.take_debug()), (Vec::new(), Vec::new()));
        assert_eq!(d.read(0xe9, 1, 0), PortRead::Value(0xe9));
    }

    #[test]
    fn empty_ports_float_and_say_so() {
        let mut d = devices();
        assert_eq!(d.read(0xcf8, 4, 0), PortRead::Empty);
        assert_eq!(d.write(0xcf8, 4, 0x8000_0000, 0), PortWrite::Empty);
        assert_eq!(d.read(0xffff, 4, 0), PortRead::Empty, "no wrap to port 0");
    }

    #[test]
    fn wide_accesses_are_taken_apart() {
        let mut d = devices();
        assert_eq!(d.write(0x80, 2, 0x1234, 0), PortWrite::Done);
        assert_eq!(d.peek_post(), 0x34);
        assert_eq!(d.read(0x80, 2, 0), PortRead::Value(0xff34), "0x81 is empty");
        assert_eq!(d.write(0x20, 2, 0xfb20, 0), PortWrite::Done);
        assert_eq!(d.read(0x21, 1, 0), PortRead::Value(0xfb));
    }

    #[test]
    fn the_exit_port_gives_its_value() {
        let mut d = devices();
        assert_eq!(d.write(0xf4, 4, 0x0001_0010, 0), PortWrite::Exit(0x0001_0010));
        assert_eq!(d.write(0xf4, 1, 0xff10, 0), PortWrite::Exit(0x10));
    }

    proptest! {
        #[test]
        fn any_access_is_survived(ops in proptest::collection::vec((0_u16..0x480, any::<u32>(), any::<u64>(), 0_u32..3, any::<bool>()), 0..300)) {
            let mut d = devices();
            for (port, value, now, size, store) in ops {
                if store {
                    d.write(port, 1 << size, value, now);
                } else {
                    d.read(port, 1 << size, now);
                }
            }
        }
    }
}
