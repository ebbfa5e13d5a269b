//! What xtask wants to know of a linked guest image.

use anyhow::{Context, Result, bail};
use object::read::elf::{ElfFile32, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, elf};
use sha2::{Digest, Sha256};

use crate::lock::hex;

/// One section that holds code.
pub struct Code<'data> {
    pub name: String,
    pub address: u32,
    pub bytes: &'data [u8],
}

/// Parses a 32-bit little-endian x86 executable.
fn parse(bytes: &[u8]) -> Result<ElfFile32<'_, Endianness>> {
    let file: ElfFile32<'_, Endianness> = ElfFile32::parse(bytes).context("no 32-bit ELF file")?;
    let header = file.elf_header();
    if header.e_machine(file.endian()) != elf::EM_386 {
        bail!("no x86 ELF file");
    }
    Ok(file)
}

/// Sections that need not be loaded and would make the file depend on more than its sources.
const UNWANTED: &[&str] = &[".comment", ".eh_frame", ".eh_frame_hdr", ".dynamic", ".interp"];

/// Fails when the image is not a plain static executable.
pub fn check_shape(bytes: &[u8]) -> Result<()> {
    let file = parse(bytes)?;
    let endian = file.endian();
    if file.elf_header().e_type(endian) != elf::ET_EXEC {
        bail!("no static executable (e_type is not ET_EXEC)");
    }
    for section in file.elf_section_table().iter() {
        let name =
            file.elf_section_table().section_name(endian, section).context("section without a name")?;
        let name = String::from_utf8_lossy(name);
        if UNWANTED.contains(&name.as_ref()) || name.starts_with(".note") {
            bail!("section {name} in the image: add it to /DISCARD/ in the linker script");
        }
        if name.starts_with(".debug") {
            bail!("section {name} in the image: debug information is not wanted there");
        }
    }
    Ok(())
}

/// SHA-256 over the loadable segments: for each, in file order, physical and linear address,
/// file size, memory size, flags, and the bytes. What the machine gets, and nothing else.
pub fn segments_digest(bytes: &[u8]) -> Result<String> {
    let file = parse(bytes)?;
    let endian = file.endian();
    let mut hash = Sha256::new();
    for segment in file.elf_program_headers() {
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        for word in [
            segment.p_paddr(endian),
            segment.p_vaddr(endian),
            segment.p_filesz(endian),
            segment.p_memsz(endian),
            segment.p_flags(endian),
        ] {
            hash.update(word.to_le_bytes());
        }
        let data = segment.data(endian, bytes).ok().context("a segment reaches past the end of the file")?;
        hash.update(data);
    }
    hash.update(file.elf_header().e_entry(endian).to_le_bytes());
    Ok(hex(&hash.finalize()))
}

/// Where the bytes of a section lie in the file.
pub fn section(bytes: &[u8], name: &str) -> Result<std::ops::Range<usize>> {
    let file = parse(bytes)?;
    let endian = file.endian();
    let Some((_, section)) = file.elf_section_table().section_by_name(endian, name.as_bytes()) else {
        bail!("the image has no section {name}");
    };
    let Some((offset, size)) = section.file_range(endian) else {
        bail!("section {name} has no bytes in the file");
    };
    let place = offset as usize..(offset + size) as usize;
    if place.end > bytes.len() {
        bail!("section {name} reaches past the end of the file");
    }
    Ok(place)
}

/// The sections with code.
pub fn code(bytes: &[u8]) -> Result<Vec<Code<'_>>> {
    let file = parse(bytes)?;
    let endian = file.endian();
    let mut found = Vec::new();
    for section in file.elf_section_table().iter() {
        if section.sh_flags(endian) & elf::SHF_EXECINSTR == 0 || section.sh_type(endian) != elf::SHT_PROGBITS
        {
            continue;
        }
        let name =
            file.elf_section_table().section_name(endian, section).context("section without a name")?;
        found.push(Code {
            name: String::from_utf8_lossy(name).into_owned(),
            address: section.sh_addr(endian),
            bytes: section.data(endian, bytes).context("a section reaches past the end of the file")?,
        });
    }
    if found.is_empty() {
        bail!("the image has no code section");
    }
    Ok(found)
}
