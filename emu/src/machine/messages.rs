//! Messages between local APICs: when they leave, when they arrive, what they do.
//!
//! An arrival is an event of the target's: it is taken in when the target's clock
//! comes to it. (SDM vol. 3A, "Advanced Programmable Interrupt Controller".)

use super::{Machine, mix};
use crate::apic::{Ipi, Mode as Delivery, Trigger, targets};
use crate::cpu::{State, exec::system};
use crate::observe::{Wanted, What};
use std::cmp::Reverse;

/// A message on its way to one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    cycle: u64,
    /// Order of sending, for messages that arrive in the same cycle.
    order: u64,
    from: usize,
    vector: u8,
    delivery: Delivery,
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

    pub(super) fn arrive(&mut self, i: usize, a: Arrival) {
        let c = &mut self.cpus[i];
        match a.delivery {
            Delivery::Fixed | Delivery::LowestPriority => {
                c.apic.accept(a.vector, Trigger::Edge);
                c.count.ipis_received += 1;
                let what = What::IpiArrived { vector: a.vector, from: a.from as u8 };
                self.bus.events.push(Wanted::IPIS, i, a.cycle, what);
            }
            Delivery::Nmi => c.nmi = true,
            Delivery::Init => system::init(c, &mut self.bus),
            Delivery::Startup if c.state == State::WaitForSipi => system::start_up(c, a.vector),
            _ => {}
        }
    }

    /// When a message that was written at cycle `sent` leaves. A P6's serial bus carries one message at a time, a
    /// broadcast as one, whoever it reaches (the sender alone too: its APIC may send such a message over the bus and
    /// hear it there). Until it is through, its sender's ICR shows it as pending; a command written meanwhile waits
    /// its turn. Later processors send over the system bus, at once: theirs never shows a message as pending.
    /// (SDM vol. 3A, "System Bus Vs. APIC Bus", "Interrupt Command Register (ICR)".)
    pub(super) fn leaves(&mut self, from: usize, sent: u64) -> u64 {
        let busy = u64::from(self.cpus[from].costs.ipi_bus);
        if busy == 0 {
            return sent;
        }
        let leaves = sent.max(self.apic_bus_free);
        self.apic_bus_free = leaves + busy;
        self.cpus[from].apic.hold_send(self.apic_bus_free);
        leaves
    }

    pub(super) fn send(&mut self, from: usize, sent: u64, ipi: &Ipi) {
        let leaves = self.leaves(from, sent);
        if ipi.mode == Delivery::InitDeassert {
            return;
        }
        let mask = targets(ipi, from, self.config.apic_kind(), self.cpus.iter().map(|c| c.apic.view()));
        self.cpus[from].count.ipis += 1;
        let what = What::IpiSent { vector: ipi.vector, targets: mask };
        self.bus.events.push(Wanted::IPIS, from, sent, what);
        for j in 0..self.cpus.len() {
            if mask >> j & 1 == 0 {
                continue;
            }
            let mut latency = u64::from(self.cpus[from].costs.ipi_latency);
            if self.config.jitter > 0 {
                self.random = mix(self.random, j as u64);
                latency += self.random % (u64::from(self.config.jitter) + 1);
            }
            self.sent += 1;
            self.inboxes[j].push(Reverse(Arrival {
                cycle: leaves + latency,
                order: self.sent,
                from,
                vector: ipi.vector,
                delivery: ipi.mode,
            }));
            self.plan(j);
        }
    }
}
