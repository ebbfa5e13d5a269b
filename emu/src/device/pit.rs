//! The 8254 timer and the speaker port's view of its third counter.
//!
//! ```text
//!  040-042 counters 0-2     043 control: 7-6 counter (3 = read back)  5-4 access  3-1 mode  0 BCD
//!  061  bit 0 gate of counter 2 (w)   bit 4 refresh toggle (r)   bit 5 output of counter 2 (r)
//! ```
//!
//! The counters run at 1.193182 MHz; a count follows exactly from the cycle at
//! which it was loaded. Modes 0 (terminal count), 2 (rate) and 3 (square wave)
//! count as on the chip; the triggered and strobe modes 1, 4 and 5 count down
//! once, from the load. Left out: the interrupt at the output of counter 0.
//! (Intel, `8254` data sheet.)

/// Input clock of the counters in Hz.
const INPUT_HZ: u128 = 1_193_182;
/// The refresh line toggles every 15 microseconds or so: 18 input clocks.
const REFRESH_CLOCKS: u64 = 18;

/// Which bytes of a count an access names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Low,
    High,
    Both,
}

/// Which byte of two comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Low,
    High,
}

#[derive(Clone, Debug)]
struct Counter {
    access: Access,
    mode: u8,
    bcd: bool,
    reading: Next,
    writing: Next,
    low_written: u8,
    /// Load value, 1..=65536 (10000 in BCD).
    load: u32,
    /// Input clock at which counting began; `None` while nothing is loaded.
    start: Option<u64>,
    /// Clocks counted before the gate closed; `Some` while it is closed.
    held: Option<u64>,
    latched: Option<u16>,
    status: Option<u8>,
}

impl Counter {
    fn new() -> Counter {
        Counter {
            access: Access::Both,
            mode: 3,
            bcd: false,
            reading: Next::Low,
            writing: Next::Low,
            low_written: 0,
            load: 0x1_0000,
            start: Some(0),
            held: None,
            latched: None,
            status: None,
        }
    }

    /// Clocks counted since the load.
    fn elapsed(&self, clock: u64) -> Option<u64> {
        let start = self.start?;
        Some(self.held.unwrap_or_else(|| clock.saturating_sub(start)))
    }

    fn modulus(&self) -> u64 {
        if self.bcd { 10_000 } else { 0x1_0000 }
    }

    /// The counting element, as it is read.
    fn count(&self, clock: u64) -> u16 {
        let load = u64::from(self.load);
        let Some(elapsed) = self.elapsed(clock) else { return self.encode(load) };
        let count = match self.mode {
            2 => load - elapsed % load,
            // Counts by two, twice per period.
            3 => {
                let half = load.div_ceil(2);
                let into = elapsed % load;
                let into = if into < half { into } else { into - half };
                (load & !1).saturating_sub(2 * into)
            }
            // Once, then on below zero.
            _ => (load + self.modulus() - elapsed % self.modulus()) % self.modulus(),
        };
        self.encode(count)
    }

    fn encode(&self, count: u64) -> u16 {
        let n = count % self.modulus();
        if !self.bcd {
            return n as u16;
        }
        (((n / 1000) << 12) | ((n / 100 % 10) << 8) | ((n / 10 % 10) << 4) | (n % 10)) as u16
    }

    fn output(&self, clock: u64) -> bool {
        let load = u64::from(self.load);
        let Some(elapsed) = self.elapsed(clock) else { return self.mode != 0 };
        match self.mode {
            2 => elapsed % load != load - 1,
            3 => elapsed % load < load.div_ceil(2),
            // Low until the terminal count; the strobe of modes 4 and 5 is one clock long.
            0 | 1 => elapsed >= load,
            _ => elapsed != load,
        }
    }

    fn control(&mut self, value: u8) {
        self.access = match value >> 4 & 3 {
            1 => Access::Low,
            2 => Access::High,
            _ => Access::Both,
        };
        // Modes 6 and 7 are 2 and 3 again.
        self.mode = match value >> 1 & 7 {
            mode @ 0..=5 => mode,
            mode => mode & 3,
        };
        self.bcd = value & 1 != 0;
        self.reading = Next::Low;
        self.writing = Next::Low;
        self.start = None;
        self.latched = None;
        self.status = None;
        self.held = self.held.map(|_| 0);
    }

