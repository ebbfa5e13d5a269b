//! `deferred-seq` and `deferred-local`: sequence numbers instead of flushes.
//!
//! One or two slots, two processors that take interrupts and switch tasks at any
//! moment, two or three tasks of given address spaces that map, use and unmap up to
//! three pages for ever. Numbers are kept by their order alone, so that remaps have no
//! bound: every recycle that could ever come is explored.
//!
//! | step here | in the kernel |
//! |-----------|---------------|
//! | `Spin`    | `kmap/deferred.rs`, `map`: the lock, the look at `p.kva`, the slot to recycle, the pin |
//! | `Write`, `Raise`, `Drop` | `recycle`: W; the epoch; `invlpg` and stamp |
//! | `Ensure`  | `ensure`: the check, from which on preemption is off |
//! | `Local`, `Stamp` | `deferred_local.rs`, `resolve`: `invlpg`; the stamp |
//! | `Call`, `Wait` | `deferred_seq.rs`, `resolve`; `mm/flush.rs`, `call`: IPI, own load, acknowledgements |
//! | `Sleep`   | `map`: all slots are pinned |
//! | `Use`     | the caller uses the address, for as long as it likes, wherever it is run |
//! | `Put`     | `put` |
//! | a load    | `around_root_load`: the epoch sampled; later the load and `seen`; interrupts off throughout |
//! | a switch  | `mm/switch.rs`: another space: a load; else `on_switch_without_load` |
//!
//! The slot to recycle is *any* one without pins: the least recently used is one of
//! them. A slot's first mapping is as in the kernel: no number and no `invlpg`.
//!
//! *Checked.* No use through an entry of another page; D1 for every slot and
//! processor; somebody can always go on.
//!
//! *Left out.* The two halves of a 64-bit `seen`; kmaps in interrupts; stores that are
//! seen late.

mod canonical;
mod switch;
mod task;

use crate::search::{Model, Steps};
use crate::tlb::{CPUS, Page, SLOTS, Tlbs};

/// Tasks, at most.
const TASKS: usize = 3;
/// No task.
const NONE: u8 = u8::MAX;
/// A `seen` that is later than any epoch (fault `M`).
const EVER: u8 = u8::MAX;
/// An epoch has so many values under fault `K`.
const WRAP: u8 = 4;

/// A way to get it wrong, with the letter of the protocol's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `ensure` does not check.
    A,
    /// The epoch is sampled after the load.
    B,
    /// The epoch is raised before the PTE is written.
    C,
    /// `invlpg` comes before the PTE is written.
    D,
    /// A task may be preempted between `invlpg` and stamp.
    E,
    /// A task that arrives with pins gets no load.
    F,
    /// A lazy switch counts as a flush.
    G,
    /// A switch within one address space counts as a flush.
    H,
    /// The slots are global, and loads count.
    I,
    /// No check on a processor that never used the slot.
    J,
    /// The epoch has two bits and wraps.
    K,
    /// The slot is used after its pin was given back.
    L,
    /// A processor that comes up counts as up to date.
    M,
    /// A conflict is resolved everywhere with interrupts off, as in an interrupt.
    IrqsOff,
    /// A conflict does not wait for the others.
    NoWait,
}

/// What a processor does that is out of date for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// All processors load CR3: `deferred-seq`.
    Everywhere,
    /// It invalidates the slot for itself: `deferred-local`.
    Local,
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Deferred<'a> {
    /// The variant.
    pub conflict: Conflict,
    /// The address space of each of up to three tasks; 0: none, a kernel thread.
    pub spaces: &'a [u8],
    /// 1 or 2.
    pub slots: usize,
    /// 1 to 3.
    pub pages: usize,
    /// Whether processors fill entries that nobody asked for.
    pub speculation: bool,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Spin,
    Write,
    Raise,
    Drop,
    Ensure,
    Local,
    Stamp,
    Call,
    Wait,
    Sleep,
    Use,
    Put,
    /// Fault `L`: the pin goes back before the use.
    PutEarly,
    /// Fault `E`: `invlpg`, and then the stamp on whatever processor it is.
    DropAway,
    StampAway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Task {
    at: At,
    page: Page,
    slot: u8,
    /// The slot's `born` when it was pinned.
    born: u8,
    /// Counts as a holder of pins.
    holds: bool,
    /// Where it ran last.
    last: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Slot {
    /// Whose `kva` it is; 0 while it is recycled.
    page: Page,
    pte: Page,
    pins: u8,
    born: u8,
}

/// Why CR3 is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Why {
    Ipi,
    Own,
    Switch(u8),
}

