//! The page tables of an address space: how one is reached and made, and the ways in which a single
//! PTE changes while others may change it too.
//!
//! Reaching a table may sleep (`ptemap`), so it is mapped before the lock of the tables is taken, under which every change
//! is made that the state of the entry decides about.

use super::address_space::AddressSpace;
use super::page::PAGE_SIZE;
use super::page_table::{self as pt, Entry};
use super::{frame, kernel_space};
use crate::ptemap::{self, Role, Table};

impl AddressSpace {
    /// The first address of `from..end` that has a page table.
    pub(super) fn next_table(&self, from: u32, end: u32) -> Option<u32> {
        let mut at = from;
        while at < end {
            if pt::table(self.root, at).is_some() {
                return Some(at);
            }
            at = pt::format().next_table(at);
        }
        None
    }

    /// What of `from..end` the first page table there maps, with that table.
    pub(super) fn next_part(&self, from: u32, end: u32, role: Role) -> Option<Part> {
        let start = self.next_table(from, end)?;
        let table = self.lookup(start, role)?;
        Some(Part { table, start, end: end.min(pt::format().next_table(start)) })
    }

    /// The page table of a user address, mapped, if it has one.
    pub(super) fn lookup(&self, address: u32, role: Role) -> Option<Table> {
        pt::table(self.root, address).map(|frame| Table::map(frame, role))
    }

    /// The page table of a user address, mapped; made if there is none.
    pub(super) fn table(&self, address: u32) -> Result<Table, pt::NoTable> {
        loop {
            if let Some(table) = self.lookup(address, Role::Only) {
                return Ok(table);
            }
            self.make_table(address)?;
        }
    }

    /// Sees to it that a user address has a page table. With no table mapped: it may sleep.
    pub(super) fn make_table(&self, address: u32) -> Result<(), pt::NoTable> {
        if pt::table(self.root, address).is_some() {
            return Ok(());
        }
        let frame = ptemap::new_table().ok_or(pt::NoTable)?;
        let _tables = self.tables.lock();
        pt::enter_table(self.root, address, frame, kernel_space::USER_TABLE).or_else(|no_place| {
            frame::put(frame);
            // Another thread may have been first.
            pt::table(self.root, address).map(|_| ()).ok_or(no_place)
        })
    }

    /// Writes `new` if the entry is still `old`: another thread may have been first.
    pub(super) fn replace(&self, slot: pt::Slot<'_>, old: Entry, new: Entry) -> bool {
        let _tables = self.tables.lock();
        let same = slot.read() == old;
        if same {
            slot.write(new);
        }
        same
    }

    /// The frame behind a present PTE, with an owner more, while nobody takes the entry away.
    pub(super) fn pin(&self, slot: pt::Slot<'_>) -> Option<Entry> {
        let tables = self.tables.lock();
        let entry = slot.read();
        if tables.ended || !entry.present() {
            return None;
        }
        entry.frame().page().get();
        Some(entry)
    }

    /// Lets the process write to a page of which nobody else is an owner; false if somebody is.
    pub(super) fn write_in_place(&self, slot: pt::Slot<'_>) -> bool {
        let _tables = self.tables.lock();
        let entry = slot.read();
        let own = entry.present() && entry.frame().page().count() == 1;
        if own {
            slot.change(0, pt::RW | pt::D);
        }
        own
    }
}

/// A run of user addresses that one page table maps, with that table.
pub(super) struct Part {
    table: Table,
    /// First address.
    pub start: u32,
    /// First address behind it.
    pub end: u32,
}

impl Part {
    /// The PTEs that stand for a page when they are looked at, with their addresses.
    pub fn used(&self) -> impl Iterator<Item = (u32, pt::Slot<'_>)> {
        let pages = (self.start..self.end).step_by(PAGE_SIZE as usize);
        pages
            .map(|address| (address, self.table.slot(address)))
            .filter(|(_, slot)| slot.read() != Entry::NONE)
    }
}
