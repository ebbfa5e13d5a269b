//! The shared window as it is looked at while a run pauses: does it say what the kernel's rules say, and does looking leave
//! the run alone?

mod common;

use common::{cell, outcome};
use shootdown_abi::Counter;
use shootdown_workloads::live::Live;
use shootdown_workloads::window::{Look, Use, Window};

/// Runs a small cell to its end and looks at the window now and then.
fn watched(pairs: &[(&str, &str)], mut see: impl FnMut(&Look)) -> (Live, Look) {
    let cell = cell(pairs);
    let mut live = Live::new(&cell).unwrap();
    let mut window = Window::new(cell.kernel.window(cell.machine.memory) as usize);
    let mut until = 0;
    while live.stop().is_none() {
        until += 70_001;
        live.advance(&mut window, until);
        see(&window.look(live.machine()));
    }
    let look = window.look(live.machine());
    (live, look)
}

fn is_used(used: Use) -> bool {
    used != Use::Free
}

#[test]
fn slots_of_batched_keep_its_invariants_at_every_look() {
    let (mut users, mut held) = (0, 0);
    let (live, last) = watched(&[("strategy", "batched")], |look| {
        if look.slots.is_empty() {
            return;
        }
        assert_eq!(look.slots.len(), 64);
        // A slot in use is mapped, and no TLB holds anything else for it. (A count follows its PTE when a slot is given,
        // and goes before it when it is taken back: one slot may be under way.)
        for s in look.slots.iter().filter(|s| is_used(s.used)) {
            assert!(s.pte & 1 != 0 && s.stale == 0, "{s:?}");
        }
        let half = look.slots.iter().filter(|s| !is_used(s.used) && s.pte & 1 != 0).count();
        assert!(half <= 1, "{half} slots are free and mapped");
        users += look.slots.iter().filter(|s| matches!(s.used, Use::By(_))).count();
        held += look.slots.iter().filter(|s| s.holders != 0).count();
    });
    assert!(users > 0 && held > 0, "{users} in use, {held} held");
    let figures = live.machine().peek();
    assert_eq!(last.wraps, figures.guest(Counter::Wraps));
    assert!(last.wraps > 0 && last.wrapped.is_some() && last.latest.is_some());
    let given: u64 = last.slots.iter().filter_map(|s| s.given).map(|g| u64::from(g.times)).sum();
    assert_eq!(given, figures.guest(Counter::Maps));
    assert!(last.slots.iter().all(|s| !matches!(s.used, Use::By(_))), "all have given back what they used");
}

#[test]
fn slots_of_deferred_may_be_used_while_others_hold_something_old() {
    for paging in ["4g", "64g"] {
        let (mut stale, mut users) = (0, 0);
        watched(&[("strategy", "deferred-seq"), ("paging", paging)], |look| {
            // The 8 bytes of a PTE are written in three steps, the first of which takes its present bit away.
            let half = look.slots.iter().filter(|s| s.used == Use::Unused && s.pte & 1 == 0).count();
            assert!(half <= usize::from(paging == "64g"), "{half} slots are unused and not mapped");
            for s in look.slots.iter().filter(|s| is_used(s.used)) {
                assert!(s.pte & 1 != 0 || s.used == Use::Unused, "{s:?}");
                stale += u32::from(s.stale != 0);
                users += u32::from(matches!(s.used, Use::By(_)));
            }
        });
        assert!(stale > 0 && users > 0, "{paging}: {stale} and {users}");
    }
}

#[test]
fn a_strategy_without_a_shared_window_has_no_slots() {
    let (_, last) = watched(&[("strategy", "atomic")], |look| assert!(look.slots.is_empty()));
    assert!(last.slots.is_empty());
}

#[test]
fn looking_changes_no_figure() {
    let pairs = [("strategy", "batched")];
    let (live, _) = watched(&pairs, |_| ());
    assert_eq!(live.row(), outcome(&pairs).row);
}
