//! Reads a 32-bit i386 ELF executable: its loadable segments at their physical
//! addresses, and its entry point. (`Tool Interface Standard, Executable and
//! Linking Format Specification`.)
//!
//! A kernel that is linked high and loaded low gives its entry as a virtual
//! address; it is taken through the segment that holds it.

use object::Endianness;
use object::elf::{EM_386, ET_EXEC, FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use super::{Kernel, LoadError, Segment};

const MAGIC: &[u8] = b"\x7fELF";
const CLASS: usize = 4;
const DATA: usize = 5;
const MACHINE: usize = 18;

/// The kernel in `data`.
pub(super) fn kernel<'a>(file: &str, data: &'a [u8]) -> Result<Kernel<'a>, LoadError> {
    let wrong = |what: String| LoadError::WrongElf { file: file.into(), what };
    let broken = |what: String| LoadError::BrokenElf { file: file.into(), what };
    if !data.starts_with(MAGIC) {
        return Err(LoadError::NotElf { file: file.into() });
    }
    match (data.get(CLASS), data.get(DATA)) {
        (Some(1), Some(1)) => {}
        (Some(2), _) => return Err(LoadError::Elf64 { file: file.into() }),
        (Some(1), Some(2)) => return Err(wrong("a big-endian ELF file".into())),
        _ => return Err(broken("unknown class or byte order".into())),
    }
    if let Some(&[low, high]) = data.get(MACHINE..MACHINE + 2) {
        let machine = u16::from_le_bytes([low, high]);
        if machine != EM_386 {
            return Err(wrong(format!("an ELF file for machine {machine}")));
        }
    }
    let header = FileHeader32::<Endianness>::parse(data).map_err(|e| broken(e.to_string()))?;
    let e = header.endian().map_err(|e| broken(e.to_string()))?;
    if header.e_type(e) != ET_EXEC {
        return Err(wrong(format!("an ELF file of type {}, no executable", header.e_type(e))));
    }

    let given = header.e_entry(e);
    let mut entry = None;
    let mut segments = Vec::new();
    for (i, program) in header.program_headers(e, data).map_err(|e| broken(e.to_string()))?.iter().enumerate()
    {
        let size = program.p_memsz(e);
        if program.p_type(e) != PT_LOAD || size == 0 {
            continue;
        }
        let bytes = program
            .data(e, data)
            .map_err(|()| broken(format!("segment {i} lies beyond the end of the file")))?;
        if bytes.len() as u64 > u64::from(size) {
            return Err(broken(format!("segment {i} has more bytes in the file than in memory")));
        }
        let (physical, into) = (program.p_paddr(e), given.wrapping_sub(program.p_vaddr(e)));
        if into < size && entry.is_none() {
            entry = Some(physical.wrapping_add(into));
        }
        segments.push(Segment { at: u64::from(physical), bytes, size: u64::from(size) });
    }
    if segments.is_empty() {
        return Err(broken("no loadable segment".into()));
    }
    if let Some([a, b]) = overlap(&segments) {
        return Err(broken(format!(
            "segments at {:#x}..{:#x} and {:#x}..{:#x} overlap",
            a.at,
            a.end(),
            b.at,
            b.end()
        )));
    }
    // Some kernels give the physical address to begin with.
    let loaded = |a: u32| segments.iter().any(|s| (s.at..s.end()).contains(&u64::from(a)));
    match entry.or_else(|| loaded(given).then_some(given)) {
        Some(entry) => Ok(Kernel { segments, entry }),
        None => Err(LoadError::Entry { file: file.into(), entry: given }),
    }
}

/// Two segments that share memory, if any do. Without such, no file asks for more bytes to be copied than there is RAM,
/// however many segments it claims.
fn overlap<'s, 'a>(segments: &'s [Segment<'a>]) -> Option<[&'s Segment<'a>; 2]> {
    let mut sorted: Vec<_> = segments.iter().collect();
    sorted.sort_by_key(|s| s.at);
    sorted.windows(2).find_map(|pair| {
        let &[a, b] = pair else { return None };
        (a.end() > b.at).then_some([a, b])
    })
}
