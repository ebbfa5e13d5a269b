//! Transfers between segments: far `jmp`, `call` and `ret`, `iret`, `sysenter`
//! and `sysexit`.
//!
//! In real, virtual-8086 and protected mode: conforming and other code segments,
//! call gates of 16 and 32 bits with their stack switch, returns to outer levels,
//! `iret` to virtual-8086 mode. Hardware task switches are in `task.rs`.
//! (SDM vol. 2, `JMP`, `CALL`, `RET`, `IRET`; vol. 3A, "Privilege Level Checking When
//! Transferring Program Control Between Code Segments".)

use super::descriptor::{self, Descriptor, Stack, Width, gp, np, system_type};
use super::interrupt::null_forbidden_segments;
use super::task::{self, Cause};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::flags::{AC, ARITH, DF, ID, IF, IOPL, NT, RF, TF, VIF, VIP, VM};
use crate::cpu::op::{CS, DS, ES, FS, Flow, GS, Op, SS, Step};
use crate::cpu::segment::{Segment, attr};
use crate::cpu::word::Word;
use crate::ledger::Kind;

fn width(op: &Op) -> Width {
    Width::of(op.bits & Op::OP16 == 0)
}

/// Offset and selector of a far pointer in memory.
fn pointer(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<(u16, u32), Flow> {
    let ea = op.ea(cpu);
    let w = width(op);
    let offset = match w {
        Width::W16 => cpu.load_at::<u16>(bus, op, op.seg, ea)?.to_u32(),
        Width::W32 => cpu.load_at::<u32>(bus, op, op.seg, ea)?,
    };
    let selector: u16 = cpu.load_at(bus, op, op.seg, ea.wrapping_add(w.bytes()) & op.mask)?;
    Ok((selector, offset))
}

fn immediate(op: &Op) -> (u16, u32) {
    (op.disp as u16, op.imm & width(op).mask())
}

/// `jmp ptr16:16`, `jmp ptr16:32`.
pub fn jmp_far_ptr(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let (selector, offset) = immediate(op);
    jump(cpu, bus, op, selector, offset)?;
    Err(Flow::Branch)
}

/// `jmp m16:16`, `jmp m16:32`.
pub fn jmp_far_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let (selector, offset) = pointer(cpu, bus, op)?;
    jump(cpu, bus, op, selector, offset)?;
    Err(Flow::Branch)
}

/// `call ptr16:16`, `call ptr16:32`.
pub fn call_far_ptr(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let (selector, offset) = immediate(op);
    call(cpu, bus, op, selector, offset)?;
    Err(Flow::Branch)
}

/// `call m16:16`, `call m16:32`.
pub fn call_far_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let (selector, offset) = pointer(cpu, bus, op)?;
    call(cpu, bus, op, selector, offset)?;
    Err(Flow::Branch)
}

/// A far transfer into real-mode segments: CS and EIP, checked against the limit that CS will have.
fn real_target(cpu: &mut Cpu, selector: u16, offset: u32) -> Result<Segment, Flow> {
    let cs = descriptor::real_segment(cpu, CS, selector);
    if offset > cs.limit {
        return cpu.raise(Exception::GP0);
    }
    Ok(cs)
}

/// What a far jump or call goes to. Offsets are not checked yet: a call checks its stack first.
enum Target {
    /// A code segment, checked, and an offset.
    Code(Descriptor, u32),
    /// A call gate, checked: its code segment and selector, offset, width, parameter count.
    Gate { code: Descriptor, selector: u16, offset: u32, width: Width, parameters: u32 },
    /// A task gate or an available TSS, whose rights are checked.
    Task(Descriptor),
}

/// Is the transfer a jump or a call? Only calls may reach inner levels through a gate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Jump,
    Call,
}

