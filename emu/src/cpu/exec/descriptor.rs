//! Descriptor tables: reading, checking and marking descriptors.
//!
//! What every load of a segment register has in common. The accesses to the
//! tables are supervisor accesses to linear addresses, whatever the privilege
//! of the code that causes them; they use the TLBs and may fault like others.
//! (SDM vol. 3A, "Segment Descriptors", "Checking Descriptor Privileges".)
//!
//! ```text
//!  high  31     24 23 22 21 20 19    16 15 14 13 12 11   8 7      0
//!       | base    | G| D| -| A| limit  | P| DPL | S| type | base   |
//!  low   31                          16 15                       0
//!       | base                         | limit                    |
//! ```

use crate::bus::Bus;
use crate::cache::LINE_SHIFT;
use crate::cpu::Cpu;
use crate::cpu::exception::{Exception, vector};
use crate::cpu::op::Flow;
use crate::cpu::segment::{Segment, attr};
use crate::mmu::Privilege;

/// Types of system descriptors (S = 0).
pub mod system_type {
    /// 16-bit TSS, available.
    pub const TSS16: u8 = 1;
    /// Local descriptor table.
    pub const LDT: u8 = 2;
    /// 16-bit TSS, busy.
    pub const TSS16_BUSY: u8 = 3;
    /// 16-bit call gate.
    pub const CALL_GATE16: u8 = 4;
    /// Task gate.
    pub const TASK_GATE: u8 = 5;
    /// 16-bit interrupt gate.
    pub const INTERRUPT_GATE16: u8 = 6;
    /// 16-bit trap gate.
    pub const TRAP_GATE16: u8 = 7;
    /// 32-bit TSS, available.
    pub const TSS32: u8 = 9;
    /// 32-bit TSS, busy.
    pub const TSS32_BUSY: u8 = 11;
    /// 32-bit call gate.
    pub const CALL_GATE32: u8 = 12;
    /// 32-bit interrupt gate.
    pub const INTERRUPT_GATE32: u8 = 14;
    /// 32-bit trap gate.
    pub const TRAP_GATE32: u8 = 15;
}

/// A descriptor as read from its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Linear address of its first byte.
    pub at: u32,
    /// Bytes 0..4.
    pub low: u32,
    /// Bytes 4..8.
    pub high: u32,
}

impl Descriptor {
    /// Attributes in the form of [`Segment::attr`].
    pub fn attr(&self) -> u16 {
        (self.high >> 8) as u16 & 0xf0ff
    }

    /// Base linear address of a segment.
    pub fn base(&self) -> u32 {
        self.low >> 16 | (self.high & 0xff) << 16 | self.high & 0xff00_0000
    }

    /// Limit of a segment in bytes, inclusive.
    pub fn limit(&self) -> u32 {
        let raw = self.low & 0xffff | self.high & 0x000f_0000;
        if self.attr() & attr::GRANULAR != 0 { raw << 12 | 0xfff } else { raw }
    }

    /// Present?
    pub fn present(&self) -> bool {
        self.attr() & attr::PRESENT != 0
    }

    /// Descriptor privilege level.
    pub fn dpl(&self) -> u8 {
        (self.high >> 13) as u8 & 3
    }

    /// A code segment?
    pub fn is_code(&self) -> bool {
        self.attr() & (attr::S | attr::CODE) == attr::S | attr::CODE
    }

    /// A conforming code segment?
    pub fn is_conforming(&self) -> bool {
        self.is_code() && self.attr() & attr::DOWN_OR_CONFORMING != 0
    }

    /// A data segment or a code segment that may be read?
    pub fn is_readable(&self) -> bool {
        self.attr() & attr::S != 0 && self.attr() & (attr::CODE | attr::RW) != attr::CODE
    }

    /// A data segment that may be written?
    pub fn is_writable(&self) -> bool {
        self.attr() & (attr::S | attr::CODE | attr::RW) == attr::S | attr::RW
    }

    /// Type of a system descriptor, if it is one.
    pub fn system_type(&self) -> Option<u8> {
        (self.attr() & attr::S == 0).then_some((self.attr() & 15) as u8)
    }

    /// Offset in the target code segment, of a gate. 16-bit gates have only the low half.
    pub fn gate_offset(&self) -> u32 {
        let wide = self.attr() & 8 != 0;
        self.low & 0xffff | if wide { self.high & 0xffff_0000 } else { 0 }
    }

    /// Selector of the target code segment, of a gate.
    pub fn gate_selector(&self) -> u16 {
        (self.low >> 16) as u16
    }

