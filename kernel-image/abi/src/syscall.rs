//! System calls: `int 0x80` with the number in `eax` and arguments in `ebx`,
//! `ecx`, `edx`, `esi`; the result comes back in `eax`, all other registers
//! are kept. A result in `-255..=-1` (as `i32`) is an error.
//!
//! A process starts with `eax` = address of its argument string (NUL
//! terminated, on its stack; the Multiboot module's string) and `ebx` = number
//! of processors.
//!
//! A *file* is a set of page-cache pages, taken from HIGHMEM first; the kernel
//! reaches their content only through the chosen kmap. `off_len` packs a byte
//! offset within the page (bits 0-15) and a length in bytes (bits 16-31);
//! offset + length is at most 4096 and the length at least 1.

/// `exit(status)`: ends the process. The exit of the first process ends the machine.
pub const EXIT: u32 = 1;
/// `fork() -> pid | 0`.
pub const FORK: u32 = 2;
/// `wait() -> status` of one ended child, sleeping until there is one; error if there are no children.
pub const WAIT: u32 = 3;
/// `yield()`: lets others run.
pub const YIELD: u32 = 4;
/// `print(buf, len)`: text to the console.
pub const PRINT: u32 = 5;
/// `mmap(bytes, sharing) -> address` of new anonymous memory full of zeros, page aligned. [`PRIVATE`]: pages come on
/// demand, and a fork copies them when they are written. [`SHARED`]: they come at once, and after a fork both have them.
pub const MMAP: u32 = 6;
/// `munmap(address, bytes)`: whole pages.
pub const MUNMAP: u32 = 7;
/// `create(pages) -> file`.
pub const CREATE: u32 = 8;
/// `read(file, page, buf, off_len) -> bytes`: copies out of a file page through the chosen kmap.
pub const READ: u32 = 9;
/// `write(file, page, buf, off_len) -> bytes`: copies into a file page through the chosen kmap.
pub const WRITE: u32 = 10;
/// `touch(file, page, off_len, hold) -> sum`: maps the page, adds up its 32-bit words in the range
/// (wrapping; offset and length multiples of 4), keeps it mapped for `hold` rounds of `pause`, adds
/// up again, unmaps. Both sums have to be equal, else a data error is counted. One kmap per call.
pub const TOUCH: u32 = 11;
/// `barrier(id, n)`: sleeps until `n` processes have called it with this `id` (0..16). Usable again and again.
pub const BARRIER: u32 = 12;
/// `roi(phase)`: 1 begins the measured part, 2 ends it.
pub const ROI: u32 = 13;
/// `account(operations, errors, checksum)`: adds to the machine's totals (checksum: wrapping sum, so that order does not matter).
pub const ACCOUNT: u32 = 14;
/// `task() -> id` of this process.
pub const TASK: u32 = 15;
/// `thread(entry, stack, argument) -> id` of a new task in this address space, which begins at `entry` with `esp` =
/// `stack` and `eax` = `argument`. It ends with `exit`; whoever made it can `wait` for it. At most 128 of a space.
pub const THREAD: u32 = 16;
/// `mprotect(address, bytes, protection)`: whole pages, all of them mapped; [`READ_ONLY`] or [`READ_WRITE`].
pub const MPROTECT: u32 = 17;
/// `mremap(address, old_bytes, new_bytes) -> address`: pages of one `mmap` move to another address; what is more is new,
/// what is less is given up. Shared memory cannot grow.
pub const MREMAP: u32 = 18;
/// `peek(id, address, buf, len) -> bytes`: copies out of the memory of another process or thread, through the chosen
/// kmap; within one page. A page that it never touched reads as zeros.
pub const PEEK: u32 = 19;
/// `discard(address, bytes)`: whole pages of private memory, which become zero (`madvise(MADV_DONTNEED)` of Linux). A thread
/// that reads there meanwhile sees what was there before or zeros.
pub const DISCARD: u32 = 20;

/// `map_file(file, first, pages) -> address` at which pages `first..first + pages` of a file stand, to be read and written:
/// the very pages that [`READ`] and [`WRITE`] copy from and to. They come on demand; after a fork both have them.
pub const MAP_FILE: u32 = 21;

/// `response(cycles)`: an operation is done, so long after it was due. For the record alone.
pub const RESPONSE: u32 = 22;

/// `sharing` of [`MMAP`]: each process has its own after a fork.
pub const PRIVATE: u32 = 0;
/// `sharing` of [`MMAP`]: the same pages for all after a fork.
pub const SHARED: u32 = 1;

/// `protection` of [`MPROTECT`]: a write ends the task.
pub const READ_ONLY: u32 = 0;
/// `protection` of [`MPROTECT`].
pub const READ_WRITE: u32 = 1;

/// Errors, as `-(value)` in `eax`.
pub mod error {
    /// No such system call, file or page; a range that does not fit.
    pub const INVALID: i32 = 22;
    /// Out of memory.
    pub const NO_MEMORY: i32 = 12;
    /// An address that the process may not use.
    pub const FAULT: i32 = 14;
    /// No children to wait for.
    pub const NO_CHILD: i32 = 10;
}
