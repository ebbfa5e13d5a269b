//! What the boot loader hands over (Multiboot specification 0.6.96, "Boot
//! information format"), copied out at once: nothing of the loader's own memory
//! has to be kept except the module.

use crate::memlayout::BOOT_DIRECT_BASE;
use crate::param::{LINE_MAX, NREGION};
use crate::refuse;
use crate::sync::BootCell;

/// In `eax` when a Multiboot loader enters the kernel.
const MAGIC: u32 = 0x2bad_b002;

/// Flags of the information structure: which fields are valid.
const HAS_MEMORY: u32 = 1 << 0;
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MEMORY_MAP: u32 = 1 << 6;

/// Type of a memory map entry that is free RAM.
const RAM: u32 = 1;

/// Free RAM, in physical bytes.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

/// A line of text from the loader.
#[derive(Clone, Copy)]
struct Line {
    bytes: [u8; LINE_MAX],
    len: usize,
}

/// The user program.
#[derive(Clone, Copy)]
pub struct Module {
    /// First physical byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
    line: Line,
}

impl Module {
    /// Its argument string; the first word is the file name.
    pub fn arguments(&self) -> &str {
        self.line.text()
    }
}

/// All that the kernel wants to know from the loader.
pub struct Info {
    command_line: Line,
    /// The user program, if there is one.
    pub module: Option<Module>,
    regions: [Region; NREGION],
    region_count: usize,
}

impl Info {
    /// The kernel's command line, maybe with its file name in front.
    pub fn command_line(&self) -> &str {
        self.command_line.text()
    }

    /// Free RAM as the firmware reports it: neither sorted nor free of overlap by any promise.
    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.region_count]
    }
}

static INFO: BootCell<Info> = BootCell::new();

/// What the loader said.
pub fn info() -> &'static Info {
    INFO.get()
}

/// Reads the information structure at `phys`; `magic` is what `eax` held at entry.
pub fn init(magic: u32, phys: u32) {
    if magic != MAGIC {
        refuse!("boot: eax is {magic:#x}, not {MAGIC:#x}: a Multiboot 1 loader is needed");
    }
    let flags = word(phys);
    let mut info = Info {
        command_line: Line::EMPTY,
        module: None,
        regions: [Region { start: 0, end: 0 }; NREGION],
        region_count: 0,
    };
    if flags & HAS_COMMAND_LINE != 0 {
        info.command_line = Line::copy("command line", word(phys + 16));
    }
    if flags & HAS_MODULES != 0 && word(phys + 20) > 0 {
        let entry = word(phys + 24);
        info.module = Some(Module {
            start: word(entry),
            end: word(entry + 4),
            line: Line::copy("module string", word(entry + 8)),
        });
    }
    if flags & HAS_MEMORY_MAP != 0 {
        let (length, mut at) = (word(phys + 44), word(phys + 48));
        let end = at + length;
        while at < end {
            // An entry's size field does not count itself.
            let (base, bytes) = (wide(at + 4), wide(at + 12));
            if word(at + 20) == RAM && bytes > 0 {
                info.add(Region { start: base, end: base.saturating_add(bytes) });
            }
            at += word(at) + 4;
        }
    } else if flags & HAS_MEMORY != 0 {
        info.add(Region { start: 0, end: u64::from(word(phys + 4)) << 10 });
        info.add(Region { start: 1 << 20, end: (1 << 20) + (u64::from(word(phys + 8)) << 10) });
    } else {
        refuse!("boot: the loader gives neither a memory map nor the size of memory");
    }
    // SAFETY: called once from the boot list, before other processors run.
    unsafe { INFO.set(info) }
}

impl Info {
    fn add(&mut self, region: Region) {
        if self.region_count == NREGION {
            refuse!("boot: the memory map has more than {NREGION} regions of RAM");
        }
        self.regions[self.region_count] = region;
        self.region_count += 1;
    }
}

impl Line {
    const EMPTY: Line = Line { bytes: [0; LINE_MAX], len: 0 };

    fn copy(what: &str, phys: u32) -> Line {
        let mut line = Line::EMPTY;
        loop {
            let byte = peek(phys + line.len as u32);
            if byte == 0 {
                break;
            }
            if line.len == LINE_MAX {
                refuse!("boot: the {what} is longer than {LINE_MAX} bytes");
            }
            if !byte.is_ascii() {
                refuse!("boot: the {what} is not ASCII");
            }
            line.bytes[line.len] = byte;
            line.len += 1;
        }
        line
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

fn peek(phys: u32) -> u8 {
    // SAFETY: the boot page tables map all memory that a loader uses, and only the boot processor runs.
    unsafe { (BOOT_DIRECT_BASE.wrapping_add(phys) as *const u8).read_volatile() }
}

fn word(phys: u32) -> u32 {
    u32::from_le_bytes([peek(phys), peek(phys + 1), peek(phys + 2), peek(phys + 3)])
}

fn wide(phys: u32) -> u64 {
    u64::from(word(phys)) | u64::from(word(phys + 4)) << 32
}
