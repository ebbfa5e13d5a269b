//! The lock of a shared window, of the kind that `lock=` says: `tas` is that of all other locks (`spin`), `ticket` is
//! the fair one of Linux 2.6.25.
//!
//! ```text
//!  word   31          16 15     8 7     0
//!        | next ticket  | serving | name |      tas: the name of the holder alone, 0: free
//! ```
//!
//! A taker draws the next ticket and waits until it is served; a release serves the next one. So nobody waits for
//! more than the others who were there first, one on each other processor at most, and who holds the lock leaves it to whoever
//! comes next, though that one be in the middle of an interrupt.
//!
//! So that waiters can say whom they wait for, who finds the lock free writes its name beside the ticket served, in
//! the line that it has anyway. Who has to wait puts its name in [`QUEUE`] meanwhile: when its turn comes it
//! writes nothing, as with Linux. Until that name is there the lock counts as handed over.

use core::sync::atomic::{AtomicU16, Ordering};

use shootdown_abi::{Activity, Mark};

use super::spin::{self, Kind};
use crate::arch::{insn, lock_kind};
use crate::kmap::axes::named;
use crate::param::NCPU;
use crate::{marks, percpu};

named! {
    /// The kinds, by the values of `lock=`.
    LockKind {
        /// Unfair, test and set.
        Tas "tas",
        /// Fair, in the order of coming.
        Ticket "ticket",
    }
}

/// Ticket and name of each processor that waits, at the place of its ticket. One strategy runs, and it has one such lock.
static QUEUE: [AtomicU16; NCPU] = [const { AtomicU16::new(0) }; NCPU];
// Tickets that are out at a time have places of their own.
const _: () = assert!(NCPU.is_power_of_two() && NCPU < 256);

/// See the module.
#[repr(C, align(4))]
pub struct Chosen {
    now: AtomicU16,
    /// Of which the low half counts.
    next: AtomicU16,
}

/// What a waiter sees: the ticket that is served, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Served {
    ticket: u8,
    name: u16,
}

impl Kind for Chosen {
    #[allow(clippy::declare_interior_mutable_const, reason = "the beginning of each lock, not shared")]
    const FREE: Chosen = Chosen { now: AtomicU16::new(0), next: AtomicU16::new(0) };

    #[inline]
    fn take(&self) {
        let me = percpu::cpu_id() as u16 + 1;
        if lock_kind::is_ticket() {
            self.draw(me);
        } else if let Err(holder) = self.try_take(me) {
            self.wait(me, holder);
        }
    }

    #[inline]
    fn release(&self) {
        let free = if lock_kind::is_ticket() { self.served_next() } else { 0 };
        self.now.store(free, Ordering::Release);
    }
}

impl Chosen {
    #[inline]
    fn try_take(&self, me: u16) -> Result<(), u16> {
        self.now.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed).map(|_| ())
    }

    #[cold]
    fn wait(&self, me: u16, seen: u16) {
        let look = || self.now.load(Ordering::Relaxed).into();
        spin::wait(seen.into(), look, || self.try_take(me).map_err(u32::from));
    }

    /// Takes the lock in turn.
    #[cold]
    fn draw(&self, me: u16) {
        let mine = self.next.fetch_add(1, Ordering::AcqRel) as u8;
        if (self.now.load(Ordering::Acquire) >> 8) as u8 == mine {
            self.now.store(u16::from(mine) << 8 | me, Ordering::Relaxed);
        } else {
            self.wait_turn(mine, me);
        }
    }

    #[cold]
    fn wait_turn(&self, mine: u8, me: u16) {
        QUEUE[usize::from(mine) % NCPU].store(u16::from(mine) << 8 | me, Ordering::Relaxed);
        let mut seen = self.served();
        marks::mark(Mark::WaitsFor, seen.name.into());
        let before = marks::activity(Activity::LockSpin);
        while seen.ticket != mine {
            // Nothing else is in this loop, so that the emulator can skip its passes.
            let mut now = self.served();
            while now == seen {
                insn::pause();
                now = self.served();
            }
            seen = now;
            let name = if seen.ticket == mine { 0 } else { seen.name };
            marks::mark(Mark::WaitsFor, name.into());
        }
        marks::activity(before);
    }

    #[inline(always)]
    fn served(&self) -> Served {
        let now = self.now.load(Ordering::Acquire);
        let ticket = (now >> 8) as u8;
        let found = QUEUE[usize::from(ticket) % NCPU].load(Ordering::Relaxed);
        let name = match now & 0xff {
            0 if (found >> 8) as u8 == ticket => found & 0xff,
            written => written,
        };
        Served { ticket, name }
    }

    /// The word that serves the next ticket, by the holder.
    #[cold]
    fn served_next(&self) -> u16 {
        (self.now.load(Ordering::Relaxed) >> 8).wrapping_add(1) << 8
    }
}
