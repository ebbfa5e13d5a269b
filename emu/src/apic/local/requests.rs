//! Since when an interrupt waits for the processor: what its latency is counted from.
//!
//! A vector waits from the moment at which it enters the IRR until it is taken; one that comes again meanwhile is
//! the same interrupt. What the 8259 pair asks for waits from the moment at which the APIC passes it on. The
//! APIC is told the time by whoever makes something happen to it ([`LocalApic::at`]).

use super::LocalApic;

/// Cycles by vector, and for the 8259 pair; out of the way of what is looked at for each instruction.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    now: u64,
    vectors: Box<[u64; 256]>,
    external: u64,
}

impl Default for Requests {
    fn default() -> Requests {
        Requests { now: 0, vectors: Box::new([0; 256]), external: 0 }
    }
}

impl Requests {
    /// The vector waits from now on.
    pub fn note(&mut self, vector: u8) {
        self.vectors[usize::from(vector)] = self.now;
    }

    /// The 8259 pair's interrupt does.
    pub fn note_external(&mut self) {
        self.external = self.now;
    }
}

impl LocalApic {
    /// What happens to the APIC next happens at this cycle.
    pub fn at(&mut self, cycle: u64) {
        self.requests.now = cycle;
    }

    /// The cycle at which the vector that waits, or was taken last, was requested.
    pub fn requested_at(&self, vector: u8) -> u64 {
        self.requests.vectors[usize::from(vector)]
    }

    /// The same of what the 8259 pair asks for.
    pub fn external_requested_at(&self) -> u64 {
        self.requests.external
    }
}
