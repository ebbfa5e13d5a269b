//! Messages between local APICs, and from the I/O APIC: when they leave, when they
//! arrive, what they do.
//!
//! An arrival is an event of the target's: it is taken in when the target's clock
//! comes to it. A message of the I/O APIC, an end of interrupt on its way there and a
//! change of the 8259 pair's line take as long as a message between processors, and
//! the first two want the serial bus for themselves as well. (SDM vol. 3A, "Advanced
//! Programmable Interrupt Controller".)

use super::{Machine, mix};
use crate::apic::{Ipi, Kind, Mode as Delivery, Pin, PinEffect, Trigger, targets};
use crate::bus::End;
use crate::cpu::{Cpu, State, exec::system};
use crate::device::io_apic::Message;
use crate::observe::{Wanted, What};
use std::cmp::Reverse;

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    cpu: usize,
    /// Number of the message, from 1.
    message: u64,
}

/// What arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// A message of a processor, or of the I/O APIC.
    Message { from: Option<Sender>, delivery: Delivery, vector: u8, trigger: Trigger },
    /// The line of the 8259 pair has changed to this level.
    Intr(bool),
    /// The NMI line has risen, and falls again.
    Nmi,
}

/// Something on its way to one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    cycle: u64,
    /// Order of sending, for what arrives in the same cycle.
    order: u64,
    signal: Signal,
}

impl Ord for Arrival {
    fn cmp(&self, other: &Arrival) -> std::cmp::Ordering {
        (self.cycle, self.order).cmp(&(other.cycle, other.order))
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Arrival) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Does such a message put its vector into the targets' IRRs?
fn by_vector(mode: Delivery) -> bool {
    matches!(mode, Delivery::Fixed | Delivery::LowestPriority)
}

impl Machine {
    /// Earliest cycle at which something arrives at processor `i`.
    pub(super) fn plan(&mut self, i: usize) {
        let timer = self.cpus[i].apic.timer_due().unwrap_or(u64::MAX);
        let message = self.inboxes[i].peek().map_or(u64::MAX, |a| a.0.cycle);
        self.cpus[i].event_at = timer.min(message);
        self.retime(i);
    }

    /// Takes in all timer expiries and messages that are due.
    pub(super) fn arrivals(&mut self, i: usize) {
        let now = self.cpus[i].clock;
        while let Some(due) = self.cpus[i].apic.timer_due()
            && due <= now
        {
            self.cpus[i].apic.timer_fire(due);
        }
        while let Some(Reverse(a)) = self.inboxes[i].peek().copied()
            && a.cycle <= now
        {
            self.inboxes[i].pop();
            self.arrive(i, a);
        }
        self.plan(i);
    }

    fn arrive(&mut self, i: usize, a: Arrival) {
        let c = &mut self.cpus[i];
        c.apic.at(a.cycle);
        match a.signal {
            Signal::Message { from, delivery, vector, trigger } => {
                self.message(i, a.cycle, from, delivery, vector, trigger);
            }
            // It may have fallen again meanwhile.
            Signal::Intr(high) => {
                let effect = c.apic.set_pin(Pin::Lint0, high && self.bus.devices.interrupt());
                self.pin_changed(i, effect);
            }
            Signal::Nmi if self.bus.devices.lets_nmi_through() => {
                let effect = c.apic.set_pin(Pin::Lint1, true);
                self.pin_changed(i, effect);
                self.cpus[i].apic.set_pin(Pin::Lint1, false);
            }
            Signal::Nmi => {}
        }
    }

    fn message(
        &mut self,
        i: usize,
        cycle: u64,
        from: Option<Sender>,
        delivery: Delivery,
        vector: u8,
        trigger: Trigger,
    ) {
        let c = &mut self.cpus[i];
        match delivery {
            Delivery::Fixed | Delivery::LowestPriority => {
                c.apic.accept(vector, trigger);
                if let Some(Sender { cpu, message }) = from {
                    c.count.ipis_received += 1;
                    let what = What::IpiArrived { message, vector, from: cpu as u8 };
                    self.bus.events.push(Wanted::IPIS, i, cycle, what);
                }
            }
            Delivery::Nmi => c.raise_nmi(),
            Delivery::Init => system::init(c, &mut self.bus),
            Delivery::Startup if c.state == State::WaitForSipi => system::start_up(c, vector),
            Delivery::ExtInt => c.apic.accept_external(),
            _ => {}
        }
    }

    fn pin_changed(&mut self, i: usize, effect: PinEffect) {
        match effect {
            PinEffect::Nmi => self.cpus[i].raise_nmi(),
            PinEffect::Init => system::init(&mut self.cpus[i], &mut self.bus),
            // There is no system management mode.
            PinEffect::Smi | PinEffect::None => {}
        }
    }

    /// When something that wants the bus at cycle `sent` gets it. A P6's serial bus carries one message at a time, a
    /// broadcast as one, whoever it reaches (the sender alone too: its APIC may send such a message over the bus and
    /// hear it there). Later processors send over the system bus, at once.
    /// (SDM vol. 3A, "System Bus Vs. APIC Bus".)
    /// Whoever has sent comes last in the arbitration of the next. `from` is a processor, or the I/O APIC.
    fn leaves(&mut self, from: Option<usize>, sent: u64) -> u64 {
        let busy = u64::from(self.cpus[0].costs.ipi_bus);
        if busy == 0 {
            return sent;
        }
        let leaves = sent.max(self.apic_bus_free);
        self.apic_bus_free = leaves + busy;
        let winner = from.map_or(self.bus.devices.arbitration(), |i| self.cpus[i].apic.arbitration());
        self.bus.devices.message_passed(winner, from.is_none());
        for (j, c) in self.cpus.iter_mut().enumerate() {
            c.apic.message_passed(winner, from == Some(j));
        }
        leaves
    }

