//! Linear to physical: the TLB arrays, the walk behind them, and the fast array
//! in front of them.
//!
//! ```text
//!  access -> front array -> first-level TLB -> second level -> walk
//!            (shortcut,      instruction/data,   (preset)      (walk.rs)
//!             invisible)     small/large
//! ```
//!
//! The front array is the only part that is not a model (`front.rs`).
//!
//! (SDM vol. 3A, "Caching Translation Information".)

pub mod entry;
#[cfg(test)]
mod fault_tests;
mod front;
mod invalidate;
mod miss;
pub mod tlb;
pub mod view;
mod walk;

pub use invalidate::{flush_all, flush_non_global, invlpg, recheck};
pub use miss::speculate;
pub use walk::{CachedPde, Path, PathEntry, path, peek};

use crate::addr::Frame;
use crate::bus::Bus;
use crate::cache::Lines;
use crate::cost::Preset;
use crate::cpu::{Cpu, cr0, cr4, exception::Exception, exception::vector, op::Flow};
use front::{EMPTY, FRONT, Front, NO_PAGE};
use miss::{miss, walk_again, walk_and_fill};
use std::collections::BTreeMap;
use tlb::{Entry, MAX_ENTRIES, Stamps, Tlb, Touch};

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Fetch,
}

/// With whose rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Ring 3.
    User,
    /// Rings 0 to 2, and implicit accesses to descriptor tables.
    Supervisor,
}

/// Where an access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Physical {
    /// Physical address.
    pub pa: u64,
    /// Offset in the RAM arena; `None`: no RAM there.
    pub at: Option<usize>,
}

impl Physical {
    /// The same page, `n` bytes further.
    pub fn plus(self, n: u32) -> Physical {
        Physical { pa: self.pa + u64::from(n), at: self.at.map(|a| a + n as usize) }
    }
}

/// How linear addresses become physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Linear addresses are physical.
    Off,
    /// 4-byte entries, two levels.
    TwoLevel,
    /// 8-byte entries, PDPTE registers.
    Pae,
}

/// Host shortcuts and adversaries, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmuOptions {
    /// Use the front array.
    pub front: bool,
    /// Lines are in the first-level cache only if they were brought there; without caches they always are.
    pub caches: bool,
    /// Evicted entries stay usable until invalidated (`tlb.adversary=keep`).
    pub keep: bool,
}

/// One processor's translation model.
#[derive(Clone)]
pub struct Mmu {
    front: Box<[Front; 2 * FRONT]>,
    /// Per frame, the lines in the first-level data cache; without caches one entry with all lines.
    lines: Vec<Lines>,
    /// 0 for the supervisor half, FRONT for the user half.
    half: usize,
    /// The time of the stamps: counts slow accesses and, where stamps are times, fast ones too.
    tick: u64,
    stamps: Box<Stamps>,
    pub(crate) data: Level,
    pub(crate) instruction: Level,
    pub(crate) second: Option<Second>,
    pub(crate) pdes: Vec<CachedPde>,
    pde_slots: usize,
    pub(crate) pdptes: [u64; 4],
    /// Page of the last instruction fetch and its frame; a fetch from the same page is the most recent hit already.
    fetch_page: u32,
    fetch_frame: u32,
    pub(crate) paging: Paging,
    write_protect: bool,
    global_pages: bool,
    large_pages: bool,
    options: MmuOptions,
    /// The front array is filled: wished for, and no access has to be seen.
    front_used: bool,
    /// Victims that `keep` holds on to, by (instruction?, large?, tag).
    kept: BTreeMap<(bool, bool, u32), Entry>,
    /// Mask for times stored in stamps.
    timed: u64,
    scratch: Vec<Entry>,
}

/// First-level arrays of one kind.
#[derive(Clone)]
pub(crate) struct Level {
    pub small: Tlb,
    pub large: Tlb,
}

/// The second level: small pages and, where the preset says so, large ones, tagged apart.
#[derive(Clone)]
pub(crate) struct Second {
    pub tlb: Tlb,
    pub holds_large: bool,
}

/// Set in the tag of a large page in a shared second level (small tags have 20 bits, and the bit below is taken by
/// ghosts).
pub(crate) const LARGE_TAG: u32 = 1 << 31;

