//! User address spaces: a root of page tables and the list of areas that may
//! be touched. Anonymous memory and mapped files; frames come on demand (`fault`), those of
//! shared anonymous areas at once.
//!
//! An address space is a low frame of its own. Its threads may run on several
//! processors; others can have it loaded *lazily*: idle and kernel threads keep
//! the CR3 of whoever ran before. `loaded` is the mask of both.
//!
//! - Tables are freed only when the last processor has left them (`users`),
//!   since such a processor still walks them for kernel addresses.
//! - When a thread returns to a processor that kept the CR3 meanwhile, no
//!   CR3 load happens and old user translations would come back to life. So a
//!   change that takes rights away marks processors `stale`, and arriving on one
//!   of them loads CR3 again. Which are marked, and which interrupted, is the
//!   business of `shootdown`.
//!
//! *Locks.* What the areas are, and that user memory which a system call has
//! made usable stays so, is guarded by `layout`: written by `mmap`, `munmap`,
//! `mprotect`, `mremap`, `discard` and fork, read by faults and by whoever copies from or to
//! user memory. A space with one thread does without: nobody else changes it.
//! `tables` is a leaf below it: a PTE that goes from one frame to another or to
//! none is written under it, and so is one that comes to be. Reaching a page
//! table may sleep (`ptemap`), so it is mapped before the lock is taken.
//!
//! Where there is a swap device, reclaim takes pages from the space at any moment,
//! whatever the layout's lock says (`swapped`, `reclaim`).
//!
//! Frames of an ended process are freed at once although lazy processors may
//! hold entries for them: kernel code on such a processor touches no user
//! address, and it loads CR3 before any user code runs.

use super::area::{self, Area, Areas, MapError, Protection, Sharing};
use super::frame::{self, Want};
use super::page::{Frame, PAGE_SIZE};
use super::page_table::{self as pt, Entry};
use super::spaces::{self, Links};
use super::{direct_map, fault, flush, kernel_space, large, swapped};
use crate::planted::{self, Fault};
use crate::ptemap::Role;
use crate::sched::{ReadGuard, RwLock, WriteGuard};
use crate::sync::SpinLock;
use crate::{kmap, memlayout, percpu, rmap, shootdown};
use core::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Relaxed, Ordering::SeqCst, fence};

/// Most threads of a space: a page table has room for the slots of so many (`task-window`).
const THREADS: u32 = 128;

/// What the lock of the tables guards besides PTEs.
pub(super) struct Guarded {
    /// The space is being taken apart: there is nothing to be found any more.
    pub(super) ended: bool,
    /// Numbers of threads that are in use.
    numbers: [u32; THREADS as usize / 32],
}

/// See the module.
pub struct AddressSpace {
    pub(super) root: u32,
    /// The threads together, each processor that has the root loaded, and each [`Visit`].
    users: AtomicU32,
    threads: AtomicU32,
    /// Processors that have the root loaded, bit n for processor n: `cpu_vm_mask` of Linux.
    loaded: [AtomicU32; 2],
    /// Processors that may hold translations older than the last change.
    stale: [AtomicU32; 2],
    /// Changes that took rights away, of all threads (`tlb-gen`).
    pub generation: AtomicU32,
    layout: RwLock,
    pub(super) tables: SpinLock<Guarded>,
    areas: SpinLock<Areas>,
    /// Physical address of the page table at the top of the user half that the kernel keeps for kmap slots; 0: none.
    private: u32,
    /// Its place among all spaces.
    pub(super) links: Links,
    /// What the chosen way to find PTEs keeps of it.
    pub kept: rmap::Kept,
    /// Whose turn it is at each of the two addresses of `copy-clear`.
    pub private_locks: [SpinLock<()>; 2],
}

const _: () = assert!(size_of::<AddressSpace>() <= PAGE_SIZE as usize);

