//! `batched`: pkmap with one flush of all processors at the wrap.
//!
//! Two slots, two processors that take interrupts at any moment, up to three tasks
//! that map, use and unmap up to three pages for ever, and move between the
//! processors whenever they may be preempted.
//!
//! | step here | in the kernel |
//! |-----------|---------------|
//! | `Spin`    | `kmap/pool.rs`, `kmap`: the lock, the look at `p.virtual`; then `batched.rs`, `next` |
//! | `Clear`   | `flush_zero`: slots with count 1 lose page and PTE |
//! | `Send`    | `mm/flush.rs`, `call`: the call lock, the request, one broadcast |
//! | `Wait`    | the same: until every bit of `waiting` is clear |
//! | `Own`     | the same: this processor's flush (`Own::Last`); then the search goes on |
//! | `Sleep`   | `map_new`: no slot has count 0; the lock is released |
//! | `Use`     | the caller uses the address, for as long as it likes, wherever it is run |
//! | `Unmap`   | `kunmap`: the lock, the count, waking |
//! | interrupt | `mm/flush.rs`, `on_ipi`: flush, then acknowledge |
//!
//! What happens under the lock and touches nothing that others see without it is one
//! step. Spinning has preemption off, so it keeps its processor from others.
//!
//! *Checked.* No use through an entry of another page; the assertions of `pool.rs`;
//! somebody can always go on; B1 to B3 whenever the lock is free.
//!
//! *Left out.* Pages of low memory, kmaps in interrupts, tasks that hold two
//! (`pools`), stores that are seen late.

use crate::search::{Model, Steps};
use crate::tlb::{CPUS, Page, SLOTS, Tlbs};

/// Tasks, at most.
const TASKS: usize = 3;
/// Pages, at most.
const PAGES: usize = 3;

/// A way to get it wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An idle processor acknowledges without flushing.
    SkipIdle,
    /// The initiator may be preempted between its IPI and its own flush.
    Preempted,
    /// The lock is released during the flush; the counts are 0 already.
    DropLock,
    /// Who has slept does not look again whether the page was mapped meanwhile.
    NoRecheck,
    /// Acknowledged before the flush, with other interrupts let in between.
    EarlyAck,
    /// The flush comes before the PTEs are cleared.
    FlushFirst,
    /// The lock is spun for with interrupts off.
    IrqsOff,
}

