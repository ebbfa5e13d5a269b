//! Page faults: demand zero, copy-on-write, pages of mapped files, and pages on the swap device.
//!
//! A fault has already dropped the TLB entries of its address on this
//! processor (SDM vol. 3A, "Invalidation of TLBs and Paging-Structure Caches"),
//! so making an entry present needs no flush: what is not present is in no TLB.
//! Giving the address *another* frame does: between the fault and the PTE write
//! the processor may have filled the old entry again, and reads through it
//! would see the other process's frame. Making an entry writable with the same
//! frame would be safe without, at the price of spurious faults; it flushes as
//! well (as 2.4 did), so that kernel code that must not fault can rely on it; in
//! a space with several threads on this processor only, and the others take the
//! spurious fault.
//!
//! Two threads may fault at the same page at the same time. Each prepares its
//! frame without a lock, since that may sleep; the PTE goes to the first, and the
//! other one's frame goes back.
//!
//! Where there is a swap device, an entry may lose its page between two looks (`swapped`): then the access faults once more.
//!
//! Frames are cleared and copied through the strategy's own kmap. A copy
//! needs two kmaps at a time; `kmap::map_pair` sees to it that holders of one
//! who wait for a second cannot use up the window.
//!
//! *Copy on write by one kmap* (`cow=own`). The old page has an address already: the
//! faulting task's own, where it may be read.
//!
//! ```text
//!  pin:      an owner more of the frame behind the entry     // it stays what it is: who has it writable is not its only owner
//!  copy:     kmap(new);  new := what the address shows;  kunmap
//!            the address shows no page: nothing is repaired; kmap both, as with cow=pair
//!  replace:  if the entry is still what was pinned; else the copy is thrown away, and the access faults again
//! ```
//!
//! What the frame's owner more does not hold is the *address*. Another thread may copy before, and write: then a
//! mixture is read, and thrown away, since an entry that has lost a frame cannot come by it again while that has an
//! owner here. Reclaim may take the entry: the read faults, and a fault in a fault would ask for the layout's
//! lock twice, and for memory with a kmap in its hands; so the copy is given up at once (`arch::copy`). The read
//! leaves the old translation in this processor's TLB, which the fault had dropped from it: the flush
//! after the PTE write is needed here, if it was not before. It may also set the accessed bit that reclaim has
//! just cleared; then the entry counts as changed, and it begins anew.
//! Idea: Jelinek, Miller and Tweedie, linux-kernel 1999: only the target of such a copy needs a kmap.

use super::address_space::{AddressSpace, user_bits};
use super::area::{Area, Protection, Sharing};
use super::page::{Frame, PAGE_SIZE};
use super::page_table::Entry;
use super::{flush, frame, page_cache, page_table as pt, reclaim, swap};
use crate::arch::copy;
use crate::cmdline::options;
use crate::kmap::axes::named;
use crate::ptemap::{Role, Table};
use crate::{kmap, memlayout, sched, shootdown};

/// The error code's bits (SDM vol. 3A, "Interrupt 14").
const WRITE: u32 = 1 << 1;

named! {
    /// How a page is copied on write, by the values of `cow=`.
    Cow {
        /// Both pages are mapped.
        Pair "pair",
        /// The new one is; the old one is read at the address that the task has it at.
        Own "own",
    }
}

/// What the address was to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load or an instruction fetch.
    Read,
    /// A store.
    Write,
}

impl Access {
    /// PTE bits without which it faults.
    pub(super) fn needs(self) -> u32 {
        match self {
            Access::Read => pt::P | pt::US,
            Access::Write => pt::P | pt::US | pt::RW,
        }
    }
}

/// Why a fault could not be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not an address that the process may use so.
    BadAddress,
    /// No frame or page table was left.
    NoMemory,
}

/// Repairs a page fault at `address` with the processor's error code, or says why not.
///
/// In task context with interrupts as the faulting code had them; may sleep in a kmap, so only
/// code that may sleep may touch user memory that has not been checked with `user::prefault`.
pub fn handle(address: u32, error: u32) -> Result<(), Fault> {
    let access = if error & WRITE != 0 { Access::Write } else { Access::Read };
    let space = sched::current().mm.get().ok_or(Fault::BadAddress)?;
    // Another thread may have done it meanwhile, or this processor's translation was behind. A copy that has the layout
    // already comes here for nothing else.
    if space.is_shared() && allows(space, address, access) {
        return Ok(());
    }
    let _layout = space.keep_layout();
    make_usable(space, address, access)
}

/// Does the PTE allow ring 3 this access?
fn allows(space: &AddressSpace, address: u32, access: Access) -> bool {
    let small = || space.lookup(address, Role::Look).map(|table| table.slot(address).read());
    address < memlayout::user_end()
        && match small() {
            Some(entry) => entry.has(access.needs()),
            None => space.large_allows(address, access),
        }
}

/// Sees to it that the running process can access `address` in this way.
pub fn make_usable(space: &AddressSpace, address: u32, access: Access) -> Result<(), Fault> {
    if address >= memlayout::user_end() {
        return Err(Fault::BadAddress);
    }
    let area = space.area(address).ok_or(Fault::BadAddress)?;
    if access == Access::Write && area.protection == Protection::ReadOnly {
        return Err(Fault::BadAddress);
    }
    if matches!(area.sharing, Sharing::Large) {
        // Its PDEs are there as long as it is, with all that it allows: the translation was behind.
        return Ok(());
    }
    let mut table = space.table(address).map_err(|_| Fault::NoMemory)?;
    let entry = table.slot(address).read();
    if !entry.present() {
        bring(space, area, address, &mut table)?;
    } else if access == Access::Write && !entry.has(pt::RW) {
        unshare(space, area, address, table)?;
    }
    // Else the entry allows it already.
    Ok(())
}

