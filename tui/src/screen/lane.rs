//! One strategy's run under the screen: the machine, what it is watched for, its course.
//!
//! Steps are made on a copy, as they cut slices short: when the run goes on, it does so from
//! before them, and first comes to where they led.

use super::engine::Setup;
use super::history::History;
use super::latency::{Freshness, Latencies};
use super::snapshot::{End, RunView};
use super::watch::{Goal, StopAt, Watch};
use shootdown_workloads::{Live, RunError, Strategy};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Cycles within which a step of one instruction ends, when the processor waits.
const LONGEST_STEP: u64 = 50_000_000;

/// See the module.
pub struct Lane {
    /// The run.
    pub live: Live,
    /// What it is watched for.
    pub watch: Watch,
    history: History,
    latencies: Latencies,
    /// How it ended; made once, as it costs as much as a row.
    end: Option<End>,
    /// The run as it was before it was stepped.
    before_steps: Option<Box<(Live, Watch)>>,
    /// Raised by the screen when it wants to be heard.
    flag: Arc<AtomicBool>,
}

impl Lane {
    /// Builds the machine; it waits.
    pub fn new(
        setup: &Setup,
        strategy: Strategy,
        flag: &Arc<AtomicBool>,
        stop_at: StopAt,
    ) -> Result<Lane, RunError> {
        let mut live = Live::new(&setup.cell.with(strategy))?;
        live.stop_when(Arc::clone(flag));
        Ok(Lane {
            live,
            watch: Watch::new(stop_at, setup.cell.kernel.window(setup.cell.machine.memory) as usize),
            history: History::new(),
            latencies: Latencies::default(),
            end: None,
            before_steps: None,
            flag: Arc::clone(flag),
        })
    }

    /// The cycle that it has come to.
    pub fn now(&self) -> u64 {
        self.live.machine().now()
    }

    /// Has it ended?
    pub fn is_over(&self) -> bool {
        self.live.stop().is_some()
    }

    /// Runs to cycle `until` at most; pauses before when the watch has found its goal, or the flag was raised.
    pub fn run(&mut self, until: u64) {
        self.watch.count_from(self.live.kmaps());
        self.live.advance(&mut self.watch, until.min(self.history.next()));
        self.history.see(&self.live);
    }

    /// Leaves the copy that was stepped; the run comes to where that was.
    pub fn rejoin(&mut self) {
        if let Some(before) = self.before_steps.take() {
            let reached = self.now();
            self.end = None;
            (self.live, self.watch) = *before;
            // A short way, which nobody has to interrupt.
            self.live.stop_when(Arc::default());
            self.watch.begin(Goal::None, StopAt::Never);
            self.live.advance(&mut self.watch, reached);
            self.live.stop_when(Arc::clone(&self.flag));
        }
    }

    /// The run without the steps.
    pub fn undisturbed(&self) -> &Live {
        self.before_steps.as_ref().map_or(&self.live, |before| &before.0)
    }

    /// Makes a step on a copy; it is given the cycle by which it has to end.
    pub fn step(&mut self, step: impl FnOnce(&mut Live, &mut Watch, u64)) {
        if self.before_steps.is_none() {
            self.before_steps = Some(Box::new((self.live.clone(), self.watch.clone())));
            self.live.stop_when(Arc::default());
        }
        let limit = self.now().saturating_add(LONGEST_STEP);
        step(&mut self.live, &mut self.watch, limit);
        self.take_found();
    }

    /// Steps to cycle `to`, and takes the samples that are due on the way.
    pub fn step_to(&mut self, to: u64) {
        while !self.is_over() && self.now() < to {
            let next = self.history.next().max(self.now() + 1).min(to);
            self.step(|live, watch, _| live.step_to(watch, next));
            self.history.see(&self.live);
        }
    }

    /// Has the watch found something? Says so once.
    pub fn take_found(&mut self) -> bool {
        let found = self.watch.take_found();
        if found {
            self.watch.describe_stale(&self.live);
        }
        found
    }

    /// All that a frame shows of it.
    pub fn view(&mut self, freshness: Freshness) -> RunView {
        if self.end.is_none() && self.is_over() {
            self.end = End::new(&self.live);
        }
        RunView {
            end: self.end.clone(),
            history: self.history.view(),
            stale: self.watch.stale(),
            stepped: self.before_steps.is_some(),
            ..RunView::new(&self.live, &mut self.latencies, freshness)
        }
    }
}
