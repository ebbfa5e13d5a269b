//! The APIC timer: counts down at the bus clock over a divisor, once or for ever.
//!
//! The count is never stepped. It follows from the cycle at which it was started:
//! after `t` ticks it expires at `start + ceil(t x divisor x clock / bus)`. All of
//! it is integer arithmetic, so a thousand periods drift by nothing.
//! (`SDM vol. 3A, "APIC Timer"`.)

/// What happens when the count has run down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    OneShot,
    Periodic,
}

#[derive(Clone, Debug)]
pub(super) struct Timer {
    clock_mhz: u32,
    bus_mhz: u32,
    initial: u32,
    divide: u32,
    repeat: Repeat,
    run: Option<Run>,
}

/// A count under way.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Cycle at which counting began.
    start: u64,
    /// Ticks from `start` to the next expiry.
    ticks: u128,
    /// The cycle of that expiry.
    due: u64,
}

impl Timer {
    pub fn new(clock_mhz: u32, bus_mhz: u32) -> Timer {
        Timer {
            clock_mhz: clock_mhz.max(1),
            bus_mhz: bus_mhz.max(1),
            initial: 0,
            divide: 0,
            repeat: Repeat::OneShot,
            run: None,
        }
    }

    pub fn ratio(&self) -> (u32, u32) {
        (self.clock_mhz, self.bus_mhz)
    }

    pub fn initial(&self) -> u32 {
        self.initial
    }

    pub fn divide_code(&self) -> u32 {
        self.divide
    }

    pub fn due(&self) -> Option<u64> {
        self.run.map(|run| run.due)
    }

    /// Writes the initial count: 0 stops, anything else starts anew.
    pub fn start(&mut self, initial: u32, now: u64) {
        self.initial = initial;
        self.restart(initial, now);
    }

    /// Writes the divide configuration (bits 0, 1 and 3); a running count goes on from where it is.
    pub fn set_divide(&mut self, code: u32, now: u64) {
        let count = self.current(now);
        self.divide = code & 0xb;
        if self.run.is_some() {
            self.restart(count, now);
        }
    }

    /// Chooses the mode. A count under way keeps its next expiry; call `advance` first.
    pub fn set_repeat(&mut self, repeat: Repeat) {
        self.repeat = repeat;
    }

    /// The current count.
    pub fn current(&self, now: u64) -> u32 {
        let Some(run) = self.run else { return 0 };
        let cycles = u128::from(now.saturating_sub(run.start));
        let ticks = cycles * u128::from(self.bus_mhz) / (u128::from(self.clock_mhz) * self.divisor());
        match (run.ticks.checked_sub(ticks), self.repeat) {
            // Never more than the initial count, so the cast is exact.
            (Some(left @ 1..), _) => left as u32,
            (_, Repeat::OneShot) => 0,
            (_, Repeat::Periodic) => {
                let initial = u128::from(self.initial.max(1));
                (initial - (ticks - run.ticks) % initial) as u32
            }
        }
    }

    /// Passes every expiry up to `now`.
    pub fn advance(&mut self, now: u64) {
        let Some(run) = self.run.filter(|run| run.due <= now) else { return };
        self.run = match self.repeat {
            Repeat::OneShot => None,
            Repeat::Periodic => {
                // Whole periods that have ended by now, from the exact number of ticks.
                let cycles = u128::from(now - run.start);
                let passed =
                    cycles * u128::from(self.bus_mhz) / (u128::from(self.clock_mhz) * self.divisor());
                let initial = u128::from(self.initial.max(1));
                let periods = passed.saturating_sub(run.ticks) / initial + 1;
                let ticks = run.ticks + periods * initial;
                Some(Run { ticks, due: self.expiry(run.start, ticks), ..run })
            }
        };
    }

    fn restart(&mut self, count: u32, now: u64) {
        let ticks = u128::from(count);
        self.run = (count != 0).then(|| Run { start: now, ticks, due: self.expiry(now, ticks) });
    }

    /// The first cycle at which `ticks` ticks have passed since `start`.
    fn expiry(&self, start: u64, ticks: u128) -> u64 {
        let cycles = (ticks * self.divisor() * u128::from(self.clock_mhz)).div_ceil(u128::from(self.bus_mhz));
        start.saturating_add(u64::try_from(cycles).unwrap_or(u64::MAX))
    }

