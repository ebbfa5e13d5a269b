//! The local APIC: registers, priorities, acceptance and end of interrupts, timer.
//!
//! ```text
//!  020 ID      080 TPR  0b0 EOI  0f0 SVR       180.. TMR   300 ICR low    320 LVT timer
//!  030 version 090 APR  0d0 LDR  100.. ISR     200.. IRR   310 ICR high   330 thermal (not P6)
//!              0a0 PPR  0e0 DFR                280 ESR                    340 perf 350 LINT0
//!  380 initial count  390 current count  3e0 divide         360 LINT1 370 error
//! ```
//!
//! Time comes in as the processor's own clock, in cycles; the timer counts at the
//! bus clock, and the ratio is exact integer arithmetic. A masked timer counts on
//! but is never due. Acceptance and priorities are in `service.rs`, the pins in `pins.rs`; since when a request waits, which no register
//! shows, is noted for latencies in `requests.rs`. Left out: remote read; the limit of two
//! waiting interrupts for each class of a P6 (each vector waits for itself, so that no
//! message is refused and delivery status is always idle); anything that would raise the
//! performance counters' or thermal entry. (`SDM vol. 3A, "Local APIC"`,
//! `"Handling Interrupts"`, `"APIC Timer"`, `"Error Handling"`.)

mod pins;
mod requests;
mod service;
mod vectors;

use super::icr::{Ipi, LogicalModel, Mode, Trigger, View};
use super::timer::{Repeat, Timer};
use super::{Kind, rotated};
pub use pins::{Pin, PinEffect};
use requests::Requests;
use vectors::Vectors;

const ID: u32 = 0x020;
const VERSION: u32 = 0x030;
const TPR: u32 = 0x080;
const APR: u32 = 0x090;
const PPR: u32 = 0x0a0;
const EOI: u32 = 0x0b0;
const LDR: u32 = 0x0d0;
const DFR: u32 = 0x0e0;
const SVR: u32 = 0x0f0;
const ISR: u32 = 0x100;
const TMR: u32 = 0x180;
const IRR: u32 = 0x200;
const ESR: u32 = 0x280;
const ICR_LOW: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
const LVT_TIMER: u32 = 0x320;
const LVT_ERROR: u32 = 0x370;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;

/// Mask bit of an LVT entry.
const MASKED: u32 = 1 << 16;
/// Periodic bit of the timer's LVT entry.
const PERIODIC: u32 = 1 << 17;
/// Software enable bit of the SVR.
const ENABLED: u32 = 1 << 8;
/// Send-pending bit of the ICR.
const SEND_PENDING: u32 = 1 << 12;

/// SVR: the focus processor has no preference.
const NO_FOCUS: u32 = 1 << 9;

/// ESR (P6): a message of this APIC was accepted by nobody.
const ERROR_SEND_ACCEPT: u32 = 1 << 2;
/// ESR (P6): a message to this APIC was accepted by nobody.
const ERROR_RECEIVE_ACCEPT: u32 = 1 << 3;
/// ESR: this APIC was told to send a vector below 16.
const ERROR_SEND_VECTOR: u32 = 1 << 5;
/// ESR: this APIC received a vector below 16.
const ERROR_RECEIVE_VECTOR: u32 = 1 << 6;
/// ESR: access to a register that does not exist.
const ERROR_REGISTER: u32 = 1 << 7;

/// LVT entries in the order of their registers: writable bits.
const LVT_BITS: [u32; 6] = [0x3_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];
/// Index of the timer in the LVT.
const TIMER: usize = 0;
/// Index of the thermal sensor, which a P6 does not have.
const THERMAL: usize = 1;
/// Index of LINT0; LINT1 follows.
const LINT: usize = 3;
/// Index of the error entry.
const ERROR: usize = 5;

/// Which processor this is at reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The bootstrap processor.
    Bsp,
    /// An application processor, which waits for a start-up message.
    Ap,
}