/// Gives an address whose entry was not present what it stands for: what is on the swap device, a page of a file, or zeros.
fn bring(space: &AddressSpace, area: Area, address: u32, table: &mut Table) -> Result<(), Fault> {
    let place = space.hold_swapped(table.slot(address));
    let (old, frame) = match place {
        None => (Entry::NONE, new_content(area, address, table)),
        Some(place) => (Entry::swapped(place), table.across(|| swap::read(place))),
    };
    let placed = frame.map(|frame| {
        reclaim::note(frame, area, address);
        let new = Entry::new(frame, user_bits(area.protection));
        let placed = space.replace(table.slot(address), old, new);
        if !placed {
            frame::put(frame);
        }
        placed
    });
    if let Some(place) = place {
        // What was held here, and what the entry held.
        (0..1 + u32::from(placed == Some(true))).for_each(|_| swap::put(place));
    }
    placed.map(|_| ()).ok_or(Fault::NoMemory)
}

/// A frame with what an area has at an address that was never touched; its owner is the caller.
fn new_content(area: Area, address: u32, table: &mut Table) -> Option<Frame> {
    match area.page_of_file(address) {
        None => table.across(zeroed_frame),
        Some((file, page)) => table.across(|| page_cache::owned(file, page).ok()),
    }
}

/// The frame behind an address of a space that nobody runs in yet but the caller.
pub fn own_frame(space: &AddressSpace, area: Area, address: u32) -> Result<Frame, Fault> {
    loop {
        let mut table = space.table(address).map_err(|_| Fault::NoMemory)?;
        let entry = table.slot(address).read();
        if entry.present() {
            return Ok(entry.frame());
        }
        bring(space, area, address, &mut table)?;
    }
}

/// Gives the process a frame of its own in place of the one behind `address`, which it shares with others.
fn unshare(space: &AddressSpace, area: Area, address: u32, mut table: Table) -> Result<(), Fault> {
    if space.write_in_place(table.slot(address)) {
        // Everybody else has copied or ended: nobody can become an owner but through this process.
        if space.is_shared() {
            flush::local_page(address);
        } else {
            shootdown::flush(space, flush::Scope::Page(address));
        }
        return Ok(());
    }
    // An owner more: the frame stays what it is while it is copied.
    let Some(old) = space.pin(table.slot(address)) else { return Ok(()) };
    let shared = old.frame();
    if old.has(pt::RW) {
        frame::put(shared);
        return Ok(());
    }
    let Some(own) = table.across(|| copy_of(shared, address)) else {
        frame::put(shared);
        return Err(Fault::NoMemory);
    };
    reclaim::note(own, area, address);
    if space.replace(table.slot(address), old, Entry::new(own, user_bits(Protection::ReadWrite))) {
        shootdown::flush(space, flush::Scope::Page(address));
        frame::put(shared);
    } else {
        frame::put(own);
    }
    frame::put(shared);
    Ok(())
}

/// A frame with the content of `shared`, which has an owner more as long as this lasts and was last seen at `address` of the
/// running process. If it is there no more the content may be any.
fn copy_of(shared: Frame, address: u32) -> Option<Frame> {
    let own = reclaim::user_frame()?;
    let copied = match options().cow {
        Cow::Pair => false,
        Cow::Own => copy_from_own_address(address & !(PAGE_SIZE - 1), own),
    };
    if !copied {
        copy_page(shared, own);
    }
    Some(own)
}

/// Copies what the running process has at the page `from` to a frame that is the caller's alone; false if there is nothing.
#[inline(never)]
fn copy_from_own_address(from: u32, to: Frame) -> bool {
    let to = kmap::map(to, kmap::Use::CopyTo);
    // SAFETY: the target is mapped for one page and known to nobody else, the source lies in an area of the process.
    let copied = unsafe { copy::there(to.address() as *mut u8, from as *const u8, PAGE_SIZE) };
    kmap::unmap(to);
    copied.is_ok()
}

/// Copies a frame to another one, which is the caller's alone.
pub(super) fn copy_page(from: Frame, to: Frame) {
    let (from, to) = kmap::map_pair(from, to);
    // SAFETY: two different frames, each mapped for one page, the target known to nobody else.
    unsafe {
        let (from, to) = (from.address() as *const u32, to.address() as *mut u32);
        core::ptr::copy_nonoverlapping(from, to, PAGE_SIZE as usize / 4);
    }
    kmap::unmap_pair(from, to);
}

/// A frame full of zeros for user memory or a file.
pub fn zeroed_frame() -> Option<Frame> {
    let frame = reclaim::user_frame()?;
    clear(frame);
    Some(frame)
}

/// Fills a frame that nobody knows yet with zeros.
#[inline(always)]
pub(super) fn clear(frame: Frame) {
    let mapping = kmap::map(frame, kmap::Use::Clear);
    // SAFETY: the frame is the caller's alone and mapped for one page.
    unsafe { (mapping.address() as *mut u32).write_bytes(0, PAGE_SIZE as usize / 4) };
    kmap::unmap(mapping);
}
