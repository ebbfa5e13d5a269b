//! The pins LINT0 and LINT1, and what reaches the processor past the vectors.
//!
//! ```text
//!  LVT entry   16 masked   15 level   14 remote IRR   13 active low   10-8 mode   7-0 vector
//!
//!  mode  0 fixed: the vector, by edge or (LINT0) by level     2 SMI   4 NMI   5 INIT: by edge
//!        7 ExtINT: the processor asks the 8259 pair for the vector, as long as the pin is active
//! ```
//!
//! A board has INTR of the 8259 pair at LINT0 and the NMI line at LINT1. With the APIC
//! switched off by IA32_APIC_BASE the pins are INTR and NMI themselves. An edge under
//! the mask is lost. (SDM vol. 3A, "Local Vector Table", "Interrupt Acceptance for Fixed
//! Interrupts", "Enabling or Disabling the Local APIC".)

use super::super::icr::Trigger;
use super::{LINT, LocalApic, MASKED};
use crate::apic::Kind;

const ACTIVE_LOW: u32 = 1 << 13;
pub(super) const REMOTE_IRR: u32 = 1 << 14;
pub(super) const LEVEL: u32 = 1 << 15;

const FIXED: u32 = 0;
const SMI: u32 = 2;
const NMI: u32 = 4;
const INIT: u32 = 5;
const EXT_INT: u32 = 7;

/// An interrupt pin of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// LINT0: the 8259 pair.
    Lint0,
    /// LINT1: NMI.
    Lint1,
}

/// What a change of a pin asks of the processor; `pending` may have changed as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinEffect {
    /// Nothing else.
    None,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// System management interrupt.
    Smi,
}

impl LocalApic {
    /// Drives a pin.
    pub fn set_pin(&mut self, pin: Pin, high: bool) -> PinEffect {
        let i = pin as usize;
        let was = self.active(i);
        self.pins[i] = high;
        let rises = self.active(i) && !was;
        self.settle_pins();
        let entry = self.lvt[LINT + i];
        if !rises || !self.off && entry & MASKED != 0 {
            return PinEffect::None;
        }
        if self.off {
            return if pin == Pin::Lint1 { PinEffect::Nmi } else { PinEffect::None };
        }
        match entry >> 8 & 7 {
            FIXED if !self.by_level(i) => {
                self.accept(entry as u8, Trigger::Edge);
                PinEffect::None
            }
            SMI => PinEffect::Smi,
            NMI => PinEffect::Nmi,
            INIT => PinEffect::Init,
            _ => PinEffect::None,
        }
    }

    fn active(&self, i: usize) -> bool {
        let low = !self.off && self.lvt[LINT + i] & ACTIVE_LOW != 0;
        self.pins[i] != low
    }

    /// LINT1 is edge-triggered whatever its entry says.
    fn by_level(&self, i: usize) -> bool {
        i == 0 && self.lvt[LINT] & LEVEL != 0
    }

    /// A level-triggered LINT0 that is active and not being served asks; the request for the 8259 pair follows its pin.
    /// After a change of a pin, of an entry or of the service.
    pub(super) fn settle_pins(&mut self) {
        let entry = self.lvt[LINT];
        let fixed = entry >> 8 & 7 == FIXED;
        if !self.off && fixed && self.by_level(0) && entry & (MASKED | REMOTE_IRR) == 0 && self.active(0) {
            self.lvt[LINT] |= REMOTE_IRR;
            self.accept(entry as u8, Trigger::Level);
        }
        let asked = self.asks_8259 || self.external;
        let open = |i: usize| self.lvt[LINT + i] & MASKED == 0 && self.lvt[LINT + i] >> 8 & 7 == EXT_INT;
        self.asks_8259 = match self.off {
            true => self.pins[0],
            false => (0..2).any(|i| open(i) && self.active(i)),
        };
        if self.asks_8259 && !asked {
            self.requests.note_external();
        }
        self.update();
    }

    /// The end of a vector's service lets a level-triggered LINT0 ask again.
    pub(super) fn pin_served(&mut self, vector: u8) {
        if self.lvt[LINT] & REMOTE_IRR != 0 && self.lvt[LINT] as u8 == vector {
            self.lvt[LINT] &= !REMOTE_IRR;
            self.settle_pins();
        }
    }

    /// A message asks for an interrupt of the 8259 pair.
    pub fn accept_external(&mut self) {
        if !self.asks_8259 && !self.external {
            self.requests.note_external();
        }
        self.external = !self.off;
        self.update();
    }

    /// The processor is about to acknowledge an interrupt of the 8259 pair: true if one is asked for. Its line
    /// falls with the acknowledgement.
    pub fn take_external(&mut self) -> bool {
        let asked = self.external || self.asks_8259;
        self.external = false;
        self.set_pin(Pin::Lint0, false);
        asked
    }

    /// Is the APIC switched on by IA32_APIC_BASE?
    pub fn is_on(&self) -> bool {
        !self.off
    }

    /// IA32_APIC_BASE switches the APIC on or off. It loses its state; one of a P6 that was switched off stays off until
    /// RESET. Returns whether it is on.
    pub fn switch(&mut self, on: bool) -> bool {
        if self.off == on && !(on && self.kind == Kind::P6) {
            self.init();
            self.off = !on;
            self.settle_pins();
        }
        !self.off
    }

    /// What firmware leaves at the bootstrap processor: enabled, the 8259 pair at LINT0, NMI at LINT1 ("virtual
    /// wire"). (Intel, `MultiProcessor Specification` 1.4, section 3.6.2.2.)
    pub fn wire_virtually(&mut self) {
        self.svr = 0x10f;
        self.lvt[LINT] = EXT_INT << 8;
        self.lvt[LINT + 1] = NMI << 8;
        self.settle_pins();
    }
}
