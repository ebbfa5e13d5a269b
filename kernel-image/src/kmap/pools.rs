//! The shared window where tasks want further slots while they hold one: for page
//! tables as well as for pages (`pte=kmap`, `nowait`, `series`, `series-strict`,
//! `reserve`), or for copies that fault (`user-copy=fault`). In one pool or divided
//! into three, with a book of which task holds what and waits for what.
//!
//! *Protocol.* That of `pool`, with the next slot found as the chosen strategy
//! (`batched`, `batched-range`, `shared-invlpg`) finds it, within the part of the
//! window that the pool has. The window's slots are divided evenly.
//!
//! ```text
//!  pool         for
//!  DEFAULT      pages; tables too if there is one pool only
//!  PAGETABLE    page tables, one at a time
//!  PAGETABLE2   the second table of a path
//! ```
//!
//! *Who waits for whom.* A task that holds slots of some pools may sleep until
//! another gives one back, so tasks can wait for each other in a circle. Which
//! circles there are is said in `ptemap`, scheme by scheme. Copies of pages go
//! through slots of the processor (`scheme_of`), as those of Linux 2.4 did: so the
//! path that holds most is a fault, with a table and a page to be cleared. With
//! `user-copy=fault` it may be one in a copy, and a page of a file is held besides: then
//! one pool deadlocks wherever tables lie, since all holders of such pages may wait for one to clear.
//!
//! *Reserve.* A task's first kmap takes `reserve=` slots at once (2 or 3), or sleeps
//! with none; further ones take from those, and what it gives back stays its own until
//! it holds no more. So the sum of what is held and reserved never exceeds the
//! slots, and who holds one and needs the others gets them.
//!
//! *Watch.* A deadlock here is a fact, not a suspicion: every slot of a pool is
//! held by tasks that wait for a pool of which the same is true. `kwatch` looks
//! for it in each of its rounds and ends the machine with the book.

use super::pool::{self, Locked, POOL, Pool};
use super::{Kmap, Use, axes, batched, batched_range, direct_address, shared_invlpg, window};
use crate::mm::{Frame, is_low};
use crate::process::{self, Processes};
use crate::sched::{Task, current};
use crate::sync::BootCell;
use crate::{debug, print, println};
use axes::Scheme;
use core::cell::Cell;
use shootdown_abi::exit;

/// Slots that a task holds at a time, at most.
const DEPTH: usize = 4;
/// Pools, at most.
pub const POOLS: usize = 3;

/// A part of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// For pages.
    Default = 0,
    /// For page tables.
    PageTable = 1,
    /// For the second page table of a path.
    PageTable2 = 2,
}

impl Series {
    pub(super) const ALL: [Series; POOLS] = [Series::Default, Series::PageTable, Series::PageTable2];

    const fn name(self) -> &'static str {
        match self {
            Series::Default => "DEFAULT",
            Series::PageTable => "PAGETABLE",
            Series::PageTable2 => "PAGETABLE2",
        }
    }
}

/// How the window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The strategy that finds slots.
    pub scheme: Scheme,
    /// Parts of the window: 1 or [`POOLS`].
    pub pools: usize,
    /// Slots that a task's first kmap reserves, `MAX_NR_TASK_KMAPS` of Arcangeli's patch; 0: it takes the one.
    pub reserve: u32,
}

static PLAN: BootCell<Plan> = BootCell::new();

/// Takes note of the plan; at boot, before [`Kmap::init`].
pub fn set(plan: Plan) {
    // SAFETY: called once from the boot list, before other processors run.
    unsafe { PLAN.set(plan) }
}

/// What a task holds and waits for. Touched under the lock of the pool.
pub struct Book {
    held: [Cell<Option<u32>>; DEPTH],
    /// Slots that it has reserved and does not use.
    reserved: Cell<u32>,
    wants: Cell<Option<Want>>,
}

/// What a task sleeps for.
#[derive(Clone, Copy)]
struct Want {
    series: Series,
    /// The page, if it would do that somebody else maps it.
    page: Option<Frame>,
}

