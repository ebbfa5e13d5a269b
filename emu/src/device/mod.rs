//! The devices of the board: behind the I/O ports, and the I/O APIC.
//!
//! ```text
//!  020-021 0a0-0a1 4d0-4d1  8259 pair           pic/
//!  040-043 061              8254, speaker port  pit/
//!  070-071                  CMOS memory, clock  cmos.rs, rtc.rs
//!  060 064 080-08f 092 ...  the board           board.rs
//!  0e9                      debug port          debug_port.rs
//!  0f0-0f1                  coprocessor error   coprocessor.rs
//!  0f4-0f7                  isa-debug-exit      exit_port.rs
//!  3d4-3da                  text display        display.rs
//!  3f8-3ff                  16550               serial.rs
//!  fec00000                 I/O APIC            io_apic.rs
//!
//!  IRQ 0 timer    --> 8259 input 0, I/O APIC pin 2        IRQ 4 serial port, 8 clock --> both, by number
//!  8259 INTR      --> I/O APIC pin 0, LINT0 of all processors          (as mptable.rs tells the guest)
//! ```
//!
//! Port devices are byte-wide: a wider access is taken apart into bytes at consecutive
//! ports, as the bus does. The exit port alone takes 32 bits at once. Reads may
//! have side effects; [`Devices::peek_post`] is for observers.
//!
//! Time comes in with each access and with [`Devices::advance`]. What a device does by
//! itself that could reach a processor is told in advance by [`Devices::due`]; while
//! every input that it drives is masked, it is found out at the next access instead.

mod board;
mod cmos;
mod coprocessor;
mod debug_port;
mod display;
mod exit_port;
pub mod io_apic;
mod pic;
mod pit;
mod rtc;
mod serial;

use crate::apic::Kind;
use crate::cost::Preset;
use board::{Asked, Board};
use cmos::Cmos;
use coprocessor::Coprocessor;
use debug_port::DebugPort;
use display::Display;
use io_apic::{IoApic, Message};
use pic::Pics;
use pit::Pit;
use serial::Serial;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const PIC_FIRST: u16 = 0x20;
const PIC_SECOND: u16 = 0xa0;
const PIC_LEVELS: u16 = 0x4d0;
const PIT: u16 = 0x40;
const SPEAKER: u16 = 0x61;
const CMOS_INDEX: u16 = 0x70;
const CMOS_DATA: u16 = 0x71;
const COPROCESSOR: u16 = 0xf0;
const DEBUG: u16 = shootdown_abi::DEBUG_PORT;
const EXIT: u16 = shootdown_abi::EXIT_PORT;
const SERIAL: u16 = shootdown_abi::SERIAL_PORT;

/// Only a byte reaches it: the wider register at CF8h is that of a bus that is not there.
const RESET_CONTROL: u16 = 0xcf9;

/// So many steps of the devices are taken one by one when time moves on; what is left is taken in one.
const MAX_STEPS: usize = 1_000;

/// The timer's interrupt.
pub const IRQ_TIMER: u8 = 0;
/// The serial port's interrupt.
pub const IRQ_SERIAL: u8 = 4;
/// The clock's interrupt.
pub const IRQ_CLOCK: u8 = 8;
/// The interrupt for errors of the x87 unit.
pub const IRQ_COPROCESSOR: u8 = 13;
/// The I/O APIC's pin for the output of the 8259 pair.
pub const PIN_8259: u8 = 0;

/// The I/O APIC's pin for an IRQ: its number, but the 8259 pair has the place of the timer.
pub const fn pin(irq: u8) -> u8 {
    if irq == IRQ_TIMER { 2 } else { irq }
}

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
    /// The guest asks for a reset of the machine.
    Reset,
}

