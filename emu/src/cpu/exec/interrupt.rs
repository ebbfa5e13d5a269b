//! Interrupts and exceptions: delivery through the IDT.
//!
//! Gates of 16 and 32 bits, ring changes through the stacks of the TSS, task gates
//! (`task.rs`), error codes, double faults, and the vector table of real mode. Nothing of the
//! processor's state changes before the whole frame has been written; a fault in
//! delivery therefore finds the state of the first event, or that of the new task.
//! (SDM vol. 3A, "Interrupt and Exception Handling"; vol. 2, `INT n`.)

use super::descriptor::{self, Descriptor, Stack, Width, system_type};
use super::task;
use crate::bus::Bus;
use crate::cpu::debug::dr7;
use crate::cpu::exception::{Class, Exception, vector};
use crate::cpu::flags::{AC, IF, IOPL, NT, RF, TF, VM};
use crate::cpu::op::{CS, DS, ES, FS, Flow, GS, Op, SS, Step};
use crate::cpu::segment::Segment;
use crate::cpu::{Cpu, Request, State};
use crate::ledger::Kind;
use crate::observe::{Wanted, What};
use crate::stop::Stop;

/// Where an event comes from: decides privilege checks, the EXT bit and the saved flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// An interrupt from outside, or an NMI.
    External,
    /// An exception: EXT is set in the error codes of faults met while it is delivered.
    Exception(Class),
    /// `int n`: the gate's DPL and, in virtual-8086 mode, IOPL are checked.
    IntN,
    /// `int3` and `into`: the gate's DPL is checked.
    Trap,
    /// `int1`: a debug trap that software asks for; nothing is checked.
    Icebp,
}

/// An event to deliver.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    vector: u8,
    code: Option<u32>,
    source: Source,
    /// EIP to save.
    eip: u32,
    /// It names an instruction that is begun again: RF is saved, so that it meets no breakpoint another time.
    restarts: bool,
    /// Static cost of the block up to here.
    before: u16,
}

/// What the IDT has for a vector, checked.
enum Entry {
    /// An interrupt or trap gate.
    Gate(Gate),
    /// A task gate.
    Task(Descriptor),
}

struct Gate {
    code: Descriptor,
    selector: u16,
    offset: u32,
    width: Width,
    clears_if: bool,
}

/// Delivers an exception met by the instruction at `cpu.eip` (or, for a trap, just before it), double
/// and triple faults included. `Err` when the run must end: a triple fault.
pub fn deliver_exception(cpu: &mut Cpu, bus: &mut Bus, e: Exception) -> Result<(), Request> {
    deliver_within(cpu, bus, e, 0)
}

/// The same inside a block whose operations so far cost `before`.
pub(super) fn deliver_within(cpu: &mut Cpu, bus: &mut Bus, e: Exception, before: u16) -> Result<(), Request> {
    deliver(cpu, bus, e, Source::Exception(e.class), before)
}

/// Delivers an external interrupt (or an NMI) between two instructions.
pub fn deliver_interrupt(cpu: &mut Cpu, bus: &mut Bus, vector: u8) -> Result<(), Request> {
    let e = Exception { vector, code: None, class: Class::Trap };
    deliver(cpu, bus, e, Source::External, 0)
}

fn deliver(
    cpu: &mut Cpu,
    bus: &mut Bus,
    first: Exception,
    source: Source,
    before: u16,
) -> Result<(), Request> {
    cpu.drop_debug();
    // Between blocks the clock is exact: accesses need not ask for careful mode.
    let careful = std::mem::replace(&mut cpu.careful, true);
    let result = bus.at_once(|bus| {
        deliver_chain(cpu, bus, first, source, before)?;
        // A task gate may lead to a task that asks for a debug trap.
        while let Some(trap) = cpu.take_debug_trap() {
            deliver_chain(cpu, bus, trap, Source::Exception(trap.class), before)?;
        }
        Ok(())
    });
    cpu.careful = careful;
    result
}