    /// The segment register's content after loading this descriptor.
    pub fn segment(&self, selector: u16) -> Segment {
        let accessed = if self.attr() & attr::S != 0 { attr::ACCESSED } else { 0 };
        Segment::new(selector, self.base(), self.limit(), self.attr() | accessed)
    }
}

/// Null selector? (Index 0 of the GDT, whatever the RPL.)
pub fn is_null(selector: u16) -> bool {
    selector & !3 == 0
}

/// Error code that names a selector: RPL cut off, TI kept.
pub fn selector_code(selector: u16) -> u32 {
    u32::from(selector & !3)
}

/// A fault that names a selector.
pub fn selector_fault(vector: u8, selector: u16) -> Exception {
    Exception::with_code(vector, selector_code(selector))
}

/// #GP that names a selector.
pub fn gp(selector: u16) -> Exception {
    selector_fault(vector::GP, selector)
}

/// #NP that names a selector.
pub fn np(selector: u16) -> Exception {
    selector_fault(vector::NP, selector)
}

/// Reads the descriptor of `selector`; `None` when it lies beyond its table (or there is no LDT).
/// A null selector is the caller's affair.
pub fn read(cpu: &mut Cpu, bus: &mut Bus, before: u16, selector: u16) -> Result<Option<Descriptor>, Flow> {
    let index = u32::from(selector & !7);
    let (base, limit) = if selector & 4 == 0 {
        (cpu.gdtr.base, u32::from(cpu.gdtr.limit))
    } else if cpu.ldtr.attr & attr::PRESENT != 0 {
        (cpu.ldtr.base, cpu.ldtr.limit)
    } else {
        return Ok(None);
    };
    if index + 7 > limit {
        return Ok(None);
    }
    let at = base.wrapping_add(index);
    let low = cpu.read_linear(bus, before, at, 4, Privilege::Supervisor)?;
    let high = cpu.read_linear(bus, before, at.wrapping_add(4), 4, Privilege::Supervisor)?;
    Ok(Some(Descriptor { at, low, high }))
}

/// Reads the descriptor of a selector that must not be null: #GP(0), or #GP(selector) beyond the table.
pub fn require(cpu: &mut Cpu, bus: &mut Bus, before: u16, selector: u16) -> Result<Descriptor, Flow> {
    if is_null(selector) {
        return cpu.raise(Exception::GP0);
    }
    match read(cpu, bus, before, selector)? {
        Some(d) => Ok(d),
        None => cpu.raise(gp(selector)),
    }
}

/// Sets the accessed bit of a code or data descriptor in its table, if it is clear.
pub fn mark_accessed(cpu: &mut Cpu, bus: &mut Bus, before: u16, d: &Descriptor) -> Result<(), Flow> {
    if d.attr() & attr::ACCESSED != 0 {
        return Ok(());
    }
    write_type(cpu, bus, before, d, (d.high >> 8) as u8 | attr::ACCESSED as u8)
}

/// Sets or clears the busy bit of a TSS descriptor in its table.
pub fn mark_busy(cpu: &mut Cpu, bus: &mut Bus, before: u16, d: &Descriptor, busy: bool) -> Result<(), Flow> {
    let kind = (d.high >> 8) as u8;
    write_type(cpu, bus, before, d, if busy { kind | 2 } else { kind & !2 })
}

fn write_type(cpu: &mut Cpu, bus: &mut Bus, before: u16, d: &Descriptor, byte: u8) -> Result<(), Flow> {
    cpu.write_linear(bus, before, d.at.wrapping_add(5), 1, u32::from(byte), Privilege::Supervisor)
}

/// Checks `selector` for DS, ES, FS or GS at the current privilege level and gives the register's new content.
/// Violations raise `bad` with the selector: #GP for instructions, #TS in a task switch.
pub fn load_data(cpu: &mut Cpu, bus: &mut Bus, before: u16, selector: u16, bad: u8) -> Result<Segment, Flow> {
    if is_null(selector) {
        return Ok(null_segment(selector));
    }
    let Some(d) = read(cpu, bus, before, selector)? else {
        return cpu.raise(selector_fault(bad, selector));
    };
    let allowed = d.is_readable() && (d.is_conforming() || d.dpl() >= cpu.cpl.max((selector & 3) as u8));
    if !allowed {
        return cpu.raise(selector_fault(bad, selector));
    }
    if !d.present() {
        return cpu.raise(np(selector));
    }
    mark_accessed(cpu, bus, before, &d)?;
    Ok(d.segment(selector))
}

