//! Waiting by cause: whom a processor waited for, and what that one was doing.
//!
//! The ledger says how long processors spun on locks and waited for
//! acknowledgements; taken alone it makes the lock look guilty of the flush
//! that its holder waits for. Here each such interval is laid over what the
//! other side did meanwhile:
//!
//! ```text
//!  lock spin   waiter      LockSpin |--- WaitsFor(holder) ---|-- WaitsFor(nobody) --| ...
//!              holder      | kmap | flush-init |  ack-wait   | released
//!              booked to     kmap   flush-init    ack-wait       handover
//!
//!  ack wait    initiator   IPI sent |-------------------- AckWait ------------------|
//!              last target          arrives | taken | HandlerBegin | HandlerEnd
//!              booked to   delivery   waking/  entry      handler      return
//!                                     blocked
//! ```
//!
//! A waiter says whom it waits for when it begins to spin and each time it finds
//! the lock in other hands; the holder says nothing, so uncontended locks cost
//! no mark. The time from a release until the waiter sees it (a line transfer,
//! more where others ask for the line too) is therefore booked to what the old
//! holder went on to do.
//! A holder that spins itself counts as `lock-spin`: the chain is not followed.
//! Of the targets of a flush the one that acknowledged last counts.
//!
//! Intervals are those of the ledger, mark to mark, so on each processor both
//! sums equal the ledger's `lock-spin` and `ack-wait` to the cycle. Processors
//! are out of step by a slice, so an interval is looked at only [`SLACK`] cycles
//! after its end, when all that happened in it is known.

mod result;
mod stuck;

pub use result::Waits;
use result::{HANDOVER, UNKNOWN, ack};
use shootdown_abi::{Activity, FLUSH_VECTOR, Mark};
use shootdown_emu::config::MAX_CPUS;
use shootdown_emu::observe::{Event, What};
use shootdown_emu::snapshot::Snapshot;
use std::collections::VecDeque;
pub use stuck::{Stuck, circle};

/// Cycles after which nothing more comes of a moment: many slices.
const SLACK: u64 = 1 << 20;
/// Log entries of a processor from which on the old ones are looked for and dropped.
const LOG: usize = 1024;
/// Whom a waiter sees holding the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Holder {
    Nobody,
    Cpu(usize),
    /// It has not said so.
    #[default]
    Untold,
}

/// What a wait waits for.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// A lock.
    Lock(Holder),
    /// The acknowledgements to the last message before.
    Ack,
}

/// A part of a wait in which nothing changed on the waiter's side.
#[derive(Clone, Copy, Debug)]
struct Interval {
    cpu: usize,
    from: u64,
    to: u64,
    cause: Cause,
    /// Was the waiter in it when the region of interest began or ended?
    edge: bool,
}

/// Cycles of one cause, to be cut to the region of interest.
#[derive(Clone, Copy, Debug)]
struct Piece {
    cpu: usize,
    from: u64,
    to: u64,
    cause: Cause,
    column: &'static str,
}

/// One flush on a target.
#[derive(Clone, Copy, Debug)]
struct Handled {
    arrived: u64,
    /// Was the target idle then?
    idle: bool,
    taken: u64,
    begun: u64,
    done: u64,
}

/// What is known of a processor.
#[derive(Clone, Default)]
struct Track {
    activity: Option<Activity>,
    /// The wait that it is in.
    open: Option<Interval>,
    /// Whom it waits for in its lock spin, as it said last.
    holder: Holder,
    /// Whom it said it will wait for in the lock spin that comes next; after an interrupt at this moment, in those that come.
    told: Vec<Holder>,
    /// Its changes of activity, oldest first.
    log: VecDeque<(u64, Activity)>,
    /// Its flush messages and their targets.
    sent: VecDeque<(u64, u64)>,
    /// Flushes that it was asked for and has done.
    handled: VecDeque<Handled>,
    /// Arrival of the next one, and whether it was idle.
    arrival: Option<(u64, bool)>,
    /// The one that it is at; `done` and `begun` are not known yet.
    current: Option<Handled>,
}

/// Where the run stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not over yet; what comes before `RoiBegin` is dropped there.
    Within,
    After,
}

/// Makes [`Waits`] of the events of a run.
#[derive(Clone)]
pub struct WaitCollector {
    phase: Phase,
    tracks: Vec<Track>,
    /// Cycle of the latest event.
    now: u64,
    /// Waits that have ended.
    pending: VecDeque<Interval>,
    /// By processor, as far as all is known and the region's edges are not near.
    booked: Vec<Waits>,
    edges: Vec<Piece>,
}

impl Default for WaitCollector {
    fn default() -> WaitCollector {
        WaitCollector {
            phase: Phase::Within,
            tracks: (0..MAX_CPUS).map(|_| Track::default()).collect(),
            now: 0,
            pending: VecDeque::new(),
            booked: vec![Waits::new(); MAX_CPUS],
            edges: Vec::new(),
        }
    }
}