impl Book {
    /// Of a task that holds nothing.
    pub const fn new() -> Book {
        Book { held: [const { Cell::new(None) }; DEPTH], reserved: Cell::new(0), wants: Cell::new(None) }
    }

    fn slots(&self) -> impl Iterator<Item = usize> + Clone {
        self.held.iter().filter_map(|slot| slot.get().map(|slot| slot as usize))
    }

    fn depth(&self) -> u32 {
        self.slots().count() as u32
    }

    fn enter(&self, slot: usize) {
        let place = self.held.iter().find(|place| place.get().is_none());
        place.expect("a task holds no more kmaps than its path needs").set(Some(slot as u32));
    }

    fn strike(&self, slot: usize) {
        let place = self.held.iter().find(|place| place.get() == Some(slot as u32));
        place.expect("a slot is given back by the task that holds it").set(None);
    }
}

/// The next slot with count 0 of the selected pool, as the strategy finds it.
fn next(pool: Locked) -> (Locked, Option<usize>) {
    match PLAN.get().scheme {
        Scheme::BatchedRange => batched::next::<batched_range::Range>(pool),
        Scheme::SharedInvlpg => shared_invlpg::next(pool),
        _ => batched::next::<batched::Everything>(pool),
    }
}

/// May this task have a slot, as far as the reserves of all go? Takes it from the reserve.
fn admit(pool: &mut Pool, book: &Book) -> bool {
    let reserve = PLAN.get().reserve;
    if reserve == 0 {
        return true;
    }
    let free = pool.count.len() as u32 - pool.holds - pool.reserved;
    if book.reserved.get() > 0 {
        book.reserved.set(book.reserved.get() - 1);
        pool.reserved -= 1;
        return true;
    }
    if book.depth() > 0 {
        return free > 0;
    }
    let enough = free >= reserve;
    if enough {
        book.reserved.set(reserve - 1);
        pool.reserved += reserve - 1;
    }
    enough
}

/// Which slots will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One that maps the page already, of whatever pool.
    Mapped,
    /// Only a new one.
    Never,
}

/// What is done when no slot can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The task sleeps until there is one.
    Sleep,
    /// Nothing: there is none.
    Never,
}

/// A kernel address of `frame`, of a slot of `series` unless it has one that will do.
pub fn map(frame: Frame, series: Series, reuse: Reuse, wait: Wait) -> Option<u32> {
    if let Some(address) = direct_address(frame) {
        return Some(address);
    }
    let book = &current().kmaps;
    let mut pool = POOL.lock();
    let mut admitted = false;
    let slot = loop {
        admitted = admitted || admit(&mut pool, book);
        if admitted {
            if reuse == Reuse::Mapped && frame.page().kva() != 0 {
                break window::slot_of(frame.page().kva());
            }
            pool.select(series as usize);
            let found;
            (pool, found) = next(pool);
            if let Some(slot) = found {
                pool.place(slot, frame);
                if reuse == Reuse::Mapped {
                    frame.page().set_kva(window::address(slot));
                }
                break slot;
            }
        }
        if wait == Wait::Never {
            return None;
        }
        book.wants.set(Some(Want { series, page: (reuse == Reuse::Mapped).then_some(frame) }));
        pool = pool::sleep(pool);
        book.wants.set(None);
    };
    pool.count[slot] += 1;
    pool.holds += 1;
    book.enter(slot);
    Some(window::address(slot))
}

/// The calling task has done with an address of the window.
pub fn unmap(address: u32) {
    let slot = window::slot_of(address);
    let book = &current().kmaps;
    let mut pool = POOL.lock();
    assert!(pool.count[slot] >= 2, "kunmap of a page that nobody uses");
    pool.count[slot] -= 1;
    pool.holds -= 1;
    book.strike(slot);
    let last = pool.count[slot] == 1;
    if last && PLAN.get().scheme == Scheme::SharedInvlpg {
        shared_invlpg::unused(&mut pool, slot);
    }
    let reserve = PLAN.get().reserve;
    if reserve > 0 {
        let keeps = if book.depth() == 0 { 0 } else { reserve.saturating_sub(book.depth()) };
        pool.reserved = pool.reserved - book.reserved.replace(keeps) + keeps;
    }
    pool::wake(pool, last || reserve > 0);
}

