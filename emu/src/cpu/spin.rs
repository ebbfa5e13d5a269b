//! Loops that only wait: their passes are counted, not run. A shortcut of the host's;
//! results do not depend on it.
//!
//! A block that jumps to itself and stores nothing is a candidate ([`Block::spin`]). Once
//! a pass began and ended in the same state and cost what the block costs by itself
//! (every access a hit), each further pass is the same, until an event, or until
//! another processor takes one of the lines that the loop reads: the processor is
//! *parked*. Within a slice [`Runner::skip`] passes over the rest of it; the machine
//! lets parked processors rest beyond that ([`crate::machine`]).

use super::Cpu;
use super::block::Block;
use super::flags;
use super::run::{Runner, Sum};
use crate::ledger::Kind;

/// State at the end of one pass through a spin candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Spin {
    number: u32,
    regs: [u32; 8],
    flags: flags::Flags,
    clock: u64,
    stale_uses: u64,
    /// The pass began in the state in which it ended.
    parked: bool,
    cost: u32,
    locked: u32,
    instructions: u16,
}

/// Passes of a loop, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// All their cycles.
    pub cycles: u64,
    /// Those of locked operations among them.
    pub locked: u64,
    /// Instructions completed.
    pub instructions: u64,
}

impl Spin {
    /// Whole passes that begin below `until` and end below the processor's next event.
    fn passes(&self, cpu: &Cpu, until: u64) -> u64 {
        let cost = u64::from(self.cost.max(1));
        let wanted = until.saturating_sub(cpu.clock).div_ceil(cost);
        wanted.min(cpu.event_at.saturating_sub(cpu.clock).saturating_sub(1) / cost)
    }

    /// Moves the processor by `n` passes.
    fn pass(&mut self, cpu: &mut Cpu, n: u64) {
        cpu.clock += n * u64::from(self.cost);
        self.clock = cpu.clock;
        cpu.ledger.add(Kind::Compute, n * u64::from(self.cost - self.locked));
        cpu.ledger.add(Kind::Locked, n * u64::from(self.locked));
        cpu.count.instructions += n * u64::from(self.instructions);
    }
}

impl Runner {
    /// Is the processor in a loop that only waits, with nothing to break it but a change of memory or an event?
    pub fn parked(&self, cpu: &Cpu) -> bool {
        self.spin.is_some_and(|s| s.parked && s.clock == cpu.clock)
            && !self.careful_next
            && !cpu.shadow
            && !cpu.interrupt_waits()
    }

    /// Moves a parked processor by as many whole passes as begin below `slice_end`, if none of them comes near its
    /// next event: what a slice would do, without running a pass. False: nothing was done.
    pub fn pass_slice(&mut self, cpu: &mut Cpu, slice_end: u64) -> bool {
        let Some(s) = &mut self.spin else { return false };
        let cost = s.cost.max(1);
        let left = slice_end.saturating_sub(cpu.clock);
        let n = match u32::try_from(left) {
            Ok(left) => u64::from(left.div_ceil(cost)),
            Err(_) => left.div_ceil(u64::from(cost)),
        };
        if cpu.clock + n * u64::from(cost) >= cpu.event_at {
            return false;
        }
        s.pass(cpu, n);
        true
    }

    /// Cycles of a pass of the loop in which the processor is parked.
    pub fn pass_cost(&self) -> u64 {
        self.spin.map_or(0, |s| u64::from(s.cost))
    }

    /// Moves a parked processor by as many whole passes as begin below `until` and end below its next event.
    pub fn pass_until(&mut self, cpu: &mut Cpu, until: u64) {
        let Some(s) = &mut self.spin else { return };
        let n = s.passes(cpu, until);
        s.pass(cpu, n);
    }

    /// What [`Runner::pass_until`] would add, for those who only look.
    pub fn peek_passes(&self, cpu: &Cpu, until: u64) -> Passes {
        let Some(s) = self.spin else { return Passes::default() };
        let n = s.passes(cpu, until);
        Passes {
            cycles: n * u64::from(s.cost),
            locked: n * u64::from(s.locked),
            instructions: n * u64::from(s.instructions),
        }
    }

    /// If a pass through the block began and ended in the same state and nothing but static cost was charged, every
    /// further pass is the same until the slice or the processor's quiet time ends: skip them in one go. The state at
    /// the beginning is that at the end of the pass before, which may lie in an earlier slice: the clock tells that
    /// nothing happened in between, and what others wrote since is seen by the pass itself.
    pub(super) fn skip(&mut self, cpu: &mut Cpu, block: &Block, number: u32, before: u64, sum: &mut Sum) {
        let regs = cpu.regs.first_chunk::<8>().copied().unwrap_or_default();
        let mut now = Spin {
            number,
            regs,
            flags: cpu.flags,
            clock: cpu.clock,
            stale_uses: cpu.count.stale_uses,
            parked: false,
            cost: block.cost,
            locked: block.locked,
            instructions: block.instructions,
        };
        let cost = u64::from(block.cost).max(1);
        let same = self.spin.is_some_and(|s| {
            s.clock == before
                && s.number == number
                && before + cost == now.clock
                && s.regs == now.regs
                && s.flags == now.flags
                && s.stale_uses == now.stale_uses
        });
        now.parked = same;
        self.left_spin |= !same;
        self.spin = Some(now);
        let slice_end = cpu.slice_end;
        if !same || cpu.clock >= slice_end || cpu.event_at == u64::MAX && slice_end == u64::MAX {
            return;
        }
        // Passes that would begin below the slice's end, and run fast (end below the event).
        let left = slice_end - cpu.clock;
        let mut n = match u32::try_from(left) {
            // The usual case, and a 32-bit division is several times as fast.
            Ok(left) => u64::from(left.div_ceil(block.cost.max(1))),
            Err(_) => left.div_ceil(cost),
        };
        if cpu.clock + n * cost >= cpu.event_at {
            n = (cpu.event_at - cpu.clock).saturating_sub(1) / cost;
        }
        cpu.clock += n * cost;
        sum.cycles += n * cost;
        sum.locked += n * u64::from(block.locked);
        sum.instructions += n * u64::from(block.instructions);
        self.spin = Some(Spin { clock: cpu.clock, ..now });
    }
}
