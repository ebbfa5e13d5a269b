//! The I/O APIC, an 82093AA: 24 inputs, a redirection entry for each.
//!
//! ```text
//!  fec00000 index   fec00010 window      index 00 ID  01 version  02 arbitration ID  10-3f entries, low then high
//!
//!  entry  63    56      16  15  14   13  12  11 10    8 7      0
//!        +--------+---+----+---+----+---+---+---+------+--------+
//!        | target | - | M  | T | R  | P | S | D | mode | vector |
//!        +--------+---+----+---+----+---+---+---+------+--------+
//!         M masked  T 1 = level  R remote IRR  P 1 = active low  S send pending  D 1 = logical
//! ```
//!
//! An edge under the mask is lost; a level asks again when it is unmasked and after
//! each end of interrupt. Remote IRR is set when a message finds a target.
//! (Intel, `82093AA` data sheet.)

use crate::apic::{Destination, Ipi, Kind, Level, Mode, Trigger, rotated};

/// Physical address of the index register; the window is 16 bytes further.
pub const BASE: u64 = 0xfec0_0000;
/// Number of inputs.
pub const PINS: usize = 24;

const WINDOW: u32 = 0x10;
const ID: u8 = 0;
const VERSION: u8 = 1;
const ARBITRATION: u8 = 2;
const ENTRIES: u8 = 0x10;
const LAST: u8 = 0x3f;
/// 24 entries, version 1.1.
const VERSION_VALUE: u32 = 0x0017_0011;

const SEND_PENDING: u64 = 1 << 12;
const ACTIVE_LOW: u64 = 1 << 13;
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
/// Bits of an entry that software may write.
const WRITABLE: u64 = 0xff00_0000_0001_afff;

/// A message to the local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// When the input asked for it, in cycles.
    pub cycle: u64,
    /// The input.
    pub pin: u8,
    /// What it says.
    pub ipi: Ipi,
}

/// The I/O APIC.
#[derive(Clone, Debug)]
pub struct IoApic {
    kind: Kind,
    id: u8,
    arbitration: u8,
    index: u8,
    entries: [u64; PINS],
    /// Levels of the inputs, a bit each.
    lines: u32,
    /// Until then the last message of an input waits for the bus.
    busy_until: [u64; PINS],
    out: Vec<Message>,
}

impl IoApic {
    /// After RESET: all inputs masked. The ID is one that firmware has given; it is as wide as those of the local
    /// APICs.
    pub fn new(id: u8, kind: Kind) -> IoApic {
        IoApic {
            kind,
            id: id & kind.id_mask(),
            arbitration: id & kind.id_mask(),
            index: 0,
            entries: [MASKED; PINS],
            lines: 0,
            busy_until: [0; PINS],
            out: Vec::new(),
        }
    }

    /// Reads the register at an offset from [`BASE`]; the index and the window are all there is.
    pub fn read(&self, offset: u32, now: u64) -> u32 {
        match offset {
            0 => u32::from(self.index),
            WINDOW => self.register(self.index, now),
            _ => 0,
        }
    }

    /// Writes the register at an offset from [`BASE`].
    pub fn write(&mut self, offset: u32, value: u32, now: u64) {
        match (offset, self.index) {
            (0, _) => self.index = value as u8,
            (WINDOW, ID) => {
                self.id = (value >> 24) as u8 & self.kind.id_mask();
                self.arbitration = self.id;
            }
            (WINDOW, index @ ENTRIES..=LAST) => self.write_entry(index - ENTRIES, value, now),
            _ => {}
        }
    }

    fn register(&self, index: u8, now: u64) -> u32 {
        match index {
            ID => u32::from(self.id) << 24,
            VERSION => VERSION_VALUE,
            ARBITRATION => u32::from(self.arbitration) << 24,
            ENTRIES..=LAST => {
                let pin = usize::from((index - ENTRIES) / 2);
                let waits = self.busy_until.get(pin).is_some_and(|&until| now < until);
                let entry = self.entries.get(pin).map_or(0, |e| e | if waits { SEND_PENDING } else { 0 });
                if index & 1 == 0 { entry as u32 } else { (entry >> 32) as u32 }
            }
            _ => 0,
        }
    }

    fn write_entry(&mut self, half: u8, value: u32, now: u64) {
        let pin = half / 2;
        let Some(entry) = self.entries.get_mut(usize::from(pin)) else { return };
        let shift = u32::from(half & 1) * 32;
        let new = *entry & !(0xffff_ffff << shift) | u64::from(value) << shift;
        // An edge-triggered input waits for nobody's end of interrupt.
        let waits = if new & LEVEL != 0 { *entry & REMOTE_IRR } else { 0 };
        *entry = new & WRITABLE | waits;
        self.ask_by_level(pin, now);
    }

