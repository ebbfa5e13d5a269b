//! Multiboot-1: the header in the kernel's file, and the information that the
//! kernel is given. (`Multiboot Specification version 0.6.96`.)
//!
//! ```text
//!  header  +0 magic 1badb002   +4 flags   +8 -(magic + flags)
//!          +12 header_addr  +16 load_addr  +20 load_end_addr  +24 bss_end_addr  +28 entry_addr   (flags bit 16)
//!
//!  info    +0 flags  +4 mem_lower  +8 mem_upper  +16 cmdline  +20 mods_count  +24 mods_addr
//!          +44 mmap_length  +48 mmap_addr  +64 boot_loader_name
//! ```
//!
//! Left out: video modes, symbols, drives, APM.

use super::{BootRequest, CONVENTIONAL_END, HIGH_START, Kernel, LoadError, MemoryMap, RegionKind, Segment};

const MAGIC: u32 = 0x1bad_b002;
/// The header lies within this many bytes from the start.
const SEARCHED: usize = 8192;
/// Required flags that are understood: page-aligned modules, memory information. Both are always given.
const KNOWN: u32 = 0b11;
/// Required flags are those of the lower half.
const REQUIRED: u32 = 0xffff;
const ADDRESSES: u32 = 1 << 16;

const LOADER_NAME: &str = "shootdown";
/// Bytes of the fixed part of the information.
const FIXED: usize = 116;
/// Bytes of an entry of the module list.
const MODULE_ENTRY: usize = 16;
/// Bytes of an entry of the memory map, its own size field included.
const MAP_ENTRY: usize = 24;

/// A Multiboot header that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Offset in the file.
    offset: usize,
    flags: u32,
    /// header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr.
    addresses: [u32; 5],
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
}

/// Finds the header: magic and checksum, 4-byte aligned.
pub(super) fn find_header(data: &[u8]) -> Option<Header> {
    let end = data.len().min(SEARCHED);
    (0..end.saturating_sub(11)).step_by(4).find_map(|offset| {
        let (magic, flags, sum) = (word(data, offset)?, word(data, offset + 4)?, word(data, offset + 8)?);
        if magic != MAGIC || magic.wrapping_add(flags).wrapping_add(sum) != 0 {
            return None;
        }
        let mut addresses = [0; 5];
        if flags & ADDRESSES != 0 {
            for (i, address) in addresses.iter_mut().enumerate() {
                *address = word(data, offset + 12 + 4 * i)?;
            }
        }
        Some(Header { offset, flags, addresses })
    })
}

impl Header {
    /// The header says where the file goes, whatever its format.
    pub fn has_addresses(&self) -> bool {
        self.flags & ADDRESSES != 0
    }

    /// Refuses requirements that are not understood.
    pub fn check_flags(&self, file: &str) -> Result<(), LoadError> {
        match self.flags & REQUIRED & !KNOWN {
            0 => Ok(()),
            flags => Err(LoadError::HeaderFlags { file: file.into(), flags }),
        }
    }

    /// The kernel as the header's addresses describe it: one piece.
    pub fn kernel<'a>(&self, file: &str, data: &'a [u8]) -> Result<Kernel<'a>, LoadError> {
        let wrong = |what: String| LoadError::HeaderAddresses { file: file.into(), what };
        let [header, load, load_end, bss_end, entry] = self.addresses;
        let before = header.checked_sub(load).ok_or_else(|| {
            wrong(format!("load address {load:#x} is beyond the header's own, {header:#x}"))
        })?;
        let start = self.offset.checked_sub(before as usize).ok_or_else(|| {
            wrong(format!(
                "load address {load:#x} is {before} bytes before the header, which is at offset {}",
                self.offset
            ))
        })?;
        let available = &data[start..];
        // 0 means: the whole file.
        let length = match load_end {
            0 => available.len(),
            end => end
                .checked_sub(load)
                .ok_or_else(|| wrong(format!("load end {end:#x} is before the load address {load:#x}")))?
                as usize,
        };
        let bytes = available
            .get(..length)
            .ok_or_else(|| wrong(format!("load end {load_end:#x} is beyond the end of the file")))?;
        let size = match bss_end {
            0 => length as u64,
            end => u64::from(end)
                .checked_sub(u64::from(load))
                .filter(|&size| size >= length as u64)
                .ok_or_else(|| wrong(format!("bss end {end:#x} is before the end of the loaded part")))?,
        };
        let segment = Segment { at: u64::from(load), bytes, size };
        if !(segment.at..segment.end()).contains(&u64::from(entry)) {
            return Err(LoadError::Entry { file: file.into(), entry });
        }
        Ok(Kernel { segments: vec![segment], entry })
    }
}

