//! How a slot is invalidated: what the axes `when`, `how` and `inval` come to
//! at the places where a scheme could do something about a TLB.
//!
//! A scheme says at which moment it is ([`here`]); what the command line has
//! chosen for that moment is one byte, so that a moment that was not chosen
//! costs a compare. With `inval=none` and `inval=ideal` nothing is chosen
//! anywhere: no instruction, no IPI.

use super::axes::{How, Inval, Plan, Point, When};
use crate::arch::insn;
use crate::mm::flush::{self, Kind, Own};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

/// Nothing is done: no value of [`How`].
const NOTHING: u8 = u8::MAX;
const MOMENTS: usize = When::Use as usize + 1;

/// What is done on this processor at each moment.
static AT: [AtomicU8; MOMENTS] = [const { AtomicU8::new(NOTHING) }; MOMENTS];
/// The moment that was chosen, whether or not something is done then.
static MOMENT: AtomicU8 = AtomicU8::new(When::Never as u8);
static HOW: AtomicU8 = AtomicU8::new(How::Invlpg as u8);
static OMITTED: AtomicBool = AtomicBool::new(false);

/// Takes note of the plan; at boot.
pub fn set(plan: &Plan) {
    let Point { when, how, inval, .. } = plan.point;
    MOMENT.store(when as u8, Relaxed);
    HOW.store(how as u8, Relaxed);
    OMITTED.store(inval != Inval::Done, Relaxed);
    if inval == Inval::Done {
        AT[when as usize].store(how as u8, Relaxed);
    }
}

/// Is this the moment that was chosen?
#[inline(always)]
pub fn is_at(when: When) -> bool {
    MOMENT.load(Relaxed) == when as u8
}

/// Are invalidations left out (`inval=none`, `inval=ideal`)?
#[inline(always)]
pub fn omitted() -> bool {
    OMITTED.load(Relaxed)
}

/// The instruction that was chosen.
pub fn is_by(how: How) -> bool {
    HOW.load(Relaxed) == how as u8
}

/// This processor forgets the page at `address` if this moment was chosen for it.
#[inline(always)]
pub fn here(when: When, address: u32) {
    let code = AT[when as usize].load(Relaxed);
    if code == How::Invlpg as u8 {
        insn::invlpg(address);
    } else if code != NOTHING {
        flush::local(kind(address));
    }
}

/// This processor forgets the page at `address` by `invlpg`, at whatever moment.
#[inline(always)]
pub fn page_here(address: u32) {
    if !omitted() {
        insn::invlpg(address);
    }
}

/// All processors forget the page at `address`, or more.
pub fn everywhere(address: u32) {
    if !omitted() {
        flush::all_cpus(kind(address), Own::Last);
    }
}

/// The chosen instruction as a flush.
fn kind(address: u32) -> Kind {
    match HOW.load(Relaxed) {
        c if c == How::Invlpg as u8 => Kind::Page(address),
        c if c == How::Cr3 as u8 => Kind::NonGlobal,
        c if c == How::Pge as u8 => Kind::Global,
        _ => Kind::Everything,
    }
}