    /// Could this input, if it were driven, reach a processor?
    pub fn listens(&self, pin: u8) -> bool {
        self.entries.get(usize::from(pin)).is_some_and(|e| e & MASKED == 0)
    }

    /// Drives an input.
    pub fn set_line(&mut self, pin: u8, high: bool, now: u64) {
        let bit = 1_u32.checked_shl(u32::from(pin)).unwrap_or(0);
        let was = self.lines & bit != 0;
        if was == high {
            return;
        }
        self.lines ^= bit;
        match self.entries.get(usize::from(pin)) {
            Some(entry) if entry & LEVEL != 0 => self.ask_by_level(pin, now),
            Some(entry) if entry & MASKED == 0 && self.active(pin) => self.send(pin, now),
            _ => {}
        }
    }

    /// The service of a level-triggered vector has ended somewhere.
    pub fn end_of_interrupt(&mut self, vector: u8, now: u64) {
        for pin in 0..PINS as u8 {
            if let Some(entry) = self.entries.get_mut(usize::from(pin))
                && *entry & REMOTE_IRR != 0
                && *entry as u8 == vector
            {
                *entry &= !REMOTE_IRR;
                self.ask_by_level(pin, now);
            }
        }
    }

    /// What became of a message: it found a target or not, and the bus was free for it at cycle `until`.
    pub fn sent(&mut self, pin: u8, found: bool, until: u64) {
        let pin = usize::from(pin);
        if let (Some(entry), Some(busy)) = (self.entries.get_mut(pin), self.busy_until.get_mut(pin)) {
            *busy = until;
            if found && by_level(*entry) {
                *entry |= REMOTE_IRR;
            }
        }
    }

    /// Arbitration ID.
    pub fn arbitration(&self) -> u8 {
        self.arbitration
    }

    /// A message went over the serial bus; see [`crate::apic::rotated`].
    pub fn message_passed(&mut self, winner: u8, own: bool) {
        self.arbitration = rotated(self.arbitration, winner, own);
    }

    /// Messages that wait to be sent.
    pub fn has_messages(&self) -> bool {
        !self.out.is_empty()
    }

    /// Takes the messages that wait to be sent.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.out)
    }

    fn active(&self, pin: u8) -> bool {
        let entry = self.entries.get(usize::from(pin)).copied().unwrap_or(MASKED);
        (self.lines >> pin & 1 != 0) != (entry & ACTIVE_LOW != 0)
    }

    /// A level-triggered input that is active, unmasked and not being served asks.
    fn ask_by_level(&mut self, pin: u8, now: u64) {
        let entry = self.entries.get(usize::from(pin)).copied().unwrap_or(MASKED);
        let waiting = self.out.iter().any(|m| m.pin == pin);
        if by_level(entry) && entry & (MASKED | REMOTE_IRR) == 0 && self.active(pin) && !waiting {
            self.send(pin, now);
        }
    }

    fn send(&mut self, pin: u8, now: u64) {
        let entry = self.entries.get(usize::from(pin)).copied().unwrap_or(MASKED);
        let target = (entry >> 56) as u8;
        let ipi = Ipi {
            mode: mode(entry),
            vector: entry as u8,
            destination: if entry & 1 << 11 != 0 {
                Destination::Logical(target)
            } else {
                Destination::Physical(target & self.kind.id_mask())
            },
            level: Level::Assert,
            trigger: if by_level(entry) { Trigger::Level } else { Trigger::Edge },
        };
        self.out.push(Message { cycle: now, pin, ipi });
    }
}

fn mode(entry: u64) -> Mode {
    match (entry >> 8 & 7) as u8 {
        0 => Mode::Fixed,
        1 => Mode::LowestPriority,
        2 => Mode::Smi,
        4 => Mode::Nmi,
        5 => Mode::Init,
        7 => Mode::ExtInt,
        reserved => Mode::Reserved(reserved),
    }
}

