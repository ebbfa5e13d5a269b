//! The loop: find the block at CS:EIP, run its operations, account for them,
//! take interrupts between instructions.
//!
//! Two modes. *Fast* (`run_lane`): the block's static cost cannot reach the next event
//! (`cpu.event_at`), so nothing is checked between operations. *Careful*: before
//! each operation the clock is compared with the event, after each the bus is
//! asked whether the machine has to look. An operation that cannot run fast
//! (device access, code write, or a walk whose cost may reach the event) says so
//! with `Flow::Careful` before it has changed anything, and is run again.

use super::block::{Block, Blocks, Mode, key};
use super::debug::dr6;
use super::decode::{Decoded, Model, decode_block, decode_single};
use super::exec::{MAX_INSTRUCTION, interrupt};
use super::op::{CS, Flow, Op};
use super::spin::Spin;
use super::{Cpu, Request, exception::Class, exception::Exception, flags};
use crate::addr::Frame;
use crate::bus::Bus;
use crate::ledger::Kind;
use crate::mmu::{self, Access};
use crate::observe::{Wanted, What};
use crate::stop::Stop;

/// Why [`run_slice`] returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The clock has reached the end of the slice.
    SliceEnd,
    /// The clock has reached `event_at`.
    Event,
    /// Something for the machine to do (IPI sent, code written).
    Attention,
    /// The guest asked for something.
    Request(Request),
}

/// Host shortcuts of the loop. Results do not depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Skip whole iterations of loops that only wait.
    pub skip_spins: bool,
    /// Fill translations speculatively at instruction boundaries (`tlb.adversary=fill`).
    pub fill: bool,
    /// Return after one instruction.
    pub single: bool,
}

const JUMPS: usize = 4096;

#[derive(Clone, Copy)]
struct Jump {
    key: u64,
    number: u32,
}

/// One processor's references to blocks, and its loop's state.
#[derive(Clone)]
pub struct Runner {
    jumps: Box<[Jump; JUMPS]>,
    epoch: u64,
    pub(super) careful_next: bool,
    mode: Mode,
    mode_of: (u32, u64),
    random: u64,
    pub(super) spin: Option<Spin>,
    /// In the last slice something ran besides passes of a parked loop: memory may have changed.
    pub(super) left_spin: bool,
}

/// Static costs of blocks that ran in the fast lane and are not yet in ledger and counters (the clock has them).
#[derive(Default)]
pub(super) struct Sum {
    pub(super) cycles: u64,
    pub(super) locked: u64,
    pub(super) instructions: u64,
}

impl Sum {
    fn flush(&self, cpu: &mut Cpu) {
        cpu.ledger.add(Kind::Compute, self.cycles - self.locked);
        cpu.ledger.add(Kind::Locked, self.locked);
        cpu.count.instructions += self.instructions;
    }
}

