//! Breadth-first search through all states of a model.
//!
//! A model gives its first state and, for each state, every step that could come
//! next, whoever takes it. The search follows them all, and so runs every
//! interleaving. It ends at the first state in which something is wrong, or in which
//! nobody can go on, and tells the steps that lead there: a shortest such sequence,
//! the same one each time.
//!
//! Left out: fairness. A task that could go on but is never let is no deadlock.

use foldhash::fast::FixedState;
use indexmap::IndexSet;
use std::fmt;
use std::hash::Hash;

/// More states than this are not explored: about 2 GiB.
const LIMIT: usize = 20_000_000;

/// Something that can be explored.
pub trait Model {
    /// All that matters for what can happen next. Small: there are millions.
    type State: Clone + Eq + Hash;

    /// Where it begins.
    fn start(&self) -> Self::State;

    /// Adds every step that could come next.
    fn steps(&self, state: &Self::State, steps: &mut Steps<'_, Self::State>);

    /// What is wrong in this state, if anything is.
    fn wrong(&self, state: &Self::State) -> Option<String>;

    /// Who has what and waits for whom, one line each; asked for a state in which nobody can go on.
    fn waits(&self, state: &Self::State) -> Vec<String>;
}

/// The steps that lead out of a state.
pub struct Steps<'a, S> {
    found: Vec<S>,
    progress: bool,
    /// The step to this state is to be named.
    wanted: Option<&'a S>,
    name: String,
}

impl<S: Eq> Steps<'_, S> {
    fn new(wanted: Option<&S>) -> Steps<'_, S> {
        Steps { found: Vec::new(), progress: false, wanted, name: String::new() }
    }

    /// A step of somebody who goes on. `name` says who does what.
    pub fn step(&mut self, to: S, name: impl FnOnce() -> String) {
        self.progress = true;
        self.wander(to, name);
    }

    /// A step that gets nobody on by itself, such as a task's move to another processor: where only such steps lead to
    /// only such states, there is a deadlock.
    pub fn wander(&mut self, to: S, name: impl FnOnce() -> String) {
        if self.wanted == Some(&to) {
            if self.name.is_empty() {
                self.name = name();
            }
        } else if self.wanted.is_none() {
            self.found.push(to);
        }
    }
}

/// How an exploration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every state was seen, nothing is wrong in any, and somebody can go on in each.
    Holds,
    /// This is wrong after the steps of the trace.
    Wrong(String),
    /// Nobody can go on after the steps of the trace: who has what and waits for whom.
    Deadlock(Vec<String>),
    /// There are too many states to say.
    TooMany,
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Different states that were seen.
    pub states: usize,
    /// How it ended.
    pub verdict: Verdict,
    /// The steps to a state that is wrong or a deadlock.
    pub trace: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.trace.iter().enumerate() {
            writeln!(f, "{:4}. {step}", number + 1)?;
        }
        match &self.verdict {
            Verdict::Holds => writeln!(f, "holds in all {} states", self.states),
            Verdict::Wrong(what) => writeln!(f, "   => {what}"),
            Verdict::Deadlock(waits) => waits.iter().try_for_each(|line| writeln!(f, "   => {line}")),
            Verdict::TooMany => writeln!(f, "not decided: more than {LIMIT} states"),
        }
    }
}

/// Each state with the number of the one that it was found from.
type Seen<S> = indexmap::IndexMap<S, u32, FixedState>;

/// Explores every state of `model`.
pub fn explore<M: Model>(model: &M) -> Report {
    let mut seen: Seen<M::State> = Seen::default();
    seen.insert(model.start(), 0);
    let mut next = 0;
    while let Some((state, _)) = seen.get_index(next) {
        let state = state.clone();
        if let Some(what) = model.wrong(&state) {
            return report(model, &seen, next, Verdict::Wrong(what));
        }
        let mut steps = Steps::new(None);
        model.steps(&state, &mut steps);
        if !steps.progress && is_stuck(model, &steps.found) {
            return report(model, &seen, next, Verdict::Deadlock(model.waits(&state)));
        }
        for to in steps.found {
            seen.entry(to).or_insert(next as u32);
        }
        if seen.len() > LIMIT {
            return Report { states: seen.len(), verdict: Verdict::TooMany, trace: Vec::new() };
        }
        next += 1;
    }
    Report { states: seen.len(), verdict: Verdict::Holds, trace: Vec::new() }
}

