//! Near control transfer: jumps, calls, returns, loops; `bound`.
//!
//! Every branch sets `cpu.eip` and ends its block. A relative target is kept as
//! the distance from the block's start (`op.imm`), the fall-through likewise
//! (`op.disp`), so that blocks do not depend on their linear address.
//!
//! Handlers named `_flat` are for flat 32-bit code, where a target cannot lie
//! outside the code segment. The others cut the target to `op.mask` or to the
//! operand width and raise #GP(0) beyond the limit, before anything is changed.
//! (SDM vol. 1, "Control Transfer Instructions".)

use super::descriptor;
use super::operand::{FlatStack, Place, Stack, hit_stack, load_stack, move_stack};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::op::{CS, Flow, Op, Step};
use crate::cpu::word::Word;

/// Checks a target against the code segment.
#[inline(always)]
fn check(cpu: &mut Cpu, target: u32) -> Step {
    if target > cpu.seg[CS as usize].limit {
        return cpu.raise(Exception::GP0);
    }
    Ok(())
}

/// Goes to `target`: ends the block.
#[inline(always)]
fn go(cpu: &mut Cpu, target: u32) -> Step {
    cpu.eip = target;
    Err(Flow::Branch)
}

/// `jcc`, flat.
pub fn jcc_flat<const CC: u8>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let by = if cpu.flags.condition(CC) { op.imm } else { op.disp };
    go(cpu, cpu.eip.wrapping_add(by))
}

/// `jcc`.
pub fn jcc<const CC: u8>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    if cpu.flags.condition(CC) { jump(cpu, op) } else { cpu.end_block(op) }
}

/// The taken side of a relative branch.
#[inline(always)]
fn jump(cpu: &mut Cpu, op: &Op) -> Step {
    let target = cpu.eip.wrapping_add(op.imm) & op.mask;
    check(cpu, target)?;
    go(cpu, target)
}

/// `jmp rel`, flat.
pub fn jmp_flat(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    go(cpu, cpu.eip.wrapping_add(op.imm))
}

/// `jmp rel`.
pub fn jmp(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    jump(cpu, op)
}

/// `jmp reg`.
pub fn jmp_r<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let target = W::reg(&cpu.regs, op.dst).to_u32();
    check(cpu, target)?;
    go(cpu, target)
}

/// `jmp mem`.
pub fn jmp_m<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let target = P::load::<W>(cpu, bus, op)?.to_u32();
    check(cpu, target)?;
    go(cpu, target)
}

/// `call rel`, flat code and stack.
pub fn call_flat(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let back = cpu.eip.wrapping_add(op.disp);
    let new = cpu.regs[4].wrapping_sub(4);
    if let Some(at) = cpu.mmu.hit_write(new, 4)
        && back.put(bus.ram.bytes_mut(), at)
    {
        cpu.regs[4] = new;
        return go(cpu, cpu.eip.wrapping_add(op.imm));
    }
    call_flat_slow(cpu, bus, op)
}

#[cold]
#[inline(never)]
fn call_flat_slow(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let back = cpu.eip.wrapping_add(op.disp);
    FlatStack::push(cpu, bus, op, back)?;
    go(cpu, cpu.eip.wrapping_add(op.imm))
}

/// `call rel`.
pub fn call<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let target = W::from_u32(cpu.eip.wrapping_add(op.imm)).to_u32();
    call_to::<W, super::operand::AnyStack>(cpu, bus, op, target)
}

/// `call reg`.
pub fn call_r<W: Word, S: Stack>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let target = W::reg(&cpu.regs, op.dst).to_u32();
    call_to::<W, S>(cpu, bus, op, target)
}

/// `call mem`.
pub fn call_m<W: Word, P: Place, S: Stack>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let target = P::load::<W>(cpu, bus, op)?.to_u32();
    call_to::<W, S>(cpu, bus, op, target)
}

