//! The page walker, one function per paging mode.
//!
//! Reads entries from physical memory, checks reserved bits and rights, sets A
//! and D, and tells the oracle which PTE an entry came from. Costs are charged by
//! the caller (one published figure for a whole walk with cached tables), except
//! what entries cost that are not in the first-level cache, and the locked update
//! of A and D bits.
//! (SDM vol. 3A, "32-Bit Paging", "PAE Paging", "Access Rights", "Accessed and Dirty Flags".)

use super::entry::{self, A, D, G, P, PS, RW, US};
use super::tlb::Entry;
use super::{Access, Paging, Privilege};
use crate::addr::PhysAddr;
use crate::bus::Bus;
use crate::cache::{self, Want};
use crate::cpu::Cpu;
use crate::cpu::exec::cpuid::feature;
use crate::ledger::Kind;
use crate::oracle::Source;

/// Page-fault error-code bit: the page was present.
const PROTECTION: u32 = 1;
/// Page-fault error-code bit: a reserved bit was set.
const RESERVED: u32 = 8;

/// A paging-structure-cache entry: a PDE that names a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedPde {
    /// Linear address >> 22 (two-level) or >> 21 (PAE).
    pub tag: u32,
    /// The PDE's value as cached.
    pub value: u64,
    /// Its physical address.
    pub origin: u64,
    /// Changed in memory since: the oracle's change number, 0 = agrees.
    pub stale: u32,
}

struct Shape {
    bytes: u64,
    large_shift: u32,
}

/// Walks for `lin` and gives the entry to cache, or the page-fault code (without W and U bits).
pub(super) fn walk(
    cpu: &mut Cpu,
    bus: &mut Bus,
    lin: u32,
    access: Access,
    privilege: Privilege,
    now: u64,
) -> Result<Entry, u32> {
    let pae = cpu.mmu.paging == Paging::Pae;
    let shape = if pae { Shape { bytes: 8, large_shift: 21 } } else { Shape { bytes: 4, large_shift: 22 } };
    let directory = if pae {
        let pdpte = cpu.mmu.pdptes[(lin >> 30) as usize & 3];
        if pdpte & P == 0 {
            return Err(0);
        }
        u64::from(entry::frame_of_pae(pdpte)) << 12
    } else {
        u64::from(cpu.cr3 & 0xffff_f000)
    };
    let pde_at =
        directory + u64::from((lin >> shape.large_shift) & (4096 / shape.bytes as u32 - 1)) * shape.bytes;

    let tag = lin >> shape.large_shift;
    let cached = cpu.mmu.pdes.iter().position(|c| c.tag == tag);
    let (pde, cached_stale) = match cached {
        Some(i) => {
            let c = cpu.mmu.pdes.remove(i);
            cpu.mmu.pdes.push(c); // most recent last
            (c.value, c.stale)
        }
        None => (read(cpu, bus, pde_at, pae), 0),
    };
    if pde & P == 0 {
        return Err(0);
    }
    if cached_stale != 0 {
        let table = if pae { entry::frame_of_pae(pde) } else { entry::frame_of_32(pde) };
        bus.oracle.walked_stale(cpu.id, &mut cpu.count, &mut bus.events, (cached_stale, table), lin, now);
    }
    bus.walked(cpu, directory, lin, now);

    let mut bits = Entry::VALID | if pae { Entry::PAE } else { 0 };
    if pde & PS != 0 && cpu.mmu.large_pages {
        let reserved = match pae {
            true => entry::PAE_LARGE_RESERVED,
            false if cpu.identity.has(feature::PSE36) => entry::LARGE_RESERVED,
            false => entry::LARGE_RESERVED_32,
        };
        if pde & reserved != 0 {
            return Err(PROTECTION | RESERVED);
        }
        rights(cpu, pde, pde, access, privilege)?;
        let pde = mark(cpu, bus, pde_at, pde, access, Leaf::Yes);
        bits |= Entry::LARGE | rights_bits(pde, pde) | leaf_bits(cpu, pde);
        let frame = if pae { entry::large_frame_of_pae(pde) } else { entry::large_frame_of_32(pde) };
        bus.watch_table(cpu, pde_at, lin >> shape.large_shift << shape.large_shift, Source::Leaf, pae);
        return Ok(Entry { tag, frame, bits, origin: pde_at, ..Entry::default() });
    }
    if pae && pde & entry::PAE_RESERVED != 0 {
        return Err(PROTECTION | RESERVED);
    }
    let table = u64::from(if pae { entry::frame_of_pae(pde) } else { entry::frame_of_32(pde) }) << 12;
    let pte_at = table + u64::from((lin >> 12) & (4096 / shape.bytes as u32 - 1)) * shape.bytes;
    let pte = read(cpu, bus, pte_at, pae);
    if pte & P == 0 {
        return Err(0);
    }
    if pae && pte & entry::PAE_RESERVED != 0 {
        return Err(PROTECTION | RESERVED);
    }
    rights(cpu, pde, pte, access, privilege)?;
    if cached.is_none() {
        let pde = mark(cpu, bus, pde_at, pde, access, Leaf::No);
        if cpu.mmu.pde_slots > 0 {
            if cpu.mmu.pdes.len() >= cpu.mmu.pde_slots {
                let old = cpu.mmu.pdes.remove(0);
                bus.oracle.ended_change(old.stale, now);
            }
            cpu.mmu.pdes.push(CachedPde { tag, value: pde, origin: pde_at, stale: 0 });
        }
    }
    let pte = mark(cpu, bus, pte_at, pte, access, Leaf::Yes);
    bus.walked(cpu, table, lin, now);
    bits |= rights_bits(pde, pte) | leaf_bits(cpu, pte);
    let frame = if pae { entry::frame_of_pae(pte) } else { entry::frame_of_32(pte) };
    bus.watch_table(cpu, pde_at, lin >> shape.large_shift << shape.large_shift, Source::Table, pae);
    bus.watch_table(cpu, pte_at, lin & !0xfff, Source::Leaf, pae);
    Ok(Entry { tag: lin >> 12, frame, bits, origin: pte_at, ..Entry::default() })
}

