//! How handlers reach memory: three ways to address an operand, two kinds of stack.
//!
//! Most code runs with flat segments and 32-bit addresses, and most of its memory
//! operands are a base register and a displacement. The decoder knows which case
//! an instruction is, so each hot handler exists for each [`Place`]:
//!
//! | place | segment | address |
//! |---|---|---|
//! | [`Near`] | flat | base + displacement |
//! | [`Flat`] | flat | base + index * scale + displacement |
//! | [`Any`] | checked | any, 16-bit too |
//!
//! In a flat segment no limit check can fail, so the effective address is the
//! linear address. The stack is reached through [`FlatStack`] (SS flat, 32-bit ESP)
//! or [`AnyStack`].

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::op::{Flow, Op, SS, Step};
use crate::cpu::word::Word;

/// A way to address the memory operand.
pub trait Place: 'static {
    /// Reads the operand.
    fn load<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow>;
    /// Writes the operand.
    fn store<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, value: W) -> Step;
    /// Reads, changes and writes the operand, translating once, for writing. `f` runs only when nothing can fault.
    fn modify<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, f: impl FnOnce(&mut Cpu, W) -> W) -> Step;
    /// Reads the operand if the front array has its page.
    fn hit<W: Word>(cpu: &mut Cpu, bus: &Bus, op: &Op) -> Option<W>;
    /// Where in the RAM arena the operand may be written, if the front array has its page.
    fn hit_write<W: Word>(cpu: &mut Cpu, op: &Op) -> Option<usize>;
}

/// Reads the operand and goes on with `f`, which captures nothing.
///
/// The slow path is a whole second copy of the handler, reached by a jump in tail
/// position: the fast path then needs no stack frame.
#[inline(always)]
pub fn load_then<W: Word, P: Place, F>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, f: F) -> Step
where
    F: FnOnce(&mut Cpu, &Op, W) -> Step,
{
    match P::hit(cpu, bus, op) {
        Some(v) => f(cpu, op, v),
        None => load_slow_then::<W, P, F>(cpu, bus, op, f),
    }
}

#[cold]
#[inline(never)]
fn load_slow_then<W: Word, P: Place, F>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, f: F) -> Step
where
    F: FnOnce(&mut Cpu, &Op, W) -> Step,
{
    let v = P::load(cpu, bus, op)?;
    f(cpu, op, v)
}

/// Changes the operand by `f`, which captures nothing; otherwise as [`Place::modify`].
#[inline(always)]
pub fn modify_by<W: Word, P: Place, F>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, f: F) -> Step
where
    F: FnOnce(&mut Cpu, &Op, W) -> W,
{
    if let Some(at) = P::hit_write::<W>(cpu, op)
        && let Some(old) = W::get(bus.ram.bytes(), at)
    {
        let new = f(cpu, op, old);
        new.put(bus.ram.bytes_mut(), at);
        return Ok(());
    }
    modify_slow::<W, P, F>(cpu, bus, op, f)
}

#[cold]
#[inline(never)]
fn modify_slow<W: Word, P: Place, F>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, f: F) -> Step
where
    F: FnOnce(&mut Cpu, &Op, W) -> W,
{
    P::modify(cpu, bus, op, |cpu, old| f(cpu, op, old))
}

/// Flat segment, base + displacement.
pub struct Near;
/// Flat segment, base + index * scale + displacement.
pub struct Flat;
/// Any segment, any address size.
pub struct Any;

impl Near {
    #[inline(always)]
    fn ea(cpu: &Cpu, op: &Op) -> u32 {
        cpu.regs[(op.base & 15) as usize].wrapping_add(op.disp)
    }
}

impl Flat {
    #[inline(always)]
    fn ea(cpu: &Cpu, op: &Op) -> u32 {
        cpu.regs[(op.base & 15) as usize]
            .wrapping_add(cpu.regs[(op.index & 15) as usize] << (op.scale & 3))
            .wrapping_add(op.disp)
    }
}

macro_rules! flat_place {
    ($place:ty) => {
        impl Place for $place {
            #[inline(always)]
            fn load<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
                let ea = <$place>::ea(cpu, op);
                load_flat(cpu, bus, op, ea)
            }
            #[inline(always)]
            fn store<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, value: W) -> Step {
                let ea = <$place>::ea(cpu, op);
                store_flat(cpu, bus, op, ea, value)
            }
            #[inline(always)]
            fn modify<W: Word>(
                cpu: &mut Cpu,
                bus: &mut Bus,
                op: &Op,
                f: impl FnOnce(&mut Cpu, W) -> W,
            ) -> Step {
                let ea = <$place>::ea(cpu, op);
                cpu.modify_at(bus, op, ea, f)
            }
            #[inline(always)]
            fn hit<W: Word>(cpu: &mut Cpu, bus: &Bus, op: &Op) -> Option<W> {
                let ea = <$place>::ea(cpu, op);
                let at = cpu.mmu.hit_read(ea, W::BYTES)?;
                W::get(bus.ram.bytes(), at)
            }
            #[inline(always)]
            fn hit_write<W: Word>(cpu: &mut Cpu, op: &Op) -> Option<usize> {
                let ea = <$place>::ea(cpu, op);
                cpu.mmu.hit_write(ea, W::BYTES)
            }
        }
    };
}

flat_place!(Near);
flat_place!(Flat);