impl AddressSpace {
    /// An empty address space with one thread, number 0, or `None` without memory.
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
        let space = AddressSpace {
            root,
            users: AtomicU32::new(1),
            threads: AtomicU32::new(1),
            loaded: [const { AtomicU32::new(0) }; 2],
            stale: [const { AtomicU32::new(0) }; 2],
            generation: AtomicU32::new(0),
            layout: RwLock::new(),
            tables: SpinLock::new(Guarded { ended: false, numbers: [1, 0, 0, 0] }),
            areas: SpinLock::new(Areas::new()),
            private,
            links: Links::new(),
            kept: rmap::Kept::new(),
            private_locks: [const { SpinLock::new(()) }; 2],
        };
        let place = direct_map(frame.phys() as u32).cast::<AddressSpace>();
        // SAFETY: a frame of its own, aligned and large enough (checked above); freed in `drop_user`
        // when the last reference is gone.
        let space = unsafe {
            place.write(space);
            &*place
        };
        spaces::add(space);
        Some(space)
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

    /// A thread more: its number within the space, if there is one left.
    pub fn add_thread(&self) -> Option<u32> {
        let mut tables = self.tables.lock();
        let number = (0..THREADS).find(|n| tables.numbers[*n as usize / 32] & 1 << (n % 32) == 0)?;
        tables.numbers[number as usize / 32] |= 1 << (number % 32);
        self.threads.fetch_add(1, AcqRel);
        Some(number)
    }

    /// The thread of this number is gone, or is past touching user memory. With the last one its frames go at once, the
    /// tables with the last processor that leaves them.
    pub fn remove_thread(&self, number: u32) {
        self.tables.lock().numbers[number as usize / 32] &= !(1 << (number % 32));
        if self.threads.fetch_sub(1, AcqRel) == 1 {
            self.release();
        }
    }

