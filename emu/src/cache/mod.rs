//! Data caches and their coherence: what an access costs beyond a first-level hit.
//!
//! ```text
//!  access -> L1 (private) -> L2 (private) -> another processor's caches
//!            bits in front                   last level of the socket
//!            of the TLBs                     memory
//! ```
//!
//! Lines have 64 bytes (a P6's 32-byte lines move in pairs here). Each processor
//! has two private levels, the second includes the first; the sockets have a last
//! level where the preset says so; a directory knows who holds which line. A line
//! changes hands when its transfer is complete ([`delay`]); until then its holder
//! goes on using it. So a processor that takes a line from another one, or makes
//! others drop it, waits with the access until all others have come to that moment
//! ([`Flow::Order`]), and nobody runs past it. Page walks do not wait. Hits in
//! private lines need no order: what they find cannot be lost within the slice. A
//! line under way is busy until it has arrived, so that processors that contend for
//! it queue.
//!
//! What an access adds to its instruction's static cost:
//!
//! | the line comes from | added |
//! |---|---|
//! | L2, last level, memory | `l2_hit`, `llc_hit`, `memory` less `load`, which the instruction has paid |
//! | last level or memory, next to the line missed before in the page | `stream` less `load`: prefetch hides the rest |
//! | another processor, or others must drop it | `line_transfer` (`_remote`) less `locked`, as a compare-exchange measured it, after waiting until it is ready |
//!
//! Left out: instruction caches (fetches hit), store buffers (a store that misses
//! waits), the bandwidth of buses and memory, write-backs, where memory lies.
//!
//! (SDM vol. 3A, "Memory Cache Control"; protocol: MESI.)

mod array;
mod directory;
mod private;

use crate::addr::Frame;
use crate::bus::Bus;
use crate::cost::{Costs, Preset};
use crate::cpu::Cpu;
use crate::cpu::op::{Flow, Step};
use crate::ledger::Kind;
use crate::mmu::Physical;
use array::Array;
use directory::Directory;
pub use private::Private;

/// Bytes of a line, as a power of two.
pub(crate) const LINE_SHIFT: u32 = 6;
/// Bytes of a line.
const LINE: u32 = 1 << LINE_SHIFT;

/// Which lines of a frame are in a processor's first level, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// May be read.
    pub read: u64,
    /// May be written as well.
    pub write: u64,
}

impl Lines {
    /// Every line, for reading and writing: what timing without caches sees.
    pub const ALL: Lines = Lines { read: u64::MAX, write: u64::MAX };
}

/// What an access wants of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To read it.
    Read,
    /// To write it: nobody else may keep it.
    Write,
}

/// Lines that other processors lose; carried out before one of them runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The losers, one bit each.
    pub from: u64,
    /// Arena line number.
    pub tag: u32,
    /// Physical line number.
    pub line: u64,
    /// They may go on reading it.
    pub keep: bool,
    /// When it was asked for.
    pub cycle: u64,
}

/// What the processors share: directory, last levels, the order of the clocks.
#[derive(Clone)]
pub struct Coherence {
    directory: Directory,
    /// Per socket, where there are any.
    last: Vec<Array>,
    /// Socket of each processor.
    socket: Vec<usize>,
    /// The processors of each one's socket, one bit each.
    near: Vec<u64>,
    /// The clock of the processor that is next: accesses that concern others must not be later.
    pub(crate) horizon: u64,
    /// Nothing is put off now: a walk or a delivery has no place to wait in.
    pub(crate) at_once: bool,
    /// See [`delay`].
    delay: u64,
    pub(crate) taken: Vec<Taken>,
    /// When the others see the last operation that looks at all processors, and whose it was.
    pub(crate) shown: (u64, usize),
}

impl Coherence {
    /// Nothing cached, for `cpus` processors.
    pub fn new(preset: &Preset, cpus: usize) -> Coherence {
        let socket: Vec<_> = (0..cpus).map(|i| preset.topology.socket(i)).collect();
        let near = socket
            .iter()
            .map(|s| (0..cpus).filter(|&i| socket[i] == *s).fold(0, |m, i| m | 1 << i))
            .collect();
        let sockets = socket.last().map_or(0, |s| s + 1);
        let last =
            preset.cache.llc.map_or_else(Vec::new, |g| vec![Array::new(g.sets(), g.ways as usize); sockets]);
        Coherence {
            directory: Directory::default(),
            last,
            socket,
            near,
            horizon: u64::MAX,
            at_once: false,
            delay: delay(&preset.costs()),
            taken: Vec::new(),
            shown: (0, 0),
        }
    }

