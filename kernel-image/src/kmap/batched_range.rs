//! `batched-range`: `batched` with a flush at the wrap that spares everything
//! but the window.
//!
//! *Protocol.* That of `batched`, with
//!
//! ```text
//!  flush_zero: as there, and notes which slots it takes back;  then on all processors
//!    wrap=all-slots        invlpg for each slot of the window
//!    wrap=reclaimed-slots  invlpg for each slot that was taken back
//!    wrap=ceiling:N        the same if they are at most N, else the flush of batched
//! ```
//!
//! x86 has no instruction for a range: it is a loop of `invlpg`, on every
//! processor. The slots that were taken back are a bit each, in memory that the
//! initiator wrote under the lock and that every target reads.
//!
//! *Who waits for whom.* As in `batched`; targets are longer at it.
//!
//! *What may stay stale, until when.* As in `batched`. With `all-slots` slots
//! that are in use lose their entries for nothing; all other entries, the
//! kernel's global ones and those of user programs, stay.
//!
//! *Invariants.* B1 to B3 of `pool`. A slot that was not taken back had count 0
//! already, by B1 in no TLB, or is in use and keeps its PTE.
//!
//! *Idea.* Mackerras, January 2002: at the wrap, flush the range of the window;
//! Arcangeli's answer was that x86 falls back to the global flush.

use super::axes::Wrap;
use super::batched::{self, AtWrap};
use super::pool::{self, POOL};
use super::{Kmap, Use, inval, window};
use crate::arch::insn;
use crate::mm::Frame;
use crate::mm::flush::{self, Kind, Own};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

/// See the module.
pub struct BatchedRange;

/// Slots that the present wrap has taken back, a bit each; of the holder of the pool's lock, and read by the targets
/// of its flush.
static TAKEN_BACK: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());
/// How many those are.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Slots of the window.
static SLOTS: AtomicU32 = AtomicU32::new(0);
/// `wrap=`: [`EVERY_SLOT`], or the most slots that are invalidated one by one.
static CEILING: AtomicU32 = AtomicU32::new(EVERY_SLOT);

/// All slots, taken back or not.
const EVERY_SLOT: u32 = u32::MAX;

/// Obeys `wrap=`; at boot.
pub fn set(wrap: Wrap) {
    let ceiling = match wrap {
        Wrap::Global => 0,
        Wrap::AllSlots => EVERY_SLOT,
        Wrap::ReclaimedSlots => EVERY_SLOT - 1,
        Wrap::Ceiling(most) => most.min(EVERY_SLOT - 1),
    };
    CEILING.store(ceiling, Relaxed);
}

fn word(slot: u32) -> &'static AtomicU32 {
    // SAFETY: `init` made a table with a bit for each slot, for good.
    unsafe { AtomicU32::from_ptr(TAKEN_BACK.load(Relaxed).add(slot as usize / 32)) }
}

impl Kmap for BatchedRange {
    fn init(slots: usize) {
        pool::init(slots);
        SLOTS.store(slots as u32, Relaxed);
        TAKEN_BACK.store(window::table(slots.div_ceil(32), 0u32).as_mut_ptr(), Relaxed);
        debug_assert!(POOL.lock().count.len() == slots);
    }

    fn map(frame: Frame, _: Use) -> u32 {
        pool::kmap(frame, batched::next::<Range>)
    }

    fn unmap(frame: Frame, _: Use) {
        pool::kunmap(frame, |_, _| ());
    }
}

pub(super) struct Range;

impl AtWrap for Range {
    fn begin() {
        COUNT.store(0, Relaxed);
        (0..SLOTS.load(Relaxed)).step_by(32).for_each(|slot| word(slot).store(0, Relaxed));
    }

    fn taken_back(slot: usize) {
        let word = word(slot as u32);
        word.store(word.load(Relaxed) | 1 << (slot % 32), Relaxed);
        COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
    }

    fn flush() {
        if inval::omitted() {
            return;
        }
        let ceiling = CEILING.load(Relaxed);
        let few = ceiling == EVERY_SLOT || COUNT.load(Relaxed) <= ceiling;
        let otherwise = if window::global() == window::Global::Yes { Kind::Global } else { Kind::NonGlobal };
        flush::all_cpus(if few { Kind::Slots } else { otherwise }, Own::Last);
    }
}

/// This processor's part of [`Kind::Slots`].
pub fn invalidate_here() {
    let slots = SLOTS.load(Relaxed);
    if CEILING.load(Relaxed) == EVERY_SLOT {
        (0..slots).for_each(|slot| insn::invlpg(window::address(slot as usize)));
        return;
    }
    for first in (0..slots).step_by(32) {
        let mut bits = word(first).load(Relaxed);
        while bits != 0 {
            insn::invlpg(window::address(first as usize + bits.trailing_zeros() as usize));
            bits &= bits - 1;
        }
    }
}