impl Runner {
    /// A runner without references. `seed` is for the filling adversary.
    pub fn new(seed: u64) -> Runner {
        Runner {
            jumps: Box::new([Jump { key: u64::MAX, number: 0 }; JUMPS]),
            epoch: 0,
            careful_next: false,
            mode: Mode::REAL,
            mode_of: (u32::MAX, u64::MAX),
            random: seed | 1,
            spin: None,
            left_spin: false,
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }

    /// Did the last slice run anything but passes of a loop that only waits?
    pub fn left_spin(&self) -> bool {
        self.left_spin
    }

    /// Runs until the clock reaches `slice_end` (checked between blocks), an event, or a request.
    pub fn run_slice(
        &mut self,
        cpu: &mut Cpu,
        bus: &mut Bus,
        blocks: &mut Blocks,
        slice_end: u64,
        options: RunOptions,
    ) -> Pause {
        self.left_spin = false;
        cpu.slice_end = slice_end;
        loop {
            if bus.attention {
                return Pause::Attention;
            }
            if cpu.clock >= cpu.event_at {
                return Pause::Event;
            }
            if cpu.clock >= cpu.slice_end {
                return Pause::SliceEnd;
            }
            let mut single = options.fill || options.single;
            if cpu.shadow {
                // One instruction runs before interrupts are looked at.
                cpu.shadow = false;
                single = true;
            } else if cpu.interrupt_waits() {
                if let Err(r) = take_interrupt(cpu, bus) {
                    return Pause::Request(r);
                }
                if bus.attention {
                    return Pause::Attention;
                }
            }
            if options.fill && self.random().is_multiple_of(8) {
                let lin = bus.targets[self.random() as usize % bus.targets.len()];
                let now = cpu.clock;
                mmu::speculate(cpu, bus, lin, now);
            }
            let watched = cpu.flags.rest & (flags::TF | flags::RF) != 0;
            let number = match self.find(cpu, bus, blocks) {
                Ok(n) => n,
                Err(Flow::Request) => return Pause::Request(cpu.request.take().unwrap_or(Request::Look)),
                Err(Flow::Fault) => {
                    if let Err(r) = deliver_fault(cpu, bus) {
                        return Pause::Request(r);
                    }
                    continue;
                }
                Err(_) => {
                    // A fetch that asks for care: the next attempt is careful and its walk is already cached.
                    self.careful_next = true;
                    continue;
                }
            };
            let Some(block) = blocks.get(number) else { continue };
            let careful = single
                || watched
                || self.careful_next
                || cpu.clock + u64::from(block.cost) >= cpu.event_at
                || !self.mode.contains(Mode::FLAT);
            if !careful {
                if let Some(p) = self.run_lane(cpu, bus, blocks, number, options) {
                    return p;
                }
                continue;
            }
            self.careful_next = false;
            self.left_spin = true;
            let pause = if watched || cpu.debug.armed() {
                self.run_watched(cpu, bus, block)
            } else if options.single {
                self.run_one(cpu, bus, block)
            } else {
                run_careful(cpu, bus, block, single, &mut self.careful_next)
            };
            if let Some(p) = debug_trap(cpu, bus, pause) {
                return p;
            }
            if options.single && !self.careful_next {
                return Pause::SliceEnd;
            }
        }
    }

    /// The fast lane: block after block, as long as each is *quiet* (it ends in nothing but a near branch, so that
    /// interrupts, mode and privilege are as before), its successor is known, and no limit is near. All that the outer
    /// loop checks between blocks can be left out here.
    #[inline(always)]
    fn run_lane(
        &mut self,
        cpu: &mut Cpu,
        bus: &mut Bus,
        blocks: &Blocks,
        first: u32,
        options: RunOptions,
    ) -> Option<Pause> {
        cpu.careful = false;
        let event_at = cpu.event_at;
        let mut sum = Sum::default();
        let mut number = first;
        let result = loop {
            let Some(block) = blocks.get(number) else { break None };
            let cost = u64::from(block.cost);
            let before = cpu.clock;
            if before + cost >= event_at {
                break None;
            }
            cpu.block_cost = block.cost;
            let start = cpu.eip;
            let mut ops = block.ops.iter();
            let left = loop {
                let Some(op) = ops.next() else {
                    cpu.eip = start.wrapping_add(u32::from(block.bytes));
                    break None;
                };
                if let Err(flow) = (op.run)(cpu, bus, op) {
                    if flow == Flow::Branch && ops.as_slice().is_empty() {
                        break None;
                    }
                    break Some(flow);
                }
            };
            if let Some(flow) = left {
                let done = block.ops.len() - ops.as_slice().len();
                sum.flush(cpu);
                self.left_spin = true;
                self.spin = None;
                return leave(cpu, bus, &block.ops[..done], flow, &mut self.careful_next);
            }
            cpu.clock += cost;
            sum.cycles += cost;
            sum.locked += u64::from(block.locked);
            sum.instructions += u64::from(block.instructions);
            if !block.quiet {
                self.left_spin = true;
                break None;
            }
            if cpu.eip == start {
                if block.spin && options.skip_spins {
                    self.skip(cpu, block, number, before, &mut sum);
                    if cpu.clock >= cpu.slice_end {
                        break Some(Pause::SliceEnd);
                    }
                } else {
                    self.left_spin = true;
                    if cpu.clock >= cpu.slice_end {
                        break Some(Pause::SliceEnd);
                    }
                }
                continue;
            }
            self.left_spin = true;
            if cpu.clock >= cpu.slice_end {
                break Some(Pause::SliceEnd);
            }
            let Some(pa) = cpu.mmu.hit_fetch(cpu.eip) else { break None };
            let slot = &self.jumps[(pa ^ (pa >> 12)) as usize & (JUMPS - 1)];
            if slot.key != key(pa, self.mode) {
                break None;
            }
            number = slot.number;
        };
        sum.flush(cpu);
        result
    }

    /// Runs the first instruction of `block`, also of a fused pair.
    #[cold]
    #[inline(never)]
    fn run_one(&mut self, cpu: &mut Cpu, bus: &mut Bus, block: &Block) -> Option<Pause> {
        match block.ops.first() {
            Some(op) if op.bits & Op::FUSED != 0 => {
                run_first_half(cpu, bus, block, op, &mut self.careful_next)
            }
            _ => run_careful(cpu, bus, block, true, &mut self.careful_next),
        }
    }

    /// Runs one instruction, or one element of a repeated one, with TF or RF set or under breakpoints. What the debug
    /// registers have seen is pending afterwards.
    #[cold]
    #[inline(never)]
    fn run_watched(&mut self, cpu: &mut Cpu, bus: &mut Bus, block: &Block) -> Option<Pause> {
        if cpu.check_execution().is_err() {
            return deliver_fault(cpu, bus).err().map(Pause::Request);
        }
        let before = cpu.debug;
        cpu.debug.held = false;
        cpu.debug.resume = false;
        cpu.debug.step = cpu.flags.rest & flags::TF != 0;
        let slice_end = std::mem::replace(&mut cpu.slice_end, 0);
        let pause = self.run_one(cpu, bus, block);
        cpu.slice_end = slice_end;
        if self.careful_next || pause == Some(Pause::SliceEnd) {
            // It has not run.
            cpu.debug = before;
            return pause;
        }
        if !cpu.debug.resume && cpu.repeated_at != cpu.clock {
            cpu.flags.rest &= !flags::RF;
        }
        if std::mem::take(&mut cpu.debug.step) && !cpu.debug.held {
            cpu.pend_debug(dr6::BS);
        }
        pause
    }

    /// Number of the block at CS:EIP.
    #[inline(always)]
    fn find(&mut self, cpu: &mut Cpu, bus: &mut Bus, blocks: &mut Blocks) -> Result<u32, Flow> {
        self.follow(blocks);
        if self.mode_of != (cpu.cr0, cpu.segment_changes) {
            self.mode_of = (cpu.cr0, cpu.segment_changes);
            self.mode = cpu.mode();
        }
        let lin = cpu.seg[CS as usize].base.wrapping_add(cpu.eip);
        let pa = match cpu.mmu.hit_fetch(lin) {
            Some(pa) => pa,
            None => fetch(cpu, bus, lin)?,
        };
        let k = key(pa, self.mode);
        let slot = (pa ^ (pa >> 12)) as usize & (JUMPS - 1);
        if self.jumps[slot].key == k {
            return Ok(self.jumps[slot].number);
        }
        let (number, keep) = find_slow(cpu, bus, blocks, lin, pa, self.mode)?;
        self.follow(blocks);
        if keep {
            self.jumps[slot] = Jump { key: k, number };
        }
        Ok(number)
    }

    /// Drops all references to blocks when some block was dropped since the last look.
    #[inline(always)]
    fn follow(&mut self, blocks: &Blocks) {
        if self.epoch != blocks.epoch {
            self.epoch = blocks.epoch;
            self.jumps.fill(Jump { key: u64::MAX, number: 0 });
        }
    }
}

#[cold]
#[inline(never)]
fn fetch(cpu: &mut Cpu, bus: &mut Bus, lin: u32) -> Result<u64, Flow> {
    // Breakpoints come before faults of the fetch.
    cpu.check_execution()?;
    if cpu.eip > cpu.seg[CS as usize].limit {
        return cpu.raise(Exception::GP0);
    }
    // Between blocks there is no block to be careful in.
    cpu.careful = true;
    let privilege = cpu.privilege();
    let t = mmu::translate(cpu, bus, lin, Access::Fetch, privilege, 0)?;
    if t.at.is_none() {
        cpu.request = Some(Request::Stop(Stop::EmptyAddress { cpu: cpu.id, at: lin, address: t.pa }));
        return Err(Flow::Request);
    }
    Ok(t.pa)
}

/// The block from the shared cache, decoded if need be; false: not to be found by key alone (it crosses a page).
#[cold]
#[inline(never)]
fn find_slow(
    cpu: &mut Cpu,
    bus: &mut Bus,
    blocks: &mut Blocks,
    lin: u32,
    pa: u64,
    mode: Mode,
) -> Result<(u32, bool), Flow> {
    let k = key(pa, mode);
    let frame = Frame((pa >> 12) as u32);
    if let Some(n) = blocks.find(k) {
        let second = blocks.get(n).and_then(|b| b.second);
        let Some(second) = second else { return Ok((n, true)) };
        // The second page is fetched too: its translation is looked up, and must still be the one decoded from.
        let next = (lin | 0xfff).wrapping_add(1);
        let t = fetch(cpu, bus, next)?;
        fetch(cpu, bus, lin)?;
        if t >> 12 == u64::from(second.0) {
            return Ok((n, false));
        }
        blocks.invalidate(frame, pa as u32 & 0xfff, 1);
    }
    let within = pa as usize & 0xfff;
    let mut code = [0u8; 4096];
    let code = &mut code[..4096 - within];
    bus.ram.peek(pa, code);
    let model = Model { costs: cpu.costs, identity: cpu.identity };
    let block = match decode_block(code, pa, mode, &model, None) {
        Decoded::Block(b) => b,
        Decoded::NeedSecondPage => {
            let next = (lin | 0xfff).wrapping_add(1);
            let second = fetch(cpu, bus, next)?;
            fetch(cpu, bus, lin)?;
            let mut both = code.to_vec();
            let mut more = [0u8; 16];
            bus.ram.peek(second, &mut more);
            both.extend_from_slice(&more);
            match decode_block(&both, pa, mode, &model, Some(Frame((second >> 12) as u32))) {
                Decoded::Block(b) => b,
                Decoded::NeedSecondPage => return cpu.raise(Exception::GP0),
            }
        }
    };
    let crosses = block.second.is_some();
    for f in [Some(frame), block.second].into_iter().flatten() {
        if bus.ram.watch_code(f)
            && let Some(slot) = bus.ram.offset(f)
        {
            cpu.mmu.revoke_write(slot);
            bus.revoked.push(slot);
        }
    }
    Ok((blocks.insert(block), !crosses))
}

/// Adds what the first `done` operations of the block cost.
#[inline(always)]
fn settle_block(cpu: &mut Cpu, block: &Block) {
    cpu.clock += u64::from(block.cost);
    cpu.ledger.add(Kind::Compute, u64::from(block.cost - block.locked));
    cpu.ledger.add(Kind::Locked, u64::from(block.locked));
    cpu.count.instructions += u64::from(block.instructions);
}

#[cold]
#[inline(never)]
fn settle_part(cpu: &mut Cpu, ops: &[Op]) {
    for op in ops {
        let cost = u64::from(op.cost);
        cpu.clock += cost;
        cpu.ledger.add(if op.bits & Op::LOCKED != 0 { Kind::Locked } else { Kind::Compute }, cost);
        cpu.count.instructions += 1 + u64::from(op.bits & Op::FUSED != 0);
    }
}

#[cold]
#[inline(never)]
fn run_careful(
    cpu: &mut Cpu,
    bus: &mut Bus,
    block: &Block,
    single: bool,
    careful_next: &mut bool,
) -> Option<Pause> {
    cpu.careful = true;
    cpu.block_cost = block.cost;
    let limit = cpu.seg[CS as usize].limit;
    for (i, op) in block.ops.iter().enumerate() {
        if i > 0 && (single || bus.attention || cpu.clock + u64::from(op.before) >= cpu.event_at) {
            cpu.eip = cpu.this_eip(op);
            settle_part(cpu, &block.ops[..i]);
            return None;
        }
        let last = cpu.next_eip(op).wrapping_sub(1);
        let result = if last > limit { cpu.raise(Exception::GP0) } else { (op.run)(cpu, bus, op) };
        if let Err(flow) = result {
            return leave(cpu, bus, &block.ops[..=i], flow, careful_next);
        }
    }
    // Not cut to 16 bits: code that runs on past offset FFFF leaves its segment, it does not wrap.
    cpu.eip = cpu.eip.wrapping_add(u32::from(block.bytes));
    settle_block(cpu, block);
    None
}

/// Runs the first instruction of a fused pair with which `block` begins.
#[cold]
#[inline(never)]
fn run_first_half(
    cpu: &mut Cpu,
    bus: &mut Bus,
    block: &Block,
    pair: &Op,
    careful_next: &mut bool,
) -> Option<Pause> {
    cpu.careful = true;
    cpu.block_cost = block.cost;
    let mut code = [0; 2 * MAX_INSTRUCTION];
    let code = &mut code[..usize::from(pair.len).min(2 * MAX_INSTRUCTION)];
    bus.ram.peek(block.key >> 4, code);
    let model = Model { costs: cpu.costs, identity: cpu.identity };
    let mode = Mode::from_bits_truncate(block.key as u8 & 15);
    // Such a pair never crosses a page, and its bytes are at hand.
    let Decoded::Block(first) = decode_single(code, block.key >> 4, mode, &model, None) else { return None };
    let op = first.ops.first()?;
    match (op.run)(cpu, bus, op) {
        Ok(()) => {
            cpu.eip = cpu.next_eip(op);
            settle_part(cpu, &first.ops);
            None
        }
        Err(flow) => leave(cpu, bus, &first.ops, flow, careful_next),
    }
}

/// Leaves a block at the last of `ops` for the reason it gave.
#[cold]
#[inline(never)]
fn leave(cpu: &mut Cpu, bus: &mut Bus, ops: &[Op], flow: Flow, careful_next: &mut bool) -> Option<Pause> {
    let (op, before) = ops.split_last()?;
    match flow {
        Flow::Branch => {
            settle_part(cpu, ops);
            None
        }
        Flow::Repeat => {
            // The set-up cost and the count of the instruction come with its completion.
            cpu.eip = cpu.this_eip(op);
            settle_part(cpu, before);
            cpu.repeated_at = cpu.clock;
            None
        }
        Flow::Careful => {
            cpu.eip = cpu.this_eip(op);
            settle_part(cpu, before);
            *careful_next = true;
            None
        }
        Flow::Order => {
            cpu.eip = cpu.this_eip(op);
            settle_part(cpu, before);
            Some(Pause::SliceEnd)
        }
        Flow::Fault => {
            let trap = cpu.fault.is_some_and(|e| e.class == Class::Trap);
            cpu.eip = if trap { cpu.next_eip(op) } else { cpu.this_eip(op) };
            settle_part(cpu, if trap { ops } else { before });
            deliver_fault(cpu, bus).err().map(Pause::Request)
        }
        Flow::Request => {
            settle_part(cpu, ops);
            let mut r = cpu.request.take().unwrap_or(Request::Look);
            if let Request::Stop(Stop::EmptyAddress { at, .. }) = &mut r {
                *at = cpu.this_eip(op).wrapping_add(cpu.seg[CS as usize].base);
            }
            Some(Pause::Request(r))
        }
    }
}

/// Delivers the debug trap that is pending after an instruction, if one is. It wakes from `hlt`.
#[inline]
fn debug_trap(cpu: &mut Cpu, bus: &mut Bus, pause: Option<Pause>) -> Option<Pause> {
    if matches!(pause, Some(Pause::Request(Request::Stop(_)))) {
        return pause;
    }
    let Some(trap) = cpu.take_debug_trap() else { return pause };
    cpu.fault = Some(trap);
    match deliver_fault(cpu, bus) {
        Err(r) => Some(Pause::Request(r)),
        Ok(()) if pause == Some(Pause::Request(Request::Halt)) => None,
        Ok(()) => pause,
    }
}

#[cold]
#[inline(never)]
fn deliver_fault(cpu: &mut Cpu, bus: &mut Bus) -> Result<(), Request> {
    cpu.careful = true;
    match cpu.fault.take() {
        Some(e) => interrupt::deliver_exception(cpu, bus, e).map_err(|r| placed(cpu, r)),
        None => Ok(()),
    }
}

/// The request with the linear address of the instruction at CS:EIP, where it has none of its own.
fn placed(cpu: &Cpu, mut request: Request) -> Request {
    if let Request::Stop(Stop::EmptyAddress { at, .. }) = &mut request {
        *at = cpu.eip.wrapping_add(cpu.seg[CS as usize].base);
    }
    request
}

#[cold]
#[inline(never)]
fn take_interrupt(cpu: &mut Cpu, bus: &mut Bus) -> Result<(), Request> {
    cpu.careful = true;
    let now = cpu.clock;
    let vector = if std::mem::take(&mut cpu.nmi) {
        cpu.nmi_blocked = true;
        2
    } else {
        let (vector, requested) = match cpu.apic.acknowledge() {
            Some(vector) => (vector, cpu.apic.requested_at(vector)),
            None => {
                let requested = cpu.apic.external_requested_at();
                if !cpu.apic.take_external() {
                    return Ok(());
                }
                (bus.acknowledge_8259(cpu), requested)
            }
        };
        bus.events.push(Wanted::INTERRUPTS, cpu.id, now, What::Accepted { vector, requested });
        vector
    };
    interrupt::deliver_interrupt(cpu, bus, vector).map_err(|r| placed(cpu, r))
}

impl Cpu {
    /// An NMI has come: it is taken at the next instruction, or after the `iret` of the one before. Of several that come
    /// meanwhile one is kept.
    pub fn raise_nmi(&mut self) {
        if self.nmi_blocked {
            self.nmi_held = true;
        } else {
            self.nmi = true;
        }
    }

    /// An `iret` was executed: the next NMI may come.
    #[cold]
    pub(crate) fn unblock_nmi(&mut self) {
        self.nmi_blocked = false;
        self.nmi = std::mem::take(&mut self.nmi_held);
    }

    /// An interrupt is waiting and would be taken now.
    #[inline(always)]
    pub fn interrupt_waits(&self) -> bool {
        self.nmi || (self.flags.interrupts() && self.apic.interrupting())
    }
}