/// What a write to a register asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing beyond the APIC; `pending` may have changed.
    None,
    /// Deliver this message.
    Send(Ipi),
    /// The service of this vector has ended; see [`LocalApic::is_level`].
    Eoi(u8),
    /// `timer_due` has changed.
    TimerChanged,
}

/// What became of an interrupt that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is now in the IRR.
    New,
    /// The same vector was waiting already: one interrupt will be taken for both.
    Merged,
    /// The APIC is disabled by software, or the vector is below 16.
    Refused,
}

/// One processor's local APIC.
#[derive(Clone, Debug)]
pub struct LocalApic {
    kind: Kind,
    role: Role,
    id: u8,
    tpr: u8,
    ldr: u8,
    dfr: u32,
    svr: u32,
    isr: Vectors,
    tmr: Vectors,
    irr: Vectors,
    /// As last latched by a write.
    esr: u32,
    /// Errors since.
    errors: u32,
    icr_low: u32,
    icr_high: u32,
    busy_until: u64,
    lvt: [u32; 6],
    timer: Timer,
    /// Levels of LINT0 and LINT1.
    pins: [bool; 2],
    /// A pin asks for an interrupt of the 8259 pair; kept by `settle_pins`.
    asks_8259: bool,
    /// A message has asked for one.
    external: bool,
    /// Switched off by IA32_APIC_BASE.
    off: bool,
    /// Arbitration ID on the P6's serial bus.
    arbitration: u8,
    /// Highest vector that may be taken now; kept by `update`.
    pending: Option<u8>,
    /// Anything may be taken now, by vector or from the 8259 pair; kept by `update`.
    interrupting: bool,
    /// Since when what waits has waited.
    requests: Requests,
}

impl LocalApic {
    /// The state after power-up. The timer counts `bus_mhz` against a processor clock of `clock_mhz`.
    pub fn new(id: u8, role: Role, kind: Kind, clock_mhz: u32, bus_mhz: u32) -> LocalApic {
        LocalApic {
            kind,
            role,
            id,
            tpr: 0,
            ldr: 0,
            dfr: u32::MAX,
            svr: 0xff,
            isr: Vectors::default(),
            tmr: Vectors::default(),
            irr: Vectors::default(),
            esr: 0,
            errors: 0,
            icr_low: 0,
            icr_high: 0,
            busy_until: 0,
            lvt: [MASKED; 6],
            timer: Timer::new(clock_mhz, bus_mhz),
            pins: [false; 2],
            asks_8259: false,
            external: false,
            off: false,
            arbitration: id & Kind::P6.id_mask(),
            pending: None,
            interrupting: false,
            requests: Requests::default(),
        }
    }

    /// INIT: everything as after power-up, except the id, what is at the pins, and whether it is switched on.
    pub fn init(&mut self) {
        let (clock, bus) = self.timer.ratio();
        let fresh = LocalApic::new(self.id, self.role, self.kind, clock, bus);
        let requests = std::mem::take(&mut self.requests);
        *self = LocalApic { pins: self.pins, off: self.off, requests, ..fresh };
        self.settle_pins();
    }

    /// APIC id.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// Bootstrap or application processor.
    pub fn role(&self) -> Role {
        self.role
    }

    /// P6 or xAPIC.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Enabled through the SVR?
    pub fn enabled(&self) -> bool {
        self.svr & ENABLED != 0
    }

    /// What the choice of targets for a message with this vector must know.
    pub fn view(&self, vector: u8) -> View {
        // Only a P6 lets the processor that has the interrupt already have it again.
        let focus = self.kind == Kind::P6 && self.svr & NO_FOCUS == 0;
        View {
            on: !self.off,
            focus: focus && (self.irr.has(vector) || self.isr.has(vector)),
            arbitration: if self.kind == Kind::P6 { self.arbitration } else { 0 },
            id: self.id,
            logical: self.ldr,
            model: if self.dfr >> 28 == 0xf { LogicalModel::Flat } else { LogicalModel::Cluster },
            priority: self.arbitration_priority(),
            enabled: self.enabled(),
        }
    }

