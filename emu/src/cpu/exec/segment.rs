//! Instructions on segment registers and on rights of segments.
//!
//! `mov`, `push`, `pop`, `lds` and kin, with the checks of protected mode;
//! `lar`, `lsl`, `verr`, `verw`, `arpl`. Loads of CS are in `far.rs`.
//! (SDM vol. 2, under each instruction; vol. 3A, "Protection".)

use super::descriptor::{self, Descriptor, system_type};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::flags::ZF;
use crate::cpu::op::{CS, Flow, Op, SS, Step};
use crate::cpu::segment::Segment;
use crate::cpu::word::Word;
use crate::ledger::Kind;

/// Checks a load of segment register `number` and gives its new content; nothing has changed yet.
fn check_load(cpu: &mut Cpu, bus: &mut Bus, op: &Op, number: u8, selector: u16) -> Result<Segment, Flow> {
    if number == CS || number > 5 {
        return cpu.raise(Exception::UD);
    }
    if cpu.real_segments() {
        return Ok(descriptor::real_segment(cpu, number, selector));
    }
    if number == SS {
        let cpl = cpu.cpl;
        return descriptor::load_stack(cpu, bus, op.before, selector, cpl, vector::GP);
    }
    descriptor::load_data(cpu, bus, op.before, selector, vector::GP)
}

/// Commits a load: charges it, and after a load of SS holds off interrupts and debug exceptions for one instruction.
fn commit_load(cpu: &mut Cpu, op: &Op, number: u8, segment: Segment) -> Step {
    let step = commit_free(cpu, op, number, segment);
    if number == SS {
        cpu.shadow = true;
        cpu.hold_debug();
    }
    step
}

/// Commits a load by an instruction that holds nothing off: `lss` loads ESP, too.
fn commit_free(cpu: &mut Cpu, op: &Op, number: u8, segment: Segment) -> Step {
    cpu.charge(Kind::System, cpu.costs.segment);
    cpu.set_segment(number, segment);
    cpu.end_block(op)
}

/// `mov sreg, r16`.
pub fn mov_sreg_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = u16::reg(&cpu.regs, op.src);
    let s = check_load(cpu, bus, op, op.dst, selector)?;
    commit_load(cpu, op, op.dst, s)
}

/// `mov sreg, m16`.
pub fn mov_sreg_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector: u16 = cpu.load(bus, op)?;
    let s = check_load(cpu, bus, op, op.dst, selector)?;
    commit_load(cpu, op, op.dst, s)
}

/// `mov r, sreg`: 32-bit destinations are zero-extended.
pub fn mov_reg_sreg(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let selector = cpu.seg[(op.src & 7) as usize].selector;
    if op.bits & Op::OP16 != 0 {
        selector.set_reg(&mut cpu.regs, op.dst);
    } else {
        u32::from(selector).set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// `mov m16, sreg`.
pub fn mov_mem_sreg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = cpu.seg[(op.src & 7) as usize].selector;
    cpu.store(bus, op, selector)
}

/// `push sreg`. With 32-bit operand size a P6 moves ESP by four and writes the low half only.
pub fn push_sreg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = cpu.seg[(op.src & 7) as usize].selector;
    if op.bits & Op::OP16 != 0 {
        return cpu.push(bus, op, selector);
    }
    let mask = cpu.stack_mask();
    let esp = cpu.regs[4];
    let new = esp.wrapping_sub(4) & mask;
    cpu.store_at(bus, op, SS, new, selector)?;
    cpu.regs[4] = esp & !mask | new;
    Ok(())
}

/// `pop sreg`.
pub fn pop_sreg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let mask = cpu.stack_mask();
    let esp = cpu.regs[4];
    // With 32-bit operand size, too, only the selector is read.
    let selector: u16 = cpu.load_at(bus, op, SS, esp & mask)?;
    let s = check_load(cpu, bus, op, op.dst, selector)?;
    let size = if op.bits & Op::OP16 != 0 { 2 } else { 4 };
    cpu.regs[4] = esp & !mask | esp.wrapping_add(size) & mask;
    commit_load(cpu, op, op.dst, s)
}

/// `les`, `lds`, `lss`, `lfs`, `lgs`.
pub fn load_far(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let ea = op.ea(cpu);
    let narrow = op.bits & Op::OP16 != 0;
    let offset = if narrow {
        cpu.load_at::<u16>(bus, op, op.seg, ea)?.to_u32()
    } else {
        cpu.load_at::<u32>(bus, op, op.seg, ea)?
    };
    let at = ea.wrapping_add(if narrow { 2 } else { 4 }) & op.mask;
    let selector: u16 = cpu.load_at(bus, op, op.seg, at)?;
    let s = check_load(cpu, bus, op, op.src, selector)?;
    if narrow {
        (offset as u16).set_reg(&mut cpu.regs, op.dst);
    } else {
        offset.set_reg(&mut cpu.regs, op.dst);
    }
    commit_free(cpu, op, op.src, s)
}

/// A selector operand in a register.
fn from_reg(cpu: &mut Cpu, op: &Op) -> u16 {
    u16::reg(&cpu.regs, op.src)
}

