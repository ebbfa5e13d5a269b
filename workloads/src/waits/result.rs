//! Cycles of waiting, by cause: what a result has of it.

use super::Cause;
use serde::{Deserialize, Serialize};
use shootdown_abi::Activity;
use std::collections::BTreeMap;

/// Nobody holds the lock any more: the holder is idle, or the waiter has seen the lock free and tries to take it.
pub const HANDOVER: &str = "handover";
/// It cannot be told: the waiter has not said whom it sees, or no target is known to have answered.
pub const UNKNOWN: &str = "unknown";

/// What an acknowledgement is waited for.
pub mod ack {
    /// The message is under way.
    pub const DELIVERY: &str = "delivery";
    /// It has arrived at a halted processor, which wakes up.
    pub const WAKING: &str = "waking";
    /// It has arrived, but the target has interrupts off or is within an instruction.
    pub const BLOCKED: &str = "blocked";
    /// The target enters its handler.
    pub const ENTRY: &str = "entry";
    /// It flushes.
    pub const HANDLER: &str = "handler";
    /// It has acknowledged; the initiator has not seen it yet.
    pub const RETURN: &str = "return";

    /// All, in the order of time.
    pub const ALL: [&str; 6] = [DELIVERY, WAKING, BLOCKED, ENTRY, HANDLER, RETURN];
}

/// Cycles of waiting by cause. Each map sums to the ledger's activity of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// `lock-spin`, by what the holder was doing; `handover`: nobody held the lock; `unknown`.
    pub lock_spin: BTreeMap<String, u64>,
    /// `ack-wait`, by what the target that acknowledged last was doing; `unknown`.
    pub ack_wait: BTreeMap<String, u64>,
}

impl Waits {
    /// All causes, none with a cycle yet.
    pub fn new() -> Waits {
        // A holder of a spin lock is in the kernel and does not idle.
        let holders = Activity::ALL.iter().filter(|a| !matches!(a, Activity::User | Activity::Idle));
        let lock = holders.map(|a| a.name()).chain([HANDOVER, UNKNOWN]);
        Waits {
            lock_spin: lock.map(|name| (name.into(), 0)).collect(),
            ack_wait: ack::ALL.into_iter().chain([UNKNOWN]).map(|name| (name.into(), 0)).collect(),
        }
    }

    /// Adds cycles that were waited for `cause`, which a column says in detail.
    pub(super) fn add(&mut self, cause: Cause, column: &str, cycles: u64) {
        let map = match cause {
            Cause::Lock(_) => &mut self.lock_spin,
            Cause::Ack => &mut self.ack_wait,
        };
        if let Some(sum) = map.get_mut(column) {
            *sum += cycles;
        }
    }

    /// Those of several processors together.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Waits>) -> Waits {
        let mut sum = Waits::new();
        for w in all {
            let pairs = [(&mut sum.lock_spin, &w.lock_spin), (&mut sum.ack_wait, &w.ack_wait)];
            for (to, from) in pairs {
                from.iter().for_each(|(name, cycles)| *to.entry(name.clone()).or_default() += cycles);
            }
        }
        sum
    }
}