/// A load that has begun, with interrupts off: the epoch sampled, or under fault `B` the load done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Load {
    why: Why,
    sampled: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cpu {
    /// The task that runs, or [`NONE`]: idle.
    runs: u8,
    /// The address space that is loaded.
    space: u8,
    load: Option<Load>,
    seen: u8,
    stamp: [u8; SLOTS],
    /// Under fault `J`: the slots that it has used.
    used: [bool; SLOTS],
    /// An IPI that was sent and not taken.
    pending: bool,
    /// Somebody waits for its acknowledgement.
    waited: bool,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    tasks: [Task; TASKS],
    slots: [Slot; SLOTS],
    cpus: [Cpu; CPUS],
    epoch: u8,
    tlb: Tlbs,
}

impl Deferred<'_> {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn lock_is_free(s: &State) -> bool {
        !s.tasks.iter().any(|t| matches!(t.at, At::Write | At::Raise | At::Drop))
    }

    fn preemptible(at: At) -> bool {
        matches!(at, At::Idle | At::Ensure | At::Sleep | At::Use | At::DropAway | At::StampAway)
    }

    fn irqs_off(&self, at: At) -> bool {
        self.has(Fault::IrqsOff) && matches!(at, At::Call | At::Wait)
    }

    /// The task uses its slot now.
    fn uses(s: &State, cpu: usize) -> Option<&Task> {
        let Cpu { runs, load, .. } = s.cpus[cpu];
        s.tasks.get(usize::from(runs)).filter(|t| t.at == At::Use && load.is_none())
    }

    /// Processors fill what they may, and numbers are replaced by their order.
    fn settled(&self, mut s: State) -> State {
        for cpu in 0..CPUS {
            for slot in 0..self.slots {
                let used = Self::uses(&s, cpu).is_some_and(|t| usize::from(t.slot) == slot);
                if self.speculation || used {
                    s.tlb.fill(cpu, slot, s.slots[slot].pte);
                }
            }
        }
        if !self.has(Fault::K) {
            Self::order_numbers(&mut s);
        }
        if self.fault.is_none() { self.renamed(&s) } else { s }
    }

    fn load_cr3(&self, s: &mut State, cpu: usize) {
        if !self.has(Fault::I) {
            s.tlb.flush(cpu);
        }
    }

    fn begin_load(&self, s: &mut State, cpu: usize, why: Why) {
        if self.has(Fault::B) {
            self.load_cr3(s, cpu);
        }
        s.cpus[cpu].load = Some(Load { why, sampled: if self.has(Fault::B) { 0 } else { s.epoch } });
    }

    /// The load (or with fault `B` the sample), and what it was for.
    fn end_load(&self, s: &mut State, cpu: usize, Load { why, sampled }: Load) {
        if self.has(Fault::B) {
            s.cpus[cpu].seen = s.epoch;
        } else {
            self.load_cr3(s, cpu);
            s.cpus[cpu].seen = sampled;
        }
        s.cpus[cpu].load = None;
        match why {
            Why::Ipi => s.cpus[cpu].waited = false,
            Why::Own => s.tasks[usize::from(s.cpus[cpu].runs)].at = At::Wait,
            Why::Switch(next) => self.arrive(s, cpu, next),
        }
    }

    fn arrive(&self, s: &mut State, cpu: usize, next: u8) {
        s.cpus[cpu].runs = next;
        if let Some(space) = self.spaces.get(usize::from(next)) {
            s.tasks[usize::from(next)].last = cpu as u8;
            if *space != 0 {
                s.cpus[cpu].space = *space;
            }
        }
    }
}