/// See the module.
pub struct Pools;

impl Kmap for Pools {
    fn init(slots: usize) {
        match PLAN.get().scheme {
            Scheme::BatchedRange => batched_range::BatchedRange::init(slots),
            _ => pool::init(slots),
        }
        POOL.lock().divide(PLAN.get().pools);
    }

    fn map(frame: Frame, _: Use) -> u32 {
        match map(frame, Series::Default, Reuse::Mapped, Wait::Sleep) {
            Some(address) => address,
            None => unreachable!("a task that may sleep gets a slot"),
        }
    }

    fn unmap(frame: Frame, _: Use) {
        if !is_low(frame) {
            unmap(frame.page().kva());
        }
    }
}

/// What a pool comes to, for the watch.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Has it a slot that nobody uses?
    free: bool,
    /// Uses of its slots.
    uses: u32,
    /// Those by tasks that sleep for a slot.
    asleep: u32,
}

/// Ends the machine with the book if tasks wait for each other for ever. By `kwatch`.
pub fn watch() {
    let tasks = process::all();
    let pool = POOL.lock();
    if !pool.somebody_waits() || !is_stuck(&pool, &tasks) {
        return;
    }
    println!("\ndeadlock: no slot of the window will ever be given back");
    for task in tasks.iter() {
        let book = &task.kmaps;
        if let Some(want) = book.wants.get() {
            print!("task {} holds ", task.id);
            if book.depth() == 0 {
                print!("nothing");
            }
            for (i, slot) in book.slots().enumerate() {
                let and = if i == 0 { "" } else { " and " };
                print!("{and}slot {slot} ({})", pool.series_of(slot).name());
            }
            println!(" and waits for a slot of {}", want.series.name());
        }
    }
    debug::power_off(exit::DEADLOCK)
}

/// Is there a pool all of whose slots are held by tasks that wait for such a pool?
fn is_stuck(pool: &Pool, tasks: &Processes) -> bool {
    if PLAN.get().reserve > 0 {
        // Uses are what counts then, not slots: a page that somebody else maps is a use more, and what is reserved is nobody
        // else's. Who has some may go on until he wants one more than there are.
        let asleep = tasks.iter().filter(|task| task.kmaps.wants.get().is_some());
        let theirs: u32 = asleep.map(|task| task.kmaps.depth() + task.kmaps.reserved.get()).sum();
        return theirs == pool.holds + pool.reserved && theirs == pool.count.len() as u32;
    }
    let mut tally = [Tally::default(); POOLS];
    for (slot, &count) in pool.count.iter().enumerate() {
        let tally = &mut tally[pool.series_of(slot) as usize];
        tally.free |= count <= 1;
        tally.uses += u32::from(count).saturating_sub(1);
    }
    // A page that somebody else has mapped meanwhile is what its task waited for.
    let want = |task: &Task| task.kmaps.wants.get().filter(|w| w.page.is_none_or(|p| p.page().kva() == 0));
    let asleep = || tasks.iter().filter_map(|task| want(task).map(|want| (task, want.series as usize)));
    for (task, _) in asleep() {
        task.kmaps.slots().for_each(|slot| tally[pool.series_of(slot) as usize].asleep += 1);
    }
    let mut moves = tally.map(|t| t.free || t.uses > t.asleep);
    loop {
        let before = moves;
        for (task, _) in asleep().filter(|&(_, series)| before[series]) {
            task.kmaps.slots().for_each(|slot| moves[pool.series_of(slot) as usize] = true);
        }
        if moves == before {
            break;
        }
    }
    asleep().any(|(_, series)| !moves[series])
}
