//! System instructions: control and debug registers, descriptor-table
//! registers, `invlpg`, `hlt`, caches, time-stamp counter.
//!
//! All that SDM vol. 2 restricts to ring 0 raises #GP(0) elsewhere. CR4.VME, PVI and
//! MCE are reserved, as CPUID offers none of them.
//! (SDM vol. 3A, "Control Registers", "Invalidation of TLBs and Paging-Structure Caches".)

use super::cpuid::feature;
use super::descriptor::{self, system_type};
pub use super::reset::{enter_multiboot, init, start_up};
use crate::addr::PhysAddr;
use crate::bus::Bus;
use crate::cpu::debug::{dr6, dr7};
use crate::cpu::exception::{Exception, vector};
use crate::cpu::flags::RF;
use crate::cpu::op::{Flow, Op, Step};
use crate::cpu::segment::Segment;
use crate::cpu::word::Word;
use crate::cpu::{Cpu, Request, Table, cr0, cr4};
use crate::ledger::Kind;
use crate::mmu::{self, entry::PDPTE_RESERVED};
use crate::observe::{Wanted, What};

/// Bits of CR0 that hold; others read zero.
const CR0_BITS: u32 =
    cr0::PE | cr0::MP | cr0::EM | cr0::TS | cr0::NE | cr0::WP | cr0::AM | cr0::NW | cr0::CD | cr0::PG;
/// Bits of CR4 that may be set, and what CPUID must offer for them.
const CR4_BITS: [(u32, u32); 7] = [
    (cr4::TSD, feature::TSC),
    (cr4::DE, feature::DE),
    (cr4::PSE, feature::PSE),
    (cr4::PAE, feature::PAE),
    (cr4::PGE, feature::PGE),
    (cr4::PCE, 0),
    (cr4::OSFXSR, feature::FXSR),
];
/// Bits of CR4 whose change flushes all translations.
const CR4_FLUSH: u32 = cr4::PSE | cr4::PAE | cr4::PGE;

/// #GP(0) outside ring 0.
pub(super) fn ring0(cpu: &mut Cpu) -> Result<(), Flow> {
    if cpu.cpl == 0 { Ok(()) } else { cpu.raise(Exception::GP0) }
}

/// Charges a system instruction and ends the block.
fn finish(cpu: &mut Cpu, op: &Op, cost: u32) -> Step {
    cpu.charge(Kind::System, cost);
    cpu.end_block(op)
}

fn finish_system(cpu: &mut Cpu, op: &Op) -> Step {
    let cost = cpu.costs.system;
    finish(cpu, op, cost)
}

/// `ud2`, and every undefined opcode: #UD.
pub fn ud2(cpu: &mut Cpu, _: &mut Bus, _: &Op) -> Step {
    cpu.raise(Exception::UD)
}

/// `mov r32, crN`.
pub fn mov_from_cr(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let v = match op.src {
        0 => cpu.cr0,
        2 => cpu.cr2,
        3 => cpu.cr3,
        4 => cpu.cr4,
        _ => return cpu.raise(Exception::UD),
    };
    ring0(cpu)?;
    v.set_reg(&mut cpu.regs, op.dst);
    finish_system(cpu, op)
}

/// `mov crN, r32`.
pub fn mov_to_cr(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    if !matches!(op.dst, 0 | 2 | 3 | 4) {
        return cpu.raise(Exception::UD);
    }
    ring0(cpu)?;
    let v = u32::reg(&cpu.regs, op.src);
    match op.dst {
        0 => write_cr0(cpu, bus, op, v),
        2 => {
            cpu.cr2 = v;
            finish_system(cpu, op)
        }
        3 => write_cr3(cpu, bus, op, v),
        _ => write_cr4(cpu, bus, op, v),
    }
}

/// The four PDPTEs at `cr3`; #GP(0) if a present one has a reserved bit set.
fn read_pdptes(cpu: &mut Cpu, bus: &mut Bus, cr3: u32) -> Result<[u64; 4], Flow> {
    let mut pdptes = [0; 4];
    for (i, e) in (0u64..).zip(pdptes.iter_mut()) {
        let at = u64::from(cr3 & !31) + 8 * i;
        // Where there is no RAM the bus floats.
        let mut half = |at| u64::from(bus.ram.read32(PhysAddr(at)).unwrap_or(u32::MAX));
        *e = half(at) | half(at + 4) << 32;
    }
    if pdptes.iter().any(|e| e & 1 != 0 && e & PDPTE_RESERVED != 0) {
        return cpu.raise(Exception::GP0);
    }
    Ok(pdptes)
}