impl Place for Any {
    #[inline(always)]
    fn load<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
        cpu.load(bus, op)
    }
    #[inline(always)]
    fn store<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, value: W) -> Step {
        cpu.store(bus, op, value)
    }
    #[inline(always)]
    fn modify<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, f: impl FnOnce(&mut Cpu, W) -> W) -> Step {
        cpu.modify(bus, op, f)
    }
    #[inline(always)]
    fn hit<W: Word>(cpu: &mut Cpu, bus: &Bus, op: &Op) -> Option<W> {
        let ea = op.ea(cpu);
        let s = &cpu.seg[(op.seg & 7) as usize];
        let lin = ea.wrapping_add(s.base);
        if ea >= s.read_end {
            return None;
        }
        let at = cpu.mmu.hit_read(lin, W::BYTES)?;
        W::get(bus.ram.bytes(), at)
    }
    #[inline(always)]
    fn hit_write<W: Word>(cpu: &mut Cpu, op: &Op) -> Option<usize> {
        let ea = op.ea(cpu);
        let s = &cpu.seg[(op.seg & 7) as usize];
        let lin = ea.wrapping_add(s.base);
        if ea >= s.write_end {
            return None;
        }
        cpu.mmu.hit_write(lin, W::BYTES)
    }
}

/// Reads at a linear address that no segment limits.
#[inline(always)]
pub fn load_flat<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, lin: u32) -> Result<W, Flow> {
    if let Some(at) = cpu.mmu.hit_read(lin, W::BYTES)
        && let Some(v) = W::get(bus.ram.bytes(), at)
    {
        return Ok(v);
    }
    load_flat_slow(cpu, bus, op, lin)
}

/// Writes at a linear address that no segment limits.
#[inline(always)]
pub fn store_flat<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, lin: u32, value: W) -> Step {
    if let Some(at) = cpu.mmu.hit_write(lin, W::BYTES)
        && value.put(bus.ram.bytes_mut(), at)
    {
        return Ok(());
    }
    store_flat_slow(cpu, bus, op, lin, value)
}

#[cold]
#[inline(never)]
fn load_flat_slow<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, lin: u32) -> Result<W, Flow> {
    let privilege = cpu.privilege();
    cpu.read_linear(bus, op.before, lin, W::BYTES, privilege).map(W::from_u32)
}

#[cold]
#[inline(never)]
fn store_flat_slow<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, lin: u32, value: W) -> Step {
    let privilege = cpu.privilege();
    cpu.write_linear(bus, op.before, lin, W::BYTES, value.to_u32(), privilege)
}

/// A way to reach the stack.
pub trait Stack: 'static {
    /// Pushes; ESP changes only when the store succeeds.
    fn push<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, value: W) -> Step;
    /// Pops; ESP changes only when the load succeeds.
    fn pop<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow>;
}

/// SS is flat and the stack pointer is ESP.
pub struct FlatStack;
/// Any stack segment, SP or ESP.
pub struct AnyStack;

impl Stack for FlatStack {
    #[inline(always)]
    fn push<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, value: W) -> Step {
        let new = cpu.regs[4].wrapping_sub(W::BYTES);
        if let Some(at) = cpu.mmu.hit_write(new, W::BYTES)
            && value.put(bus.ram.bytes_mut(), at)
        {
            cpu.regs[4] = new;
            return Ok(());
        }
        push_flat_slow(cpu, bus, op, value)
    }
    #[inline(always)]
    fn pop<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
        let esp = cpu.regs[4];
        let v = load_flat(cpu, bus, op, esp)?;
        cpu.regs[4] = esp.wrapping_add(W::BYTES);
        Ok(v)
    }
}

#[cold]
#[inline(never)]
fn push_flat_slow<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, value: W) -> Step {
    let new = cpu.regs[4].wrapping_sub(W::BYTES);
    store_flat(cpu, bus, op, new, value)?;
    cpu.regs[4] = new;
    Ok(())
}

/// Reads the top of a flat stack if the front array has its page.
#[inline(always)]
pub fn hit_stack<W: Word>(cpu: &mut Cpu, bus: &Bus) -> Option<W> {
    let esp = cpu.regs[4];
    let at = cpu.mmu.hit_read(esp, W::BYTES)?;
    W::get(bus.ram.bytes(), at)
}

impl Stack for AnyStack {
    #[inline(always)]
    fn push<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, value: W) -> Step {
        cpu.push(bus, op, value)
    }
    #[inline(always)]
    fn pop<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
        cpu.pop(bus, op)
    }
}

/// Writes `value` at `offset` bytes from the stack pointer, which stays: for
/// instructions that push several values and move ESP once at the end.
pub fn store_stack<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, offset: i32, value: W) -> Step {
    let ea = cpu.regs[4].wrapping_add(offset as u32) & cpu.stack_mask();
    cpu.store_at(bus, op, SS, ea, value)
}

/// Reads at `offset` bytes from the stack pointer, which stays.
pub fn load_stack<W: Word>(cpu: &mut Cpu, bus: &mut Bus, op: &Op, offset: u32) -> Result<W, Flow> {
    let ea = cpu.regs[4].wrapping_add(offset) & cpu.stack_mask();
    cpu.load_at(bus, op, SS, ea)
}

/// Moves the stack pointer, SP or ESP.
pub fn move_stack(cpu: &mut Cpu, by: i32) {
    let mask = cpu.stack_mask();
    let esp = cpu.regs[4];
    cpu.regs[4] = (esp & !mask) | (esp.wrapping_add(by as u32) & mask);
}
