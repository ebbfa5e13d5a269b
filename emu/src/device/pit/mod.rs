//! The 8254 timer and the speaker port's view of its third counter.
//!
//! ```text
//!  040-042 counters 0-2     043 control: 7-6 counter (3 = read back)  5-4 access  3-1 mode  0 BCD
//!  061  bit 0 gate of counter 2 (w)   bit 4 refresh toggle (r)   bit 5 output of counter 2 (r)
//! ```
//!
//! The counters run at 1.193182 MHz; a count follows exactly from the cycle at
//! which it was written (`counter.rs`). The output of counter 0 is the board's timer
//! interrupt. The gates of counters 0 and 1 are always open.
//! (Intel, `8254` data sheet.)

mod counter;

use counter::Counter;

/// Input clock of the counters in Hz.
const INPUT_HZ: u128 = 1_193_182;
/// The refresh line toggles every 15 microseconds or so: 18 input clocks.
const REFRESH_CLOCKS: u64 = 18;

#[derive(Clone, Debug)]
pub(super) struct Pit {
    clock_mhz: u32,
    counters: [Counter; 3],
    speaker: u8,
}

impl Pit {
    pub fn new(clock_mhz: u32) -> Pit {
        // The gate of counter 2 is closed until the guest opens it.
        let counters = [Counter::new(true), Counter::new(true), Counter::new(false)];
        Pit { clock_mhz: clock_mhz.max(1), counters, speaker: 0 }
    }

    /// Input clocks since power-up.
    fn clock(&self, now: u64) -> u64 {
        let hz = u128::from(self.clock_mhz) * 1_000_000;
        // Less than `now`, since the input clock is slower than any processor's.
        (u128::from(now) * INPUT_HZ / hz) as u64
    }

    /// The first cycle of an input clock.
    fn cycle(&self, clock: u64) -> u64 {
        let hz = u128::from(self.clock_mhz) * 1_000_000;
        u64::try_from((u128::from(clock) * hz).div_ceil(INPUT_HZ)).unwrap_or(u64::MAX)
    }

    /// The timer interrupt: the output of counter 0.
    pub fn interrupt(&self, now: u64) -> bool {
        self.counters[0].output(self.clock(now))
    }

    /// The first cycle after `now` at which that may change by itself.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        self.counters[0].next_change(self.clock(now)).map(|clock| self.cycle(clock))
    }

    pub fn read(&mut self, port: u16, now: u64) -> u8 {
        let clock = self.clock(now);
        // The control word cannot be read.
        self.counters.get_mut(usize::from(port)).map_or(0xff, |c| c.read(clock))
    }

    pub fn write(&mut self, port: u16, value: u8, now: u64) {
        let clock = self.clock(now);
        if let Some(counter) = self.counters.get_mut(usize::from(port)) {
            counter.write(value, clock);
            return;
        }
        match self.counters.get_mut(usize::from(value >> 6)) {
            Some(counter) if value & 0x30 == 0 => counter.latch(clock),
            Some(counter) => counter.control(value, clock),
            None => {
                for (i, counter) in self.counters.iter_mut().enumerate() {
                    if value & 2 << i != 0 {
                        // Both bits are active low: bit 5 the count, bit 4 the status.
                        if value & 0x20 == 0 {
                            counter.latch(clock);
                        }
                        if value & 0x10 == 0 {
                            counter.latch_status(clock);
                        }
                    }
                }
            }
        }
    }

    pub fn read_speaker(&self, now: u64) -> u8 {
        let clock = self.clock(now);
        let refresh = ((clock / REFRESH_CLOCKS) as u8 & 1) << 4;
        let output = u8::from(self.counters[2].output(clock)) << 5;
        self.speaker | refresh | output
    }

    pub fn write_speaker(&mut self, value: u8, now: u64) {
        let clock = self.clock(now);
        self.speaker = value & 0xf;
        self.counters[2].set_gate(value & 1 != 0, clock);
    }
}

#[cfg(test)]
mod tests;
