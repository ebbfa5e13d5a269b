//! Puts a kernel and its modules into memory as a Multiboot loader would.
//!
//! All reading and checking comes first ([`load`]); what it gives is a list of
//! writes ([`Image`]), so a refused kernel leaves no trace in guest memory.
//!
//! ```text
//!  0000 9000   Multiboot information, memory map, module list, strings
//!  0010 0000   kernel, at the physical addresses of its segments
//!  next page   modules, each on a page boundary
//! ```
//!
//! RAM must be zero before: the parts of a segment that are not in the file are
//! not written.

mod elf;
mod multiboot;

use thiserror::Error;

pub use crate::bus::ram::LOW_RAM_END;
use crate::bus::ram::MAX_ROM;
/// Bytes of the hole between [`LOW_RAM_END`] and 4 GiB.
pub const HOLE_BYTES: u64 = FOUR_GIB - LOW_RAM_END;
const FOUR_GIB: u64 = 1 << 32;
/// What 36-bit physical addresses reach; RAM that the hole pushes beyond it cannot be used.
const PHYSICAL_END: u64 = 1 << 36;
/// End of the conventional memory that a kernel may use; 1 KiB of firmware data follows, up to 640 KiB.
pub const CONVENTIONAL_END: u64 = 0x9_fc00;
/// Start of the firmware area below 1 MiB.
const FIRMWARE: u64 = 0xe_0000;
/// Start of RAM beyond the first megabyte.
pub const HIGH_START: u64 = 0x10_0000;
/// Where the Multiboot information goes when the kernel leaves that room free.
const INFO_START: u64 = 0x9000;
const PAGE: u64 = 4096;

/// Why a kernel cannot be started. Every message is one line that begins with the file's name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LoadError {
    /// Not an ELF file, and no header that gives load addresses.
    #[error("{file}: not an ELF file; accepted is a 32-bit i386 ELF executable with a Multiboot header")]
    NotElf {
        /// The file.
        file: String,
    },
    /// A 64-bit ELF.
    #[error("{file}: a 64-bit ELF file; accepted is a 32-bit i386 ELF executable")]
    Elf64 {
        /// The file.
        file: String,
    },
    /// An ELF file for another processor or purpose.
    #[error("{file}: {what}; accepted is an i386 ELF executable")]
    WrongElf {
        /// The file.
        file: String,
        /// What it is instead.
        what: String,
    },
    /// An ELF file that contradicts itself.
    #[error("{file}: broken ELF file: {what}")]
    BrokenElf {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// No Multiboot-1 header.
    #[error(
        "{file}: no Multiboot header; accepted is magic 0x1badb002 with a right checksum, 4-byte aligned, in the first 8 KiB of the file"
    )]
    NoHeader {
        /// The file.
        file: String,
    },
    /// The header asks for something that this loader does not do.
    #[error(
        "{file}: Multiboot header requires flags {flags:#06x}; accepted are bits 0 and 1 (of the lower 16)"
    )]
    HeaderFlags {
        /// The file.
        file: String,
        /// The required bits that are not known.
        flags: u32,
    },
    /// The load addresses of the header contradict each other or the file.
    #[error("{file}: Multiboot header: {what}")]
    HeaderAddresses {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// Part of the kernel would lie where there is no RAM.
    #[error("{file}: a segment at {start:#x}..{end:#x} lies outside RAM; RAM is {ram}")]
    OutsideRam {
        /// The file.
        file: String,
        /// Physical start.
        start: u64,
        /// Physical end.
        end: u64,
        /// The RAM that there is.
        ram: String,
    },
    /// Not a ROM.
    #[error("{file}: {bytes} bytes; accepted is a ROM of whole 4 KiB, at most {} MiB", MAX_ROM >> 20)]
    RomSize {
        /// The file.
        file: String,
        /// Its size.
        bytes: usize,
    },
    /// The entry point is in no segment.
    #[error("{file}: entry point {entry:#x} is in no loaded segment")]
    Entry {
        /// The file.
        file: String,
        /// The address.
        entry: u32,
    },
    /// A module finds no room.
    #[error(
        "module '{module}': its {bytes} bytes do not fit between {start:#x} and the end of RAM below 4 GiB, {end:#x}"
    )]
    ModuleRoom {
        /// The module's string.
        module: String,
        /// Its size.
        bytes: u64,
        /// Where it would begin.
        start: u64,
        /// Where RAM ends.
        end: u64,
    },
    /// The boot information finds no room.
    #[error(
        "{file}: no room for {bytes} bytes of boot information (command line, module strings) below {CONVENTIONAL_END:#x}"
    )]
    InfoRoom {
        /// The file.
        file: String,
        /// What is needed.
        bytes: u64,
    },
    /// A string with a zero byte in it.
    #[error("{what} has a zero byte; accepted is text without one")]
    ZeroByte {
        /// Which string.
        what: String,
    },
    /// A write that the memory refused: the map and the memory disagree.
    #[error("guest memory has no RAM at {start:#x}..{end:#x}")]
    Refused {
        /// Physical start.
        start: u64,
        /// Physical end.
        end: u64,
    },
}