/// What drops translations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// A load of CR3, which keeps global entries.
    Cr3,
    /// CR4.PGE off and on.
    Pge,
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Batched {
    /// 1 to 3.
    pub tasks: usize,
    /// 1 to 3.
    pub pages: usize,
    /// The G bit of the window's PTEs.
    pub global: bool,
    /// How a processor flushes.
    pub flush: Flush,
    /// Whether processors fill entries that nobody asked for.
    pub speculation: bool,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

impl Batched {
    /// As the kernel has it: global PTEs, flushed by CR4.PGE.
    pub fn sound(tasks: usize, pages: usize) -> Batched {
        Batched { tasks, pages, global: true, flush: Flush::Pge, speculation: true, fault: None }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Spin {
        slept: bool,
    },
    Clear,
    Send,
    Wait,
    Own,
    /// Fault `DropLock`: the flush is done, the lock is wanted back.
    Relock,
    Sleep,
    Woken,
    Use,
    Unmap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Task {
    at: At,
    cpu: u8,
    page: Page,
    /// The slot whose address it was given.
    slot: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Slot {
    pte: Page,
    count: u8,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    tasks: [Task; TASKS],
    slots: [Slot; SLOTS],
    /// `page.virtual`: a slot's number plus one.
    kva: [u8; PAGES + 1],
    cursor: u8,
    tlb: Tlbs,
    /// Processors that the initiator waits for.
    waiting: [bool; CPUS],
    /// IPIs that were sent and not taken.
    pending: [bool; CPUS],
    /// Fault `EarlyAck`: acknowledged and not flushed.
    owes: [bool; CPUS],
    /// An assertion of the kernel that failed.
    bug: Option<&'static str>,
}

impl Batched {
    fn holds_lock(&self, at: At) -> bool {
        match at {
            At::Clear => true,
            At::Send | At::Wait | At::Own => !self.has(Fault::DropLock),
            _ => false,
        }
    }

    fn lock_is_free(&self, s: &State) -> bool {
        !s.tasks.iter().any(|t| self.holds_lock(t.at))
    }

    /// Keeps its processor.
    fn unpreemptible(&self, at: At) -> bool {
        match at {
            At::Idle | At::Sleep | At::Woken | At::Use => false,
            At::Wait | At::Own => !self.has(Fault::Preempted),
            _ => true,
        }
    }

    fn irqs_off(&self, at: At) -> bool {
        self.has(Fault::IrqsOff) && matches!(at, At::Spin { .. } | At::Unmap)
    }

    /// No other task keeps the processor of task `i`.
    fn may_run(&self, s: &State, i: usize) -> bool {
        let cpu = s.tasks[i].cpu;
        !s.tasks.iter().enumerate().any(|(j, t)| j != i && t.cpu == cpu && self.unpreemptible(t.at))
    }

    fn flush(&self, s: &mut State, cpu: usize) {
        if self.flush == Flush::Pge || !self.global {
            s.tlb.flush(cpu);
        }
    }

    /// Processors fill what they may.
    fn settled(&self, mut s: State) -> State {
        for cpu in 0..CPUS {
            for slot in 0..SLOTS {
                let used = (0..self.tasks).any(|i| {
                    let t = s.tasks[i];
                    t.at == At::Use
                        && usize::from(t.cpu) == cpu
                        && usize::from(t.slot) == slot
                        && self.may_run(&s, i)
                });
                if self.speculation || used {
                    s.tlb.fill(cpu, slot, s.slots[slot].pte);
                }
            }
        }
        s
    }

    /// `map_new` from the cursor on, under the lock, up to its end or the next wrap; after a flush it begins at the cursor.
    fn search(&self, s: &mut State, i: usize, mut here: bool) {
        let mut left = SLOTS;
        loop {
            if !here {
                s.cursor = (s.cursor + 1) % SLOTS as u8;
                if s.cursor == 0 {
                    s.tasks[i].at = if self.has(Fault::FlushFirst) { At::Send } else { At::Clear };
                    return;
                }
            }
            here = false;
            let slot = usize::from(s.cursor);
            if s.slots[slot].count == 0 {
                s.slots[slot] = Slot { pte: s.tasks[i].page, count: 1 };
                s.kva[usize::from(s.tasks[i].page)] = s.cursor + 1;
                self.count_up(s, i);
                return;
            }
            left -= 1;
            if left == 0 {
                s.tasks[i].at = At::Sleep;
                return;
            }
        }
    }

    /// The end of `kmap`, under the lock.
    fn count_up(&self, s: &mut State, i: usize) {
        let slot = s.kva[usize::from(s.tasks[i].page)] - 1;
        s.tasks[i].slot = slot;
        s.tasks[i].at = At::Use;
        let count = &mut s.slots[usize::from(slot)].count;
        if *count == 0 {
            s.bug = Some("a mapped page whose slot has count 0");
        }
        *count += 1;
    }

    fn unmap(&self, s: &mut State, i: usize) {
        let kva = s.kva[usize::from(s.tasks[i].page)];
        s.tasks[i] = Task { at: At::Idle, page: 0, slot: 0, ..s.tasks[i] };
        let Some(slot) = s.slots.get_mut(usize::from(kva).wrapping_sub(1)).filter(|slot| slot.count >= 2)
        else {
            s.bug = Some("kunmap of a page that nobody uses");
            return;
        };
        slot.count -= 1;
        if slot.count == 1 {
            for t in s.tasks.iter_mut().filter(|t| t.at == At::Sleep) {
                t.at = At::Woken;
            }
        }
    }

    fn task_steps(&self, s: &State, i: usize, steps: &mut Steps<'_, State>) {
        let t = s.tasks[i];
        let cpu = usize::from(t.cpu);
        let mut add = |to: State, what: &dyn Fn() -> String| {
            steps.step(self.settled(to), || format!("task {i} on cpu {cpu} {}", what()));
        };
        let mut to = *s;
        let free = self.lock_is_free(s);
        match t.at {
            At::Idle => {
                for page in 1..=self.pages as Page {
                    let mut to = *s;
                    to.tasks[i] = Task { at: At::Spin { slept: false }, page, ..t };
                    add(to, &|| format!("wants page {page}"));
                }
            }
            At::Woken => {
                to.tasks[i].at = At::Spin { slept: true };
                add(to, &|| format!("has been woken and wants page {} again", t.page));
            }
            At::Spin { slept } if free => {
                if s.kva[usize::from(t.page)] != 0 && !(slept && self.has(Fault::NoRecheck)) {
                    self.count_up(&mut to, i);
                } else {
                    self.search(&mut to, i, false);
                }
                let now = to.tasks[i];
                add(to, &|| match now.at {
                    At::Use => format!("gets slot {} for page {}", now.slot, t.page),
                    At::Sleep => format!("finds no slot for page {} and sleeps", t.page),
                    _ => format!("takes kmap_lock for page {} and comes to the wrap", t.page),
                });
            }
            At::Clear => {
                for slot in 0..SLOTS {
                    if s.slots[slot].count == 1 {
                        to.slots[slot] = Slot::default();
                        to.kva[usize::from(s.slots[slot].pte)] = 0;
                    }
                }
                if self.has(Fault::FlushFirst) {
                    self.search(&mut to, i, true);
                } else {
                    to.tasks[i].at = At::Send;
                }
                add(to, &|| "takes the unused slots back: count 0, PTE cleared".into());
            }
            // The call lock: one call at a time.
            At::Send if !s.tasks.iter().any(|t| matches!(t.at, At::Wait | At::Own)) => {
                to.tasks[i].at = At::Wait;
                to.waiting[1 - cpu] = true;
                to.pending[1 - cpu] = true;
                add(to, &|| format!("sends the IPI to cpu {}", 1 - cpu));
            }
            At::Wait if s.waiting == [false; CPUS] => {
                to.tasks[i].at = At::Own;
                add(to, &|| "has the acknowledgement".into());
            }
            At::Own => {
                self.flush(&mut to, cpu);
                match self.fault {
                    Some(Fault::DropLock) => to.tasks[i].at = At::Relock,
                    Some(Fault::FlushFirst) => to.tasks[i].at = At::Clear,
                    _ => self.search(&mut to, i, true),
                }
                let now = to.tasks[i];
                add(to, &|| match now.at {
                    At::Use => {
                        format!("flushes its processor and gets slot {} for page {}", now.slot, t.page)
                    }
                    At::Sleep => "flushes its processor, finds no slot and sleeps".into(),
                    _ => "flushes its processor".into(),
                });
            }
            At::Relock if free => {
                self.search(&mut to, i, true);
                let now = to.tasks[i];
                add(to, &|| match now.at {
                    At::Use => {
                        format!("takes kmap_lock again and gets slot {} for page {}", now.slot, t.page)
                    }
                    _ => "takes kmap_lock again".into(),
                });
            }
            At::Use => {
                to.tasks[i].at = At::Unmap;
                add(to, &|| format!("has done with page {}", t.page));
            }
            At::Unmap if free => {
                self.unmap(&mut to, i);
                add(to, &|| format!("unmaps page {}", t.page));
            }
            _ => (),
        }
    }

    /// The interrupt, if it is due and let in.
    fn interrupt_steps(&self, s: &State, cpu: usize, steps: &mut Steps<'_, State>) {
        let here = || s.tasks[..self.tasks].iter().filter(|t| usize::from(t.cpu) == cpu);
        let mut to = *s;
        if s.owes[cpu] {
            to.owes[cpu] = false;
            self.flush(&mut to, cpu);
            steps.step(self.settled(to), || format!("cpu {cpu} goes on in its handler and flushes"));
            return;
        }
        if !s.pending[cpu] || here().any(|t| self.irqs_off(t.at)) {
            return;
        }
        to.pending[cpu] = false;
        to.waiting[cpu] = false;
        if self.has(Fault::EarlyAck) {
            to.owes[cpu] = true;
            steps.step(self.settled(to), || format!("cpu {cpu} takes the IPI and acknowledges it first"));
        } else if self.has(Fault::SkipIdle) && here().all(|t| matches!(t.at, At::Idle | At::Sleep)) {
            steps.step(self.settled(to), || format!("cpu {cpu} is idle and acknowledges without a flush"));
        } else {
            self.flush(&mut to, cpu);
            steps.step(self.settled(to), || format!("cpu {cpu} takes the IPI, flushes and acknowledges"));
        }
    }

    /// B1 to B3; with the lock free.
    fn invariant(&self, s: &State) -> Option<String> {
        for (slot, Slot { pte, count }) in s.slots.iter().enumerate() {
            let held = (0..CPUS).find(|cpu| s.tlb.holds_any(*cpu, slot));
            let users =
                s.tasks.iter().filter(|t| matches!(t.at, At::Use | At::Unmap) && usize::from(t.slot) == slot);
            let users = users.count() as u8;
            if *count == 0 && (*pte != 0 || held.is_some()) {
                return Some(format!("B1: slot {slot} has count 0 and is in a TLB or its PTE is present"));
            }
            if *count != 0 && usize::from(s.kva[usize::from(*pte)]) != slot + 1 {
                return Some(format!("B2: slot {slot} has count {count} and its page another address"));
            }
            if *count != 0 && users != *count - 1 {
                return Some(format!("B3: slot {slot} has count {count} and {users} users"));
            }
        }
        None
    }
}

impl Model for Batched {
    type State = State;

    fn start(&self) -> State {
        let task = |i| Task { at: At::Idle, cpu: (i % CPUS) as u8, page: 0, slot: 0 };
        State {
            tasks: std::array::from_fn(task),
            slots: Default::default(),
            kva: Default::default(),
            cursor: 0,
            tlb: Tlbs::default(),
            waiting: [false; CPUS],
            pending: [false; CPUS],
            owes: [false; CPUS],
            bug: None,
        }
    }

    fn steps(&self, s: &State, steps: &mut Steps<'_, State>) {
        for cpu in 0..CPUS {
            self.interrupt_steps(s, cpu, steps);
        }
        for i in (0..self.tasks).filter(|i| self.may_run(s, *i)) {
            self.task_steps(s, i, steps);
        }
        for i in 0..self.tasks {
            let t = s.tasks[i];
            if !self.unpreemptible(t.at) {
                let mut to = *s;
                to.tasks[i].cpu = 1 - t.cpu;
                steps.wander(self.settled(to), || format!("task {i} moves to cpu {}", 1 - t.cpu));
            }
        }
    }

    fn wrong(&self, s: &State) -> Option<String> {
        if let Some(bug) = s.bug {
            return Some(format!("assertion: {bug}"));
        }
        for i in (0..self.tasks).filter(|i| s.tasks[*i].at == At::Use && self.may_run(s, *i)) {
            let Task { cpu, page, slot, .. } = s.tasks[i];
            let pte = s.slots[usize::from(slot)].pte;
            if let Some(old) = s.tlb.stale(usize::from(cpu), usize::from(slot), page) {
                return Some(format!(
                    "task {i} uses slot {slot} for page {page}, and cpu {cpu} may hold page {old} there"
                ));
            }
            if pte != page {
                return Some(format!(
                    "task {i} uses slot {slot} for page {page}, and its PTE says {pte} (0: none)"
                ));
            }
        }
        if self.fault.is_none() && self.lock_is_free(s) { self.invariant(s) } else { None }
    }

    fn waits(&self, s: &State) -> Vec<String> {
        let line = |(i, t): (usize, &Task)| {
            let waits = match t.at {
                At::Spin { .. } | At::Unmap if self.irqs_off(t.at) => {
                    "spins for kmap_lock with interrupts off"
                }
                At::Spin { .. } | At::Unmap => "spins for kmap_lock",
                At::Wait => "holds kmap_lock and waits for the acknowledgement",
                At::Sleep => "sleeps until a slot is unused",
                _ => "could run if its processor were let go",
            };
            format!("task {i} on cpu {} {waits}", t.cpu)
        };
        s.tasks[..self.tasks].iter().enumerate().map(line).collect()
    }
}
