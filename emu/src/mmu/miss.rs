//! Misses of the first-level TLB: the second level, the walk, and the fills that
//! follow from them.
//!
//! (SDM vol. 3A, "Translation Lookaside Buffers (TLBs)".)

use super::tlb::{Entry, Touch};
use super::{Access, LARGE_TAG, Mmu, Paging, Privilege, allowed, fault, invalidate, walk};
use crate::bus::Bus;
use crate::cpu::{Cpu, op::Flow};
use crate::ledger::Kind;
use crate::observe::{Wanted, What};

/// An access that the first level does not answer: the second level, or a walk.
pub(super) fn miss(
    cpu: &mut Cpu,
    bus: &mut Bus,
    lin: u32,
    access: Access,
    privilege: Privilege,
    now: u64,
) -> Result<(Entry, Touch), Flow> {
    if access == Access::Fetch {
        cpu.count.itlb_misses += 1;
        bus.events.push(Wanted::TLB, cpu.id, now, What::FetchMiss(lin));
    } else {
        cpu.count.dtlb_misses += 1;
        bus.events.push(Wanted::TLB, cpu.id, now, What::DataMiss(lin));
    }
    if let Some((e, kept)) = second_level(cpu, lin, access) {
        if e.stale != 0 {
            bus.oracle.used(cpu.id, &mut cpu.count, &mut bus.events, &e, lin, access, now);
        }
        let usable = allowed(cpu, &e, access, privilege) && (access != Access::Write || e.has(Entry::DIRTY));
        if usable {
            if !kept {
                cpu.count.second_level_hits += 1;
                let cost = cpu.costs.second_level_hit;
                cpu.charge(Kind::SecondLevel, cost);
            }
            let touch = fill_first(cpu, bus, e, access, now);
            cpu.settle()?;
            return Ok((e, touch));
        }
        invalidate::drop_page(cpu, bus, lin, now);
        if !allowed(cpu, &e, access, privilege) {
            return fault(cpu, lin, access, privilege, 1);
        }
    }
    walk_and_fill(cpu, bus, lin, access, privilege, now)
}

/// The entry from the second level, or from the victims that `keep` holds (then true).
fn second_level(cpu: &mut Cpu, lin: u32, access: Access) -> Option<(Entry, bool)> {
    let shift = cpu.mmu.large_shift();
    let tick = cpu.mmu.tick;
    let Mmu { second, stamps, kept, options, .. } = &mut cpu.mmu;
    if let Some(s) = second {
        for tag in [lin >> 12, lin >> shift | LARGE_TAG] {
            if let Some(i) = s.tlb.find(tag) {
                s.tlb.touch(i, tick, stamps);
                let mut e = *s.tlb.entry(i);
                e.tag &= !LARGE_TAG;
                return Some((e, false));
            }
        }
    }
    if options.keep {
        let fetch = access == Access::Fetch;
        for key in [(fetch, false, lin >> 12), (fetch, true, lin >> shift)] {
            if let Some(e) = kept.remove(&key) {
                return Some((e, true));
            }
        }
    }
    None
}

/// Walks for an access and keeps what the walk found.
pub(super) fn walk_and_fill(
    cpu: &mut Cpu,
    bus: &mut Bus,
    lin: u32,
    access: Access,
    privilege: Privilege,
    now: u64,
) -> Result<(Entry, Touch), Flow> {
    cpu.count.walks += 1;
    let cost = cpu.costs.walk;
    cpu.charge(Kind::Walk, cost);
    let e = match walk::walk(cpu, bus, lin, access, privilege, now) {
        Ok(e) => e,
        Err(code) => return fault(cpu, lin, access, privilege, code),
    };
    let touch = fill(cpu, bus, e, access, now);
    cpu.settle()?;
    Ok((e, touch))
}

