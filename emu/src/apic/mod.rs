//! Interrupt controllers of the processors: the local APIC and the messages that
//! it sends.
//!
//! ```text
//!  guest --write--> LocalApic --Effect::Send(Ipi)--> machine --accept--> LocalApic --pending--> processor
//! ```
//!
//! Everything here is a pure state machine: a message in, an effect out. When a
//! message arrives, and what that costs, is the machine's business. The I/O APIC is
//! one of the devices (`device/io_apic.rs`). Left out: x2APIC mode, TSC-deadline timer, and SMM:
//! a system management interrupt does nothing. (`SDM vol. 3A, "Advanced
//! Programmable Interrupt Controller (APIC)"`.)

pub mod icr;
pub mod local;
mod timer;

use serde::Deserialize;

pub use icr::{Destination, Ipi, Level, Mode, Trigger, View, targets};
pub use local::{Accepted, Effect, LocalApic, Pin, PinEffect, Role};

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

/// The arbitration ID of an APIC after a message of the one that had the ID `winner`, which may have been its `own`: the
/// sender comes last now, the others move up. (SDM vol. 3A, "Arbitration" on the P6's APIC bus.)
pub const fn rotated(id: u8, winner: u8, own: bool) -> u8 {
    match id {
        _ if own => 0,
        15 => (winner + 1) & 0xf,
        id => (id + 1) & 0xf,
    }
}

/// Physical address of the APIC page after reset.
pub const DEFAULT_BASE: u64 = 0xfee0_0000;
