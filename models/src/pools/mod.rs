//! Pools of slots that tasks hold several of, and wait for: kmaps of page tables, and
//! the deadlocks of January 2002.
//!
//! Page tables in high memory have to be mapped to be read. A task then maps a table
//! while it has a page mapped, and the other way round, and sleeps when there is no
//! slot. Which nestings there are decides what can deadlock, so the paths are those of
//! the kernel of the time (`paths`: [`FORK`] to [`READ_HOLE`]); up to four tasks run any of them
//! for ever, in any order, with a daemon that frees memory by way of page tables.
//!
//! - [`Scheme::OnePool`]: `kmap`, one pool for all.
//! - [`Scheme::Series`]: `series` as posted (Arcangeli, pte-highmem-5): a pool each for
//!   pages, for tables, and for a second table. `page.virtual` is one for all pools: a
//!   page that still has a slot keeps it, whatever pool it is of.
//! - [`Scheme::SeriesStrict`]: as amended in the thread: only the pool for pages looks at
//!   `page.virtual`, and a task takes PAGETABLE2 before PAGETABLE before DEFAULT.
//! - [`Scheme::Reserve`]: `reserve`: one pool, and a task's first kmap takes so many slots
//!   at once or sleeps with none (Arcangeli: 3; Dickins: 2 should do). Further kmaps take
//!   from those, and with all of them in use wait as in `kmap`.
//!
//! And what the kernel here does about its one nesting, copies that hold two
//! (`kmap/pair.rs`): [`COPY`] takes the right to two slots before the first, which at most
//! half as many tasks as there are slots can have.
//!
//! *Checked.* Somebody can always go on. Nothing is mapped wrongly here, so TLBs do not
//! appear, and neither do processors: what sleeps deadlocks on any number of them, and
//! every order of the tasks' steps is explored.
//!
//! *Left out.* The cursor: a new slot is any without users, and a flush of those that are
//! mapped and unused may come before. The clearing of a new table through the pool for
//! pages. Locks that are held besides.

mod paths;

pub use paths::*;

use crate::search::{Model, Steps};
use Kind::{Page, Table, Table2};
use Step::{Allocate, Enter, Free, Leave, Map, Unmap};

/// Tasks, at most, with the daemon.
const TASKS: usize = 4;
/// Kmaps that a task holds at a time, at most.
const DEPTH: usize = 3;
/// Slots, at most.
const SLOTS: usize = 6;
const NONE: u8 = u8::MAX;
/// A kmap that took no slot of a pool.
const ATOMIC: u8 = u8::MAX - 1;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `kmap`.
    OnePool,
    /// `series`.
    Series,
    /// `series-strict`.
    SeriesStrict,
    /// `reserve` of so many slots.
    Reserve(u8),
}

/// How the daemon reaches the page tables that it takes pages from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapOut {
    /// By an atomic kmap, as corrected in the thread.
    Atomic,
    /// By a kmap that may sleep.
    Kmap,
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Pools<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// Slots of each pool; at most 6 in all.
    pub slots: usize,
    /// Tasks besides the daemon: 1 to 3.
    pub tasks: usize,
    /// What they do.
    pub paths: &'a [Path],
    /// What the daemon does.
    pub swap: SwapOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Task {
    /// Number of its path, or [`NONE`].
    path: u8,
    step: u8,
    /// The slots that it holds, the latest last.
    held: [u8; DEPTH],
    /// Slots that it has reserved and not used.
    reserved: u8,
    /// Under `series` the page that it maps next; 0: not chosen.
    wants: u8,
}

impl Task {
    const IDLE: Task = Task { path: NONE, step: 0, held: [NONE; DEPTH], reserved: 0, wants: 0 };

    fn depth(&self) -> usize {
        self.held.iter().position(|slot| *slot == NONE).unwrap_or(DEPTH)
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    tasks: [Task; TASKS],
    /// Under `series` the page that has the slot, whether or not it is used; 0: none.
    page: [u8; SLOTS],
    /// Free pages of memory.
    memory: u8,
    /// Tasks that may still enter.
    room: u8,
}

impl Pools<'_> {
    fn pools(&self) -> usize {
        if matches!(self.scheme, Scheme::Series | Scheme::SeriesStrict) { 3 } else { 1 }
    }

