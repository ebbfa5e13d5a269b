//! x87 instructions: what the processor does around the unit in `cpu/x87`.
//!
//! #NM by CR0.EM and CR0.TS, #MF for an exception that an earlier instruction left pending, memory
//! operands, images. An operand is read before the unit changes, and a result is written before the unit's new
//! state counts, so a fault leaves everything as it was. With CR0.NE clear a pending exception raises FERR# at
//! the next waiting instruction (never earlier), and the processor stops there until an interrupt comes, unless
//! IGNNE# tells it to go on. The board has wired the bootstrap processor's lines (`device/coprocessor.rs`).
//! Operands of 8 and 10 bytes have to lie on a multiple of 8 where alignment is checked. MMX and SSE are left out.
//! (SDM vol. 1, "x87 FPU Exception Handling"; vol. 3A, "Device-Not-Available Exception", CR0; vol. 2, `FXSAVE`.)

use super::cpuid::feature;
use crate::bus::Bus;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::op::{CS, DS, FLAT, Flow, Op, SS, Step};
use crate::cpu::x87::image::{ENVIRONMENT, EXTENDED, Layout, REGISTERS};
use crate::cpu::x87::stack::{Memory, is_control, memory, no_wait};
use crate::cpu::x87::{Pointers, Ports};
use crate::cpu::{Cpu, Request, cr0};
use crate::mmu::Access;

/// Bytes of an `fsave` image at most.
const STATE: usize = ENVIRONMENT + REGISTERS;
/// Bytes of an operand that is no image, at most.
const LONGEST_NUMBER: usize = 10;

/// Puts the escape byte (D8 to DF) and the ModR/M byte into the immediate, where [`execute`] looks for them.
pub fn keep_opcode(op: &mut Op, bytes: &[u8]) {
    let mut rest = bytes.iter().skip_while(|b| **b & 0xf8 != 0xd8).map(|b| u32::from(*b));
    op.imm = rest.next().unwrap_or(0) << 8 | rest.next().unwrap_or(0);
}

/// An x87 instruction.
pub fn execute(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let opcode = op.imm as u16;
    available(cpu)?;
    if !no_wait(opcode) {
        report(cpu, bus, op)?;
    }
    let kind = memory(opcode);
    if kind == Memory::Image {
        return image(cpu, bus, op, opcode);
    }
    let mut ports = Ports { eflags: cpu.flags.get(), ..Ports::default() };
    if let Memory::Read(n) = kind {
        read(cpu, bus, op, ports.memory.get_mut(..usize::from(n)).unwrap_or_default())?;
    }
    if let Memory::Write(n) = kind {
        let mut unit = (*cpu.fpu).clone();
        if unit.execute(opcode, &mut ports) {
            write(cpu, bus, op, ports.memory.get(..usize::from(n)).unwrap_or_default())?;
        } else {
            // The unmasked exception keeps the operand as it is, but comes after those of memory.
            check(cpu, bus, op, n.into())?;
        }
        *cpu.fpu = unit;
    } else {
        let before = ports.eflags;
        cpu.fpu.execute(opcode, &mut ports);
        if ports.eflags != before {
            cpu.flags.set_arith(ports.eflags);
        }
        if let Some(ax) = ports.ax {
            cpu.regs[0] = cpu.regs[0] & 0xffff_0000 | u32::from(ax);
        }
    }
    if !is_control(opcode) {
        remember(cpu, op, opcode, kind != Memory::None);
    }
    Ok(())
}

/// `fwait`: #NM only if the kernel watches for it too (CR0.MP).
pub fn fwait(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if cpu.cr0 & (cr0::MP | cr0::TS) == cr0::MP | cr0::TS {
        return cpu.raise(Exception::plain(vector::NM));
    }
    report(cpu, bus, op)
}

/// #NM while the kernel has the unit switched off, and for ever where there is none, as if CR0.EM were set.
fn available(cpu: &mut Cpu) -> Step {
    if cpu.cr0 & (cr0::EM | cr0::TS) != 0 || !cpu.identity.has(feature::FPU) {
        return cpu.raise(Exception::plain(vector::NM));
    }
    Ok(())
}