/// Flushes everything, global entries too, and tells observers. It counts as a global flush if there
/// could be global entries: CR4.PGE off and on again is one.
fn flush_everything(cpu: &mut Cpu, bus: &mut Bus, op: &Op, cr4_before: u32) {
    let now = cpu.now(op);
    mmu::flush_all(cpu, bus, now);
    if cr4_before & cr4::PGE != 0 {
        cpu.count.global_flushes += 1;
        bus.events.push(Wanted::FLUSHES, cpu.id, now, What::GlobalFlush);
    }
}

fn write_cr0(cpu: &mut Cpu, bus: &mut Bus, op: &Op, v: u32) -> Step {
    let new = v & CR0_BITS | cr0::ET;
    let old = cpu.cr0;
    if new & (cr0::PG | cr0::PE) == cr0::PG || new & (cr0::NW | cr0::CD) == cr0::NW {
        return cpu.raise(Exception::GP0);
    }
    let changed = new ^ old;
    if changed & cr0::PG != 0 && new & cr0::PG != 0 && cpu.cr4 & cr4::PAE != 0 {
        let cr3 = cpu.cr3;
        let pdptes = read_pdptes(cpu, bus, cr3)?;
        cpu.mmu.load_pdptes(pdptes);
    }
    cpu.cr0 = new;
    cpu.review_debug();
    cpu.mmu.refresh_mode(new, cpu.cr3, cpu.cr4);
    if changed & cr0::PG != 0 {
        let cr4 = cpu.cr4;
        flush_everything(cpu, bus, op, cr4);
    }
    finish_system(cpu, op)
}

fn write_cr3(cpu: &mut Cpu, bus: &mut Bus, op: &Op, v: u32) -> Step {
    load_cr3(cpu, bus, op.before, v)?;
    cpu.end_block(op)
}

/// Loads CR3, by an instruction or a task switch, and flushes what is not global; #GP(0) for PDPTEs with reserved bits.
pub(super) fn load_cr3(cpu: &mut Cpu, bus: &mut Bus, before: u16, v: u32) -> Step {
    if cpu.cr0 & cr0::PG != 0 && cpu.cr4 & cr4::PAE != 0 {
        let pdptes = read_pdptes(cpu, bus, v)?;
        cpu.mmu.load_pdptes(pdptes);
    }
    // Without PAE bits 0..12 are ignored but for PWT and PCD; with PAE bits 5..12 are part of the address.
    cpu.cr3 = if cpu.cr4 & cr4::PAE != 0 { v & !7 | v & 0x18 } else { v & 0xffff_f018 };
    cpu.count.cr3_loads += 1;
    cpu.mmu.refresh_mode(cpu.cr0, cpu.cr3, cpu.cr4);
    cpu.charge(Kind::Flush, cpu.costs.cr3_load);
    let now = cpu.clock + u64::from(before);
    mmu::flush_non_global(cpu, bus, now);
    bus.events.push(Wanted::FLUSHES, cpu.id, now, What::Cr3Load(cpu.cr3));
    Ok(())
}

fn write_cr4(cpu: &mut Cpu, bus: &mut Bus, op: &Op, v: u32) -> Step {
    let offered = CR4_BITS.iter().filter(|(_, f)| cpu.identity.has(*f)).fold(0, |m, (bit, _)| m | bit);
    if v & !offered != 0 {
        return cpu.raise(Exception::GP0);
    }
    let changed = v ^ cpu.cr4;
    if changed & cr4::PAE != 0 && v & cr4::PAE != 0 && cpu.cr0 & cr0::PG != 0 {
        let cr3 = cpu.cr3;
        let pdptes = read_pdptes(cpu, bus, cr3)?;
        cpu.mmu.load_pdptes(pdptes);
    }
    cpu.cr4 = v;
    cpu.review_debug();
    if changed & CR4_FLUSH == 0 {
        return finish_system(cpu, op);
    }
    cpu.charge(Kind::Flush, cpu.costs.cr4_pge_write);
    // The old mode's tags are dropped before the new mode looks for its own.
    flush_everything(cpu, bus, op, v ^ changed);
    cpu.mmu.refresh_mode(cpu.cr0, cpu.cr3, cpu.cr4);
    cpu.end_block(op)
}