    /// Reads a register of the APIC page as the guest does; a register that does not exist gives 0 and an error in the ESR.
    pub fn read(&mut self, offset: u32, now: u64) -> u32 {
        self.at(now);
        match self.peek(offset, now) {
            Some(value) => value,
            None => {
                self.error(ERROR_REGISTER);
                0
            }
        }
    }

    /// Reads a register without a trace; `None` for one that does not exist.
    pub fn peek(&self, offset: u32, now: u64) -> Option<u32> {
        Some(match offset {
            ID => u32::from(self.id) << 24,
            VERSION => match self.kind {
                Kind::P6 => 0x0004_0011,
                Kind::XApic => 0x0005_0014,
            },
            TPR => u32::from(self.tpr),
            APR => u32::from(self.arbitration_priority()),
            PPR => u32::from(self.processor_priority()),
            // Write-only.
            EOI => 0,
            LDR => u32::from(self.ldr) << 24,
            DFR => self.dfr,
            SVR => self.svr,
            ESR => self.esr,
            ICR_LOW => self.icr_low | if now < self.busy_until { SEND_PENDING } else { 0 },
            ICR_HIGH => self.icr_high,
            TIMER_INITIAL => self.timer.initial(),
            TIMER_CURRENT => self.timer.current(now),
            TIMER_DIVIDE => self.timer.divide_code(),
            _ => {
                if let Some(word) = bank_word(offset, ISR) {
                    self.isr.words[word]
                } else if let Some(word) = bank_word(offset, TMR) {
                    self.tmr.words[word]
                } else if let Some(word) = bank_word(offset, IRR) {
                    self.irr.words[word]
                } else {
                    self.lvt[self.lvt_index(offset)?]
                }
            }
        })
    }

    /// Writes a register. Read-only registers ignore it; one that does not exist leaves an error in the ESR.
    pub fn write(&mut self, offset: u32, value: u32, now: u64) -> Effect {
        self.at(now);
        match offset {
            ID => self.id = (value >> 24) as u8 & self.kind.id_mask(),
            TPR => {
                self.tpr = value as u8;
                self.update();
            }
            EOI => return self.end_of_interrupt(),
            LDR => self.ldr = (value >> 24) as u8,
            DFR => self.dfr = value | 0x0fff_ffff,
            SVR => return self.write_svr(value, now),
            ESR => {
                self.esr = self.errors;
                self.errors = 0;
            }
            ICR_LOW => return self.command(value),
            // All eight bits, also on a P6: a logical destination uses them.
            ICR_HIGH => self.icr_high = value & 0xff00_0000,
            TIMER_INITIAL => {
                self.timer.start(value, now);
                return Effect::TimerChanged;
            }
            TIMER_DIVIDE => {
                self.timer.set_divide(value, now);
                return Effect::TimerChanged;
            }
            VERSION | APR | PPR | TIMER_CURRENT => {}
            _ if [ISR, TMR, IRR].iter().any(|&bank| bank_word(offset, bank).is_some()) => {}
            _ => match self.lvt_index(offset) {
                Some(index) => return self.write_lvt(index, value, now),
                None => self.error(ERROR_REGISTER),
            },
        }
        Effect::None
    }

    /// The absolute cycle at which the timer next interrupts; `None` when it is stopped or masked.
    #[inline]
    pub fn timer_due(&self) -> Option<u64> {
        if self.lvt[TIMER] & MASKED != 0 { None } else { self.timer.due() }
    }

    /// The timer's cycle has come: its vector is requested, and a periodic timer set for
    /// its first expiry after `now`. Does nothing before the cycle of [`LocalApic::timer_due`].
    pub fn timer_fire(&mut self, now: u64) {
        if self.timer_due().is_some_and(|due| due <= now) {
            self.timer.advance(now);
            self.at(now);
            self.accept(self.lvt[TIMER] as u8, Trigger::Edge);
        }
    }

