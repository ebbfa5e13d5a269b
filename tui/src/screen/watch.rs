//! What a run is watched for: the event that a step goes to, and stale uses that stop it.

use super::snapshot::StaleReport;
use shootdown_abi::{Counter, MARK_PAYLOAD_BITS, Mark};
use shootdown_emu::observe::{Event, Heard, Observer, Wanted, What};
use shootdown_emu::oracle::StaleUse;
use shootdown_workloads::Live;
use shootdown_workloads::timeline::Trail;
use shootdown_workloads::window::Window;
use std::sync::Arc;

/// When a stale use stops a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// At each.
    Any,
    /// At a harmful one.
    Harmful,
    /// Never.
    Never,
}

impl StopAt {
    /// All, by name.
    pub const ALL: [(&'static str, StopAt); 3] =
        [("harmful", StopAt::Harmful), ("any", StopAt::Any), ("never", StopAt::Never)];
}

/// The event that a step goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// None.
    None,
    /// An initiator begins a shootdown.
    Shootdown,
    /// A stale translation is used.
    StaleUse,
    /// The cursor of the window wraps.
    Wrap,
}

/// See the module.
#[derive(Clone)]
pub struct Watch {
    /// What is looked for.
    pub goal: Goal,
    /// Which stale uses stop the run.
    pub stop_at: StopAt,
    /// The run pauses when so many kmaps were asked for.
    pub kmaps_until: u64,
    kmaps: u64,
    found: bool,
    /// The use that stopped the run, as the oracle tells it.
    seen: Option<StaleUse>,
    stale: Option<Arc<StaleReport>>,
    /// The last shootdowns and the slowest ones.
    pub trail: Trail,
    /// What marks say of the shared window.
    pub window: Window,
}

impl Watch {
    /// One that has seen nothing, of a run with so many slots in its window.
    pub fn new(stop_at: StopAt, slots: usize) -> Watch {
        Watch {
            goal: Goal::None,
            stop_at,
            kmaps_until: u64::MAX,
            kmaps: 0,
            found: false,
            seen: None,
            stale: None,
            trail: Trail::default(),
            window: Window::new(slots),
        }
    }

    /// From now on `goal` is looked for, and stale uses as `stop_at` says; what was found before is forgotten.
    pub fn begin(&mut self, goal: Goal, stop_at: StopAt) {
        self.goal = goal;
        self.stop_at = stop_at;
        self.found = false;
        self.seen = None;
        self.stale = None;
        self.kmaps_until = u64::MAX;
    }

    /// So many kmaps were asked for already.
    pub fn count_from(&mut self, kmaps: u64) {
        self.kmaps = kmaps;
    }

    /// Has it found what it looked for? Says so once.
    pub fn take_found(&mut self) -> bool {
        std::mem::take(&mut self.found)
    }

    /// Looks up what there is to say of the use that stopped the run.
    pub fn describe_stale(&mut self, live: &Live) {
        if let Some(seen) = &self.seen {
            self.stale = Some(Arc::new(StaleReport::new(seen, live.machine())));
        }
    }

    /// The use that stopped the run.
    pub fn stale(&self) -> Option<Arc<StaleReport>> {
        self.stale.clone()
    }
}

impl Observer for Watch {
    fn wanted(&self) -> Wanted {
        Wanted::MARKS | Wanted::STALE | self.trail.wanted() | self.window.wanted()
    }

    fn event(&mut self, event: &Event) {
        self.trail.event(event);
        self.window.event(event);
        match event.what {
            What::Mark(Mark::FlushBegin, _) => self.found |= self.goal == Goal::Shootdown,
            What::Mark(Mark::Count, payload) => {
                let (code, amount) = ((payload >> 16) as u8, u64::from(payload & 0xffff));
                match Counter::from_code(code) {
                    Some(Counter::Kmaps) => self.kmaps += amount,
                    Some(Counter::Wraps) => self.found |= self.goal == Goal::Wrap,
                    _ => {}
                }
            }
            What::Stale(stale) => {
                let stops = match self.stop_at {
                    StopAt::Any => true,
                    StopAt::Harmful => stale.harmful,
                    StopAt::Never => false,
                };
                if (stops || self.goal == Goal::StaleUse) && self.seen.is_none() {
                    self.seen = Some(stale);
                    self.found = true;
                }
            }
            _ => {}
        }
    }

    fn heard(&mut self) -> Heard {
        if self.found || self.kmaps >= self.kmaps_until { Heard::Enough } else { Heard::More }
    }
}

// The payload of a counting mark has a code above its amount.
const _: () = assert!(MARK_PAYLOAD_BITS == 24);
