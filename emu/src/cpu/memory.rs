//! Loads and stores of instructions.
//!
//! Fast path: one limit compare, one tag compare in the front array, one stamp
//! store for replacement, one checked slice access. Whatever that does not cover
//! (first touch of a page, stale entries, watched frames, page crossings,
//! devices, limits) goes through the slow path, which is the model itself:
//! segment check, TLB, walk, physical access.

use super::op::{FLAT, Flow, Op, SS};
use super::word::Word;
use super::{Cpu, exception::Exception};
use crate::bus::Bus;
use crate::cache::{self, Want};
use crate::mmu::{self, Access, Physical, Privilege};

impl Cpu {
    /// Reads the memory operand of `op`.
    #[inline(always)]
    pub fn load<W: Word>(&mut self, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
        let ea = op.ea(self);
        self.load_at(bus, op, op.seg, ea)
    }

    /// Writes the memory operand of `op`.
    #[inline(always)]
    pub fn store<W: Word>(&mut self, bus: &mut Bus, op: &Op, value: W) -> Result<(), Flow> {
        let ea = op.ea(self);
        self.store_at(bus, op, op.seg, ea, value)
    }

    /// Reads at offset `ea` of segment `seg`.
    #[inline(always)]
    pub fn load_at<W: Word>(&mut self, bus: &mut Bus, op: &Op, seg: u8, ea: u32) -> Result<W, Flow> {
        let s = &self.seg[(seg & 7) as usize];
        let lin = ea.wrapping_add(s.base);
        if ea < s.read_end
            && let Some(at) = self.mmu.hit_read(lin, W::BYTES)
            && let Some(v) = W::get(bus.ram.bytes(), at)
        {
            return Ok(v);
        }
        self.load_slow(bus, op, seg, ea, W::BYTES).map(W::from_u32)
    }