/// Reads an entry, through the data caches.
fn read(cpu: &mut Cpu, bus: &mut Bus, at: u64, pae: bool) -> u64 {
    cache::walker_access(cpu, bus, at, Want::Read);
    // Tables outside RAM read as an empty bus does: all ones.
    let low = bus.ram.read32(PhysAddr(at)).unwrap_or(u32::MAX);
    let high = if pae { bus.ram.read32(PhysAddr(at + 4)).unwrap_or(u32::MAX) } else { 0 };
    u64::from(high) << 32 | u64::from(low)
}

fn rights(cpu: &Cpu, pde: u64, pte: u64, access: Access, privilege: Privilege) -> Result<(), u32> {
    let user = privilege == Privilege::User;
    let both = pde & pte;
    if (user && both & US == 0)
        || (access == Access::Write && both & RW == 0 && (user || cpu.mmu.write_protect))
    {
        return Err(PROTECTION);
    }
    Ok(())
}

fn rights_bits(pde: u64, pte: u64) -> u8 {
    let both = pde & pte;
    let mut bits = 0;
    if both & RW != 0 {
        bits |= Entry::WRITE;
    }
    if both & US != 0 {
        bits |= Entry::USER;
    }
    bits
}

fn leaf_bits(cpu: &Cpu, leaf: u64) -> u8 {
    let mut bits = 0;
    if leaf & D != 0 {
        bits |= Entry::DIRTY;
    }
    if leaf & G != 0 && cpu.mmu.global_pages {
        bits |= Entry::GLOBAL;
    }
    bits
}

#[derive(PartialEq, Eq)]
enum Leaf {
    Yes,
    No,
}

/// Sets A, and D for a write to a leaf, as a locked update of the entry.
fn mark(cpu: &mut Cpu, bus: &mut Bus, at: u64, value: u64, access: Access, leaf: Leaf) -> u64 {
    let mut new = value | A;
    if leaf == Leaf::Yes && access == Access::Write {
        new |= D;
    }
    if new != value {
        cache::walker_access(cpu, bus, at, Want::Write);
        bus.ram.write32(PhysAddr(at), new as u32);
        cpu.count.ad_updates += 1;
        let cost = cpu.costs.ad_update;
        cpu.charge(Kind::Walk, cost);
    }
    new
}

/// An entry that a walk reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathEntry {
    /// Its physical address.
    pub pa: u64,
    /// What stands there.
    pub value: u64,
}

/// The way of a walk: the entries in memory that it reads, and where it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// PDE and PTE, as far as the walk comes (the PDPTE of PAE is a register).
    pub entries: [Option<PathEntry>; 2],
    /// The physical address; `None` if the page is not mapped.
    pub physical: Option<u64>,
}

/// Translates without touching anything: no fill, no A or D, no cycles. Physical address, or `None` if not mapped.
pub fn peek(cpu: &Cpu, bus: &Bus, lin: u32) -> Option<u64> {
    path(cpu, bus, lin).physical
}

/// The same, with the way there.
pub fn path(cpu: &Cpu, bus: &Bus, lin: u32) -> Path {
    let mut path = Path::default();
    let read = |pa: u64, bytes: usize| {
        let mut b = [0u8; 8];
        bus.ram.peek(pa, &mut b[..bytes]).then(|| PathEntry { pa, value: u64::from_le_bytes(b) })
    };
    let (directory, bytes, shift) = match cpu.mmu.paging {
        Paging::Off => return Path { physical: Some(u64::from(lin)), ..path },
        Paging::TwoLevel => (u64::from(cpu.cr3 & !0xfff), 4u64, 22),
        Paging::Pae => {
            let p = cpu.mmu.pdptes[(lin >> 30) as usize & 3];
            if p & P == 0 {
                return path;
            }
            (u64::from(entry::frame_of_pae(p)) << 12, 8, 21)
        }
    };
    let slots = 4096 / bytes as u32;
    path.entries[0] = read(directory + u64::from((lin >> shift) & (slots - 1)) * bytes, bytes as usize);
    let Some(PathEntry { value: pde, .. }) = path.entries[0] else { return path };
    if pde & P == 0 {
        return path;
    }
    if pde & PS != 0 && cpu.mmu.large_pages {
        let frame = if bytes == 8 { entry::large_frame_of_pae(pde) } else { entry::large_frame_of_32(pde) };
        path.physical = Some((u64::from(frame) << 12) + u64::from(lin & ((1 << shift) - 1)));
        return path;
    }
    let table = u64::from(if bytes == 8 { entry::frame_of_pae(pde) } else { entry::frame_of_32(pde) }) << 12;
    path.entries[1] = read(table + u64::from((lin >> 12) & (slots - 1)) * bytes, bytes as usize);
    let Some(PathEntry { value: pte, .. }) = path.entries[1] else { return path };
    if pte & P != 0 {
        let frame = if bytes == 8 { entry::frame_of_pae(pte) } else { entry::frame_of_32(pte) };
        path.physical = Some((u64::from(frame) << 12) | u64::from(lin & 0xfff));
    }
    path
}
