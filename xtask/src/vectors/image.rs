//! The program that runs the cases: a static 32-bit ELF file, written byte by byte, so that no 32-bit toolchain is needed.
//!
//! It has memory and an endless loop; everything else is put into it from outside.
//!
//! ```text
//!  00001000-0001ffff  data, for 16-bit addresses          zero
//!  20000000-2001ffff  data                                zero
//!  30000000-3000ffff  code of the cases                   int3 wherever no case is
//!  31000000-3100ffff  what serves them: SERVICE below
//! ```

use std::ops::Range;

/// Data memory of the cases. The page at 0 is left out, for few systems let a program have it.
pub const DATA: [Range<u32>; 2] = [0x1000..0x2_0000, 0x2000_0000..0x2002_0000];
/// Code of the cases.
pub const CODE: Range<u32> = 0x3000_0000..0x3001_0000;
/// The serving page begins with the endless loop.
pub const SERVICE: u32 = 0x3100_0000;
/// `int 80h; int3`.
pub const CALL: u32 = SERVICE + 0x10;
/// Handler of all signals: `int3`.
pub const HANDLER: u32 = SERVICE + 0x20;
/// `frstor`, and a jump to the case.
pub const LOAD: u32 = SERVICE + 0x40;
/// The image for it.
pub const LOADED: u32 = SERVICE + 0x1000;
/// Where `fnsave` after a case puts the unit's state.
pub const SAVED: u32 = SERVICE + 0x1200;
/// Structures for system calls.
pub const ARGUMENT: u32 = SERVICE + 0x1400;
/// Stack of the handler.
pub const SIGNAL_STACK: Range<u32> = SERVICE + 0x4000..SERVICE + 0x1_0000;

const SERVICE_SIZE: u32 = 0x1_0000;
const HEADER: u32 = 52;
const ENTRY: u32 = 32;
const READ_WRITE: u32 = 6;
const ALL: u32 = 7;
const PT_LOAD: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;

/// The ELF file.
pub fn elf() -> Vec<u8> {
    let segments: Vec<[u32; 5]> = DATA
        .iter()
        .map(|r| (r, READ_WRITE, 0))
        .chain([(&CODE, ALL, 0), (&(SERVICE..SERVICE + SERVICE_SIZE), ALL, 0x200)])
        .map(|(r, rights, file)| [PT_LOAD, r.start, file, r.end - r.start, rights])
        // Without this entry the system makes all memory of a 32-bit program executable.
        .chain([[PT_GNU_STACK, 0, 0, 0, READ_WRITE]])
        .collect();
    let mut b = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |b: &mut Vec<u8>, v: u16| b.extend(v.to_le_bytes());
    let word = |b: &mut Vec<u8>, v: u32| b.extend(v.to_le_bytes());
    // ET_EXEC, EM_386.
    half(&mut b, 2);
    half(&mut b, 3);
    for v in [1, SERVICE, HEADER, 0, 0] {
        word(&mut b, v);
    }
    for v in [HEADER as u16, ENTRY as u16, segments.len() as u16, 0, 0, 0] {
        half(&mut b, v);
    }
    for [kind, start, in_file, size, rights] in segments {
        let offset = if in_file > 0 { 0x1000 } else { 0 };
        for v in [kind, offset, start, start, in_file, size, rights, 0x1000] {
            word(&mut b, v);
        }
    }
    b.resize(0x1000, 0);
    b.extend(service());
    b
}

fn service() -> Vec<u8> {
    let mut page = vec![0xcc; 0x200];
    page[..2].copy_from_slice(&[0xeb, 0xfe]);
    let at = (CALL - SERVICE) as usize;
    page[at..at + 2].copy_from_slice(&[0xcd, 0x80]);
    let at = (LOAD - SERVICE) as usize;
    page[at..at + 2].copy_from_slice(&[0xdd, 0x25]);
    page[at + 2..at + 6].copy_from_slice(&LOADED.to_le_bytes());
    // The displacement of the jump is put there for each case.
    page[at + 6] = 0xe9;
    page
}

/// Where the displacement of the jump at [`LOAD`] lies, and where it counts from.
pub const JUMP: (u32, u32) = (LOAD + 7, LOAD + 11);

/// `fnsave [SAVED]`: what follows an instruction of the x87 unit.
pub fn save() -> [u8; 6] {
    let [a, b, c, d] = SAVED.to_le_bytes();
    [0xdd, 0x35, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::elf::{ElfFile32, FileHeader, ProgramHeader};
    use object::{Endianness, elf};

    #[test]
    fn the_file_is_an_executable_with_these_segments() {
        let bytes = elf();
        let file: ElfFile32<'_, Endianness> = ElfFile32::parse(&*bytes).expect("an ELF file");
        let e = file.endian();
        assert_eq!(file.elf_header().e_machine(e), elf::EM_386);
        assert_eq!(file.elf_header().e_entry(e), SERVICE);
        let loads: Vec<_> =
            file.elf_program_headers().iter().filter(|p| p.p_type(e) == elf::PT_LOAD).collect();
        let ranges: Vec<_> = loads.iter().map(|p| p.p_vaddr(e)..p.p_vaddr(e) + p.p_memsz(e)).collect();
        assert_eq!(ranges[..2], DATA);
        assert_eq!(ranges[2], CODE);
        let code = loads[3].data(e, &*bytes).expect("in the file");
        assert_eq!(code[..2], [0xeb, 0xfe], "the loop at the entry");
    }
}