    /// Has it several threads? If not, the calling thread is the only one that can make a second.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.threads.load(Relaxed) > 1
    }

    /// Until the guard is dropped the areas stay as they are, and what is usable stays usable. A task that has the guard
    /// may not ask again.
    #[inline]
    pub fn keep_layout(&self) -> Option<ReadGuard<'_>> {
        self.is_shared().then(|| self.layout.read())
    }

    /// Until the guard is dropped nobody else changes areas or rights, or relies on them.
    pub fn change_layout(&self) -> Option<WriteGuard<'_>> {
        self.is_shared().then(|| self.layout.write())
    }

    /// The area that holds an address.
    pub fn area(&self, address: u32) -> Option<Area> {
        self.areas.lock().holding(address)
    }

    /// Area number `i` in order of address.
    pub fn nth_area(&self, i: usize) -> Option<Area> {
        self.areas.lock().all().get(i).copied()
    }

    /// Looks at the areas or changes them, nothing else: what the change means for PTEs is the caller's business.
    pub fn with_areas<R>(&self, f: impl FnOnce(&mut Areas) -> R) -> R {
        f(&mut self.areas.lock())
    }

    /// Allows `start..end` to a process that shares nothing with others; frames come when they are touched.
    pub fn map(&self, start: u32, end: u32, protection: Protection) -> Result<(), MapError> {
        area::check(start, end)?;
        let sharing = Sharing::NEW.born(rmap::born(self).ok_or(MapError::NoMemory)?, start);
        let inserted = self.with_areas(|areas| areas.insert(Area { start, end, protection, sharing }));
        inserted.inspect_err(|_| rmap::gone(self))
    }

    /// Finds room for `bytes` at or above `from` and allows it; returns the address.
    pub fn map_anywhere(&self, from: u32, bytes: u32, sharing: Sharing) -> Result<u32, MapError> {
        let bytes =
            bytes.checked_next_multiple_of(PAGE_SIZE).filter(|&b| b != 0).ok_or(MapError::BadRange)?;
        let _layout = self.change_layout();
        if sharing == Sharing::Shared && large::wanted() && bytes >= large::span() {
            return self.map_large(from, bytes);
        }
        let group = if sharing.is_private() { rmap::born(self).ok_or(MapError::NoMemory)? } else { 0 };
        let inserted = self.with_areas(|areas| {
            let start = areas.room(from, bytes)?;
            let sharing = sharing.born(group, start);
            let area = Area { start, end: start + bytes, protection: Protection::ReadWrite, sharing };
            areas.insert(area).map(|()| area)
        });
        let area = inserted.inspect_err(|_| rmap::gone(self))?;
        if sharing == Sharing::Shared && self.populate(area).is_err() {
            self.remove(area.start, area.end)?;
            return Err(MapError::NoMemory);
        }
        Ok(area.start)
    }

    /// Gives every page of an area its frame.
    pub(super) fn populate(&self, area: Area) -> Result<(), MapError> {
        for address in (area.start..area.end).step_by(PAGE_SIZE as usize) {
            let mut table = self.table(address).map_err(|_| MapError::NoMemory)?;
            let frame = table.across(fault::zeroed_frame).ok_or(MapError::NoMemory)?;
            table.slot(address).write(Entry::new(frame, user_bits(area.protection)));
        }
        Ok(())
    }

    /// Takes `start..end` away: PTEs cleared, flushed, then the frames given up. The calling task is a thread of it.
    pub fn unmap(&self, start: u32, end: u32) -> Result<(), MapError> {
        area::check(start, end)?;
        let _layout = self.change_layout();
        self.remove(start, end)
    }

    /// Empties `start..end` of private areas, which stay: what is touched again is zero. Another thread may read there at
    /// any moment, and sees what was there before or zeros.
    pub fn discard(&self, start: u32, end: u32) -> Result<(), MapError> {
        area::check(start, end)?;
        let _layout = self.change_layout();
        let mut at = start;
        while at < end {
            let area = self.area(at).filter(|area| area.sharing.is_private());
            at = area.ok_or(MapError::BadRange)?.end;
        }
        self.zap_all(start, end);
        Ok(())
    }

    /// What [`AddressSpace::unmap`] does, with the layout held.
    pub(super) fn remove(&self, start: u32, end: u32) -> Result<(), MapError> {
        self.check_edges(start, end)?;
        self.with_areas(|areas| areas.remove(start, end))?;
        rmap::gone(self);
        self.zap_all(start, end);
        Ok(())
    }

    /// Refuses a range that cuts a large page.
    pub(super) fn check_edges(&self, start: u32, end: u32) -> Result<(), MapError> {
        let cuts =
            large::wanted() && self.with_areas(|areas| areas.cuts_large(start) || areas.cuts_large(end));
        if cuts { Err(MapError::BadRange) } else { Ok(()) }
    }

    /// Clears all PTEs of `start..end`, which may be empty, with the layout held.
    pub(super) fn zap_all(&self, start: u32, end: u32) {
        if large::wanted() {
            self.zap_large(start, end);
        }
        let mut at = start;
        while at < end {
            at = self.zap(at, end);
        }
    }

    /// Clears PTEs from `start` on, and gives the frames up once no translation of them is left. Returns how far it got:
    /// not all of `end` if there are many.
    fn zap(&self, start: u32, end: u32) -> u32 {
        let (mut gone, mut n, mut at, mut last) = ([Entry::NONE; 64], 0, start, start);
        while n < gone.len() && at < end {
            let Some(part) = self.next_part(at, end, Role::Only) else {
                at = end;
                break;
            };
            at = part.end;
            let _tables = self.tables.lock();
            for (address, slot) in part.used() {
                if n == gone.len() {
                    at = address;
                    break;
                }
                gone[n] = slot.read();
                n += 1;
                slot.write(Entry::NONE);
                last = address;
            }
        }
        self.forget(&gone[..n], if n == 1 { flush::Scope::Page(last) } else { flush::Scope::Space });
        at
    }

    /// Has the translations of entries that were cleared forgotten, then gives up what they stood for.
    #[inline(always)]
    pub(super) fn forget(&self, gone: &[Entry], scope: flush::Scope) {
        let give_up = || gone.iter().for_each(|&entry| swapped::give_up(entry));
        if planted::is(Fault::FreeFirst) {
            give_up();
            planted::linger();
        }
        if !gone.is_empty() && !planted::is(Fault::NoFlush) {
            shootdown::flush(self, scope);
        }
        if !planted::is(Fault::FreeFirst) {
            give_up();
        }
    }

    /// Writes `bytes` to `address` whatever the rights of ring 3 there are: for loading a program
    /// into a space that no processor has loaded yet. The range must lie in areas.
    pub fn store(&self, mut address: u32, mut bytes: &[u8]) -> Result<(), MapError> {
        while !bytes.is_empty() {
            let area = self.area(address).ok_or(MapError::BadRange)?;
            let offset = address % PAGE_SIZE;
            let n = bytes.len().min((PAGE_SIZE - offset) as usize);
            let frame = fault::own_frame(self, area, address).map_err(|_| MapError::NoMemory)?;
            let mapping = kmap::map(frame, kmap::Use::Clear);
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

    /// Processors that have the space loaded, without the one that runs this. What was written before is seen by all
    /// that load it later. With preemption off.
    pub fn loaded_elsewhere(&self) -> u64 {
        fence(SeqCst);
        let all = u64::from(self.loaded[0].load(SeqCst)) | u64::from(self.loaded[1].load(SeqCst)) << 32;
        all & !(1 << percpu::cpu_id())
    }

    /// All processors but this one become stale. For a space with one thread, which runs here with preemption off.
    pub fn mark_all_others(&self) {
        let me = percpu::cpu_id();
        for (i, word) in self.stale.iter().enumerate() {
            let own = if me / 32 == i { 1 << (me % 32) } else { 0 };
            word.store(!own, Relaxed);
        }
    }

    /// A processor becomes stale: it loads CR3 before a thread runs there again.
    pub fn mark_stale(&self, cpu: usize) {
        self.stale[cpu / 32].fetch_or(1 << (cpu % 32), AcqRel);
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

    /// Processor `cpu`, this one, is about to load the root.
    pub fn enter(&self, cpu: usize) {
        self.users.fetch_add(1, Relaxed);
        self.loaded[cpu / 32].fetch_or(1 << (cpu % 32), SeqCst);
    }

    /// Processor `cpu`, this one, has loaded another root.
    pub fn leave(&self, cpu: usize) {
        self.loaded[cpu / 32].fetch_and(!(1 << (cpu % 32)), AcqRel);
        self.drop_user();
    }

    /// Keeps the space from being freed for a task that is no thread of it.
    pub fn visit(&'static self) -> Visit {
        self.users.fetch_add(1, Relaxed);
        Visit(self)
    }

    /// A processor has left, or the threads are gone. The last one frees the tables.
    fn drop_user(&self) {
        if self.users.fetch_sub(1, AcqRel) == 1 {
            kernel_space::free_root(self.root);
            let own = self as *const AddressSpace as u32 - memlayout::page_offset();
            frame::put(Frame::containing(own as u64));
        }
    }

    fn release(&self) {
        // In this order: who finds it among all still sees that there is nothing to be found.
        self.tables.lock().ended = true;
        spaces::remove(self);
        let mut i = 0;
        while let Some(area) = self.nth_area(i) {
            self.release_large(area);
            let mut at = area.start;
            while let Some(part) = self.next_part(at, area.end, Role::Only) {
                for (_, slot) in part.used() {
                    let entry = slot.read();
                    slot.write(Entry::NONE);
                    swapped::give_up(entry);
                }
                at = part.end;
            }
            i += 1;
        }
        self.with_areas(Areas::clear);
        rmap::gone(self);
        self.drop_user();
    }
}

/// A space that exists until this is dropped.
pub struct Visit(&'static AddressSpace);

impl core::ops::Deref for Visit {
    type Target = AddressSpace;
    fn deref(&self) -> &AddressSpace {
        self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.drop_user();
    }
}

/// PTE bits of a page that is not waiting for its copy.
pub fn user_bits(protection: Protection) -> u32 {
    match protection {
        Protection::ReadOnly => pt::P | pt::US | pt::A,
        Protection::ReadWrite => pt::P | pt::US | pt::A | pt::RW | pt::D,
    }
}