/// #MF if an unmasked exception is pending.
fn report(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if !cpu.fpu.pending() {
        // What raises FERR# again comes later than this.
        return if cpu.ferr { show_error(cpu, bus, op, false) } else { Ok(()) };
    }
    if cpu.cr0 & cr0::NE == 0 {
        return wait_for_interrupt(cpu, bus, op);
    }
    cpu.raise(Exception::plain(vector::MF))
}

/// Raises FERR#, or lets it fall.
#[cold]
fn show_error(cpu: &mut Cpu, bus: &mut Bus, op: &Op, raised: bool) -> Step {
    cpu.need_care()?;
    cpu.ferr = raised;
    bus.numeric_error(cpu, op, raised);
    Ok(())
}

/// A pending exception with CR0.NE clear: the instruction waits for the interrupt that FERR# leads to, and is begun again.
#[cold]
fn wait_for_interrupt(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    cpu.need_care()?;
    if !cpu.ferr {
        show_error(cpu, bus, op, true)?;
    }
    if bus.ignores_numeric_errors(cpu) {
        return Ok(());
    }
    cpu.eip = cpu.this_eip(op);
    cpu.request = Some(Request::Halt);
    Err(Flow::Request)
}

/// Selector of the memory operand's segment; of [`FLAT`] operands that of the register the address implies.
fn operand_selector(cpu: &Cpu, op: &Op) -> u16 {
    let seg = match (op.seg, op.base) {
        // ESP and EBP.
        (FLAT, 4 | 5) => SS,
        (FLAT, _) => DS,
        (s, _) => s,
    };
    cpu.seg[usize::from(seg & 7)].selector
}

fn remember(cpu: &mut Cpu, op: &Op, opcode: u16, has_memory: bool) {
    let last = cpu.fpu.last;
    let (dp, ds) = if has_memory { (op.ea(cpu), operand_selector(cpu, op)) } else { (last.dp, last.ds) };
    let cs = cpu.seg[usize::from(CS)].selector;
    cpu.fpu.last = Pointers { opcode: opcode & 0x7ff, ip: cpu.this_eip(op), cs, dp, ds };
}

/// Offset of a piece of the operand, `at` bytes from its begin. With 16-bit addresses the offset wraps between accesses,
/// not within one: up to eight bytes of a number are one access, and each piece of an image.
fn piece(op: &Op, ea: u32, at: usize, whole: usize) -> u32 {
    let access = if whole > LONGEST_NUMBER { unit(op, whole) } else { 8 };
    let begin = ea.wrapping_add((at / access * access) as u32) & op.mask;
    begin.wrapping_add((at % access) as u32)
}

/// Bytes read or written at once: images of the 16-bit formats consist of words, all else of dwords.
fn unit(op: &Op, len: usize) -> usize {
    if op.bits & Op::OP16 != 0 && matches!(len, 14 | 94) { 2 } else { 4 }
}

/// Reads the memory operand.
fn read(cpu: &mut Cpu, bus: &mut Bus, op: &Op, to: &mut [u8]) -> Step {
    let ea = op.ea(cpu);
    let (whole, unit) = (to.len(), unit(op, to.len()));
    for (i, part) in to.chunks_mut(unit).enumerate() {
        let at = piece(op, ea, unit * i, whole);
        let v = match part.len() {
            4 => cpu.load_at::<u32>(bus, op, op.seg, at)?,
            _ => u32::from(cpu.load_at::<u16>(bus, op, op.seg, at)?),
        };
        let n = part.len();
        part.copy_from_slice(v.to_le_bytes().get(..n).unwrap_or_default());
    }
    if whole > 4 { alignment(cpu, op, whole) } else { Ok(()) }
}

/// #AC(0) for a number off a multiple of its size, or of 8 for one of 10 bytes; parts of images are checked as they are.
fn alignment(cpu: &mut Cpu, op: &Op, len: usize) -> Step {
    if len > LONGEST_NUMBER {
        return Ok(());
    }
    let lin = op.ea(cpu).wrapping_add(cpu.seg[usize::from(op.seg & 7)].base);
    let privilege = cpu.privilege();
    cpu.check_alignment(lin, len.min(8) as u32, privilege)
}

