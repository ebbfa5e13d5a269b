//! The pair of 8259A interrupt controllers of a PC, the second behind input 2 of
//! the first, and the edge/level control registers of the south bridge.
//!
//! ```text
//!  020-021 first: IRQ 0-7    0a0-0a1 second: IRQ 8-15    4d0-4d1 ELCR, a bit per IRQ: 1 = level
//! ```
//!
//! (Intel, `8259A` data sheet; `82371AB` (PIIX4) data sheet, "Interrupt Controller".)

mod chip;

use chip::Chip;

/// Input of the first controller that the second drives.
const CASCADE: u8 = 2;
/// IRQs that cannot be level-triggered: timer, keyboard, cascade; clock and coprocessor.
const EDGE_ONLY: [u8; 2] = [0b0000_0111, 0b0010_0001];

/// The pair.
#[derive(Clone, Debug)]
pub(super) struct Pics {
    chips: [Chip; 2],
}

impl Pics {
    /// As firmware leaves them: vectors 8 and 70h, everything masked.
    pub fn new() -> Pics {
        Pics { chips: [Chip::new(0x08, 1 << CASCADE), Chip::new(0x70, 0)] }
    }

    /// Drives an IRQ (0 to 15).
    pub fn set_line(&mut self, irq: u8, high: bool) {
        let [first, second] = &mut self.chips;
        if irq < 8 {
            first.set_line(irq, high);
        } else {
            second.set_line(irq - 8, high);
            self.settle();
        }
    }

    /// Could this IRQ, if it came, reach a processor?
    pub fn listens(&self, irq: u8) -> bool {
        let [first, second] = &self.chips;
        if irq < 8 { first.is_open(irq) } else { second.is_open(irq - 8) && first.is_open(CASCADE) }
    }

    /// The INTR line.
    pub fn interrupt(&self) -> bool {
        self.chips[0].request().is_some()
    }

    /// A processor acknowledges the interrupt: its vector, a spurious one when nothing asks any more.
    pub fn acknowledge(&mut self) -> u8 {
        let [first, second] = &mut self.chips;
        let line = first.acknowledge();
        let vector = if line == Some(CASCADE) {
            let line = second.acknowledge();
            second.vector(line)
        } else {
            first.vector(line)
        };
        self.cascade_again(line);
        vector
    }

    /// Reads a port of the first (0) or second (1) controller.
    pub fn read(&mut self, chip: usize, port: u16) -> u8 {
        let Some(c) = self.chips.get_mut(chip) else { return 0xff };
        if !c.polled() {
            return c.read(port);
        }
        let word = c.poll();
        self.cascade_again((chip == 1).then_some(CASCADE));
        word
    }

    /// Writes a port of the first (0) or second (1) controller.
    pub fn write(&mut self, chip: usize, port: u16, value: u8) {
        if let Some(c) = self.chips.get_mut(chip) {
            c.write(port, value);
        }
        self.settle();
    }

    /// Reads the ELCR of a controller.
    pub fn read_levels(&self, chip: usize) -> u8 {
        self.chips.get(chip).map_or(0, |c| c.levels)
    }

    /// Writes the ELCR of a controller.
    pub fn write_levels(&mut self, chip: usize, value: u8) {
        if let (Some(c), Some(edge)) = (self.chips.get_mut(chip), EDGE_ONLY.get(chip)) {
            c.levels = value & !edge;
        }
        self.settle();
    }

    /// The second controller's output is the first one's input.
    fn settle(&mut self) {
        let [first, second] = &mut self.chips;
        first.set_line(CASCADE, second.request().is_some());
    }

    /// After an acknowledgement of the second controller its output falls; it rises again for the next request.
    fn cascade_again(&mut self, line: Option<u8>) {
        if line == Some(CASCADE) {
            self.chips[0].set_line(CASCADE, false);
        }
        self.settle();
    }
}

#[cfg(test)]
mod tests;
