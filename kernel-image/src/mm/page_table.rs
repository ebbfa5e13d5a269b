//! Page tables in both formats: look up, create, write one entry. Never flushes.
//!
//! ```text
//!  two-level (paging=4g)   31      22 21      12 11        0
//!                         | PDE     | PTE       | offset    |   1024 entries of 4 bytes, 4 MiB pages
//!  PAE (paging=64g)        31 30 29    21 20    12 11        0
//!                         |PDPTE| PDE  | PTE     | offset    |   4, 512, 512 entries of 8 bytes, 2 MiB pages
//! ```
//!
//! SDM vol. 3A, "32-Bit Paging" and "PAE Paging". One image carries both; the
//! format is chosen once at boot. Roots, directories and the kernel's own tables
//! lie in low memory and are reached through the direct map, so their addresses
//! fit 32 bits even under PAE. Where the page tables of the user half lie, and
//! how they are reached, is the business of `ptemap`.
//!
//! A PAE entry is eight bytes but stores are four (`cmpxchg8b` aside), so an
//! entry that points to another frame is written low half 0, high half, low
//! half: at no moment is a mixture of old and new frame present.

use super::direct_map;
use super::page::{Frame, PAGE_SIZE};
use super::swap::Place;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed, Ordering::Release};

/// Present.
pub const P: u32 = 1 << 0;
/// Writable.
pub const RW: u32 = 1 << 1;
/// Ring 3 may use it.
pub const US: u32 = 1 << 2;
/// Write-through.
pub const PWT: u32 = 1 << 3;
/// Not cached.
pub const PCD: u32 = 1 << 4;
/// Accessed.
pub const A: u32 = 1 << 5;
/// Dirty.
pub const D: u32 = 1 << 6;
/// Large page (in a PDE).
pub const PS: u32 = 1 << 7;
/// Global: survives a CR3 load.
pub const G: u32 = 1 << 8;
/// Kernel data: accessed and dirty from the start, so that no walk has to set them.
pub const KERNEL: u32 = P | RW | A | D;

/// Format of the page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// 32-bit paging: up to 4 GiB of RAM.
    TwoLevel = 0,
    /// PAE: up to 64 GiB of RAM.
    Pae = 1,
}

static FORMAT: AtomicU8 = AtomicU8::new(Format::TwoLevel as u8);

/// Chooses the format; at boot, before the first table.
pub fn set_format(format: Format) {
    FORMAT.store(format as u8, Relaxed);
}

/// The format in use.
pub fn format() -> Format {
    if FORMAT.load(Relaxed) == Format::Pae as u8 { Format::Pae } else { Format::TwoLevel }
}

impl Format {
    /// Bytes that one page-table page maps, which is also the size of a large page.
    pub const fn table_span(self) -> u32 {
        match self {
            Format::TwoLevel => 4 << 20,
            Format::Pae => 2 << 20,
        }
    }

    /// The first address behind `address` that another page table maps; `address` is not in the last table of the space.
    pub const fn next_table(self, address: u32) -> u32 {
        (address & !(self.table_span() - 1)) + self.table_span()
    }
}

/// The value of an entry. Two-level entries use the low half only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    /// Not present.
    pub const NONE: Entry = Entry(0);

    /// An entry that maps `frame` with the given bits.
    pub const fn new(frame: Frame, bits: u32) -> Entry {
        Entry(frame.phys() | bits as u64)
    }

    /// True if all of these bits are set.
    pub const fn has(self, bits: u32) -> bool {
        self.0 as u32 & bits == bits
    }

    /// Is the entry present?
    pub const fn present(self) -> bool {
        self.has(P)
    }

    /// An entry that is not present and names a page of the swap device.
    pub const fn swapped(place: Place) -> Entry {
        Entry((place.0 as u64 + 1) << 12)
    }

    /// The page of the swap device that it names, if it does.
    pub const fn place(self) -> Option<Place> {
        if self.present() || self.0 == 0 { None } else { Some(Place((self.0 >> 12) as u32 - 1)) }
    }

    /// The frame that it maps.
    pub const fn frame(self) -> Frame {
        Frame(((self.0 & 0xf_ffff_f000) >> 12) as u32)
    }
}

