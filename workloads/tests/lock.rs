//! The locks of shared windows (`lock=`): same results, and is the fair one fair?

mod common;

use common::{cell, sound};
use shootdown_abi::{Activity, Mark};
use shootdown_emu::observe::{Event, Observer, Wanted, What};
use shootdown_workloads::run::observed;
use std::sync::Arc;

/// Strategies with a lock that all processors take.
const SHARED: [&str; 5] = ["batched", "batched-range", "shared-invlpg", "deferred-seq", "deferred-local"];

#[test]
fn tickets_compute_the_same() {
    for (i, strategy) in SHARED.into_iter().enumerate() {
        let at = |lock, cpus, paging| {
            sound(&[("strategy", strategy), ("lock", lock), ("cpus", cpus), ("paging", paging)]).checksum
        };
        let expected = at("tas", "4", "4g");
        for cpus in ["1", "2", "4"] {
            assert_eq!(at("ticket", cpus, ["4g", "64g"][i % 2]), expected, "{strategy} on {cpus}");
        }
    }
}

#[test]
fn tickets_stand_adversaries_sleepers_and_page_tables_in_the_window() {
    for more in [("tlb.adversary", "fill"), ("tlb.adversary", "keep"), ("window", "16"), ("jitter", "50")] {
        for strategy in ["batched", "deferred-seq"] {
            let at = |lock| sound(&[("strategy", strategy), ("lock", lock), ("hold", "50"), more]);
            let (tas, ticket) = (at("tas"), at("ticket"));
            assert_eq!((ticket.checksum, ticket.harmful_uses), (tas.checksum, 0), "{strategy}, {more:?}");
        }
    }
    let at = |lock| {
        sound(&[
            ("workload", "fork-cow"),
            ("pages", "64"),
            ("pte", "kmap"),
            ("lock", lock),
            ("ops", "30"),
            ("warmup", "0"),
        ])
    };
    assert_eq!(at("ticket").checksum, at("tas").checksum);
}

/// Through how many other hands a lock went while a processor waited for it: the most of all waits.
#[derive(Default)]
struct Hands {
    /// Of each processor: is it in a wait, whom did it see last, how many did it see?
    waits: Vec<(bool, u32, u32)>,
    most: u32,
}

impl Observer for Hands {
    fn wanted(&self) -> Wanted {
        Wanted::MARKS
    }

    fn event(&mut self, event: &Event) {
        let cpu = usize::from(event.cpu);
        if self.waits.len() <= cpu {
            self.waits.resize(cpu + 1, (false, 0, 0));
        }
        let wait = &mut self.waits[cpu];
        match event.what {
            // The first word comes before the activity: it begins the wait.
            What::Mark(Mark::WaitsFor, holder) if !wait.0 => *wait = (true, holder, u32::from(holder != 0)),
            What::Mark(Mark::WaitsFor, holder) => {
                wait.2 += u32::from(holder != 0 && holder != wait.1);
                wait.1 = holder;
            }
            // An interrupt in between is handled and the wait goes on.
            What::Mark(Mark::Activity, now) if wait.0 => {
                let goes_on = [Activity::LockSpin, Activity::IpiHandler].iter().any(|a| *a as u32 == now);
                if !goes_on {
                    let seen = wait.2;
                    *wait = (false, 0, 0);
                    self.most = self.most.max(seen);
                }
            }
            _ => {}
        }
    }
}

/// Most holders that a processor saw in one wait, under a storm of four processors for one lock.
fn most_hands(lock: &str) -> u32 {
    let cell = cell(&[
        ("strategy", "batched"),
        ("lock", lock),
        ("cpus", "4"),
        // None is woken or interrupted by the timer while it waits, so that all waits are for the window's lock: the
        // scheduler's is of the other kind.
        ("tasks", "4"),
        ("tick", "100000000"),
        ("think", "0"),
        ("ops", "600"),
    ]);
    let mut hands = Hands::default();
    let (outcome, _) = observed(&cell, &Arc::default(), &mut hands).expect("it runs");
    assert_eq!(outcome.row.problems(), Vec::<String>::new());
    hands.most
}

#[test]
fn with_tickets_nobody_waits_for_more_than_the_others() {
    let (tas, ticket) = (most_hands("tas"), most_hands("ticket"));
    assert!(ticket <= 3, "a ticket waited for {ticket} holders, with three other processors");
    assert!(tas > ticket, "{tas} holders with tas, {ticket} with tickets: the load does not tell them apart");
}

/// What is waited for is known with either lock: nothing of it is unknown, and causes sum to the ledger.
#[test]
fn waits_for_either_lock_have_their_causes() {
    for lock in ["tas", "ticket"] {
        let row = sound(&[("strategy", "batched"), ("lock", lock), ("cpus", "4"), ("think", "0")]);
        let sum: u64 = row.waits.lock_spin.values().sum();
        assert_eq!(sum, row.ledger.activity["lock-spin"], "{lock}");
        assert!(sum > 0 && row.waits.lock_spin["unknown"] * 100 <= sum, "{lock}: {:?}", row.waits.lock_spin);
        assert!(row.waits.lock_spin["kmap"] * 10 > sum, "{lock}: {:?}", row.waits.lock_spin);
    }
}