impl Track {
    /// The processor turns to an activity; what it waits for then.
    fn turn_to(&mut self, cycle: u64, activity: Activity) -> Option<Cause> {
        // A spin ends when it has seen the lock free; this one is interrupted.
        if self.activity == Some(Activity::LockSpin) && self.holder != Holder::Nobody {
            self.told.push(self.holder);
        }
        self.activity = Some(activity);
        self.log.push_back((cycle, activity));
        match activity {
            Activity::LockSpin => {
                self.holder = self.told.pop().unwrap_or_default();
                Some(Cause::Lock(self.holder))
            }
            Activity::AckWait => Some(Cause::Ack),
            _ => None,
        }
    }

    /// What the processor did in `from..to` while others waited for a lock of its.
    fn did(&self, from: u64, to: u64) -> Vec<(&'static str, u64)> {
        let mut i = self.log.partition_point(|e| e.0 <= from);
        let mut parts = Vec::new();
        loop {
            let before = i.checked_sub(1).and_then(|i| self.log.get(i));
            let column = match before.map_or(Activity::Kernel, |e| e.1) {
                Activity::User | Activity::Idle => HANDOVER,
                activity => activity.name(),
            };
            match self.log.get(i) {
                Some(&(until, _)) if until < to => parts.push((column, until)),
                _ => {
                    parts.push((column, to));
                    return parts;
                }
            }
            i += 1;
        }
    }

    /// The first flush that it did for a message sent at `sent`.
    fn answer(&self, sent: u64) -> Option<&Handled> {
        self.handled.get(self.handled.partition_point(|h| h.arrived < sent))
    }
}

impl WaitCollector {
    /// One event of the run; marks, IPIs and interrupts are wanted.
    pub fn event(&mut self, event: &Event) {
        self.now = self.now.max(event.cycle);
        let cycle = event.cycle;
        if let What::Mark(Mark::RoiBegin | Mark::RoiEnd, _) = event.what {
            self.boundary(event.what);
        }
        let Some(t) = self.tracks.get_mut(usize::from(event.cpu)) else { return };
        match event.what {
            What::Mark(Mark::Activity, code) => {
                if let Some(activity) = Activity::from_code(code as u8) {
                    let cause = t.turn_to(cycle, activity);
                    self.change(usize::from(event.cpu), cycle, cause);
                }
            }
            What::Mark(Mark::WaitsFor, word) => {
                let holder = (word as usize).checked_sub(1).map_or(Holder::Nobody, Holder::Cpu);
                if t.activity == Some(Activity::LockSpin) {
                    t.holder = holder;
                    self.change(usize::from(event.cpu), cycle, Some(Cause::Lock(holder)));
                } else {
                    t.told.push(holder);
                }
            }
            What::IpiSent { vector: FLUSH_VECTOR, targets, .. } => t.sent.push_back((cycle, targets)),
            What::IpiArrived { vector: FLUSH_VECTOR, .. } => {
                // A second one before the first is taken is the same request to the local APIC.
                t.arrival.get_or_insert((cycle, t.activity == Some(Activity::Idle)));
            }
            What::Interrupt(FLUSH_VECTOR) => {
                t.current = t.arrival.take().map(|(arrived, idle)| Handled {
                    arrived,
                    idle,
                    taken: cycle,
                    begun: cycle,
                    done: cycle,
                });
            }
            What::Mark(Mark::HandlerBegin, _) => {
                if let Some(h) = &mut t.current {
                    h.begun = cycle;
                }
            }
            What::Mark(Mark::HandlerEnd, _) => {
                if let Some(h) = t.current.take() {
                    t.handled.push_back(Handled { done: cycle, ..h });
                }
            }
            _ => {}
        }
    }

    /// The region of interest begins or ends: the waits of this moment reach over its edge.
    fn boundary(&mut self, what: What) {
        if matches!(what, What::Mark(Mark::RoiBegin, _)) {
            self.phase = Phase::Within;
            self.pending.clear();
            self.edges.clear();
            self.booked.fill(Waits::new());
        } else {
            self.phase = Phase::After;
        }
        self.tracks.iter_mut().filter_map(|t| t.open.as_mut()).for_each(|open| open.edge = true);
    }

    /// Ends the wait that the processor is in, and begins another if there is a cause.
    fn change(&mut self, cpu: usize, cycle: u64, cause: Option<Cause>) {
        let Some(t) = self.tracks.get_mut(cpu) else { return };
        let next = cause.map(|cause| Interval { cpu, from: cycle, to: cycle, cause, edge: false });
        if let Some(ended) = std::mem::replace(&mut t.open, next)
            && (self.phase == Phase::Within || ended.edge)
        {
            self.pending.push_back(Interval { to: cycle, ..ended });
        }
        while let Some(&interval) = self.pending.front()
            && interval.to.saturating_add(SLACK) < self.now
        {
            self.pending.pop_front();
            self.book(&interval);
        }
        self.forget(cpu);
    }

