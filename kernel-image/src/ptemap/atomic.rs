//! `atomic`: page tables are reached through two slots that each processor has
//! for nothing else, `KM_PTE0` and `KM_PTE1` of Linux.
//!
//! *Protocol.* That of `kmap/atomic.rs` with the flush at the map, whatever the
//! axes of `kmap=` say:
//!
//! ```text
//!  map(t, role):  preemption off;  low table -> direct address
//!                 slot = (this CPU, 0 or 1 by the role);  write PTE(slot) := t;  invlpg(slot)
//!  across(f):     unmap;  f(), which may sleep;  map
//!  unmap:         preemption on
//! ```
//!
//! *Who waits for whom.* Nobody, ever. So a fault maps its table twice: once to
//! look, and again when it has a frame, since getting one may sleep.
//! *What can deadlock.* Nothing: a task that waits for something has no slot.
//! *What may stay stale.* As there: nothing between a map and its unmap.
//!
//! *Idea.* Molnar, "simpler highpte", February 2002 (`pte_offset_map` and
//! `pte_offset_map_nested` of Linux 2.5).

use super::{PteMap, Role};
use crate::arch::insn;
use crate::kmap::atomic::{self, TABLE_SLOTS};
use crate::mm::{Frame, is_low};
use crate::{memlayout, sched};

/// See the module.
pub struct Atomic;

impl PteMap for Atomic {
    const MAY_SLEEP: bool = false;

    fn map(frame: Frame, role: Role) -> u32 {
        sched::preempt_disable();
        if is_low(frame) {
            return memlayout::direct(frame.phys() as u32) as u32;
        }
        let slot = atomic::slot(TABLE_SLOTS.start + role.is_second() as usize);
        atomic::give(slot, frame);
        insn::invlpg(slot.1);
        slot.1
    }

    fn unmap(_: Frame, _: Role, _: u32) {
        sched::preempt_enable();
    }
}
