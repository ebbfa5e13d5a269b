//! The ledger: every charged cycle has an activity (what the guest was doing)
//! and a kind (what the machine was doing). Both axes sum to the clock.
//!
//! Kinds are added as costs are charged. Activities are charged when they
//! change: the cycles since the last change go to the activity that is left.
//! The two sides are therefore computed from different sources, and
//! [`Ledger::check`] compares both with the clock.

use shootdown_abi::Activity;

/// What the machine spent a cycle on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Instructions, at their static cost.
    Compute,
    /// Locked operations.
    Locked,
    /// Page walks, including updates of accessed and dirty bits.
    Walk,
    /// Hits in the second-level TLB.
    SecondLevel,
    /// First-level cache misses that the second level, the last level or memory serves.
    Cache,
    /// Cache lines from other processors, or taken from them, and waiting for lines under way.
    Transfer,
    /// Walks and second-level hits that an `invlpg` made necessary, and the cache misses of those walks.
    RefillInvlpg,
    /// The same for CR3 loads and other flushes that spare global entries.
    RefillCr3,
    /// The same for flushes of global entries too.
    RefillGlobal,
    /// `invlpg`.
    Invlpg,
    /// CR3 loads and CR4.PGE toggles.
    Flush,
    /// Local APIC accesses, the sending of IPIs included.
    Apic,
    /// Interrupt and exception entry and return.
    Interrupt,
    /// Port I/O, MSRs, CPUID and other system instructions.
    System,
    /// `hlt`, or waiting for start-up.
    Halted,
}

impl Kind {
    /// Every kind, in the order of the ledger.
    pub const ALL: [Kind; 15] = [
        Kind::Compute,
        Kind::Locked,
        Kind::Walk,
        Kind::SecondLevel,
        Kind::Cache,
        Kind::Transfer,
        Kind::RefillInvlpg,
        Kind::RefillCr3,
        Kind::RefillGlobal,
        Kind::Invlpg,
        Kind::Flush,
        Kind::Apic,
        Kind::Interrupt,
        Kind::System,
        Kind::Halted,
    ];

    /// The name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Compute => "compute",
            Kind::Locked => "locked",
            Kind::Walk => "walk",
            Kind::SecondLevel => "second-level",
            Kind::Cache => "cache",
            Kind::Transfer => "transfer",
            Kind::RefillInvlpg => "refill-invlpg",
            Kind::RefillCr3 => "refill-cr3",
            Kind::RefillGlobal => "refill-global",
            Kind::Invlpg => "invlpg",
            Kind::Flush => "flush",
            Kind::Apic => "apic",
            Kind::Interrupt => "interrupt",
            Kind::System => "system",
            Kind::Halted => "halted",
        }
    }
}

/// What a TLB miss is booked to as long as its cause is not known.
const MISS: [Kind; 4] = [Kind::Walk, Kind::SecondLevel, Kind::Cache, Kind::Transfer];

/// Cycles of the kinds of a TLB miss at one moment.
pub type Misses = [u64; MISS.len()];

/// One processor's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Cycles by [`Activity`], up to `since`.
    activity: [u64; Activity::ALL.len()],
    /// Cycles by [`Kind`].
    kind: [u64; Kind::ALL.len()],
    current: Activity,
    since: u64,
    /// Changes of activity and their cycles, while somebody wants them.
    log: Option<Vec<(u64, Activity)>>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            activity: [0; Activity::ALL.len()],
            kind: [0; Kind::ALL.len()],
            current: Activity::Kernel,
            since: 0,
            log: None,
        }
    }
}

impl Ledger {
    /// Adds `cycles` of one kind.
    #[inline(always)]
    pub fn add(&mut self, kind: Kind, cycles: u64) {
        self.kind[kind as usize] += cycles;
    }

    /// What a TLB miss may have been booked to so far, for [`Ledger::take_since`].
    #[inline]
    pub fn misses(&self) -> Misses {
        MISS.map(|kind| self.kind[kind as usize])
    }

    /// Takes back what a TLB miss was booked to since `before`, to be added again under the kind that has become known.
    pub fn take_since(&mut self, before: &Misses) -> u64 {
        let mut taken = 0;
        for (kind, &before) in MISS.into_iter().zip(before) {
            taken += std::mem::replace(&mut self.kind[kind as usize], before) - before;
        }
        taken
    }

    /// From cycle `now` on, the processor does `activity`.
    pub fn switch(&mut self, activity: Activity, now: u64) {
        // A mark inside a block may be seen a few cycles before a charge that was already made.
        self.activity[self.current as usize] += now.saturating_sub(self.since);
        self.since = self.since.max(now);
        self.current = activity;
        if let Some(log) = &mut self.log {
            log.push((self.since, activity));
        }
    }

    /// Notes changes of activity from now on, beginning with the present one, or no more.
    pub(crate) fn keep_log(&mut self, wanted: bool) {
        if wanted != self.log.is_some() {
            self.log = wanted.then(|| vec![(self.since, self.current)]);
        }
    }

    /// The changes since the last call.
    pub(crate) fn take_log(&mut self) -> impl Iterator<Item = (u64, Activity)> {
        self.log.iter_mut().flat_map(|log| log.drain(..))
    }

    /// The activity that cycles are charged to now.
    pub fn current(&self) -> Activity {
        self.current
    }

    /// Both axes as of `clock`.
    pub fn totals(&self, clock: u64) -> LedgerTotals {
        let mut t = LedgerTotals { activity: self.activity, kind: self.kind };
        t.activity[self.current as usize] += clock.saturating_sub(self.since);
        t
    }

    /// Do both axes sum to `clock`?
    pub fn check(&self, clock: u64) -> bool {
        let t = self.totals(clock);
        t.activity.iter().sum::<u64>() == clock && t.kind.iter().sum::<u64>() == clock
    }
}

/// Both axes of a ledger at one moment, or the difference of two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// Cycles by activity, indexed by [`Activity`].
    pub activity: [u64; Activity::ALL.len()],
    /// Cycles by kind, indexed by [`Kind`].
    pub kind: [u64; Kind::ALL.len()],
}

impl LedgerTotals {
    /// Cycles since `earlier`.
    pub fn since(&self, earlier: &LedgerTotals) -> LedgerTotals {
        let mut d = self.clone();
        d.activity.iter_mut().zip(&earlier.activity).for_each(|(a, b)| *a -= b);
        d.kind.iter_mut().zip(&earlier.kind).for_each(|(a, b)| *a -= b);
        d
    }

    /// Adds another processor's cycles.
    pub fn add(&mut self, other: &LedgerTotals) {
        self.activity.iter_mut().zip(&other.activity).for_each(|(a, b)| *a += b);
        self.kind.iter_mut().zip(&other.kind).for_each(|(a, b)| *a += b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activities_take_the_time_until_the_change() {
        let mut l = Ledger::default();
        l.add(Kind::Compute, 100);
        l.switch(Activity::Kmap, 30);
        l.switch(Activity::Idle, 70);
        let t = l.totals(100);
        assert_eq!(t.activity[Activity::Kernel as usize], 30);
        assert_eq!(t.activity[Activity::Kmap as usize], 40);
        assert_eq!(t.activity[Activity::Idle as usize], 30);
        assert!(l.check(100));
        assert!(!l.check(101));
    }
}
