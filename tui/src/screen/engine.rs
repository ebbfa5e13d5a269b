//! The machines under the screen, and what can be asked of them: run, pause, step, go back,
//! start anew. Knows no clock of the host and no terminal, so a scripted session is repeatable.
//!
//! ```text
//!  Setup (cell, strategies) -> a Lane per strategy: Live + Watch + History
//!  Command -> Engine::obey      Engine::advance -> one piece of a run      Engine::snapshot -> Snapshot
//! ```
//!
//! Several strategies move in lock-step of the load's work: none is more than [`AHEAD`] kmaps
//! before the slowest. (The guest tells its operations only when a task is done.) Going back starts anew and runs to the earlier cycle, as the machine is
//! deterministic. Steps of single instructions and short times run on a copy, so that the
//! figures of the run are those of `run`, whatever was stepped through.

use super::lane::Lane;
use super::latency::Freshness;
use super::snapshot::{Interest, Part, Snapshot};
use super::watch::{Goal, StopAt};
use shootdown_workloads::report::{Config, Report};
use shootdown_workloads::{Cell, RunError, Strategy};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How many kmaps a strategy may be before the slowest.
pub const AHEAD: u64 = 16;
/// Strategies side by side at most.
pub const MOST_RUNS: usize = 4;
/// In lock-step, cycles of a piece.
const PIECE: u64 = 200_000;
/// How far a pause may be behind the cycle that was asked for: the machine's longest slice, and some.
const SLACK: u64 = 5_000_000;
/// Said when a run is to go on that cannot.
const OVER: &str = "the run has ended; r starts it anew, b goes back";
/// Stops that can be gone back to.
const STOPS: usize = 256;

/// What is run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The load, the machine, the kernel.
    pub cell: Cell,
    /// One run each, 1 to [`MOST_RUNS`].
    pub strategies: Vec<Strategy>,
}

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One instruction of the focused processor.
    Instruction,
    /// So many cycles.
    Cycles(u64),
    /// Until an initiator begins a shootdown.
    Shootdown,
    /// Until a stale translation is used.
    StaleUse,
    /// Until the cursor of the window wraps.
    Wrap,
}

/// What the screen asks of the engine.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run on.
    Run,
    /// Pause.
    Pause,
    /// Make a step, then pause.
    Step(Step),
    /// To the stop before this one, or a twentieth of the way back.
    Back,
    /// To this cycle, forwards or by starting anew.
    GoTo(u64),
    /// The same setup from the beginning; it runs.
    Restart,
    /// Another setup from the beginning; it runs.
    Start(Box<Setup>),
    /// What frames are to show.
    Look(Look),
    /// When to stop at stale uses.
    StopAt(StopAt),
    /// Write the result of what has run to a file.
    Save(std::path::PathBuf),
}

/// What frames are to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The run, by its place in the setup.
    pub run: usize,
    /// The focused processor.
    pub cpu: usize,
    /// What the screen needs beyond what every frame has.
    pub interest: Interest,
}

/// What the engine is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It waits.
    Paused,
    /// It runs on.
    Running,
    /// It runs until an event, then waits.
    ToEvent,
    /// It runs at full speed to this cycle, then waits.
    Seeking(u64),
}

/// See the module.
pub struct Engine {
    setup: Arc<Setup>,
    lanes: Vec<Lane>,
    pace: Pace,
    look: Look,
    stop_at: StopAt,
    /// Raised by the screen when it wants to be heard.
    flag: Arc<AtomicBool>,
    /// Cycles at which it was paused, the latest last.
    stops: Vec<u64>,
    /// Something to say, and how many were said.
    notice: Option<(u64, String)>,
    said: u64,
    /// Counts starts, so that the screen knows a new run.
    generation: u64,
}

impl Engine {
    /// Builds the machines; they wait.
    pub fn new(setup: Setup, stop_at: StopAt, flag: Arc<AtomicBool>) -> Result<Engine, RunError> {
        let lanes = lanes(&setup, &flag, stop_at)?;
        Ok(Engine {
            setup: Arc::new(setup),
            lanes,
            pace: Pace::Paused,
            look: Look { run: 0, cpu: 0, interest: Interest::empty() },
            stop_at,
            flag,
            stops: Vec::new(),
            notice: None,
            said: 0,
            generation: 0,
        })
    }

