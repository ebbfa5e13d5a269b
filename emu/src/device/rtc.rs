//! The clock of the CMOS chip (Motorola `MC146818`): time of day, calendar, alarm,
//! periodic and update-ended interrupts.
//!
//! ```text
//!  00 seconds 02 minutes 04 hours 06 weekday 07 day 08 month 09 year      01 03 05 alarm
//!  0a  7 update in progress  6-4 divider  3-0 rate
//!  0b  7 set  6 PIE  5 AIE  4 UIE  3 square wave  2 binary  1 24 hours  0 daylight saving
//!  0c  7 IRQF  6 PF  5 AF  4 UF, cleared by reading      0d  7 valid
//! ```
//!
//! Time is that of the simulation: at cycle 0 it is midnight, the beginning of
//! Tuesday, 22 January 2002, and an update ends at each whole second. Flags follow
//! in closed form from the cycle of the last look. Left out: daylight saving and
//! the square wave, which leads nowhere on a PC.

const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_C: u8 = 0x0c;
const STATUS_D: u8 = 0x0d;

const UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// The divider for a crystal of 32768 Hz: the only one at which the clock runs.
const DIVIDER_RUNS: u8 = 0x20;
const SET: u8 = 1 << 7;
const UIE: u8 = 1 << 4;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const IRQF: u8 = 1 << 7;
const PF: u8 = 1 << 6;
const AF: u8 = 1 << 5;
const UF: u8 = 1 << 4;

/// An alarm byte of this kind matches everything.
const ANY: u8 = 0xc0;
const CRYSTAL_HZ: u128 = 32_768;
/// An update takes 1984 microseconds and is announced 244 before.
const UPDATE_MICROSECONDS: u64 = 1984 + 244;
const DAY: u64 = 86_400;

/// What the counters of the chip hold, in binary; hours 0 to 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calendar {
    second: u8,
    minute: u8,
    hour: u8,
    weekday: u8,
    day: u8,
    month: u8,
    year: u8,
}

impl Calendar {
    fn next_second(&mut self) {
        for (field, end) in [(&mut self.second, 60), (&mut self.minute, 60), (&mut self.hour, 24)] {
            *field += 1;
            if *field < end {
                return;
            }
            *field = 0;
        }
        self.next_day();
    }

    fn next_day(&mut self) {
        self.weekday = self.weekday % 7 + 1;
        self.day += 1;
        if self.day <= self.days() {
            return;
        }
        self.day = 1;
        self.month += 1;
        if self.month > 12 {
            self.month = 1;
            self.year = (self.year + 1) % 100;
        }
    }

