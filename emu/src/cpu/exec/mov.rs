//! Moves: data transfer without arithmetic.
//!
//! `mov`, `movzx`, `movsx`, `lea`, `xchg`, `bswap`, `cmovcc`, `setcc`, the
//! conversions of the accumulator, `xlat`. None of them touches a flag.
//! (SDM vol. 1, "Data Transfer Instructions".)

use super::operand::{Any, Place, load_then};
use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::cpu::op::{Op, Step};
use crate::cpu::word::Word;

/// `mov reg, reg`.
pub fn mov_rr<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    W::reg(&cpu.regs, op.src).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `mov reg, imm`.
pub fn mov_ri<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    W::from_u32(op.imm).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `mov reg, mem`.
pub fn mov_rm<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    load_then::<W, P, _>(cpu, bus, op, |cpu, op, v| {
        v.set_reg(&mut cpu.regs, op.dst);
        Ok(())
    })
}

/// `mov mem, reg`.
pub fn mov_mr<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v = W::reg(&cpu.regs, op.src);
    P::store(cpu, bus, op, v)
}

/// `mov mem, imm`.
pub fn mov_mi<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    P::store(cpu, bus, op, W::from_u32(op.imm))
}

/// How a narrow value becomes a wide one.
pub trait Extend: 'static {
    /// The value, extended to 32 bits.
    fn extend<F: Word>(v: F) -> u32;
}

/// With zeros: `movzx`.
pub struct Zero;
/// With the sign: `movsx`.
pub struct Sign;

impl Extend for Zero {
    #[inline(always)]
    fn extend<F: Word>(v: F) -> u32 {
        v.to_u32()
    }
}

impl Extend for Sign {
    #[inline(always)]
    fn extend<F: Word>(v: F) -> u32 {
        v.sign_extend()
    }
}

/// `movzx`/`movsx` from a register of width `F`.
pub fn extend_rr<W: Word, F: Word, E: Extend>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let v = E::extend(F::reg(&cpu.regs, op.src));
    W::from_u32(v).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `movzx`/`movsx` from memory of width `F`.
pub fn extend_rm<W: Word, F: Word, E: Extend, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    load_then::<F, P, _>(cpu, bus, op, |cpu, op, v| {
        W::from_u32(E::extend(v)).set_reg(&mut cpu.regs, op.dst);
        Ok(())
    })
}

/// `lea`, any address.
pub fn lea<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    W::from_u32(op.ea(cpu)).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `lea r32, [base + displacement]`.
pub fn lea_near(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let v = cpu.regs[(op.base & 15) as usize].wrapping_add(op.disp);
    cpu.regs[(op.dst & 7) as usize] = v;
    Ok(())
}

/// `xchg reg, reg`.
pub fn xchg_rr<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let (a, b) = (W::reg(&cpu.regs, op.dst), W::reg(&cpu.regs, op.src));
    b.set_reg(&mut cpu.regs, op.dst);
    a.set_reg(&mut cpu.regs, op.src);
    Ok(())
}

/// `xchg mem, reg`: always locked.
pub fn xchg_mr<W: Word, P: Place>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    P::modify(cpu, bus, op, |cpu, old: W| {
        let new = W::reg(&cpu.regs, op.src);
        old.set_reg(&mut cpu.regs, op.src);
        new
    })
}

/// `bswap r32`.
pub fn bswap(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let r = &mut cpu.regs[(op.dst & 7) as usize];
    *r = r.swap_bytes();
    Ok(())
}

/// `bswap` with a 16-bit operand, undefined by the manual: processors clear the register's low half.
pub fn bswap16(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    0u16.set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `cmovcc reg, reg`.
pub fn cmov_rr<W: Word, const CC: u8>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let from = if cpu.flags.condition(CC) { op.src } else { op.dst };
    W::reg(&cpu.regs, from).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `cmovcc reg, mem`: reads whether or not it moves.
pub fn cmov_rm<W: Word, const CC: u8>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v: W = Any::load(cpu, bus, op)?;
    if cpu.flags.condition(CC) {
        v.set_reg(&mut cpu.regs, op.dst);
    }
    Ok(())
}

/// `setcc reg`.
pub fn set_r<const CC: u8>(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    u8::from(cpu.flags.condition(CC)).set_reg(&mut cpu.regs, op.dst);
    Ok(())
}

/// `setcc mem`.
pub fn set_m<const CC: u8>(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v = u8::from(cpu.flags.condition(CC));
    Any::store(cpu, bus, op, v)
}

/// `cbw`, `cwde`: sign-extends the lower half (`F`) of the accumulator to `W`.
pub fn convert<W: Word, F: Word>(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let v = F::reg(&cpu.regs, 0).sign_extend();
    W::from_u32(v).set_reg(&mut cpu.regs, 0);
    Ok(())
}

/// `cwd`, `cdq`: fills (E)DX with the sign of (E)AX.
pub fn convert_double<W: Word>(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    let sign = (W::reg(&cpu.regs, 0).sign_extend() as i32 >> 31) as u32;
    W::from_u32(sign).set_reg(&mut cpu.regs, 2);
    Ok(())
}

/// `xlat`: AL = byte at (E)BX + AL.
pub fn xlat(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let ea = cpu.regs[3].wrapping_add(cpu.regs[0] & 0xff) & op.mask;
    let v: u8 = cpu.load_at(bus, op, op.seg, ea)?;
    v.set_reg(&mut cpu.regs, 0);
    Ok(())
}

/// `nop`, `pause`, prefetches.
pub fn nop(_cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    Ok(())
}
