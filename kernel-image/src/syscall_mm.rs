//! The system calls that are about memory and files: `mmap`, `munmap`,
//! `create`, `read`, `write`, `touch`.
//!
//! Each takes the registers of the ABI and returns what goes to `eax`. User
//! memory is made usable before a page is mapped (`mm::user`), so nothing
//! faults and nobody sleeps for a second kmap while holding one.

use core::ops::Range;

use shootdown_abi::syscall::error;

use crate::arch::insn;
use crate::kmap::{self, Use};
use crate::memlayout::{MMAP_BASE, PAGE_SIZE};
use crate::mm::fault::{Access, Fault};
use crate::mm::page_cache::{self, CreateError};
use crate::mm::{AddressSpace, Frame, MapError, user};
use crate::{account, sched};

fn code(result: Result<u32, i32>) -> i32 {
    match result {
        Ok(value) => value as i32,
        Err(error) => -error,
    }
}

fn space() -> Result<&'static AddressSpace, i32> {
    sched::current().mm.get().ok_or(error::INVALID)
}

impl From<MapError> for ErrorCode {
    fn from(e: MapError) -> Self {
        ErrorCode(match e {
            MapError::NoMemory => error::NO_MEMORY,
            MapError::BadRange => error::INVALID,
        })
    }
}

impl From<Fault> for ErrorCode {
    fn from(e: Fault) -> Self {
        ErrorCode(match e {
            Fault::NoMemory => error::NO_MEMORY,
            Fault::BadAddress => error::FAULT,
        })
    }
}

impl From<CreateError> for ErrorCode {
    fn from(e: CreateError) -> Self {
        ErrorCode(match e {
            CreateError::NoMemory => error::NO_MEMORY,
            CreateError::BadSize => error::INVALID,
        })
    }
}

/// A positive code of [`error`].
struct ErrorCode(i32);

impl From<ErrorCode> for i32 {
    fn from(e: ErrorCode) -> i32 {
        e.0
    }
}

fn errno(e: impl Into<ErrorCode>) -> i32 {
    e.into().0
}

/// `mmap(bytes) -> address`.
pub fn mmap(bytes: u32) -> i32 {
    code(space().and_then(|s| s.map_anywhere(MMAP_BASE, bytes).map_err(errno)))
}

/// `munmap(address, bytes) -> 0`.
pub fn munmap(address: u32, bytes: u32) -> i32 {
    let end = address.checked_add(bytes).ok_or(error::INVALID);
    code(end.and_then(|end| space()?.unmap(address, end).map_err(errno)).map(|()| 0))
}

/// `create(pages) -> file`.
pub fn create(pages: u32) -> i32 {
    code(page_cache::create(pages).map_err(errno))
}

/// A range within a file page.
struct Part {
    frame: Frame,
    bytes: Range<u32>,
}

fn part(file: u32, page: u32, off_len: u32) -> Result<Part, i32> {
    let (offset, len) = (off_len & 0xffff, off_len >> 16);
    if len == 0 || offset + len > PAGE_SIZE {
        return Err(error::INVALID);
    }
    let frame = page_cache::frame_of(file, page).ok_or(error::INVALID)?;
    Ok(Part { frame, bytes: offset..offset + len })
}

/// `read(file, page, buf, off_len) -> bytes`.
pub fn read(file: u32, page: u32, buf: u32, off_len: u32) -> i32 {
    code(part(file, page, off_len).and_then(|part| {
        let len = part.bytes.len() as u32;
        user::prefault(buf, len, Access::Write).map_err(errno)?;
        let mapping = kmap::map(part.frame, Use::File);
        let from = (mapping.address() + part.bytes.start) as *const u8;
        // SAFETY: the range lies in one mapped page, and `prefault` made the buffer writable.
        unsafe { core::ptr::copy_nonoverlapping(from, buf as *mut u8, len as usize) };
        kmap::unmap(mapping);
        Ok(len)
    }))
}

/// `write(file, page, buf, off_len) -> bytes`.
pub fn write(file: u32, page: u32, buf: u32, off_len: u32) -> i32 {
    code(part(file, page, off_len).and_then(|part| {
        let len = part.bytes.len() as u32;
        user::prefault(buf, len, Access::Read).map_err(errno)?;
        let mapping = kmap::map(part.frame, Use::File);
        let to = (mapping.address() + part.bytes.start) as *mut u8;
        // SAFETY: the range lies in one mapped page, and `prefault` made the buffer readable.
        unsafe { core::ptr::copy_nonoverlapping(buf as *const u8, to, len as usize) };
        kmap::unmap(mapping);
        Ok(len)
    }))
}

/// `touch(file, page, off_len, hold) -> sum`.
pub fn touch(file: u32, page: u32, off_len: u32, hold: u32) -> i32 {
    let part = match part(file, page, off_len) {
        Ok(part) if (part.bytes.start | part.bytes.end).is_multiple_of(4) => part,
        Ok(_) => return -error::INVALID,
        Err(error) => return -error,
    };
    let mapping = kmap::map(part.frame, Use::File);
    let first = sum(mapping.address(), &part.bytes);
    for _ in 0..hold {
        insn::pause();
    }
    let second = sum(mapping.address(), &part.bytes);
    kmap::unmap(mapping);
    if first != second {
        account::data_errors(1);
    }
    first as i32
}

/// Wrapping sum of the 32-bit words of a range of a mapped page.
fn sum(page: u32, bytes: &Range<u32>) -> u32 {
    bytes
        .clone()
        .step_by(4)
        .map(|offset| {
            // SAFETY: the page is mapped, the offset a multiple of 4 below 4096. Volatile, so that both
            // sums really read.
            unsafe { ((page + offset) as *const u32).read_volatile() }
        })
        .fold(0, u32::wrapping_add)
}
