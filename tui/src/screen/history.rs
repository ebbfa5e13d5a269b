//! The course of a run: figures at regular moments of simulated time, from its beginning to now.
//!
//! When there are more samples than a screen is wide, every second one goes and the
//! distance doubles: the course always covers the whole run.

use shootdown_emu::snapshot::Snapshot;
use shootdown_workloads::Live;
use std::sync::Arc;

/// Samples kept at most.
const MOST: usize = 256;
/// Cycles between the first samples.
const FIRST: u64 = 1 << 17;

/// Figures at one moment.
#[derive(Debug)]
pub struct Sample {
    /// The moment, in cycles.
    pub at: u64,
    /// Everything counted so far.
    pub figures: Snapshot,
}

/// See the module.
pub struct History {
    period: u64,
    samples: Vec<Arc<Sample>>,
}

impl History {
    /// One of a run that has not begun.
    pub fn new() -> History {
        History { period: FIRST, samples: Vec::new() }
    }

    /// When the next sample is due.
    pub fn next(&self) -> u64 {
        self.samples.last().map_or(0, |s| (s.at / self.period + 1) * self.period)
    }

    /// Takes a sample when one is due.
    pub fn see(&mut self, live: &Live) {
        let now = live.machine().now();
        if now < self.next() {
            return;
        }
        self.samples.push(Arc::new(Sample { at: now, figures: live.machine().peek() }));
        if self.samples.len() > MOST {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.period *= 2;
        }
    }

    /// The samples, oldest first.
    pub fn view(&self) -> Vec<Arc<Sample>> {
        self.samples.clone()
    }
}
