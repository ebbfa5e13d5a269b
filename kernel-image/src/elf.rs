//! Loads the user program: a 32-bit ELF executable (System V ABI, "Object
//! Files"), linked at a fixed address in the user half.

use core::fmt;

use crate::memlayout::{PAGE_SIZE, USER_STACK_SIZE, direct, user_stack_top};
use crate::mm::{AddressSpace, MapError, Protection};
use crate::multiboot;

/// A program that is ready to run.
pub struct Program {
    /// First instruction.
    pub entry: u32,
    /// Its argument string, NUL terminated, at the top of the stack; the stack begins below it.
    pub arguments: u32,
}

/// Why a module is no program.
pub enum Error {
    /// The loader gave none.
    NoModule,
    /// Not an executable for this machine; what was expected.
    NotExecutable(&'static str),
    /// A segment that does not fit: its number.
    BadSegment(u32),
    /// Out of memory.
    NoMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::NoModule => {
                f.write_str("there is none; the user program has to be given as a Multiboot module")
            }
            Error::NotExecutable(wanted) => write!(f, "not a program; expected {wanted}"),
            Error::BadSegment(n) => {
                write!(f, "segment {n} lies outside the file or the user half, or is not page aligned")
            }
            Error::NoMemory => f.write_str("out of memory"),
        }
    }
}

impl From<MapError> for Error {
    fn from(e: MapError) -> Error {
        match e {
            MapError::NoMemory => Error::NoMemory,
            MapError::BadRange => Error::BadSegment(0),
        }
    }
}

/// Offsets in the ELF header.
const TYPE: usize = 16;
const MACHINE: usize = 18;
const ENTRY: usize = 24;
const PH_OFFSET: usize = 28;
const PH_SIZE: usize = 42;
const PH_COUNT: usize = 44;

const CLASS_32_LITTLE_ENDIAN: [u8; 6] = [0x7f, b'E', b'L', b'F', 1, 1];
const EXECUTABLE: u16 = 2;
const I386: u16 = 3;
const LOAD: u32 = 1;
const WRITABLE: u32 = 2;

/// Loads the module into an empty address space and puts its argument string on a stack.
pub fn load(space: &AddressSpace) -> Result<Program, Error> {
    let module = multiboot::info().module.as_ref().ok_or(Error::NoModule)?;
    let len = module.end.saturating_sub(module.start) as usize;
    // SAFETY: `mm::init` keeps the module's frames, and the direct map reaches them.
    let image = unsafe { core::slice::from_raw_parts(direct(module.start), len) };
    if !image.starts_with(&CLASS_32_LITTLE_ENDIAN) {
        return Err(Error::NotExecutable("a 32-bit little-endian ELF file"));
    }
    if half(image, TYPE) != Some(EXECUTABLE) || half(image, MACHINE) != Some(I386) {
        return Err(Error::NotExecutable("a static i386 executable"));
    }
    let table = word(image, PH_OFFSET).unwrap_or(0) as usize;
    let size = half(image, PH_SIZE).unwrap_or(0) as usize;
    for n in 0..half(image, PH_COUNT).unwrap_or(0) {
        let bad = Error::BadSegment(u32::from(n));
        let header = image.get(table.wrapping_add(size * n as usize)..).ok_or(bad)?;
        load_segment(space, image, header).map_err(|e| match e {
            Error::NoMemory => Error::NoMemory,
            _ => Error::BadSegment(u32::from(n)),
        })?;
    }
    let arguments = make_stack(space, module.arguments())?;
    Ok(Program { entry: word(image, ENTRY).unwrap_or(0), arguments })
}

fn load_segment(space: &AddressSpace, image: &[u8], header: &[u8]) -> Result<(), Error> {
    let field = |at| word(header, at).ok_or(Error::BadSegment(0));
    if field(0)? != LOAD || field(20)? == 0 {
        return Ok(());
    }
    let (offset, start, in_file, in_memory, flags) =
        (field(4)?, field(8)?, field(16)?, field(20)?, field(24)?);
    let end = start
        .checked_add(in_memory)
        .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE))
        .ok_or(Error::BadSegment(0))?;
    let bytes = image
        .get(offset as usize..)
        .and_then(|rest| rest.get(..in_file as usize))
        .ok_or(Error::BadSegment(0))?;
    if in_file > in_memory {
        return Err(Error::BadSegment(0));
    }
    let protection = if flags & WRITABLE != 0 { Protection::ReadWrite } else { Protection::ReadOnly };
    space.map(start & !(PAGE_SIZE - 1), end, protection)?;
    space.store(start, bytes)?;
    Ok(())
}

/// Returns the address of the argument string.
fn make_stack(space: &AddressSpace, arguments: &str) -> Result<u32, Error> {
    let top = user_stack_top();
    space.map(top - USER_STACK_SIZE, top, Protection::ReadWrite)?;
    // The page is new and zero, so the string is terminated; keep the stack pointer aligned.
    let address = (top - arguments.len() as u32 - 1) & !15;
    space.store(address, arguments.as_bytes())?;
    space.store(address + arguments.len() as u32, &[0])?;
    Ok(address)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