/// All devices of a machine.
#[derive(Clone, Debug)]
pub struct Devices {
    serial: Serial,
    pics: Pics,
    io_apic: IoApic,
    pit: Pit,
    cmos: Cmos,
    board: Board,
    display: Display,
    coprocessor: Coprocessor,
    /// What the serial port has put out.
    output: Vec<u8>,
    /// What the debug port has put out.
    debug: DebugPort,
    /// Ends of interrupts under way to the I/O APIC: cycle of arrival, vector.
    ends: BinaryHeap<Reverse<(u64, u8)>>,
    /// The devices stand at this cycle.
    now: u64,
    /// See [`Devices::due`].
    due: u64,
    /// The INTR line of the 8259 pair.
    intr: bool,
    /// Its changes since the machine last looked: cycle, level.
    intr_changes: Vec<(u64, bool)>,
    /// The machine has to look: a message, the line, or another due time.
    news: bool,
}

impl Devices {
    /// The devices after reset. Their clocks run against the preset's processor clock.
    pub fn new(preset: &Preset) -> Devices {
        let mut devices = Devices {
            serial: Serial::new(preset.clock_mhz),
            pics: Pics::new(),
            io_apic: IoApic::new(0, preset.apic),
            pit: Pit::new(preset.clock_mhz),
            cmos: Cmos::new(preset.clock_mhz),
            board: Board::new(),
            display: Display::new(preset.clock_mhz),
            coprocessor: Coprocessor::default(),
            output: Vec::new(),
            debug: DebugPort::default(),
            ends: BinaryHeap::new(),
            now: 0,
            due: u64::MAX,
            intr: false,
            intr_changes: Vec::new(),
            news: false,
        };
        devices.sample();
        devices
    }

    /// The CMOS reports this much RAM, in bytes (without it, none above 1 MiB).
    pub fn with_memory(mut self, bytes: u64) -> Devices {
        self.cmos.set_memory(bytes);
        self
    }

    /// The I/O APIC has this ID, among local APICs of this kind.
    pub fn with_io_apic(mut self, id: u8, kind: Kind) -> Devices {
        self.io_apic = IoApic::new(id, kind);
        self.sample();
        self
    }

    /// Reads `size` bytes (1, 2 or 4) at `port`; `now` is the reading processor's clock in cycles.
    /// Where only some of the bytes have a device, the others float.
    pub fn read(&mut self, port: u16, size: u32, now: u64) -> PortRead {
        let (mut value, mut answered) = (0, false);
        for i in 0..size.min(4) {
            let byte = place(port, i, size).and_then(|port| self.read_byte(port, now));
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
        let mut result = PortWrite::Empty;
        for i in 0..size.min(4) {
            let byte = (value >> (8 * i)) as u8;
            match place(port, i, size).and_then(|port| self.write_byte(port, byte, now)) {
                Some(Asked::Reset) => result = PortWrite::Reset,
                Some(Asked::Nothing) if result == PortWrite::Empty => result = PortWrite::Done,
                _ => {}
            }
        }
        result
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
        self.board.post()
    }

    /// The cycle at which a device next does something by itself that could reach a processor; `u64::MAX` for never.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Has [`Devices::due`] or the INTR line changed, or has the I/O APIC a message, since the last call?
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Would [`Devices::take_news`] say so?
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// The INTR line of the 8259 pair.
    pub fn interrupt(&self) -> bool {
        self.intr
    }

    /// The cycles at which that line has changed since the last call, and its levels since.
    pub fn take_intr_changes(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.intr_changes)
    }

    /// Messages of the I/O APIC that wait to be sent.
    pub fn take_messages(&mut self) -> Vec<Message> {
        self.io_apic.take_messages()
    }

    /// What became of a message: it found a target or not, and the bus was free for it at cycle `until`.
    pub fn message_sent(&mut self, pin: u8, found: bool, until: u64) {
        self.io_apic.sent(pin, found, until);
    }

    /// The I/O APIC's arbitration ID on the serial bus.
    pub fn arbitration(&self) -> u8 {
        self.io_apic.arbitration()
    }

