//! Reclaim: memory for user pages when it runs out, by taking pages that were
//! not used lately from whoever has them, and writing them to the swap device.
//!
//! *Who is taken.* A hand goes round all frames, as `shrink_mmap` of Linux 2.2
//! does, and stops at anonymous pages of private areas, and at pages of files that have a
//! place on the device (`stored`). The PTEs of the former are looked
//! up (`rmap`); if one of them has its accessed bit set, all are cleared and
//! the page has a second chance until the hand comes again. The bit is cleared
//! without a flush, as in Linux: a processor that has the translation in its TLB
//! sets the bit no more, and a page in use looks unused. That costs a page that
//! is read back at once, nothing else. Shared areas, page tables, stacks and what is mapped
//! of files stay where they are.
//!
//! *How.* In this order, for one anonymous page:
//!
//! 1. a page of the device is reserved, *being written*;
//! 2. each PTE is replaced by an entry that names it, under the lock of its
//!    tables. Who faults there from now on waits until it is written;
//! 3. every space is shot down by the scheme in force (`shootdown::flush_of`);
//! 4. the frame is copied. Before 3 another processor could still write to it,
//!    through a translation that is writable and dirty already: it would not
//!    even walk, and what it writes would be lost (fault `swap-copy-first`);
//! 5. the device's page is settled and its waiters are woken, the frame is given up.
//!
//! A page of which not all PTEs were found is copied as well: those that were
//! not found keep the frame, read-only like all that is shared by fork, and the
//! others the copy. A frame that a system call relies on (`user`) is left alone.
//!
//! *When.* In the allocation of user memory, when less than [`LOW`] frames are left,
//! until [`HIGH`] are; by the task that wants one, which may sleep: in a kmap, and
//! while a processor does not answer. So nobody may come here with a spinlock
//! or an atomic kmap in his hands, or with interrupts off, and that is asserted.
//! It takes no lock but those of tables, each for itself, so it can be entered with any lock
//! held that one may sleep with. A daemon that works ahead (`kswapd`) is left out.

use super::area::Area;
use super::flush::Scope;
use super::page::Frame;
use super::swap::{self, Place};
use super::{frame, is_low, page_cache, stored};
use crate::arch::insn;
use crate::mm::frame::Want;
use crate::planted::{self, Fault};
use crate::rmap::{self, Found};
use crate::sync::SpinLock;
use crate::{kmap, marks, sched, shootdown};
use shootdown_abi::Counter;

/// Frames left, from which on memory is reclaimed.
const LOW: u32 = 16;
/// Frames left that it stops with.
const HIGH: u32 = 32;
/// How often nothing could be reclaimed before a request is left to its fate.
const PATIENCE: u32 = 16;

/// The clock's hand: frames that it has yet to pass before it looks where frames are.
struct Hand {
    next: u32,
    end: u32,
}

static HAND: SpinLock<Hand> = SpinLock::new(Hand { next: 0, end: 0 });

/// A frame for user memory, of undefined content; `None` if memory and device are used up.
pub fn user_frame() -> Option<Frame> {
    let want = kmap::wanted_frames();
    if swap::is_on() || page_cache::is_stored() {
        make_room(want);
    }
    frame::alloc(want)
}

/// Says of a new frame what address of what area it is for. Before anybody can find it there.
pub(super) fn note(frame: Frame, area: Area, address: u32) {
    if swap::is_on()
        && let Some(origin) = area.origin_of(address)
    {
        frame.page().set_anonymous(origin);
    }
}

/// Reclaims until there is room, or nothing to be done.
fn make_room(want: Want) {
    let task = sched::current();
    assert!(
        task.preempt_count() == 0 && insn::irqs_on(),
        "task {} may not reclaim here: it holds an atomic kmap or a spinlock, or has interrupts off",
        task.id
    );
    for _ in 0..PATIENCE {
        let spare = frame::spare(want);
        if spare >= LOW || swap::is_full() && !page_cache::is_stored() {
            return;
        }
        if shrink(want, HIGH - spare) == 0 {
            // All that can go is on its way, by others.
            sched::yield_now();
        }
    }
}

/// Frees frames until that many are free or the hand has gone round twice; how many.
fn shrink(want: Want, wanted: u32) -> u32 {
    let (mut freed, mut turns) = (0, 0);
    while freed < wanted && turns < 3 {
        match next_candidate() {
            None => turns += 1,
            Some(frame) if want == Want::Low && !is_low(frame) => {}
            Some(frame) => match evict(frame) {
                Ok(gone) => freed += u32::from(gone),
                // Pages of files may still go.
                Err(Full) if page_cache::is_stored() => {}
                Err(Full) => break,
            },
        }
    }
    freed
}

/// The next frame that may be taken; none at the end of a turn.
fn next_candidate() -> Option<Frame> {
    let mut hand = HAND.lock();
    loop {
        while hand.next < hand.end {
            let frame = Frame(hand.next);
            hand.next += 1;
            if frame.page().can_go() {
                return Some(frame);
            }
        }
        let Some(run) = frame::known(hand.end) else {
            *hand = Hand { next: 0, end: 0 };
            return None;
        };
        *hand = Hand { next: run.start, end: run.end };
    }
}

/// The device is.
struct Full;

/// Takes a frame from its owners if none has used it lately: is it free?
fn evict(frame: Frame) -> Result<bool, Full> {
    if frame.page().is_cached() {
        let gone = stored::evict(frame);
        marks::count(Counter::Reclaimed, u32::from(gone));
        return Ok(gone);
    }
    let found = rmap::find(frame);
    if found.is_empty() || found.accessed() {
        return Ok(false);
    }
    let place = swap::reserve().ok_or(Full)?;
    let gone = write_out(&found, frame, place);
    swap::settle(place);
    // One owner for each PTE that was taken.
    let freed = (0..gone).fold(false, |free, _| frame::put_is_last(frame) | free);
    marks::count(Counter::Reclaimed, u32::from(freed));
    Ok(freed)
}

/// Takes the PTEs and copies the frame; how many were taken.
fn write_out(found: &Found, frame: Frame, place: Place) -> u32 {
    let mut taken = 0u32;
    for (i, (space, address)) in found.places().enumerate() {
        taken |= u32::from(space.swap_out(address, frame, place)) << i;
    }
    if taken == 0 {
        return 0;
    }
    marks::count(Counter::PtesTaken, taken.count_ones());
    if planted::is(Fault::SwapCopyFirst) {
        swap::write(place, frame);
        // As long as a disk would take to begin, in which the page's owner may come round to it again.
        (0..20).for_each(|_| planted::linger());
    }
    if !planted::is(Fault::SwapNoFlush) {
        for (i, (space, address)) in found.places().enumerate() {
            if taken >> i & 1 != 0 {
                shootdown::flush_of(space, Scope::Page(address));
            }
        }
    }
    if !planted::is(Fault::SwapCopyFirst) {
        swap::write(place, frame);
    }
    taken.count_ones()
}
