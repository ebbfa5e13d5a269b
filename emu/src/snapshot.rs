//! Snapshots: all figures of a machine at one moment, and their differences.

use crate::ledger::LedgerTotals;
use crate::stats::Counters;
use shootdown_abi::Counter;

/// One processor's figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSnapshot {
    /// Its clock in cycles.
    pub clock: u64,
    /// Its counters.
    pub count: Counters,
    /// Its ledger.
    pub ledger: LedgerTotals,
}

/// All figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Per processor.
    pub cpus: Vec<CpuSnapshot>,
    /// Counters that the guest keeps.
    pub guest: [u64; Counter::ALL.len()],
}

impl Snapshot {
    /// Figures since `earlier`.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        let mut guest = self.guest;
        guest.iter_mut().zip(&earlier.guest).for_each(|(a, b)| *a -= b);
        Snapshot {
            guest,
            cpus: self
                .cpus
                .iter()
                .zip(&earlier.cpus)
                .map(|(a, b)| CpuSnapshot {
                    clock: a.clock - b.clock,
                    count: a.count.since(&b.count),
                    ledger: a.ledger.since(&b.ledger),
                })
                .collect(),
        }
    }

    /// Greatest clock, in cycles.
    pub fn cycles(&self) -> u64 {
        self.cpus.iter().map(|c| c.clock).max().unwrap_or(0)
    }

    /// Counters of all processors together.
    pub fn totals(&self) -> Counters {
        let mut t = Counters::default();
        self.cpus.iter().for_each(|c| t.add(&c.count));
        t
    }

    /// Ledgers of all processors together.
    pub fn ledger(&self) -> LedgerTotals {
        let mut t = LedgerTotals::default();
        self.cpus.iter().for_each(|c| t.add(&c.ledger));
        t
    }

    /// A counter of the guest.
    pub fn guest(&self, counter: Counter) -> u64 {
        self.guest[counter as usize]
    }
}