/// Faults where writing an operand of so many bytes would.
fn check(cpu: &mut Cpu, bus: &mut Bus, op: &Op, whole: usize) -> Step {
    let ea = op.ea(cpu);
    let privilege = cpu.privilege();
    let unit = unit(op, whole);
    for at in (0..whole).step_by(unit) {
        let size = (whole - at).min(unit) as u32;
        let lin = cpu.segment_check(op.seg, piece(op, ea, at, whole), size, Access::Write)?;
        cpu.probe_linear(bus, op.before, lin, size, privilege)?;
    }
    alignment(cpu, op, whole)
}

/// Writes the memory operand, all of it or, with a fault, nothing.
fn write(cpu: &mut Cpu, bus: &mut Bus, op: &Op, from: &[u8]) -> Step {
    let ea = op.ea(cpu);
    let unit = unit(op, from.len());
    let store = |cpu: &mut Cpu, bus: &mut Bus| {
        from.chunks(unit).enumerate().try_for_each(|(i, part)| {
            let at = piece(op, ea, unit * i, from.len());
            match *part {
                [a, b, c, d] => cpu.store_at(bus, op, op.seg, at, u32::from_le_bytes([a, b, c, d])),
                [a, b] => cpu.store_at(bus, op, op.seg, at, u16::from_le_bytes([a, b])),
                _ => Ok(()),
            }
        })
    };
    if from.len() <= 4 {
        return store(cpu, bus);
    }
    check(cpu, bus, op, from.len())?;
    bus.at_once(|bus| store(cpu, bus))
}

fn layout(cpu: &Cpu, op: &Op) -> Layout {
    match (cpu.real_segments(), op.bits & Op::OP16 != 0) {
        (false, false) => Layout::Protected32,
        (false, true) => Layout::Protected16,
        (true, false) => Layout::Real32,
        (true, true) => Layout::Real16,
    }
}

/// `fldenv`, `frstor`, `fnstenv`, `fnsave`.
fn image(cpu: &mut Cpu, bus: &mut Bus, op: &Op, opcode: u16) -> Step {
    let layout = layout(cpu, op);
    let environment = layout.bytes();
    let whole = opcode >> 8 == 0xdd;
    let len = if whole { environment + REGISTERS } else { environment };
    let mut buffer = [0; STATE];
    let (bytes, _) = buffer.split_at_mut(len);
    if opcode >> 3 & 7 == 4 {
        read(cpu, bus, op, bytes)?;
        cpu.fpu.set_environment(layout, bytes);
        if let Some(registers) = bytes.get(environment..).and_then(|b| b.try_into().ok()) {
            cpu.fpu.set_registers(registers);
        }
        return Ok(());
    }
    let (front, registers) = bytes.split_at_mut(environment);
    front.copy_from_slice(&cpu.fpu.environment(layout)[..environment]);
    if whole {
        registers.copy_from_slice(&cpu.fpu.registers());
    }
    write(cpu, bus, op, bytes)?;
    if whole {
        cpu.fpu.initialise();
    } else {
        // All exceptions are masked once the environment is stored.
        let control = cpu.fpu.control();
        cpu.fpu.set_control(control | 0x3f);
    }
    Ok(())
}

/// What `fxsave` and `fxrstor` ask for first: #NM, #GP(0) for an operand not on a 16-byte boundary.
fn extended_ready(cpu: &mut Cpu, op: &Op) -> Result<(), Flow> {
    available(cpu)?;
    let base = cpu.seg[usize::from(op.seg & 7)].base;
    if op.ea(cpu).wrapping_add(base) & 15 != 0 {
        return cpu.raise(Exception::GP0);
    }
    Ok(())
}

/// `fxsave`.
pub fn fxsave(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    extended_ready(cpu, op)?;
    let bytes = cpu.fpu.extended();
    write(cpu, bus, op, &bytes)
}

/// `fxrstor`.
pub fn fxrstor(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    extended_ready(cpu, op)?;
    let mut bytes = [0; EXTENDED];
    read(cpu, bus, op, &mut bytes)?;
    cpu.fpu.set_extended(&bytes);
    Ok(())
}
