//! From records to tracks: every processor has
//!
//! ```text
//!  activity    | kernel | kmap | flush-init |      ack-wait      | kmap |      the ledger's activities
//!  initiator            |  shootdown  ^send | wait               |
//!  arrivals                               | deliver | pending |                IPIs on their way to this processor
//!  handler                                                    | handle flush  ^ack
//!  local                                                                       invalidations that nobody asked for
//! ```
//!
//! and each task one with its kmaps, since a task may sleep in one and end it
//! elsewhere. Flows lead from a send over its deliveries to the handlers, and
//! from acknowledgements back. Slices of a track lie apart or within each other;
//! what does not (two IPIs on their way) goes to a further lane of the track.

use super::record::{By, Delivery, Invalidation, Message, Record, Shootdown};
use shootdown_abi::{FLUSH_VECTOR, RESCHEDULE_VECTOR};
use shootdown_emu::cost::Costs;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a track is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// A processor, from one of its sides.
    Cpu(usize, Side),
    /// A task.
    Task(u32),
}

/// A side of a processor, in the order of the tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Activity,
    Initiator,
    Arrivals,
    Handler,
    Local,
}

impl Side {
    pub const fn name(self) -> &'static str {
        match self {
            Side::Activity => "activity",
            Side::Initiator => "initiator",
            Side::Arrivals => "arrivals",
            Side::Handler => "handler",
            Side::Local => "local invalidations",
        }
    }
}

/// What kind of thing a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    Activity,
    Shootdown,
    Ipi,
    Invalidation,
    Kmap,
}

impl Category {
    pub const ALL: [Category; 5] =
        [Category::Activity, Category::Shootdown, Category::Ipi, Category::Invalidation, Category::Kmap];

    pub const fn name(self) -> &'static str {
        match self {
            Category::Activity => "activity",
            Category::Shootdown => "shootdown",
            Category::Ipi => "ipi",
            Category::Invalidation => "invalidation",
            Category::Kmap => "kmap",
        }
    }
}

/// How long something lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// No time.
    Instant,
    /// Up to this cycle.
    Cycle(u64),
    /// Nobody has seen its end.
    Open,
}

/// Something on a track. Times are cycles.
#[derive(Clone, Debug)]
pub struct Slice {
    pub from: u64,
    pub until: Until,
    pub name: &'static str,
    pub category: Category,
    /// Names and numbers.
    pub notes: Vec<(&'static str, u64)>,
    /// Flows that pass here.
    pub flows: Vec<u64>,
    /// Flows that end here.
    pub ends: Vec<u64>,
}

impl Slice {
    fn new(from: u64, until: Until, name: &'static str, category: Category) -> Slice {
        Slice { from, until, name, category, notes: Vec::new(), flows: Vec::new(), ends: Vec::new() }
    }