    fn divisor(&self) -> u128 {
        let code = self.divide & 3 | self.divide >> 1 & 4;
        // 0 is by 2, up to 6 for by 128; 7 is by 1.
        if code == 7 { 1 } else { 2 << code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A 700 MHz processor on a 100 MHz bus, undivided.
    fn by_seven() -> Timer {
        let mut t = Timer::new(700, 100);
        t.set_divide(0b1011, 0);
        t
    }

    #[test]
    fn one_shot_expires_once_and_exactly() {
        let mut t = by_seven();
        t.start(10, 1000);
        assert_eq!(t.due(), Some(1070));
        assert_eq!(t.current(1000), 10);
        assert_eq!(t.current(1006), 10);
        assert_eq!(t.current(1007), 9);
        assert_eq!(t.current(1069), 1);
        assert_eq!(t.current(1070), 0);
        t.advance(1069);
        assert_eq!(t.due(), Some(1070));
        t.advance(1070);
        assert_eq!(t.due(), None);
        assert_eq!(t.current(5000), 0);
    }

    #[test]
    fn periodic_reloads_without_drift() {
        let mut t = Timer::new(1000, 300);
        t.set_divide(0b1011, 0);
        t.set_repeat(Repeat::Periodic);
        t.start(1, 0);
        let mut dues = Vec::new();
        for _ in 0..7 {
            let due = t.due().unwrap();
            dues.push(due);
            t.advance(due);
        }
        assert_eq!(dues, [4, 7, 10, 14, 17, 20, 24], "3 1/3 cycles each, rounded up");
    }

    #[test]
    fn missed_periods_are_passed_over() {
        let mut t = by_seven();
        t.set_repeat(Repeat::Periodic);
        t.start(10, 0);
        t.advance(75);
        assert_eq!(t.due(), Some(140));
        t.advance(700);
        assert_eq!(t.due(), Some(770), "the expiry at 700 itself has passed");
        assert_eq!(t.current(701), 10);
        assert_eq!(t.current(769), 1);
    }

    #[test]
    fn divisors_are_the_manual_s() {
        for (code, by) in [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)] {
            let mut t = Timer::new(1, 1);
            t.set_divide(code, 0);
            t.start(3, 0);
            assert_eq!(t.due(), Some(3 * by), "code {code}");
        }
    }

    #[test]
    fn a_new_divisor_goes_on_from_the_count() {
        let mut t = by_seven();
        t.start(10, 0);
        t.set_divide(0, 35);
        assert_eq!(t.current(35), 5);
        assert_eq!(t.due(), Some(35 + 5 * 14));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut t = Timer::new(10_000, 1);
        t.set_divide(10, 0);
        t.set_repeat(Repeat::Periodic);
        t.start(u32::MAX, u64::MAX - 1);
        assert_eq!(t.due(), Some(u64::MAX));
        t.advance(u64::MAX);
        assert!(t.current(u64::MAX) >= 1);
    }

    proptest! {
        #[test]
        fn count_and_due_agree(clock in 1_u32..5000, bus in 1_u32..500, code in 0_u32..12, count in 1_u32..100_000, start in 0_u64..1 << 40) {
            prop_assume!(bus <= clock);
            let mut t = Timer::new(clock, bus);
            t.set_divide(code, 0);
            t.start(count, start);
            let due = t.due().unwrap();
            prop_assert_eq!(t.current(due), 0);
            prop_assert!(t.current(due - 1) >= 1);
            prop_assert_eq!(t.current(start), count);
        }

        #[test]
        fn a_late_advance_equals_many(period in 1_u32..50, steps in 1_u64..2000, clock in 1_u32..40, bus in 1_u32..40) {
            prop_assume!(bus <= clock);
            let mut late = Timer::new(clock, bus);
            late.set_repeat(Repeat::Periodic);
            late.start(period, 7);
            let mut often = late.clone();
            for now in 7..=7 + steps {
                often.advance(now);
                prop_assert!(often.due().unwrap() > now);
            }
            late.advance(7 + steps);
            prop_assert_eq!(late.due(), often.due());
        }
    }
}