fn target(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    selector: u16,
    offset: u32,
    how: How,
) -> Result<Target, Flow> {
    let d = descriptor::require(cpu, bus, op.before, selector)?;
    let (cpl, rpl) = (cpu.cpl, (selector & 3) as u8);
    if d.is_code() {
        let allowed = if d.is_conforming() { d.dpl() <= cpl } else { rpl <= cpl && d.dpl() == cpl };
        if !allowed {
            return cpu.raise(gp(selector));
        }
        if !d.present() {
            return cpu.raise(np(selector));
        }
        return Ok(Target::Code(d, offset));
    }
    let width = match d.system_type() {
        Some(system_type::CALL_GATE16) => Width::W16,
        Some(system_type::CALL_GATE32) => Width::W32,
        Some(system_type::TASK_GATE | system_type::TSS16 | system_type::TSS32) => {
            if d.dpl() < cpl || d.dpl() < rpl {
                return cpu.raise(gp(selector));
            }
            return Ok(Target::Task(d));
        }
        _ => return cpu.raise(gp(selector)),
    };
    if d.dpl() < cpl || d.dpl() < rpl {
        return cpu.raise(gp(selector));
    }
    if !d.present() {
        return cpu.raise(np(selector));
    }
    let inside = d.gate_selector();
    let code = descriptor::require(cpu, bus, op.before, inside)?;
    let allowed = code.is_code()
        && match how {
            How::Jump if !code.is_conforming() => code.dpl() == cpl,
            _ => code.dpl() <= cpl,
        };
    if !allowed {
        return cpu.raise(gp(inside));
    }
    if !code.present() {
        return cpu.raise(np(inside));
    }
    let parameters = d.high & 31;
    Ok(Target::Gate { code, selector: inside, offset: d.gate_offset(), width, parameters })
}

/// #GP(0) if code at this offset would lie beyond the limit of its segment.
fn require_within(cpu: &mut Cpu, d: &Descriptor, offset: u32) -> Result<(), Flow> {
    if offset > d.limit() {
        return cpu.raise(Exception::GP0);
    }
    Ok(())
}

/// CS for code at privilege level `cpl`.
fn code_segment(d: &Descriptor, selector: u16, cpl: u8) -> Segment {
    d.segment(selector & !3 | u16::from(cpl))
}

fn jump(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16, offset: u32) -> Result<(), Flow> {
    let (cs, eip) = if cpu.real_segments() {
        (real_target(cpu, selector, offset)?, offset)
    } else {
        let (d, selector, offset) = match target(cpu, bus, op, selector, offset, How::Jump)? {
            Target::Code(d, offset) => (d, selector, offset),
            Target::Gate { code, selector, offset, .. } => (code, selector, offset),
            Target::Task(d) => return task::far(cpu, bus, op, selector, &d, Cause::Jump),
        };
        require_within(cpu, &d, offset)?;
        descriptor::mark_accessed(cpu, bus, op.before, &d)?;
        (code_segment(&d, selector, cpu.cpl), offset)
    };
    cpu.set_segment(CS, cs);
    cpu.eip = eip;
    cpu.charge(Kind::System, cpu.costs.far);
    Ok(())
}

/// Pushes the return address of a far call that stays at its level. The manual's order: room on the stack, the
/// limit of the code segment, then the pushes.
fn push_return(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    width: Width,
    code: &Descriptor,
    offset: u32,
) -> Result<u32, Flow> {
    let back = [u32::from(cpu.seg[usize::from(CS)].selector), cpu.next_eip(op)];
    let stack = Stack::current(cpu);
    stack.require_room(cpu, width, back.len())?;
    require_within(cpu, code, offset)?;
    let esp = stack.push_all(cpu, bus, op.before, width, &back)?;
    descriptor::mark_accessed(cpu, bus, op.before, code)?;
    Ok(esp)
}