fn deliver_chain(
    cpu: &mut Cpu,
    bus: &mut Bus,
    first: Exception,
    source: Source,
    before: u16,
) -> Result<(), Request> {
    let mut e = first;
    let mut source = source;
    // After some elements of a repeated string instruction the rest is still to come.
    let unfinished = cpu.repeated_at == cpu.clock;
    // A chain is at most: benign, contributory or page fault, page fault, double fault, triple fault.
    for _ in 0..8 {
        let restarts = match source {
            Source::Exception(Class::Fault) => true,
            Source::External | Source::Exception(Class::Trap) => unfinished,
            _ => false,
        };
        let d = Delivery { vector: e.vector, code: e.code, source, eip: cpu.eip, restarts, before };
        match enter(cpu, bus, &d) {
            Ok(()) => {
                if source == Source::External {
                    cpu.count.interrupts += 1;
                } else {
                    count_exception(cpu, e.vector);
                }
                return Ok(());
            }
            Err(Flow::Request) => return Err(cpu.request.take().unwrap_or(Request::Look)),
            Err(_) => {
                let second = cpu.fault.take().unwrap_or(Exception::GP0);
                let earlier = if source == Source::External { None } else { Some(e) };
                match combine(earlier, second) {
                    Some(next) => e = next,
                    None => break,
                }
                source = Source::Exception(Class::Fault);
            }
        }
    }
    cpu.state = State::Shutdown;
    Err(Request::Stop(Stop::TripleFault { cpu: cpu.id }))
}

fn count_exception(cpu: &mut Cpu, vector: u8) {
    cpu.count.exceptions += 1;
    if vector == vector::PF {
        cpu.count.page_faults += 1;
    }
}

/// How exceptions combine (SDM vol. 3A, table "Conditions for Generating a Double Fault").
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Benign,
    Contributory,
    PageFault,
    DoubleFault,
}

fn group(v: u8) -> Group {
    match v {
        vector::DE | vector::TS | vector::NP | vector::SS | vector::GP => Group::Contributory,
        vector::PF => Group::PageFault,
        vector::DF => Group::DoubleFault,
        _ => Group::Benign,
    }
}

/// What is delivered when `second` arises while `first` is delivered (`None`: an external interrupt);
/// `None` is the triple fault.
fn combine(first: Option<Exception>, second: Exception) -> Option<Exception> {
    let first = first.map_or(Group::Benign, |e| group(e.vector));
    match (first, group(second.vector)) {
        (Group::DoubleFault, Group::Benign) | (Group::Benign, _) | (_, Group::Benign) => Some(second),
        (Group::DoubleFault, _) => None,
        (Group::Contributory, Group::PageFault) => Some(second),
        _ => Some(Exception::with_code(vector::DF, 0)),
    }
}

/// Delivers one event; on a fault nothing has changed.
fn enter(cpu: &mut Cpu, bus: &mut Bus, d: &Delivery) -> Result<(), Flow> {
    // The event is the acceptance: the cost of the entry comes after it.
    let now = cpu.clock + u64::from(d.before);
    cpu.debug.delivering = true;
    let result = if cpu.protected() { protected(cpu, bus, d) } else { real(cpu, bus, d) };
    cpu.debug.delivering = false;
    match result {
        Ok(()) => {
            cpu.shadow = false;
            if d.vector == vector::DB && !matches!(d.source, Source::External | Source::IntN) {
                // The handler may touch the debug registers.
                cpu.dr[7] &= !dr7::GD;
            }
            bus.events.push(Wanted::INTERRUPTS, cpu.id, now, What::Interrupt(d.vector));
            cpu.review_interrupts(bus, now);
        }
        Err(Flow::Fault) => {
            let ext = matches!(d.source, Source::External | Source::Exception(_) | Source::Icebp);
            if let Some(f) = &mut cpu.fault
                && ext
                && matches!(f.vector, vector::TS | vector::NP | vector::SS | vector::GP)
            {
                f.code = f.code.map(|c| c | 1);
            }
        }
        Err(_) => {}
    }
    result
}

/// Flags as saved. An instruction that interrupts has cleared RF at its start (SDM vol. 3B, "Instruction-Breakpoint
/// Exception Condition").
fn saved_flags(cpu: &Cpu, d: &Delivery) -> u32 {
    let flags = cpu.flags.get();
    match d.source {
        Source::IntN | Source::Trap | Source::Icebp => flags & !RF,
        Source::External | Source::Exception(_) if d.restarts => flags | RF,
        Source::External | Source::Exception(_) => flags,
    }
}

fn real(cpu: &mut Cpu, bus: &mut Bus, d: &Delivery) -> Result<(), Flow> {
    let entry = u32::from(d.vector) * 4;
    if entry + 3 > u32::from(cpu.idtr.limit) {
        return cpu.raise(Exception::GP0);
    }
    let at = cpu.idtr.base.wrapping_add(entry);
    let privilege = cpu.privilege();
    let target = cpu.read_linear(bus, d.before, at, 4, privilege)?;
    let stack = Stack::current(cpu);
    let frame = [cpu.flags.get(), u32::from(cpu.seg[usize::from(CS)].selector), d.eip];
    let esp = stack.push_all(cpu, bus, d.before, Width::W16, &frame)?;
    cpu.regs[4] = esp;
    let cs = descriptor::real_segment(cpu, CS, (target >> 16) as u16);
    cpu.set_segment(CS, cs);
    cpu.eip = target & 0xffff;
    cpu.flags.rest &= !(IF | TF | AC | RF);
    cpu.charge(Kind::Interrupt, cpu.costs.interrupt_entry_same);
    Ok(())
}

