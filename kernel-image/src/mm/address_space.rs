//! User address spaces: a root of page tables and the list of areas that may
//! be touched. Anonymous memory only; frames come on demand (`fault`).
//!
//! An address space is a low frame of its own: the header, then the areas in
//! order of address. Processes have one thread, so an address space is changed
//! only by its process, on the processor where that runs. Other processors
//! can still have it loaded, *lazily*: idle and kernel threads keep the CR3 of
//! whoever ran before. Two things follow.
//!
//! - Tables are freed only when the last processor has left them (`users`),
//!   since such a processor still walks them for kernel addresses.
//! - When the process returns to a processor that kept the CR3 meanwhile, no
//!   CR3 load happens and old user translations would come back to life. So a
//!   change that takes rights away marks all other processors `stale`, and
//!   arriving on one of them loads CR3 again. No IPI is sent for it.
//!
//! Frames of an ended process are freed at once although lazy processors may
//! hold entries for them: kernel code on such a processor touches no user
//! address, and it loads CR3 before any user code runs.

use super::frame::{self, Want};
use super::page::{Frame, PAGE_SIZE};
use super::page_table::{self as pt, Entry};
use super::{direct_map, flush, kernel_space};
use crate::sync::SpinLock;
use crate::{kmap, memlayout, percpu, sched};
use core::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Relaxed};

/// What a process may do with an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Text and constants.
    ReadOnly,
    /// Data, stack and mmap.
    ReadWrite,
}

/// Pages `start..end` (addresses, page aligned) that the process may use.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// First address.
    pub start: u32,
    /// First address behind it.
    pub end: u32,
    /// Rights of ring 3.
    pub protection: Protection,
}

/// Most areas of one address space.
const AREAS: usize = 128;

struct Areas {
    count: usize,
    list: [Area; AREAS],
}

/// See the module.
pub struct AddressSpace {
    root: u32,
    /// The owner and each processor that has the root loaded.
    users: AtomicU32,
    /// Processors that may hold translations older than the last change.
    stale: [AtomicU32; 2],
    areas: SpinLock<Areas>,
    /// Physical address of the page table at the top of the user half that the kernel keeps for kmap slots; 0: none.
    private: u32,
    /// Whose turn it is at each of the two addresses of `copy-clear`.
    pub private_locks: [SpinLock<()>; 2],
}

const _: () = assert!(size_of::<AddressSpace>() <= PAGE_SIZE as usize);

/// Why memory could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame, no page table or no place for another area.
    NoMemory,
    /// Not page aligned, empty, outside the user half, or in use.
    BadRange,
}

