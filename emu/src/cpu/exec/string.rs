//! String instructions: `movs`, `cmps`, `stos`, `lods`, `scas`, alone and repeated.
//!
//! A repeated instruction commits element by element: a fault in the middle leaves
//! the registers at the element that faulted, and the instruction goes on from
//! there. It stops at the first element at whose end an event is due
//! (`cpu.event_at`) or the slice ends, and is dispatched again, as the processor takes
//! interrupts between elements. The flags of repeated `cmps` and `scas` change when the repetition
//! is over: a fault in the middle finds them as before the instruction (vol. 2, `REP`).
//!
//! `rep movs` and `rep stos` upwards work on whole spans within a page while both
//! pages are in the front array and their lines in the first-level cache. A span ends where the elements would have stopped,
//! and touches the same translations in the same order, so the figures are those of
//! single elements. (SDM vol. 1, "String Operations".)

use super::arith::{Binary, Cmp};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::flags::DF;
use crate::cpu::op::{ES, Flow, Op, Step};
use crate::cpu::segment::Segment;
use crate::cpu::word::Word;
use crate::ledger::Kind;

/// Elements of one dispatch at most, so that a run without events can be stopped.
const MAX_ELEMENTS: u32 = 1 << 16;
const ESI: usize = 6;
const EDI: usize = 7;

/// One of the five.
pub trait StringOp: 'static {
    /// `cmps`, `scas`: a repetition looks at ZF.
    const COMPARES: bool = false;
    /// Does one element and moves the index registers.
    fn element<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step;
    /// Does up to `most` elements upwards at once, index registers included; returns how many (0: none could be).
    #[inline(always)]
    fn span<W: Word>(_cpu: &mut Cpu, _bus: &mut Bus, _op: &Op, _most: u32) -> u32 {
        0
    }
}

/// `movs`.
pub struct Movs;
/// `cmps`.
pub struct Cmps;
/// `stos`.
pub struct Stos;
/// `lods`.
pub struct Lods;
/// `scas`.
pub struct Scas;

/// Moves an index register by `by` bytes within the address size.
#[inline(always)]
fn advance(cpu: &mut Cpu, op: &Op, register: usize, by: u32) {
    let old = cpu.regs[register];
    cpu.regs[register] = (old & !op.mask) | (old.wrapping_add(by) & op.mask);
}

/// Distance to the next element: the width, or its negative with DF set.
#[inline(always)]
fn stride<W: Word>(cpu: &Cpu) -> u32 {
    if cpu.flags.rest & DF == 0 { W::BYTES } else { W::BYTES.wrapping_neg() }
}

#[inline(always)]
fn source<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
    let ea = cpu.regs[ESI] & op.mask;
    cpu.load_at(bus, op, op.seg, ea)
}

#[inline(always)]
fn destination<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
    let ea = cpu.regs[EDI] & op.mask;
    cpu.load_at(bus, op, ES, ea)
}

#[inline(always)]
fn put<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, v: W) -> Step {
    let ea = cpu.regs[EDI] & op.mask;
    cpu.store_at(bus, op, ES, ea, v)
}

/// How many elements from `ea` on lie within one page, below the segment's fast limit and below the wrap of the
/// address size.
#[inline(always)]
fn run_length<W: Word>(s: &Segment, end: u32, ea: u32, mask: u32) -> u32 {
    let to_page_end = 4096 - (ea.wrapping_add(s.base) & 0xfff);
    let to_limit = end.saturating_sub(ea);
    let to_wrap = mask - ea;
    to_page_end.min(to_limit).min(to_wrap) / W::BYTES
}

/// The span of elements at ES:(E)DI: how many and where, if they can be written at once.
#[inline(always)]
fn destination_span<W: Word>(cpu: &mut Cpu, op: &Op, most: u32) -> Option<(u32, usize)> {
    let ea = cpu.regs[EDI] & op.mask;
    let s = &cpu.seg[ES as usize];
    let n = run_length::<W>(s, s.write_end, ea, op.mask).min(most);
    let lin = ea.wrapping_add(s.base);
    if n == 0 {
        return None;
    }
    let (at, here) = cpu.mmu.span_write(lin, W::BYTES)?;
    Some((n.min(here / W::BYTES), at))
}

