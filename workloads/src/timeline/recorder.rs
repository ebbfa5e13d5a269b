//! From events to records: who sent what to whom, and what came of it.
//!
//! ```text
//!  FlushBegin ... IpiSent(message) ... AckWait ........ FlushInit ... FlushEnd      initiator
//!                     \
//!                      IpiArrived(message) .. Interrupt .. HandlerBegin .. invlpg .. HandlerEnd      a target
//! ```
//!
//! A message belongs to the shootdown that its sender is at, by number to its
//! arrivals, and these to the next interrupt of their vector. A record is handed
//! out when all of it has been seen; until then it is *open*, and there are never
//! more than [`OPEN`] open ones: the oldest is given up and stays without an end.

use super::record::{
    By, Counted, Delivery, Dropped, How, Invalidation, Kmap, Message, Point, Record, Shootdown, Span,
};
use shootdown_abi::{Activity, Counter, FLUSH_VECTOR, Mark};
use shootdown_emu::config::MAX_CPUS;
use shootdown_emu::observe::{Event, Wanted, What};
use std::collections::{BTreeMap, VecDeque};

/// The most records that wait for their end.
pub const OPEN: usize = 256;

/// Where the run stands with regard to its region of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Before it, or there is none.
    #[default]
    Before,
    Within,
    After,
}

/// A shootdown, or messages without one.
#[derive(Clone, Debug)]
struct Open {
    /// The flush without its messages; `None` for a message that belongs to none.
    flush: Option<Shootdown>,
    messages: Vec<Message>,
}

impl Open {
    fn is_complete(&self) -> bool {
        // Only the handler of a flush marks its end.
        let served = |m: &Message, d: &Delivery| {
            d.acknowledged.is_some() || m.vector != FLUSH_VECTOR && d.taken.is_some()
        };
        self.flush.as_ref().is_none_or(|f| f.done.is_some())
            && self.messages.iter().all(|m| m.deliveries.iter().all(|d| served(m, d)))
    }

    fn into_records(self) -> impl Iterator<Item = Record> {
        let (flush, alone) = match self.flush {
            Some(flush) => (Some(Shootdown { messages: self.messages, ..flush }), Vec::new()),
            None => (None, self.messages),
        };
        flush.map(Record::Shootdown).into_iter().chain(alone.into_iter().map(Record::Message))
    }
}

/// What is known of a processor.
#[derive(Clone, Debug, Default)]
struct Track {
    /// Since when it is at what.
    activity: Option<(u64, Activity)>,
    /// Whom it last said that it waits for.
    holder: Option<usize>,
    /// Messages that have arrived and wait to be taken, with their vectors.
    pending: Vec<(u8, u64)>,
    /// Messages that the running flush handler serves.
    served: Vec<u64>,
    /// Is it in a flush handler?
    handling: bool,
}

/// Makes [`Record`]s of the events of a run.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    phase: Phase,
    tracks: Vec<Track>,
    /// In order of their beginning.
    open: VecDeque<Open>,
    /// By task.
    kmaps: BTreeMap<u32, Kmap>,
    /// Ended and not yet taken.
    ended: VecDeque<Record>,
}

impl Recorder {
    /// Events that it needs.
    pub const WANTED: Wanted = Wanted::MARKS
        .union(Wanted::IPIS)
        .union(Wanted::INTERRUPTS)
        .union(Wanted::FLUSHES)
        .union(Wanted::ACTIVITY);

    /// The next record that has ended, in order of ends.
    pub fn pop(&mut self) -> Option<Record> {
        self.ended.pop_front()
    }

    /// Shootdowns that have not ended, as far as they are known, in order of their begin.
    pub fn under_way(&self) -> impl Iterator<Item = Shootdown> {
        let with_messages =
            |o: &Open| o.flush.clone().map(|f| Shootdown { messages: o.messages.clone(), ..f });
        self.open.iter().filter_map(with_messages)
    }

    /// What every processor is at, and since when; the ends are not known.
    pub fn activities(&self) -> impl Iterator<Item = Span> {
        self.tracks.iter().enumerate().filter_map(|(cpu, t)| {
            let (from, activity) = t.activity?;
            let holder = t.holder.filter(|_| activity == Activity::LockSpin);
            Some(Span { cpu, activity, from, to: u64::MAX, holder })
        })
    }