/// Checks `selector` for SS of code at privilege level `cpl`. Violations raise `bad` (#GP for loads and returns,
/// #TS for stacks that come from a TSS) with the selector, an absent segment #SS.
pub fn load_stack(
    cpu: &mut Cpu,
    bus: &mut Bus,
    before: u16,
    selector: u16,
    cpl: u8,
    bad: u8,
) -> Result<Segment, Flow> {
    let d = check_stack(cpu, bus, before, selector, cpl, bad)?;
    mark_accessed(cpu, bus, before, &d)?;
    Ok(d.segment(selector))
}

/// The checks of [`load_stack`]; the descriptor does not become accessed.
pub fn check_stack(
    cpu: &mut Cpu,
    bus: &mut Bus,
    before: u16,
    selector: u16,
    cpl: u8,
    bad: u8,
) -> Result<Descriptor, Flow> {
    if is_null(selector) {
        return cpu.raise(Exception::with_code(bad, 0));
    }
    let Some(d) = read(cpu, bus, before, selector)? else {
        return cpu.raise(selector_fault(bad, selector));
    };
    if (selector & 3) as u8 != cpl || d.dpl() != cpl || !d.is_writable() {
        return cpu.raise(selector_fault(bad, selector));
    }
    if !d.present() {
        return cpu.raise(selector_fault(vector::SS, selector));
    }
    Ok(d)
}

/// A segment register after loading a null selector: unusable.
pub fn null_segment(selector: u16) -> Segment {
    Segment::new(selector, 0, 0, 0)
}

/// A segment register after loading `selector` in real or virtual-8086 mode. Real mode replaces the base
/// only: limit and size stay as they were last loaded in protected mode ("big real mode").
pub fn real_segment(cpu: &Cpu, number: u8, selector: u16) -> Segment {
    if cpu.v86() {
        return v86_segment(selector);
    }
    let old = &cpu.seg[(number & 7) as usize];
    let kept = old.attr & (attr::BIG | attr::GRANULAR);
    Segment::new(
        selector,
        u32::from(selector) << 4,
        old.limit,
        kept | attr::PRESENT | attr::S | attr::RW | attr::ACCESSED,
    )
}

/// A segment register in virtual-8086 mode.
pub fn v86_segment(selector: u16) -> Segment {
    Segment::new(
        selector,
        u32::from(selector) << 4,
        0xffff,
        attr::PRESENT | attr::S | attr::RW | attr::ACCESSED | 3 << 5,
    )
}

/// SS and ESP for privilege level `level` from the current TSS: selector and offset. #TS beyond its limit.
/// (SDM vol. 3A, "Task-State Segment (TSS)".)
pub fn tss_stack(cpu: &mut Cpu, bus: &mut Bus, before: u16, level: u8) -> Result<(u16, u32), Flow> {
    let level = u32::from(level & 3);
    let wide = cpu.tr.attr & 8 != 0;
    let at = if wide { level * 8 + 4 } else { level * 4 + 2 };
    let last = at + if wide { 5 } else { 3 };
    if cpu.tr.attr & attr::PRESENT == 0 || last > cpu.tr.limit {
        let tr = cpu.tr.selector;
        return cpu.raise(selector_fault(vector::TS, tr));
    }
    let at = cpu.tr.base.wrapping_add(at);
    let size = if wide { 4 } else { 2 };
    let esp = cpu.read_linear(bus, before, at, size, Privilege::Supervisor)?;
    let ss = cpu.read_linear(bus, before, at.wrapping_add(size), 2, Privilege::Supervisor)?;
    Ok((ss as u16, esp))
}

/// Width of the values pushed by a gate or an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 16 bits.
    W16,
    /// 32 bits.
    W32,
}

impl Width {
    /// Width of an operand-size prefix or gate type.
    pub fn of(wide: bool) -> Width {
        if wide { Width::W32 } else { Width::W16 }
    }

    /// Bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Width::W16 => 2,
            Width::W32 => 4,
        }
    }

    /// The bits of a value that count.
    pub fn mask(self) -> u32 {
        match self {
            Width::W16 => 0xffff,
            Width::W32 => u32::MAX,
        }
    }
}

/// A stack to push a frame on: the current one or that of an inner level.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// SS.
    pub ss: Segment,
    /// ESP.
    pub esp: u32,
    /// Privilege level of the code that will use it.
    pub cpl: u8,
    /// What an offset beyond the limit raises.
    pub overflow: Exception,
}

impl Stack {
    /// The current stack.
    pub fn current(cpu: &Cpu) -> Stack {
        Stack {
            ss: cpu.seg[usize::from(crate::cpu::op::SS)],
            esp: cpu.regs[4],
            cpl: cpu.cpl,
            overflow: Exception::SS0,
        }
    }