impl AddressSpace {
    /// An empty address space, or `None` without memory.
    pub fn new() -> Option<&'static AddressSpace> {
        let frame = frame::alloc(Want::Low)?;
        let Some(root) = kernel_space::new_root() else {
            frame::put(frame);
            return None;
        };
        let private = match memlayout::has_private().then(|| kernel_space::private_table(root)) {
            None => 0,
            Some(Ok(table)) => table,
            Some(Err(_)) => {
                kernel_space::free_root(root);
                frame::put(frame);
                return None;
            }
        };
        let empty = Area { start: 0, end: 0, protection: Protection::ReadOnly };
        let space = AddressSpace {
            root,
            users: AtomicU32::new(1),
            stale: [const { AtomicU32::new(0) }; 2],
            areas: SpinLock::new(Areas { count: 0, list: [empty; AREAS] }),
            private,
            private_locks: [const { SpinLock::new(()) }; 2],
        };
        let place = direct_map(frame.phys() as u32).cast::<AddressSpace>();
        // SAFETY: a frame of its own, aligned and large enough (checked above); freed in `drop_user`
        // when the last reference is gone.
        unsafe {
            place.write(space);
            Some(&*place)
        }
    }

    /// Physical address of the root, as CR3 holds it.
    pub fn root(&self) -> u32 {
        self.root
    }

    /// Physical address of the page table that maps `memlayout::private_base()` on, if strategies need one.
    pub fn private_table(&self) -> u32 {
        debug_assert!(self.private != 0);
        self.private
    }

    /// The area that holds an address.
    pub fn area(&self, address: u32) -> Option<Area> {
        let areas = self.areas.lock();
        areas.list[..areas.count].iter().find(|a| a.start <= address && address < a.end).copied()
    }

    /// Area number `i` in order of address.
    pub fn nth_area(&self, i: usize) -> Option<Area> {
        let areas = self.areas.lock();
        areas.list[..areas.count].get(i).copied()
    }

    /// Allows `start..end`; frames come when they are touched.
    pub fn map(&self, start: u32, end: u32, protection: Protection) -> Result<(), MapError> {
        if !(start | end).is_multiple_of(PAGE_SIZE) || start >= end || end > memlayout::user_end() {
            return Err(MapError::BadRange);
        }
        self.areas.lock().insert(Area { start, end, protection })
    }

    /// Finds room for `bytes` at or above `from` and allows it; returns the address.
    pub fn map_anywhere(&self, from: u32, bytes: u32) -> Result<u32, MapError> {
        let bytes =
            bytes.checked_next_multiple_of(PAGE_SIZE).filter(|&b| b != 0).ok_or(MapError::BadRange)?;
        let mut areas = self.areas.lock();
        let mut start = from;
        for area in &areas.list[..areas.count] {
            if area.end > start && area.start < start.saturating_add(bytes) {
                start = area.end;
            }
        }
        let end =
            start.checked_add(bytes).filter(|&e| e <= memlayout::user_end()).ok_or(MapError::NoMemory)?;
        areas.insert(Area { start, end, protection: Protection::ReadWrite })?;
        Ok(start)
    }

    /// Takes `start..end` away: PTEs cleared, flushed, then the frames given up. The calling process owns `self`.
    pub fn unmap(&self, start: u32, end: u32) -> Result<(), MapError> {
        if !(start | end).is_multiple_of(PAGE_SIZE) || start >= end || end > memlayout::user_end() {
            return Err(MapError::BadRange);
        }
        self.areas.lock().remove(start, end)?;
        // In batches: a frame is given up only when no translation of it is left here.
        let (mut gone, mut n, mut at) = ([Frame(0); 64], 0, start);
        while at < end {
            match self.next_present(at, end) {
                Some((address, slot)) => {
                    gone[n] = slot.read().frame();
                    n += 1;
                    slot.write(Entry::NONE);
                    at = address + PAGE_SIZE;
                }
                None => at = end,
            }
            if n == gone.len() || at >= end && n != 0 {
                self.flush_here(flush::Scope::Space);
                gone[..n].iter().for_each(|&f| frame::put(f));
                n = 0;
            }
        }
        Ok(())
    }

    /// The first present PTE in `from..end`, with its address.
    pub fn next_present(&self, from: u32, end: u32) -> Option<(u32, pt::Slot)> {
        let span = pt::format().table_span();
        let mut at = from;
        while at < end {
            match pt::lookup(self.root, at) {
                None => at = (at & !(span - 1)).checked_add(span)?,
                Some(slot) if slot.read().present() => return Some((at, slot)),
                Some(_) => at += PAGE_SIZE,
            }
        }
        None
    }

    /// Writes `bytes` to `address` whatever the rights of ring 3 there are: for loading a program
    /// into a space that no processor has loaded yet. The range must lie in areas.
    pub fn store(&self, mut address: u32, mut bytes: &[u8]) -> Result<(), MapError> {
        while !bytes.is_empty() {
            let area = self.area(address).ok_or(MapError::BadRange)?;
            let offset = address % PAGE_SIZE;
            let n = bytes.len().min((PAGE_SIZE - offset) as usize);
            let slot = kernel_space::user_slot(self.root, address).map_err(|_| MapError::NoMemory)?;
            if !slot.read().present() {
                let frame = super::fault::zeroed_frame().ok_or(MapError::NoMemory)?;
                slot.write(Entry::new(frame, user_bits(area.protection)));
            }
            let mapping = kmap::map(slot.read().frame(), kmap::Use::Clear);
            // SAFETY: the mapping covers one page and `offset + n` stays within it.
            unsafe {
                let to = (mapping.address() + offset) as *mut u8;
                core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, n);
            }
            kmap::unmap(mapping);
            bytes = &bytes[n..];
            address += n as u32;
        }
        Ok(())
    }

    /// After PTEs lost rights: no translation older than this call is used again. This processor
    /// flushes, all others become stale. Called by the process that owns the space.
    pub fn flush_here(&self, scope: flush::Scope) {
        // One step as far as migration is concerned: else the flush could hit another processor
        // than the one that is left unmarked.
        sched::preempt_disable();
        let me = percpu::cpu_id();
        for (i, word) in self.stale.iter().enumerate() {
            let own = if me / 32 == i { 1 << (me % 32) } else { 0 };
            word.store(!own, Relaxed);
        }
        match scope {
            flush::Scope::Page(address) => flush::local_page(address),
            flush::Scope::Space => flush::local_non_global(),
        }
        sched::preempt_enable();
    }

    /// Is this processor stale? Forgets it: the caller flushes.
    pub fn take_stale(&self, cpu: usize) -> bool {
        let (word, bit) = (&self.stale[cpu / 32], 1 << (cpu % 32));
        if word.load(Relaxed) & bit == 0 {
            return false;
        }
        word.fetch_and(!bit, AcqRel);
        true
    }

    /// A processor loads the root.
    pub fn add_user(&self) {
        self.users.fetch_add(1, Relaxed);
    }

    /// A processor has loaded another root, or the owner is gone. The last one frees the tables.
    pub fn drop_user(&self) {
        if self.users.fetch_sub(1, AcqRel) == 1 {
            kernel_space::free_root(self.root);
            let own = self as *const AddressSpace as u32 - memlayout::page_offset();
            frame::put(Frame::containing(own as u64));
        }
    }

    /// The process ends: its frames go at once, the tables with the last processor that leaves them.
    pub fn release(&self) {
        let mut i = 0;
        while let Some(area) = self.nth_area(i) {
            let mut at = area.start;
            while let Some((address, slot)) = self.next_present(at, area.end) {
                let frame = slot.read().frame();
                slot.write(Entry::NONE);
                frame::put(frame);
                at = address + PAGE_SIZE;
            }
            i += 1;
        }
        self.areas.lock().count = 0;
        self.drop_user();
    }
}

