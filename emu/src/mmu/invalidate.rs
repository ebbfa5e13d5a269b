//! What removes translations: `invlpg`, CR3 loads, global flushes, faults; and
//! what makes them stale: a changed PTE.
//! (SDM vol. 3A, "Invalidation of TLBs and Paging-Structure Caches".)

use super::entry::{self, P, PS, RW, US};
use super::tlb::{Entry, Flush, Tlb};
use super::{LARGE_TAG, Mmu};
use crate::addr::PhysAddr;
use crate::bus::Bus;
use crate::bus::ram::Ram;
use crate::cpu::Cpu;
use crate::oracle::{Oracle, PteWrite, Source};

/// Invalidates the page of `lin` in all arrays, global or not, and all paging-structure-cache entries.
/// A large page that contains `lin` goes as a whole.
pub fn invlpg(cpu: &mut Cpu, bus: &mut Bus, lin: u32, now: u64) {
    bus.aim(lin);
    drop_page(cpu, bus, lin, now, Some(Flush::Page));
    drop_pdes(&mut cpu.mmu, &mut bus.oracle, now);
}

/// Invalidates everything but global entries: a CR3 load.
pub fn flush_non_global(cpu: &mut Cpu, bus: &mut Bus, now: u64) {
    drop_all(cpu, bus, now, Flush::NonGlobal, |e| !e.has(Entry::GLOBAL));
}

/// Invalidates everything: CR4.PGE, PSE or PAE toggled, CR0.PG changed.
pub fn flush_all(cpu: &mut Cpu, bus: &mut Bus, now: u64) {
    drop_all(cpu, bus, now, Flush::Global, |_| true);
    cpu.mmu.clear_front();
}

/// What an array holds and whether the front array stands before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Array {
    DataSmall,
    DataLarge,
    FetchSmall,
    FetchLarge,
    Second,
}

impl Array {
    fn first_level(self) -> bool {
        self != Array::Second
    }

    /// Tags under which this array may hold `lin`.
    fn tags(self, lin: u32, shift: u32) -> [Option<u32>; 2] {
        match self {
            Array::DataSmall | Array::FetchSmall => [Some(lin >> 12), None],
            Array::DataLarge | Array::FetchLarge => [Some(lin >> shift), None],
            Array::Second => [Some(lin >> 12), Some(lin >> shift | LARGE_TAG)],
        }
    }
}

/// Calls `f` for each array. What `f` pushes to its last argument (first-level entries that ended or changed) is
/// then forgotten by what stands before the array: the front array, or the page of the last fetch.
#[inline(always)]
fn each_array(m: &mut Mmu, mut f: impl FnMut(Array, &mut Tlb, &mut Vec<Entry>)) {
    let mut changed = std::mem::take(&mut m.scratch);
    f(Array::DataSmall, &mut m.data.small, &mut changed);
    f(Array::DataLarge, &mut m.data.large, &mut changed);
    for e in changed.drain(..) {
        m.forget_entry(&e);
    }
    f(Array::FetchSmall, &mut m.instruction.small, &mut changed);
    f(Array::FetchLarge, &mut m.instruction.large, &mut changed);
    if !changed.is_empty() {
        changed.clear();
        m.forget_fetch();
    }
    m.scratch = changed;
    if let Some(s) = &mut m.second {
        f(Array::Second, &mut s.tlb, &mut Vec::new());
    }
}

/// Invalidates what is cached for one address: the TLB part of `invlpg` or, without `flush`, what the processor does
/// itself at a page fault there or to learn a dirty bit.
pub(super) fn drop_page(cpu: &mut Cpu, bus: &mut Bus, lin: u32, now: u64, flush: Option<Flush>) {
    let m = &mut cpu.mmu;
    let (small, large) = (lin >> 12, lin >> m.large_shift());
    let shift = m.large_shift();
    let oracle = &mut bus.oracle;
    for e in [m.data.small.take(small, flush), m.data.large.take(large, flush)].into_iter().flatten() {
        oracle.ended(&e, now);
        m.forget_entry(&e);
    }
    for e in
        [m.instruction.small.take(small, flush), m.instruction.large.take(large, flush)].into_iter().flatten()
    {
        oracle.ended(&e, now);
        m.forget_fetch();
    }
    if let Some(s) = &mut m.second {
        for e in [s.tlb.take(small, flush), s.tlb.take(large | LARGE_TAG, flush)].into_iter().flatten() {
            oracle.ended(&e, now);
        }
    }
    if !m.kept.is_empty() {
        for fetch in [false, true] {
            for (large, tag) in [(false, lin >> 12), (true, lin >> shift)] {
                if let Some(e) = m.kept.remove(&(fetch, large, tag)) {
                    oracle.ended(&e, now);
                }
            }
        }
    }
}

fn drop_pdes(m: &mut Mmu, oracle: &mut Oracle, now: u64) {
    for c in m.pdes.drain(..) {
        oracle.ended_change(c.stale, now);
    }
}

fn drop_all(cpu: &mut Cpu, bus: &mut Bus, now: u64, flush: Flush, gone: impl Fn(&Entry) -> bool) {
    let m = &mut cpu.mmu;
    let oracle = &mut bus.oracle;
    each_array(m, |which, t, changed| {
        t.flush(flush, &gone, |e| {
            oracle.ended(e, now);
            if which.first_level() {
                changed.push(*e);
            }
        });
    });
    m.kept.retain(|_, e| {
        let keep = !gone(e);
        if !keep {
            oracle.ended(e, now);
        }
        keep
    });
    drop_pdes(m, oracle, now);
}