/// Number of the debug register meant by the encoding: 4 and 5 are 6 and 7, or #UD with CR4.DE.
fn debug_register(cpu: &mut Cpu, n: u8) -> Result<usize, Flow> {
    match n {
        4 | 5 if cpu.cr4 & cr4::DE != 0 => cpu.raise(Exception::UD),
        4 | 5 => Ok(usize::from(n) + 2),
        _ => Ok(usize::from(n & 7)),
    }
}

/// Before any debug register is touched: #GP(0) outside ring 0, #DB under general detect.
fn may_touch(cpu: &mut Cpu) -> Result<(), Flow> {
    ring0(cpu)?;
    if cpu.dr[7] & dr7::GD == 0 {
        return Ok(());
    }
    cpu.dr[6] |= dr6::BD;
    cpu.raise(Exception::plain(vector::DB))
}

/// `mov r32, drN`.
pub fn mov_from_dr(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let n = debug_register(cpu, op.src)?;
    may_touch(cpu)?;
    cpu.dr[n].set_reg(&mut cpu.regs, op.dst);
    finish_system(cpu, op)
}

/// `mov drN, r32`.
pub fn mov_to_dr(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let n = debug_register(cpu, op.dst)?;
    may_touch(cpu)?;
    let v = u32::reg(&cpu.regs, op.src);
    cpu.dr[n] = match n {
        6 => v & 0xe00f | 0xffff_0ff0,
        7 => v & 0xffff_2fff | 0x400,
        _ => v,
    };
    cpu.review_debug();
    finish_system(cpu, op)
}

fn read_table(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Result<Table, Flow> {
    ring0(cpu)?;
    let ea = op.ea(cpu);
    let limit: u16 = cpu.load_at(bus, op, op.seg, ea)?;
    let base: u32 = cpu.load_at(bus, op, op.seg, ea.wrapping_add(2) & op.mask)?;
    let mask = if op.bits & Op::OP16 != 0 { 0x00ff_ffff } else { u32::MAX };
    Ok(Table { base: base & mask, limit })
}

/// `lgdt m16&32`.
pub fn lgdt(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    cpu.gdtr = read_table(cpu, bus, op)?;
    finish_system(cpu, op)
}

/// `lidt m16&32`.
pub fn lidt(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    cpu.idtr = read_table(cpu, bus, op)?;
    finish_system(cpu, op)
}

fn write_table(cpu: &mut Cpu, bus: &mut Bus, op: &Op, t: Table) -> Step {
    let ea = op.ea(cpu);
    let second = ea.wrapping_add(2) & op.mask;
    // Shows that neither store can fault before one is made; the first counts if both would.
    cpu.probe_write(bus, op, op.seg, ea, 2)?;
    cpu.probe_write(bus, op, op.seg, second, 4)?;
    bus.at_once(|bus| {
        cpu.store_at(bus, op, op.seg, ea, t.limit)?;
        cpu.store_at(bus, op, op.seg, second, t.base)
    })?;
    finish_system(cpu, op)
}

/// `sgdt m`. The base is stored whole with either operand size, as later processors do.
pub fn sgdt(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let t = cpu.gdtr;
    write_table(cpu, bus, op, t)
}

/// `sidt m`.
pub fn sidt(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let t = cpu.idtr;
    write_table(cpu, bus, op, t)
}

/// `lldt` and `ltr` exist in protected mode only, for ring 0.
fn protected_ring0(cpu: &mut Cpu) -> Result<(), Flow> {
    if cpu.real_segments() {
        return cpu.raise(Exception::UD);
    }
    ring0(cpu)
}

fn load_ldtr(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16) -> Step {
    if descriptor::is_null(selector) {
        cpu.ldtr = descriptor::null_segment(selector);
        return finish_system(cpu, op);
    }
    if selector & 4 != 0 {
        return cpu.raise(descriptor::gp(selector));
    }
    let d = descriptor::require(cpu, bus, op.before, selector)?;
    if d.system_type() != Some(system_type::LDT) {
        return cpu.raise(descriptor::gp(selector));
    }
    if !d.present() {
        return cpu.raise(descriptor::np(selector));
    }
    cpu.ldtr = d.segment(selector);
    finish_system(cpu, op)
}

/// `lldt r16`.
pub fn lldt_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    protected_ring0(cpu)?;
    let selector = u16::reg(&cpu.regs, op.src);
    load_ldtr(cpu, bus, op, selector)
}

