//! `vma-list`: private areas that may hold the same pages are on a list. A page knows
//! its list and its home in it, and is looked for in those areas alone.
//!
//! *Idea.* LaHaise's list of private areas in the thread; `anon_vma` of Arcangeli, 2004, and the
//! chains of 2.6.34 are its late children.
//!
//! *What is kept.* A list for each private area that a process maps, or gets by fork. The list of the latter hangs
//! below the list that its parent has for it, so that lists are trees: pages of a list may be in
//! areas of that list and of those below it, nowhere else. A list names the one space whose areas it has; the areas are found in the
//! array that the space has of them anyway, by list and home.
//!
//! - *Fork* makes a list for each private area, below the parent's.
//! - *Copy-on-write.* The copy belongs to the list of the area that it is made for: it has left the list of its
//!   original, and is looked for in this process and in those that are forked from it later.
//! - *Split* (`munmap`, `mprotect`, `mremap` of a part). Both parts are on the same list; each knows its own home. Were the second
//!   one's wrong (fault `rmap-vma-not-split`), its pages would never be found.
//! - *`mremap`.* List and home stay what they were: nothing to do.
//! - *Shared memory and mapped files* are not private memory: reclaim does not ask for them.
//! - *The end.* A list whose space has none of its areas any more stays as long as lists hang below it.
//!
//! *Cost.* 32 bytes for each private area of each process, in frames of low memory that are not given back; two words in a page, which
//! it has anyway. One list to be made or thrown away for each `mmap`, `munmap`, and area of a fork. For a victim one PTE of
//! each process that may have it.
//!
//! *Who waits for whom.* One spinlock over all lists, a leaf below that of a space's areas; a search takes it for each step,
//! and stands meanwhile on a list that therefore stays. PTEs are looked at under the lock of their space alone.

use super::{Found, Rmap};
use crate::memlayout::PAGE_SIZE;
use crate::mm::frame::{self, Want};
use crate::mm::{AddressSpace, Frame, Origin, Visit, direct_map};
use crate::sync::{Aligned, SpinLock};
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;

/// A list, under the lock of all. Lists are named by numbers from 1 on; 0 is none.
struct List {
    /// Whose areas are on it; null: nobody's any more.
    space: Cell<*const AddressSpace>,
    /// The next one of that space; of a free list the next free one.
    of_space: Cell<u32>,
    /// The list above.
    parent: Cell<u32>,
    /// The lists below: the first, and each one's neighbours.
    child: Cell<u32>,
    next: Cell<u32>,
    before: Cell<u32>,
    /// Searches that stand here.
    held: Cell<u32>,
    /// Is it in use at all?
    used: Cell<bool>,
}

const _: () = assert!(size_of::<List>() == 32);

/// Lists of a frame.
const IN_FRAME: u32 = PAGE_SIZE / size_of::<List>() as u32;
/// Most frames: 16384 lists.
const FRAMES: usize = 128;

/// All lists.
struct Lists {
    /// Physical addresses of the frames.
    frames: [u32; FRAMES],
    /// Lists that there is room for.
    room: u32,
    free: u32,
}

static LISTS: Aligned<SpinLock<Lists>> =
    Aligned::new(SpinLock::new(Lists { frames: [0; FRAMES], room: 0, free: 0 }));

