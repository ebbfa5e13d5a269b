//! Port input and output.
//!
//! Rights: IOPL, or the I/O permission bitmap of the TSS where IOPL is too low or
//! the mode is virtual-8086. What a port does, and what it costs, is the bus's.
//! All run in careful mode, so that devices see them at the exact cycle and once.
//! A repeated string instruction ends after each element and is resumed.
//! (SDM vol. 1, "Input/Output"; vol. 2, `IN`, `OUT`, `INS`, `OUTS`.)

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::Exception;
use crate::cpu::flags::{DF, IOPL};
use crate::cpu::op::{ES, Flow, Op, Step};
use crate::cpu::segment::attr;
use crate::cpu::word::Word;
use crate::mmu::Privilege;

/// Offset of the I/O map base in a 32-bit TSS.
const MAP_BASE: u32 = 0x66;

/// May the current code access `size` ports from `port` on? #GP(0) if not.
fn allowed(cpu: &mut Cpu, bus: &mut Bus, op: &Op, port: u16, size: u32) -> Result<(), Flow> {
    let iopl = (cpu.flags.rest & IOPL) >> 12;
    if !cpu.protected() || (!cpu.v86() && u32::from(cpu.cpl) <= iopl) {
        return Ok(());
    }
    // A 16-bit TSS has no map.
    let usable = cpu.tr.attr & (attr::PRESENT | 8) == attr::PRESENT | 8;
    if usable
        && let Some(base) = tss_word(cpu, bus, op, MAP_BASE)?
        && let Some(bits) = tss_word(cpu, bus, op, u32::from(base) + u32::from(port >> 3))?
        && forbidden(bits, port, size) == 0
    {
        return Ok(());
    }
    cpu.raise(Exception::GP0)
}

/// The bits set for these ports in the map's word that begins with the byte of `port`.
fn forbidden(bits: u16, port: u16, size: u32) -> u32 {
    u32::from(bits) >> (port & 7) & ((1 << size) - 1)
}

/// Reads a word of the current TSS at `offset`; `None` beyond its limit.
fn tss_word(cpu: &mut Cpu, bus: &mut Bus, op: &Op, offset: u32) -> Result<Option<u16>, Flow> {
    if offset + 1 > cpu.tr.limit {
        return Ok(None);
    }
    let at = cpu.tr.base.wrapping_add(offset);
    let v = cpu.read_linear(bus, op.before, at, 2, Privilege::Supervisor)?;
    Ok(Some(v as u16))
}

fn input<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, port: u16) -> Step {
    cpu.need_care()?;
    allowed(cpu, bus, op, port, W::BYTES)?;
    let v = bus.port_in(cpu, op, port, W::BYTES)?;
    cpu.note_port(port, W::BYTES);
    W::from_u32(v).set_reg(&mut cpu.regs, 0);
    Ok(())
}

fn output<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, port: u16) -> Step {
    cpu.need_care()?;
    allowed(cpu, bus, op, port, W::BYTES)?;
    let v = W::reg(&cpu.regs, 0).to_u32();
    cpu.note_port(port, W::BYTES);
    bus.port_out(cpu, op, port, W::BYTES, v)
}

fn dx(cpu: &Cpu) -> u16 {
    cpu.regs[2] as u16
}

/// `in al/ax/eax, imm8`.
pub fn in_imm<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    input::<W>(cpu, bus, op, op.imm as u8 as u16)
}

/// `in al/ax/eax, dx`.
pub fn in_dx<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let port = dx(cpu);
    input::<W>(cpu, bus, op, port)
}

/// `out imm8, al/ax/eax`.
pub fn out_imm<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    output::<W>(cpu, bus, op, op.imm as u8 as u16)
}

/// `out dx, al/ax/eax`.
pub fn out_dx<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let port = dx(cpu);
    output::<W>(cpu, bus, op, port)
}

fn repeated(op: &Op) -> bool {
    op.bits & (Op::REP | Op::REPNE) != 0
}

/// Nothing is left of a repeated instruction?
fn exhausted(cpu: &Cpu, op: &Op) -> bool {
    repeated(op) && cpu.regs[1] & op.mask == 0
}

/// Moves the index register on, counts down, and says whether the instruction goes on.
fn advance<W: Word>(cpu: &mut Cpu, op: &Op, index: usize) -> Step {
    let step = if cpu.flags.rest & DF != 0 { W::BYTES.wrapping_neg() } else { W::BYTES };
    let mask = op.mask;
    let old = cpu.regs[index & 7];
    cpu.regs[index & 7] = old & !mask | old.wrapping_add(step) & mask;
    if !repeated(op) {
        return Ok(());
    }
    let count = cpu.regs[1];
    let left = count.wrapping_sub(1) & mask;
    cpu.regs[1] = count & !mask | left;
    if left == 0 { Ok(()) } else { Err(Flow::Repeat) }
}

/// `ins`: port DX to ES:(E)DI.
pub fn ins<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if exhausted(cpu, op) {
        return Ok(());
    }
    cpu.need_care()?;
    let port = dx(cpu);
    allowed(cpu, bus, op, port, W::BYTES)?;
    let at = cpu.regs[7] & op.mask;
    // The port is read only once it is certain that the value can be stored.
    cpu.probe_write(bus, op, ES, at, W::BYTES)?;
    let v = bus.port_in(cpu, op, port, W::BYTES)?;
    cpu.note_port(port, W::BYTES);
    bus.at_once(|bus| cpu.store_at(bus, op, ES, at, W::from_u32(v)))?;
    advance::<W>(cpu, op, 7)
}

/// `outs`: the source segment's (E)SI to port DX.
pub fn outs<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if exhausted(cpu, op) {
        return Ok(());
    }
    cpu.need_care()?;
    let port = dx(cpu);
    allowed(cpu, bus, op, port, W::BYTES)?;
    let at = cpu.regs[6] & op.mask;
    let v: W = cpu.load_at(bus, op, op.seg, at)?;
    cpu.note_port(port, W::BYTES);
    match bus.port_out(cpu, op, port, W::BYTES, v.to_u32()) {
        Ok(()) => advance::<W>(cpu, op, 6),
        Err(flow @ (Flow::Request | Flow::Branch)) => {
            // The port took the value: the element counts, and the instruction goes on after what the machine does.
            if advance::<W>(cpu, op, 6).is_err() {
                cpu.eip = cpu.this_eip(op);
            }
            Err(flow)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::forbidden;

    #[test]
    fn permission_bits_of_wide_ports_span_bytes() {
        assert_eq!(forbidden(0b1000_0000, 7, 1), 1);
        assert_eq!(forbidden(0b1_0000_0000, 7, 2), 0b10);
        assert_eq!(forbidden(0b1_0000_0000, 0x3f8, 4), 0);
        assert_ne!(forbidden(0b0_1000_0000, 4, 4), 0);
    }
}