/// `lldt m16`.
pub fn lldt_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    protected_ring0(cpu)?;
    let selector = cpu.load(bus, op)?;
    load_ldtr(cpu, bus, op, selector)
}

fn load_tr(cpu: &mut Cpu, bus: &mut Bus, op: &Op, selector: u16) -> Step {
    if selector & 4 != 0 {
        return cpu.raise(descriptor::gp(selector));
    }
    let d = descriptor::require(cpu, bus, op.before, selector)?;
    if !matches!(d.system_type(), Some(system_type::TSS16 | system_type::TSS32)) {
        return cpu.raise(descriptor::gp(selector));
    }
    if !d.present() {
        return cpu.raise(descriptor::np(selector));
    }
    descriptor::mark_busy(cpu, bus, op.before, &d, true)?;
    let mut tr: Segment = d.segment(selector);
    tr.attr |= 2;
    cpu.tr = tr;
    finish_system(cpu, op)
}

/// `ltr r16`.
pub fn ltr_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    protected_ring0(cpu)?;
    let selector = u16::reg(&cpu.regs, op.src);
    load_tr(cpu, bus, op, selector)
}

/// `ltr m16`.
pub fn ltr_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    protected_ring0(cpu)?;
    let selector = cpu.load(bus, op)?;
    load_tr(cpu, bus, op, selector)
}

/// Stores a 16-bit system value in a register; a 32-bit destination is zero-extended.
fn store_reg(cpu: &mut Cpu, op: &Op, v: u32) -> Step {
    if op.bits & Op::OP16 != 0 {
        (v as u16).set_reg(&mut cpu.regs, op.dst);
    } else {
        v.set_reg(&mut cpu.regs, op.dst);
    }
    finish_system(cpu, op)
}

fn store_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op, v: u16) -> Step {
    cpu.store(bus, op, v)?;
    finish_system(cpu, op)
}

fn selector_of(cpu: &mut Cpu, segment: fn(&Cpu) -> &Segment) -> Result<u16, Flow> {
    if cpu.real_segments() {
        return cpu.raise(Exception::UD);
    }
    Ok(segment(cpu).selector)
}

/// `sldt r`.
pub fn sldt_reg(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let v = selector_of(cpu, |c| &c.ldtr)?;
    store_reg(cpu, op, u32::from(v))
}

/// `sldt m16`.
pub fn sldt_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v = selector_of(cpu, |c| &c.ldtr)?;
    store_mem(cpu, bus, op, v)
}

/// `str r`.
pub fn str_reg(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let v = selector_of(cpu, |c| &c.tr)?;
    store_reg(cpu, op, u32::from(v))
}

/// `str m16`.
pub fn str_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v = selector_of(cpu, |c| &c.tr)?;
    store_mem(cpu, bus, op, v)
}

/// `smsw r`: with a 32-bit destination all of CR0.
pub fn smsw_reg(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let v = cpu.cr0;
    store_reg(cpu, op, v)
}

/// `smsw m16`.
pub fn smsw_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    let v = cpu.cr0 as u16;
    store_mem(cpu, bus, op, v)
}

/// The low four bits of CR0; PE can be set but not cleared this way.
fn load_msw(cpu: &mut Cpu, bus: &mut Bus, op: &Op, v: u16) -> Step {
    let low = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
    let new = cpu.cr0 & !(low & !cr0::PE) | u32::from(v) & low;
    write_cr0(cpu, bus, op, new)
}

/// `lmsw r16`.
pub fn lmsw_reg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    let v = u16::reg(&cpu.regs, op.src);
    load_msw(cpu, bus, op, v)
}

/// `lmsw m16`.
pub fn lmsw_mem(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    let v = cpu.load(bus, op)?;
    load_msw(cpu, bus, op, v)
}