fn call(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16, offset: u32) -> Result<(), Flow> {
    let (cs, eip, esp) = if cpu.real_segments() {
        let back = [u32::from(cpu.seg[usize::from(CS)].selector), cpu.next_eip(op)];
        let stack = Stack::current(cpu);
        stack.require_room(cpu, width(op), back.len())?;
        let cs = real_target(cpu, selector, offset)?;
        let esp = stack.push_all(cpu, bus, op.before, width(op), &back)?;
        (cs, offset, esp)
    } else {
        match target(cpu, bus, op, selector, offset, How::Call)? {
            Target::Code(d, offset) => {
                let esp = push_return(cpu, bus, op, width(op), &d, offset)?;
                (code_segment(&d, selector, cpu.cpl), offset, esp)
            }
            Target::Gate { code, selector, offset, width, parameters } => {
                if !code.is_conforming() && code.dpl() < cpu.cpl {
                    return call_inner(cpu, bus, op, &code, selector, offset, width, parameters);
                }
                let esp = push_return(cpu, bus, op, width, &code, offset)?;
                (code_segment(&code, selector, cpu.cpl), offset, esp)
            }
            Target::Task(d) => return task::far(cpu, bus, op, selector, &d, Cause::Call),
        }
    };
    cpu.regs[4] = esp;
    cpu.set_segment(CS, cs);
    cpu.eip = eip;
    cpu.charge(Kind::System, cpu.costs.far);
    Ok(())
}

/// A call through a gate to an inner level: new stack, old SS:ESP, parameters, return address.
#[allow(clippy::too_many_arguments)]
fn call_inner(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    code: &Descriptor,
    selector: u16,
    offset: u32,
    width: Width,
    parameters: u32,
) -> Result<(), Flow> {
    let level = code.dpl();
    let stack = Stack::inner(cpu, bus, op.before, level)?;
    // SS, ESP, the parameters, CS and EIP.
    stack.require_room(cpu, width, 4 + parameters as usize)?;
    require_within(cpu, code, offset)?;
    let mut frame = Vec::with_capacity(35);
    frame.push(u32::from(cpu.seg[usize::from(SS)].selector));
    frame.push(cpu.regs[4]);
    for i in (0..parameters).rev() {
        frame.push(peek_stack(cpu, bus, op, width, i * width.bytes())?);
    }
    frame.push(u32::from(cpu.seg[usize::from(CS)].selector));
    frame.push(cpu.next_eip(op));
    let esp = stack.push_all(cpu, bus, op.before, width, &frame)?;
    descriptor::mark_accessed(cpu, bus, op.before, code)?;

    let now = cpu.now(op);
    cpu.set_cpl(level, now);
    cpu.set_segment(SS, stack.ss);
    cpu.regs[4] = esp;
    cpu.set_segment(CS, code_segment(code, selector, level));
    cpu.eip = offset;
    cpu.charge(Kind::System, cpu.costs.interrupt_entry);
    cpu.review_interrupts_after(bus, op);
    Ok(())
}

/// The value `offset` bytes above the top of the stack.
fn peek_stack(cpu: &mut Cpu, bus: &mut Bus, op: &Op, width: Width, offset: u32) -> Result<u32, Flow> {
    let at = cpu.regs[4].wrapping_add(offset) & cpu.stack_mask();
    match width {
        Width::W16 => cpu.load_at::<u16>(bus, op, SS, at).map(u32::from),
        Width::W32 => cpu.load_at::<u32>(bus, op, SS, at),
    }
}

/// ESP after releasing `bytes` from a stack with this segment.
fn released(ss: &Segment, esp: u32, bytes: u32) -> u32 {
    let mask = if ss.big() { u32::MAX } else { 0xffff };
    esp & !mask | esp.wrapping_add(bytes) & mask
}