    fn to(&self) -> u64 {
        match self.until {
            Until::Instant => self.from,
            Until::Cycle(to) => to,
            Until::Open => u64::MAX,
        }
    }
}

/// A lane of a track: its slices lie apart or within each other, outer ones first.
#[derive(Debug)]
pub struct Lane {
    pub about: About,
    /// 0 for the first one of the track.
    pub number: usize,
    pub slices: Vec<Slice>,
}

/// All tracks of some records, in order.
pub fn lanes(records: &[Record], costs: &Costs) -> Vec<Lane> {
    let mut tracks = Tracks { costs: *costs, all: BTreeMap::new() };
    records.iter().for_each(|r| tracks.add(r));
    tracks.all.into_iter().flat_map(|(about, slices)| split(about, slices)).collect()
}

/// Puts slices into as few lanes as their order allows.
fn split(about: About, mut slices: Vec<Slice>) -> Vec<Lane> {
    slices.sort_by_key(|s| (s.from, Reverse(s.to())));
    // Each lane with the ends of the slices that are not over, outermost first.
    let mut lanes: Vec<(Lane, Vec<u64>)> = Vec::new();
    for slice in slices {
        let instant = slice.until == Until::Instant;
        let fits = |(_, ends): &mut (Lane, Vec<u64>)| {
            // The end of a slice still has room for an instant.
            while ends.last().is_some_and(|&end| end < slice.from || end == slice.from && !instant) {
                ends.pop();
            }
            ends.last().is_none_or(|&end| slice.to() <= end)
        };
        let i = lanes.iter_mut().position(fits).unwrap_or(lanes.len());
        if i == lanes.len() {
            lanes.push((Lane { about, number: i, slices: Vec::new() }, Vec::new()));
        }
        if let Some((lane, ends)) = lanes.get_mut(i) {
            if !instant {
                ends.push(slice.to());
            }
            lane.slices.push(slice);
        }
    }
    lanes.into_iter().map(|(lane, _)| lane).collect()
}

struct Tracks {
    costs: Costs,
    all: BTreeMap<About, Vec<Slice>>,
}

/// Names of what happens to an IPI: sent, on its way, waiting to be taken.
const fn names(vector: u8) -> [&'static str; 3] {
    match vector {
        FLUSH_VECTOR => ["send flush", "deliver flush", "flush pending"],
        RESCHEDULE_VECTOR => ["send reschedule", "deliver reschedule", "reschedule pending"],
        _ => ["send IPI", "deliver IPI", "IPI pending"],
    }
}

fn until(end: Option<u64>) -> Until {
    end.map_or(Until::Open, Until::Cycle)
}

/// The flow from a message's send to the handler at one target.
fn there(message: &Message, cpu: usize) -> u64 {
    message.number << 8 | (cpu as u64) << 1
}

/// The flow of the acknowledgement.
fn back(message: &Message, cpu: usize) -> u64 {
    there(message, cpu) | 1
}

impl Tracks {
    fn put(&mut self, cpu: usize, side: Side, slice: Slice) {
        self.all.entry(About::Cpu(cpu, side)).or_default().push(slice);
    }

    fn add(&mut self, record: &Record) {
        match record {
            Record::Shootdown(s) => self.shootdown(s),
            Record::Message(m) => self.message(m),
            Record::Invalidation(i) => self.invalidation(i),
            Record::Kmap(k) => {
                let until = until(k.done.map(|(_, at)| at));
                let mut slice = Slice::new(k.begun, until, "kmap()", Category::Kmap);
                slice.notes.push(("cpu", k.cpu as u64));
                if let Some((cpu, _)) = k.done.filter(|(cpu, _)| *cpu != k.cpu) {
                    slice.notes.push(("ended on cpu", cpu as u64));
                }
                self.all.entry(About::Task(k.task)).or_default().push(slice);
            }
            Record::Span(s) => {
                let until = Until::Cycle(s.to);
                let mut slice = Slice::new(s.from, until, s.activity.name(), Category::Activity);
                slice.notes.extend(s.holder.map(|holder| ("holder", holder as u64)));
                self.put(s.cpu, Side::Activity, slice);
            }
            Record::Point(p) => {
                let mut slice = Slice::new(p.cycle, Until::Instant, p.counter.name(), Category::Kmap);
                slice.notes.push(("amount", u64::from(p.amount)));
                self.put(p.cpu, Side::Initiator, slice);
            }
        }
    }

    fn shootdown(&mut self, s: &Shootdown) {
        let mut slice = Slice::new(s.begun, until(s.done), "shootdown", Category::Shootdown);
        slice.notes = vec![("task", u64::from(s.task)), ("targets", s.deliveries().count() as u64)];
        self.put(s.cpu, Side::Initiator, slice);
        if let Some(from) = s.waiting {
            let wait = Slice::new(from, until(s.answered), "wait", Category::Shootdown);
            self.put(s.cpu, Side::Initiator, wait);
        }
        s.messages.iter().for_each(|m| self.message(m));
        if let Some(at) = s.answered {
            let mut seen = Slice::new(at, Until::Instant, "all acknowledged", Category::Shootdown);
            let acknowledged = |m: &&Delivery| m.acknowledged.is_some_and(|a| a <= at) && !m.joined;
            for m in &s.messages {
                seen.ends.extend(m.deliveries.iter().filter(acknowledged).map(|d| back(m, d.cpu)));
            }
            self.put(s.cpu, Side::Initiator, seen);
        }
    }

