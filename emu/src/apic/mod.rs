//! Interrupt controllers of the processors: the local APIC and the messages that
//! it sends.
//!
//! ```text
//!  guest --write--> LocalApic --Effect::Send(Ipi)--> machine --accept--> LocalApic --pending--> processor
//! ```
//!
//! Everything here is a pure state machine: a message in, an effect out. When a
//! message arrives, and what that costs, is the machine's business. Left out: the
//! I/O APIC, x2APIC mode, TSC-deadline timer, SMM. (`SDM vol. 3A, "Advanced
//! Programmable Interrupt Controller (APIC)"`.)

pub mod icr;
pub mod local;
mod timer;

use serde::Deserialize;

pub use icr::{Destination, Ipi, Level, Mode, Trigger, View, targets};
pub use local::{Accepted, Effect, LocalApic, Role};

/// The two generations that matter to software and to the time a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// P6: 4-bit ids, messages on a serial bus.
    P6,
    /// Pentium 4 and later: 8-bit ids, messages on the system interconnect.
    XApic,
}

impl Kind {
    /// The physical destination that means every processor.
    pub const fn broadcast(self) -> u8 {
        self.id_mask()
    }

    /// The bits of an APIC id and of a physical destination that count.
    pub const fn id_mask(self) -> u8 {
        match self {
            Kind::P6 => 0x0f,
            Kind::XApic => 0xff,
        }
    }
}

/// Physical address of the APIC page after reset.
pub const DEFAULT_BASE: u64 = 0xfee0_0000;
