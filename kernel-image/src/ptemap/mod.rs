//! How the page tables of user address spaces are reached (`pte=`).
//!
//! | file      | page tables lie in | a table gets its address from       | who waits for what |
//! |-----------|--------------------|-------------------------------------|--------------------|
//! | `lowmem`  | low memory         | the direct map                      | nobody             |
//! | `atomic`  | HIGHMEM first      | two slots of the processor's own    | nobody; nobody sleeps meanwhile |
//! | `kmap`    | HIGHMEM first      | the shared window                   | holders of one slot for holders of one slot |
//! | `nowait`  | HIGHMEM first      | the window; a slot as in `atomic` if it is full | nobody; nobody sleeps meanwhile |
//! | `series`  | HIGHMEM first      | three pools that have pages in common | as in `kmap`, when pages change pools |
//! | `series_strict` | HIGHMEM first | three pools                        | holders of one pool for the next, in one order |
//! | `reserve` | HIGHMEM first      | the window                          | who holds none for who holds some |
//!
//! Only the lowest level may lie in high memory, as with Linux' `highpte`: roots
//! and page directories are few, and a walk of the hardware needs no mapping. A
//! private table (`mm/kernel_space.rs`) and the tables of the kernel half stay low.
//!
//! Rules. A [`Table`] is used by the task that mapped it. Mapping one may sleep
//! under some schemes, so no spinlock is held; while it is mapped, its task may
//! sleep only in [`Table::across`]. A table lives as long as its space, so an
//! address that had to be given up there is found again. Paths that need two
//! tables say so by their [`Role`], in the order child then parent (fork), old
//! place then new place (`mremap`); nobody needs three.
//!
//! The set is closed: a scheme is chosen at boot, and `match` reaches it.

mod atomic;
mod kmap;
mod lowmem;
mod nowait;
mod reserve;
mod series;
mod series_strict;

use crate::cmdline::options;
use crate::kmap::axes::{Scheme as Strategy, named};
use crate::kmap::pools::{POOLS, Plan};
use crate::memlayout::PAGE_SIZE;
use crate::mm::frame::{self, Want};
use crate::mm::page_table::{self, Slot};
use crate::mm::{Frame, kernel_space, swap};

named! {
    /// The schemes, by the values of `pte=`.
    Scheme {
        /// In low memory.
        Lowmem "lowmem",
        /// In high memory, by slots of the processor's own.
        Atomic "atomic",
        /// In high memory, by the window and from one pool.
        Kmap "kmap",
        /// The same if nobody has to wait, else by slots of the processor's own.
        Nowait "nowait",
        /// By the window and from pools of their own.
        Series "series",
        /// The same, with nothing in common between the pools.
        SeriesStrict "series-strict",
        /// By the window, from one pool, with slots reserved.
        Reserve "reserve",
    }
}

impl Scheme {
    /// How the window of a strategy is used, if page tables use it. `reserve`: slots that tasks reserve, where they do.
    pub fn pools(self, scheme: Strategy, reserve: u32) -> Option<Plan> {
        let plan = Plan { scheme, pools: 1, reserve: 0 };
        match self {
            Scheme::Lowmem | Scheme::Atomic => None,
            Scheme::Kmap | Scheme::Nowait => Some(plan),
            Scheme::Series | Scheme::SeriesStrict => Some(Plan { pools: POOLS, ..plan }),
            Scheme::Reserve => Some(Plan { reserve, ..plan }),
        }
    }
}

/// Which table of which path is mapped: what its slot is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A look and no more, by a task that may have a page mapped.
    Look,
    /// Of any space, by reclaim, whose task may have tables of its own mapped.
    Reclaim,
    /// The path needs no other.
    Only,
    /// In fork, the child's: mapped first.
    ForkChild,
    /// In fork, the parent's.
    ForkParent,
    /// In `mremap`, where pages were: mapped first.
    MoveFrom,
    /// In `mremap`, where they go.
    MoveTo,
}