    /// Does a write to this register send a message?
    pub fn sends(&self, offset: u32) -> bool {
        offset == ICR_LOW || offset == EOI && self.isr.highest().is_some_and(|vector| self.tmr.has(vector))
    }

    /// A message went over the serial bus; see [`rotated`].
    pub fn message_passed(&mut self, winner: u8, own: bool) {
        self.arbitration = rotated(self.arbitration, winner, own);
    }

    /// Arbitration ID.
    pub fn arbitration(&self) -> u8 {
        self.arbitration
    }

    /// An INIT level de-assert message: arbitration begins anew.
    pub fn synchronise(&mut self) {
        self.arbitration = self.id & Kind::P6.id_mask();
    }

    /// A message of this APIC (`sent`), or one to it, was accepted by nobody. Only a P6's shows that.
    pub fn not_accepted(&mut self, sent: bool) {
        if self.kind == Kind::P6 && !self.off {
            self.error(if sent { ERROR_SEND_ACCEPT } else { ERROR_RECEIVE_ACCEPT });
        }
    }

    /// The ICR shows its message as unsent until this cycle (an APIC bus that is busy).
    pub fn hold_send(&mut self, until: u64) {
        self.busy_until = until;
    }

    fn lvt_index(&self, offset: u32) -> Option<usize> {
        if !(LVT_TIMER..=LVT_ERROR).contains(&offset) || offset & 0xf != 0 {
            return None;
        }
        let index = ((offset - LVT_TIMER) >> 4) as usize;
        (index != THERMAL || self.kind != Kind::P6).then_some(index)
    }

    fn write_lvt(&mut self, index: usize, value: u32, now: u64) -> Effect {
        let forced = if self.enabled() { 0 } else { MASKED };
        // Level-triggered service goes on; an edge has none.
        let served = if value & pins::LEVEL != 0 { self.lvt[index] & pins::REMOTE_IRR } else { 0 };
        self.lvt[index] = value & LVT_BITS[index] | served | forced;
        if index != TIMER {
            self.settle_pins();
            return Effect::None;
        }
        // Expiries that passed while it was masked are lost.
        self.timer.advance(now);
        let repeat = if value & PERIODIC != 0 { Repeat::Periodic } else { Repeat::OneShot };
        self.timer.set_repeat(repeat);
        Effect::TimerChanged
    }

    fn write_svr(&mut self, value: u32, now: u64) -> Effect {
        // The lowest four bits of a P6's spurious vector are wired to one.
        let wired = if self.kind == Kind::P6 { 0xf } else { 0 };
        self.svr = value & 0x3ff | wired;
        if self.enabled() {
            self.update();
            return Effect::None;
        }
        self.timer.advance(now);
        for entry in &mut self.lvt {
            *entry |= MASKED;
        }
        self.settle_pins();
        Effect::TimerChanged
    }

    fn command(&mut self, low: u32) -> Effect {
        self.icr_low = low & 0x000c_cfff;
        let ipi = Ipi::decode(self.kind, self.icr_high, low);
        if matches!(ipi.mode, Mode::Fixed | Mode::LowestPriority) && ipi.vector < 16 {
            self.error(ERROR_SEND_VECTOR);
            return Effect::None;
        }
        Effect::Send(ipi)
    }

    fn error(&mut self, bit: u32) {
        let first = self.errors & bit == 0;
        self.errors |= bit;
        let entry = self.lvt[ERROR];
        // A bad vector in the error entry itself must not come round for ever.
        if first && entry & MASKED == 0 && entry as u8 >= 16 {
            self.accept(entry as u8, Trigger::Edge);
        }
    }
}

/// The word of an eight-word register bank that an offset names.
fn bank_word(offset: u32, bank: u32) -> Option<usize> {
    let relative = offset.wrapping_sub(bank);
    (relative < 0x80 && relative & 0xf == 0).then_some((relative >> 4) as usize)
}

#[cfg(test)]
mod tests;
