//! Misses of the first-level TLB: the second level, the walk, the fills that
//! follow from them, and whose price they are.
//!
//! What a miss cost is known to be the price of a flush only when its translation
//! is known: if the page's ghost has the same frame, the access would have hit in
//! a TLB that was never flushed. Its cycles, entries fetched into the data cache
//! included, are then moved to the kind of that flush.
//!
//! | the page's ghost | the miss is | its cycles go to |
//! |---|---|---|
//! | has the frame, and would have served the access | a refill | `refill-invlpg`, `refill-cr3`, `refill-global` |
//! | has another frame | unavoidable: the page was remapped | `walk`, `second-level` |
//! | has the frame, but is clean for a write or lacks a right | unavoidable | `walk` |
//! | is not there | first touch, capacity or conflict | `walk`, `second-level` |
//!
//! A ghost in the second level alone stands for a hit there: that much stays `second-level`.
//! An entry that several flushes would have ended is the first one's.
//!
//! Left out: entries of the paging-structure cache leave no ghosts (what a walk costs more
//! without them is the walk's), and a page mapped in another size after the flush counts as a first touch.
//!
//! (SDM vol. 3A, "Translation Lookaside Buffers (TLBs)".)

use super::tlb::{Entry, Flush, Touch};
use super::{Access, LARGE_TAG, Mmu, Paging, Privilege, allowed, fault, invalidate, walk};
use crate::bus::Bus;
use crate::cpu::{Cpu, op::Flow};
use crate::ledger::{Kind, Misses};
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
                let before = cpu.ledger.misses();
                let cost = cpu.costs.second_level_hit;
                cpu.charge(Kind::SecondLevel, cost);
                attribute(cpu, &e, access, privilege, &before);
            }
            let touch = fill_first(cpu, bus, e, access, now);
            cpu.settle()?;
            return Ok((e, touch));
        }
        invalidate::drop_page(cpu, bus, lin, now, None);
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
    let before = cpu.ledger.misses();
    let cost = cpu.costs.walk;
    cpu.charge(Kind::Walk, cost);
    let e = match walk::walk(cpu, bus, lin, access, privilege, now) {
        Ok(e) => e,
        Err(code) => return fault(cpu, lin, access, privilege, code),
    };
    attribute(cpu, &e, access, privilege, &before);
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
            invalidate::drop_page(cpu, bus, lin, now, None);
            let touch = fill(cpu, bus, e, Access::Write, now);
            cpu.settle()?;
            return Ok((e, touch));
        }
        Err(code) => {
            invalidate::drop_page(cpu, bus, lin, now, None);
            return fault(cpu, lin, Access::Write, privilege, code);
        }
    };
    let tick = cpu.mmu.tick;
    let Mmu { data, stamps, .. } = &mut cpu.mmu;
    let tlb = if large { &mut data.large } else { &mut data.small };
    let old = std::mem::replace(tlb.entry_mut(index), e);
    tlb.set_filled(index, now);
    tlb.touch(index, tick, stamps);
    let touch = tlb.touch_of(index);
    bus.oracle.ended(&old, now);
    cpu.mmu.forget_entry(&old);
    cpu.settle()?;
    Ok((e, touch))
}

/// Books the cycles since `before` of a miss that found `e` to the flush that caused it, if one did. To be called
/// before the fill, which takes the ghost's place.
fn attribute(cpu: &mut Cpu, e: &Entry, access: Access, privilege: Privilege, before: &Misses) {
    let m = &cpu.mmu;
    let large = e.has(Entry::LARGE);
    let level = if access == Access::Fetch { &m.instruction } else { &m.data };
    let first = if large { &level.large } else { &level.small }.ghost(e.tag);
    let tag = if large { e.tag | LARGE_TAG } else { e.tag };
    let second = m.second.as_ref().and_then(|s| s.tlb.ghost(tag));
    if first.is_none() && second.is_none() {
        return;
    }
    let serves = |g: &&Entry| {
        g.frame == e.frame
            && allowed(cpu, g, access, privilege)
            && (access != Access::Write || g.has(Entry::DIRTY))
    };
    let (flush, otherwise) = if let Some(g) = first.filter(serves) {
        (g.flushed, 0)
    } else if let Some(g) = second.filter(serves) {
        (g.flushed, cpu.costs.second_level_hit)
    } else {
        let remapped = first.into_iter().chain(second).any(|g| g.frame != e.frame);
        cpu.count.remapped += u64::from(remapped);
        return;
    };
    let (kind, count) = match flush {
        Some(Flush::Page) => (Kind::RefillInvlpg, &mut cpu.count.refills_invlpg),
        Some(Flush::NonGlobal) => (Kind::RefillCr3, &mut cpu.count.refills_cr3),
        Some(Flush::Global) => (Kind::RefillGlobal, &mut cpu.count.refills_global),
        None => return,
    };
    *count += 1;
    let all = cpu.ledger.take_since(before);
    let otherwise = u64::from(otherwise).min(all);
    cpu.ledger.add(Kind::SecondLevel, otherwise);
    cpu.ledger.add(kind, all - otherwise);
}

/// Puts a walked entry into the first level and, where there is one, the second.
fn fill(cpu: &mut Cpu, bus: &mut Bus, e: Entry, access: Access, now: u64) -> Touch {
    let tick = cpu.mmu.tick;
    let Mmu { second, stamps, .. } = &mut cpu.mmu;
    if let Some(s) = second
        && (s.holds_large || !e.has(Entry::LARGE))
    {
        let tag = if e.has(Entry::LARGE) { e.tag | LARGE_TAG } else { e.tag };
        let (index, old) = s.tlb.fill(Entry { tag, ..e }, tick, stamps);
        s.tlb.set_filled(index, now);
        if let Some(old) = old {
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
    tlb.set_filled(index, now);
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
/// sets no counter, never faults; sets A like any fill. Not for a page that some level holds: an array has one entry for
/// a page, and `invlpg` looks for one.
pub fn speculate(cpu: &mut Cpu, bus: &mut Bus, lin: u32, now: u64) {
    let m = &cpu.mmu;
    let (small, large) = (lin >> 12, lin >> m.large_shift());
    if m.paging == Paging::Off
        || m.data.small.find(small).is_some()
        || m.data.large.find(large).is_some()
        || m.second
            .as_ref()
            .is_some_and(|s| s.tlb.find(small).is_some() || s.tlb.find(large | LARGE_TAG).is_some())
    {
        return;
    }
    if let Ok(e) = walk::walk(cpu, bus, lin, Access::Read, Privilege::Supervisor, now) {
        fill(cpu, bus, e, Access::Read, now);
    }
}