    /// Gives up what has not ended, as of now. Spans end at the greatest number: who knows the clocks cuts them.
    pub fn end(&mut self) {
        for open in std::mem::take(&mut self.open) {
            self.ended.extend(open.into_records());
        }
        self.ended.extend(std::mem::take(&mut self.kmaps).into_values().map(Record::Kmap));
        for cpu in 0..self.tracks.len() {
            self.change(cpu, u64::MAX, None);
        }
    }

    /// What begins at this moment and ends at once is counted.
    fn counts(&self) -> Counted {
        if self.phase == Phase::Within { Counted::Yes } else { Counted::No }
    }

    /// What ends at this moment is still counted if it was so far.
    fn still(&self, counted: Counted) -> Counted {
        if self.phase == Phase::Within { counted } else { Counted::No }
    }

    /// One event.
    pub fn event(&mut self, event: &Event) {
        let (cpu, cycle) = (usize::from(event.cpu), event.cycle);
        if cpu >= MAX_CPUS {
            return;
        }
        if cpu >= self.tracks.len() {
            self.tracks.resize_with(cpu + 1, Track::default);
        }
        match event.what {
            What::Mark(mark, payload) => self.mark(cpu, cycle, mark, payload),
            What::Activity(activity) => self.change(cpu, cycle, Some(activity)),
            What::IpiSent { message, by_vector, vector, targets, left } => {
                let delivery = |cpu| Delivery {
                    cpu,
                    arrived: None,
                    joined: false,
                    taken: None,
                    begun: None,
                    dropped: Dropped::default(),
                    acknowledged: None,
                    counted: Counted::No,
                };
                let targets = if by_vector { targets } else { 0 };
                let deliveries = (0..MAX_CPUS).filter(|i| targets >> i & 1 != 0).map(delivery).collect();
                let counted = self.counts();
                let sent =
                    Message { number: message, vector, from: cpu, sent: cycle, left, deliveries, counted };
                match self.flush_of(cpu) {
                    Some(open) if by_vector && vector == FLUSH_VECTOR => open.messages.push(sent),
                    _ => self.begin(Open { flush: None, messages: vec![sent] }),
                }
            }
            What::IpiArrived { message, vector, .. } => {
                let pending = &mut self.tracks[cpu].pending;
                let joined = pending.iter().any(|(v, _)| *v == vector);
                pending.push((vector, message));
                let counted = self.counts();
                self.at(message, cpu, |d| (d.arrived, d.joined, d.counted) = (Some(cycle), joined, counted));
            }
            What::Interrupt(vector) => {
                let track = &mut self.tracks[cpu];
                let served: Vec<u64> =
                    track.pending.extract_if(.., |(v, _)| *v == vector).map(|(_, m)| m).collect();
                if vector == FLUSH_VECTOR {
                    track.handling = true;
                    track.served.clone_from(&served);
                }
                served.iter().for_each(|&m| self.at(m, cpu, |d| d.taken = Some(cycle)));
                self.close();
            }
            What::Invlpg(address) => self.dropped(cpu, cycle, How::Invlpg, address),
            What::Cr3Load(value) => self.dropped(cpu, cycle, How::Cr3, value),
            What::GlobalFlush => self.dropped(cpu, cycle, How::Global, 0),
            _ => {}
        }
    }

