//! Holding two kmaps at a time without deadlock.
//!
//! If every slot of the shared window were held by a task that waits for its
//! second one, nobody would ever give a slot back. So at most half the slots'
//! number of tasks may be between their first and their second kmap: then half
//! the window is left to tasks that hold one and want no other, and those get
//! done. It is the simplest form of Dickins' and Arcangeli's reserve: the
//! right to both is taken before the first.
//!
//! Schemes with slots of a processor's or a task's own wait for nobody: no gate.
//! The argument stands on nobody's holding a slot when it comes here. With
//! `user-copy=fault` a task may; the window is `pools`' then, under which copies take
//! slots of the processor, and there is no gate either.

use super::{Use, scheme_for};
use crate::sched::WaitQueue;
use crate::sync::SpinLock;

/// Tasks that may still enter.
static ROOM: SpinLock<u32> = SpinLock::new(0);
static LEFT: WaitQueue = WaitQueue::new();

/// Opens the gate for half as many tasks as there are slots.
pub fn init(slots: u32) {
    *ROOM.lock() = slots / 2;
}

fn has_window() -> bool {
    scheme_for(Use::CopyFrom).has_window()
}

/// Takes the right to two kmaps; sleeps until there is room.
pub fn enter() {
    if !has_window() {
        return;
    }
    let mut room = ROOM.lock();
    while *room == 0 {
        LEFT.sleep_on(room);
        room = ROOM.lock();
    }
    *room -= 1;
}

/// Gives it back.
pub fn leave() {
    if !has_window() {
        return;
    }
    let was_full = {
        let mut room = ROOM.lock();
        *room += 1;
        *room == 1
    };
    if was_full {
        LEFT.wake_all();
    }
}