    fn write(&mut self, value: u8, clock: u64) {
        let count = match (self.access, self.writing) {
            (Access::Low, _) => u16::from(value),
            (Access::High, _) => u16::from(value) << 8,
            (Access::Both, Next::Low) => {
                self.low_written = value;
                self.writing = Next::High;
                return;
            }
            (Access::Both, Next::High) => {
                self.writing = Next::Low;
                u16::from(value) << 8 | u16::from(self.low_written)
            }
        };
        let decoded = if self.bcd {
            (0..4).rev().fold(0, |n, digit| n * 10 + u32::from(count >> (4 * digit) & 0xf).min(9))
        } else {
            u32::from(count)
        };
        self.load = if decoded == 0 { self.modulus() as u32 } else { decoded };
        // A rate generator that counts by one cannot: it takes two.
        if matches!(self.mode, 2 | 3) {
            self.load = self.load.max(2);
        }
        self.start = Some(clock);
        self.held = self.held.map(|_| 0);
    }

    fn read(&mut self, clock: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let count = self.latched.unwrap_or_else(|| self.count(clock));
        let (byte, last) = match (self.access, self.reading) {
            (Access::Low, _) => (count as u8, true),
            (Access::High, _) => ((count >> 8) as u8, true),
            (Access::Both, Next::Low) => (count as u8, false),
            (Access::Both, Next::High) => ((count >> 8) as u8, true),
        };
        self.reading = if last { Next::Low } else { Next::High };
        if last {
            self.latched = None;
        }
        byte
    }

    fn latch(&mut self, clock: u64) {
        if self.latched.is_none() {
            self.latched = Some(self.count(clock));
            self.reading = Next::Low;
        }
    }

    fn latch_status(&mut self, clock: u64) {
        let access = match self.access {
            Access::Low => 1,
            Access::High => 2,
            Access::Both => 3,
        };
        let output = u8::from(self.output(clock)) << 7;
        let null = u8::from(self.start.is_none()) << 6;
        self.status = self.status.or(Some(output | null | access << 4 | self.mode << 1 | u8::from(self.bcd)));
    }