impl Lists {
    /// A list by its number.
    fn at(&self, number: u32) -> &'static List {
        assert!(number != 0 && number <= self.room, "there is no list {number}");
        let at = (number - 1) as usize;
        let frame = direct_map(self.frames[at / IN_FRAME as usize]).cast::<List>();
        // SAFETY: the frame is `grow`'s, for good, and full of lists that are used under the lock alone.
        unsafe { &*frame.add(at % IN_FRAME as usize) }
    }

    /// The same, if it is one in use: what a page says may be old.
    fn in_use(&self, number: u32) -> Option<&'static List> {
        (1..=self.room).contains(&number).then(|| self.at(number)).filter(|list| list.used.get())
    }

    /// Makes room for more lists.
    fn grow(&mut self) -> Option<()> {
        let place = self.frames.get_mut((self.room / IN_FRAME) as usize)?;
        *place = frame::alloc(Want::Low)?.phys() as u32;
        // SAFETY: just allocated, in the direct map. A list of zeros is none in use.
        unsafe { direct_map(*place).write_bytes(0, PAGE_SIZE as usize) };
        self.room += IN_FRAME;
        for number in (self.room - IN_FRAME + 1..=self.room).rev() {
            self.give_back(number);
        }
        Some(())
    }

    fn give_back(&mut self, number: u32) {
        let list = self.at(number);
        list.used.set(false);
        list.of_space.set(self.free);
        self.free = number;
    }

    /// A new list of a space, below another one or none.
    fn make(&mut self, space: &AddressSpace, parent: u32) -> Option<u32> {
        if self.free == 0 {
            self.grow()?;
        }
        let number = self.free;
        let list = self.at(number);
        self.free = list.of_space.get();
        list.used.set(true);
        list.space.set(space);
        list.of_space.set(space.kept.lists.load(Relaxed));
        space.kept.lists.store(number, Relaxed);
        list.parent.set(parent);
        list.child.set(0);
        list.next.set(0);
        list.before.set(0);
        list.held.set(0);
        if parent != 0 {
            let first = self.at(parent).child.replace(number);
            list.next.set(first);
            if first != 0 {
                self.at(first).before.set(number);
            }
        }
        Some(number)
    }

    /// Throws a list away if nobody needs it, and then those above it that were there for it alone.
    fn drop_unneeded(&mut self, mut number: u32) {
        while number != 0 {
            let list = self.at(number);
            if !list.space.get().is_null() || list.child.get() != 0 || list.held.get() != 0 {
                return;
            }
            let (parent, before, next) = (list.parent.get(), list.before.get(), list.next.get());
            if next != 0 {
                self.at(next).before.set(before);
            }
            if before != 0 {
                self.at(before).next.set(next);
            } else if parent != 0 {
                self.at(parent).child.set(next);
            }
            self.give_back(number);
            number = parent;
        }
    }

    /// The list of a space that hangs below another one.
    fn below(&self, space: &AddressSpace, parent: u32) -> Option<u32> {
        let next = |number: &u32| Some(self.at(*number).of_space.get()).filter(|n| *n != 0);
        let first = Some(space.kept.lists.load(Relaxed)).filter(|n| *n != 0);
        core::iter::successors(first, next).find(|number| self.at(*number).parent.get() == parent)
    }

    /// The list after `at` in the tree below and with `root`.
    fn after(&self, root: u32, mut at: u32) -> Option<u32> {
        let child = self.at(at).child.get();
        if child != 0 {
            return Some(child);
        }
        while at != root && at != 0 {
            let next = self.at(at).next.get();
            if next != 0 {
                return Some(next);
            }
            at = self.at(at).parent.get();
        }
        None
    }
}

/// A search's way through a list and those below it.
struct Walk {
    root: u32,
    /// Where it stands, held; 0: nowhere.
    at: u32,
}

impl Walk {
    /// Goes on to the next list that has a space.
    fn step(&mut self) -> Option<(u32, Visit)> {
        let mut lists = LISTS.lock();
        let mut next = match self.at {
            0 => lists.in_use(self.root).map(|_| self.root),
            at => lists.after(self.root, at),
        };
        let found = loop {
            let Some(number) = next else { break None };
            // SAFETY: a space takes itself from its lists, under their lock, before it loses its last user.
            if let Some(space) = unsafe { lists.at(number).space.get().as_ref() } {
                break Some((number, space.visit()));
            }
            next = lists.after(self.root, number);
        };
        if let Some((number, _)) = &found {
            let list = lists.at(*number);
            list.held.set(list.held.get() + 1);
        }
        self.let_go(&mut lists);
        self.at = found.as_ref().map_or(0, |(number, _)| *number);
        found
    }

    fn let_go(&mut self, lists: &mut Lists) {
        if self.at != 0 {
            let list = lists.at(self.at);
            list.held.set(list.held.get() - 1);
            lists.drop_unneeded(self.at);
            self.at = 0;
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        if self.at != 0 {
            self.let_go(&mut LISTS.lock());
        }
    }
}

/// See the module.
pub struct VmaList;

impl Rmap for VmaList {
    fn born(space: &AddressSpace) -> Option<u32> {
        LISTS.lock().make(space, 0)
    }

    fn inherited(child: &AddressSpace, group: u32) -> Option<u32> {
        let mut lists = LISTS.lock();
        // Parts of one area of the parent are parts of one area of the child.
        lists.below(child, group).or_else(|| lists.make(child, group))
    }

    fn gone(space: &AddressSpace) {
        space.with_areas(|areas| {
            let mut lists = LISTS.lock();
            let (mut number, mut before) = (space.kept.lists.load(Relaxed), None::<&List>);
            while number != 0 {
                let list = lists.at(number);
                let next = list.of_space.get();
                if areas.has_group(number) {
                    before = Some(list);
                } else {
                    match before {
                        Some(before) => before.of_space.set(next),
                        None => space.kept.lists.store(next, Relaxed),
                    }
                    list.space.set(ptr::null());
                    lists.drop_unneeded(number);
                }
                number = next;
            }
        });
    }

    fn find(frame: Frame, found: &mut Found) {
        let Origin { group, home } = frame.page().origin();
        let mut walk = Walk { root: group, at: 0 };
        while !found.is_complete()
            && let Some((number, space)) = walk.step()
        {
            let origin = Origin { group: number, home };
            found.look(space, |space, visited| space.find_from(frame, origin, visited));
        }
    }
}