    /// Books a wait of which all is known.
    fn book(&mut self, wait: &Interval) {
        for piece in self.pieces(wait) {
            if wait.edge {
                self.edges.push(piece);
            } else if let Some(waits) = self.booked.get_mut(piece.cpu) {
                waits.add(piece.cause, piece.column, piece.to - piece.from);
            }
        }
    }

    /// Drops what nobody will ask for any more, now and then.
    fn forget(&mut self, cpu: usize) {
        // Each flush comes with changes of activity, so the other lists are no longer than this one.
        if self.tracks.get(cpu).is_none_or(|t| !t.log.len().is_multiple_of(LOG)) {
            return;
        }
        let open = self.tracks.iter().filter_map(|t| t.open.map(|o| o.from));
        let waits = open.chain(self.pending.iter().map(|p| p.from));
        let oldest = waits.min().unwrap_or(u64::MAX).min(self.now.saturating_sub(SLACK));
        for t in &mut self.tracks {
            // The last entry before a moment says what was so then.
            t.log.drain(..t.log.partition_point(|e| e.0 <= oldest).saturating_sub(1));
            t.sent.drain(..t.sent.partition_point(|e| e.0 <= oldest).saturating_sub(1));
            t.handled.drain(..t.handled.partition_point(|h| h.done < oldest));
        }
    }

    /// Cuts a wait into pieces of one cause each; they fill it.
    fn pieces(&self, wait: &Interval) -> Vec<Piece> {
        let (parts, rest) = match wait.cause {
            Cause::Lock(Holder::Cpu(holder)) => {
                (self.tracks.get(holder).map(|t| t.did(wait.from, wait.to)), UNKNOWN)
            }
            Cause::Lock(Holder::Nobody) => (None, HANDOVER),
            Cause::Lock(Holder::Untold) => (None, UNKNOWN),
            Cause::Ack => {
                let parts = self.acknowledgement(wait);
                let rest = if parts.is_some() { ack::RETURN } else { UNKNOWN };
                (parts, rest)
            }
        };
        let mut at = wait.from;
        let parts = parts.into_iter().flatten().chain([(rest, wait.to)]);
        let piece = |(column, until): (_, u64)| {
            let from = at;
            at = at.max(until.min(wait.to));
            Piece { cpu: wait.cpu, from, to: at, cause: wait.cause, column }
        };
        parts.map(piece).collect()
    }

    /// What an ack wait waits for and until when each, by the target that acknowledged last.
    fn acknowledgement(&self, wait: &Interval) -> Option<Vec<(&'static str, u64)>> {
        let sent = &self.tracks.get(wait.cpu)?.sent;
        let last = sent.partition_point(|e| e.0 <= wait.from).checked_sub(1)?;
        let &(sent, targets) = sent.get(last)?;
        let asked = self.tracks.iter().enumerate().filter(|(i, _)| targets >> i & 1 != 0);
        let h = asked.filter_map(|(_, t)| t.answer(sent)).max_by_key(|h| h.done)?;
        let before = if h.idle { ack::WAKING } else { ack::BLOCKED };
        let parts =
            [(ack::DELIVERY, h.arrived), (before, h.taken), (ack::ENTRY, h.begun), (ack::HANDLER, h.done)];
        Some(parts.into())
    }

    /// The waits of each processor from snapshot `begin` (`None`: from its start) to `end`, both of its region of
    /// interest, of a run that is over.
    pub fn waits(&self, begin: Option<&Snapshot>, end: &Snapshot) -> Vec<Waits> {
        let mut waits = self.booked.clone();
        waits.truncate(end.cpus.len());
        let mut cut = |piece: &Piece| {
            let clock = |s: &Snapshot| s.cpus.get(piece.cpu).map_or(0, |c| c.clock);
            let cycles = piece.to.min(clock(end)).saturating_sub(piece.from.max(begin.map_or(0, clock)));
            if let Some(waits) = waits.get_mut(piece.cpu) {
                waits.add(piece.cause, piece.column, cycles);
            }
        };
        self.edges.iter().for_each(&mut cut);
        // Who waits still has waited up to the end.
        let open = self.tracks.iter().filter_map(|t| t.open);
        let open = open.filter(|o| self.phase == Phase::Within || o.edge);
        let open = open.map(|o| Interval { to: u64::MAX, ..o });
        for wait in self.pending.iter().copied().chain(open) {
            self.pieces(&wait).iter().for_each(&mut cut);
        }
        waits
    }
}

#[cfg(test)]
mod tests;