    fn days(&self) -> u8 {
        match self.month {
            2 if self.year.is_multiple_of(4) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Rtc {
    /// Cycles in a second.
    hz: u64,
    time: Calendar,
    alarm: [u8; 3],
    a: u8,
    b: u8,
    flags: u8,
    /// Cycle at which the next update ends.
    next: u64,
    /// Cycle from which the divider counts.
    chain: u64,
    /// Cycle up to which the flags are right.
    seen: u64,
}

impl Rtc {
    pub fn new(clock_mhz: u32) -> Rtc {
        let hz = u64::from(clock_mhz.max(1)) * 1_000_000;
        let time = Calendar { second: 0, minute: 0, hour: 0, weekday: 3, day: 22, month: 1, year: 2 };
        Rtc {
            hz,
            time,
            alarm: [0; 3],
            // 1024 Hz; 24 hours, BCD.
            a: DIVIDER_RUNS | 6,
            b: HOURS_24,
            flags: 0,
            next: hz,
            chain: 0,
            seen: 0,
        }
    }

    /// Is this one of the clock's registers?
    pub fn covers(index: u8) -> bool {
        index <= STATUS_D
    }

    fn runs(&self) -> bool {
        self.a & 0x70 == DIVIDER_RUNS
    }

    /// The interrupt line, as of the last look.
    pub fn interrupt(&self) -> bool {
        self.flags & self.b & (PF | AF | UF) != 0
    }

    /// Brings counters and flags up to `now`.
    pub fn advance(&mut self, now: u64) {
        let from = self.seen;
        self.seen = now.max(from);
        if !self.runs() || now <= from {
            return;
        }
        if let Some(period) = self.period()
            && self.ticks(now) / period > self.ticks(from) / period
        {
            self.flags |= PF;
        }
        if now < self.next {
            return;
        }
        let mut seconds = (now - self.next) / self.hz + 1;
        self.next = self.next.saturating_add(seconds.saturating_mul(self.hz));
        if self.b & SET != 0 {
            return;
        }
        self.flags |= UF;
        while seconds > 2 * DAY {
            // Each alarm has come round in the days that are left.
            self.time.next_day();
            seconds -= DAY;
        }
        for _ in 0..seconds {
            self.time.next_second();
            if self.alarm_matches() {
                self.flags |= AF;
            }
        }
    }

    /// The first cycle after `now`, the cycle of the last look, at which the interrupt line may rise.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        if !self.runs() || self.interrupt() {
            return None;
        }
        let update = (self.b & (AF | UF) != 0 && self.b & SET == 0).then_some(self.next);
        let tick = self.period().filter(|_| self.b & PF != 0).map(|period| {
            let ticks = (self.ticks(now) / period + 1) * period;
            let cycles = (ticks * u128::from(self.hz)).div_ceil(CRYSTAL_HZ);
            self.chain.saturating_add(u64::try_from(cycles).unwrap_or(u64::MAX))
        });
        match (update, tick) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Clocks of the crystal since the divider was started.
    fn ticks(&self, now: u64) -> u128 {
        u128::from(now.saturating_sub(self.chain)) * CRYSTAL_HZ / u128::from(self.hz)
    }

    /// Clocks of the crystal between two periodic interrupts.
    fn period(&self) -> Option<u128> {
        match self.a & 0xf {
            0 => None,
            // At this crystal the two fastest rates are those of 8 and 9.
            rate @ 1..=2 => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    fn alarm_matches(&self) -> bool {
        let time = [self.time.second, self.time.minute, self.hours()];
        let shown = [self.encode(time[0]), self.encode(time[1]), time[2]];
        self.alarm.iter().zip(shown).all(|(&alarm, now)| alarm & ANY == ANY || alarm == now)
    }

    pub fn read(&mut self, index: u8, now: u64) -> u8 {
        self.advance(now);
        match index {
            0 => self.encode(self.time.second),
            2 => self.encode(self.time.minute),
            4 => self.hours(),
            6 => self.encode(self.time.weekday),
            7 => self.encode(self.time.day),
            8 => self.encode(self.time.month),
            9 => self.encode(self.time.year),
            1 | 3 | 5 => self.alarm.get(usize::from(index / 2)).copied().unwrap_or(0),
            STATUS_A => self.a | if self.updates(now) { UPDATE_IN_PROGRESS } else { 0 },
            STATUS_B => self.b,
            STATUS_C => {
                let irq = if self.interrupt() { IRQF } else { 0 };
                std::mem::take(&mut self.flags) | irq
            }
            // Battery good.
            STATUS_D => 0x80,
            _ => 0,
        }
    }

    fn updates(&self, now: u64) -> bool {
        let lead = UPDATE_MICROSECONDS * (self.hz / 1_000_000);
        self.runs() && self.b & SET == 0 && now >= self.next.saturating_sub(lead)
    }

    pub fn write(&mut self, index: u8, value: u8, now: u64) {
        self.advance(now);
        match index {
            0 => self.time.second = self.decode(value).min(59),
            2 => self.time.minute = self.decode(value).min(59),
            4 => self.time.hour = self.decode_hours(value),
            6 => self.time.weekday = self.decode(value).clamp(1, 7),
            7 => self.time.day = self.decode(value).clamp(1, 31),
            8 => self.time.month = self.decode(value).clamp(1, 12),
            9 => self.time.year = self.decode(value).min(99),
            1 | 3 | 5 => {
                if let Some(alarm) = self.alarm.get_mut(usize::from(index / 2)) {
                    *alarm = value;
                }
            }
            STATUS_A => {
                let ran = self.runs();
                self.a = value & !UPDATE_IN_PROGRESS;
                if self.runs() && !ran {
                    // The first update comes half a second after the divider was let go.
                    (self.chain, self.next) = (now, now.saturating_add(self.hz / 2));
                }
            }
            // Setting the clock takes back the update-ended interrupt.
            STATUS_B => self.b = if value & SET != 0 { value & !UIE } else { value },
            // C and D are read-only.
            _ => {}
        }
    }

    /// A number as the registers show it: in BCD unless status B asks for binary.
    fn encode(&self, n: u8) -> u8 {
        if self.b & BINARY != 0 { n } else { ((n / 10) << 4) | (n % 10) }
    }

    fn decode(&self, n: u8) -> u8 {
        if self.b & BINARY != 0 { n } else { (n >> 4) * 10 + (n & 0xf) }
    }

    /// Hours; in the 12-hour mode bit 7 is the afternoon.
    fn hours(&self) -> u8 {
        let hour = self.time.hour;
        if self.b & HOURS_24 != 0 {
            return self.encode(hour);
        }
        let afternoon = if hour >= 12 { 0x80 } else { 0 };
        self.encode((hour + 11) % 12 + 1) | afternoon
    }

    fn decode_hours(&self, value: u8) -> u8 {
        if self.b & HOURS_24 != 0 {
            return self.decode(value).min(23);
        }
        let hour = self.decode(value & 0x7f) % 12;
        if value & 0x80 != 0 { hour + 12 } else { hour }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u64 = 700_000_000;

    fn rtc() -> Rtc {
        Rtc::new(700)
    }

    /// Year, month, day, weekday, hours, minutes, seconds.
    fn shown(r: &mut Rtc, now: u64) -> [u8; 7] {
        [9, 8, 7, 6, 4, 2, 0].map(|index| r.read(index, now))
    }

    #[test]
    fn time_follows_the_clock_and_carries() {
        let mut r = rtc();
        assert_eq!(shown(&mut r, 0), [0x02, 0x01, 0x22, 3, 0, 0, 0]);
        let at = 13 * 3600 + 59 * 60 + 47;
        assert_eq!(shown(&mut r, HZ * at - 1), [0x02, 0x01, 0x22, 3, 0x13, 0x59, 0x46]);
        assert_eq!(shown(&mut r, HZ * at), [0x02, 0x01, 0x22, 3, 0x13, 0x59, 0x47]);
        assert_eq!(shown(&mut r, HZ * DAY * 10), [0x02, 0x02, 0x01, 6, 0, 0, 0]);
        assert_eq!(shown(&mut r, HZ * (DAY * 344 - 1)), [0x02, 0x12, 0x31, 3, 0x23, 0x59, 0x59]);
        assert_eq!(shown(&mut r, HZ * DAY * 344), [0x03, 0x01, 0x01, 4, 0, 0, 0]);
    }

    #[test]
    fn it_can_be_set() {
        for (b, written, later) in [
            (0x02, [0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x58], [0, 0x01, 0x01, 7, 0, 0, 0]),
            (0x06, [4, 2, 28, 7, 23, 59, 58], [4, 2, 29, 1, 0, 0, 0]),
            (0x00, [0x04, 0x06, 0x30, 7, 0x91, 0x59, 0x58], [0x04, 0x07, 0x01, 1, 0x12, 0, 0]),
            (0x00, [0x04, 0x06, 0x30, 7, 0x11, 0x59, 0x58], [0x04, 0x06, 0x30, 7, 0x92, 0, 0]),
        ] {
            let mut r = rtc();
            r.write(STATUS_B, SET | b, 10);
            for (index, value) in [9, 8, 7, 6, 4, 2, 0].into_iter().zip(written) {
                r.write(index, value, 10);
            }
            assert_eq!(shown(&mut r, 5 * HZ), written, "stands while it is set");
            r.write(STATUS_B, b, 5 * HZ);
            assert_eq!(shown(&mut r, 7 * HZ), later, "mode {b:#x}");
        }
    }

    #[test]
    fn an_update_is_announced() {
        let mut r = rtc();
        assert_eq!(r.read(STATUS_A, 0), 0x26);
        assert_eq!(r.read(STATUS_A, HZ - 700 * 2229), 0x26);
        assert_eq!(r.read(STATUS_A, HZ - 700 * 2228), 0xa6);
        assert_eq!(r.read(STATUS_A, HZ), 0x26);
        r.write(STATUS_A, 0x66, HZ);
        assert_eq!(r.read(0, 9 * HZ), 1, "stopped");
        r.write(STATUS_A, 0x26, 9 * HZ);
        assert_eq!((r.read(0, 9 * HZ + HZ / 2 - 1), r.read(0, 9 * HZ + HZ / 2)), (1, 2));
    }

    #[test]
    fn flags_come_without_their_enables_and_go_by_reading() {
        let mut r = rtc();
        assert_eq!(r.read(STATUS_C, 700_000), PF, "a tick of 1024 Hz");
        assert_eq!(r.read(STATUS_C, 700_001), 0);
        assert_eq!(r.read(STATUS_C, HZ), PF | UF, "no alarm at second 1");
        assert!(!r.interrupt() && r.next_change(HZ).is_none());
        assert_eq!(r.read(STATUS_C, HZ * DAY) & AF, AF, "at midnight");
    }

    #[test]
    fn periodic_interrupts_have_the_rate_asked_for() {
        for (rate, hz) in [(1, 256), (2, 128), (3, 8192), (6, 1024), (15, 2)] {
            let mut r = rtc();
            r.write(STATUS_A, DIVIDER_RUNS | rate, 0);
            r.write(STATUS_B, HOURS_24 | PF, 0);
            let (mut now, mut ticks) = (0, 0);
            while let Some(due) = r.next_change(now).filter(|&due| due <= HZ) {
                r.advance(due - 1);
                assert!(!r.interrupt());
                r.advance(due);
                assert!(r.interrupt() && r.next_change(due).is_none());
                assert_eq!(r.read(STATUS_C, due) & (IRQF | PF), IRQF | PF);
                (now, ticks) = (due, ticks + 1);
            }
            assert_eq!(ticks, hz, "rate {rate}");
        }
    }

    #[test]
    fn the_alarm_comes_when_it_matches() {
        for (alarm, at) in [([0x05, 0x00, 0x00], 5), ([0xff, 0x01, 0xc0], 60), ([0x30, 0xff, 0xff], 30)] {
            let mut r = rtc();
            r.write(STATUS_B, HOURS_24 | AF, 0);
            [1, 3, 5].into_iter().zip(alarm).for_each(|(index, value)| r.write(index, value, 0));
            let mut now = 0;
            while !r.interrupt() {
                now = r.next_change(now).unwrap();
                r.advance(now);
            }
            assert_eq!(now, at * HZ);
            assert_eq!(r.read(STATUS_C, now) & (IRQF | AF), IRQF | AF);
        }
    }

    #[test]
    fn the_update_ended_interrupt_comes_each_second() {
        let mut r = rtc();
        r.write(STATUS_B, HOURS_24 | UIE, 0);
        assert_eq!(r.next_change(0), Some(HZ));
        r.advance(HZ);
        assert!(r.interrupt());
        r.write(STATUS_B, HOURS_24 | UIE | SET, HZ);
        assert!(!r.interrupt(), "setting the clock takes it back");
        assert_eq!(r.read(STATUS_B, HZ) & UIE, 0);
    }
}