/// A stretch of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// First byte beyond.
    pub end: u64,
    /// What is there.
    pub kind: RegionKind,
}

/// What a region of the memory map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionKind {
    /// RAM that the kernel may use (type 1).
    Available,
    /// Firmware, or devices (type 2).
    Reserved,
}

/// Where the RAM of a machine lies: as on a PC, below 3.5 GiB and again from 4 GiB up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    low_end: u64,
    high_end: u64,
}

impl MemoryMap {
    /// The map of a machine with this much RAM (at least 1 MiB). Of 64 GiB, the last
    /// 512 MiB would lie beyond 36 address bits and are left out.
    pub fn new(bytes: u64) -> MemoryMap {
        MemoryMap {
            low_end: bytes.clamp(HIGH_START, LOW_RAM_END),
            high_end: FOUR_GIB.saturating_add(bytes.saturating_sub(LOW_RAM_END)).min(PHYSICAL_END),
        }
    }

    /// End of RAM below 4 GiB.
    pub fn low_end(&self) -> u64 {
        self.low_end
    }

    /// End of RAM, wherever that is.
    pub fn end(&self) -> u64 {
        if self.high_end > FOUR_GIB { self.high_end } else { self.low_end }
    }

    /// The regions as the firmware reports them, in order.
    pub fn regions(&self) -> Vec<Region> {
        let available = |start, end| Region { start, end, kind: RegionKind::Available };
        let reserved = |start, end| Region { start, end, kind: RegionKind::Reserved };
        let mut regions = vec![
            available(0, CONVENTIONAL_END),
            reserved(CONVENTIONAL_END, 0xa_0000),
            reserved(FIRMWARE, HIGH_START),
        ];
        if self.low_end > HIGH_START {
            regions.push(available(HIGH_START, self.low_end));
        }
        // The I/O APIC's page and the local APICs'.
        regions.push(reserved(0xfec0_0000, 0xfec0_1000));
        regions.push(reserved(0xfee0_0000, 0xfee0_1000));
        if self.high_end > FOUR_GIB {
            regions.push(available(FOUR_GIB, self.high_end));
        }
        regions
    }

    /// Does the whole range lie in one stretch of available RAM below 4 GiB?
    fn holds(&self, start: u64, end: u64) -> bool {
        let low = end <= CONVENTIONAL_END;
        let high = start >= HIGH_START && end <= self.low_end;
        start <= end && (low || high)
    }

    /// The usable RAM below 4 GiB, for messages.
    fn describe(&self) -> String {
        if self.low_end > HIGH_START {
            format!("0x0..{CONVENTIONAL_END:#x} and {HIGH_START:#x}..{:#x}", self.low_end)
        } else {
            format!("0x0..{CONVENTIONAL_END:#x}")
        }
    }
}

/// A Multiboot module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its string: by custom a name, then arguments.
    pub string: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What to start.
#[derive(Clone, Copy, Debug)]
pub struct BootRequest<'a> {
    /// The kernel's file name: used in messages, and, without its folders, as the
    /// first word of the guest's command line, as QEMU and GRUB do.
    pub kernel_name: &'a str,
    /// The kernel's file.
    pub kernel: &'a [u8],
    /// The rest of the command line.
    pub arguments: &'a str,
    /// The modules, in order.
    pub modules: &'a [Module],
    /// The machine's RAM in bytes.
    pub memory: u64,
}