/// Error code that names a gate of the IDT.
fn idt_code(vector: u8) -> u32 {
    u32::from(vector) * 8 + 2
}

fn find_gate(cpu: &mut Cpu, bus: &mut Bus, d: &Delivery) -> Result<Entry, Flow> {
    let code = idt_code(d.vector);
    let entry = u32::from(d.vector) * 8;
    if entry + 7 > u32::from(cpu.idtr.limit) {
        return cpu.raise(Exception::with_code(vector::GP, code));
    }
    let at = cpu.idtr.base.wrapping_add(entry);
    let supervisor = crate::mmu::Privilege::Supervisor;
    let low = cpu.read_linear(bus, d.before, at, 4, supervisor)?;
    let high = cpu.read_linear(bus, d.before, at.wrapping_add(4), 4, supervisor)?;
    let gate = Descriptor { at, low, high };
    let (width, clears_if) = match gate.system_type() {
        Some(system_type::INTERRUPT_GATE32) => (Width::W32, true),
        Some(system_type::TRAP_GATE32) => (Width::W32, false),
        Some(system_type::INTERRUPT_GATE16) => (Width::W16, true),
        Some(system_type::TRAP_GATE16) => (Width::W16, false),
        Some(system_type::TASK_GATE) => (Width::W32, false),
        _ => return cpu.raise(Exception::with_code(vector::GP, code)),
    };
    if matches!(d.source, Source::IntN | Source::Trap) && gate.dpl() < cpu.cpl {
        return cpu.raise(Exception::with_code(vector::GP, code));
    }
    if !gate.present() {
        return cpu.raise(Exception::with_code(vector::NP, code));
    }
    if gate.system_type() == Some(system_type::TASK_GATE) {
        return Ok(Entry::Task(gate));
    }
    let selector = gate.gate_selector();
    let target = descriptor::require(cpu, bus, d.before, selector)?;
    if !target.is_code() || target.dpl() > cpu.cpl {
        return cpu.raise(descriptor::gp(selector));
    }
    if !target.present() {
        return cpu.raise(descriptor::np(selector));
    }
    Ok(Entry::Gate(Gate { code: target, selector, offset: gate.gate_offset(), width, clears_if }))
}

/// Values to push, at most eleven.
struct Frame {
    values: [u32; 11],
    len: usize,
}

impl Frame {
    fn new() -> Frame {
        Frame { values: [0; 11], len: 0 }
    }

    fn add(&mut self, v: u32) {
        if let Some(slot) = self.values.get_mut(self.len) {
            *slot = v;
            self.len += 1;
        }
    }

    fn values(&self) -> &[u32] {
        self.values.get(..self.len).unwrap_or(&self.values)
    }
}

fn protected(cpu: &mut Cpu, bus: &mut Bus, d: &Delivery) -> Result<(), Flow> {
    let v86 = cpu.v86();
    if v86 && d.source == Source::IntN && cpu.flags.rest & IOPL != IOPL {
        return cpu.raise(Exception::GP0);
    }
    let gate = match find_gate(cpu, bus, d)? {
        Entry::Gate(gate) => gate,
        Entry::Task(gate) => {
            let flags = saved_flags(cpu, d);
            return task::event(cpu, bus, d.before, &gate, (d.eip, flags), d.code);
        }
    };
    let level = if gate.code.is_conforming() { cpu.cpl } else { gate.code.dpl() };
    if v86 && level != 0 {
        return cpu.raise(descriptor::gp(gate.selector));
    }
    let inner = level < cpu.cpl;
    let stack = if inner { Stack::inner(cpu, bus, d.before, level)? } else { Stack::current(cpu) };
    let selector = |n: u8| u32::from(cpu.seg[usize::from(n & 7)].selector);

    let mut frame = Frame::new();
    if v86 {
        for n in [GS, FS, DS, ES] {
            frame.add(selector(n));
        }
    }
    if inner {
        frame.add(selector(SS));
        frame.add(cpu.regs[4]);
    }
    frame.add(saved_flags(cpu, d));
    frame.add(selector(CS));
    frame.add(d.eip);
    if let Some(code) = d.code {
        frame.add(code);
    }
    // The manual's order: room on the stack, the limit of the code segment, then the pushes.
    stack.require_room(cpu, gate.width, frame.values().len())?;
    if gate.offset > gate.code.limit() {
        return cpu.raise(Exception::GP0);
    }
    let esp = stack.push_all(cpu, bus, d.before, gate.width, frame.values())?;
    descriptor::mark_accessed(cpu, bus, d.before, &gate.code)?;

    // Nothing can fault from here on.
    if inner {
        let now = cpu.clock + u64::from(d.before);
        cpu.set_cpl(level, now);
        cpu.set_segment(SS, stack.ss);
    }
    cpu.regs[4] = esp;
    cpu.set_segment(CS, gate.code.segment(gate.selector & !3 | u16::from(level)));
    cpu.eip = gate.offset;
    if v86 {
        for n in [DS, ES, FS, GS] {
            cpu.set_segment(n, descriptor::null_segment(0));
        }
    }
    cpu.flags.rest &= !(TF | NT | VM | RF);
    if gate.clears_if {
        cpu.flags.rest &= !IF;
    }
    let cost = if inner { cpu.costs.interrupt_entry } else { cpu.costs.interrupt_entry_same };
    cpu.charge(Kind::Interrupt, cost);
    Ok(())
}