/// Walks for a write to a page whose entry (the only copy) is clean, and replaces the entry where it stands.
pub(super) fn walk_again(
    cpu: &mut Cpu,
    bus: &mut Bus,
    lin: u32,
    privilege: Privilege,
    now: u64,
    index: usize,
    large: bool,
) -> Result<(Entry, Touch), Flow> {
    cpu.count.walks += 1;
    let cost = cpu.costs.walk;
    cpu.charge(Kind::Walk, cost);
    let e = match walk::walk(cpu, bus, lin, Access::Write, privilege, now) {
        Ok(e) if e.has(Entry::LARGE) == large => e,
        Ok(e) => {
            invalidate::drop_page(cpu, bus, lin, now);
            let touch = fill(cpu, bus, e, Access::Write, now);
            cpu.settle()?;
            return Ok((e, touch));
        }
        Err(code) => {
            invalidate::drop_page(cpu, bus, lin, now);
            return fault(cpu, lin, Access::Write, privilege, code);
        }
    };
    let tick = cpu.mmu.tick;
    let Mmu { data, stamps, .. } = &mut cpu.mmu;
    let tlb = if large { &mut data.large } else { &mut data.small };
    let old = std::mem::replace(tlb.entry_mut(index), e);
    tlb.touch(index, tick, stamps);
    let touch = tlb.touch_of(index);
    bus.oracle.ended(&old, now);
    cpu.mmu.forget_entry(&old);
    cpu.settle()?;
    Ok((e, touch))
}

/// Puts a walked entry into the first level and, where there is one, the second.
fn fill(cpu: &mut Cpu, bus: &mut Bus, e: Entry, access: Access, now: u64) -> Touch {
    let tick = cpu.mmu.tick;
    let Mmu { second, stamps, .. } = &mut cpu.mmu;
    if let Some(s) = second
        && (s.holds_large || !e.has(Entry::LARGE))
    {
        let tag = if e.has(Entry::LARGE) { e.tag | LARGE_TAG } else { e.tag };
        if let (_, Some(old)) = s.tlb.fill(Entry { tag, ..e }, tick, stamps) {
            bus.oracle.ended(&old, now);
        }
    }
    fill_first(cpu, bus, e, access, now)
}

fn fill_first(cpu: &mut Cpu, bus: &mut Bus, e: Entry, access: Access, now: u64) -> Touch {
    let tick = cpu.mmu.tick;
    let Mmu { data, instruction, stamps, .. } = &mut cpu.mmu;
    let level = if access == Access::Fetch { instruction } else { data };
    let large = e.has(Entry::LARGE);
    let tlb = if large { &mut level.large } else { &mut level.small };
    let (index, old) = tlb.fill(e, tick, stamps);
    let touch = tlb.touch_of(index);
    if let Some(old) = old {
        if access != Access::Fetch {
            cpu.mmu.forget_entry(&old);
        }
        if cpu.mmu.options.keep {
            let key = (access == Access::Fetch, old.has(Entry::LARGE), old.tag);
            if let Some(before) = cpu.mmu.kept.insert(key, old) {
                bus.oracle.ended(&before, now);
            }
        } else {
            bus.oracle.ended(&old, now);
        }
    }
    if access == Access::Fetch {
        cpu.mmu.forget_fetch();
    }
    touch
}

/// A speculative fill (`tlb.adversary=fill`): as a walk by the hardware's own initiative. Costs nothing,
/// sets no counter, never faults; sets A like any fill.
pub fn speculate(cpu: &mut Cpu, bus: &mut Bus, lin: u32, now: u64) {
    if cpu.mmu.paging == Paging::Off
        || cpu.mmu.data.small.find(lin >> 12).is_some()
        || cpu.mmu.data.large.find(lin >> cpu.mmu.large_shift()).is_some()
    {
        return;
    }
    if let Ok(e) = walk::walk(cpu, bus, lin, Access::Read, Privilege::Supervisor, now) {
        fill(cpu, bus, e, Access::Read, now);
    }
}