    /// Cycles from the sending of something to its arrival at processor `j`.
    fn latency(&mut self, j: usize) -> u64 {
        let mut latency = u64::from(self.cpus[0].costs.ipi_latency);
        if self.config.jitter > 0 {
            self.random = mix(self.random, j as u64);
            latency += self.random % (u64::from(self.config.jitter) + 1);
        }
        latency
    }

    fn post(&mut self, j: usize, cycle: u64, signal: Signal) {
        self.sent += 1;
        self.inboxes[j].push(Reverse(Arrival { cycle, order: self.sent, signal }));
        self.plan(j);
    }

    /// The processors that a message reaches.
    fn targets(&self, ipi: &Ipi, from: usize) -> u64 {
        targets(ipi, from, self.config.apic_kind(), self.cpus.iter().map(|c| c.apic.view(ipi.vector)))
    }

    fn post_all(&mut self, from: Option<Sender>, ipi: &Ipi, mask: u64, leaves: u64, trigger: Trigger) {
        let signal = Signal::Message { from, delivery: ipi.mode, vector: ipi.vector, trigger };
        for j in (0..self.cpus.len()).filter(|j| mask >> j & 1 != 0) {
            let latency = self.latency(j);
            self.post(j, leaves + latency, signal);
        }
    }

    /// A processor has written its interrupt command register at cycle `sent`.
    pub(super) fn send(&mut self, from: usize, sent: u64, ipi: &Ipi) {
        let leaves = self.leaves(Some(from), sent);
        if self.cpus[from].costs.ipi_bus > 0 {
            // Until it is through, the ICR shows it as pending; a command written meanwhile waits its turn. On the system
            // bus a message is never pending. (SDM vol. 3A, "Interrupt Command Register (ICR)".)
            self.cpus[from].apic.hold_send(self.apic_bus_free);
        }
        if ipi.mode == Delivery::InitDeassert {
            self.cpus.iter_mut().for_each(|c| c.apic.synchronise());
            return;
        }
        let mask = self.targets(ipi, from);
        self.cpus[from].count.ipis += 1;
        self.messages += 1;
        let sender = Sender { cpu: from, message: self.messages };
        let what = What::IpiSent {
            message: self.messages,
            by_vector: by_vector(ipi.mode),
            vector: ipi.vector,
            targets: mask,
            left: leaves,
        };
        self.bus.events.push(Wanted::IPIS, from, sent, what);
        self.refused(from, sent, ipi, mask);
        // The trigger mode of a command counts for INIT alone.
        self.post_all(Some(sender), ipi, mask, leaves, Trigger::Edge);
    }

    /// A P6 tells in its error register when nobody accepts a message.
    fn refused(&mut self, from: usize, sent: u64, ipi: &Ipi, mask: u64) {
        let by_vector = by_vector(ipi.mode);
        let meant = |j: usize| mask >> j & 1 != 0;
        let accepts = |(j, c): (usize, &Cpu)| meant(j) && (!by_vector || c.apic.enabled());
        if self.config.apic_kind() == Kind::P6 && !self.cpus.iter().enumerate().any(accepts) {
            self.cpus[from].apic.not_accepted(true);
            for c in (0..).zip(&mut self.cpus).filter_map(|(j, c)| (mask >> j & 1 != 0).then_some(c)) {
                c.apic.at(sent);
                c.apic.not_accepted(false);
            }
        }
    }

    /// The I/O APIC sends a message.
    fn send_from_pin(&mut self, m: &Message) {
        let leaves = self.leaves(None, m.cycle);
        let mask = self.targets(&m.ipi, usize::MAX);
        let until = if self.cpus[0].costs.ipi_bus > 0 { self.apic_bus_free } else { 0 };
        self.bus.devices.message_sent(m.pin, mask != 0, until);
        self.post_all(None, &m.ipi, mask, leaves, m.ipi.trigger);
    }

    /// The service of a level-triggered interrupt has ended: the I/O APIC hears of it.
    pub(super) fn tell_end(&mut self, end: End) {
        let leaves = self.leaves(Some(end.from), end.sent);
        let at = leaves + u64::from(self.cpus[end.from].costs.ipi_latency);
        self.bus.devices.end_of_interrupt(end.vector, at);
    }

    /// Acts on what the devices have to say.
    pub(super) fn hear_devices(&mut self) {
        while self.bus.devices.take_news() {
            for (cycle, high) in self.bus.devices.take_intr_changes() {
                for j in 0..self.cpus.len() {
                    let latency = self.latency(j);
                    self.post(j, cycle + latency, Signal::Intr(high));
                }
            }
            for m in self.bus.devices.take_messages() {
                self.send_from_pin(&m);
            }
        }
        if let Some(time) = self.times.last_mut() {
            *time = self.bus.devices.due();
        }
    }

    /// Somebody presses the NMI switch of the board: the line of all processors rises at cycle `at`, or as soon as they
    /// look when that has passed.
    pub fn press_nmi(&mut self, at: u64) {
        (0..self.cpus.len()).for_each(|j| self.post(j, at, Signal::Nmi));
    }
}
