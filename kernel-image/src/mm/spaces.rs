//! All address spaces, for reclaim: who may have a page that is to go. `mmlist` of
//! Linux 2.4. Kept only where there is a swap device.
//!
//! In order of age, so that somebody who stands at one of them finds the next
//! even if that one has ended meanwhile. The lock is a leaf.

use super::address_space::{AddressSpace, Visit};
use super::swap;
use crate::sync::{Aligned, SpinLock};
use core::ptr;

struct List {
    first: Option<&'static AddressSpace>,
    last: Option<&'static AddressSpace>,
    /// Spaces that there were.
    made: u32,
}

static LIST: Aligned<SpinLock<List>> = Aligned::new(SpinLock::new(List { first: None, last: None, made: 0 }));

impl List {
    fn iter(&self) -> impl Iterator<Item = &'static AddressSpace> + use<> {
        core::iter::successors(self.first, |space| space.links.next.get())
    }
}

/// Where a space stands in the list.
pub struct Links {
    /// From 1 on; 0: not in the list.
    age: core::cell::Cell<u32>,
    next: core::cell::Cell<Option<&'static AddressSpace>>,
}

// SAFETY: under the lock of the list.
unsafe impl Sync for Links {}

impl Links {
    /// Not in the list.
    pub const fn new() -> Links {
        Links { age: core::cell::Cell::new(0), next: core::cell::Cell::new(None) }
    }
}

/// A space has come to be.
pub fn add(space: &'static AddressSpace) {
    if !swap::is_on() {
        return;
    }
    let mut list = LIST.lock();
    list.made += 1;
    space.links.age.set(list.made);
    match list.last {
        Some(last) => last.links.next.set(Some(space)),
        None => list.first = Some(space),
    }
    list.last = Some(space);
}

/// A space has lost its last thread; before it loses its last user.
pub fn remove(space: &AddressSpace) {
    if !swap::is_on() {
        return;
    }
    let mut list = LIST.lock();
    let after = space.links.next.get();
    let before = list.iter().find(|s| s.links.next.get().is_some_and(|next| ptr::eq(next, space)));
    match before {
        Some(before) => before.links.next.set(after),
        None => list.first = after,
    }
    if after.is_none() {
        list.last = before;
    }
}

/// The spaces one after another, each of which exists as long as it is looked at. Those that come to be meanwhile come
/// last.
pub fn each() -> impl Iterator<Item = Visit> {
    let mut age = 0;
    core::iter::from_fn(move || {
        let list = LIST.lock();
        // In the list, so it has a user: its last thread.
        let space = list.iter().find(|space| space.links.age.get() > age)?;
        age = space.links.age.get();
        Some(space.visit())
    })
}
