//! The order in which processors move, so that results depend neither on the length of
//! slices nor on the host.
//!
//! ```text
//!  clock      now            now + delay
//!  asks       |--------------x carried out, when all others have come here
//!  others     --- slices ----| nobody runs past it
//!  rests      |- - - - - - - - passes counted up to here if it loses a line by it
//! ```
//!
//! What concerns others (a line that they hold, an entry of a page table, a frame
//! given back) takes effect one transfer after it was asked for ([`cache::delay`]).
//! The access waits until all others have come to that moment, and nobody runs past
//! it. Walks, interrupt deliveries and first touches of a line that nobody has do not
//! wait; that they come early shows only to one who races them for the line. Of two at one time the lower number moves
//! first. Without caches (`timing=flat`) nothing waits, and a processor's view of
//! another may be a slice off.
//!
//! A processor in a loop that only reads what it has in its own cache *rests*: its
//! passes are counted when something that it could notice happens, not run.

use super::{LONGEST_SLICE, Machine};
use crate::cache;
use crate::config::Timing;
use crate::cost::Costs;
use crate::cpu::{Cpu, State};

impl Machine {
    /// When a processor can next do something: its clock, or the event that a halted one waits for.
    pub(super) fn time_of(&self, i: usize) -> u64 {
        let c = &self.cpus[i];
        match c.state {
            // What it reads lies in its own cache: until a line is taken from it, nothing happens but its next event. The
            // last pass before that is none to be skipped.
            State::Running if self.resting[i] => {
                let pass = self.runners[i].pass_cost();
                let last = c.event_at.saturating_sub(pass);
                // Where it would stand at the end of the run: none waits for it longer.
                let left = self.config.max_cycles.unwrap_or(u64::MAX).saturating_sub(c.clock);
                let most = if left < LONGEST_SLICE {
                    left.div_ceil(pass.max(1)).saturating_mul(pass).min(LONGEST_SLICE)
                } else {
                    LONGEST_SLICE
                };
                last.max(c.clock).min(c.clock + most)
            }
            State::Running => c.clock.max(c.order_until),
            State::Halted | State::WaitForSipi => c.event_at.max(c.clock),
            State::Shutdown => u64::MAX,
        }
    }

    /// The processor that moves next (or, one further, the devices), its time, and the time of the one after it.
    #[inline(always)]
    pub(super) fn next(&self) -> (usize, u64, u64) {
        let (mut first, mut second, mut i) = (u64::MAX, u64::MAX, 0);
        for (j, &t) in self.times.iter().enumerate() {
            if t < first {
                second = first;
                first = t;
                i = j;
            } else if t < second {
                second = t;
            }
        }
        (i, first, second)
    }

    /// Up to when processor `i` comes before all others: to the time of the next one, that included unless the other one
    /// has the lower number.
    pub(super) fn horizon(&self, i: usize, second: u64) -> u64 {
        second.saturating_sub(u64::from(self.times.iter().take(i).any(|&t| t == second)))
    }

    /// Takes over a processor's time after a change of its clock, state or next event.
    #[inline(always)]
    pub(super) fn retime(&mut self, i: usize) {
        self.times[i] = self.time_of(i);
    }

    pub(super) fn slice_end(&self, first: u64, second: u64) -> u64 {
        // Nobody runs past an access that waits for the others (of two at one time the other makes at least a step).
        let slice = (first + self.lookahead).max(second).min(first + LONGEST_SLICE);
        slice.min(self.next_order().max(first + 1)).min(self.cut_at)
    }

    /// When the next access that waits for the others happens.
    pub(super) fn next_order(&self) -> u64 {
        if self.waiting == 0 {
            return u64::MAX;
        }
        self.cpus.iter().map(|c| c.order_until).filter(|&t| t != 0).min().unwrap_or(u64::MAX)
    }

    /// Brings a resting processor to cycle `until`, by whole passes through its loop as slices would have.
    pub(super) fn rouse(&mut self, i: usize, until: u64) {
        if std::mem::replace(&mut self.resting[i], false) {
            self.runners[i].pass_until(&mut self.cpus[i], until);
            self.retime(i);
        }
    }

    /// The moment that all have reached but processor `i` and those that rest.
    pub(super) fn reached(&self, i: usize) -> u64 {
        let others = (0..self.cpus.len()).filter(|&j| j != i && !self.resting[j]).map(|j| self.times[j]);
        others.min().unwrap_or(u64::MAX)
    }

    /// Brings processor `j`, if it rests, to where it sees what processor `i` did at cycle `now`. A walk or a delivery
    /// has not waited for the others: then no further than these have come.
    pub(super) fn rouse_to_see(&mut self, j: usize, i: usize, now: u64, reached: u64) {
        let shows = self.bus.coherence.shows_at(now);
        // Of two at one time the lower number moves first.
        self.rouse(j, if shows <= reached { shows + u64::from(j < i) } else { reached });
    }

    /// While every running processor is parked and has made a pass since memory last changed, nothing can happen but
    /// the next event. The slices up to it are gone through in order, but without running the passes.
    pub(super) fn pass_quiet_time(&mut self) {
        let quiet = |(j, c): (usize, &Cpu)| {
            c.state != State::Running || (self.seen[j] == self.version && self.runners[j].parked(c))
        };
        if !self.cpus.iter().enumerate().all(quiet) {
            return;
        }
        // Bounded, so that limits are looked at now and then.
        for _ in 0..10_000 {
            let (i, first, second) = self.next();
            let end = self.slice_end(first, second);
            let Some(c) = self.cpus.get_mut(i) else { return };
            if first >= end
                || c.state != State::Running
                || c.clock >= c.event_at
                || !self.runners[i].pass_slice(c, end)
            {
                return;
            }
            self.times[i] = c.clock;
        }
    }

    /// Brings those that rest to where slices would have brought them before they saw the last operation that looks at all
    /// processors.
    pub(super) fn settle_resting(&mut self) {
        let (shown, by) = self.bus.coherence.shown;
        for i in (0..self.cpus.len()).filter(|&i| self.resting[i]) {
            let until = shown + u64::from(i < by);
            self.runners[i].pass_until(&mut self.cpus[i], until);
        }
        (0..self.cpus.len()).for_each(|i| self.retime(i));
    }
}

/// How far a processor may run ahead of the others, in cycles. With caches a quarter of the time in which one can affect
/// another: a block that begins within the slice, or within one of double length, ends in that time too, so that
/// nothing is done after a line was lost. Without caches nothing is exact below a transfer.
pub(super) fn lookahead(costs: &Costs, timing: Timing, slice: f64) -> u64 {
    let least = match timing {
        Timing::Full => cache::delay(costs).min(u64::from(costs.ipi_latency)) / 4,
        Timing::Flat => u64::from(costs.line_transfer.min(costs.ipi_latency)),
    };
    ((least as f64 * slice).round() as u64).max(1)
}