#[inline(always)]
fn call_to<W: Word, S: Stack>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, target: u32) -> Step {
    if target > cpu.seg[CS as usize].limit {
        return call_beyond(cpu, descriptor::Width::of(W::BYTES == 4));
    }
    let back = W::from_u32(cpu.next_eip(op));
    S::push(cpu, bus, op, back)?;
    go(cpu, target)
}

/// A call beyond the limit of CS: the manual asks for room on the stack first.
#[cold]
#[inline(never)]
fn call_beyond(cpu: &mut Cpu, width: descriptor::Width) -> Step {
    descriptor::Stack::current(cpu).require_room(cpu, width, 1)?;
    cpu.raise(Exception::GP0)
}

/// `ret`, flat code and stack.
pub fn ret_flat(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let Some(target) = hit_stack::<u32>(cpu, bus) else { return ret_flat_slow(cpu, bus, op) };
    cpu.regs[4] = cpu.regs[4].wrapping_add(4);
    go(cpu, target)
}

#[cold]
#[inline(never)]
fn ret_flat_slow(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let target: u32 = FlatStack::pop(cpu, bus, op)?;
    go(cpu, target)
}

/// `ret`, `ret imm`: releases imm bytes more.
pub fn ret<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let target = load_stack::<W>(cpu, bus, op, 0)?.to_u32();
    check(cpu, target)?;
    move_stack(cpu, (W::BYTES + op.imm) as i32);
    go(cpu, target)
}

/// Counts down CX or ECX, as wide as the address size, and gives the new count.
#[inline(always)]
fn counted(cpu: &Cpu, op: &Op) -> u32 {
    cpu.regs[1].wrapping_sub(1) & op.mask
}

/// What `loop`, `loope` and `loopne` ask of ZF.
pub trait LoopWhile: 'static {
    /// Does the loop go on, apart from the count?
    fn holds(zf: bool) -> bool;
}

/// `loop`.
pub struct Always;
/// `loope`.
pub struct WhileZero;
/// `loopne`.
pub struct WhileNotZero;

impl LoopWhile for Always {
    #[inline(always)]
    fn holds(_zf: bool) -> bool {
        true
    }
}

impl LoopWhile for WhileZero {
    #[inline(always)]
    fn holds(zf: bool) -> bool {
        zf
    }
}

impl LoopWhile for WhileNotZero {
    #[inline(always)]
    fn holds(zf: bool) -> bool {
        !zf
    }
}

/// `loop`, `loope`, `loopne`: `op.mask` is the width of the count, `W` that of the target.
pub fn loop_while<W: Word, L: LoopWhile>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let count = counted(cpu, op);
    let target = if count != 0 && L::holds(cpu.flags.zf()) {
        let target = W::from_u32(cpu.eip.wrapping_add(op.imm)).to_u32();
        check(cpu, target)?;
        target
    } else {
        cpu.next_eip(op)
    };
    cpu.regs[1] = (cpu.regs[1] & !op.mask) | count;
    go(cpu, target)
}

/// `jcxz`, `jecxz`: `op.mask` is the width of the count, `W` that of the target.
pub fn jump_if_count_zero<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    if cpu.regs[1] & op.mask != 0 {
        return cpu.end_block(op);
    }
    let target = W::from_u32(cpu.eip.wrapping_add(op.imm)).to_u32();
    check(cpu, target)?;
    go(cpu, target)
}

/// `bound reg, mem`: #BR if the signed index lies outside the two bounds.
pub fn bound<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let ea = op.ea(cpu);
    let low = cpu.load_at::<W>(bus, op, op.seg, ea)?.sign_extend() as i32;
    let high = cpu.load_at::<W>(bus, op, op.seg, ea.wrapping_add(W::BYTES) & op.mask)?.sign_extend() as i32;
    let index = W::reg(&cpu.regs, op.dst).sign_extend() as i32;
    if index < low || index > high {
        return cpu.raise(Exception::plain(vector::BR));
    }
    Ok(())
}