/// PTE bits of a private page.
pub fn user_bits(protection: Protection) -> u32 {
    match protection {
        Protection::ReadOnly => pt::P | pt::US | pt::A,
        Protection::ReadWrite => pt::P | pt::US | pt::A | pt::RW | pt::D,
    }
}

impl Areas {
    fn insert(&mut self, new: Area) -> Result<(), MapError> {
        if self.count == AREAS {
            return Err(MapError::NoMemory);
        }
        let used = &self.list[..self.count];
        if used.iter().any(|a| a.start < new.end && new.start < a.end) {
            return Err(MapError::BadRange);
        }
        let at = used.iter().position(|a| a.start > new.start).unwrap_or(self.count);
        self.list.copy_within(at..self.count, at + 1);
        self.list[at] = new;
        self.count += 1;
        Ok(())
    }

    fn delete(&mut self, i: usize) {
        self.list.copy_within(i + 1..self.count, i);
        self.count -= 1;
    }

    /// Cuts `start..end` out of whatever areas it meets.
    fn remove(&mut self, start: u32, end: u32) -> Result<(), MapError> {
        let mut i = 0;
        while i < self.count {
            let area = self.list[i];
            match (area.start < start, end < area.end) {
                _ if area.end <= start || end <= area.start => i += 1,
                (false, false) => self.delete(i),
                (true, false) => {
                    self.list[i].end = start;
                    i += 1;
                }
                (false, true) => {
                    self.list[i].start = end;
                    i += 1;
                }
                (true, true) => {
                    if self.count == AREAS {
                        return Err(MapError::NoMemory);
                    }
                    self.list[i].end = start;
                    return self.insert(Area { start: end, ..area });
                }
            }
        }
        Ok(())
    }
}
