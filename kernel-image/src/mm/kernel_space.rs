//! The kernel's own half of every address space.
//!
//! ```text
//!  PAGE_OFFSET   direct map      large global pages, physical 0 .. end of the low zones
//!  window        shared kmap     4 KiB pages; page tables made here, entries by the strategy
//!  IMAGE_BASE    kernel image    large global pages, physical 0 .. 8 MiB
//!  ATOMIC_BASE   fixmap          4 KiB pages: per-CPU kmap slots, local APIC
//! ```
//!
//! Every page-table page of the kernel half exists from boot on. So two-level
//! address spaces copy the kernel's PDEs once and PAE ones share its page
//! directories, and no kernel mapping is ever missing in one of them: there is
//! no vmalloc-style fault.
//!
//! The kernel's root also maps physical 0..4 MiB at linear 0: a processor
//! that comes up turns paging on with this root while it still runs in low memory.

use super::frame::{self, Want};
use super::page::{Frame, PAGE_SIZE};
use super::page_table::{self, Entry, Format, Slot};
use super::{direct_map, page_table as pt};
use crate::{cmdline, memlayout};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What the identity mapping of the kernel's root covers.
const IDENTITY_END: u32 = 4 << 20;

static ROOT: AtomicU32 = AtomicU32::new(0);
static WINDOW_TABLES: AtomicU32 = AtomicU32::new(0);
static FIXMAP_TABLES: AtomicU32 = AtomicU32::new(0);

/// CR3 of the kernel's own address space: idle processors before their first process.
pub fn root() -> u32 {
    ROOT.load(Relaxed)
}

/// The PTE of slot `index` of the shared window.
pub fn window_slot(index: usize) -> Slot<'static> {
    Slot::at(WINDOW_TABLES.load(Relaxed), index)
}

/// The PTE of page `index` of the fixmap.
pub fn fixmap_slot(index: usize) -> Slot<'static> {
    Slot::at(FIXMAP_TABLES.load(Relaxed), index)
}

/// A low frame full of zeros, for a table.
pub fn cleared_table() -> Option<Frame> {
    let frame = frame::alloc(Want::Low)?;
    // SAFETY: the frame was just allocated, so this is its only user, and it is in the direct map.
    unsafe { direct_map(frame.phys() as u32).write_bytes(0, PAGE_SIZE as usize) };
    Some(frame)
}

/// No memory for the kernel's own tables: nothing can run.
fn boot_frame() -> Frame {
    cleared_table().expect("no memory for the kernel's page tables")
}

/// Maps `start..end` to consecutive physical memory from `phys` on with large pages.
fn map_large(root: u32, start: u32, end: u64, phys: u64, bits: u32) {
    let span = pt::format().table_span() as u64;
    assert!((start as u64).is_multiple_of(span) && phys.is_multiple_of(span), "large mapping is not aligned");
    let mut offset = 0;
    while start as u64 + offset < end {
        let place = pt::pde(root, start + offset as u32).expect("kernel page directory is missing");
        place.write(Entry((phys + offset) | (bits | pt::PS) as u64));
        offset += span;
    }
}

/// Gives `start..end` page-table pages that neighbour each other in physical memory, so that the
/// entry of a page is found by its number; returns the first.
fn make_tables(root: u32, start: u32, end: u64) -> u32 {
    let span = pt::format().table_span() as u64;
    let start = start as u64 / span * span;
    let tables = (end - start).div_ceil(span) as u32;
    let first = frame::alloc_contiguous(tables, 1).expect("no memory for the window's page tables");
    for i in 0..tables {
        let table = Frame(first.0 + i);
        // SAFETY: just allocated, in the direct map.
        unsafe { direct_map(table.phys() as u32).write_bytes(0, PAGE_SIZE as usize) };
        let place =
            pt::pde(root, (start + span * i as u64) as u32).expect("kernel page directory is missing");
        place.write(Entry::new(table, pt::P | pt::RW | pt::A));
    }
    first.phys() as u32
}

/// PTE bits of the direct map, the image and the APIC. Global, unless CR3 loads at the border of ring 3 stand for
/// page tables of the kernel's own (`entry-cr3=1`): what such a kernel maps must not be seen by ring 3.
fn kernel_bits() -> u32 {
    if cmdline::options().entry_cr3 { pt::KERNEL } else { pt::KERNEL | pt::G }
}

