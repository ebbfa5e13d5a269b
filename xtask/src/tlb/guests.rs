//! The guests, each a question to the manual about the life of a translation.
//! (SDM vol. 3A, "Caching Translation Information", and the sections named.)
//!
//! A processor may always forget a translation, so a stale one is what it *may* show; these guests are so short
//! that a processor with a TLB does. Where a machine is known to answer otherwise, `elsewhere` says what and why.

use super::Judge;
use super::image::*;
use iced_x86::code_asm::*;

/// A few instructions and what they must give.
pub struct Guest {
    /// What it asks.
    pub name: &'static str,
    /// The instructions.
    pub code: fn(&mut Code) -> Written,
    /// What it keeps here and on every judge; zeros behind.
    pub outcome: &'static [u32],
    /// Judges that give something else, and why.
    pub elsewhere: &'static [(Judge, &'static [u32], &'static str)],
}

/// Bits of a page-table entry.
const P_RW: u32 = 3;
const ACCESSED: u32 = 1 << 5;
const DIRTY: u32 = 1 << 6;
const LARGE: u32 = 1 << 7;
const GLOBAL: u32 = 1 << 8;

/// QEMU keeps no mark of global entries.
const QEMU_NO_GLOBAL: &str = "QEMU drops global entries, too, whenever CR3 is loaded";