    /// Writes at offset `ea` of segment `seg`.
    #[inline(always)]
    pub fn store_at<W: Word>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        seg: u8,
        ea: u32,
        value: W,
    ) -> Result<(), Flow> {
        let s = &self.seg[(seg & 7) as usize];
        let lin = ea.wrapping_add(s.base);
        if ea < s.write_end
            && let Some(at) = self.mmu.hit_write(lin, W::BYTES)
            && value.put(bus.ram.bytes_mut(), at)
        {
            return Ok(());
        }
        self.store_slow(bus, op, seg, ea, W::BYTES, value.to_u32())
    }

    /// Reads, changes and writes the memory operand with one translation, for writing.
    /// `f` is called only when neither access can fault; it may set flags.
    #[inline(always)]
    pub fn modify<W: Word>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        f: impl FnOnce(&mut Cpu, W) -> W,
    ) -> Result<(), Flow> {
        let ea = op.ea(self);
        self.modify_at(bus, op, ea, f)
    }

    /// [`Cpu::modify`] at a computed offset (bit strings).
    #[inline(always)]
    pub fn modify_at<W: Word>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        ea: u32,
        f: impl FnOnce(&mut Cpu, W) -> W,
    ) -> Result<(), Flow> {
        let s = &self.seg[(op.seg & 7) as usize];
        let lin = ea.wrapping_add(s.base);
        if ea < s.write_end
            && let Some(at) = self.mmu.hit_write(lin, W::BYTES)
            && let Some(old) = W::get(bus.ram.bytes(), at)
        {
            let new = f(self, old);
            new.put(bus.ram.bytes_mut(), at);
            return Ok(());
        }
        let old = self.probe_write(bus, op, op.seg, ea, W::BYTES)?;
        let new = f(self, W::from_u32(old));
        // The probe has shown that this cannot fault, and has waited where it had to.
        bus.at_once(|bus| self.store_slow(bus, op, op.seg, ea, W::BYTES, new.to_u32()))
    }

    /// Pushes a value on the stack.
    #[inline(always)]
    pub fn push<W: Word>(&mut self, bus: &mut Bus, op: &Op, value: W) -> Result<(), Flow> {
        let mask = self.stack_mask();
        let esp = self.regs[4];
        let new = esp.wrapping_sub(W::BYTES) & mask;
        self.store_at(bus, op, SS, new, value)?;
        self.regs[4] = (esp & !mask) | new;
        Ok(())
    }

    /// Pops a value from the stack.
    #[inline(always)]
    pub fn pop<W: Word>(&mut self, bus: &mut Bus, op: &Op) -> Result<W, Flow> {
        let mask = self.stack_mask();
        let esp = self.regs[4];
        let v = self.load_at(bus, op, SS, esp & mask)?;
        self.regs[4] = (esp & !mask) | (esp.wrapping_add(W::BYTES) & mask);
        Ok(v)
    }

    /// `0xffff_ffff` for a 32-bit stack, `0xffff` for a 16-bit one.
    #[inline(always)]
    pub fn stack_mask(&self) -> u32 {
        if self.seg[SS as usize].big() { u32::MAX } else { 0xffff }
    }

    /// Privilege of the current code's accesses.
    pub fn privilege(&self) -> Privilege {
        if self.cpl == 3 { Privilege::User } else { Privilege::Supervisor }
    }

    /// Checks an access against its segment and gives the linear address; #GP(0) or #SS(0) if it is not allowed.
    pub fn segment_check(&mut self, seg: u8, ea: u32, size: u32, access: Access) -> Result<u32, Flow> {
        let s = &self.seg[(seg & 7) as usize];
        let rights = match access {
            Access::Write => s.writable(),
            _ => s.readable(),
        };
        if seg == FLAT || (rights && s.contains(ea, size)) {
            return Ok(ea.wrapping_add(s.base));
        }
        self.raise(if seg == SS { Exception::SS0 } else { Exception::GP0 })
    }

    #[cold]
    #[inline(never)]
    fn load_slow(&mut self, bus: &mut Bus, op: &Op, seg: u8, ea: u32, size: u32) -> Result<u32, Flow> {
        let lin = self.segment_check(seg, ea, size, Access::Read)?;
        let privilege = self.privilege();
        self.read_linear(bus, op.before, lin, size, privilege)
    }

    #[cold]
    #[inline(never)]
    fn store_slow(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        seg: u8,
        ea: u32,
        size: u32,
        value: u32,
    ) -> Result<(), Flow> {
        let lin = self.segment_check(seg, ea, size, Access::Write)?;
        let privilege = self.privilege();
        self.write_linear(bus, op.before, lin, size, value, privilege)
    }

    /// Translates for writing, without writing, and reads the old value.
    #[cold]
    #[inline(never)]
    pub fn probe_write(&mut self, bus: &mut Bus, op: &Op, seg: u8, ea: u32, size: u32) -> Result<u32, Flow> {
        let lin = self.segment_check(seg, ea, size, Access::Write)?;
        let privilege = self.privilege();
        self.probe_linear(bus, op.before, lin, size, privilege)?;
        self.read_linear(bus, op.before, lin, size, privilege)
    }

    /// Makes sure that a write of `size` bytes will not fault, watched and device frames included, that its lines
    /// are here to be written, and that all others have come to it if it concerns them.
    pub fn probe_linear(
        &mut self,
        bus: &mut Bus,
        before: u16,
        lin: u32,
        size: u32,
        privilege: Privilege,
    ) -> Result<(), Flow> {
        let first = mmu::translate(self, bus, lin, Access::Write, privilege, before)?;
        let last = lin.wrapping_add(size - 1);
        let second = if last >> 12 != lin >> 12 {
            mmu::translate(self, bus, last & !0xfff, Access::Write, privilege, before)?
        } else {
            first
        };
        // Devices and code are written in careful mode only; ask for it before anything has changed.
        let cut = if last >> 12 != lin >> 12 { 4096 - (lin & 0xfff) } else { size };
        for (t, size) in [(first, cut), (second, size - cut)] {
            if size == 0 {
                continue;
            }
            if t.at.is_none() || bus.ram.holds_code(crate::addr::Frame((t.pa >> 12) as u32)) {
                self.need_care()?;
            }
            cache::access(self, bus, before, t, size, Want::Write)?;
            bus.write_in_order(self, before, t)?;
        }
        self.check_alignment(lin, size, privilege)
    }

    /// Reads `size` (1, 2 or 4) bytes at a linear address.
    pub fn read_linear(
        &mut self,
        bus: &mut Bus,
        before: u16,
        lin: u32,
        size: u32,
        privilege: Privilege,
    ) -> Result<u32, Flow> {
        if self.mmu.front_is_for(privilege)
            && let Some(at) = self.mmu.hit_read(lin, size)
        {
            return bus.read(self, before, Physical { pa: 0, at: Some(at) }, size);
        }
        if (lin & 0xfff) + size <= 4096 {
            let t = mmu::translate(self, bus, lin, Access::Read, privilege, before)?;
            self.watch_access(lin, size, Access::Read, privilege)?;
            return bus.read(self, before, t, size);
        }
        // Crosses a page: both halves are translated before either is read.
        let cut = 4096 - (lin & 0xfff);
        let second = lin.wrapping_add(cut);
        let a = mmu::translate(self, bus, lin, Access::Read, privilege, before)?;
        let b = mmu::translate(self, bus, second, Access::Read, privilege, before)?;
        self.watch_access(lin, size, Access::Read, privilege)?;
        let mut v = 0;
        for i in 0..size {
            let t = if i < cut { a.plus(i) } else { b.plus(i - cut) };
            v |= bus.read(self, before, t, 1)? << (8 * i);
        }
        Ok(v)
    }

    /// Writes `size` (1, 2 or 4) bytes at a linear address.
    pub fn write_linear(
        &mut self,
        bus: &mut Bus,
        before: u16,
        lin: u32,
        size: u32,
        value: u32,
        privilege: Privilege,
    ) -> Result<(), Flow> {
        if self.mmu.front_is_for(privilege)
            && let Some(at) = self.mmu.hit_write(lin, size)
        {
            // What the front array lets be written is plain, unwatched memory.
            bus.put(at, size, value);
            return Ok(());
        }
        if (lin & 0xfff) + size <= 4096 {
            let t = mmu::translate(self, bus, lin, Access::Write, privilege, before)?;
            self.watch_access(lin, size, Access::Write, privilege)?;
            return bus.write(self, before, t, size, value);
        }
        let cut = 4096 - (lin & 0xfff);
        let second = lin.wrapping_add(cut);
        self.probe_linear(bus, before, lin, size, privilege)?;
        let a = mmu::translate(self, bus, lin, Access::Write, privilege, before)?;
        let b = mmu::translate(self, bus, second, Access::Write, privilege, before)?;
        self.watch_access(lin, size, Access::Write, privilege)?;
        bus.at_once(|bus| {
            (0..size).try_for_each(|i| {
                let t = if i < cut { a.plus(i) } else { b.plus(i - cut) };
                bus.write(self, before, t, 1, (value >> (8 * i)) & 0xff)
            })
        })
    }
}
