//! Where everything of the guest lies in physical memory, and the form of what it reads and writes.
//!
//! ```text
//!  0010_0000  harness                        0040_0000  arena: all that a case may change
//!  0012_0000  variables                      0060_0000  cases, 256 bytes each
//!  0013_0000  what the arena is put back to  0100_0000  results, where nobody takes them from the port
//!  0015_0000  tables that map all this
//!  0017_0000  IDT, operands                  ffe0_0000  ROM with all that is filled at the beginning
//! ```

/// The image that is loaded begins here: harness, variables, tables.
pub const IMAGE: u32 = 0x10_0000;
/// Its bytes.
pub const IMAGE_BYTES: usize = 0x8_0000;
/// Bytes of the ROM: the image, the cases, and at the end what copies them into RAM.
pub const ROM_BYTES: usize = 0x20_0000;
/// Bytes of its last part.
pub const BOOT_BYTES: usize = 0x1_0000;
/// Variables of the harness.
pub const VARS: u32 = 0x12_0000;
/// The record in the making, [`record`].
pub const SAVE: u32 = VARS + 0x100;
/// The case that runs.
pub const STAGE: u32 = VARS + 0x1000;
/// The harness's own stack.
pub const STACK_TOP: u32 = 0x12_8000;
/// The arena's first state.
pub const PRISTINE: u32 = 0x13_0000;
/// Page tables of the identity map.
pub const IDENTITY: u32 = 0x15_0000;
/// The interrupt descriptor table.
pub const IDT: u32 = 0x17_0000;
/// Operands for `lgdt` and `lidt`, 8 bytes each: first [`OPERAND_COUNT`] for the one, then as many for the other.
pub const OPERANDS: u32 = 0x17_1000;
/// The TSS of double faults.
pub const FAULT_TSS: u32 = 0x17_2000;
/// How many of each.
pub const OPERAND_COUNT: u32 = 4;
/// The arena, at the beginning of a large page.
pub const ARENA: u32 = 0x40_0000;
/// Bytes of it.
pub const ARENA_BYTES: u32 = 0x1_0000;
/// The cases.
pub const CASES: u32 = 0x60_0000;
/// The results.
pub const RESULTS: u32 = 0x100_0000;
/// Bytes of RAM.
pub const MEMORY: u32 = 0x300_0000;
/// What comes before the results where they go to the port.
pub const MAGIC: &[u8; 16] = b"\nfuzz-diff guest";

/// Offsets in the arena.
pub mod arena {
    /// Two pages of code, filled with `int3`.
    pub const CODE: u32 = 0;
    /// Three pages of data.
    pub const DATA: u32 = 0x2000;
    /// Bytes of code and data.
    pub const FRAMES: u32 = 0x5000;
    /// The stacks of rings 0, 1 and 2, 400h bytes each.
    pub const STACKS: u32 = 0x5000;
    /// The GDT.
    pub const GDT: u32 = 0x5c00;
    /// Entries of the GDT.
    pub const GDT_ENTRIES: u32 = 48;
    /// The LDT.
    pub const LDT: u32 = 0x5e00;
    /// Entries of the LDT.
    pub const LDT_ENTRIES: u32 = 16;
    /// The TSS.
    pub const TSS: u32 = 0x5f00;
    /// A TSS that cases may switch to.
    pub const OTHER_TSS: u32 = 0x5f80;
    /// The page directory (with PAE the one of the first GiB).
    pub const DIRECTORY: u32 = 0x8000;
    /// The page-directory pointers.
    pub const POINTERS: u32 = 0x7000;
    /// Page tables: that of address 0, then one for each window.
    pub const TABLES: u32 = 0x9000;
}

/// Offsets among the variables.
pub mod var {
    /// Number of the case that runs.
    pub const INDEX: u32 = 0;
    /// Number of cases.
    pub const COUNT: u32 = 4;
    /// Results go to port E9 if this is not 0.
    pub const STREAM: u32 = 8;
    /// Where the next result goes.
    pub const RESULT: u32 = 12;
    /// CR3 of the cases.
    pub const CR3: u32 = 20;
    /// CR4 between cases.
    pub const CR4: u32 = 24;
    /// Far pointer to the case.
    pub const FAR: u32 = 28;
    /// EBX, ESI and DS of the case.
    pub const EBX: u32 = 36;
    /// ESI.
    pub const ESI: u32 = 40;
    /// DS.
    pub const DS: u32 = 44;
    /// Where the code of the case lies.
    pub const CODE: u32 = 48;
    /// Anything.
    pub const SCRATCH: u32 = 52;
    /// Pieces of the arena that are compared: address, dwords; ends with 0.
    pub const PIECES: u32 = 0x40;
}