    /// What it is about.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The cycle that the shown run has come to.
    pub fn now(&self) -> u64 {
        self.shown().map_or(0, Lane::now)
    }

    fn shown(&self) -> Option<&Lane> {
        self.lanes.get(self.look.run)
    }

    /// Does what is asked. What cannot be done is said in the next frame.
    pub fn obey(&mut self, command: Command) {
        if !matches!(command, Command::Look(_)) {
            self.notice = None;
        }
        match command {
            Command::Run => self.go(Pace::Running, Goal::None),
            Command::Pause => self.pause(),
            Command::Step(step) => self.step(step),
            Command::Back => self.back(),
            Command::GoTo(cycle) => self.seek(cycle),
            Command::Restart => {
                let setup = (*self.setup).clone();
                self.start_and_go(setup);
            }
            Command::Start(setup) => self.start_and_go(*setup),
            Command::Look(look) => {
                self.look = Look { run: look.run.min(self.lanes.len().saturating_sub(1)), ..look }
            }
            Command::StopAt(stop_at) => {
                self.stop_at = stop_at;
                self.lanes.iter_mut().for_each(|l| l.watch.stop_at = stop_at);
            }
            Command::Save(path) => self.save(&path),
        }
    }

    fn say(&mut self, text: String) {
        self.said += 1;
        self.notice = Some((self.said, text));
    }

    fn go(&mut self, pace: Pace, goal: Goal) {
        self.remember();
        // On the way to a moment nothing is looked at.
        let stop_at = if matches!(pace, Pace::Seeking(_)) { StopAt::Never } else { self.stop_at };
        for lane in &mut self.lanes {
            // Before anything else, so that the goal is looked for behind what was stepped through.
            lane.rejoin();
            lane.watch.begin(goal, stop_at);
        }
        if self.lanes.iter().all(Lane::is_over) {
            self.say(OVER.into());
        } else {
            self.pace = pace;
        }
    }

    fn remember(&mut self) {
        let now = self.now();
        if self.stops.last() != Some(&now) {
            if self.stops.len() == STOPS {
                self.stops.remove(0);
            }
            self.stops.push(now);
        }
    }