impl Mmu {
    /// Empty TLBs with the preset's geometry. `seed` is for random replacement.
    pub fn new(preset: &Preset, seed: u64, options: MmuOptions) -> Mmu {
        let g = &preset.tlb;
        let policy = preset.replacement();
        let mut at = 0;
        let mut array = |a: crate::cost::Geometry| {
            let t = Tlb::new(a.entries as usize, a.ways as usize, policy, seed ^ at as u64, at);
            at += t.entries().len();
            t
        };
        let data = Level { small: array(g.data.small), large: array(g.data.large) };
        let instruction = Level { small: array(g.instruction.small), large: array(g.instruction.large) };
        let second = g.second.map(|s| Second { tlb: array(s.geometry()), holds_large: s.large });
        Mmu {
            front: Box::new([EMPTY; 2 * FRONT]),
            lines: if options.caches { Vec::new() } else { vec![Lines::ALL] },
            half: 0,
            tick: 0,
            stamps: Box::new([0; MAX_ENTRIES]),
            data,
            instruction,
            second,
            pdes: Vec::new(),
            pde_slots: g.pde_cache as usize,
            pdptes: [0; 4],
            fetch_page: NO_PAGE,
            fetch_frame: 0,
            paging: Paging::Off,
            write_protect: false,
            global_pages: false,
            large_pages: false,
            options,
            front_used: options.front,
            kept: BTreeMap::new(),
            timed: tlb::timed(policy),
            scratch: Vec::new(),
        }
    }

    /// Physical address of the fetch at `lin`, if it is in the page of the fetch before.
    #[inline(always)]
    pub fn hit_fetch(&self, lin: u32) -> Option<u64> {
        if lin >> 12 == self.fetch_page {
            Some((u64::from(self.fetch_frame) << 12) | u64::from(lin & 0xfff))
        } else {
            None
        }
    }

    /// The next fetch looks in the TLB again.
    pub fn forget_fetch(&mut self) {
        self.fetch_page = NO_PAGE;
    }

    /// Selects the half of the front array for this privilege level.
    pub fn set_privilege(&mut self, cpl: u8) {
        self.half = if cpl == 3 { FRONT } else { 0 };
    }

    /// Takes over the paging mode after a change of CR0, CR3 or CR4; empties the front array.
    pub fn refresh_mode(&mut self, cr0: u32, _cr3: u32, cr4: u32) {
        self.paging = match (cr0 & cr0::PG != 0, cr4 & cr4::PAE != 0) {
            (false, _) => Paging::Off,
            (true, false) => Paging::TwoLevel,
            (true, true) => Paging::Pae,
        };
        self.write_protect = cr0 & cr0::WP != 0;
        self.global_pages = cr4 & cr4::PGE != 0;
        self.large_pages = cr4 & (cr4::PSE | cr4::PAE) != 0;
        self.clear_front();
        self.forget_fetch();
    }

    /// Loads the four PDPTE registers (already checked for reserved bits).
    pub fn load_pdptes(&mut self, pdptes: [u64; 4]) {
        self.pdptes = pdptes;
    }

    /// Linear address >> this = tag of a large page.
    pub(crate) fn large_shift(&self) -> u32 {
        if self.paging == Paging::Pae { 21 } else { 22 }
    }

    fn level(&mut self, access: Access) -> &mut Level {
        if access == Access::Fetch { &mut self.instruction } else { &mut self.data }
    }

    /// Does any entry come from a PTE in this frame?
    pub(crate) fn holds_from(&self, frame: Frame) -> bool {
        let from = |origin: u64| origin >> 12 == u64::from(frame.0);
        self.arrays().any(|a| a.valid().any(|e| from(e.origin)))
            || self.kept.values().any(|e| from(e.origin))
            || self.pdes.iter().any(|c| from(c.origin) || c.value >> 12 & 0xff_ffff == u64::from(frame.0))
    }
}

