//! Memory management.
//!
//! ```text
//!  zones          RAM -> DMA, NORMAL, HIGHMEM; place of the page array (boot)
//!  page, frame    struct page and the allocator
//!  page_table     both formats: look up, create, write; never flushes
//!  kernel_space   the kernel half that all address spaces share
//!  area           what a process may touch: the list of its areas
//!  address_space  root and areas of a process, its threads, who has it loaded
//!  tables         its page tables: reach, make, change one PTE
//!  fault, fork, protect, mremap, user, peek: on top of it
//!  large          shared memory in large pages, without page tables
//!  swap, reclaim  the swap device; who has to go there
//!  device, bounce what is written there; what it does not reach
//!  swapped        what that means for PTEs; spaces: whose they are
//!  switch, flush  what a context switch and an invalidation do to TLBs
//!  page_cache     files; stored: those that are larger than memory
//! ```
//!
//! Kernel stacks and the kernel's own tables are in low memory, and page tables
//! unless `pte=` says otherwise (`ptemap`). Everything else comes from HIGHMEM first and is reached through
//! `kmap`.

mod address_space;
mod area;
pub mod bounce;
mod device;
pub mod fault;
pub mod flush;
mod fork;
pub mod frame;
pub mod kernel_space;
mod large;
mod mremap;
mod page;
pub mod page_cache;
pub mod page_table;
pub mod peek;
mod protect;
mod reclaim;
pub mod spaces;
mod stored;
pub mod swap;
mod swapped;
mod switch;
mod tables;
pub mod user;
mod zones;

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub use address_space::{AddressSpace, Visit};
pub use area::{MapError, Origin, Protection, Sharing};
pub use fork::fork;
pub use large::ShmPages;
pub use mremap::mremap;
pub use page::Frame;
pub use protect::protect;
pub use swapped::Mapped;
pub use switch::{is_lazy, is_loaded, switch};

use crate::arch::{insn, paging};
use crate::cmdline::{self, Paging};
use crate::kmap;
use crate::{memlayout, planted};
use page_table::Format;

/// First frame behind the direct map.
static LOW_FRAMES: AtomicU32 = AtomicU32::new(0);

/// Does the direct map reach this frame?
#[inline(always)]
pub fn is_low(frame: Frame) -> bool {
    frame.0 < LOW_FRAMES.load(Relaxed)
}

/// Where the direct map shows a physical address of low memory.
#[inline(always)]
pub fn direct_map(phys: u32) -> *mut u8 {
    memlayout::direct(phys)
}

/// Divides RAM, builds the kernel's page tables, turns them on and prepares the chosen kmap strategy.
/// On the boot processor, with interrupts off, on the boot page tables.
pub fn init() {
    let options = cmdline::options();
    let format = match options.paging {
        Paging::TwoLevel => Format::TwoLevel,
        Paging::Pae => Format::Pae,
    };
    page_table::set_format(format);
    planted::init(options);
    let slots = kmap::slots(options, format);
    let window = kmap::window::start_for(slots);
    let low_end = zones::init(options, format, slots, window);
    kernel_space::build(low_end, window);
    let (cr3, cr4) = kernel_root();
    paging::enter(cr3, cr4);
    kmap::init(options, window, slots);
    device::init(options);
    swap::init();
    bounce::init(options);
    kmap::cpu_up(0);
}

/// CR3 and CR4 with which a processor that comes up turns paging on; CR0 needs PG and WP. The
/// tables show physical 0..4 MiB at linear 0 too.
pub fn kernel_root() -> (u32, u32) {
    let pae = match page_table::format() {
        Format::TwoLevel => 0,
        Format::Pae => insn::CR4_PAE,
    };
    (kernel_space::root(), insn::CR4_PSE | insn::CR4_PGE | pae)
}

/// Called on a processor that comes up, with interrupts off, after it is in the online mask: from
/// then on it is waited for, and what it has in its TLB from before goes now.
pub fn cpu_up(cpu: usize) {
    kmap::cpu_up(cpu);
    flush::local_global();
}