    /// The slots of the pool for `kind`.
    fn pool(&self, kind: Kind) -> std::ops::Range<usize> {
        let pool = if self.pools() == 1 { 0 } else { kind as usize };
        pool * self.slots..(pool + 1) * self.slots
    }

    /// The daemon is a task by itself.
    fn daemon(&self) -> usize {
        self.tasks
    }

    fn path(&self, i: usize, path: u8) -> Path {
        if i == self.daemon() { SWAP } else { self.paths[usize::from(path)] }
    }

    fn is_used(s: &State, slot: usize) -> bool {
        s.tasks.iter().any(|t| t.held.contains(&(slot as u8)))
    }

    /// Pages of memory that could be mapped: two for each task, and one that has been mapped since.
    fn pages(&self) -> u8 {
        (self.tasks * 2 + 1) as u8
    }

    /// Every way in which task `i` can have a slot now: the slot, and what the slots map then.
    fn ways(&self, s: &State, i: usize, kind: Kind) -> Vec<(usize, [u8; SLOTS])> {
        let unused = |slot: &usize| !Self::is_used(s, *slot);
        let Scheme::Series = self.scheme else {
            let free = self.pool(kind).filter(unused).count() as u8;
            let reserved: u8 = s.tasks.iter().map(|t| t.reserved).sum();
            let t = &s.tasks[i];
            let has = match self.scheme {
                Scheme::Reserve(_) if t.reserved > 0 => true,
                Scheme::Reserve(slots) if t.depth() == 0 => free >= reserved + slots,
                _ => free > reserved,
            };
            // Which slot it is does not matter.
            return self
                .pool(kind)
                .find(unused)
                .filter(|_| has)
                .map(|slot| (slot, s.page))
                .into_iter()
                .collect();
        };
        let page = s.tasks[i].wants;
        if let Some(slot) = s.page.iter().position(|p| *p == page) {
            return vec![(slot, s.page)]; // `page.virtual` is set: no look at the pool
        }
        let with = |slot: usize, mut pages: [u8; SLOTS]| {
            pages[slot] = page;
            (slot, pages)
        };
        let mut ways: Vec<_> =
            self.pool(kind).filter(|slot| s.page[*slot] == 0).map(|slot| with(slot, s.page)).collect();
        let mut flushed = s.page;
        self.pool(kind).filter(unused).for_each(|slot| flushed[slot] = 0);
        if flushed != s.page {
            ways.extend(self.pool(kind).filter(unused).map(|slot| with(slot, flushed)));
        }
        ways
    }

    /// Pages that nobody maps or is about to map: freed and allocated again, they may be for anything.
    fn unused_pages(&self, s: &State) -> impl Iterator<Item = u8> {
        let used = |page: u8| {
            let slot = s.page.iter().position(|p| *p == page);
            slot.is_some_and(|slot| Self::is_used(s, slot)) || s.tasks.iter().any(|t| t.wants == page)
        };
        (1..=self.pages()).filter(move |page| !used(*page))
    }

    fn map(&self, s: &State, i: usize, slot: u8) -> State {
        let mut to = *s;
        let t = &mut to.tasks[i];
        let depth = t.depth();
        t.held[depth] = slot;
        t.step += 1;
        t.wants = 0;
        if let Scheme::Reserve(slots) = self.scheme {
            t.reserved = if depth == 0 { slots - 1 } else { t.reserved.saturating_sub(1) };
        }
        to
    }

    /// The end of a kmap: a slot that was reserved stays so until the task has no kmap left.
    fn unmap(&self, t: &mut Task) {
        let depth = t.depth() - 1;
        t.held[depth] = NONE;
        if let Scheme::Reserve(slots) = self.scheme {
            t.reserved = if depth == 0 { 0 } else { slots.saturating_sub(depth as u8) };
        }
    }

    fn slot_name(&self, slot: u8) -> String {
        if slot == ATOMIC {
            return "an atomic kmap".into();
        }
        let (pool, number) = (usize::from(slot) / self.slots, usize::from(slot) % self.slots);
        match self.pools() {
            1 => format!("slot {number}"),
            _ => format!("slot {number} of {}", [Page, Table, Table2][pool].name()),
        }
    }