/// `clts`.
pub fn clts(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    cpu.cr0 &= !cr0::TS;
    finish_system(cpu, op)
}

/// `invlpg m`.
pub fn invlpg(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    let linear = op.ea(cpu).wrapping_add(cpu.seg[(op.seg & 7) as usize].base);
    cpu.charge(Kind::Invlpg, cpu.costs.invlpg);
    cpu.count.invlpg += 1;
    let now = cpu.now(op);
    mmu::invlpg(cpu, bus, linear, now);
    bus.events.push(Wanted::FLUSHES, cpu.id, now, What::Invlpg(linear));
    cpu.end_block(op)
}

/// `invpcid r32, m128`, with PCIDs off: one address, everything but global entries, or everything.
/// (One address drops a global entry too, which the manual allows.)
pub fn invpcid(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    let kind = u32::reg(&cpu.regs, op.dst);
    let ea = op.ea(cpu);
    let mut descriptor = [0u32; 4];
    for (i, d) in (0u32..).zip(descriptor.iter_mut()) {
        *d = cpu.load_at(bus, op, op.seg, ea.wrapping_add(4 * i) & op.mask)?;
    }
    let [pcid, _, linear, high] = descriptor;
    // CR4.PCIDE is clear: the PCID must be 0 for types 0 and 1; addresses are of 32 bits.
    if kind > 3 || (kind < 2 && pcid != 0) || (kind == 0 && high != 0) {
        return cpu.raise(Exception::GP0);
    }
    match kind {
        0 => {
            cpu.charge(Kind::Invlpg, cpu.costs.invlpg);
            cpu.count.invlpg += 1;
            let now = cpu.now(op);
            mmu::invlpg(cpu, bus, linear, now);
            bus.events.push(Wanted::FLUSHES, cpu.id, now, What::Invlpg(linear));
        }
        2 => {
            cpu.charge(Kind::Flush, cpu.costs.cr4_pge_write);
            let cr4 = cpu.cr4;
            flush_everything(cpu, bus, op, cr4);
        }
        _ => {
            cpu.charge(Kind::Flush, cpu.costs.cr3_load);
            let now = cpu.now(op);
            mmu::flush_non_global(cpu, bus, now);
        }
    }
    cpu.end_block(op)
}

/// `wbinvd`: memory is coherent without it.
pub fn wbinvd(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    finish_system(cpu, op)
}

/// `invd`: treated as `wbinvd`, there being no cache to lose data from.
pub fn invd(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    wbinvd(cpu, bus, op)
}

/// `hlt`.
pub fn hlt(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    cpu.flags.rest &= !RF;
    cpu.charge(Kind::System, cpu.costs.system);
    cpu.ask(op, Request::Halt)
}

/// The time-stamp counter at the beginning of `op`.
pub(super) fn tsc(cpu: &Cpu, op: &Op) -> u64 {
    cpu.now(op).wrapping_add(cpu.msr.tsc_offset)
}

/// `rdtsc`.
pub fn rdtsc(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    if cpu.cr4 & cr4::TSD != 0 && cpu.cpl != 0 {
        return cpu.raise(Exception::GP0);
    }
    let t = tsc(cpu, op);
    cpu.regs[0] = t as u32;
    cpu.regs[2] = (t >> 32) as u32;
    let cost = cpu.costs.rdtsc;
    finish(cpu, op, cost)
}

/// `rdpmc`: CPUID announces no performance counters (no leaf 0Ah) and there are none, so every number is an invalid
/// one, whatever CR4.PCE and CPL say: #GP(0).
pub fn rdpmc(cpu: &mut Cpu, _: &mut Bus, _: &Op) -> Step {
    cpu.raise(Exception::GP0)
}

/// `cpuid`.
pub fn cpuid(cpu: &mut Cpu, _: &mut Bus, op: &Op) -> Step {
    let [eax, ebx, ecx, edx] = super::cpuid::leaf(cpu, cpu.regs[0]);
    cpu.regs[0] = eax;
    cpu.regs[3] = ebx;
    cpu.regs[1] = ecx;
    cpu.regs[2] = edx;
    let cost = cpu.costs.cpuid;
    finish(cpu, op, cost)
}

#[cfg(test)]
#[path = "system_tests.rs"]
pub(super) mod tests;
