//! What tasks do with kmaps, path by path: those of Linux 2.4 with page tables in high
//! memory, as named in the thread on pte-highmem, and those of the kernel here.

/// What a slot is for, and the pool that it comes from under `series`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page of a file or of user memory: DEFAULT.
    Page = 0,
    /// A page table: PAGETABLE.
    Table = 1,
    /// A second page table: PAGETABLE2.
    Table2 = 2,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        ["DEFAULT", "PAGETABLE", "PAGETABLE2"][self as usize]
    }
}

/// A step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Maps; sleeps until it can.
    Map(Kind),
    /// Ends the latest kmap.
    Unmap,
    /// Takes a page of memory; sleeps until there is one.
    Allocate,
    /// Gives a page of memory back.
    Free,
    /// `kmap/pair.rs`, `enter` and `leave`.
    Enter,
    /// See there.
    Leave,
}

use Kind::{Page, Table, Table2};
use Step::{Allocate, Enter, Free, Leave, Map, Unmap};

/// What a task does, from one end to the other.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// What it is called in traces.
    pub name: &'static str,
    /// Its steps.
    pub steps: &'static [Step],
}

/// `copy_page_range` as posted: the child's new table, then the parent's.
pub const FORK: Path = Path { name: "fork", steps: &[Map(Table), Map(Table2), Unmap, Unmap] };
/// The same in the order that `series-strict` asks for.
pub const FORK_IN_ORDER: Path = Path { name: "fork", steps: &[Map(Table2), Map(Table), Unmap, Unmap] };
/// `move_one_page` as posted: two tables of one pool.
pub const MREMAP: Path = Path { name: "mremap", steps: &[Map(Table), Map(Table), Unmap, Unmap] };
/// The same with a second pool.
pub const MREMAP_IN_ORDER: Path = Path { name: "mremap", steps: &[Map(Table2), Map(Table), Unmap, Unmap] };
/// `handle_mm_fault`: the table stays mapped while a page is allocated.
pub const FAULT: Path = Path { name: "a fault", steps: &[Map(Table), Allocate, Unmap] };
/// A fault in a hole of a file: the new page is mapped to be cleared.
pub const HOLE: Path =
    Path { name: "a fault in a hole", steps: &[Map(Table), Allocate, Map(Page), Unmap, Unmap] };
/// `file_read_actor`: a page of the file stays mapped while the copy to the user faults.
pub const READ: Path =
    Path { name: "a read that faults", steps: &[Map(Page), Map(Table), Allocate, Unmap, Unmap] };
/// The same, and the fault is in a hole.
pub const READ_HOLE: Path = Path {
    name: "a read that faults in a hole",
    steps: &[Map(Page), Map(Table), Allocate, Map(Page), Unmap, Unmap, Unmap],
};
/// The daemon that swaps out.
pub(super) const SWAP: Path = Path { name: "the swap-out", steps: &[Map(Table), Free, Unmap] };

/// One page at a time, as the kernel here uses files.
pub const ONE: Path = Path { name: "a read", steps: &[Map(Page), Unmap] };
/// A copy of a page, as the kernel here does it.
pub const COPY: Path = Path { name: "a copy", steps: &[Enter, Map(Page), Map(Page), Unmap, Unmap, Leave] };
/// The same without asking for the right to two.
pub const COPY_UNGATED: Path = Path { name: "a copy", steps: &[Map(Page), Map(Page), Unmap, Unmap] };
