//! The shared kmap window as it is now: what every slot holds, who uses it, and
//! which TLBs still hold it or something that stood there before.
//!
//! Two sources, neither of which touches the run. *Marks* say where the window
//! and the kernel's own table of its slots lie ([`Mark::WindowAt`],
//! [`Mark::TableAt`]), which slot was given to a page when and by whom, and when
//! the cursor wrapped. *Looks* read that table, the PTEs and the TLBs while the
//! machine pauses. Following PTE writes and marks alone would do without the
//! table, but the number of users of a slot is in no mark: reusing a mapped slot
//! is just an increment. So it is read where the kernel keeps it.
//!
//! A strategy without a shared window has no slots here.

use shootdown_abi::{Counter, Mark, Table};
use shootdown_emu::Machine;
use shootdown_emu::mmu;
use shootdown_emu::observe::{Event, Observer, Wanted, What};

/// Bytes of an element, and where its number of users stands.
const fn shape(table: Table) -> (usize, std::ops::Range<usize>) {
    match table {
        Table::Counts => (2, 0..2),
        Table::Pins => (24, 4..8),
    }
}

/// A slot was given to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// When, in cycles of the giver.
    pub cycle: u64,
    /// By which processor.
    pub cpu: u8,
    /// How often so far.
    pub times: u32,
}

/// What is known of the window from marks.
#[derive(Clone, Debug, Default)]
pub struct Window {
    slots: usize,
    /// Linear page of slot 0.
    start: Option<u32>,
    table: Option<(Table, u32)>,
    given: Vec<Option<Given>>,
    latest: Option<usize>,
    wraps: u64,
    wrapped: Option<u64>,
}

/// What a slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It maps nothing.
    Free,
    /// It maps a page that nobody uses.
    Unused,
    /// So many use it.
    By(u32),
}

/// One slot at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What the kernel's table says.
    pub used: Use,
    /// When it was last given to a page.
    pub given: Option<Given>,
    /// The PTE.
    pub pte: u64,
    /// Processors whose TLBs hold what the PTE says.
    pub holders: u64,
    /// Processors whose TLBs hold something else.
    pub stale: u64,
}

/// The window at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Linear address of slot 0.
    pub start: u32,
    /// The slots; none where the strategy has no shared window.
    pub slots: Vec<Slot>,
    /// Which was given last.
    pub latest: Option<usize>,
    /// How often the cursor has wrapped.
    pub wraps: u64,
    /// When it did last.
    pub wrapped: Option<u64>,
}

impl Window {
    /// One of `slots` slots, of a machine that has not run yet.
    pub fn new(slots: usize) -> Window {
        Window { slots, given: vec![None; slots], ..Window::default() }
    }

    fn slot_of(&self, page: u32) -> Option<usize> {
        let slot = page.checked_sub(self.start?)? as usize;
        (slot < self.slots).then_some(slot)
    }

    /// Looks at a machine that pauses. PTEs are read as its first processor sees them: all address spaces share them.
    pub fn look(&self, machine: &Machine) -> Look {
        let (Some(start), Some((table, frame))) = (self.start, self.table) else { return Look::default() };
        let counts = read_users(machine, table, frame, self.slots);
        let ptes = read_ptes(machine, start << 12, self.slots);
        let mut slots: Vec<Slot> = (0..self.slots)
            .map(|i| Slot {
                used: counts.get(i).copied().unwrap_or(Use::Free),
                given: self.given.get(i).copied().flatten(),
                pte: ptes.get(i).copied().unwrap_or(0),
                holders: 0,
                stale: 0,
            })
            .collect();
        for (i, cpu) in machine.cpus().iter().enumerate() {
            for array in cpu.mmu.arrays() {
                for entry in array.valid() {
                    let slot = self.slot_of(array.linear(entry) >> 12).and_then(|s| slots.get_mut(s));
                    if let Some(slot) = slot {
                        let mask = if entry.stale != 0 { &mut slot.stale } else { &mut slot.holders };
                        *mask |= 1 << i;
                    }
                }
            }
        }
        Look { start: start << 12, slots, latest: self.latest, wraps: self.wraps, wrapped: self.wrapped }
    }
}

/// What the kernel's table says; what is not in RAM is left out.
fn read_users(machine: &Machine, table: Table, frame: u32, slots: usize) -> Vec<Use> {
    let (size, place) = shape(table);
    let mut bytes = vec![0; size * slots];
    // A guest may say anything.
    if !machine.bus().ram.peek(u64::from(frame) << 12, &mut bytes) {
        return Vec::new();
    }
    let number = |at: std::ops::Range<usize>, element: &[u8]| {
        let bytes = element.get(at).unwrap_or_default();
        bytes.iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b))
    };
    let of = |element: &[u8]| {
        let n = number(place.clone(), element);
        match table {
            Table::Counts if n == 0 => Use::Free,
            Table::Counts if n == 1 => Use::Unused,
            Table::Counts => Use::By(n - 1),
            Table::Pins if number(0..4, element) == u32::MAX => Use::Free,
            Table::Pins if n == 0 => Use::Unused,
            Table::Pins => Use::By(n),
        }
    };
    bytes.chunks_exact(size).map(of).collect()
}

/// The PTEs of consecutive pages, a page table at a time.
fn read_ptes(machine: &Machine, start: u32, slots: usize) -> Vec<u64> {
    let mut ptes = Vec::with_capacity(slots);
    let Some(cpu) = machine.cpus().first() else { return ptes };
    let size = if cpu.mmu.paging() == mmu::Paging::Pae { 8 } else { 4 };
    while ptes.len() < slots {
        let page = start.wrapping_add((ptes.len() as u32) << 12);
        let index = (page >> 12) as usize % (4096 / size);
        let n = (4096 / size - index).min(slots - ptes.len());
        let mut bytes = vec![0; n * size];
        let [_, Some(first)] = mmu::path(cpu, machine.bus(), page).entries else {
            ptes.resize(ptes.len() + n, 0);
            continue;
        };
        machine.bus().ram.peek(first.pa, &mut bytes);
        let pte = |b: &[u8]| b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        ptes.extend(bytes.chunks_exact(size).map(pte));
    }
    ptes
}

impl Observer for Window {
    fn wanted(&self) -> Wanted {
        Wanted::MARKS
    }

    fn event(&mut self, event: &Event) {
        let What::Mark(mark, payload) = event.what else { return };
        match mark {
            Mark::WindowAt => self.start = Some(payload & 0xf_ffff),
            Mark::TableAt => {
                if let Some(table) = Table::from_code((payload >> 20) as u8) {
                    self.table = Some((table, payload & 0xf_ffff));
                }
            }
            Mark::SlotGiven => {
                if let Some(slot) = self.slot_of(payload)
                    && let Some(given) = self.given.get_mut(slot)
                {
                    let times = given.map_or(0, |g| g.times).saturating_add(1);
                    *given = Some(Given { cycle: event.cycle, cpu: event.cpu, times });
                    self.latest = Some(slot);
                }
            }
            Mark::Count if payload >> 16 == Counter::Wraps as u32 => {
                self.wraps += u64::from(payload & 0xffff);
                self.wrapped = Some(event.cycle);
            }
            _ => {}
        }
    }
}