fn software(cpu: &mut Cpu, bus: &mut Bus, op: &Op, vector: u8, source: Source) -> Step {
    let d =
        Delivery { vector, code: None, source, eip: cpu.next_eip(op), restarts: false, before: op.before };
    cpu.drop_debug();
    let task = cpu.tr.selector;
    match enter(cpu, bus, &d) {
        // A new task that cannot begin: the fault is at its first instruction, not at this one.
        Err(Flow::Fault) if cpu.tr.selector != task => {
            let e = cpu.fault.take().unwrap_or(Exception::GP0);
            deliver_within(cpu, bus, e, op.before).map_err(|r| {
                cpu.request = Some(r);
                Flow::Request
            })?;
        }
        result => result?,
    }
    // `int n` is a call, counted neither as an interrupt nor as an exception.
    if source != Source::IntN {
        count_exception(cpu, vector);
    }
    Err(Flow::Branch)
}

/// `int n`.
pub fn int_n(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    software(cpu, bus, op, op.imm as u8, Source::IntN)
}

/// `int3`.
pub fn int3(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    software(cpu, bus, op, vector::BP, Source::Trap)
}

/// `into`: #OF if the overflow flag is set.
pub fn into(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if cpu.flags.of() {
        return software(cpu, bus, op, vector::OF, Source::Trap);
    }
    cpu.charge(Kind::System, cpu.costs.alu);
    cpu.end_block(op)
}

/// `int1` (`icebp`): #DB.
pub fn int1(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    software(cpu, bus, op, vector::DB, Source::Icebp)
}

/// Makes data segments that code at the (already lowered) privilege level may not use unusable.
pub(super) fn null_forbidden_segments(cpu: &mut Cpu) {
    use crate::cpu::segment::attr;
    for n in [ES, DS, FS, GS] {
        let s: Segment = cpu.seg[usize::from(n)];
        let conforming = attr::CODE | attr::DOWN_OR_CONFORMING;
        // Null selectors, too, lose their RPL: what they left in the register has DPL 0.
        if s.dpl() < cpu.cpl && s.attr & conforming != conforming {
            cpu.set_segment(n, descriptor::null_segment(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e(v: u8) -> Option<Exception> {
        Some(Exception::plain(v))
    }

    fn result(first: u8, second: u8) -> Option<u8> {
        combine(e(first), Exception::plain(second)).map(|e| e.vector)
    }

    #[test]
    fn double_fault_table() {
        // SDM vol. 3A, table "Conditions for Generating a Double Fault".
        for first in [vector::DE, vector::TS, vector::NP, vector::SS, vector::GP] {
            assert_eq!(result(first, vector::GP), Some(vector::DF));
            assert_eq!(result(first, vector::PF), Some(vector::PF));
            assert_eq!(result(first, vector::UD), Some(vector::UD));
        }
        for second in [vector::TS, vector::NP, vector::SS, vector::GP, vector::PF] {
            assert_eq!(result(vector::PF, second), Some(vector::DF));
            assert_eq!(result(vector::UD, second), Some(second));
            assert_eq!(result(vector::BP, second), Some(second));
            assert_eq!(result(vector::DF, second), None, "triple fault");
            assert_eq!(combine(None, Exception::plain(second)).map(|e| e.vector), Some(second));
        }
    }

    #[test]
    fn an_interrupt_with_a_contributory_vector_number_is_benign() {
        // An external interrupt through vector 13 is no #GP.
        let e = combine(None, Exception::plain(vector::NP));
        assert_eq!(e.map(|e| e.vector), Some(vector::NP));
    }

    #[test]
    fn frame_keeps_order_and_never_overflows() {
        let mut f = Frame::new();
        (0..20).for_each(|i| f.add(i));
        assert_eq!(f.values(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod transfer_tests;
