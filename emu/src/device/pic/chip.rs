//! One 8259A: requests, priorities, its command words.
//!
//! ```text
//!  port 0 w  ICW1 (bit 4)   OCW2 (bits 4-3 = 00): end of interrupt, rotation   OCW3 (01): special mask, poll, read select
//!  port 0 r  IRR or ISR, or the poll word
//!  port 1 w  ICW2, ICW3, ICW4 after ICW1; then OCW1, the mask      port 1 r  mask
//! ```
//!
//! A request of an edge-triggered input lasts while the input stays high: one that
//! falls before the acknowledgement gives the spurious level 7. The level bits of
//! the ELCR stand for bit 3 of ICW1, as in the south bridges of the time. Left out:
//! the MCS-80 mode and buffered mode, which a PC cannot have.

const ICW1: u8 = 1 << 4;
const ICW1_NEEDS_4: u8 = 1;
const ICW1_SINGLE: u8 = 1 << 1;
const ICW4_AUTO_END: u8 = 1 << 1;
const ICW4_NESTED: u8 = 1 << 4;
const OCW3: u8 = 1 << 3;
const OCW3_POLL: u8 = 1 << 2;

/// The next word of the initialisation sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Vector,
    Cascade,
    Mode,
    Mask,
}

/// One 8259A.
#[derive(Clone, Debug)]
pub(super) struct Chip {
    expect: Expect,
    icw1: u8,
    icw4: u8,
    /// Vector of input 0; the lower three bits are clear.
    base: u8,
    mask: u8,
    /// The inputs.
    lines: u8,
    /// Inputs that are level-triggered.
    pub levels: u8,
    /// Edges not yet acknowledged.
    edges: u8,
    in_service: u8,
    /// The input with the highest priority.
    first: u8,
    rotates_on_auto_end: bool,
    special_mask: bool,
    reads_in_service: bool,
    poll: bool,
    /// Inputs that a second controller drives.
    pub cascade: u8,
}

impl Chip {
    /// As firmware leaves it: initialised, everything masked.
    pub fn new(base: u8, cascade: u8) -> Chip {
        Chip {
            expect: Expect::Mask,
            icw1: ICW1 | ICW1_NEEDS_4,
            icw4: 1,
            base,
            mask: 0xff,
            lines: 0,
            levels: 0,
            edges: 0,
            in_service: 0,
            first: 0,
            rotates_on_auto_end: false,
            special_mask: false,
            reads_in_service: false,
            poll: false,
            cascade,
        }
    }

    /// May a request of this input reach the output?
    pub fn is_open(&self, line: u8) -> bool {
        self.expect == Expect::Mask && self.mask & 1 << (line & 7) == 0
    }

    /// Drives an input.
    pub fn set_line(&mut self, line: u8, high: bool) {
        let bit = 1 << (line & 7);
        if !high {
            self.lines &= !bit;
            self.edges &= !bit;
        } else if self.lines & bit == 0 {
            self.lines |= bit;
            self.edges |= bit;
        }
    }

    /// The interrupt request register.
    fn requests(&self) -> u8 {
        self.lines & self.levels | self.edges & !self.levels
    }

    /// Position of an input in the order of priorities, 0 first.
    fn rank(&self, line: u8) -> u8 {
        line.wrapping_sub(self.first) & 7
    }

    /// Of these inputs the one with the highest priority.
    fn highest(&self, lines: u8) -> Option<u8> {
        (0..8).map(|rank| (self.first + rank) & 7).find(|line| lines & 1 << line != 0)
    }

    /// The request that the output asks for.
    pub fn request(&self) -> Option<u8> {
        if self.expect != Expect::Mask {
            return None;
        }
        let line = self.highest(self.requests() & !self.mask)?;
        let mut blocking = self.in_service;
        if self.special_mask {
            // What is in service holds back only itself, and that not when it is masked.
            blocking &= !self.mask & 1 << line;
        }
        if self.icw4 & ICW4_NESTED != 0 {
            // A second controller may ask again while its input is in service.
            blocking &= !(self.cascade & 1 << line);
        }
        let blocked = self.highest(blocking).is_some_and(|service| self.rank(service) <= self.rank(line));
        (!blocked).then_some(line)
    }