/// Translates one access that lies within one page, charging what it takes and
/// keeping the TLBs; raises #PF. `before` is the static cost of the block up to the operation.
pub fn translate(
    cpu: &mut Cpu,
    bus: &mut Bus,
    lin: u32,
    access: Access,
    privilege: Privilege,
    before: u16,
) -> Result<Physical, Flow> {
    if cpu.mmu.paging == Paging::Off {
        return Ok(unpaged(cpu, bus, lin, access));
    }
    cpu.mmu.tick += 1;
    let shift = cpu.mmu.large_shift();
    let now = cpu.clock + u64::from(before);
    let level = cpu.mmu.level(access);
    let found = match level.small.find(lin >> 12) {
        Some(i) => Some((i, false)),
        None => level.large.find(lin >> shift).map(|i| (i, true)),
    };
    let (entry, touch) = match found {
        Some((i, large)) => hit(cpu, bus, lin, access, privilege, now, i, large)?,
        None => miss(cpu, bus, lin, access, privilege, now)?,
    };
    let frame = if entry.has(Entry::LARGE) {
        entry.frame + ((lin >> 12) & ((1 << (shift - 12)) - 1))
    } else {
        entry.frame
    };
    let pa = (u64::from(frame) << 12) | u64::from(lin & 0xfff);
    let at = bus.ram.offset(Frame(frame));
    if access == Access::Fetch {
        // A stale translation is looked up again at each fetch, so that each use is seen.
        cpu.mmu.fetch_page = if entry.stale == 0 { lin >> 12 } else { NO_PAGE };
        cpu.mmu.fetch_frame = frame;
    } else if let Some(at) = at
        && entry.stale == 0
        && cpu.mmu.front_used
    {
        front::install(cpu, bus, lin >> 12, frame, at, &entry, touch, privilege);
    }
    Ok(Physical { pa, at: at.map(|a| a + (lin & 0xfff) as usize) })
}

fn unpaged(cpu: &mut Cpu, bus: &mut Bus, lin: u32, access: Access) -> Physical {
    let frame = lin >> 12;
    let at = bus.ram.offset(Frame(frame));
    if access == Access::Fetch {
        cpu.mmu.fetch_page = frame;
        cpu.mmu.fetch_frame = frame;
    } else if let Some(at) = at
        && cpu.mmu.front_used
    {
        front::install_unpaged(cpu, bus, frame, at);
    }
    Physical { pa: u64::from(lin), at: at.map(|a| a + (lin & 0xfff) as usize) }
}

/// Does the entry allow the access?
fn allowed(cpu: &Cpu, e: &Entry, access: Access, privilege: Privilege) -> bool {
    let user = privilege == Privilege::User;
    (!user || e.has(Entry::USER))
        && (access != Access::Write || e.has(Entry::WRITE) || (!user && !cpu.mmu.write_protect))
}

fn fault<T>(cpu: &mut Cpu, lin: u32, access: Access, privilege: Privilege, code: u32) -> Result<T, Flow> {
    let mut code = code;
    if access == Access::Write {
        code |= 2;
    }
    if privilege == Privilege::User {
        code |= 4;
    }
    cpu.cr2 = lin;
    cpu.raise(Exception::with_code(vector::PF, code))
}

#[allow(clippy::too_many_arguments)]
fn hit(
    cpu: &mut Cpu,
    bus: &mut Bus,
    lin: u32,
    access: Access,
    privilege: Privilege,
    now: u64,
    index: usize,
    large: bool,
) -> Result<(Entry, Touch), Flow> {
    let level = cpu.mmu.level(access);
    let tlb = if large { &mut level.large } else { &mut level.small };
    let e = *tlb.entry(index);
    if e.stale != 0 {
        bus.oracle.used(cpu.id, &mut cpu.count, &mut bus.events, &e, lin, access, now);
    }
    if !allowed(cpu, &e, access, privilege) {
        // The fault is delivered even if the PTE would now allow the access, and drops what is cached.
        invalidate::drop_page(cpu, bus, lin, now, None);
        return fault(cpu, lin, access, privilege, 1);
    }
    if access == Access::Write && !e.has(Entry::DIRTY) {
        // The current PTE decides, not the cached one: a stale clean entry cannot dirty a page.
        if cpu.mmu.second.is_some() || !cpu.mmu.kept.is_empty() {
            invalidate::drop_page(cpu, bus, lin, now, None);
            return walk_and_fill(cpu, bus, lin, access, privilege, now);
        }
        return walk_again(cpu, bus, lin, privilege, now, index, large);
    }
    let tick = cpu.mmu.tick;
    let Mmu { data, instruction, stamps, .. } = &mut cpu.mmu;
    let level = if access == Access::Fetch { instruction } else { data };
    let tlb = if large { &mut level.large } else { &mut level.small };
    tlb.touch(index, tick, stamps);
    Ok((e, tlb.touch_of(index)))
}