    /// The stack for privilege level `level` from the TSS.
    pub fn inner(cpu: &mut Cpu, bus: &mut Bus, before: u16, level: u8) -> Result<Stack, Flow> {
        let (selector, esp) = tss_stack(cpu, bus, before, level)?;
        let ss = load_stack(cpu, bus, before, selector, level, vector::TS)?;
        Ok(Stack { ss, esp, cpl: level, overflow: selector_fault(vector::SS, selector) })
    }

    fn mask(&self) -> u32 {
        if self.ss.big() { u32::MAX } else { 0xffff }
    }

    /// Do `count` values fit below ESP? What the manual asks before it looks where the transfer goes.
    pub fn require_room(&self, cpu: &mut Cpu, width: Width, count: usize) -> Result<(), Flow> {
        let (size, mask) = (width.bytes(), self.mask());
        let mut offset = self.esp;
        for _ in 0..count {
            offset = offset.wrapping_sub(size) & mask;
            self.require_slot(cpu, offset, size)?;
        }
        Ok(())
    }

    fn require_slot(&self, cpu: &mut Cpu, offset: u32, size: u32) -> Result<(), Flow> {
        if !self.ss.writable() || !self.ss.contains(offset, size) {
            return cpu.raise(self.overflow);
        }
        Ok(())
    }

    /// Pushes `values`, the first one first, and gives the new ESP; registers stay as they are.
    /// All of them are checked before the first is written, so that a fault leaves nothing behind.
    pub fn push_all(
        &self,
        cpu: &mut Cpu,
        bus: &mut Bus,
        before: u16,
        width: Width,
        values: &[u32],
    ) -> Result<u32, Flow> {
        let size = width.bytes();
        let privilege = if self.cpl == 3 { Privilege::User } else { Privilege::Supervisor };
        let mask = self.mask();
        let mut checked_line = None;
        let mut offset = self.esp;
        for _ in values {
            offset = offset.wrapping_sub(size) & mask;
            self.require_slot(cpu, offset, size)?;
            let at = self.ss.base.wrapping_add(offset);
            let line = at >> LINE_SHIFT;
            if checked_line != Some(line) || at.wrapping_add(size - 1) >> LINE_SHIFT != line {
                cpu.probe_linear(bus, before, at, size, privilege)?;
                checked_line = Some(line);
            }
        }
        offset = self.esp;
        bus.at_once(|bus| {
            values.iter().try_for_each(|v| {
                offset = offset.wrapping_sub(size) & mask;
                let at = self.ss.base.wrapping_add(offset);
                cpu.write_linear(bus, before, at, size, v & width.mask(), privilege)
            })
        })?;
        Ok(self.esp & !mask | offset & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(low: u32, high: u32) -> Descriptor {
        Descriptor { at: 0, low, high }
    }

    #[test]
    fn flat_code_descriptor_is_taken_apart() {
        let c = d(0x0000_ffff, 0x00cf_9a00);
        assert_eq!((c.base(), c.limit(), c.dpl()), (0, u32::MAX, 0));
        assert!(c.is_code() && c.is_readable() && !c.is_writable() && !c.is_conforming() && c.present());
        let s = c.segment(8);
        assert!(s.big() && s.attr & attr::ACCESSED != 0);
    }

    #[test]
    fn byte_granular_base_and_limit() {
        let c = d(0x5678_abcd, 0x1249_f234);
        assert_eq!(c.base(), 0x1234_5678);
        assert_eq!(c.limit(), 0x9abcd);
        assert_eq!(c.dpl(), 3);
        assert!(c.is_writable() && !c.is_code());
    }

    #[test]
    fn execute_only_code_cannot_be_read() {
        let c = d(0xffff, 0x00cf_9800);
        assert!(c.is_code() && !c.is_readable());
    }

    #[test]
    fn gates_join_their_offset() {
        let wide = d(0x0008_5678, 0x1234_8e00);
        assert_eq!(wide.system_type(), Some(system_type::INTERRUPT_GATE32));
        assert_eq!((wide.gate_selector(), wide.gate_offset()), (8, 0x1234_5678));
        let narrow = d(0x0008_5678, 0x1234_8600);
        assert_eq!(narrow.gate_offset(), 0x5678);
    }

    #[test]
    fn null_selectors_ignore_rpl() {
        assert!(is_null(3) && !is_null(4) && !is_null(8));
        assert_eq!(selector_code(0x1f), 0x1c);
    }
}