impl StringOp for Movs {
    #[inline(always)]
    fn element<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
        let v: W = source(cpu, bus, op)?;
        put(cpu, bus, op, v)?;
        let by = stride::<W>(cpu);
        advance(cpu, op, ESI, by);
        advance(cpu, op, EDI, by);
        Ok(())
    }

    fn span<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, most: u32) -> u32 {
        let ea = cpu.regs[ESI] & op.mask;
        let s = &cpu.seg[(op.seg & 7) as usize];
        let n = run_length::<W>(s, s.read_end, ea, op.mask).min(most);
        let lin = ea.wrapping_add(s.base);
        if n == 0 {
            return 0;
        }
        let Some((from, here)) = cpu.mmu.span_read(lin, W::BYTES) else { return 0 };
        let n = n.min(here / W::BYTES);
        let Some((n, to)) = destination_span::<W>(cpu, op, n) else { return 0 };
        let bytes = (n * W::BYTES) as usize;
        let ram = bus.ram.bytes_mut();
        if from + bytes > ram.len() || to + bytes > ram.len() {
            return 0;
        }
        if to > from && to < from + bytes {
            // The destination begins inside the source: each element may read what an earlier one wrote.
            for i in (0..bytes).step_by(W::BYTES as usize) {
                if let Some(v) = W::get(ram, from + i) {
                    v.put(ram, to + i);
                }
            }
        } else {
            ram.copy_within(from..from + bytes, to);
        }
        advance(cpu, op, ESI, n * W::BYTES);
        advance(cpu, op, EDI, n * W::BYTES);
        n
    }
}

impl StringOp for Stos {
    #[inline(always)]
    fn element<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
        let v = W::reg(&cpu.regs, 0);
        put(cpu, bus, op, v)?;
        let by = stride::<W>(cpu);
        advance(cpu, op, EDI, by);
        Ok(())
    }

    fn span<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, most: u32) -> u32 {
        let Some((n, to)) = destination_span::<W>(cpu, op, most) else { return 0 };
        let bytes = (n * W::BYTES) as usize;
        let Some(span) = bus.ram.bytes_mut().get_mut(to..to + bytes) else { return 0 };
        let value = W::reg(&cpu.regs, 0);
        for element in span.chunks_exact_mut(W::BYTES as usize) {
            value.put(element, 0);
        }
        advance(cpu, op, EDI, n * W::BYTES);
        n
    }
}

impl StringOp for Lods {
    #[inline(always)]
    fn element<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
        let v: W = source(cpu, bus, op)?;
        v.set_reg(&mut cpu.regs, 0);
        let by = stride::<W>(cpu);
        advance(cpu, op, ESI, by);
        Ok(())
    }
}

impl StringOp for Cmps {
    const COMPARES: bool = true;
    #[inline(always)]
    fn element<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
        let a: W = source(cpu, bus, op)?;
        let b: W = destination(cpu, bus, op)?;
        Cmp::apply(&mut cpu.flags, a, b);
        let by = stride::<W>(cpu);
        advance(cpu, op, ESI, by);
        advance(cpu, op, EDI, by);
        Ok(())
    }
}

impl StringOp for Scas {
    const COMPARES: bool = true;
    #[inline(always)]
    fn element<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
        let b: W = destination(cpu, bus, op)?;
        let a = W::reg(&cpu.regs, 0);
        Cmp::apply(&mut cpu.flags, a, b);
        let by = stride::<W>(cpu);
        advance(cpu, op, EDI, by);
        Ok(())
    }
}

/// Without a repeat prefix.
pub fn once<W: Word, O: StringOp>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    O::element::<W>(cpu, bus, op)
}

/// With a repeat prefix; ends the block.
pub fn repeat<W: Word, O: StringOp>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let cost = cpu.costs.string_element;
    let upwards = cpu.flags.rest & DF == 0;
    let flags = cpu.flags;
    let mut left = MAX_ELEMENTS;
    loop {
        let count = cpu.regs[1] & op.mask;
        if count == 0 {
            return cpu.end_block(op);
        }
        let most = count.min(left).min(until_event(cpu, op, cost));
        let mut done = if upwards { O::span::<W>(cpu, bus, op, most) } else { 0 };
        if done == 0 {
            O::element::<W>(cpu, bus, op).inspect_err(|_| cpu.flags = flags)?;
            done = 1;
        }
        left -= done;
        cpu.regs[1] = (cpu.regs[1] & !op.mask) | (count - done);
        cpu.charge(Kind::Compute, done.saturating_mul(cost));
        if O::COMPARES && cpu.flags.zf() != (op.bits & Op::REP != 0) {
            return cpu.end_block(op);
        }
        let due = cpu.now(op) >= cpu.event_at.min(cpu.slice_end);
        if count != done && (due || left == 0) {
            cpu.flags = flags;
            return Err(Flow::Repeat);
        }
    }
}

/// Elements up to and including the one at whose end an event is due or the slice ends; at least one.
#[inline(always)]
fn until_event(cpu: &Cpu, op: &Op, cost: u32) -> u32 {
    let time = cpu.event_at.min(cpu.slice_end).saturating_sub(cpu.now(op));
    match time.checked_div(u64::from(cost)) {
        Some(n) => n
            .saturating_add(u64::from(!time.is_multiple_of(u64::from(cost))))
            .clamp(1, u64::from(u32::MAX)) as u32,
        None => u32::MAX,
    }
}