    fn mark(&mut self, cpu: usize, cycle: u64, mark: Mark, payload: u32) {
        match mark {
            // What is under way then has begun before, so it is not counted.
            Mark::RoiBegin => self.phase = Phase::Within,
            Mark::RoiEnd => self.phase = Phase::After,
            Mark::KmapBegin => {
                let kmap = Kmap { task: payload, cpu, begun: cycle, done: None, counted: self.counts() };
                let given_up = self.kmaps.insert(payload, kmap);
                self.ended.extend(given_up.map(Record::Kmap));
                if self.kmaps.len() > OPEN {
                    self.ended.extend(self.kmaps.pop_first().map(|(_, k)| Record::Kmap(k)));
                }
            }
            Mark::KmapEnd => {
                if let Some(kmap) = self.kmaps.remove(&payload) {
                    let counted = self.still(kmap.counted);
                    self.ended.push_back(Record::Kmap(Kmap { done: Some((cpu, cycle)), counted, ..kmap }));
                }
            }
            Mark::FlushBegin => {
                let flush = Shootdown {
                    cpu,
                    task: payload,
                    begun: cycle,
                    messages: Vec::new(),
                    own: Dropped::default(),
                    waiting: None,
                    answered: None,
                    done: None,
                    counted: self.counts(),
                };
                self.begin(Open { flush: Some(flush), messages: Vec::new() });
            }
            Mark::FlushEnd => {
                let within = self.phase == Phase::Within;
                if let Some(flush) = self.flush_of(cpu).and_then(|open| open.flush.as_mut()) {
                    flush.done = Some(cycle);
                    flush.counted = if within { flush.counted } else { Counted::No };
                }
                self.close();
            }
            Mark::HandlerBegin => {
                for m in self.tracks[cpu].served.clone() {
                    self.at(m, cpu, |d| d.begun = Some(cycle));
                }
            }
            Mark::HandlerEnd => {
                let track = &mut self.tracks[cpu];
                track.handling = false;
                let within = self.phase == Phase::Within;
                for m in std::mem::take(&mut track.served) {
                    self.at(m, cpu, |d| {
                        d.acknowledged = Some(cycle);
                        d.counted = if within { d.counted } else { Counted::No };
                    });
                }
                self.close();
            }
            Mark::WaitsFor => self.tracks[cpu].holder = (payload as usize).checked_sub(1),
            Mark::Count => {
                let amount = payload & 0xffff;
                if let Some(counter @ (Counter::Wraps | Counter::Recycles | Counter::Conflicts)) =
                    Counter::from_code((payload >> 16) as u8)
                {
                    self.ended.push_back(Record::Point(Point { cpu, cycle, counter, amount }));
                }
            }
            _ => {}
        }
    }

    fn dropped(&mut self, cpu: usize, cycle: u64, how: How, operand: u32) {
        let mut by = By::Local;
        if self.tracks[cpu].handling {
            by = By::Handler;
            for m in self.tracks[cpu].served.clone() {
                self.at(m, cpu, |d| d.dropped.add(how, cycle));
            }
        } else if let Some(flush) = self.flush_of(cpu).and_then(|open| open.flush.as_mut()) {
            by = By::Initiator;
            flush.own.add(how, cycle);
        }
        self.ended.push_back(Record::Invalidation(Invalidation { cpu, cycle, how, operand, by }));
    }

    /// A processor leaves its activity.
    fn change(&mut self, cpu: usize, cycle: u64, next: Option<Activity>) {
        let track = &mut self.tracks[cpu];
        let holder = track.holder;
        let left = std::mem::replace(&mut track.activity, next.map(|activity| (cycle, activity)));
        if let Some((from, activity)) = left
            && from < cycle
        {
            let holder = holder.filter(|_| activity == Activity::LockSpin);
            self.ended.push_back(Record::Span(Span { cpu, activity, from, to: cycle, holder }));
        }
        if next == Some(Activity::AckWait)
            && let Some(flush) = self.flush_of(cpu).and_then(|open| open.flush.as_mut())
        {
            flush.waiting.get_or_insert(cycle);
        } else if matches!(left, Some((_, Activity::AckWait)))
            && next.is_some()
            && let Some(flush) = self.flush_of(cpu).and_then(|open| open.flush.as_mut())
        {
            // It may answer others meanwhile and go on waiting.
            flush.answered = Some(cycle);
        }
    }

    fn begin(&mut self, open: Open) {
        self.open.push_back(open);
        if self.open.len() > OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            self.ended.extend(oldest.into_records());
        }
        self.close();
    }

    /// Hands out what is complete.
    fn close(&mut self) {
        let (open, ended) = (&mut self.open, &mut self.ended);
        let mut i = 0;
        while let Some(o) = open.get(i) {
            if !o.is_complete() {
                i += 1;
            } else if let Some(o) = open.remove(i) {
                ended.extend(o.into_records());
            }
        }
    }

    /// The flush that a processor is at.
    fn flush_of(&mut self, cpu: usize) -> Option<&mut Open> {
        let is_its = |o: &&mut Open| o.flush.as_ref().is_some_and(|f| f.cpu == cpu && f.done.is_none());
        self.open.iter_mut().rev().find(is_its)
    }

    /// Tells a delivery something.
    fn at(&mut self, message: u64, cpu: usize, tell: impl FnOnce(&mut Delivery)) {
        let messages = self.open.iter_mut().rev().flat_map(|o| &mut o.messages);
        let mut deliveries = messages.filter(|m| m.number == message).flat_map(|m| &mut m.deliveries);
        if let Some(delivery) = deliveries.find(|d| d.cpu == cpu) {
            tell(delivery);
        }
    }
}