/// All of them.
pub const GUESTS: &[Guest] = &[
    Guest {
        name: "a changed PTE is not seen before invlpg",
        code: |a| {
            paging(a, 0)?;
            look(a, WINDOW, 0)?;
            put(a, TABLE2, FRAME_B | P_RW)?;
            look(a, WINDOW, 1)?;
            invlpg(a, WINDOW)?;
            look(a, WINDOW, 2)
        },
        outcome: &[A, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "invlpg of one processor leaves the other stale",
        code: |a| {
            second(a, Order::Page)?;
            paging(a, 0)?;
            second_looks(a, 0)?;
            look(a, WINDOW, 1)?;
            put(a, TABLE2, FRAME_B | P_RW)?;
            invlpg(a, WINDOW)?;
            look(a, WINDOW, 1)?;
            second_looks(a, 2)?;
            second(a, Order::Invlpg)?;
            second_looks(a, 3)?;
            second(a, Order::Stop)
        },
        outcome: &[A, B, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "loading CR3 drops what is not global",
        code: |a| {
            paging(a, PGE)?;
            look(a, WINDOW, 0)?;
            put(a, TABLE2, FRAME_B | P_RW)?;
            look(a, WINDOW, 1)?;
            reload_cr3(a)?;
            look(a, WINDOW, 2)
        },
        outcome: &[A, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "a global entry survives loading CR3",
        code: |a| {
            global_window(a)?;
            reload_cr3(a)?;
            look(a, WINDOW, 2)
        },
        outcome: &[A, A, A],
        elsewhere: &[(Judge::Qemu, &[A, A, B], QEMU_NO_GLOBAL)],
    },
    Guest {
        name: "without CR4.PGE the bit G means nothing",
        code: |a| {
            paging(a, 0)?;
            put(a, TABLE2, FRAME_A | P_RW | GLOBAL)?;
            look(a, WINDOW, 0)?;
            put(a, TABLE2, FRAME_B | P_RW)?;
            reload_cr3(a)?;
            look(a, WINDOW, 1)
        },
        outcome: &[A, B],
        elsewhere: &[],
    },
    Guest {
        name: "a global entry dies by invlpg",
        code: |a| {
            global_window(a)?;
            invlpg(a, WINDOW)?;
            look(a, WINDOW, 2)
        },
        outcome: &[A, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "a global entry dies by CR4.PGE off and on",
        code: |a| {
            global_window(a)?;
            toggle_cr4(a, PGE)?;
            look(a, WINDOW, 2)
        },
        outcome: &[A, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "CR0.PG off and on drops all, global too",
        code: |a| {
            global_window(a)?;
            paging_off(a)?;
            paging(a, PGE)?;
            look(a, WINDOW, 2)
        },
        outcome: &[A, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "a change of CR4.PSE drops all, global too",
        code: |a| {
            global_window(a)?;
            toggle_cr4(a, PSE)?;
            look(a, WINDOW, 2)
        },
        outcome: &[A, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "CR4.PAE on with paging off, other tables",
        code: |a| {
            paging(a, 0)?;
            look(a, WINDOW, 0)?;
            paging_off(a)?;
            pae_tables(a)?;
            paging(a, PAE)?;
            look(a, WINDOW, 1)
        },
        outcome: &[A, C],
        elsewhere: &[],
    },
    Guest {
        name: "PDPTEs are read when CR3 is loaded, not by a walk",
        code: |a| {
            pae_tables(a)?;
            paging(a, PAE)?;
            look(a, WINDOW, 0)?;
            // The second directory maps linear 0 to 4 MiB and nothing else onto itself.
            put(a, DIRECTORY, (PAE_DIRECTORIES + 0x1000) | 1)?;
            invlpg(a, WINDOW)?;
            look(a, WINDOW, 1)?;
            reload_cr3(a)?;
            look(a, WINDOW, 2)
        },
        outcome: &[C, C, A],
        elsewhere: &[(Judge::Qemu, &[C, A, A], "QEMU reads PDPTEs in each walk")],
    },
    Guest {
        name: "invlpg within a 4 MiB page drops all of it",
        code: |a| {
            put(a, DIRECTORY + 4, WINDOW | P_RW | LARGE)?;
            paging(a, PSE)?;
            look(a, WINDOW + 0x30_0000, 0)?;
            put(a, DIRECTORY + 4, P_RW | LARGE)?;
            look(a, WINDOW + 0x30_0000, 1)?;
            invlpg(a, WINDOW + 0x12_3456)?;
            look(a, WINDOW + 0x30_0000, 2)
        },
        outcome: &[C, C, A],
        elsewhere: &[],
    },
    Guest {
        name: "a 4 MiB page stays after its PDE names a table",
        code: |a| {
            put(a, DIRECTORY + 4, P_RW | LARGE)?;
            paging(a, PSE)?;
            look(a, WINDOW + FRAME_A, 0)?;
            put(a, DIRECTORY + 4, TABLE3 | P_RW)?;
            look(a, WINDOW + FRAME_A, 1)?;
            invlpg(a, WINDOW + FRAME_A)?;
            look(a, WINDOW + FRAME_A, 2)
        },
        outcome: &[A, A, B],
        elsewhere: &[],
    },
    Guest {
        name: "a page made present needs no flush",
        code: |a| {
            put(a, TABLE2, FRAME_A)?;
            step_over_faults(a)?;
            paging(a, 0)?;
            // mov eax, [WINDOW] in five bytes: faults, is stepped over.
            let [b0, b1, b2, b3] = WINDOW.to_le_bytes();
            a.db(&[0xa1, b0, b1, b2, b3])?;
            look(a, FAULTS, 0)?;
            look(a, FAULT_CODE, 1)?;
            put(a, TABLE2, FRAME_A | P_RW)?;
            a.db(&[0xa1, b0, b1, b2, b3])?;
            keep(a, 2)?;
            look(a, FAULTS, 3)
        },
        outcome: &[1, 0, A, 1],
        elsewhere: &[],
    },
    Guest {
        name: "a right added without flush gives no lasting fault",
        code: |a| {
            put(a, TABLE2, FRAME_A | 1)?;
            paging(a, 0)?;
            look(a, WINDOW, 0)?;
            put(a, TABLE2, FRAME_A | P_RW)?;
            a.mov(eax, 0x77)?;
            store(a, WINDOW)?;
            look(a, FRAME_A, 1)?;
            // At most one fault, "spurious": the handler tries again, and the fault has dropped the translation.
            look(a, FAULTS, 2)
        },
        outcome: &[A, 0x77, 1],
        elsewhere: &[
            (Judge::Qemu, &[A, 0x77, 0], "QEMU walks again before it faults"),
            (Judge::Bochs, &[A, 0x77, 0], "Bochs walks again before it faults"),
        ],
    },
    Guest {
        name: "a right taken away is still there before invlpg",
        code: |a| {
            step_over_faults(a)?;
            paging(a, 0)?;
            a.mov(eax, 0x11)?;
            store(a, WINDOW)?;
            put(a, TABLE2, FRAME_A | 1)?;
            a.mov(eax, 0x22)?;
            store(a, WINDOW)?;
            look(a, FAULTS, 0)?;
            invlpg(a, WINDOW)?;
            a.mov(eax, 0x33)?;
            store(a, WINDOW)?;
            look(a, FAULTS, 1)?;
            look(a, FAULT_CODE, 2)?;
            look(a, FRAME_A, 3)
        },
        outcome: &[0, 1, 3, 0x22],
        elsewhere: &[],
    },
    Guest {
        name: "a fault drops the translation that faulted",
        code: |a| {
            // A read-only translation of frame A; a write through it faults, after which the PTE is walked again.
            put(a, TABLE2, FRAME_A | 1)?;
            step_over_faults(a)?;
            paging(a, 0)?;
            look(a, WINDOW, 0)?;
            put(a, TABLE2, FRAME_B | 1)?;
            look(a, WINDOW, 1)?;
            store(a, WINDOW)?;
            look(a, WINDOW, 2)?;
            look(a, FAULTS, 3)
        },
        outcome: &[A, A, B, 1],
        elsewhere: &[(Judge::Qemu, &[A, A, A, 1], "QEMU's walk for the write leaves what reads found")],
    },
    Guest {
        name: "A and D are set by the walk, and once",
        code: |a| {
            paging(a, 0)?;
            look(a, WINDOW, 0)?;
            look(a, TABLE2, 0)?;
            store(a, WINDOW)?;
            look(a, TABLE2, 1)?;
            // Cleared behind the processor's back they stay clear.
            put(a, TABLE2, FRAME_A | P_RW)?;
            store(a, WINDOW)?;
            look(a, TABLE2, 2)?;
            invlpg(a, WINDOW)?;
            look(a, WINDOW, 3)?;
            look(a, TABLE2, 3)
        },
        outcome: &[
            FRAME_A | P_RW | ACCESSED,
            FRAME_A | P_RW | ACCESSED | DIRTY,
            FRAME_A | P_RW,
            FRAME_A | P_RW | ACCESSED,
        ],
        elsewhere: &[],
    },
    Guest {
        name: "a PDE has A, and D only if it maps a page",
        code: |a| {
            paging(a, PSE)?;
            a.mov(eax, A)?;
            store(a, WINDOW)?;
            look(a, DIRECTORY + 4, 0)?;
            put(a, DIRECTORY + 4, P_RW | LARGE)?;
            invlpg(a, WINDOW)?;
            a.mov(eax, dword_ptr(WINDOW + FRAME_A))?;
            look(a, DIRECTORY + 4, 1)?;
            a.mov(eax, A)?;
            store(a, WINDOW + FRAME_A)?;
            look(a, DIRECTORY + 4, 2)
        },
        outcome: &[TABLE2 | 7 | ACCESSED, P_RW | LARGE | ACCESSED, P_RW | LARGE | ACCESSED | DIRTY],
        elsewhere: &[],
    },
    Guest {
        name: "a fault sets neither A nor D of the PTE",
        code: |a| {
            put(a, TABLE2, FRAME_A | 1)?;
            step_over_faults(a)?;
            paging(a, 0)?;
            store(a, WINDOW)?;
            look(a, FAULTS, 0)?;
            look(a, TABLE2, 1)
        },
        outcome: &[1, FRAME_A | 1],
        elsewhere: &[],
    },
    Guest {
        name: "code runs from its old frame before invlpg",
        code: |a| {
            // mov eax, 1; ret in frame A and mov eax, 2; ret in frame B.
            for (frame, n) in [(FRAME_A, 1), (FRAME_B, 2)] {
                put(a, frame, 0xb8 | n << 8)?;
                put(a, frame + 4, 0xc300)?;
            }
            paging(a, 0)?;
            for (n, change) in [None, Some(false), Some(true)].into_iter().enumerate() {
                if let Some(flush) = change {
                    put(a, TABLE2, FRAME_B | P_RW)?;
                    if flush {
                        invlpg(a, WINDOW)?;
                    }
                }
                a.mov(edx, WINDOW)?;
                a.call(edx)?;
                keep(a, n)?;
            }
            Ok(())
        },
        outcome: &[1, 1, 2],
        elsewhere: &[],
    },
];

/// A global translation of the window onto frame A, then a PTE that says frame B: the results so far are A, A.
fn global_window(a: &mut Code) -> Written {
    put(a, TABLE2, FRAME_A | P_RW | GLOBAL)?;
    paging(a, PGE)?;
    look(a, WINDOW, 0)?;
    put(a, TABLE2, FRAME_B | P_RW | GLOBAL)?;
    look(a, WINDOW, 1)
}

/// Tables with PAE in the place of the directory: the first directory maps linear 0 to 8 MiB onto itself but
/// [`WINDOW`], which it maps onto [`FRAME_C`]; the second is the same but for [`WINDOW`] onto [`FRAME_A`].
fn pae_tables(a: &mut Code) -> Written {
    for directory in [PAE_DIRECTORIES, PAE_DIRECTORIES + 0x1000] {
        for half in 0..2 {
            put(a, directory + 8 * half, half << 21 | LARGE | P_RW)?;
        }
        put(a, directory + 16, if directory == PAE_DIRECTORIES { TABLE2 } else { TABLE3 } | P_RW)?;
    }
    put(a, DIRECTORY + 4, 0)?;
    put(a, DIRECTORY, PAE_DIRECTORIES | 1)?;
    put(a, TABLE2, FRAME_C | P_RW)?;
    put(a, TABLE2 + 4, 0)?;
    put(a, TABLE3, FRAME_A | P_RW)?;
    put(a, TABLE3 + 4, 0)?;
    // Read when CR3 is loaded or paging begins.
    Ok(())
}
