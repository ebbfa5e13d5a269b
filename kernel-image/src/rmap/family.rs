//! `family`: address spaces that are related by fork are a family. A page knows
//! its family and its home, the linear address at which it came to be, and is
//! looked for there in each member.
//!
//! *Idea.* Tweedie's `mm_family` in the thread; `anonmm` of Dickins, 2004, is its late child.
//!
//! *Cost.* Two words in a page, which it has anyway; a word and a flag in a
//! space. Nothing where pages are mapped. For a victim a lookup of one PTE in each member,
//! whoever may have the page: a page that only one process has ever seen is looked for in all of them,
//! in order of age, until its owners are found. There is no `exec` in this kernel, so all processes are one family.
//!
//! - *Fork.* The child is of its parent's family and has everything at the same address.
//! - *Copy-on-write.* The copy has the address of its original, of which it takes nothing away.
//! - *`mremap`* is what needs care: what was moved is not at home any more, in this process alone,
//!   while the page may be another one's too, who has it there. So a space in which something has
//!   moved says so for good, and its children with it, and is searched at home and through its areas, which
//!   know the home of what they hold. Without that (fault `rmap-family-no-mremap`) a moved page
//!   would never be found.
//! - *Shared memory and mapped files* are not private memory: reclaim does not ask for them.
//!
//! *Who waits for whom.* The lock of the list of all spaces for each step; the PTE is looked at under the
//! lock of its space.

use super::{Found, Rmap};
use crate::memlayout::{self, PAGE_SIZE};
use crate::mm::{AddressSpace, Frame, Mapped, Origin, spaces};
use crate::planted::{self, Fault};
use core::sync::atomic::Ordering::Relaxed;

/// See the module.
pub struct Family;

impl Rmap for Family {
    fn born(space: &AddressSpace) -> Option<u32> {
        let family = &space.kept.family;
        if family.load(Relaxed) == 0 {
            // The space of a program that begins: nobody else knows it. Its root is the family's name.
            family.store(space.root(), Relaxed);
        }
        Some(family.load(Relaxed))
    }

    fn forked(parent: &AddressSpace, child: &AddressSpace) {
        child.kept.family.store(parent.kept.family.load(Relaxed), Relaxed);
        child.kept.moved.store(parent.kept.moved.load(Relaxed), Relaxed);
    }

    fn moved(space: &AddressSpace) {
        if !planted::is(Fault::RmapNoMremap) {
            space.kept.moved.store(true, Relaxed);
        }
    }

    fn find(frame: Frame, found: &mut Found) {
        let origin = frame.page().origin();
        for space in spaces::each() {
            if found.is_complete() {
                break;
            }
            if space.kept.family.load(Relaxed) == origin.group {
                found.look(space, |space, visited| find_in(space, frame, origin, visited));
            }
        }
    }
}

/// Looks at home, and where what was at home has moved.
fn find_in(space: &AddressSpace, frame: Frame, origin: Origin, visited: &mut u32) -> Option<Mapped> {
    let home = origin.home;
    // What has grown where it moved to may have a home that is nobody's.
    let is_address = home <= memlayout::user_end() - PAGE_SIZE;
    let at_home = is_address.then(|| space.find(frame, home, home + PAGE_SIZE, visited)).flatten();
    at_home.or_else(|| {
        let moved = space.kept.moved.load(Relaxed);
        moved.then(|| space.find_from(frame, origin, visited)).flatten()
    })
}
