//! A colour text adapter that nobody looks at, as far as kernels that print on one need it.
//!
//! ```text
//!  3d4 3d5  CRT controller: index, register (18, storage; 0e-0f the cursor)
//!  3d8 3d9  mode and colour (storage)       3da  status: 0 no display now, 3 vertical retrace
//!  000b8000 32 KiB of text, which is RAM like any other
//! ```
//!
//! Retraces come at the rate of an 80-column display: 262 lines, 60 times a second. Left out: graphics,
//! and a picture. (Motorola, `MC6845` data sheet; IBM, `Color/Graphics Monitor Adapter`.)

const INDEX: u16 = 0x3d4;
const DATA: u16 = 0x3d5;
const MODE: u16 = 0x3d8;
const COLOUR: u16 = 0x3d9;
const STATUS: u16 = 0x3da;
const REGISTERS: usize = 18;

const LINES_PER_SECOND: u64 = 262 * 60;
const LINES: u64 = 262;
const LINES_SHOWN: u64 = 200;
/// Lines in which the vertical retrace begins and ends.
const RETRACE: std::ops::Range<u64> = 224..240;

#[derive(Clone, Debug)]
pub(super) struct Display {
    /// Cycles in a line of the picture.
    line: u64,
    index: u8,
    registers: [u8; REGISTERS],
    mode: u8,
    colour: u8,
}

impl Display {
    pub fn new(clock_mhz: u32) -> Display {
        let line = (u64::from(clock_mhz) * 1_000_000 / LINES_PER_SECOND).max(1);
        Display { line, index: 0, registers: [0; REGISTERS], mode: 0x29, colour: 0 }
    }

    pub fn read(&self, port: u16, now: u64) -> Option<u8> {
        Some(match port {
            INDEX => self.index,
            DATA => self.registers.get(usize::from(self.index)).copied().unwrap_or(0),
            MODE => self.mode,
            COLOUR => self.colour,
            STATUS => {
                let line = now / self.line % LINES;
                // The last fifth of a line is not shown.
                let within = now % self.line < self.line / 5 * 4;
                let hidden = line >= LINES_SHOWN || !within;
                u8::from(hidden) | u8::from(RETRACE.contains(&line)) << 3
            }
            _ => return None,
        })
    }

    /// False where the adapter has no port.
    pub fn write(&mut self, port: u16, value: u8) -> bool {
        match port {
            INDEX => self.index = value,
            DATA => {
                if let Some(register) = self.registers.get_mut(usize::from(self.index)) {
                    *register = value;
                }
            }
            MODE => self.mode = value,
            COLOUR => self.colour = value,
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_kept() {
        let mut d = Display::new(700);
        assert_eq!(d.read(DATA, 0), Some(0));
        for (index, value) in [(14, 0x07), (15, 0x80), (200, 1)] {
            assert!(d.write(INDEX, index) && d.write(DATA, value));
        }
        for (index, value) in [(14, 0x07), (15, 0x80), (200, 0)] {
            d.write(INDEX, index);
            assert_eq!(d.read(DATA, 0), Some(value));
        }
        assert_eq!(d.read(0x3c0, 0), None);
        assert!(!d.write(STATUS, 0));
    }

    #[test]
    fn retraces_come_sixty_times_a_second() {
        let d = Display::new(700);
        let status = |now| d.read(STATUS, now).unwrap_or(0);
        assert_eq!((status(0), status(d.line - 1)), (0, 1));
        let retraces = (0..700_000_000_u64)
            .step_by(10_000)
            .filter(|&now| status(now) & 8 != 0 && status(now - 10_000.min(now)) & 8 == 0);
        assert_eq!(retraces.count(), 60);
    }
}
