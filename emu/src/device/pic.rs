//! The pair of 8259 interrupt controllers, as far as a kernel that uses local
//! APICs needs them: it initialises them and masks every line.
//!
//! No device here raises a line, so no interrupt is ever requested or in service;
//! registers and the initialisation sequence behave. (Intel, `8259A` data sheet.)

const ICW1: u8 = 1 << 4;
const ICW1_NEEDS_4: u8 = 1;
const ICW1_SINGLE: u8 = 1 << 1;

/// The next word of the initialisation sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Vector,
    Cascade,
    Mode,
    Mask,
}

/// One 8259.
#[derive(Clone, Debug)]
pub(super) struct Pic {
    mask: u8,
    icw1: u8,
    expect: Expect,
}

/// The two of a PC.
#[derive(Clone, Debug)]
pub(super) struct Pics {
    pub first: Pic,
    pub second: Pic,
}

impl Pics {
    /// As firmware leaves them: initialised, everything masked.
    pub fn new() -> Pics {
        let pic = Pic { mask: 0xff, icw1: 0, expect: Expect::Mask };
        Pics { first: pic.clone(), second: pic }
    }
}

impl Pic {
    /// Reads the command port (0) or the data port (1).
    pub fn read(&self, port: u16) -> u8 {
        // The command port shows IRR, ISR or the poll word: no line is ever raised.
        if port == 0 { 0 } else { self.mask }
    }

    pub fn write(&mut self, port: u16, value: u8) {
        if port == 0 {
            // OCW2 (end of interrupt, rotation) and OCW3 (which register to read,
            // special mask, poll) act on requests, and there are none.
            if value & ICW1 != 0 {
                self.icw1 = value;
                self.mask = 0;
                self.expect = Expect::Vector;
            }
            return;
        }
        let four = if self.icw1 & ICW1_NEEDS_4 != 0 { Expect::Mode } else { Expect::Mask };
        match self.expect {
            // The vector base matters to nobody without requests.
            Expect::Vector => {
                self.expect = if self.icw1 & ICW1_SINGLE != 0 { four } else { Expect::Cascade };
            }
            Expect::Cascade => self.expect = four,
            Expect::Mode => self.expect = Expect::Mask,
            Expect::Mask => self.mask = value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialised_and_masked_as_a_kernel_does() {
        let mut pic = Pics::new().second;
        for (port, value) in [(0, 0x11), (1, 0x28), (1, 2), (1, 1)] {
            pic.write(port, value);
        }
        assert_eq!(pic.read(1), 0, "initialisation clears the mask");
        pic.write(1, 0xfe);
        assert_eq!(pic.read(1), 0xfe);
        pic.write(0, 0x20);
        assert_eq!((pic.read(0), pic.read(1)), (0, 0xfe));
    }

    #[test]
    fn a_single_controller_without_icw4_has_two_words() {
        let mut pic = Pics::new().first;
        pic.write(0, 0x12);
        pic.write(1, 0x43);
        pic.write(1, 0x55);
        assert_eq!(pic.read(1), 0x55);
    }

    #[test]
    fn all_lines_are_masked_at_first() {
        let pics = Pics::new();
        assert_eq!((pics.first.read(1), pics.second.read(1)), (0xff, 0xff));
    }
}