/// The information for the kernel, complete but for the address at which it will lie.
pub(super) struct Info {
    memory: [u32; 2],
    modules: Vec<(u32, u32)>,
    map: Vec<u8>,
    /// Offset of each string: loader name, command line, then one per module.
    strings: Vec<u32>,
    text: Vec<u8>,
}

impl Info {
    /// Gathers everything; `places` are the modules' physical ranges, below 4 GiB.
    pub fn new(request: &BootRequest<'_>, map: &MemoryMap, places: &[(u64, u64)]) -> Result<Info, LoadError> {
        let name = request.kernel_name.rsplit(['/', '\\']).next().unwrap_or_default();
        let line = match request.arguments {
            "" => name.to_string(),
            arguments => format!("{name} {arguments}"),
        };
        let mut info = Info {
            memory: [(CONVENTIONAL_END / 1024) as u32, ((map.low_end() - HIGH_START) / 1024) as u32],
            modules: places.iter().map(|&(start, end)| (start as u32, end as u32)).collect(),
            map: Vec::new(),
            strings: Vec::new(),
            text: Vec::new(),
        };
        info.add_string("the loader's name", LOADER_NAME)?;
        info.add_string("the command line", &line)?;
        for module in request.modules {
            info.add_string("a module's string", &module.string)?;
        }
        for region in map.regions() {
            let kind: u32 = match region.kind {
                RegionKind::Available => 1,
                RegionKind::Reserved => 2,
            };
            info.map.extend((MAP_ENTRY as u32 - 4).to_le_bytes());
            info.map.extend(region.start.to_le_bytes());
            info.map.extend((region.end - region.start).to_le_bytes());
            info.map.extend(kind.to_le_bytes());
        }
        Ok(info)
    }

    fn add_string(&mut self, what: &str, text: &str) -> Result<(), LoadError> {
        if text.bytes().any(|b| b == 0) {
            return Err(LoadError::ZeroByte { what: what.into() });
        }
        self.strings.push(self.text.len() as u32);
        self.text.extend(text.bytes());
        self.text.push(0);
        Ok(())
    }

    fn modules_at(&self) -> usize {
        FIXED + self.map.len()
    }

    fn text_at(&self) -> usize {
        self.modules_at() + MODULE_ENTRY * self.modules.len()
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        (self.text_at() + self.text.len()) as u64
    }

    /// The information as it is at physical address `at`.
    pub fn bytes(&self, at: u32) -> Vec<u8> {
        let string = |i: usize| at + self.text_at() as u32 + self.strings.get(i).copied().unwrap_or(0);
        let mut fixed = [0_u32; FIXED / 4];
        // Memory sizes, command line, modules, memory map, loader name.
        fixed[0] = 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9;
        fixed[1] = self.memory[0];
        fixed[2] = self.memory[1];
        fixed[4] = string(1);
        fixed[5] = self.modules.len() as u32;
        fixed[6] = at + self.modules_at() as u32;
        fixed[11] = self.map.len() as u32;
        fixed[12] = at + FIXED as u32;
        fixed[16] = string(0);
        let mut bytes: Vec<u8> = fixed.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.extend(&self.map);
        for (i, &(start, end)) in self.modules.iter().enumerate() {
            for word in [start, end, string(2 + i), 0] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes.extend(&self.text);
        bytes
    }
}
