//! One counter of the 8254: six modes, in closed form.
//!
//! A count is loaded on the input clock after it was written (or after the gate
//! triggered it) and is never stepped: what the counting element and the output
//! show follows from the clocks since. A new count for a rate generator or a square
//! wave waits for the end of the period or half-period under way.

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

/// A count under way.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Input clock at which the counting element was loaded with the count.
    at: u64,
    /// Clocks that were counted already at `at`.
    phase: u64,
    /// The gate has stopped it after so many clocks.
    held: Option<u64>,
    /// The length of the count.
    load: u64,
}

impl Run {
    /// Clocks counted by `clock`; `None` before the count is loaded.
    fn elapsed(&self, clock: u64) -> Option<u64> {
        self.held.or_else(|| Some(clock.checked_sub(self.at)? + self.phase))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Counter {
    access: Access,
    mode: u8,
    bcd: bool,
    reading: Next,
    writing: Next,
    low_written: u8,
    gate: bool,
    /// The count register, 1..=65536 (10000 in BCD); `None` until one is written.
    count: Option<u64>,
    run: Option<Run>,
    /// The run that takes over at a clock: a new count in modes 2 and 3.
    next: Option<Run>,
    /// The counting element while nothing is loaded.
    idle: u16,
    latched: Option<u16>,
    status: Option<u8>,
}

impl Counter {
    /// As firmware leaves counter 0 of a PC: mode 3, 65536.
    pub fn new(gate: bool) -> Counter {
        let run = Run { at: 0, phase: 0, held: None, load: 0x1_0000 };
        Counter {
            access: Access::Both,
            mode: 3,
            bcd: false,
            reading: Next::Low,
            writing: Next::Low,
            low_written: 0,
            gate,
            count: Some(run.load),
            run: gate.then_some(run),
            next: None,
            idle: 0,
            latched: None,
            status: None,
        }
    }

    fn modulus(&self) -> u64 {
        if self.bcd { 10_000 } else { 0x1_0000 }
    }

    /// The run that counts at `clock`.
    fn running(&self, clock: u64) -> Option<Run> {
        self.next.filter(|next| clock >= next.at).or(self.run)
    }

    fn settle(&mut self, clock: u64) {
        if let Some(next) = self.next.take_if(|next| clock >= next.at) {
            self.run = Some(next);
        }
    }

    /// The counting element, as it is read.
    fn element(&self, clock: u64) -> u16 {
        let Some((run, elapsed)) = self.running(clock).and_then(|r| Some((r, r.elapsed(clock)?))) else {
            return self.idle;
        };
        let count = match self.mode {
            2 => run.load - elapsed % run.load,
            // Counts by two, twice per period.
            3 => {
                let half = run.load.div_ceil(2);
                let into = elapsed % run.load;
                let into = if into < half { into } else { into - half };
                (run.load & !1).saturating_sub(2 * into)
            }
            // Once, then on below zero.
            _ => (run.load + self.modulus() - elapsed % self.modulus()) % self.modulus(),
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

    /// The output at input clock `clock`.
    pub fn output(&self, clock: u64) -> bool {
        if matches!(self.mode, 2 | 3) && !self.gate {
            return true;
        }
        let elapsed = self.running(clock).and_then(|run| Some((run.load, run.elapsed(clock)?)));
        let Some((load, elapsed)) = elapsed else { return self.mode != 0 };
        match self.mode {
            0 | 1 => elapsed >= load,
            2 => elapsed % load != load - 1,
            3 => elapsed % load < load.div_ceil(2),
            // The strobe is one clock long.
            _ => elapsed != load,
        }
    }

    /// The first input clock after `clock` at which the output may change if nothing is written and the gate stays.
    pub fn next_change(&self, clock: u64) -> Option<u64> {
        let taken_over = self.next.map(|next| next.at).filter(|&at| at > clock);
        match (self.change_of_run(clock), taken_over) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn change_of_run(&self, clock: u64) -> Option<u64> {
        let run = self.running(clock)?;
        if run.held.is_some() {
            return None;
        }
        let Some(elapsed) = run.elapsed(clock) else {
            // A one-shot begins with a falling edge; the others begin as they are.
            return if self.mode == 1 { Some(run.at) } else { self.change_of_run(run.at) };
        };
        let load = run.load;
        let wait = match self.mode {
            0 | 1 => load.checked_sub(elapsed).filter(|&n| n > 0)?,
            2 => match elapsed % load {
                last if last == load - 1 => 1,
                into => load - 1 - into,
            },
            3 => {
                let (half, into) = (load.div_ceil(2), elapsed % load);
                if into < half { half - into } else { load - into }
            }
            _ if elapsed < load => load - elapsed,
            _ if elapsed == load => 1,
            _ => return None,
        };
        clock.checked_add(wait)
    }

    /// A control word other than a latch command.
    pub fn control(&mut self, value: u8, clock: u64) {
        self.idle = self.element(clock);
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
        (self.reading, self.writing) = (Next::Low, Next::Low);
        (self.count, self.run, self.next) = (None, None, None);
        (self.latched, self.status) = (None, None);
    }

    pub fn write(&mut self, value: u8, clock: u64) {
        self.settle(clock);
        let count = match (self.access, self.writing) {
            (Access::Low, _) => u16::from(value),
            (Access::High, _) => u16::from(value) << 8,
            (Access::Both, Next::Low) => {
                self.low_written = value;
                self.writing = Next::High;
                if self.mode == 0 {
                    // The first byte stops the count and lets the output fall.
                    self.idle = self.element(clock);
                    self.run = None;
                }
                return;
            }
            (Access::Both, Next::High) => {
                self.writing = Next::Low;
                u16::from(value) << 8 | u16::from(self.low_written)
            }
        };
        let decoded = if self.bcd {
            (0..4).rev().fold(0, |n, digit| n * 10 + u64::from(count >> (4 * digit) & 0xf).min(9))
        } else {
            u64::from(count)
        };
        let load = if decoded == 0 { self.modulus() } else { decoded };
        // A rate generator cannot count by one: it takes two.
        let load = if matches!(self.mode, 2 | 3) { load.max(2) } else { load };
        self.count = Some(load);
        match self.mode {
            0 | 4 => {
                self.idle = self.element(clock);
                self.begin(load, clock);
            }
            2 | 3 if self.gate => match self.run {
                Some(run) => self.next = Some(self.takes_over(run, load, clock)),
                None => self.begin(load, clock),
            },
            // The gate's next rising edge loads it.
            _ => {}
        }
    }

    /// How a periodic count goes on with a new length.
    fn takes_over(&self, run: Run, load: u64, clock: u64) -> Run {
        let elapsed = run.elapsed(clock).unwrap_or(0);
        let into = elapsed % run.load;
        let half = run.load.div_ceil(2);
        // In the first half of a square wave: its second half has the new length.
        let (wait, phase) = if self.mode == 3 && into < half {
            (half - into, load.div_ceil(2))
        } else {
            (run.load - into, 0)
        };
        Run { at: clock.max(run.at).saturating_add(wait), phase, held: None, load }
    }

    fn begin(&mut self, load: u64, clock: u64) {
        let held = (!self.gate).then_some(0);
        self.run = Some(Run { at: clock + 1, phase: 0, held, load });
        self.next = None;
    }

    pub fn read(&mut self, clock: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let count = self.latched.unwrap_or_else(|| self.element(clock));
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

    pub fn latch(&mut self, clock: u64) {
        if self.latched.is_none() {
            self.latched = Some(self.element(clock));
            self.reading = Next::Low;
        }
    }

    pub fn latch_status(&mut self, clock: u64) {
        let access = match self.access {
            Access::Low => 1,
            Access::High => 2,
            Access::Both => 3,
        };
        let output = u8::from(self.output(clock)) << 7;
        // The count register has not reached the counting element yet.
        let loaded = self.running(clock).is_some_and(|run| run.elapsed(clock).is_some());
        let waits = self.next.is_some_and(|next| clock < next.at);
        let null = u8::from(!loaded || waits) << 6;
        self.status = self.status.or(Some(output | null | access << 4 | self.mode << 1 | u8::from(self.bcd)));
    }

    pub fn set_gate(&mut self, open: bool, clock: u64) {
        if open == self.gate {
            return;
        }
        self.settle(clock);
        self.gate = open;
        match (self.mode, open) {
            // The level of the gate lets them count.
            (0 | 4, true) => {
                if let Some(run) = &mut self.run
                    && let Some(counted) = run.held.take()
                {
                    // Loaded in any case by the next clock; counts from there.
                    (run.at, run.phase) = (clock.max(run.at), counted);
                }
            }
            (0 | 4, false) => {
                if let Some(run) = &mut self.run {
                    run.held = Some(run.elapsed(clock).unwrap_or(0));
                }
            }
            // Its rising edge starts them anew (a one-shot under way stays low meanwhile); for periodic counts its low
            // level is a stop.
            (_, true) => match (self.count, self.run) {
                (Some(load), Some(_)) => {
                    self.next = Some(Run { at: clock + 1, phase: 0, held: None, load });
                }
                (Some(load), None) => self.begin(load, clock),
                (None, _) => {}
            },
            (2 | 3, false) => {
                self.idle = self.element(clock);
                (self.run, self.next) = (None, None);
            }
            (_, false) => {}
        }
    }
}
