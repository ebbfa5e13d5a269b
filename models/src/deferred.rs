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
        if self.fault.is_none() && self.slots == SLOTS { self.renamed(&s) } else { s }
    }

    /// The same state with slots and pages numbered by their roles: which is which does not matter. It saves a factor
    /// of about ten where nothing is wrong; traces keep their names.
    fn renamed(&self, s: &State) -> State {
        let mut t = *s;
        let key = |k: usize| (s.slots[k].pins, s.slots[k].born, s.slots[k].page == 0);
        let slot_of = if key(0) <= key(1) { [0, 1] } else { [1, 0] };
        t.slots = slot_of.map(|k| s.slots[k]);
        // Pages in the order in which slots and tasks name them, then the others.
        let named = t.slots.iter().flat_map(|k| [k.page, k.pte]).chain(s.tasks.iter().map(|t| t.page));
        let mut page_of = vec![0];
        for page in named.chain(1..=self.pages as Page) {
            if !page_of.contains(&page) {
                page_of.push(page);
            }
        }
        let page = |old: Page| page_of.iter().position(|p| *p == old).unwrap_or(0) as Page;
        t.slots.iter_mut().for_each(|k| (k.page, k.pte) = (page(k.page), page(k.pte)));
        for task in &mut t.tasks {
            task.page = page(task.page);
            if task.at != At::Idle {
                task.slot = slot_of[usize::from(task.slot)] as u8; // of two, its own inverse
            }
        }
        for cpu in &mut t.cpus {
            cpu.stamp = slot_of.map(|k| cpu.stamp[k]);
        }
        t.tlb = s.tlb.renamed(slot_of, &page_of);
        t
    }

    /// Numbers are only compared, and a new one is greater than all: their order says it all, and old stamps nothing.
    fn order_numbers(s: &mut State) {
        let mut all = [0; 1 + SLOTS + TASKS + 1];
        all[0] = s.epoch;
        (0..SLOTS).for_each(|k| all[1 + k] = s.slots[k].born);
        (0..TASKS).for_each(|i| all[1 + SLOTS + i] = s.tasks[i].born);
        all.sort_unstable();
        // How many different ones are not above it, 0 aside.
        let rank = |value: u8| {
            let below = (1..all.len()).filter(|i| all[*i] <= value && all[*i] != all[*i - 1]);
            if value == EVER { EVER } else { below.count() as u8 }
        };
        let is_some_birth = |value: u8| all.contains(&value);
        s.epoch = rank(s.epoch);
        for cpu in &mut s.cpus {
            cpu.seen = rank(cpu.seen);
            cpu.stamp = cpu.stamp.map(|stamp| if is_some_birth(stamp) { rank(stamp) } else { 0 });
            if let Some(load) = &mut cpu.load {
                load.sampled = rank(load.sampled);
            }
        }
        s.slots.iter_mut().for_each(|k| k.born = rank(k.born));
        s.tasks.iter_mut().for_each(|t| t.born = rank(t.born));
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

    fn up_to_date(&self, s: &State, cpu: usize, t: &Task) -> bool {
        let (Cpu { seen, stamp, used, .. }, k) = (s.cpus[cpu], usize::from(t.slot));
        seen >= t.born || stamp[k] == t.born || self.has(Fault::A) || self.has(Fault::J) && !used[k]
    }

    /// The pin, and the end of the part under the lock.
    fn pin(&self, s: &mut State, i: usize, k: usize) {
        s.slots[k].pins += 1;
        let t = &mut s.tasks[i];
        (t.slot, t.born, t.holds) = (k as u8, s.slots[k].born, true);
        t.at = match self.fault {
            Some(Fault::L) => At::PutEarly,
            Some(Fault::E) => At::DropAway,
            _ => At::Ensure,
        };
        t.holds = !self.has(Fault::E);
    }

    fn put(s: &mut State, i: usize) {
        let k = usize::from(s.tasks[i].slot);
        s.slots[k].pins -= 1;
        s.tasks[i].holds = false;
        if s.slots[k].pins == 0 {
            s.tasks.iter_mut().filter(|t| t.at == At::Sleep).for_each(|t| t.at = At::Spin);
        }
    }

    /// The order of the three steps of a recycle; the lock is released after the last.
    fn recycling(&self) -> [At; 3] {
        match self.fault {
            Some(Fault::C) => [At::Raise, At::Write, At::Drop],
            Some(Fault::D) => [At::Drop, At::Write, At::Raise],
            _ => [At::Write, At::Raise, At::Drop],
        }
    }

    fn recycle_step(&self, s: &mut State, cpu: usize, i: usize) -> String {
        let t = s.tasks[i];
        let k = usize::from(t.slot);
        let told = match t.at {
            At::Write => {
                s.slots[k].pte = t.page;
                format!("writes the PTE of slot {k} for page {}", t.page)
            }
            At::Raise => {
                s.epoch = if self.has(Fault::K) { (s.epoch + 1) % WRAP } else { s.epoch + 1 };
                s.tasks[i].born = s.epoch;
                format!("raises the epoch for slot {k}")
            }
            _ => {
                s.tlb.invlpg(cpu, k);
                format!("invalidates slot {k} on its processor")
            }
        };
        let order = self.recycling();
        match order.iter().position(|at| *at == t.at).and_then(|n| order.get(n + 1)) {
            Some(next) => s.tasks[i].at = *next,
            None => {
                let born = s.tasks[i].born;
                s.cpus[cpu].stamp[k] = born;
                (s.slots[k].page, s.slots[k].born) = (t.page, born);
                self.pin(s, i, k);
            }
        }
        told
    }

    fn task_steps(&self, s: &State, cpu: usize, i: usize, steps: &mut Steps<'_, State>) {
        let t = s.tasks[i];
        let k = usize::from(t.slot);
        let mut add = |to: State, what: &dyn Fn() -> String| {
            steps.step(self.settled(to), || format!("task {i} on cpu {cpu} {}", what()));
        };
        let mut to = *s;
        let free = Self::lock_is_free(s);
        match t.at {
            At::Idle => {
                for page in 1..=self.pages as Page {
                    let mut to = *s;
                    to.tasks[i] = Task { at: At::Spin, page, ..t };
                    add(to, &|| format!("wants page {page}"));
                }
            }
            At::Spin if free => {
                if let Some(k) = s.slots.iter().position(|slot| slot.page == t.page) {
                    self.pin(&mut to, i, k);
                    add(to, &|| format!("finds page {} in slot {k} and pins it", t.page));
                    return;
                }
                let unused = (0..self.slots).filter(|k| s.slots[*k].pins == 0);
                if unused.clone().next().is_none() {
                    to.tasks[i].at = At::Sleep;
                    add(to, &|| format!("finds no slot for page {} and sleeps", t.page));
                }
                for k in unused {
                    let mut to = *s;
                    to.tasks[i].slot = k as u8;
                    if s.slots[k].page == 0 {
                        (to.slots[k].page, to.slots[k].pte) = (t.page, t.page);
                        self.pin(&mut to, i, k);
                        add(to, &|| format!("gives slot {k} its first page, {}", t.page));
                    } else {
                        to.slots[k].page = 0;
                        to.tasks[i].at = self.recycling()[0];
                        add(to, &|| format!("takes kva_lock and slot {k} for page {}", t.page));
                    }
                }
            }
            At::Write | At::Raise | At::Drop => {
                let told = self.recycle_step(&mut to, cpu, i);
                add(to, &|| told.clone());
            }
            At::Ensure if self.up_to_date(s, cpu, &t) => {
                to.tasks[i].at = At::Use;
                to.cpus[cpu].used[k] = self.has(Fault::J);
                add(to, &|| format!("is up to date for slot {k} and uses it"));
            }
            At::Ensure => {
                to.tasks[i].at = if self.conflict == Conflict::Local { At::Local } else { At::Call };
                add(to, &|| format!("is out of date for slot {k}"));
            }
            At::Local => {
                to.tlb.invlpg(cpu, k);
                to.tasks[i].at = At::Stamp;
                add(to, &|| format!("invalidates slot {k} on its processor"));
            }
            At::Stamp => {
                to.cpus[cpu].stamp[k] = t.born;
                to.cpus[cpu].used[k] = self.has(Fault::J);
                to.tasks[i].at = At::Use;
                add(to, &|| format!("notes the stamp and uses slot {k}"));
            }
            // The call lock is free; the own load follows at once.
            At::Call if s.cpus.iter().all(|cpu| !cpu.waited) && !s.tasks.iter().any(|t| t.at == At::Wait) => {
                (to.cpus[1 - cpu].pending, to.cpus[1 - cpu].waited) = (true, true);
                self.begin_load(&mut to, cpu, Why::Own);
                add(to, &|| format!("sends the IPI to cpu {} and begins its own load", 1 - cpu));
            }
            At::Wait if !s.cpus[1 - cpu].waited || self.has(Fault::NoWait) => {
                to.tasks[i].at = At::Use;
                to.cpus[cpu].used[k] = self.has(Fault::J);
                add(to, &|| format!("waits no longer and uses slot {k}"));
            }
            At::Use => {
                to.tasks[i].at = if self.has(Fault::L) { At::Idle } else { At::Put };
                if self.has(Fault::L) {
                    to.tasks[i] = Task { page: 0, slot: 0, born: 0, ..to.tasks[i] };
                }
                add(to, &|| format!("has done with slot {k}"));
            }
            At::Put | At::PutEarly if free => {
                Self::put(&mut to, i);
                if t.at == At::Put {
                    to.tasks[i] = Task { at: At::Idle, page: 0, slot: 0, born: 0, ..to.tasks[i] };
                } else {
                    to.tasks[i].at = At::Ensure;
                }
                add(to, &|| format!("gives its pin on slot {k} back"));
            }
            At::DropAway => {
                to.tlb.invlpg(cpu, k);
                to.tasks[i].at = At::StampAway;
                add(to, &|| format!("invalidates slot {k} on its processor"));
            }
            At::StampAway => {
                to.cpus[cpu].stamp[k] = t.born;
                to.tasks[i].holds = true;
                to.tasks[i].at = At::Ensure;
                add(to, &|| format!("notes the stamp of slot {k}"));
            }
            _ => (),
        }
    }

    /// The processor turns to `next`, a task or idle.
    fn switch(&self, s: &State, cpu: usize, next: u8) -> (State, &'static str) {
        let mut to = *s;
        let task = s.tasks.get(usize::from(next));
        let space = self.spaces.get(usize::from(next)).copied().unwrap_or(0);
        if space != 0 && space != s.cpus[cpu].space {
            self.begin_load(&mut to, cpu, Why::Switch(next));
            return (to, "another address space, begins to load CR3");
        }
        if task.is_some_and(|t| usize::from(t.last) != cpu && t.holds) && !self.has(Fault::F) {
            self.begin_load(&mut to, cpu, Why::Switch(next));
            return (to, "arriving with pins, begins to load CR3");
        }
        self.arrive(&mut to, cpu, next);
        if space == 0 && self.has(Fault::G) || space != 0 && self.has(Fault::H) {
            to.cpus[cpu].seen = s.epoch;
        }
        (to, "no load")
    }

    fn switches(&self, s: &State, cpu: usize, steps: &mut Steps<'_, State>) {
        let now = s.cpus[cpu].runs;
        let current = s.tasks.get(usize::from(now));
        if current.is_some_and(|t| !Self::preemptible(t.at)) {
            return;
        }
        // Who sleeps has to make room, and who is ready has to be run: both get somebody on.
        let waits = current.is_none_or(|t| t.at == At::Sleep);
        let elsewhere = |i: u8| {
            s.cpus
                .iter()
                .any(|c| c.runs == i || matches!(c.load, Some(Load { why: Why::Switch(n), .. }) if n == i))
        };
        for next in (0..self.spaces.len() as u8).chain([NONE]) {
            let ready = s.tasks.get(usize::from(next)).is_none_or(|t| t.at != At::Sleep);
            if next == now || next != NONE && (elsewhere(next) || !ready) {
                continue;
            }
            let (to, how) = self.switch(s, cpu, next);
            let name = || match next {
                NONE => format!("cpu {cpu} switches to idle: {how}"),
                next => format!("cpu {cpu} switches to task {next}: {how}"),
            };
            if waits {
                steps.step(self.settled(to), name);
            } else {
                steps.wander(self.settled(to), name);
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