    fn pause(&mut self) {
        self.pace = Pace::Paused;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Shootdown => self.go(Pace::ToEvent, Goal::Shootdown),
            Step::StaleUse => self.go(Pace::ToEvent, Goal::StaleUse),
            Step::Wrap => self.go(Pace::ToEvent, Goal::Wrap),
            Step::Instruction | Step::Cycles(_) => {
                self.pace = Pace::Paused;
                self.remember();
                let (run, cpu, stop_at) = (self.look.run, self.look.cpu, self.stop_at);
                let Some(lane) = self.lanes.get_mut(run) else { return };
                if lane.is_over() {
                    self.say(OVER.into());
                    return;
                }
                lane.watch.begin(Goal::None, stop_at);
                match step {
                    Step::Cycles(cycles) => lane.step(|live, watch, _| {
                        let until = live.machine().now().saturating_add(cycles);
                        live.step_to(watch, until);
                    }),
                    _ => lane.step(|live, watch, limit| live.step_one(cpu, watch, limit)),
                }
            }
        }
    }

    fn back(&mut self) {
        let now = self.now();
        while self.stops.last().is_some_and(|&s| s >= now) {
            self.stops.pop();
        }
        let to = self.stops.pop().unwrap_or(now - now / 20);
        self.seek(if to < now { to } else { now.saturating_sub(1) });
    }

    fn seek(&mut self, cycle: u64) {
        if cycle < self.now() {
            let stops = std::mem::take(&mut self.stops);
            let setup = (*self.setup).clone();
            if !self.start(setup) {
                return;
            }
            self.stops = stops;
        }
        self.go(Pace::Seeking(cycle), Goal::None);
    }

    fn start_and_go(&mut self, setup: Setup) {
        if self.start(setup) {
            self.go(Pace::Running, Goal::None);
        }
    }

    /// True: it stands at the beginning. Else all is as before, and it is said why.
    fn start(&mut self, setup: Setup) -> bool {
        match lanes(&setup, &self.flag, self.stop_at) {
            Ok(lanes) => {
                self.lanes = lanes;
                self.look.run = self.look.run.min(self.lanes.len().saturating_sub(1));
                self.look.cpu = self.look.cpu.min(setup.cell.machine.cpus.saturating_sub(1));
                self.setup = Arc::new(setup);
                self.stops.clear();
                self.pace = Pace::Paused;
                self.generation += 1;
                true
            }
            Err(error) => {
                self.say(error.to_string());
                false
            }
        }
    }

    fn save(&mut self, path: &std::path::Path) {
        let rows = self.lanes.iter().map(|l| l.undisturbed().row()).collect();
        let report = Report::new(Config::new(&self.setup.cell, &self.setup.strategies), rows);
        let text = match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => Ok(shootdown_workloads::csv::render(&report)),
            Some("txt") => {
                Ok(shootdown_workloads::table::render(&report, shootdown_workloads::table::Paint::Plain))
            }
            _ => report.to_json(),
        };
        let written =
            text.map_err(|e| e.to_string()).and_then(|t| std::fs::write(path, t).map_err(|e| e.to_string()));
        self.say(match written {
            Ok(()) => format!("result written to {}", path.display()),
            Err(error) => format!("{}: cannot write: {error}", path.display()),
        });
    }

    /// Runs a piece, of the shown run up to cycle `until` at most. What ends a run by itself pauses the engine.
    pub fn advance(&mut self, until: u64) {
        let until = match self.pace {
            Pace::Paused => return,
            Pace::Running | Pace::ToEvent => until,
            // The rest of the way is stepped, to be there exactly.
            Pace::Seeking(to) => to.saturating_sub(SLACK),
        };
        if self.lanes.len() == 1 {
            self.lanes[0].run(until);
        } else {
            self.lock_step(until);
        }
        self.look_for_stops();
    }

    fn lock_step(&mut self, until: u64) {
        let going = self.lanes.iter().filter(|l| !l.is_over());
        let Some(least) = going.map(|l| l.live.kmaps()).min() else { return };
        let most = least + AHEAD;
        let may_go = |l: &Lane| !l.is_over() && l.live.kmaps() < most;
        // Those that may go keep together in time, too: not every load has kmaps.
        let Some(last) = self.lanes.iter().filter(|l| may_go(l)).map(Lane::now).min() else { return };
        let end = last.saturating_add(PIECE);
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            if may_go(lane) && lane.now() < end {
                lane.watch.kmaps_until = most;
                lane.run(if i == self.look.run { end.min(until) } else { end });
            }
        }
    }

    fn look_for_stops(&mut self) {
        let mut found = None;
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            if lane.take_found() {
                found.get_or_insert(i);
            }
        }
        if let Some(i) = found {
            if !matches!(self.pace, Pace::Seeking(_)) {
                self.look.run = i;
            }
            self.pause();
        }
        if let Pace::Seeking(to) = self.pace
            && let Some(lane) = self.lanes.get_mut(self.look.run)
            && (lane.is_over() || lane.now() >= to.saturating_sub(SLACK))
        {
            lane.step_to(to);
            self.pause();
        }
        if self.lanes.iter().all(Lane::is_over) {
            self.pause();
        }
    }

    /// All that a frame shows.
    pub fn snapshot(&mut self, freshness: Freshness) -> Snapshot {
        let look = self.look;
        let runs = self.lanes.iter_mut().map(|l| l.view(freshness)).collect();
        let part = self.lanes.get(look.run).map(|l| Part::new(&l.live, &l.watch, look)).unwrap_or_default();
        Snapshot {
            setup: Arc::clone(&self.setup),
            runs,
            shown: look.run,
            cpu: look.cpu,
            pace: self.pace,
            part,
            notice: self.notice.clone(),
            generation: self.generation,
        }
    }
}

fn lanes(setup: &Setup, flag: &Arc<AtomicBool>, stop_at: StopAt) -> Result<Vec<Lane>, RunError> {
    setup.strategies.iter().map(|&strategy| Lane::new(setup, strategy, flag, stop_at)).collect()
}