/// Offsets in a case.
pub mod case {
    /// 0: left out; see [`super::Entry`].
    pub const ENTRY: u32 = 0;
    /// Where its code lies.
    pub const CODE_AT: u32 = 4;
    /// CR0.
    pub const CR0: u32 = 8;
    /// CR4.
    pub const CR4: u32 = 12;
    /// CR2.
    pub const CR2: u32 = 16;
    /// LDT selector.
    pub const LDT: u32 = 20;
    /// EFLAGS.
    pub const FLAGS: u32 = 24;
    /// EIP.
    pub const EIP: u32 = 28;
    /// CS, DS, ES, FS, GS, a dword each.
    pub const CS: u32 = 32;
    /// DS.
    pub const DS: u32 = 36;
    /// ES.
    pub const ES: u32 = 40;
    /// FS.
    pub const FS: u32 = 44;
    /// GS.
    pub const GS: u32 = 48;
    /// EAX, ECX, EDX, EBX, EBP, ESI, EDI.
    pub const EAX: u32 = 52;
    /// ECX.
    pub const ECX: u32 = 56;
    /// EDX.
    pub const EDX: u32 = 60;
    /// EBX.
    pub const EBX: u32 = 64;
    /// EBP.
    pub const EBP: u32 = 68;
    /// ESI.
    pub const ESI: u32 = 72;
    /// EDI.
    pub const EDI: u32 = 76;
    /// ESP, then SS.
    pub const ESP: u32 = 80;
    /// SS.
    pub const SS: u32 = 84;
    /// The instructions and `int3` to the end.
    pub const CODE: u32 = 96;
    /// Most bytes of it.
    pub const CODE_BYTES: usize = 64;
    /// Bytes of a case.
    pub const BYTES: u32 = 256;
}

/// How a case begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// By a far jump in ring 0.
    Same = 1,
    /// By `iret` to an outer ring.
    Outer = 2,
    /// By `iret` to virtual-8086 mode.
    V86 = 3,
}

/// Dwords of a result.
pub mod record {
    /// Number of the case.
    pub const INDEX: usize = 0;
    /// Vector; bit 8: its gate is of 16 bits.
    pub const INFO: usize = 1;
    /// Error code.
    pub const ERROR: usize = 2;
    /// Saved EIP.
    pub const EIP: usize = 3;
    /// Saved CS.
    pub const CS: usize = 4;
    /// Saved EFLAGS.
    pub const FLAGS: usize = 5;
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub const EAX: usize = 6;
    /// ES.
    pub const ES: usize = 14;
    /// SS.
    pub const SS: usize = 15;
    /// DS.
    pub const DS: usize = 16;
    /// FS.
    pub const FS: usize = 17;
    /// GS.
    pub const GS: usize = 18;
    /// CR0, CR2, CR3, CR4.
    pub const CR0: usize = 19;
    /// CR2.
    pub const CR2: usize = 20;
    /// CR3.
    pub const CR3: usize = 21;
    /// CR4.
    pub const CR4: usize = 22;
    /// LDTR, and TR in the upper half.
    pub const SYSTEM: usize = 23;
    /// GDTR: limit in the upper half of the first dword, base.
    pub const GDTR: usize = 24;
    /// IDTR, likewise.
    pub const IDTR: usize = 26;
    /// DR0 to DR3, DR6, DR7.
    pub const DR: usize = 28;
    /// How many dwords of the arena changed.
    pub const CHANGES: usize = 34;
    /// Address and value of each.
    pub const HEAD: usize = 35;
    /// Most that are reported.
    pub const MOST_CHANGES: usize = 64;
    /// Names, for reports.
    pub const NAMES: [&str; HEAD] = [
        "case",
        "vector",
        "error code",
        "eip",
        "cs",
        "eflags",
        "eax",
        "ecx",
        "edx",
        "ebx",
        "esp",
        "ebp",
        "esi",
        "edi",
        "es",
        "ss",
        "ds",
        "fs",
        "gs",
        "cr0",
        "cr2",
        "cr3",
        "cr4",
        "ldtr and tr",
        "gdtr limit",
        "gdtr base",
        "idtr limit",
        "idtr base",
        "dr0",
        "dr1",
        "dr2",
        "dr3",
        "dr6",
        "dr7",
        "changes",
    ];
}

/// Selectors of the harness.
pub mod selector {
    /// Its code.
    pub const CODE: u32 = 0x08;
    /// Its data.
    pub const DATA: u32 = 0x10;
    /// The TSS.
    pub const TSS: u32 = 0x18;
    /// The LDT.
    pub const LDT: u32 = 0x20;
    /// Its code, with the base at [`super::IMAGE`]: gates of 16 bits reach it.
    pub const LOW_CODE: u32 = 0x28;
    /// The first one for cases: code, then stacks.
    pub const FIRST: u32 = 0x30;
    /// A TSS for cases.
    pub const OTHER_TSS: u32 = 0xb0;
    /// A task gate to it.
    pub const TASK_GATE: u32 = 0xb8;
    /// The TSS of double faults.
    pub const FAULT_TSS: u32 = 0xc0;
    /// The first one of any kind.
    pub const ANY: u32 = 0xc8;
}