/// Compares the entries that came from a written PTE (or from the page table that a written PDE names) with
/// memory, and marks them stale or clears the mark. On a machine with coherent TLBs it ends those that are wrong.
pub fn recheck(cpu: &mut Cpu, bus: &mut Bus, w: &mut PteWrite) {
    let Some(low) = bus.ram.read32(PhysAddr(w.pa)) else { return };
    let high = if w.pae { bus.ram.read32(PhysAddr(w.pa + 4)).unwrap_or(0) } else { 0 };
    let value = u64::from(high) << 32 | u64::from(low);
    let root = Root { cr3: cpu.cr3, pdptes: cpu.mmu.pdptes, pae: w.pae, shift: cpu.mmu.large_shift() };
    let m = &mut cpu.mmu;
    let shift = root.shift;
    let coherent = bus.coherent_tlbs;
    let (oracle, ram) = (&mut bus.oracle, &mut bus.ram);
    let (source, pa, linear) = (w.source, w.pa, w.linear);
    let concerns = |e: &Entry| match source {
        Source::Leaf => e.origin == pa,
        Source::Table => !e.has(Entry::LARGE) && linear.is_none_or(|l| e.tag >> (shift - 12) == l >> shift),
    };
    each_array(m, |which, t, changed| {
        let mut consider = |t: &mut Tlb, i: usize| {
            let e = *t.entry(i);
            if !e.valid() || !concerns(&e) {
                return;
            }
            let agrees =
                agrees(&e, value, source) || (e.has(Entry::GLOBAL) && root.translates_alike(ram, &e));
            if !coherent {
                judge(&mut t.entry_mut(i).stale, agrees, w, oracle);
            } else if !agrees {
                t.take(e.tag, None);
            }
            if which.first_level() {
                changed.push(e);
            }
        };
        match (source, linear) {
            (Source::Leaf, Some(l)) => {
                for tag in which.tags(l, shift).into_iter().flatten() {
                    if let Some(i) = t.find(tag) {
                        consider(t, i);
                    }
                }
            }
            _ => (0..t.entries().len()).for_each(|i| consider(t, i)),
        }
    });
    m.kept.retain(|_, e| {
        if !concerns(e) {
            return true;
        }
        let agrees = agrees(e, value, source) || (e.has(Entry::GLOBAL) && root.translates_alike(ram, e));
        if !coherent {
            judge(&mut e.stale, agrees, w, oracle);
        }
        agrees || !coherent
    });
    if w.source == Source::Table {
        m.pdes.retain_mut(|c| {
            if c.origin != pa {
                return true;
            }
            let lost = (c.value & !value) & (RW | US | P) != 0;
            let agrees = !lost && c.value >> 12 == value >> 12 && (c.value ^ value) & PS == 0;
            if !coherent {
                judge(&mut c.stale, agrees, w, oracle);
            }
            agrees || !coherent
        });
    }
}

/// Where a processor's walks begin now.
struct Root {
    cr3: u32,
    pdptes: [u64; 4],
    pae: bool,
    shift: u32,
}

impl Root {
    /// Does the present address space say what the entry says? Kernel halves are copied into every page
    /// directory: a global entry outlives the directory that it was filled through, and is as good as before
    /// when that one is freed and its frame filled with something else.
    fn translates_alike(&self, ram: &mut Ram, e: &Entry) -> bool {
        let large = e.has(Entry::LARGE);
        let lin = if large { (e.tag & !LARGE_TAG) << self.shift } else { e.tag << 12 };
        let mut read = |pa: u64| {
            let low = u64::from(ram.read32(PhysAddr(pa))?);
            let high = if self.pae { u64::from(ram.read32(PhysAddr(pa + 4))?) } else { 0 };
            Some(high << 32 | low)
        };
        let (directory, bytes) = if self.pae {
            let pdpte = self.pdptes[(lin >> 30) as usize & 3];
            if pdpte & P == 0 {
                return false;
            }
            (u64::from(entry::frame_of_pae(pdpte)) << 12, 8)
        } else {
            (u64::from(self.cr3 & 0xffff_f000), 4)
        };
        let index = u64::from(lin >> self.shift) & (4096 / bytes - 1);
        let Some(pde) = read(directory + index * bytes) else { return false };
        if large {
            return agrees(e, pde, Source::Leaf);
        }
        agrees(e, pde, Source::Table) && read(e.origin).is_some_and(|pte| agrees(e, pte, Source::Leaf))
    }
}

/// Is what the entry says still what its PTE (or the PDE above it) says? More rights in memory than in the
/// entry, and changes of A and D, count as agreement.
fn agrees(e: &Entry, value: u64, source: Source) -> bool {
    if value & P == 0 || (e.has(Entry::WRITE) && value & RW == 0) || (e.has(Entry::USER) && value & US == 0) {
        return false;
    }
    let pae = e.has(Entry::PAE);
    match source {
        Source::Table => {
            let table = if pae { entry::frame_of_pae(value) } else { entry::frame_of_32(value) };
            value & PS == 0 && u64::from(table) == e.origin >> 12
        }
        Source::Leaf => {
            let frame = match (e.has(Entry::LARGE), pae) {
                (false, false) => entry::frame_of_32(value),
                (false, true) => entry::frame_of_pae(value),
                (true, _) if value & PS == 0 => return false,
                (true, false) => entry::large_frame_of_32(value),
                (true, true) => entry::large_frame_of_pae(value),
            };
            frame == e.frame
        }
    }
}

fn judge(stale: &mut u32, agrees: bool, w: &mut PteWrite, oracle: &mut Oracle) {
    if agrees && *stale != 0 {
        oracle.restored(*stale);
        *stale = 0;
    } else if !agrees && *stale == 0 {
        *stale = oracle.survivor(w);
    }
}