impl Role {
    /// Is another table mapped already?
    const fn is_second(self) -> bool {
        matches!(self, Role::ForkParent | Role::MoveTo)
    }
}

/// What a scheme does. All are unit types.
trait PteMap {
    /// May a task sleep while it has a table mapped?
    const MAY_SLEEP: bool;

    /// A kernel address of the table in `frame`, good for the calling task until `unmap`.
    fn map(frame: Frame, role: Role) -> u32;

    /// The calling task has done with the address that `map` gave.
    fn unmap(frame: Frame, role: Role, address: u32);
}

/// Evaluates an expression with `$s` standing for the type of the chosen scheme.
macro_rules! chosen {
    ($role:expr, $s:ident => $e:expr) => {
        match scheme_for($role) {
            Scheme::Lowmem => {
                type $s = lowmem::Lowmem;
                $e
            }
            Scheme::Atomic => {
                type $s = atomic::Atomic;
                $e
            }
            Scheme::Kmap => {
                type $s = kmap::Kmap;
                $e
            }
            Scheme::Nowait => {
                type $s = nowait::Nowait;
                $e
            }
            Scheme::Series => {
                type $s = series::Series;
                $e
            }
            Scheme::SeriesStrict => {
                type $s = series_strict::SeriesStrict;
                $e
            }
            Scheme::Reserve => {
                type $s = reserve::Reserve;
                $e
            }
        }
    };
}

/// The scheme of a role: who only looks never waits, and reclaim neither. By a kmap that sleeps it would wait for slots whose
/// holders wait for memory, which reclaim alone makes: so the swap-out of pte-highmem was amended, too.
#[inline]
fn scheme_for(role: Role) -> Scheme {
    match options().pte {
        Scheme::Lowmem => Scheme::Lowmem,
        _ if matches!(role, Role::Look | Role::Reclaim) => Scheme::Atomic,
        chosen => chosen,
    }
}

/// A page table with a kernel address, until it is dropped.
#[must_use]
pub struct Table {
    frame: Frame,
    role: Role,
    address: u32,
}

impl Table {
    /// Maps the page table in `frame`. See the rules above for when that may be done.
    #[inline]
    pub fn map(frame: Frame, role: Role) -> Table {
        Table { frame, role, address: chosen!(role, S => S::map(frame, role)) }
    }

    /// The PTE of a user address that this table maps.
    #[inline]
    pub fn slot(&self, address: u32) -> Slot<'_> {
        // SAFETY: the table is mapped as long as `self` is borrowed.
        unsafe { Slot::mapped(self.address as *mut u8, page_table::table_index(address)) }
    }

    /// Does something that may sleep: the table stays mapped if the scheme allows that, and is mapped again afterwards if
    /// not. What its entries were before may be out of date.
    pub fn across<R>(&mut self, f: impl FnOnce() -> R) -> R {
        if chosen!(self.role, S => S::MAY_SLEEP) {
            return f();
        }
        chosen!(self.role, S => S::unmap(self.frame, self.role, self.address));
        let result = f();
        self.address = chosen!(self.role, S => S::map(self.frame, self.role));
        result
    }
}

impl Drop for Table {
    #[inline]
    fn drop(&mut self) {
        chosen!(self.role, S => S::unmap(self.frame, self.role, self.address));
    }
}

/// A frame full of zeros for a page table. With no table mapped: it may sleep.
pub fn new_table() -> Option<Frame> {
    if options().pte == Scheme::Lowmem {
        return kernel_space::cleared_table();
    }
    // Where user memory is reclaimed, low memory is kept for this.
    let low = || swap::is_on().then(|| frame::alloc(Want::Low)).flatten();
    let frame = frame::alloc(Want::High).or_else(low)?;
    let table = Table::map(frame, Role::Only);
    // SAFETY: the frame is this function's alone and mapped for one page.
    unsafe { (table.address as *mut u32).write_bytes(0, PAGE_SIZE as usize / 4) };
    Some(frame)
}