    fn gate(&mut self, open: bool, clock: u64) {
        match (open, self.held) {
            (false, None) => self.held = Some(self.elapsed(clock).unwrap_or(0)),
            (true, Some(counted)) => {
                // Mode 0 goes on where it was; a rising gate starts the others anew.
                let counted = if self.mode == 0 { counted } else { 0 };
                self.start = self.start.map(|_| clock.saturating_sub(counted));
                self.held = None;
            }
            _ => {}
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Pit {
    clock_mhz: u32,
    counters: [Counter; 3],
    speaker: u8,
}

impl Pit {
    pub fn new(clock_mhz: u32) -> Pit {
        let mut counters = [Counter::new(), Counter::new(), Counter::new()];
        // The gate of counter 2 is closed until the guest opens it.
        counters[2].held = Some(0);
        Pit { clock_mhz: clock_mhz.max(1), counters, speaker: 0 }
    }

    /// Input clocks since power-up.
    fn clock(&self, now: u64) -> u64 {
        let hz = u128::from(self.clock_mhz) * 1_000_000;
        // Less than `now`, since the input clock is slower than any processor's.
        (u128::from(now) * INPUT_HZ / hz) as u64
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
            Some(counter) => counter.control(value),
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
        self.counters[2].gate(value & 1 != 0, clock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A processor whose clock makes one input clock a whole number of cycles: 1193.182 MHz cannot be had, so
    /// times are given in input clocks and turned into the first cycle of that clock.
    fn cycle(clock: u64) -> u64 {
        (u128::from(clock) * 700_000_000).div_ceil(INPUT_HZ) as u64
    }

    fn count(p: &mut Pit, counter: u16, clock: u64) -> u16 {
        p.write(3, (counter as u8) << 6, cycle(clock));
        u16::from(p.read(counter, 0)) | u16::from(p.read(counter, 0)) << 8
    }

    #[test]
    fn one_second_is_one_second() {
        let p = Pit::new(700);
        assert_eq!(p.clock(700_000_000), 1_193_182);
        assert_eq!(p.clock(699_999_999), 1_193_181);
    }

    #[test]
    fn a_calibration_loop_sees_the_terminal_count() {
        // What kernels do: gate counter 2, mode 0, wait for the output at port 0x61.
        let mut p = Pit::new(700);
        p.write_speaker(1, 0);
        p.write(3, 0xb0, 0);
        p.write(2, 0x9c, 0);
        p.write(2, 0x2e, 0);
        assert_eq!(p.read_speaker(cycle(11_931)) & 0x20, 0);
        assert_eq!(p.read_speaker(cycle(11_932)) & 0x20, 0x20);
    }

    #[test]
    fn a_closed_gate_holds_the_count() {
        let mut p = Pit::new(700);
        p.write_speaker(1, 0);
        p.write(3, 0xb0, 0);
        p.write(2, 100, 0);
        p.write(2, 0, 0);
        p.write_speaker(0, cycle(40));
        assert_eq!(count(&mut p, 2, 1000), 60);
        p.write_speaker(1, cycle(1000));
        assert_eq!(count(&mut p, 2, 1010), 50);
        assert_eq!(p.read_speaker(cycle(1059)) & 0x20, 0);
        assert_eq!(p.read_speaker(cycle(1060)) & 0x20, 0x20);
    }

    #[test]
    fn the_rate_generator_goes_round() {
        let mut p = Pit::new(700);
        p.write(3, 0x34, 0);
        p.write(0, 10, 0);
        p.write(0, 0, 0);
        let seen: Vec<_> = (0..12).map(|c| count(&mut p, 0, c)).collect();
        assert_eq!(seen, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 10, 9]);
    }

    #[test]
    fn the_square_wave_counts_by_two() {
        let mut p = Pit::new(700);
        p.write(3, 0x36, 0);
        p.write(0, 8, 0);
        p.write(0, 0, 0);
        let seen: Vec<_> = (0..9).map(|c| count(&mut p, 0, c)).collect();
        assert_eq!(seen, [8, 6, 4, 2, 8, 6, 4, 2, 8]);
        let out: Vec<_> = (0..8).map(|c| p.counters[0].output(c)).collect();
        assert_eq!(out, [true, true, true, true, false, false, false, false]);
    }

    #[test]
    fn a_latched_count_waits_until_it_is_read() {
        let mut p = Pit::new(700);
        p.write(3, 0x30, 0);
        p.write(0, 0, 0);
        p.write(0, 0x10, 0);
        p.write(3, 0, cycle(16));
        p.write(3, 0, cycle(99));
        assert_eq!((p.read(0, cycle(200)), p.read(0, cycle(300))), (0xf0, 0x0f));
        assert_eq!(p.read(0, cycle(0x20)), 0xe0, "live again");
    }

    #[test]
    fn read_back_gives_status_then_count() {
        let mut p = Pit::new(700);
        p.write(3, 0x34, 0);
        p.write(3, 0xe2, 0);
        assert_eq!(p.read(0, 0), 0xf4, "output high, nothing loaded, low then high, mode 2");
        p.write(0, 4, 0);
        p.write(0, 0, 0);
        p.write(3, 0xc2, 0);
        assert_eq!([p.read(0, 0), p.read(0, 0), p.read(0, 0)], [0xb4, 4, 0]);
    }

    #[test]
    fn bcd_counts_in_tens() {
        let mut p = Pit::new(700);
        p.write(3, 0x31, 0);
        p.write(0, 0x00, 0);
        p.write(0, 0x10, 0);
        assert_eq!(count(&mut p, 0, 1), 0x0999);
        assert_eq!(count(&mut p, 0, 1001), 0x9999, "goes on below zero");
    }
}
