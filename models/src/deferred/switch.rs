//! Switches of tasks, and the loads of CR3 that some of them begin.

use super::{At, Deferred, Fault, Load, NONE, State, Why};
use crate::search::Steps;

impl Deferred<'_> {
    /// The processor turns to `next`, a task or idle.
    fn switch(&self, s: &State, cpu: usize, next: u8) -> (State, &'static str) {
        let mut to = *s;
        let task = s.tasks.get(usize::from(next));
        let space = self.spaces.get(usize::from(next)).copied().unwrap_or(0);
        if space != 0 && space != s.cpus[cpu].space {
            self.begin_load(&mut to, cpu, Why::Switch(next));
            return (to, "another address space, begins to load CR3");
        }
        if task.is_some_and(|t| usize::from(t.last) != cpu && t.holds) && !self.has(Fault::F) {
            self.begin_load(&mut to, cpu, Why::Switch(next));
            return (to, "arriving with pins, begins to load CR3");
        }
        self.arrive(&mut to, cpu, next);
        if space == 0 && self.has(Fault::G) || space != 0 && self.has(Fault::H) {
            to.cpus[cpu].seen = s.epoch;
        }
        (to, "no load")
    }

    pub(super) fn switches(&self, s: &State, cpu: usize, steps: &mut Steps<'_, State>) {
        let now = s.cpus[cpu].runs;
        let current = s.tasks.get(usize::from(now));
        if current.is_some_and(|t| !Self::preemptible(t.at)) {
            return;
        }
        // Who sleeps has to make room, and who is ready has to be run: both get somebody on.
        let waits = current.is_none_or(|t| t.at == At::Sleep);
        let elsewhere = |i: u8| {
            s.cpus
                .iter()
                .any(|c| c.runs == i || matches!(c.load, Some(Load { why: Why::Switch(n), .. }) if n == i))
        };
        for next in (0..self.spaces.len() as u8).chain([NONE]) {
            let ready = s.tasks.get(usize::from(next)).is_none_or(|t| t.at != At::Sleep);
            if next == now || next != NONE && (elsewhere(next) || !ready) {
                continue;
            }
            let (to, how) = self.switch(s, cpu, next);
            let name = || match next {
                NONE => format!("cpu {cpu} switches to idle: {how}"),
                next => format!("cpu {cpu} switches to task {next}: {how}"),
            };
            if waits {
                steps.step(self.settled(to), name);
            } else {
                steps.wander(self.settled(to), name);
            }
        }
    }
}
