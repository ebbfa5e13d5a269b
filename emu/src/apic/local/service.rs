//! The way of an interrupt: request, acceptance by priority, service, end.
//!
//! ```text
//!  accept -> IRR -- class above that of TPR and ISR --> pending -- acknowledge --> ISR -- EOI
//! ```
//!
//! (SDM vol. 3A, "Interrupt Acceptance for Fixed Interrupts", "Task and Processor Priorities".)

use super::{Accepted, ERROR_RECEIVE_VECTOR, Effect, LocalApic};
use crate::apic::Trigger;

impl LocalApic {
    /// An interrupt arrives: from a message, or from this APIC itself.
    pub fn accept(&mut self, vector: u8, trigger: Trigger) -> Accepted {
        if self.off || !self.enabled() {
            return Accepted::Refused;
        }
        if vector < 16 {
            self.error(ERROR_RECEIVE_VECTOR);
            return Accepted::Refused;
        }
        if self.irr.has(vector) {
            return Accepted::Merged;
        }
        self.irr.set(vector);
        self.requests.note(vector);
        match trigger {
            Trigger::Level => self.tmr.set(vector),
            Trigger::Edge => self.tmr.clear(vector),
        }
        self.update();
        Accepted::New
    }

    /// The vector that the processor takes next if its interrupts are enabled.
    #[inline]
    pub fn pending(&self) -> Option<u8> {
        self.pending
    }

    /// Does anything ask for the processor, by vector or from the 8259 pair?
    #[inline(always)]
    pub fn interrupting(&self) -> bool {
        self.interrupting
    }

    /// The processor takes an interrupt: the vector moves from IRR to ISR. With requests
    /// waiting but none above the processor priority it is the spurious vector, which
    /// enters no register; `None` when nothing waits at all, or something of the 8259 pair's
    /// ([`LocalApic::take_external`]).
    pub fn acknowledge(&mut self) -> Option<u8> {
        let Some(vector) = self.pending else {
            let spurious = self.enabled() && !self.interrupting && self.irr.highest().is_some();
            return spurious.then_some(self.svr as u8);
        };
        self.irr.clear(vector);
        self.isr.set(vector);
        self.update();
        Some(vector)
    }

    /// Was this vector accepted as level-triggered?
    pub fn is_level(&self, vector: u8) -> bool {
        self.tmr.has(vector)
    }

    /// Does the vector wait in the IRR?
    pub fn is_requested(&self, vector: u8) -> bool {
        self.irr.has(vector)
    }

    /// Is the vector in service?
    pub fn is_in_service(&self, vector: u8) -> bool {
        self.isr.has(vector)
    }

    pub(super) fn end_of_interrupt(&mut self) -> Effect {
        let Some(vector) = self.isr.highest() else {
            return Effect::None;
        };
        self.isr.clear(vector);
        self.update();
        self.pin_served(vector);
        Effect::Eoi(vector)
    }

    pub(super) fn processor_priority(&self) -> u8 {
        let in_service = self.isr.highest().unwrap_or(0);
        if self.tpr >> 4 >= in_service >> 4 { self.tpr } else { in_service & 0xf0 }
    }

    pub(super) fn arbitration_priority(&self) -> u8 {
        let requested = self.irr.highest().unwrap_or(0) & 0xf0;
        let in_service = self.isr.highest().unwrap_or(0) & 0xf0;
        let task = self.tpr & 0xf0;
        if task >= requested && task > in_service { self.tpr } else { task.max(requested).max(in_service) }
    }

    /// Finds `pending` again after a change of TPR, IRR, ISR or SVR.
    pub(super) fn update(&mut self) {
        let priority = self.processor_priority() >> 4;
        self.pending = self.irr.highest().filter(|v| self.enabled() && v >> 4 > priority);
        self.interrupting = self.pending.is_some() || self.asks_8259 || self.external;
    }
}