/// Builds the final kernel tables in the chosen format. The caller turns them on.
///
/// `low_end` is the end of the direct map and `window` the start of the shared window,
/// both multiples of 4 MiB.
pub fn build(low_end: u32, window: u32) {
    let root = boot_frame().phys() as u32;
    ROOT.store(root, Relaxed);
    if pt::format() == Format::Pae {
        // The page directories of the kernel half and the one that holds the identity mapping.
        let first_kernel = (memlayout::page_offset() >> 30) as usize;
        for i in (first_kernel..4).chain([0]) {
            // Only P is allowed in a PDPTE; its other bits are reserved.
            Slot::at(root, i).write(Entry::new(boot_frame(), pt::P));
        }
    }
    let kernel = kernel_bits();
    map_large(root, 0, IDENTITY_END as u64, 0, pt::KERNEL);
    map_large(root, memlayout::page_offset(), memlayout::page_offset() as u64 + low_end as u64, 0, kernel);
    let image_end = memlayout::IMAGE_BASE as u64 + memlayout::IMAGE_SPAN as u64;
    map_large(root, memlayout::IMAGE_BASE, image_end, 0, kernel);
    WINDOW_TABLES.store(make_tables(root, window, memlayout::WINDOW_END as u64), Relaxed);
    let fixmap_end = memlayout::LAPIC_BASE as u64 + PAGE_SIZE as u64;
    FIXMAP_TABLES.store(make_tables(root, memlayout::ATOMIC_BASE, fixmap_end), Relaxed);
    let lapic = (memlayout::LAPIC_BASE - memlayout::ATOMIC_BASE) / PAGE_SIZE;
    let registers = Frame::containing(memlayout::LAPIC_PHYS as u64);
    fixmap_slot(lapic as usize).write(Entry::new(registers, kernel | pt::PCD | pt::PWT));
}

/// A new root whose kernel half is the kernel's and whose user half is empty.
/// Under PAE the page directories of the user half exist from the start: a processor does not see
/// a change of the four PDPTEs before its next CR3 load.
pub fn new_root() -> Option<u32> {
    let frame = cleared_table()?;
    let root = frame.phys() as u32;
    match pt::format() {
        Format::TwoLevel => {
            for i in (memlayout::page_offset() >> 22) as usize..1024 {
                Slot::at(root, i).write(Slot::at(self::root(), i).read());
            }
        }
        Format::Pae => {
            let first_kernel = (memlayout::page_offset() >> 30) as usize;
            for i in 0..first_kernel {
                match cleared_table() {
                    Some(directory) => Slot::at(root, i).write(Entry::new(directory, pt::P)),
                    None => {
                        free_root(root);
                        return None;
                    }
                }
            }
            for i in first_kernel..4 {
                Slot::at(root, i).write(Slot::at(self::root(), i).read());
            }
        }
    }
    Some(root)
}

/// Frees a root, the page directories of its user half and their page tables. No processor may
/// have it loaded.
pub fn free_root(root: u32) {
    let free_tables = |directory: u32, entries: usize| {
        for i in 0..entries {
            let pde = Slot::at(directory, i).read();
            if pde.present() {
                frame::put(pde.frame());
            }
        }
    };
    match pt::format() {
        Format::TwoLevel => free_tables(root, (memlayout::page_offset() >> 22) as usize),
        Format::Pae => {
            for i in 0..(memlayout::page_offset() >> 30) as usize {
                let directory = Slot::at(root, i).read();
                if directory.present() {
                    free_tables(directory.frame().phys() as u32, 512);
                    frame::put(directory.frame());
                }
            }
        }
    }
    frame::put(Frame::containing(root as u64));
}

/// Gives address space `root` a page table for kmap slots of its own, out of reach of ring 3; its physical address.
/// It is written at every kmap, and lies in low memory whatever `pte=` says.
pub fn private_table(root: u32) -> Result<u32, page_table::NoTable> {
    let table = cleared_table().ok_or(page_table::NoTable)?;
    let entered = pt::enter_table(root, memlayout::private_base(), table, pt::P | pt::RW | pt::A);
    entered.inspect_err(|_| frame::put(table))?;
    Ok(table.phys() as u32)
}

/// PDE bits of a page table of the user half.
pub const USER_TABLE: u32 = pt::P | pt::RW | pt::US | pt::A;