    fn task_steps(&self, s: &State, i: usize, steps: &mut Steps<'_, State>) {
        let t = s.tasks[i];
        let path = self.path(i, t.path);
        let who = format!("task {i} in {}", path.name);
        let mut to = *s;
        let now = &mut to.tasks[i];
        now.step += 1;
        match path.steps.get(usize::from(t.step)) {
            None => {
                to.tasks[i] = Task::IDLE;
                steps.step(to, || format!("task {i} has done with {}", path.name));
            }
            Some(Map(_)) if i == self.daemon() && self.swap == SwapOut::Atomic => {
                steps.step(self.map(s, i, ATOMIC), || format!("{who} takes an atomic kmap"));
            }
            Some(Map(_)) if self.scheme == Scheme::Series && t.wants == 0 => {
                for page in self.unused_pages(s) {
                    let mut to = *s;
                    to.tasks[i].wants = page;
                    steps.step(to, || format!("{who} is to map page {page}"));
                }
            }
            Some(Map(kind)) => {
                for (slot, page) in self.ways(s, i, *kind) {
                    let to = State { page, ..self.map(s, i, slot as u8) };
                    steps.step(to, || {
                        let (slot, kept) =
                            (self.slot_name(slot as u8), s.page[slot] != 0 && s.page[slot] == page[slot]);
                        let kept = if kept { ", which its page still has from before" } else { "" };
                        format!("{who} wants {} and gets {slot}{kept}", kind.name())
                    });
                }
            }
            Some(Unmap) => {
                self.unmap(now);
                steps.step(to, || format!("{who} unmaps"));
            }
            Some(Allocate) if s.memory > 0 => {
                to.memory -= 1;
                steps.step(to, || format!("{who} allocates a page"));
            }
            Some(Free) => {
                to.memory += 1;
                steps.step(to, || format!("{who} frees a page"));
            }
            Some(Enter) if s.room > 0 => {
                to.room -= 1;
                steps.step(to, || format!("{who} may hold two"));
            }
            Some(Leave) => {
                to.room += 1;
                steps.step(to, || format!("{who} leaves"));
            }
            Some(Allocate | Enter) => (),
        }
    }
}

impl Model for Pools<'_> {
    type State = State;

    fn start(&self) -> State {
        State { tasks: [Task::IDLE; TASKS], page: [0; SLOTS], memory: 1, room: (self.slots / 2) as u8 }
    }

    fn steps(&self, s: &State, steps: &mut Steps<'_, State>) {
        for i in 0..=self.tasks {
            if s.tasks[i].path != NONE {
                self.task_steps(s, i, steps);
                continue;
            }
            // The daemon runs when memory is short.
            let paths = if i < self.daemon() { self.paths.len() } else { usize::from(s.memory == 0) };
            for path in 0..paths as u8 {
                let mut to = *s;
                to.tasks[i].path = path;
                steps.step(to, || format!("task {i} begins {}", self.path(i, path).name));
            }
        }
    }

    fn wrong(&self, _: &State) -> Option<String> {
        None
    }

    fn waits(&self, s: &State) -> Vec<String> {
        let running = (0..=self.tasks).filter(|i| s.tasks[*i].path != NONE);
        let line = |i: usize| {
            let t = &s.tasks[i];
            let path = self.path(i, t.path);
            let held: Vec<_> = t.held[..t.depth()].iter().map(|slot| self.slot_name(*slot)).collect();
            let holds = if held.is_empty() { "nothing".into() } else { held.join(" and ") };
            let reserved =
                if t.reserved > 0 { format!(" and {} reserved", t.reserved) } else { String::new() };
            let wants = match path.steps.get(usize::from(t.step)) {
                Some(Map(kind)) if self.pools() > 1 => format!("a slot of {}", kind.name()),
                Some(Map(_)) if t.depth() == 0 && matches!(self.scheme, Scheme::Reserve(_)) => {
                    "its reserve".into()
                }
                Some(Map(_)) => "a slot".into(),
                Some(Allocate) => "memory".into(),
                Some(Enter) => "the right to two".into(),
                _ => "nothing".into(),
            };
            format!("task {i} in {} holds {holds}{reserved} and waits for {wants}", path.name)
        };
        running.map(line).collect()
    }
}