    /// A message went over the serial bus; see [`crate::apic::rotated`].
    pub fn message_passed(&mut self, winner: u8, own: bool) {
        self.io_apic.message_passed(winner, own);
    }

    /// The end of a level-triggered interrupt will reach the I/O APIC at cycle `at`.
    pub fn end_of_interrupt(&mut self, vector: u8, at: u64) {
        self.ends.push(Reverse((at, vector)));
        self.plan();
    }

    /// FERR# is raised or falls at cycle `now`.
    pub fn numeric_error(&mut self, raised: bool, now: u64) {
        self.advance(now);
        self.coprocessor.set_error(raised);
        self.sample();
    }

    /// IGNNE#.
    pub fn ignores_numeric_errors(&self) -> bool {
        self.coprocessor.ignores()
    }

    /// Does the board let the NMI line through to the processors?
    pub fn lets_nmi_through(&self) -> bool {
        self.cmos.lets_nmi_through()
    }

    /// A processor acknowledges an interrupt of the 8259 pair at cycle `now`: its vector.
    pub fn acknowledge(&mut self, now: u64) -> u8 {
        self.advance(now);
        let vector = self.pics.acknowledge();
        // The line falls; it rises again when more is waiting.
        self.set_intr(false);
        self.sample();
        vector
    }

    /// Reads a register of the I/O APIC, by its offset from [`io_apic::BASE`].
    pub fn read_io_apic(&mut self, offset: u32, now: u64) -> u32 {
        self.advance(now);
        self.io_apic.read(offset, self.now)
    }

    /// Writes a register of the I/O APIC.
    pub fn write_io_apic(&mut self, offset: u32, value: u32, now: u64) {
        self.advance(now);
        self.io_apic.write(offset, value, self.now);
        self.sample();
    }

    /// Lets the devices do what they do by themselves up to cycle `now`.
    pub fn advance(&mut self, now: u64) {
        for _ in 0..MAX_STEPS {
            if self.due > now || self.due == u64::MAX {
                break;
            }
            let before = self.now;
            self.now = before.max(self.due);
            while let Some(Reverse((_, vector))) = self.ends.peek().filter(|e| e.0.0 <= self.now).copied() {
                self.ends.pop();
                self.io_apic.end_of_interrupt(vector, self.now);
            }
            self.sample_from(before);
        }
        if now > self.now {
            let before = std::mem::replace(&mut self.now, now);
            self.sample_from(before);
        }
    }

    /// Takes over the interrupt lines after an access.
    fn sample(&mut self) {
        self.sample_from(self.now);
    }

    /// Takes over the interrupt lines as they are now, and edges of the timer since cycle `before`.
    fn sample_from(&mut self, before: u64) {
        let timer = self.pit.interrupt(self.now);
        if timer && self.pit.next_change(before).is_some_and(|at| at <= self.now) {
            self.drive(IRQ_TIMER, false);
        }
        self.drive(IRQ_TIMER, timer);
        self.cmos.rtc.advance(self.now);
        self.drive(IRQ_CLOCK, self.cmos.rtc.interrupt());
        self.drive(IRQ_COPROCESSOR, self.coprocessor.interrupt());
        if self.serial.take_fall() {
            self.drive(IRQ_SERIAL, false);
        }
        self.drive(IRQ_SERIAL, self.serial.interrupt(self.now));
        self.set_intr(self.pics.interrupt());
        self.news |= self.io_apic.has_messages();
        self.plan();
    }

    fn drive(&mut self, irq: u8, high: bool) {
        self.pics.set_line(irq, high);
        self.io_apic.set_line(pin(irq), high, self.now);
    }

    fn set_intr(&mut self, high: bool) {
        if high != self.intr {
            self.intr = high;
            self.intr_changes.push((self.now, high));
            self.news = true;
        }
        self.io_apic.set_line(PIN_8259, high, self.now);
    }

