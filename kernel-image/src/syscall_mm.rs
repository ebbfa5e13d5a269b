//! The system calls that are about memory and files: `mmap`, `munmap`,
//! `map_file`, `mprotect`, `mremap`, `discard`, `peek`, `create`, `read`,
//! `write`, `touch`.
//!
//! Each takes the registers of the ABI and returns what goes to `eax`. User
//! memory is made usable before a page is mapped (`mm::user`), so nothing
//! faults and nobody sleeps for a second kmap while holding one; but for `read` and
//! `write` with `user-copy=fault`.

use core::ops::Range;

use shootdown_abi::syscall::{self as call, error};

use crate::arch::insn;
use crate::kmap::{self, Use};
use crate::memlayout::{PAGE_SIZE, mmap_base};
use crate::mm::fault::{Access, Fault};
use crate::mm::page_cache::{self, Absent, CreateError};
use crate::mm::{self, AddressSpace, MapError, Protection, Sharing, user};
use crate::{account, process, sched};

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

impl From<Absent> for ErrorCode {
    fn from(e: Absent) -> Self {
        ErrorCode(match e {
            Absent::NoPage => error::INVALID,
            Absent::NoMemory => error::NO_MEMORY,
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

/// `mmap(bytes, sharing) -> address`.
pub fn mmap(bytes: u32, sharing: u32) -> i32 {
    let sharing = match sharing {
        call::PRIVATE => Sharing::NEW,
        call::SHARED => Sharing::Shared,
        _ => return -error::INVALID,
    };
    code(space().and_then(|s| s.map_anywhere(mmap_base(), bytes, sharing).map_err(errno)))
}

/// `map_file(file, first, pages) -> address`.
pub fn map_file(file: u32, first: u32, pages: u32) -> i32 {
    let map = |space: &AddressSpace| {
        let end = first.checked_add(pages).filter(|&end| end <= page_cache::pages(file));
        end.ok_or(error::INVALID)?;
        let bytes = pages.checked_mul(PAGE_SIZE).ok_or(error::NO_MEMORY)?;
        space.map_anywhere(mmap_base(), bytes, Sharing::File { file, first }).map_err(errno)
    };
    code(space().and_then(map))
}

/// `munmap(address, bytes) -> 0`.
pub fn munmap(address: u32, bytes: u32) -> i32 {
    let end = address.checked_add(bytes).ok_or(error::INVALID);
    code(end.and_then(|end| space()?.unmap(address, end).map_err(errno)).map(|()| 0))
}

/// `discard(address, bytes) -> 0`.
pub fn discard(address: u32, bytes: u32) -> i32 {
    let end = address.checked_add(bytes).ok_or(error::INVALID);
    code(end.and_then(|end| space()?.discard(address, end).map_err(errno)).map(|()| 0))
}

/// `mprotect(address, bytes, protection) -> 0`.
pub fn mprotect(address: u32, bytes: u32, protection: u32) -> i32 {
    let protection = match protection {
        call::READ_ONLY => Protection::ReadOnly,
        call::READ_WRITE => Protection::ReadWrite,
        _ => return -error::INVALID,
    };
    let end = address.checked_add(bytes).ok_or(error::INVALID);
    code(end.and_then(|end| mm::protect(space()?, address, end, protection).map_err(errno)).map(|()| 0))
}

/// `mremap(address, old_bytes, new_bytes) -> address`.
pub fn mremap(address: u32, old: u32, new: u32) -> i32 {
    code(space().and_then(|space| mm::mremap(space, address, old, new).map_err(errno)))
}

/// `peek(id, address, buf, len) -> bytes`.
pub fn peek(id: u32, address: u32, buf: u32, len: u32) -> i32 {
    let offset = address % PAGE_SIZE;
    if len == 0 || len > PAGE_SIZE - offset {
        return -error::INVALID;
    }
    let copy = || {
        let other = process::address_space_of(id).ok_or(error::INVALID)?;
        let _usable = user::prefault(buf, len, Access::Write).map_err(errno)?;
        let Some(pinned) = mm::peek::pin(&other, address).map_err(errno)? else {
            // SAFETY: `prefault` made the buffer writable.
            unsafe { (buf as *mut u8).write_bytes(0, len as usize) };
            return Ok(len);
        };
        let mapping = kmap::map(pinned.frame(), Use::File);
        let from = (mapping.address() + offset) as *const u8;
        // SAFETY: the range lies in one mapped page, and `prefault` made the buffer writable.
        unsafe { core::ptr::copy_nonoverlapping(from, buf as *mut u8, len as usize) };
        kmap::unmap(mapping);
        Ok(len)
    };
    code(copy())
}

/// `create(pages) -> file`.
pub fn create(pages: u32) -> i32 {
    code(page_cache::create(pages).map_err(errno))
}

/// The range within a page that `off_len` says.
fn range(off_len: u32) -> Result<Range<u32>, i32> {
    let (offset, len) = (off_len & 0xffff, off_len >> 16);
    if len == 0 || offset + len > PAGE_SIZE {
        return Err(error::INVALID);
    }
    Ok(offset..offset + len)
}

/// `read(file, page, buf, off_len) -> bytes`.
pub fn read(file: u32, page: u32, buf: u32, off_len: u32) -> i32 {
    if user::copies_fault() {
        return exchange(file, page, buf, off_len, Access::Write);
    }
    let copy = |frame, bytes: Range<u32>| {
        let len = bytes.len() as u32;
        let _usable = user::prefault(buf, len, Access::Write).map_err(errno)?;
        let mapping = kmap::map(frame, Use::File);
        let from = (mapping.address() + bytes.start) as *const u8;
        // SAFETY: the range lies in one mapped page, and `prefault` made the buffer writable.
        unsafe { core::ptr::copy_nonoverlapping(from, buf as *mut u8, len as usize) };
        kmap::unmap(mapping);
        Ok(len)
    };
    code(range(off_len).and_then(|bytes| {
        page_cache::with_page(file, page, Access::Read, |frame| copy(frame, bytes)).map_err(errno)?
    }))
}

/// `write(file, page, buf, off_len) -> bytes`.
pub fn write(file: u32, page: u32, buf: u32, off_len: u32) -> i32 {
    if user::copies_fault() {
        return exchange(file, page, buf, off_len, Access::Read);
    }
    let copy = |frame, bytes: Range<u32>| {
        let len = bytes.len() as u32;
        let _usable = user::prefault(buf, len, Access::Read).map_err(errno)?;
        let mapping = kmap::map(frame, Use::File);
        let to = (mapping.address() + bytes.start) as *mut u8;
        // SAFETY: the range lies in one mapped page, and `prefault` made the buffer readable.
        unsafe { core::ptr::copy_nonoverlapping(buf as *const u8, to, len as usize) };
        kmap::unmap(mapping);
        Ok(len)
    };
    code(range(off_len).and_then(|bytes| {
        page_cache::with_page(file, page, Access::Write, |frame| copy(frame, bytes)).map_err(errno)?
    }))
}

/// What `read` and `write` do with `user-copy=fault`; `access` is the one to the process's memory.
#[cold]
#[inline(never)]
fn exchange(file: u32, page: u32, buf: u32, off_len: u32, access: Access) -> i32 {
    let to_file = if access == Access::Read { Access::Write } else { Access::Read };
    let copy = |frame, bytes| user::exchange(frame, bytes, buf, access).map_err(errno);
    code(range(off_len).and_then(|bytes| {
        page_cache::with_page(file, page, to_file, |frame| copy(frame, bytes)).map_err(errno)?
    }))
}

/// `touch(file, page, off_len, hold) -> sum`.
pub fn touch(file: u32, page: u32, off_len: u32, hold: u32) -> i32 {
    let bytes = match range(off_len) {
        Ok(bytes) if (bytes.start | bytes.end).is_multiple_of(4) => bytes,
        Ok(_) => return -error::INVALID,
        Err(error) => return -error,
    };
    let look = |frame| {
        let mapping = kmap::map(frame, Use::File);
        let first = sum(mapping.address(), &bytes);
        for _ in 0..hold {
            insn::pause();
        }
        let second = sum(mapping.address(), &bytes);
        kmap::unmap(mapping);
        if first != second {
            account::data_errors(1);
        }
        first
    };
    code(page_cache::with_page(file, page, Access::Read, look).map_err(errno))
}

/// Wrapping sum of the 32-bit words of a range of a mapped page.
fn sum(page: u32, bytes: &Range<u32>) -> u32 {
    let mut at = (page + bytes.start) as *const u32;
    let mut sum = 0u32;
    for _ in 0..(bytes.end - bytes.start) / 4 {
        // SAFETY: the page is mapped, the range within it and made of whole words. Volatile, so that both sums really read.
        unsafe {
            sum = sum.wrapping_add(at.read_volatile());
            at = at.add(1);
        }
    }
    sum
}