/// The descriptor of `selector` if code at this level may know of it: within its table, not null, of a type in
/// `system` or code or data, and visible under CPL and RPL.
fn visible(
    cpu: &mut Cpu,
    bus: &mut Bus,
    op: &Op,
    selector: u16,
    system: &[u8],
) -> Result<Option<Descriptor>, Flow> {
    if cpu.real_segments() {
        return cpu.raise(Exception::UD);
    }
    if descriptor::is_null(selector) {
        return Ok(None);
    }
    let Some(d) = descriptor::read(cpu, bus, op.before, selector)? else { return Ok(None) };
    if d.system_type().is_some_and(|t| !system.contains(&t)) {
        return Ok(None);
    }
    let level = cpu.cpl.max((selector & 3) as u8);
    Ok((d.is_conforming() || d.dpl() >= level).then_some(d))
}

/// Sets ZF, writes the destination if there is a result, and ends the block.
fn report(cpu: &mut Cpu, op: &Op, result: Option<u32>) -> Step {
    cpu.flags.put(ZF, result.is_some());
    if let Some(v) = result {
        if op.bits & Op::OP16 != 0 {
            (v as u16).set_reg(&mut cpu.regs, op.dst);
        } else {
            v.set_reg(&mut cpu.regs, op.dst);
        }
    }
    cpu.charge(Kind::System, cpu.costs.segment);
    cpu.end_block(op)
}

const LAR_TYPES: [u8; 8] = [
    system_type::TSS16,
    system_type::LDT,
    system_type::TSS16_BUSY,
    system_type::CALL_GATE16,
    system_type::TASK_GATE,
    system_type::TSS32,
    system_type::TSS32_BUSY,
    system_type::CALL_GATE32,
];
const LSL_TYPES: [u8; 5] = [
    system_type::TSS16,
    system_type::LDT,
    system_type::TSS16_BUSY,
    system_type::TSS32,
    system_type::TSS32_BUSY,
];

fn lar(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16) -> Step {
    let d = visible(cpu, bus, op, selector, &LAR_TYPES)?;
    report(cpu, op, d.map(|d| d.high & 0x00ff_ff00))
}

fn lsl(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16) -> Step {
    let d = visible(cpu, bus, op, selector, &LSL_TYPES)?;
    report(cpu, op, d.map(|d| d.limit()))
}

/// `lar r, r16`.
pub fn lar_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = from_reg(cpu, op);
    lar(cpu, bus, op, selector)
}

/// `lar r, m16`.
pub fn lar_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = protected_operand(cpu, bus, op)?;
    lar(cpu, bus, op, selector)
}

/// `lsl r, r16`.
pub fn lsl_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = from_reg(cpu, op);
    lsl(cpu, bus, op, selector)
}

/// `lsl r, m16`.
pub fn lsl_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = protected_operand(cpu, bus, op)?;
    lsl(cpu, bus, op, selector)
}

/// A 16-bit memory operand of an instruction that exists in protected mode only: #UD comes before faults of the operand.
pub(super) fn protected_operand(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<u16, Flow> {
    if cpu.real_segments() {
        return cpu.raise(Exception::UD);
    }
    cpu.load(bus, op)
}

/// What `verr` and `verw` ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verify {
    Read,
    Write,
}

fn verify(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16, what: Verify) -> Step {
    let d = visible(cpu, bus, op, selector, &[])?;
    let ok = d.is_some_and(|d| match what {
        Verify::Read => d.is_readable(),
        Verify::Write => d.is_writable(),
    });
    cpu.flags.put(ZF, ok);
    cpu.charge(Kind::System, cpu.costs.segment);
    cpu.end_block(op)
}

/// `verr r16`.
pub fn verr_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = from_reg(cpu, op);
    verify(cpu, bus, op, selector, Verify::Read)
}

/// `verr m16`.
pub fn verr_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = protected_operand(cpu, bus, op)?;
    verify(cpu, bus, op, selector, Verify::Read)
}

/// `verw r16`.
pub fn verw_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = from_reg(cpu, op);
    verify(cpu, bus, op, selector, Verify::Write)
}

/// `verw m16`.
pub fn verw_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let selector = protected_operand(cpu, bus, op)?;
    verify(cpu, bus, op, selector, Verify::Write)
}

/// The selector with its RPL raised to that of `other`, if it was lower.
fn adjusted(selector: u16, other: u16) -> Option<u16> {
    (selector & 3 < other & 3).then_some(selector & !3 | other & 3)
}

/// `arpl r16, r16`.
pub fn arpl_reg(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    if cpu.real_segments() {
        return cpu.raise(Exception::UD);
    }
    let new = adjusted(u16::reg(&cpu.regs, op.dst), u16::reg(&cpu.regs, op.src));
    cpu.flags.put(ZF, new.is_some());
    if let Some(v) = new {
        v.set_reg(&mut cpu.regs, op.dst);
    }
    cpu.charge(Kind::System, cpu.costs.segment);
    cpu.end_block(op)
}

/// `arpl m16, r16`.
pub fn arpl_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if cpu.real_segments() {
        return cpu.raise(Exception::UD);
    }
    let other = u16::reg(&cpu.regs, op.src);
    let old: u16 = cpu.load(bus, op)?;
    let new = adjusted(old, other);
    if let Some(v) = new {
        cpu.store(bus, op, v)?;
    }
    cpu.flags.put(ZF, new.is_some());
    cpu.charge(Kind::System, cpu.costs.segment);
    cpu.end_block(op)
}

#[cfg(test)]
mod tests {
    use super::adjusted;

    #[test]
    fn arpl_only_raises() {
        assert_eq!(adjusted(0x10, 0x23), Some(0x13));
        assert_eq!(adjusted(0x13, 0x20), None);
        assert_eq!(adjusted(0x12, 0x22), None);
    }
}
