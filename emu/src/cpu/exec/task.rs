//! Hardware task switches: by `jmp` and `call` to a TSS or a task gate, by a task
//! gate in the IDT, and back by `iret` with NT set; TSSs of 16 and 32 bits.
//!
//! Everything is read, checked and probed before the first change, so that a fault up to there
//! belongs to the old task. From the *commit* on the processor is in the new task:
//! its selectors are visible, their descriptors not yet loaded, and the faults that
//! loading them raises (#TS, #NP, #SS with the selector) are delivered there, before
//! its first instruction.
//!
//! ```text
//!  32-bit TSS                                16-bit TSS
//!  00 link   04..1b stacks of rings 0 to 2   00 link   02..0d stacks
//!  1c CR3    20 EIP    24 EFLAGS             0e IP     10 FLAGS
//!  28 EAX ECX EDX EBX ESP EBP ESI EDI        12 AX CX DX BX SP BP SI DI
//!  48 ES CS SS DS FS GS                      22 ES CS SS DS
//!  60 LDT    64 trap bit    66 I/O map       2a LDT
//! ```
//!
//! A 16-bit TSS leaves the upper halves of the general registers as they are (the manual does not say) and CR3.
//! The cost is that of what the switch consists of: a far transfer, a load of LDTR and of six segment
//! registers, and the words read and written; loading another CR3 costs and flushes as `mov cr3` does.
//! (SDM vol. 3A, "Task Management".)

use super::descriptor::{self, Descriptor, Stack, Width, gp, np, selector_fault, system_type};
use super::{interrupt, system};
use crate::bus::Bus;
use crate::cpu::debug::{dr6, dr7};
use crate::cpu::exception::vector;
use crate::cpu::flags::{NT, VM};
use crate::cpu::op::{CS, Flow, Op, SS};
use crate::cpu::segment::{Segment, attr};
use crate::cpu::{Cpu, cr0};
use crate::ledger::Kind;
use crate::mmu::Privilege;

/// What causes a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Jump,
    Call,
    /// `iret` with NT set.
    Return,
    /// An interrupt or exception through a task gate.
    Event,
}

impl Cause {
    /// Will the new task return to the old one?
    fn nests(self) -> bool {
        matches!(self, Cause::Call | Cause::Event)
    }
}

/// Where things stand in a TSS.
struct Layout {
    wide: bool,
    cr3: Option<u32>,
    /// EIP, EFLAGS and the eight general registers follow each other.
    state: u32,
    segments: u32,
    /// Selectors in encoding order: ES, CS, SS, DS and, in a 32-bit TSS, FS, GS.
    selectors: u32,
    ldt: u32,
    trap: Option<u32>,
    /// The least limit.
    limit: u32,
}

const LAYOUT32: Layout = Layout {
    wide: true,
    cr3: Some(0x1c),
    state: 0x20,
    segments: 0x48,
    selectors: 6,
    ldt: 0x60,
    trap: Some(0x64),
    limit: 0x67,
};
const LAYOUT16: Layout = Layout {
    wide: false,
    cr3: None,
    state: 0x0e,
    segments: 0x22,
    selectors: 4,
    ldt: 0x2a,
    trap: None,
    limit: 0x2b,
};

impl Layout {
    fn of(kind: u16) -> &'static Layout {
        if kind & 8 != 0 { &LAYOUT32 } else { &LAYOUT16 }
    }

    /// Bytes of a register.
    fn word(&self) -> u32 {
        if self.wide { 4 } else { 2 }
    }

    fn register(&self, n: u32) -> u32 {
        self.state + n * self.word()
    }

    fn selector(&self, n: u32) -> u32 {
        self.segments + n * self.word()
    }
}

/// What a TSS says about a task.
struct State {
    cr3: Option<u32>,
    eip: u32,
    flags: u32,
    registers: [u32; 8],
    selectors: [u16; 6],
    ldt: u16,
    trap: bool,
}

/// A switch of which everything that can fault in the old task is done.
struct Prepared {
    cause: Cause,
    selector: u16,
    descriptor: Descriptor,
    layout: &'static Layout,
    state: State,
    /// The old task's descriptor, if it stops being busy.
    leaves: Option<Descriptor>,
}

