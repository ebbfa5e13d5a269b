//! An open loop: operations that are due at times which do not wait for those before.
//!
//! A task's operations are due `every` cycles, the first at a random time within that, so that tasks do not come all
//! at once. One that is due waits for the one before it to end; how long after it was due it is done is
//! its *response time*, which the kernel is told. Times are those of the processor's time-stamp counter,
//! which all processors count alike.
//!
//! Whoever waits for its time spins in user mode: there has to be a processor for each task.

use crate::args::Values;
use crate::rng::Rng;
use crate::sys;

/// Choices of the first time are no others than those of the pages.
const STREAM: u32 = 0x5eed_0000;

/// When the operations of a task are due.
pub struct Pace {
    every: u32,
    rng: Rng,
    /// Operations until the phase ends, at whose end all tasks meet and the times begin anew.
    left: u32,
    measured: u32,
    due: u64,
}

impl Pace {
    /// That of task `index`, by the keys `every`, which is not 0, `warmup`, `ops` and `seed`.
    pub fn new(values: &Values, index: u32) -> Pace {
        let (left, measured) = (values.get("warmup"), values.get("ops"));
        let rng = Rng::new(values.get("seed") ^ STREAM, index);
        Pace { every: values.get("every"), rng, left, measured, due: 0 }
    }

    /// Waits until the next operation is due, if it is not yet.
    pub fn wait(&mut self) {
        if self.left == 0 {
            (self.left, self.due) = (self.measured, 0);
        }
        self.left -= 1;
        let now = sys::time();
        self.due = match self.due {
            0 => now + u64::from(self.rng.below(self.every)),
            before => before + u64::from(self.every),
        };
        while sys::time() < self.due {
            core::hint::spin_loop();
        }
    }

    /// It is done.
    pub fn done(&self) {
        let response = sys::time().saturating_sub(self.due);
        sys::response(response.min(u64::from(u32::MAX)) as u32);
    }
}