    fn message(&mut self, m: &Message) {
        let [send, deliver, pending] = names(m.vector);
        let mut sent = Slice::new(m.sent, Until::Instant, send, Category::Ipi);
        sent.notes = vec![
            ("message", m.number),
            ("vector", u64::from(m.vector)),
            ("targets", m.deliveries.len() as u64),
            ("bus wait", m.left.saturating_sub(m.sent)),
        ];
        sent.flows.extend(m.deliveries.iter().map(|d| there(m, d.cpu)));
        self.put(m.from, Side::Initiator, sent);
        for d in &m.deliveries {
            let notes = vec![("message", m.number), ("from cpu", m.from as u64)];
            let flows = vec![there(m, d.cpu)];
            let way = Slice::new(m.sent, until(d.arrived), deliver, Category::Ipi);
            self.put(d.cpu, Side::Arrivals, Slice { notes: notes.clone(), flows: flows.clone(), ..way });
            let Some(arrived) = d.arrived.filter(|_| !d.joined) else { continue };
            let waits = Slice::new(arrived, until(d.taken), pending, Category::Ipi);
            let taken = d.taken.filter(|_| m.vector == FLUSH_VECTOR);
            // Where no handler follows the flow ends here.
            let (passes, ends) =
                if taken.is_some() { (flows.clone(), vec![]) } else { (vec![], flows.clone()) };
            self.put(d.cpu, Side::Arrivals, Slice { flows: passes, ends, ..waits });
            if let Some(taken) = taken {
                self.handler(m, d, taken, notes, flows);
            }
        }
    }

    fn handler(
        &mut self,
        m: &Message,
        d: &Delivery,
        taken: u64,
        mut notes: Vec<(&'static str, u64)>,
        ends: Vec<u64>,
    ) {
        let counts = [
            ("invlpg", d.dropped.invlpg),
            ("CR3 loads", d.dropped.cr3),
            ("global flushes", d.dropped.global),
        ];
        notes.extend(counts.iter().filter(|c| c.1 > 0).map(|&(name, n)| (name, u64::from(n))));
        let slice = Slice::new(taken, until(d.acknowledged), "handle flush", Category::Shootdown);
        self.put(d.cpu, Side::Handler, Slice { notes, ends, ..slice });
        if let Some(begun) = d.begun {
            let entry = Slice::new(taken, Until::Cycle(begun), "entry", Category::Shootdown);
            self.put(d.cpu, Side::Handler, entry);
        }
        if let Some(at) = d.acknowledged {
            let mut ack = Slice::new(at, Until::Instant, "acknowledge", Category::Shootdown);
            ack.flows.push(back(m, d.cpu));
            self.put(d.cpu, Side::Handler, ack);
        }
    }

    /// The event comes when it is complete; what it costs is the preset's number.
    fn invalidation(&mut self, i: &Invalidation) {
        let cost = match i.how {
            super::How::Invlpg => self.costs.invlpg,
            super::How::Cr3 => self.costs.cr3_load,
            super::How::Global => self.costs.cr4_pge_write,
        };
        let from = i.cycle.saturating_sub(u64::from(cost));
        let mut slice = Slice::new(from, Until::Cycle(i.cycle), i.how.name(), Category::Invalidation);
        if i.operand != 0 {
            slice.notes.push(("operand", u64::from(i.operand)));
        }
        let side = match i.by {
            By::Handler => Side::Handler,
            By::Initiator => Side::Initiator,
            By::Local => Side::Local,
        };
        self.put(i.cpu, side, slice);
    }
}