/// The place of one entry in a table, which has a kernel address as long as `'a`.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    low: &'a AtomicU32,
    /// PAE only.
    high: Option<&'a AtomicU32>,
}

impl Slot<'static> {
    /// Entry `index` of the run of tables that begins at physical address `table`.
    pub fn at(table: u32, index: usize) -> Slot<'static> {
        // SAFETY: `table` is a page table in low memory, which the direct map covers for good.
        unsafe { Slot::mapped(direct_map(table), index) }
    }
}

impl<'a> Slot<'a> {
    /// Entry `index` of the run of tables that is mapped at `base`.
    ///
    /// # Safety
    /// The table with this entry stays mapped there as long as `'a`; tables are only ever accessed through atomics.
    pub unsafe fn mapped(base: *mut u8, index: usize) -> Slot<'a> {
        let half = |byte: usize| {
            let word = base.wrapping_add(byte).cast::<u32>();
            // SAFETY: promised by the caller.
            unsafe { AtomicU32::from_ptr(word) }
        };
        match format() {
            Format::TwoLevel => Slot { low: half(index * 4), high: None },
            Format::Pae => Slot { low: half(index * 8), high: Some(half(index * 8 + 4)) },
        }
    }

    /// The entry. Exact for entries that nobody else writes at this moment.
    pub fn read(self) -> Entry {
        let high = self.high.map_or(0, |h| h.load(Relaxed));
        Entry(self.low.load(Relaxed) as u64 | (high as u64) << 32)
    }

    /// Writes the entry: in PAE form low half 0, high half, low half.
    pub fn write(self, entry: Entry) {
        if let Some(high) = self.high {
            self.low.store(0, Release);
            high.store((entry.0 >> 32) as u32, Release);
        }
        self.low.store(entry.0 as u32, Release);
    }

    /// Clears and sets bits of an entry that keeps its frame; touches the low half only.
    pub fn change(self, clear: u32, set: u32) {
        self.low.store(self.low.load(Relaxed) & !clear | set, Release);
    }
}

/// There was no frame for a page table, or no place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTable;

/// Where the PDE of an address stands; `None` if its PAE page directory does not exist.
///
/// `root` is a physical address as CR3 holds it.
pub fn pde(root: u32, address: u32) -> Option<Slot<'static>> {
    match format() {
        Format::TwoLevel => Some(Slot::at(root, (address >> 22) as usize)),
        Format::Pae => {
            let pdpte = Slot::at(root, (address >> 30) as usize).read();
            let directory = (pdpte.0 as u32) & !(PAGE_SIZE - 1);
            pdpte.present().then(|| Slot::at(directory, (address >> 21 & 511) as usize))
        }
    }
}

/// Which entry of its page table an address has.
pub fn table_index(address: u32) -> usize {
    match format() {
        Format::TwoLevel => (address >> 12 & 1023) as usize,
        Format::Pae => (address >> 12 & 511) as usize,
    }
}

/// The page table of an address; `None` if there is none (or the address is in a large page).
pub fn table(root: u32, address: u32) -> Option<Frame> {
    let pde = pde(root, address)?.read();
    (pde.present() && !pde.has(PS)).then(|| pde.frame())
}

/// Gives an address the page table `table`, which is cleared, by a PDE with `bits`. An address that has one already, or
/// whose page directory does not exist, gets none.
pub fn enter_table(root: u32, address: u32, table: Frame, bits: u32) -> Result<(), NoTable> {
    let place = pde(root, address).ok_or(NoTable)?;
    if place.read().present() {
        return Err(NoTable);
    }
    place.write(Entry::new(table, bits));
    Ok(())
}