    /// When the others see what is done at cycle `now`.
    pub(crate) fn shows_at(&self, now: u64) -> u64 {
        now.saturating_add(self.delay)
    }

    /// Has somebody yet to come to where it sees what is done at cycle `now`?
    fn comes_too_early(&self, now: u64) -> bool {
        !self.at_once && self.shows_at(now) > self.horizon
    }

    /// What `cpu` does at cycle `now` concerns others: from when they see it on they may do something about it, whatever
    /// they rested in.
    pub(crate) fn shows_to_others(&mut self, cpu: &mut Cpu, now: u64) {
        let at = self.shows_at(now);
        cpu.slice_end = cpu.slice_end.min(at);
        self.horizon = self.horizon.min(at);
    }

    /// Is the line in the last level of the socket of `cpu`? It is from now on.
    fn last_level(&mut self, cpu: usize, line: u64, tag: u32) -> bool {
        let Some(last) = self.last.get_mut(self.socket[cpu]) else { return false };
        let set = last.hashed_set_of(line);
        let there = last.touch(set, tag);
        if !there {
            last.insert(set, tag);
        }
        there
    }

    /// A processor of this socket alone will have the line: the last levels of the others have it no more.
    fn leave_other_sockets(&mut self, cpu: usize, line: u64, tag: u32) {
        let own = self.socket[cpu];
        for (_, last) in self.last.iter_mut().enumerate().filter(|(s, _)| *s != own) {
            let set = last.hashed_set_of(line);
            last.remove(set, tag);
        }
    }

    /// Does any of `holders` sit in another socket than `cpu`?
    fn remote(&self, cpu: usize, holders: u64) -> bool {
        holders & !self.near[cpu] != 0
    }
}

/// Cycles from an access to the moment at which its line changes hands, when the transfer is complete: the least time in
/// which one processor can affect another.
pub fn delay(costs: &Costs) -> u64 {
    u64::from(costs.line_transfer.saturating_sub(costs.locked)).max(1)
}

/// Puts an operation off until all others have come to where they see it, so that where they stand then does not depend
/// on slices: for what concerns others and takes no line from them.
pub(crate) fn in_order(cpu: &mut Cpu, bus: &Bus, now: u64) -> Step {
    if cpu.cache.is_some() && bus.coherence.comes_too_early(now) {
        cpu.order_until = bus.coherence.shows_at(now);
        return Err(Flow::Order);
    }
    Ok(())
}

/// Brings the line or lines of `size` bytes in RAM at `t` into the first level of `cpu`, with the right that is
/// wanted, and charges what that takes. [`Flow::Order`] and [`Flow::Careful`] before anything has changed.
#[inline]
pub fn access(cpu: &mut Cpu, bus: &mut Bus, before: u16, t: Physical, size: u32, want: Want) -> Step {
    let Some(at) = t.at else { return Ok(()) };
    if !cpu.mmu.covers(at, want) {
        miss(cpu, bus, before, t.pa, at, want)?;
    }
    let last = at + size as usize - 1;
    if (at ^ last) >> LINE_SHIFT != 0 && !cpu.mmu.covers(last, want) {
        miss(cpu, bus, before, t.pa + u64::from(size) - 1, last, want)?;
    }
    Ok(())
}

/// The walker's own access to the entry at physical address `pa`. It has no place to wait in, so it is never put off.
pub fn walker_access(cpu: &mut Cpu, bus: &mut Bus, pa: u64, want: Want) {
    if let Some(at) = bus.ram.offset(Frame((pa >> 12) as u32)).map(|a| a + (pa & 0xfff) as usize)
        && !cpu.mmu.covers(at, want)
    {
        let careful = std::mem::replace(&mut cpu.careful, true);
        // In careful mode and at once nothing is put off.
        let _ = bus.at_once(|bus| miss(cpu, bus, 0, pa, at, want));
        cpu.careful = careful;
    }
}