/// Only interrupts with a vector can be level-triggered; the other modes are edges whatever the entry says.
fn by_level(entry: u64) -> bool {
    entry & LEVEL != 0 && matches!(mode(entry), Mode::Fixed | Mode::LowestPriority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(io: &mut IoApic, index: u8, value: u32) {
        io.write(0, index.into(), 0);
        io.write(WINDOW, value, 0);
    }

    fn read(io: &mut IoApic, index: u8) -> u32 {
        io.write(0, index.into(), 0);
        io.read(WINDOW, 0)
    }

    fn with_entry(pin: u8, low: u32, high: u32) -> IoApic {
        let mut io = IoApic::new(4, Kind::P6);
        write(&mut io, ENTRIES + 2 * pin + 1, high);
        write(&mut io, ENTRIES + 2 * pin, low);
        io
    }

    /// The messages, all of which find a target.
    fn sent(io: &mut IoApic) -> Vec<Ipi> {
        let messages = io.take_messages();
        messages.iter().for_each(|m| io.sent(m.pin, true, 0));
        messages.iter().map(|m| m.ipi).collect()
    }

    #[test]
    fn registers_are_the_data_sheet_s() {
        let mut io = IoApic::new(4, Kind::P6);
        assert_eq!((read(&mut io, ID), read(&mut io, VERSION)), (0x0400_0000, 0x0017_0011));
        assert_eq!((read(&mut io, 0x10), read(&mut io, 0x3f), read(&mut io, 0x40)), (0x1_0000, 0, 0));
        write(&mut io, ID, 0xff00_0000);
        assert_eq!((read(&mut io, ID), read(&mut io, ARBITRATION)), (0x0f00_0000, 0x0f00_0000));
        write(&mut io, VERSION, 0);
        assert_eq!(read(&mut io, VERSION), 0x0017_0011);
        write(&mut io, 0x3e, 0xffff_ffff);
        write(&mut io, 0x3f, 0xffff_ffff);
        assert_eq!((read(&mut io, 0x3e), read(&mut io, 0x3f)), (0x0001_afff, 0xff00_0000));
        assert_eq!((io.read(0, 0), io.read(4, 0)), (0x3f, 0));
    }

    #[test]
    fn entries_become_messages() {
        use Destination::{Logical, Physical};
        for (low, high, mode, destination) in [
            (0x0040, 0x0300_0000, Mode::Fixed, Physical(3)),
            (0x0940, 0x8100_0000, Mode::LowestPriority, Logical(0x81)),
            (0x0240, 0, Mode::Smi, Physical(0)),
            (0x0440, 0, Mode::Nmi, Physical(0)),
            (0x0540, 0, Mode::Init, Physical(0)),
            (0x0740, 0, Mode::ExtInt, Physical(0)),
            (0x0640, 0, Mode::Reserved(6), Physical(0)),
        ] {
            let mut io = with_entry(5, low, high);
            io.set_line(5, true, 77);
            let m = io.take_messages();
            assert_eq!((m.len(), m[0].cycle, m[0].pin), (1, 77, 5));
            let ipi = m[0].ipi;
            assert_eq!((ipi.mode, ipi.destination, ipi.vector), (mode, destination, 0x40));
            assert_eq!(ipi.trigger, Trigger::Edge);
        }
    }

    #[test]
    fn edges_ask_once_and_are_lost_under_the_mask() {
        let mut io = with_entry(1, 0x0041, 0);
        for high in [true, true, false, true] {
            io.set_line(1, high, 0);
        }
        assert_eq!(sent(&mut io).len(), 2);
        assert_eq!(read(&mut io, 0x12) & REMOTE_IRR as u32, 0);
        write(&mut io, 0x12, 0x1_0041);
        io.set_line(1, false, 0);
        io.set_line(1, true, 0);
        write(&mut io, 0x12, 0x41);
        assert_eq!(sent(&mut io), []);
    }

    #[test]
    fn a_low_active_input_asks_when_it_falls() {
        let mut io = with_entry(1, 0x0041, 0);
        io.set_line(1, true, 0);
        sent(&mut io);
        write(&mut io, 0x12, 0x2041);
        io.set_line(1, false, 0);
        assert_eq!(sent(&mut io).len(), 1);
    }

    #[test]
    fn a_level_asks_again_after_its_end() {
        let mut io = with_entry(9, 0xa055, 0);
        assert_eq!(sent(&mut io).len(), 1, "low is active: at once");
        assert_eq!(read(&mut io, 0x22), 0xe055, "remote IRR");
        io.set_line(9, true, 0);
        io.set_line(9, false, 0);
        assert_eq!(sent(&mut io), [], "it is being served");
        io.end_of_interrupt(0x54, 0);
        assert_eq!(sent(&mut io), [], "another vector");
        io.end_of_interrupt(0x55, 0);
        assert_eq!(sent(&mut io).len(), 1, "still active");
        io.set_line(9, true, 0);
        io.end_of_interrupt(0x55, 0);
        assert_eq!((sent(&mut io), read(&mut io, 0x22)), (vec![], 0xa055));
    }

    #[test]
    fn a_level_waits_under_the_mask_and_for_a_target() {
        let mut io = with_entry(9, 0x1_8055, 0);
        io.set_line(9, true, 0);
        assert_eq!(sent(&mut io), []);
        write(&mut io, 0x22, 0x8055);
        let m = io.take_messages();
        assert_eq!(m.len(), 1);
        io.sent(9, false, 50);
        assert_eq!(io.read(WINDOW, 49), 0x9055, "send pending");
        assert_eq!(io.read(WINDOW, 50), 0x8055, "nobody took it");
        write(&mut io, 0x22, 0x8055);
        assert_eq!(sent(&mut io).len(), 1);
        write(&mut io, 0x22, 0x0055);
        assert_eq!(read(&mut io, 0x22), 0x55, "an edge has no remote IRR");
    }
}