/// A switch by a far `jmp` or `call` to a task gate or a TSS, `d`, whose own rights have been checked.
pub(super) fn far(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    selector: u16,
    d: &Descriptor,
    cause: Cause,
) -> Result<(), Flow> {
    cpu.need_care()?;
    let gate = d.system_type() == Some(system_type::TASK_GATE);
    // A TSS of the LDT is refused, present or not (SDM vol. 3A, "TSS Descriptor").
    if !gate && selector & 4 != 0 {
        return cpu.raise(gp(selector));
    }
    if !d.present() {
        return cpu.raise(np(selector));
    }
    let (selector, d) = if gate { behind_gate(cpu, bus, op.before, d)? } else { (selector, *d) };
    let saved = (cpu.next_eip(op), cpu.flags.get());
    by_instruction(cpu, bus, op, selector, &d, cause, saved)
}

/// `iret` with NT set: back to the task that the link names.
pub(super) fn back(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<(), Flow> {
    cpu.need_care()?;
    let link = cpu.read_linear(bus, op.before, cpu.tr.base, 2, Privilege::Supervisor)? as u16;
    let busy = [system_type::TSS16_BUSY, system_type::TSS32_BUSY];
    let d = match descriptor::read(cpu, bus, op.before, link)? {
        Some(d) if link & 4 == 0 && d.system_type().is_some_and(|t| busy.contains(&t)) => d,
        _ => return cpu.raise(selector_fault(vector::TS, link)),
    };
    if !d.present() {
        return cpu.raise(np(link));
    }
    let saved = (cpu.next_eip(op), cpu.flags.get() & !NT);
    by_instruction(cpu, bus, op, link, &d, Cause::Return, saved)
}

/// A switch through a task gate of the IDT. `saved` are EIP and EFLAGS of the interrupted task; an error code is
/// pushed on the stack of the new one.
pub(super) fn event(
    cpu: &mut Cpu,
    bus: &mut Bus,
    before: u16,
    gate: &Descriptor,
    saved: (u32, u32),
    code: Option<u32>,
) -> Result<(), Flow> {
    cpu.need_care()?;
    let (selector, d) = behind_gate(cpu, bus, before, gate)?;
    let prepared = prepare(cpu, bus, before, selector, &d, Cause::Event)?;
    commit(cpu, bus, before, &prepared, saved)?;
    enter(cpu, bus, before, &prepared, code)
}

/// The TSS that a task gate names: global, available, present.
fn behind_gate(
    cpu: &mut Cpu,
    bus: &mut Bus,
    before: u16,
    gate: &Descriptor,
) -> Result<(u16, Descriptor), Flow> {
    let selector = gate.gate_selector();
    let free = [system_type::TSS16, system_type::TSS32];
    let d = match descriptor::read(cpu, bus, before, selector)? {
        Some(d) if selector & 4 == 0 && d.system_type().is_some_and(|t| free.contains(&t)) => d,
        _ => return cpu.raise(gp(selector)),
    };
    if !d.present() {
        return cpu.raise(np(selector));
    }
    Ok((selector, d))
}

fn by_instruction(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    selector: u16,
    d: &Descriptor,
    cause: Cause,
    saved: (u32, u32),
) -> Result<(), Flow> {
    bus.at_once(|bus| {
        let prepared = prepare(cpu, bus, op.before, selector, d, cause)?;
        commit(cpu, bus, op.before, &prepared, saved)?;
        match enter(cpu, bus, op.before, &prepared, None) {
            // The new task has not begun: the fault is at its first instruction, not at this one.
            Err(Flow::Fault) => match cpu.fault.take() {
                Some(e) => interrupt::deliver_within(cpu, bus, e, op.before).map_err(|r| {
                    cpu.request = Some(r);
                    Flow::Request
                }),
                None => Ok(()),
            },
            other => other,
        }
    })
}

/// Checks the new TSS, reads it, and makes sure that nothing up to the commit can fault.
fn prepare(
    cpu: &mut Cpu,
    bus: &mut Bus,
    before: u16,
    selector: u16,
    d: &Descriptor,
    cause: Cause,
) -> Result<Prepared, Flow> {
    let layout = Layout::of(d.attr());
    if d.limit() < layout.limit {
        return cpu.raise(selector_fault(vector::TS, selector));
    }
    let old = Layout::of(cpu.tr.attr);
    if cpu.tr.limit < old.limit {
        let tr = cpu.tr.selector;
        return cpu.raise(selector_fault(vector::TS, tr));
    }
    let leaves = if cause.nests() { None } else { old_descriptor(cpu, bus, before)? };
    let state = read_state(cpu, bus, before, layout, d.base())?;
    let base = cpu.tr.base;
    for n in 0..10 {
        probe(cpu, bus, before, base.wrapping_add(old.register(n)), old.word())?;
    }
    for n in 0..old.selectors {
        probe(cpu, bus, before, base.wrapping_add(old.selector(n)), 2)?;
    }
    if cause.nests() {
        probe(cpu, bus, before, d.base(), 2)?;
    }
    if cause != Cause::Return {
        probe(cpu, bus, before, d.at.wrapping_add(5), 1)?;
    }
    if let Some(old) = leaves {
        probe(cpu, bus, before, old.at.wrapping_add(5), 1)?;
    }
    Ok(Prepared { cause, selector, descriptor: *d, layout, state, leaves })
}

fn probe(cpu: &mut Cpu, bus: &mut Bus, before: u16, at: u32, size: u32) -> Result<(), Flow> {
    cpu.probe_linear(bus, before, at, size, Privilege::Supervisor)
}

/// The descriptor of the task that runs, unless its selector no longer lies in the GDT.
fn old_descriptor(cpu: &mut Cpu, bus: &mut Bus, before: u16) -> Result<Option<Descriptor>, Flow> {
    let selector = cpu.tr.selector;
    if descriptor::is_null(selector) {
        // No TR was ever loaded.
        return Ok(None);
    }
    descriptor::read(cpu, bus, before, selector)
}

fn read_state(cpu: &mut Cpu, bus: &mut Bus, before: u16, layout: &Layout, base: u32) -> Result<State, Flow> {
    let mut read =
        |offset, size| cpu.read_linear(bus, before, base.wrapping_add(offset), size, Privilege::Supervisor);
    let mut state = State {
        cr3: layout.cr3.map(|at| read(at, 4)).transpose()?,
        eip: read(layout.register(0), layout.word())?,
        flags: read(layout.register(1), layout.word())?,
        registers: [0; 8],
        selectors: [0; 6],
        ldt: read(layout.ldt, 2)? as u16,
        trap: layout.trap.map(|at| read(at, 2)).transpose()?.is_some_and(|v| v & 1 != 0),
    };
    for (n, r) in (2..).zip(&mut state.registers) {
        *r = read(layout.register(n), layout.word())?;
    }
    for (n, s) in (0..layout.selectors).zip(&mut state.selectors) {
        *s = read(layout.selector(n), 2)? as u16;
    }
    Ok(state)
}

/// Leaves the old task and makes the new one's registers visible. Everything was probed.
fn commit(
    cpu: &mut Cpu,
    bus: &mut Bus,
    before: u16,
    p: &Prepared,
    (eip, flags): (u32, u32),
) -> Result<(), Flow> {
    let old = Layout::of(cpu.tr.attr);
    let link = cpu.tr.selector;
    if let Some(d) = &p.leaves {
        descriptor::mark_busy(cpu, bus, before, d, false)?;
    }
    let base = cpu.tr.base;
    let mut write = |cpu: &mut Cpu, at: u32, size: u32, v: u32| {
        cpu.write_linear(bus, before, base.wrapping_add(at), size, v, Privilege::Supervisor)
    };
    write(cpu, old.register(0), old.word(), eip)?;
    write(cpu, old.register(1), old.word(), flags)?;
    for n in 0..8 {
        let v = cpu.regs[n as usize];
        write(cpu, old.register(2 + n), old.word(), v)?;
    }
    for n in 0..old.selectors {
        let v = cpu.seg[n as usize].selector;
        write(cpu, old.selector(n), 2, u32::from(v))?;
    }
    if p.cause.nests() {
        cpu.write_linear(bus, before, p.descriptor.base(), 2, u32::from(link), Privilege::Supervisor)?;
    }
    if p.cause != Cause::Return {
        descriptor::mark_busy(cpu, bus, before, &p.descriptor, true)?;
    }

    // The new task begins here.
    let words = 10 + old.selectors + 12 + p.layout.selectors;
    let c = &cpu.costs;
    let cost =
        [c.far, 7 * c.segment, words * c.load.max(c.store)].iter().fold(0u32, |a, b| a.saturating_add(*b));
    cpu.charge(if p.cause == Cause::Event { Kind::Interrupt } else { Kind::System }, cost);
    let now = cpu.clock + u64::from(before);
    cpu.tr = p.descriptor.segment(p.selector);
    cpu.tr.attr |= 2;
    cpu.cr0 |= cr0::TS;
    cpu.dr[7] &= !dr7::LOCAL;
    cpu.shadow = false;
    let s = &p.state;
    cpu.eip = s.eip;
    for (r, v) in cpu.regs.iter_mut().zip(s.registers) {
        *r = if p.layout.wide { v } else { *r & 0xffff_0000 | v };
    }
    cpu.flags.set(s.flags | if p.cause.nests() { NT } else { 0 });
    let v86 = cpu.v86();
    for (n, selector) in (0..).zip(s.selectors) {
        let segment =
            if v86 { descriptor::v86_segment(selector) } else { descriptor::null_segment(selector) };
        cpu.set_segment(n, segment);
    }
    cpu.ldtr = descriptor::null_segment(s.ldt);
    let level = if v86 { 3 } else { (s.selectors[usize::from(CS)] & 3) as u8 };
    cpu.set_cpl(level, now);
    cpu.flags_loaded();
    cpu.review_interrupts(bus, now);
    Ok(())
}

/// Loads what the visible state of the new task names: its address space, LDT and segments. Faults are the new task's.
fn enter(cpu: &mut Cpu, bus: &mut Bus, before: u16, p: &Prepared, code: Option<u32>) -> Result<(), Flow> {
    if let Some(cr3) = p.state.cr3
        && cpu.cr0 & cr0::PG != 0
        && cr3 != cpu.cr3
    {
        system::load_cr3(cpu, bus, before, cr3)?;
    }
    load_ldt(cpu, bus, before, p.state.ldt)?;
    if cpu.flags.rest & VM == 0 {
        let s = &p.state.selectors;
        let cs = load_code(cpu, bus, before, s[usize::from(CS)])?;
        cpu.set_segment(CS, cs);
        let cpl = cpu.cpl;
        let ss = descriptor::load_stack(cpu, bus, before, s[usize::from(SS)], cpl, vector::TS)?;
        cpu.set_segment(SS, ss);
        for (n, selector) in (0..).zip(*s).filter(|(n, _)| ![CS, SS].contains(n)) {
            let segment = descriptor::load_data(cpu, bus, before, selector, vector::TS)?;
            cpu.set_segment(n, segment);
        }
    }
    if let Some(code) = code {
        let width = Width::of(p.layout.wide);
        cpu.regs[4] = Stack::current(cpu).push_all(cpu, bus, before, width, &[code])?;
    }
    if p.state.trap {
        cpu.pend_debug(dr6::BT);
    }
    Ok(())
}

fn load_ldt(cpu: &mut Cpu, bus: &mut Bus, before: u16, selector: u16) -> Result<(), Flow> {
    if descriptor::is_null(selector) {
        return Ok(());
    }
    match descriptor::read(cpu, bus, before, selector)? {
        Some(d) if selector & 4 == 0 && d.system_type() == Some(system_type::LDT) && d.present() => {
            cpu.ldtr = d.segment(selector);
            Ok(())
        }
        _ => cpu.raise(selector_fault(vector::TS, selector)),
    }
}

/// CS, whose RPL is the privilege level of the new task.
fn load_code(cpu: &mut Cpu, bus: &mut Bus, before: u16, selector: u16) -> Result<Segment, Flow> {
    let rpl = (selector & 3) as u8;
    let found =
        if descriptor::is_null(selector) { None } else { descriptor::read(cpu, bus, before, selector)? };
    let d = match found {
        Some(d) if d.is_code() && (d.dpl() == rpl || d.is_conforming() && d.dpl() < rpl) => d,
        _ => return cpu.raise(selector_fault(vector::TS, selector)),
    };
    if !d.present() {
        return cpu.raise(np(selector));
    }
    descriptor::mark_accessed(cpu, bus, before, &d)?;
    let mut cs = d.segment(selector);
    cs.attr |= attr::ACCESSED;
    Ok(cs)
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
