//! The small ports of a PC's board that kernels touch before they look for anything.
//!
//! ```text
//!  060 064  keyboard controller, without a keyboard    080-08f  POST code, DMA page registers (storage)
//!  092      system control port A                       0ed      unused, written for a delay
//!  cf9      reset control
//! ```
//!
//! The A20 gate is open for good: both switches remember what was written, and
//! addresses keep bit 20. A reset asked for through any of the three ways ends the
//! run, since a machine without firmware has nothing to begin again with.

const STATUS_FULL: u8 = 1;
/// The controller has passed its self test; the last write was a command.
const STATUS_SYSTEM: u8 = 1 << 2;
const STATUS_COMMAND: u8 = 1 << 3;
/// No lock on the keyboard.
const STATUS_UNLOCKED: u8 = 1 << 4;
const OUTPUT_NO_RESET: u8 = 1;
const OUTPUT_A20: u8 = 1 << 1;
/// Command byte after a self test: keyboard and its interrupt off, scan codes translated, system flag.
const COMMAND_BYTE: u8 = 0x54;

/// What a write to one of the ports asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing beyond the port.
    Nothing,
    /// A reset of the processors.
    Reset,
}

/// The next byte at port 60h belongs to this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    CommandByte,
    OutputPort,
    /// Of a command that leads nowhere here.
    Dropped,
}

#[derive(Clone, Debug)]
pub(super) struct Board {
    pages: [u8; 16],
    command_byte: u8,
    output_port: u8,
    answer: Option<u8>,
    parameter: Option<Parameter>,
    last_was_command: bool,
    control_a: u8,
    reset_control: u8,
}

impl Board {
    pub fn new() -> Board {
        Board {
            pages: [0; 16],
            command_byte: COMMAND_BYTE,
            output_port: OUTPUT_NO_RESET | OUTPUT_A20,
            answer: None,
            parameter: None,
            last_was_command: false,
            control_a: OUTPUT_A20,
            reset_control: 0,
        }
    }

    /// The last POST code.
    pub fn post(&self) -> u8 {
        self.pages[0]
    }

    pub fn read(&mut self, port: u16) -> Option<u8> {
        Some(match port {
            0x60 => self.answer.take().unwrap_or(0),
            0x64 => {
                let full = if self.answer.is_some() { STATUS_FULL } else { 0 };
                let command = if self.last_was_command { STATUS_COMMAND } else { 0 };
                full | command | STATUS_SYSTEM | STATUS_UNLOCKED
            }
            0x80..=0x8f => self.pages[usize::from(port & 0xf)],
            0x92 => self.control_a,
            0xcf9 => self.reset_control,
            _ => return None,
        })
    }

    pub fn write(&mut self, port: u16, value: u8) -> Option<Asked> {
        let mut asked = Asked::Nothing;
        match port {
            0x60 => asked = self.data(value),
            0x64 => asked = self.command(value),
            0x80..=0x8f => self.pages[usize::from(port & 0xf)] = value,
            0x92 => {
                // A rising bit 0 resets.
                if value & !self.control_a & 1 != 0 {
                    asked = Asked::Reset;
                }
                self.control_a = value & 3;
            }
            0xed => {}
            0xcf9 => {
                // Bit 1 chooses which reset, a rising bit 2 does it.
                if value & !self.reset_control & 4 != 0 {
                    asked = Asked::Reset;
                }
                self.reset_control = value & 6;
            }
            _ => return None,
        }
        Some(asked)
    }

    /// A command to the keyboard controller.
    fn command(&mut self, command: u8) -> Asked {
        self.last_was_command = true;
        self.parameter = None;
        match command {
            0x20 => self.answer = Some(self.command_byte),
            0x60 => self.parameter = Some(Parameter::CommandByte),
            0xaa => {
                self.command_byte = COMMAND_BYTE;
                self.answer = Some(0x55);
            }
            0xab => self.answer = Some(0),
            0xad => self.command_byte |= 1 << 4,
            0xae => self.command_byte &= !(1 << 4),
            0xd0 => self.answer = Some(self.output_port),
            0xd1 => self.parameter = Some(Parameter::OutputPort),
            0xd2..=0xd4 => self.parameter = Some(Parameter::Dropped),
            // Pulses those lines of the output port that are clear: line 0 is the reset.
            0xf0..=0xff if command & OUTPUT_NO_RESET == 0 => return Asked::Reset,
            _ => {}
        }
        Asked::Nothing
    }

    /// A byte to the keyboard controller, or through it to a keyboard that is not there.
    fn data(&mut self, value: u8) -> Asked {
        self.last_was_command = false;
        match self.parameter.take() {
            Some(Parameter::CommandByte) => self.command_byte = value,
            Some(Parameter::OutputPort) => {
                self.output_port = value;
                if value & OUTPUT_NO_RESET == 0 {
                    return Asked::Reset;
                }
            }
            Some(Parameter::Dropped) | None => {}
        }
        Asked::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_reset_asks_for_it() {
        for (writes, last) in [
            (&[(0x64, 0xfe_u8)][..], Asked::Reset),
            (&[(0x64, 0xff)], Asked::Nothing),
            (&[(0x64, 0xd1), (0x60, 0xde)], Asked::Reset),
            (&[(0x64, 0xd1), (0x60, 0xdf)], Asked::Nothing),
            (&[(0x92, 3)], Asked::Reset),
            (&[(0x92, 2)], Asked::Nothing),
            (&[(0xcf9, 2), (0xcf9, 6)], Asked::Reset),
            (&[(0xcf9, 2)], Asked::Nothing),
        ] {
            let mut b = Board::new();
            let asked: Vec<_> = writes.iter().map(|&(port, value)| b.write(port, value)).collect();
            assert_eq!(asked.last(), Some(&Some(last)), "{writes:x?}");
        }
    }

    #[test]
    fn the_keyboard_controller_answers() {
        let mut b = Board::new();
        assert_eq!((b.read(0x64), b.read(0x60)), (Some(0x14), Some(0)));
        b.write(0x64, 0xaa);
        assert_eq!((b.read(0x64), b.read(0x60), b.read(0x64)), (Some(0x1d), Some(0x55), Some(0x1c)));
        b.write(0x64, 0x60);
        b.write(0x60, 0x65);
        b.write(0x64, 0x20);
        assert_eq!(b.read(0x60), Some(0x65));
        b.write(0x60, 0xff);
        assert_eq!(b.read(0x64), Some(0x14), "no keyboard answers");
    }

    #[test]
    fn a20_is_open_and_pages_are_storage() {
        let mut b = Board::new();
        assert_eq!(b.read(0x92), Some(2));
        b.write(0x64, 0xd0);
        assert_eq!(b.read(0x60), Some(3));
        b.write(0x80, 0x34);
        b.write(0x87, 0x56);
        assert_eq!((b.post(), b.read(0x87), b.read(0x90)), (0x34, Some(0x56), None));
    }
}
