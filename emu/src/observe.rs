//! Probes: typed events with cycle and processor, for observers outside the
//! interpreter.
//!
//! Slow paths push events into a buffer when their class is wanted; the machine
//! hands the buffer to the observer between slices. With nobody listening the
//! mask is empty and nothing is built.

use shootdown_abi::{Activity, Mark};

bitflags::bitflags! {
    /// Classes of events that an observer wants.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Wanted: u16 {
        /// TLB misses and walks.
        const TLB = 1;
        /// `invlpg`, CR3 loads, global flushes.
        const FLUSHES = 2;
        /// IPIs sent and accepted.
        const IPIS = 4;
        /// Interrupts and exceptions taken, and stretches without interrupts.
        const INTERRUPTS = 8;
        /// Marks of the guest.
        const MARKS = 16;
        /// Stale uses.
        const STALE = 32;
        /// Output of the guest's console, as it comes.
        const CONSOLE = 64;
        /// Writes to ports, marks not.
        const PORTS = 128;
        /// Changes of activity in the ledger.
        const ACTIVITY = 256;
    }
}

/// Something that happened on one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The processor.
    pub cpu: u8,
    /// Its clock at that moment, in cycles.
    pub cycle: u64,
    /// What happened.
    pub what: What,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A first-level data TLB miss at this linear address.
    DataMiss(u32),
    /// An instruction TLB miss at this linear address.
    FetchMiss(u32),
    /// `invlpg` of this linear address.
    Invlpg(u32),
    /// CR3 was loaded with this value.
    Cr3Load(u32),
    /// Everything was flushed, global entries too.
    GlobalFlush,
    /// An IPI was sent: vector and the mask of target processors.
    IpiSent {
        /// Number of the message in this machine, from 1.
        message: u64,
        /// Does it interrupt by its vector? Else it is an INIT, a start-up, an NMI ..., and no arrival is told.
        by_vector: bool,
        /// Vector of the message.
        vector: u8,
        /// Bit n set: processor n is a target.
        targets: u64,
        /// Cycle at which it left: later than it was sent where a serial bus was busy.
        left: u64,
    },
    /// An IPI by vector arrived at this processor's local APIC.
    IpiArrived {
        /// Number of the message.
        message: u64,
        /// Vector of the message.
        vector: u8,
        /// The sender.
        from: u8,
    },
    /// An interrupt or exception was taken.
    Interrupt(u8),
    /// An interrupt that can be held off is about to be taken; [`What::Interrupt`] follows.
    Accepted {
        /// Its vector.
        vector: u8,
        /// The cycle at which it was requested: it entered the IRR, or the 8259 pair's line came up to the processor.
        requested: u64,
    },
    /// Interrupts are on again in ring 0, or ring 0 was left.
    InterruptsOn {
        /// The cycle from which on they were off.
        off_at: u64,
    },
    /// The guest's mark and its payload.
    Mark(Mark, u32),
    /// From now on the ledger books to this activity.
    Activity(Activity),
    /// A port was written, whether anything is there or not.
    PortWrite {
        /// The port.
        port: u16,
        /// Bytes written: 1, 2 or 4.
        size: u8,
        /// What was written.
        value: u32,
    },
    /// A stale translation was used.
    Stale(crate::oracle::StaleUse),
}

/// Whether an observer has seen what it was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The machine is to run on.
    More,
    /// The machine is to pause ([`Machine::advance`](crate::Machine::advance)); `run` ends as interrupted.
    Enough,
}

/// Receives events in order of the simulation (per processor in order of its clock).
pub trait Observer {
    /// Which classes of events to deliver.
    fn wanted(&self) -> Wanted;
    /// One event. Who listens beside others hears what they want, too.
    fn event(&mut self, event: &Event);
    /// Asked after events were handed over: run on or pause?
    fn heard(&mut self) -> Heard {
        Heard::More
    }
    /// Output of the guest's serial port since the last call, if [`Wanted::CONSOLE`] is wanted.
    fn console(&mut self, _bytes: &[u8]) {}
    /// Output of the guest's debug port (0xE9) since the last call, if [`Wanted::CONSOLE`] is wanted.
    fn debug_port(&mut self, _bytes: &[u8]) {}
}

/// Listens to nothing.
pub struct Nobody;

impl Observer for Nobody {
    fn wanted(&self) -> Wanted {
        Wanted::empty()
    }
    fn event(&mut self, _: &Event) {}
}

/// Two observers of one run: both hear what either wants.
impl<A: Observer + ?Sized, B: Observer + ?Sized> Observer for (&mut A, &mut B) {
    fn wanted(&self) -> Wanted {
        self.0.wanted() | self.1.wanted()
    }
    fn event(&mut self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }
    fn heard(&mut self) -> Heard {
        match (self.0.heard(), self.1.heard()) {
            (Heard::More, Heard::More) => Heard::More,
            _ => Heard::Enough,
        }
    }
    fn console(&mut self, bytes: &[u8]) {
        self.0.console(bytes);
        self.1.console(bytes);
    }
    fn debug_port(&mut self, bytes: &[u8]) {
        self.0.debug_port(bytes);
        self.1.debug_port(bytes);
    }
}

/// Events waiting for the observer.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventBuffer {
    pub wanted: Wanted,
    pub events: Vec<Event>,
}

impl EventBuffer {
    /// Notes an event of a class, if the class is wanted.
    #[inline]
    pub fn push(&mut self, class: Wanted, cpu: usize, cycle: u64, what: What) {
        if self.wanted.contains(class) {
            self.events.push(Event { cpu: cpu as u8, cycle, what });
        }
    }
}