#[cold]
#[inline(never)]
fn miss(cpu: &mut Cpu, bus: &mut Bus, before: u16, pa: u64, at: usize, want: Want) -> Step {
    let id = cpu.id;
    let now = cpu.clock + u64::from(before);
    let (tag, line) = ((at >> LINE_SHIFT) as u32, pa >> LINE_SHIFT);
    let in_first = cpu.mmu.covers(at, Want::Read);
    let Some(private) = &mut cpu.cache else { return Ok(()) };
    let c = &mut bus.coherence;
    let view = c.directory.view(tag, id);
    let in_second = in_first || private.second_has(line, tag);
    let costs = &cpu.costs;
    let write = want == Want::Write;

    if in_second && (view.exclusive || !write) {
        let cost = costs.l2_hit.saturating_sub(costs.load);
        cpu.count.l1_misses += 1;
        bring(cpu, bus, line, tag, true, view.exclusive);
        cpu.charge(Kind::Cache, cost);
        return cpu.settle();
    }
    let contended = view.others != 0;
    if contended && c.comes_too_early(now) {
        cpu.order_until = c.shows_at(now);
        return Err(Flow::Order);
    }
    let handed_over = (contended && (write || view.exclusive)) || in_second;
    if handed_over {
        // From the only holder, or others must drop their copies (an upgrade, where this processor has one).
        let whole = if c.remote(id, view.others) { costs.line_transfer_remote } else { costs.line_transfer };
        let wait = view.ready.saturating_sub(now);
        let cost = whole.saturating_sub(costs.locked).saturating_add(u32::try_from(wait).unwrap_or(u32::MAX));
        if contended {
            c.taken.push(Taken { from: view.others, tag, line, keep: !write, cycle: now });
        }
        if write {
            c.leave_other_sockets(id, line, tag);
        }
        c.last_level(id, line, tag);
        c.directory.take(tag, id, write, Some(now + u64::from(cost)));
        if contended {
            c.shows_to_others(cpu, now);
        }
        cpu.count.line_transfers += 1;
        cpu.count.l1_misses += u64::from(!in_first);
        if in_first {
            cpu.mmu.set_lines(at, write);
        } else {
            bring(cpu, bus, line, tag, in_second, write);
        }
        cpu.charge(Kind::Transfer, cost);
        return cpu.settle();
    }
    // Nobody has it, or others share it and it is only read.
    let wait = u32::try_from(view.ready.saturating_sub(now)).unwrap_or(u32::MAX);
    let streams = private.streams(tag);
    let there = c.last_level(id, line, tag);
    let whole = if there { costs.llc_hit } else { costs.memory };
    let whole = if streams { whole.min(costs.stream) } else { whole };
    let cost = whole.saturating_sub(costs.load);
    cpu.count.l1_misses += 1;
    cpu.count.l2_misses += 1;
    cpu.count.llc_misses += u64::from(!there);
    c.directory.take(tag, id, !contended, None);
    bring(cpu, bus, line, tag, false, !contended);
    cpu.charge(Kind::Cache, cost);
    if wait > 0 {
        cpu.charge(Kind::Transfer, wait);
    }
    cpu.settle()
}

/// Puts the line into the private levels; what falls out is forgotten everywhere.
fn bring(cpu: &mut Cpu, bus: &mut Bus, line: u64, tag: u32, in_second: bool, writable: bool) {
    let Some(private) = &mut cpu.cache else { return };
    let fallen = private.bring(line, tag, in_second);
    if let Some(out) = fallen.second {
        cpu.mmu.clear_lines(offset(out), Want::Read);
        bus.coherence.directory.drop(out, cpu.id);
    }
    if let Some(out) = fallen.first {
        cpu.mmu.clear_lines(offset(out), Want::Read);
    }
    cpu.mmu.set_lines(offset(tag), writable);
}

/// Arena offset of a line.
fn offset(tag: u32) -> usize {
    (tag as usize) << LINE_SHIFT
}

/// Another processor took a line of `cpu`.
pub(crate) fn lose(cpu: &mut Cpu, t: &Taken) {
    if t.keep {
        cpu.mmu.clear_lines(offset(t.tag), Want::Write);
        return;
    }
    cpu.mmu.clear_lines(offset(t.tag), Want::Read);
    if let Some(private) = &mut cpu.cache {
        private.lose(t.line, t.tag);
    }
}

/// How many bytes from arena offset `at` to the end of its page lie in lines of `lines` without a gap.
#[inline]
pub(crate) fn run_of(lines: u64, at: usize) -> u32 {
    let first = (at >> LINE_SHIFT) as u32 & 63;
    (((lines >> first).trailing_ones() * LINE).max(at as u32 & (LINE - 1))) - (at as u32 & (LINE - 1))
}

#[cfg(test)]
mod tests;
