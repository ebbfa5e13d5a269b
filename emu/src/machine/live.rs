//! Running in parts, for those who watch: pause, go on, step; and looking at a machine that
//! pauses, without touching it.
//!
//! A pause falls between two turns and changes nothing, so a run in parts gives the figures of
//! a run in one go, exactly. A step cuts slices short, which may move who of two processors
//! comes first to a line (see [`super::order`]): step a clone where the figures matter.

use super::{Heard, Machine};
use crate::cpu::State;
use crate::ledger::Kind;
use crate::observe::Observer;
use crate::snapshot::{CpuSnapshot, Snapshot};
use crate::stop::Stop;
use shootdown_abi::Activity;

impl Machine {
    /// Runs until all processors have come to cycle `until` (up to a slice further), until the observer has heard
    /// enough, or until the flag of [`Machine::stop_when`] is true: then `None`, and the run can go on. Else the reason
    /// why it has ended; from then on it must not be called again.
    pub fn advance(&mut self, observer: &mut dyn Observer, until: u64) -> Option<Stop> {
        self.pause_at = until;
        let stop = self.proceed(observer);
        self.paused(stop, observer)
    }

    /// The same, but no slice goes past `until`.
    pub fn step_to(&mut self, observer: &mut dyn Observer, until: u64) -> Option<Stop> {
        self.cut_at = self.cut_at.min(until);
        self.advance(observer, until)
    }

    /// Runs until processor `i` has completed one more instruction (an iteration of a repeated string instruction
    /// counts as one, and so does the entry of an interrupt), or, if it waits, until cycle `until`. The others move as
    /// ever. The result is that of [`Machine::advance`].
    pub fn step_one(&mut self, i: usize, observer: &mut dyn Observer, until: u64) -> Option<Stop> {
        self.attend(observer);
        if i < self.cpus.len() {
            let reached = self.reached(i);
            self.rouse(i, reached);
        }
        let place = |m: &Machine| m.cpus.get(i).map(|c| (c.count.instructions, c.eip));
        let before = place(self);
        let options = self.options;
        (self.pause_at, self.cut_at) = (until, self.cut_at.min(until));
        let stop = loop {
            if self.next().0 == i {
                self.options.single = true;
                self.options.skip_spins = false;
            }
            let stop = self.turn();
            self.options = options;
            if let Some(stop) = stop {
                break stop;
            }
            if self.drain(observer) == Heard::Enough || place(self) != before {
                break Stop::Interrupted;
            }
        };
        self.paused(stop, observer)
    }

    /// Ends a run that pauses, as [`Machine::run`] does when it is interrupted.
    pub fn end(&mut self, observer: &mut dyn Observer) {
        self.finish(&Stop::Interrupted, observer);
    }

    fn paused(&mut self, stop: Stop, observer: &mut dyn Observer) -> Option<Stop> {
        (self.pause_at, self.cut_at) = (u64::MAX, self.config.max_cycles.unwrap_or(u64::MAX));
        if stop == Stop::Interrupted {
            return None;
        }
        self.finish(&stop, observer);
        Some(stop)
    }

    /// The cycle that all processors have come to; of one that waits: when it will be able to do something.
    pub fn now(&self) -> u64 {
        let now = self.times.iter().copied().min().unwrap_or(0);
        if now == u64::MAX { self.cpus.iter().map(|c| c.clock).max().unwrap_or(0) } else { now }
    }

    /// All figures now, those of waiting processors brought to [`Machine::now`], as [`Machine::snapshot`] gives them
    /// when the run has ended. Nothing is changed.
    pub fn peek(&self) -> Snapshot {
        let now = self.now();
        let figures = |i: usize| {
            let c = &self.cpus[i];
            let mut s = CpuSnapshot { clock: c.clock, count: c.count, ledger: c.ledger.totals(c.clock) };
            if c.state != State::Running {
                let idle = now.min(c.event_at).saturating_sub(c.clock);
                s.clock += idle;
                s.ledger.activity[Activity::Idle as usize] += idle;
                s.ledger.kind[Kind::Halted as usize] += idle;
            } else if self.resting[i] {
                let passes = self.runners[i].peek_passes(c, now);
                s.clock += passes.cycles;
                s.count.instructions += passes.instructions;
                s.ledger.activity[c.ledger.current() as usize] += passes.cycles;
                s.ledger.kind[Kind::Compute as usize] += passes.cycles - passes.locked;
                s.ledger.kind[Kind::Locked as usize] += passes.locked;
            }
            s
        };
        Snapshot { guest: self.bus.guest, cpus: (0..self.cpus.len()).map(figures).collect() }
    }
}