    /// The acknowledgement: the input now in service, or `None` for a request that has gone.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let line = self.request()?;
        let bit = 1 << line;
        self.edges &= !bit;
        if self.icw4 & ICW4_AUTO_END == 0 {
            self.in_service |= bit;
        } else if self.rotates_on_auto_end {
            self.first = (line + 1) & 7;
        }
        Some(line)
    }

    /// The vector of an input; without a request that of input 7.
    pub fn vector(&self, line: Option<u8>) -> u8 {
        self.base | line.unwrap_or(7)
    }

    /// Is the next read of port 0 or 1 an acknowledgement?
    pub fn polled(&self) -> bool {
        self.poll
    }

    /// The poll word.
    pub fn poll(&mut self) -> u8 {
        self.poll = false;
        self.acknowledge().map_or(0, |line| 0x80 | line)
    }

    /// Reads the command port (0) or the data port (1).
    pub fn read(&self, port: u16) -> u8 {
        match (port, self.reads_in_service) {
            (0, false) => self.requests(),
            (0, true) => self.in_service,
            _ => self.mask,
        }
    }

    /// Writes the command port (0) or the data port (1).
    pub fn write(&mut self, port: u16, value: u8) {
        match (port, self.expect) {
            (0, _) if value & ICW1 != 0 => self.initialise(value),
            (0, _) if value & OCW3 != 0 => self.select(value),
            (0, _) => self.end_or_rotate(value),
            (_, Expect::Vector) => {
                self.base = value & 0xf8;
                self.expect =
                    if self.icw1 & ICW1_SINGLE != 0 { self.after_cascade() } else { Expect::Cascade };
            }
            // The wiring of the board is what it is.
            (_, Expect::Cascade) => self.expect = self.after_cascade(),
            (_, Expect::Mode) => {
                self.icw4 = value;
                self.expect = Expect::Mask;
            }
            (_, Expect::Mask) => self.mask = value,
        }
    }

    fn after_cascade(&self) -> Expect {
        if self.icw1 & ICW1_NEEDS_4 != 0 { Expect::Mode } else { Expect::Mask }
    }

    fn initialise(&mut self, icw1: u8) {
        let fresh = Chip::new(self.base, self.cascade);
        *self = Chip {
            icw1,
            icw4: 0,
            mask: 0,
            lines: self.lines,
            levels: self.levels,
            expect: Expect::Vector,
            ..fresh
        };
    }

    /// OCW3.
    fn select(&mut self, value: u8) {
        match value >> 5 & 3 {
            2 => self.special_mask = false,
            3 => self.special_mask = true,
            _ => {}
        }
        if value & OCW3_POLL != 0 {
            self.poll = true;
            return;
        }
        match value & 3 {
            2 => self.reads_in_service = false,
            3 => self.reads_in_service = true,
            _ => {}
        }
    }

    /// OCW2.
    fn end_or_rotate(&mut self, value: u8) {
        let named = value & 7;
        match value >> 5 {
            0 => self.rotates_on_auto_end = false,
            4 => self.rotates_on_auto_end = true,
            code @ (1 | 5) => {
                // In special mask mode an end that names nobody does not reach masked inputs.
                let masked = if self.special_mask { self.mask } else { 0 };
                if let Some(line) = self.highest(self.in_service & !masked) {
                    self.end(line, code == 5);
                }
            }
            code @ (3 | 7) => self.end(named, code == 7),
            6 => self.first = (named + 1) & 7,
            _ => {}
        }
    }

    fn end(&mut self, line: u8, rotate: bool) {
        self.in_service &= !(1 << line);
        if rotate {
            self.first = (line + 1) & 7;
        }
    }
}