    /// Finds [`Devices::due`] again.
    fn plan(&mut self) {
        let listens = |irq| self.pics.listens(irq) || self.io_apic.listens(pin(irq));
        let mut due = self.ends.peek().map_or(u64::MAX, |e| e.0.0);
        for (irq, change) in [
            (IRQ_TIMER, self.pit.next_change(self.now)),
            (IRQ_CLOCK, self.cmos.rtc.next_change(self.now)),
            (IRQ_SERIAL, self.serial.next_change(self.now)),
        ] {
            if let Some(change) = change
                && listens(irq)
            {
                due = due.min(change);
            }
        }
        self.news |= due != self.due;
        self.due = due;
    }

    fn read_byte(&mut self, port: u16, now: u64) -> Option<u8> {
        match port {
            DEBUG => return Some(debug_port::READ),
            _ if exit_port::covers(port) => return Some(exit_port::READ),
            _ if !has_time(port) => return self.board.read(port).or_else(|| self.display.read(port, now)),
            _ => self.advance(now),
        }
        let now = self.now;
        let value = match port {
            PIC_FIRST..=0x21 => self.pics.read(0, port - PIC_FIRST),
            PIC_SECOND..=0xa1 => self.pics.read(1, port - PIC_SECOND),
            PIC_LEVELS..=0x4d1 => self.pics.read_levels(usize::from(port - PIC_LEVELS)),
            PIT..=0x43 => self.pit.read(port - PIT, now),
            SPEAKER => self.pit.read_speaker(now),
            CMOS_INDEX => self.cmos.read_index(),
            CMOS_DATA => self.cmos.read(now),
            // Nothing to read there.
            COPROCESSOR..=0xf1 => 0xff,
            _ => self.serial.read(port.wrapping_sub(SERIAL), now),
        };
        self.sample();
        Some(value)
    }

    fn write_byte(&mut self, port: u16, value: u8, now: u64) -> Option<Asked> {
        match port {
            DEBUG => {
                self.debug.write(value);
                return Some(Asked::Nothing);
            }
            _ if !has_time(port) => {
                let displayed = self.display.write(port, value).then_some(Asked::Nothing);
                return displayed.or_else(|| self.board.write(port, value));
            }
            _ => self.advance(now),
        }
        let now = self.now;
        match port {
            PIC_FIRST..=0x21 => self.pics.write(0, port - PIC_FIRST, value),
            PIC_SECOND..=0xa1 => self.pics.write(1, port - PIC_SECOND, value),
            PIC_LEVELS..=0x4d1 => self.pics.write_levels(usize::from(port - PIC_LEVELS), value),
            PIT..=0x43 => self.pit.write(port - PIT, value, now),
            SPEAKER => self.pit.write_speaker(value, now),
            CMOS_INDEX => self.cmos.write_index(value),
            CMOS_DATA => self.cmos.write(value, now),
            COPROCESSOR..=0xf1 => self.coprocessor.clear(),
            _ => self.output.extend(self.serial.write(port.wrapping_sub(SERIAL), value, now)),
        }
        self.sample();
        Some(Asked::Nothing)
    }
}

/// The port of byte `i` of an access of `size` bytes.
fn place(port: u16, i: u32, size: u32) -> Option<u16> {
    port.checked_add(i as u16).filter(|&port| size == 1 || port != RESET_CONTROL)
}

/// Does the port belong to a device with a clock or an interrupt?
fn has_time(port: u16) -> bool {
    matches!(port, PIC_FIRST..=0x21 | PIC_SECOND..=0xa1 | PIC_LEVELS..=0x4d1 | PIT..=0x43)
        || matches!(port, SPEAKER | CMOS_INDEX | CMOS_DATA | COPROCESSOR..=0xf1 | SERIAL..=0x3ff)
}

#[cfg(test)]
mod tests;