/// Checks CS for a return to the level in its RPL, which is not an inner one. [`enter_code`] follows when the new
/// stack has been checked.
fn return_code(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16) -> Result<Descriptor, Flow> {
    let rpl = (selector & 3) as u8;
    let d = descriptor::require(cpu, bus, op.before, selector)?;
    let level = if d.is_conforming() { d.dpl() <= rpl } else { d.dpl() == rpl };
    if rpl < cpu.cpl || !d.is_code() || !level {
        return cpu.raise(gp(selector));
    }
    if !d.present() {
        return cpu.raise(np(selector));
    }
    Ok(d)
}

/// CS from a checked descriptor, which becomes accessed, if EIP lies in it.
fn enter_code(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    d: &Descriptor,
    selector: u16,
    eip: u32,
) -> Result<Segment, Flow> {
    if eip > d.limit() {
        return cpu.raise(Exception::GP0);
    }
    descriptor::mark_accessed(cpu, bus, op.before, d)?;
    Ok(d.segment(selector))
}

/// The part of a return to an outer level that is common to `retf` and `iret`: SS:ESP found `at` bytes above
/// the top of the stack. Gives the new CS, SS and ESP. All is checked before a descriptor becomes accessed.
fn outer(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    (code, selector, eip): (&Descriptor, u16, u32),
    at: u32,
) -> Result<(Segment, Segment, u32), Flow> {
    let w = width(op);
    let esp = peek_stack(cpu, bus, op, w, at)?;
    let ss = peek_stack(cpu, bus, op, w, at.wrapping_add(w.bytes()))? as u16;
    let stack = descriptor::check_stack(cpu, bus, op.before, ss, (selector & 3) as u8, vector::GP)?;
    let cs = enter_code(cpu, bus, op, code, selector, eip)?;
    descriptor::mark_accessed(cpu, bus, op.before, &stack)?;
    Ok((cs, stack.segment(ss), esp))
}

/// ESP after a return has replaced it: a 16-bit stack keeps the high half.
fn new_esp(cpu: &Cpu, ss: &Segment, esp: u32) -> u32 {
    if ss.big() { esp } else { cpu.regs[4] & 0xffff_0000 | esp & 0xffff }
}

/// Commits a return to an outer level.
fn commit_outer(cpu: &mut Cpu, op: &Op, cs: Segment, eip: u32, ss: Segment, esp: u32) {
    cpu.set_segment(CS, cs);
    cpu.set_segment(SS, ss);
    cpu.regs[4] = esp;
    cpu.eip = eip;
    let now = cpu.now(op);
    cpu.set_cpl((cs.selector & 3) as u8, now);
    null_forbidden_segments(cpu);
}

/// `retf`, `retf imm16`.
pub fn retf(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let w = width(op);
    let eip = peek_stack(cpu, bus, op, w, 0)?;
    let selector = peek_stack(cpu, bus, op, w, w.bytes())? as u16;
    let release = 2 * w.bytes() + (op.imm & 0xffff);
    if cpu.real_segments() {
        let cs = real_target(cpu, selector, eip)?;
        cpu.regs[4] = released(&cpu.seg[usize::from(SS)], cpu.regs[4], release);
        cpu.set_segment(CS, cs);
        cpu.eip = eip;
        cpu.charge(Kind::System, cpu.costs.far);
        return Err(Flow::Branch);
    }
    let code = return_code(cpu, bus, op, selector)?;
    let level = (selector & 3) as u8;
    if level == cpu.cpl {
        let cs = enter_code(cpu, bus, op, &code, selector, eip)?;
        cpu.regs[4] = released(&cpu.seg[usize::from(SS)], cpu.regs[4], release);
        cpu.set_segment(CS, cs);
        cpu.eip = eip;
        cpu.charge(Kind::System, cpu.costs.far);
        return Err(Flow::Branch);
    }
    let (cs, ss, esp) = outer(cpu, bus, op, (&code, selector, eip), release)?;
    let esp = released(&ss, new_esp(cpu, &ss, esp), op.imm & 0xffff);
    cpu.charge(Kind::System, cpu.costs.interrupt_return);
    commit_outer(cpu, op, cs, eip, ss, esp);
    cpu.review_interrupts_after(bus, op);
    Err(Flow::Branch)
}

