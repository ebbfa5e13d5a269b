//! Every linear region of the kernel, drawn.
//!
//! ```text
//! 0xFFFF_FFFF +---------------------------------------------+
//!             | free                                        |
//! 0xFF80_0000 | LAPIC_BASE: registers of the local APIC     |  one page, uncached
//! 0xFF40_0000 | ATOMIC_BASE: per-CPU kmap slots             |  64 CPUs x 16 slots
//! 0xFF00_0000 | hole                                        |
//! 0xFE80_0000 | IMAGE_BASE: physical 0..8 MiB               |  large global pages; the kernel is at +1 MiB
//! 0xFE00_0000 | hole                                        |
//!             | the shared kmap window (batched, deferred)  |  ends at WINDOW_END, `window=` slots
//!             | hole                                        |
//!             | direct map of DMA and NORMAL                |  large global pages
//! page_offset +---------------------------------------------+
//!             | kmap slots of each address space            |  4 MiB, with task-window and copy-clear only
//! user_end    +---------------------------------------------+
//!             | user                                        |
//!             |   stack, growing down from the top         |
//!   mmap_base |   anonymous memory, mapped files            |  a third of the user half from its beginning
//! 0x0800_0000 |   the program                               |
//! 0x0000_0000 +---------------------------------------------+
//! ```
//!
//! The split between user and kernel (`split=`) is set once at boot (`arch/split.rs`).

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::arch::split;
use crate::kmap::axes::named;

named! {
    /// What of the 4 GiB of linear addresses is the user's. A multiple of 1 GiB, so that PAE kernels share whole page
    /// directories.
    Split {
        /// 3 GiB, and the kernel's 1 GiB.
        ThreeG "3g",
        /// 2 GiB each.
        TwoG "2g",
        /// 1 GiB, and the kernel's 3 GiB.
        OneG "1g",
    }
}

/// Bytes of a page.
pub const PAGE_SIZE: u32 = 4096;

/// Where physical 0 appears in the window that holds the kernel image.
pub const IMAGE_BASE: u32 = 0xFE80_0000;
/// Bytes of physical memory seen through [`IMAGE_BASE`].
pub const IMAGE_SPAN: u32 = 8 << 20;
/// Where the boot page tables map physical memory, up to [`WINDOW_END`], until `mm::init` has built the real ones.
pub const BOOT_DIRECT_BASE: u32 = 0xC000_0000;

/// First address above the shared kmap window.
pub const WINDOW_END: u32 = 0xFE00_0000;
/// Per-CPU atomic kmap slots.
pub const ATOMIC_BASE: u32 = 0xFF40_0000;
/// Registers of the local APIC.
pub const LAPIC_BASE: u32 = 0xFF80_0000;
/// Physical address of the local APIC's registers after reset.
pub const LAPIC_PHYS: u32 = 0xFEE0_0000;

/// Bytes reserved for a user stack, filled on demand.
pub const USER_STACK_SIZE: u32 = 256 << 10;

/// Physical page of the application processors' real-mode code: below 1 MiB, page aligned.
pub const TRAMPOLINE_PHYS: u32 = 0x8000;

static MMAP_BASE: AtomicU32 = AtomicU32::new(0x4000_0000);
/// Bytes at the top of the user half that the kernel keeps: what one page-table page maps, or nothing.
static PRIVATE: AtomicU32 = AtomicU32::new(0);
/// A multiple of what a page-table page maps in either format.
const PRIVATE_SPAN: u32 = 4 << 20;

/// Obeys `split=`; before anything uses the direct map.
pub fn set_split(split: Split) {
    let end: u32 = match split {
        Split::ThreeG => 0xC000_0000,
        Split::TwoG => 0x8000_0000,
        Split::OneG => 0x4000_0000,
    };
    split::set_page_offset(end);
    // TASK_UNMAPPED_BASE of Linux.
    MMAP_BASE.store(end / 3 / PAGE_SIZE * PAGE_SIZE, Relaxed);
}

/// Lowest address that `mmap` gives out.
pub fn mmap_base() -> u32 {
    MMAP_BASE.load(Relaxed)
}

/// Where the direct map begins and user space ends.
#[inline(always)]
pub fn page_offset() -> u32 {
    split::page_offset()
}

/// Whether each address space has kmap slots of its own; at boot, before there is one.
pub fn set_private(wanted: bool) {
    PRIVATE.store(if wanted { PRIVATE_SPAN } else { 0 }, Relaxed);
}

/// Whether each address space has kmap slots of its own.
pub fn has_private() -> bool {
    PRIVATE.load(Relaxed) != 0
}

/// Where they begin, if there are any.
pub fn private_base() -> u32 {
    page_offset() - PRIVATE_SPAN
}

/// First address that is not the user's.
pub fn user_end() -> u32 {
    page_offset() - PRIVATE.load(Relaxed)
}

/// First address above the user stack.
pub fn user_stack_top() -> u32 {
    user_end() - PAGE_SIZE
}

/// Linear address of a physical one in DMA or NORMAL, through the direct map.
#[inline(always)]
pub fn direct(phys: u32) -> *mut u8 {
    split::direct(phys) as *mut u8
}

/// Linear address of a physical one below [`IMAGE_SPAN`]; good before and after the real page tables are in use.
pub fn low_phys(phys: u32) -> *mut u8 {
    assert!(phys < IMAGE_SPAN, "physical address {phys:#x} is not in the image window");
    (IMAGE_BASE + phys) as *mut u8
}

unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
}

/// Physical range of the kernel image, its bss and boot stack included; whole pages.
pub fn image_phys() -> core::ops::Range<u32> {
    (&raw const image_start) as u32 - IMAGE_BASE..(&raw const image_end) as u32 - IMAGE_BASE
}
