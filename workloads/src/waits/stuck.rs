//! Who waits for whom, at the end of a run that got stuck.
//!
//! Told of processors, as far as the guest's marks go: locks by their holders, acknowledgements by those that owe them. What
//! sleeping tasks wait for the kernel's own watch tells (`kmap/pools.rs` there).

use super::{Cause, Holder, WaitCollector};
use std::fmt;

/// A processor that waits in a loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Which.
    pub cpu: usize,
    /// Cycle from which on it has waited.
    pub since: u64,
    /// For what.
    pub what: What,
}

/// What a processor waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A lock, and the processor that it sees holding it.
    Lock(Option<usize>),
    /// Acknowledgements of these processors.
    Acknowledgements(Vec<usize>),
}

impl Stuck {
    fn waits_for(&self) -> &[usize] {
        match &self.what {
            What::Lock(holder) => holder.as_slice(),
            What::Acknowledgements(cpus) => cpus,
        }
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu {} has waited since cycle {} ", self.cpu, self.since)?;
        match &self.what {
            What::Lock(Some(holder)) => write!(f, "for a lock that cpu {holder} holds"),
            What::Lock(None) => write!(f, "for a lock"),
            What::Acknowledgements(cpus) => {
                let names: Vec<_> = cpus.iter().map(usize::to_string).collect();
                write!(f, "for acknowledgements of cpu {}", names.join(", "))
            }
        }
    }
}

impl WaitCollector {
    /// The processors that wait at this moment, by number.
    pub fn stuck(&self) -> Vec<Stuck> {
        let open = self.tracks.iter().filter_map(|t| t.open);
        let what = |cause, cpu: usize, from| match cause {
            Cause::Lock(Holder::Cpu(holder)) => What::Lock(Some(holder)),
            Cause::Lock(_) => What::Lock(None),
            Cause::Ack => What::Acknowledgements(self.owing(cpu, from)),
        };
        open.map(|o| Stuck { cpu: o.cpu, since: o.from, what: what(o.cause, o.cpu, o.from) }).collect()
    }

    /// The targets of a processor's last message before a moment that have not done what it asked for.
    fn owing(&self, cpu: usize, before: u64) -> Vec<usize> {
        let Some(sender) = self.tracks.get(cpu) else { return Vec::new() };
        let Some(&(sent, targets)) = sender.sent.iter().rfind(|e| e.0 <= before) else { return Vec::new() };
        let asked = self.tracks.iter().enumerate().filter(|(i, _)| targets >> i & 1 != 0);
        asked.filter(|(_, t)| t.answer(sent).is_none()).map(|(i, _)| i).collect()
    }
}

/// Processors that wait for each other in a circle, each for the next one; empty if there is none.
pub fn circle(all: &[Stuck]) -> Vec<usize> {
    let of = |cpu: usize| all.iter().find(|s| s.cpu == cpu);
    for first in all {
        let mut path = vec![first.cpu];
        // Whoever waits for several waits as long as any of them does: one that is stuck itself is enough.
        while let Some(next) =
            path.last().and_then(|cpu| of(*cpu)?.waits_for().iter().find(|next| of(**next).is_some()))
        {
            if let Some(begin) = path.iter().position(|cpu| cpu == next) {
                return path.split_off(begin);
            }
            path.push(*next);
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(cpu: usize, what: What) -> Stuck {
        Stuck { cpu, since: 7, what }
    }

    #[test]
    fn a_circle_is_found_wherever_one_begins() {
        let lock = |cpu, holder| waits(cpu, What::Lock(Some(holder)));
        let stuck = [lock(0, 1), lock(1, 3), waits(3, What::Acknowledgements(vec![2, 1]))];
        assert_eq!(circle(&stuck), [1, 3]);
        assert_eq!(circle(&stuck[..2]), [0usize; 0], "processor 3 does not wait");
    }

    #[test]
    fn it_is_said_in_words() {
        assert_eq!(
            waits(3, What::Acknowledgements(vec![2, 1])).to_string(),
            "cpu 3 has waited since cycle 7 for acknowledgements of cpu 2, 1"
        );
    }
}