/// Does wandering from here lead only to states in which nobody can go on?
fn is_stuck<M: Model>(model: &M, from: &[M::State]) -> bool {
    let mut seen: IndexSet<M::State, FixedState> = from.iter().cloned().collect();
    let mut next = 0;
    while let Some(state) = seen.get_index(next).cloned() {
        let mut steps = Steps::new(None);
        model.steps(&state, &mut steps);
        if steps.progress {
            return false;
        }
        seen.extend(steps.found);
        next += 1;
    }
    true
}

/// The report on the state with this number: its trace is found by going back and taking the steps again, by name.
fn report<M: Model>(model: &M, seen: &Seen<M::State>, number: usize, verdict: Verdict) -> Report {
    let mut trace = Vec::new();
    let mut at = number;
    while at != 0 {
        let (to, &from) = seen.get_index(at).expect("the number of a state");
        let (before, _) = seen.get_index(from as usize).expect("the number of a state");
        let mut steps = Steps::new(Some(to));
        model.steps(before, &mut steps);
        trace.push(steps.name);
        at = from as usize;
    }
    trace.reverse();
    Report { states: seen.len(), verdict, trace }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tasks take two locks each, in the orders given.
    struct Locks([[usize; 2]; 2]);

    impl Model for Locks {
        /// How many locks each task has; 3: done.
        type State = [u8; 2];

        fn start(&self) -> [u8; 2] {
            [0, 0]
        }

        fn steps(&self, state: &[u8; 2], steps: &mut Steps<'_, [u8; 2]>) {
            for t in 0..2 {
                let has =
                    |t: usize, lock| self.0[t].iter().take(usize::from(state[t] % 3)).any(|l| *l == lock);
                let mut to = *state;
                to[t] = (state[t] + 1) % 3;
                match self.0[t].get(usize::from(state[t])) {
                    Some(&lock) if has(1 - t, lock) => (),
                    Some(lock) => steps.step(to, || format!("task {t} takes lock {lock}")),
                    None => steps.step(to, || format!("task {t} releases both")),
                }
            }
        }

        fn wrong(&self, _: &[u8; 2]) -> Option<String> {
            None
        }

        fn waits(&self, _: &[u8; 2]) -> Vec<String> {
            vec!["both wait".into()]
        }
    }

    #[test]
    fn locks_in_one_order_hold_and_in_two_orders_deadlock_by_the_shortest_way() {
        let report = explore(&Locks([[0, 1], [0, 1]]));
        assert_eq!((report.verdict, report.states), (Verdict::Holds, 5));
        let report = explore(&Locks([[0, 1], [1, 0]]));
        assert_eq!(report.verdict, Verdict::Deadlock(vec!["both wait".into()]));
        assert_eq!(report.trace, ["task 0 takes lock 0", "task 1 takes lock 1"]);
        assert_eq!(
            report.to_string(),
            "   1. task 0 takes lock 0\n   2. task 1 takes lock 1\n   => both wait\n"
        );
    }

    /// A counter that is wrong at 3, goes up, half way only by drifting, and stands at the top.
    struct Counter(u8);

    impl Model for Counter {
        type State = u8;

        fn start(&self) -> u8 {
            0
        }

        fn steps(&self, state: &u8, steps: &mut Steps<'_, u8>) {
            steps.wander(*state, || "stands".into());
            if *state == self.0 / 2 && self.0 > 4 {
                steps.wander(*state + 1, || "drifts".into());
            } else if *state < self.0 {
                steps.step(*state + 1, || format!("goes to {}", *state + 1));
            }
        }

        fn wrong(&self, state: &u8) -> Option<String> {
            (*state == 3).then(|| "three".into())
        }

        fn waits(&self, state: &u8) -> Vec<String> {
            vec![format!("at {state}")]
        }
    }

    #[test]
    fn what_is_wrong_is_found_and_wandering_is_no_progress() {
        let report = explore(&Counter(5));
        assert_eq!(report.verdict, Verdict::Wrong("three".into()));
        assert_eq!(report.trace, ["goes to 1", "goes to 2", "drifts"]);
        assert_eq!(explore(&Counter(2)).verdict, Verdict::Deadlock(vec!["at 2".into()]));
    }
}