impl Model for Deferred<'_> {
    type State = State;

    fn start(&self) -> State {
        let task = Task { at: At::Idle, page: 0, slot: 0, born: 0, holds: false, last: NONE };
        let cpu = |n| Cpu {
            runs: NONE,
            space: 0,
            load: None,
            seen: if n == 1 && self.has(Fault::M) { EVER } else { 0 },
            stamp: [0; SLOTS],
            used: [false; SLOTS],
            pending: false,
            waited: false,
        };
        State {
            tasks: [task; TASKS],
            slots: Default::default(),
            cpus: std::array::from_fn(cpu),
            epoch: 0,
            tlb: Tlbs::default(),
        }
    }

    fn steps(&self, s: &State, steps: &mut Steps<'_, State>) {
        for cpu in 0..CPUS {
            let Cpu { runs, load, pending, .. } = s.cpus[cpu];
            let mut to = *s;
            if let Some(load) = load {
                self.end_load(&mut to, cpu, load);
                let what = if self.has(Fault::B) { "samples the epoch after its load" } else { "loads CR3" };
                steps.step(self.settled(to), || format!("cpu {cpu} {what}"));
                continue;
            }
            let task = s.tasks.get(usize::from(runs));
            if pending && !task.is_some_and(|t| self.irqs_off(t.at)) {
                to.cpus[cpu].pending = false;
                self.begin_load(&mut to, cpu, Why::Ipi);
                steps.step(self.settled(to), || format!("cpu {cpu} takes the IPI and begins to load CR3"));
            }
            if task.is_some() {
                self.task_steps(s, cpu, usize::from(runs), steps);
            }
            self.switches(s, cpu, steps);
        }
    }

    fn wrong(&self, s: &State) -> Option<String> {
        for cpu in 0..CPUS {
            if let Some(Task { page, slot, .. }) = Self::uses(s, cpu) {
                let pte = s.slots[usize::from(*slot)].pte;
                if let Some(old) = s.tlb.stale(cpu, usize::from(*slot), *page) {
                    return Some(format!(
                        "slot {slot} is used on cpu {cpu} for page {page}, which may hold page {old} there"
                    ));
                }
                if pte != *page {
                    return Some(format!(
                        "slot {slot} is used on cpu {cpu} for page {page}, and its PTE says {pte}"
                    ));
                }
            }
            if self.fault.is_some() {
                continue;
            }
            for (k, Slot { page, born, .. }) in s.slots.iter().enumerate().filter(|(_, slot)| slot.page != 0)
            {
                let Cpu { seen, stamp, .. } = s.cpus[cpu];
                if (seen >= *born || stamp[k] == *born) && s.tlb.stale(cpu, k, *page).is_some() {
                    return Some(format!(
                        "D1: cpu {cpu} counts as up to date for slot {k} and may hold another page"
                    ));
                }
            }
        }
        None
    }

    fn waits(&self, s: &State) -> Vec<String> {
        let line = |(i, t): (usize, &Task)| {
            let irqs = if self.irqs_off(t.at) { ", interrupts off" } else { "" };
            match t.at {
                At::Call => format!("task {i} spins for the call lock{irqs}"),
                At::Wait => format!("task {i} holds the call lock and waits for the acknowledgement{irqs}"),
                At::Spin | At::Put => format!("task {i} spins for kva_lock"),
                At::Sleep => format!("task {i} sleeps until a slot has no pins"),
                _ => format!("task {i} is not run"),
            }
        };
        s.tasks[..self.spaces.len()].iter().enumerate().map(line).collect()
    }
}
