//! How a PC's board reports errors of the x87 unit while CR0.NE is clear.
//!
//! ```text
//!  FERR# of the bootstrap processor --> flip-flop --> IRQ 13
//!  a write to port F0h (or F1h) ------> clears it, and raises IGNNE# until FERR# falls
//! ```
//!
//! While IGNNE# is raised the processor goes on in spite of the error, so that a handler
//! can read and clear it. (SDM vol. 1, "Guidelines for Writing x87 FPU
//! Exception Handlers", "MS-DOS Compatibility Sub-mode".)

/// The flip-flop between FERR# and the interrupt controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coprocessor {
    /// FERR#.
    error: bool,
    /// The flip-flop: the line of IRQ 13.
    latch: bool,
    /// IGNNE#.
    ignore: bool,
}

impl Coprocessor {
    /// FERR# is raised or falls.
    pub fn set_error(&mut self, raised: bool) {
        self.latch |= raised && !self.error;
        self.ignore &= raised;
        self.error = raised;
    }

    /// A write to port F0h or F1h.
    pub fn clear(&mut self) {
        self.latch = false;
        self.ignore = self.error;
    }

    /// The line of IRQ 13.
    pub fn interrupt(&self) -> bool {
        self.latch
    }

    /// IGNNE#.
    pub fn ignores(&self) -> bool {
        self.ignore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_clears_the_interrupt_and_lets_the_handler_work() {
        let mut c = Coprocessor::default();
        let lines = |c: &Coprocessor| (c.interrupt(), c.ignores());
        c.clear();
        assert_eq!(lines(&c), (false, false), "nothing to ignore");
        c.set_error(true);
        assert_eq!(lines(&c), (true, false));
        c.clear();
        assert_eq!(lines(&c), (false, true));
        c.set_error(true);
        assert_eq!(lines(&c), (false, true), "it is still the same error");
        c.set_error(false);
        assert_eq!(lines(&c), (false, false));
        c.set_error(true);
        c.set_error(false);
        assert_eq!(lines(&c), (true, false), "the flip-flop holds it");
    }
}