/// Flags that `iret` of this width may change at privilege level `cpl` under the current IOPL.
fn iret_mask(w: Width, cpl: u8, iopl: u8) -> u32 {
    let mut mask = ARITH | TF | DF | NT;
    if w == Width::W32 {
        mask |= RF | AC | ID;
    }
    if cpl <= iopl {
        mask |= IF;
    }
    if cpl == 0 {
        mask |= IOPL;
        if w == Width::W32 {
            mask |= VIF | VIP;
        }
    }
    mask
}

fn iopl(cpu: &Cpu) -> u8 {
    ((cpu.flags.rest & IOPL) >> 12) as u8
}

fn set_flags(cpu: &mut Cpu, image: u32, mask: u32) {
    let v = cpu.flags.get() & !mask | image & mask;
    cpu.flags.set(v);
    cpu.flags_loaded();
}

/// `iret`, `iretd`: also lets the next NMI come, even when it faults.
pub fn iret(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let result = interrupt_return(cpu, bus, op);
    if cpu.nmi_blocked && matches!(result, Err(Flow::Branch | Flow::Fault)) {
        cpu.unblock_nmi();
    }
    if result == Err(Flow::Branch) {
        cpu.review_interrupts_after(bus, op);
    }
    result
}

fn interrupt_return(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if cpu.v86() && iopl(cpu) < 3 {
        return cpu.raise(Exception::GP0);
    }
    if !cpu.real_segments() && cpu.flags.rest & NT != 0 {
        task::back(cpu, bus, op)?;
        return Err(Flow::Branch);
    }
    let w = width(op);
    let n = w.bytes();
    let eip = peek_stack(cpu, bus, op, w, 0)?;
    let selector = peek_stack(cpu, bus, op, w, n)? as u16;
    let image = peek_stack(cpu, bus, op, w, 2 * n)?;
    if cpu.real_segments() {
        let cs = real_target(cpu, selector, eip)?;
        // Virtual-8086 mode keeps IOPL and the virtual interrupt flags; real mode has level 0.
        let mask = if cpu.v86() { iret_mask(w, 3, 3) } else { iret_mask(w, 0, 0) & !(VIF | VIP) };
        cpu.regs[4] = released(&cpu.seg[usize::from(SS)], cpu.regs[4], 3 * n);
        set_flags(cpu, image, mask);
        cpu.set_segment(CS, cs);
        cpu.eip = eip;
        cpu.charge(Kind::Interrupt, cpu.costs.interrupt_return_same);
        return Err(Flow::Branch);
    }
    if w == Width::W32 && image & VM != 0 && cpu.cpl == 0 {
        return iret_to_v86(cpu, bus, op, eip, selector, image);
    }
    let code = return_code(cpu, bus, op, selector)?;
    let level = (selector & 3) as u8;
    let mask = iret_mask(w, cpu.cpl, iopl(cpu));
    if level == cpu.cpl {
        let cs = enter_code(cpu, bus, op, &code, selector, eip)?;
        cpu.regs[4] = released(&cpu.seg[usize::from(SS)], cpu.regs[4], 3 * n);
        set_flags(cpu, image, mask);
        cpu.set_segment(CS, cs);
        cpu.eip = eip;
        cpu.charge(Kind::Interrupt, cpu.costs.interrupt_return_same);
        return Err(Flow::Branch);
    }
    let (cs, ss, esp) = outer(cpu, bus, op, (&code, selector, eip), 3 * n)?;
    let esp = new_esp(cpu, &ss, esp);
    set_flags(cpu, image, mask);
    cpu.charge(Kind::Interrupt, cpu.costs.interrupt_return);
    commit_outer(cpu, op, cs, eip, ss, esp);
    Err(Flow::Branch)
}