/// The registers with which the bootstrap processor starts, in flat 32-bit protected mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootState {
    /// EIP: physical address of the entry point.
    pub entry: u32,
    /// EAX: [`BOOT_MAGIC`].
    pub eax: u32,
    /// EBX: physical address of the Multiboot information.
    pub ebx: u32,
}

/// The value in EAX by which a kernel knows that a Multiboot loader started it.
pub const BOOT_MAGIC: u32 = 0x2bad_b002;

/// A piece of memory to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Physical address.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A kernel ready to be put into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What to write, in order; no two pieces overlap.
    pub writes: Vec<Write>,
    /// How to start.
    pub state: BootState,
}

impl Image {
    /// Puts everything into memory. `poke` writes bytes at a physical address and says whether there was RAM.
    pub fn write(&self, mut poke: impl FnMut(u64, &[u8]) -> bool) -> Result<BootState, LoadError> {
        for write in &self.writes {
            if !poke(write.at, &write.bytes) {
                let end = write.at.saturating_add(write.bytes.len() as u64);
                return Err(LoadError::Refused { start: write.at, end });
            }
        }
        Ok(self.state)
    }
}

/// A kernel as its file describes it: pieces at physical addresses.
struct Kernel<'a> {
    segments: Vec<Segment<'a>>,
    entry: u32,
}

/// One piece: bytes from the file, then zeros up to `size`.
struct Segment<'a> {
    at: u64,
    bytes: &'a [u8],
    size: u64,
}

impl Segment<'_> {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.size)
    }
}

/// Checks the kernel, finds a place for everything and builds the boot information.
pub fn load(request: &BootRequest<'_>) -> Result<Image, LoadError> {
    let file = &one_line(request.kernel_name);
    let map = MemoryMap::new(request.memory);
    let header = multiboot::find_header(request.kernel);
    let kernel = match header {
        Some(header) if header.has_addresses() => header.kernel(file, request.kernel)?,
        _ => elf::kernel(file, request.kernel)?,
    };
    let header = header.ok_or_else(|| LoadError::NoHeader { file: file.into() })?;
    header.check_flags(file)?;
    for segment in &kernel.segments {
        if !map.holds(segment.at, segment.end()) {
            return Err(LoadError::OutsideRam {
                file: file.into(),
                start: segment.at,
                end: segment.end(),
                ram: map.describe(),
            });
        }
    }

    let mut writes: Vec<Write> = kernel
        .segments
        .iter()
        .filter(|s| !s.bytes.is_empty())
        .map(|s| Write { at: s.at, bytes: s.bytes.to_vec() })
        .collect();
    let mut free = kernel.segments.iter().map(Segment::end).max().unwrap_or(0).max(HIGH_START);
    let mut places = Vec::new();
    for module in request.modules {
        free = free.next_multiple_of(PAGE);
        let bytes = module.bytes.len() as u64;
        if bytes > map.low_end.saturating_sub(free) {
            let module = one_line(&module.string);
            return Err(LoadError::ModuleRoom { module, bytes, start: free, end: map.low_end });
        }
        places.push((free, free + bytes));
        if bytes > 0 {
            writes.push(Write { at: free, bytes: module.bytes.clone() });
        }
        free += bytes;
    }

    let info = multiboot::Info::new(request, &map, &places)?;
    let at = room_for(info.len(), &kernel.segments)
        .ok_or_else(|| LoadError::InfoRoom { file: file.into(), bytes: info.len() })?;
    writes.push(Write { at, bytes: info.bytes(at as u32) });
    let state = BootState { entry: kernel.entry, eax: BOOT_MAGIC, ebx: at as u32 };
    Ok(Image { writes, state })
}

/// A name for a message: line breaks and other control characters, which a file's name may have, as escapes.
pub(crate) fn one_line(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

/// The first page boundary from which `bytes` of conventional memory are free of segments.
fn room_for(bytes: u64, segments: &[Segment<'_>]) -> Option<u64> {
    let mut at = INFO_START;
    while at + bytes <= CONVENTIONAL_END {
        match segments.iter().find(|s| s.at < at + bytes && at < s.end()) {
            None => return Some(at),
            Some(segment) => at = segment.end().next_multiple_of(PAGE).max(at + PAGE),
        }
    }
    None
}

#[cfg(test)]
mod tests;
