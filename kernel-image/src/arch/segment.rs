//! Descriptor tables (SDM vol. 3A, "Protected-Mode Memory Management"): flat
//! segments for two rings, and per processor a TSS that does one thing, which is
//! to say where the kernel stack is when ring 3 is left.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::size_of;

use crate::param::NCPU;

/// Selectors; the low two bits are the privilege level asked for.
pub const KERNEL_CODE: u16 = 0x08;
pub const KERNEL_DATA: u16 = 0x10;
pub const USER_CODE: u16 = 0x18 | 3;
pub const USER_DATA: u16 = 0x20 | 3;
const TSS: u16 = 0x28;

/// 4 GiB from 0, 32-bit, accessed; type and level are added.
const FLAT: u64 = 0x00cf_9100_0000_ffff;
const WRITABLE: u64 = 1 << 41;
const CODE: u64 = 1 << 43;
const RING_3: u64 = 3 << 45;

/// The part of the 32-bit TSS that is used, at its offsets.
#[repr(C)]
struct TaskState {
    link: u32,
    esp0: u32,
    ss0: u32,
    unused: [u32; 22],
    /// High half: offset of the I/O map; behind the limit, so ring 3 has no ports.
    io_map: u32,
}

#[repr(C, align(64))]
struct Tables {
    gdt: [u64; 6],
    tss: TaskState,
}

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u32,
}

/// A processor reads and writes its own element only.
struct PerCpu([UnsafeCell<Tables>; NCPU]);

// SAFETY: see `PerCpu`.
unsafe impl Sync for PerCpu {}

static TABLES: PerCpu = PerCpu([const { UnsafeCell::new(EMPTY) }; NCPU]);

const EMPTY: Tables = Tables {
    gdt: [
        0,
        FLAT | CODE | WRITABLE,
        FLAT | WRITABLE,
        FLAT | CODE | WRITABLE | RING_3,
        FLAT | WRITABLE | RING_3,
        0,
    ],
    tss: TaskState {
        link: 0,
        esp0: 0,
        ss0: KERNEL_DATA as u32,
        unused: [0; 22],
        io_map: (size_of::<TaskState>() as u32) << 16,
    },
};

/// Loads this processor's tables.
pub fn init(cpu: usize) {
    let tables = TABLES.0[cpu].get();
    // SAFETY: the element is this processor's own; the new descriptors describe the same flat segments that are in use.
    unsafe {
        let base = (&raw const (*tables).tss) as u64;
        let limit = size_of::<TaskState>() as u64 - 1;
        // Present, 32-bit available TSS.
        (*tables).gdt[TSS as usize / 8] = limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24) << 56;
        let pointer =
            Pointer { limit: size_of::<[u64; 6]>() as u16 - 1, base: (&raw const (*tables).gdt) as u32 };
        asm!(
            "lgdt [{pointer}]",
            "push {code}",
            "lea {scratch}, [2f]",
            "push {scratch}",
            "retf",
            "2:",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            "mov fs, {null:e}",
            "mov gs, {null:e}",
            "ltr {tss:x}",
            pointer = in(reg) &raw const pointer,
            code = const KERNEL_CODE as u32,
            scratch = out(reg) _,
            data = in(reg) KERNEL_DATA as u32,
            null = in(reg) 0,
            tss = in(reg) TSS as u32,
        );
    }
}

/// Ring 3 enters the kernel at this stack from now on.
#[inline]
pub fn set_kernel_stack(cpu: usize, top: u32) {
    // SAFETY: the element is this processor's own, and it is in ring 0.
    unsafe { (*TABLES.0[cpu].get()).tss.esp0 = top }
}
