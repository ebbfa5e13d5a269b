//! What a timeline is made of. Cycles are those of the processor where something happened.
//!
//! An end that is `None` has not been seen: the run ended before it, or the
//! guest does not mark it.

use shootdown_abi::{Activity, Counter};

/// Something that has ended, or whose run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A flush of several processors.
    Shootdown(Shootdown),
    /// An IPI that belongs to no shootdown that was marked.
    Message(Message),
    /// A change of one processor's TLBs.
    Invalidation(Invalidation),
    /// A kmap.
    Kmap(Kmap),
    /// A processor's time in one activity.
    Span(Span),
    /// The kernel has counted something.
    Point(Point),
}

impl Record {
    /// How many slices it is: its share of the timeline's bound.
    pub fn weight(&self) -> usize {
        match self {
            Record::Shootdown(s) => 1 + s.messages.iter().map(Message::weight).sum::<usize>(),
            Record::Message(m) => m.weight(),
            _ => 1,
        }
    }

    /// When it began.
    pub fn begun(&self) -> u64 {
        match self {
            Record::Shootdown(s) => s.begun,
            Record::Message(m) => m.sent,
            Record::Invalidation(i) => i.cycle,
            Record::Kmap(k) => k.begun,
            Record::Span(s) => s.from,
            Record::Point(p) => p.cycle,
        }
    }
}

/// Whether a figure of the result counts something: only what begins and ends within the region of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It does.
    Yes,
    /// It reaches over an edge of the region, or lies outside.
    No,
}

/// A flush of several processors, from `FlushBegin` to `FlushEnd` of its initiator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shootdown {
    /// The initiator.
    pub cpu: usize,
    /// The task that asked for it.
    pub task: u32,
    /// When it began: before the wait for the right to send.
    pub begun: u64,
    /// Its messages in order of sending; more than one where targets are asked one by one.
    pub messages: Vec<Message>,
    /// What the initiator dropped from its own TLBs.
    pub own: Dropped,
    /// When the initiator began to wait for acknowledgements.
    pub waiting: Option<u64>,
    /// When it had seen all of them.
    pub answered: Option<u64>,
    /// When it returned.
    pub done: Option<u64>,
    /// Does the initiator's histogram count it?
    pub counted: Counted,
}

impl Shootdown {
    /// From begin to return, in cycles.
    pub fn latency(&self) -> Option<u64> {
        self.done.map(|done| done.saturating_sub(self.begun))
    }

    /// What became of it at each target.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.messages.iter().flat_map(|m| &m.deliveries)
    }
}

/// An IPI and what became of it at its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in the machine, from 1.
    pub number: u64,
    /// Its vector.
    pub vector: u8,
    /// The sender.
    pub from: usize,
    /// When it was sent.
    pub sent: u64,
    /// When it left: later where a serial bus was busy.
    pub left: u64,
    /// One for each target, in order of their numbers; none for an INIT, a start-up or an NMI.
    pub deliveries: Vec<Delivery>,
    /// Was it sent within the region of interest?
    pub counted: Counted,
}

impl Message {
    fn weight(&self) -> usize {
        1 + self.deliveries.len()
    }
}

/// A message at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The target.
    pub cpu: usize,
    /// When it reached the local APIC.
    pub arrived: Option<u64>,
    /// Did it find its vector pending already? Then one handler serves both; it is told with the earlier one.
    pub joined: bool,
    /// When the interrupt was taken.
    pub taken: Option<u64>,
    /// When the handler's own work began.
    pub begun: Option<u64>,
    /// What the handler dropped.
    pub dropped: Dropped,
    /// When the handler had flushed and acknowledged.
    pub acknowledged: Option<u64>,
    /// Does the target's histogram count it?
    pub counted: Counted,
}

impl Delivery {
    /// From arrival to acknowledgement, in cycles; of the first of several that one handler serves.
    pub fn latency(&self) -> Option<u64> {
        let (arrived, done) = (self.arrived?, self.acknowledged?);
        (!self.joined).then(|| done.saturating_sub(arrived))
    }
}

/// How translations were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// `invlpg`, or `invpcid` of one address.
    Invlpg,
    /// A load of CR3.
    Cr3,
    /// A flush of global entries too: CR4.PGE, CR0.PG, `invpcid`.
    Global,
}

impl How {
    /// The name in traces and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            How::Invlpg => "invlpg",
            How::Cr3 => "CR3 load",
            How::Global => "global flush",
        }
    }
}

/// A change of one processor's TLBs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The processor.
    pub cpu: usize,
    /// When it was complete.
    pub cycle: u64,
    /// How.
    pub how: How,
    /// The linear address for `invlpg`, the value for a CR3 load, else 0.
    pub operand: u32,
    /// Whose work it was.
    pub by: By,
}

/// Whose work an invalidation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The handler of a flush IPI.
    Handler,
    /// The initiator of a flush of several processors.
    Initiator,
    /// Nobody asked for it from outside.
    Local,
}

/// A sum of invalidations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Number of `invlpg`.
    pub invlpg: u32,
    /// Number of CR3 loads.
    pub cr3: u32,
    /// Number of flushes of global entries too.
    pub global: u32,
    /// When the last one was complete.
    pub last: Option<u64>,
}

impl Dropped {
    pub(super) fn add(&mut self, how: How, cycle: u64) {
        let n = match how {
            How::Invlpg => &mut self.invlpg,
            How::Cr3 => &mut self.cr3,
            How::Global => &mut self.global,
        };
        *n = n.saturating_add(1);
        self.last = Some(cycle);
    }
}

/// A kmap, from the call to a usable address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kmap {
    /// The task.
    pub task: u32,
    /// Where it began.
    pub cpu: usize,
    /// When it began.
    pub begun: u64,
    /// Where and when it ended: the task may have slept and moved.
    pub done: Option<(usize, u64)>,
    /// Does the histogram of kmaps count it?
    pub counted: Counted,
}

/// A processor's time in one activity of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The processor.
    pub cpu: usize,
    /// The activity.
    pub activity: Activity,
    /// Its first cycle.
    pub from: u64,
    /// The first cycle that is not of it.
    pub to: u64,
    /// The processor that held the lock when it began to spin, as it said.
    pub holder: Option<usize>,
}

/// The kernel has counted something that is worth a place on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The processor.
    pub cpu: usize,
    /// When.
    pub cycle: u64,
    /// What: `Wraps`, `Recycles` or `Conflicts`.
    pub counter: Counter,
    /// How many.
    pub amount: u32,
}