fn iret_to_v86(cpu: &mut Cpu, bus: &mut Bus, op: &Op, eip: u32, selector: u16, image: u32) -> Step {
    if eip > 0xffff {
        return cpu.raise(Exception::GP0);
    }
    let mut words = [0; 6]; // ESP, SS, ES, DS, FS, GS
    for (i, v) in (3u32..).zip(words.iter_mut()) {
        *v = peek_stack(cpu, bus, op, Width::W32, i * 4)?;
    }
    let [esp, ss, es, ds, fs, gs] = words;
    cpu.flags.set(image);
    cpu.flags_loaded();
    for (n, s) in [(CS, u32::from(selector)), (SS, ss), (ES, es), (DS, ds), (FS, fs), (GS, gs)] {
        cpu.set_segment(n, descriptor::v86_segment(s as u16));
    }
    cpu.regs[4] = esp;
    cpu.eip = eip;
    cpu.charge(Kind::Interrupt, cpu.costs.interrupt_return);
    let now = cpu.now(op);
    cpu.set_cpl(3, now);
    Err(Flow::Branch)
}

/// A flat segment at privilege level `dpl`, as `sysenter` and `sysexit` load them.
fn flat(selector: u32, dpl: u16, kind: u16) -> Segment {
    Segment::flat(
        selector as u16,
        attr::PRESENT | attr::S | attr::RW | attr::ACCESSED | attr::BIG | kind | dpl << 5,
    )
}

/// `sysenter`: to ring 0 at the address in the MSRs.
pub fn sysenter(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let [cs, esp, eip] = cpu.msr.sysenter;
    if !cpu.protected() || cs & 0xfffc == 0 {
        return cpu.raise(Exception::GP0);
    }
    let now = cpu.now(op);
    cpu.set_cpl(0, now);
    cpu.flags.rest &= !(VM | IF | RF);
    cpu.set_segment(CS, flat(cs & 0xfffc, 0, attr::CODE));
    cpu.set_segment(SS, flat((cs & 0xfffc).wrapping_add(8), 0, 0));
    cpu.regs[4] = esp;
    cpu.eip = eip;
    cpu.charge(Kind::System, cpu.costs.far);
    cpu.review_interrupts_after(bus, op);
    Err(Flow::Branch)
}

/// `sysexit`: to ring 3 at EDX with the stack at ECX.
pub fn sysexit(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let cs = cpu.msr.sysenter[0] & 0xfffc;
    if !cpu.protected() || cs == 0 || cpu.cpl != 0 {
        return cpu.raise(Exception::GP0);
    }
    cpu.charge(Kind::System, cpu.costs.far);
    cpu.set_segment(CS, flat(cs.wrapping_add(16) | 3, 3, attr::CODE));
    cpu.set_segment(SS, flat(cs.wrapping_add(24) | 3, 3, 0));
    cpu.eip = cpu.regs[2];
    cpu.regs[4] = cpu.regs[1];
    let now = cpu.now(op);
    cpu.set_cpl(3, now);
    cpu.review_interrupts_after(bus, op);
    Err(Flow::Branch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iret_changes_if_only_within_iopl() {
        assert_eq!(iret_mask(Width::W32, 3, 0) & IF, 0);
        assert_eq!(iret_mask(Width::W32, 3, 3) & IF, IF);
        assert_eq!(iret_mask(Width::W32, 3, 3) & IOPL, 0);
        assert_eq!(iret_mask(Width::W32, 0, 0) & (IF | IOPL), IF | IOPL);
        assert_eq!(iret_mask(Width::W16, 0, 0) & (RF | VIP), 0);
    }

    #[test]
    fn sixteen_bit_stacks_wrap() {
        let small = Segment::real(0);
        assert_eq!(released(&small, 0x1234_fffe, 4), 0x1234_0002);
        let big = flat(8, 0, 0);
        assert_eq!(released(&big, 0x1234_fffe, 4), 0x1235_0002);
    }
}
