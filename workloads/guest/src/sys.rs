//! System calls, program start and the console: all `unsafe` of this program
//! but that of `lock` and `memory`.
//!
//! `int 0x80` with the number in `eax` and arguments in `ebx`, `ecx`, `edx`,
//! `esi`, as `abi::syscall` says. LLVM keeps `esi` for itself on 32-bit x86,
//! so the fourth argument changes places with it around the instruction.

use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};
use core::fmt;

use shootdown_abi::syscall;

/// Bytes of a page.
pub const PAGE: u32 = 4096;

// The kernel starts the program with the address of the argument string in eax and
// the number of processors in ebx, and nothing else on the stack that we need.
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor ebp, ebp",
    "and esp, -16",
    "sub esp, 8",
    "push ebx",
    "push eax",
    "call {start}",
    "ud2",
    ".size _start, . - _start",
    start = sym start,
);

/// # Safety
/// `arguments` is the address of a NUL-terminated string that nobody changes.
unsafe extern "C" fn start(arguments: *const c_char, cpus: u32) -> ! {
    // SAFETY: the kernel put the string there before the program began (abi::syscall).
    let arguments = unsafe { CStr::from_ptr(arguments) };
    let status = match arguments.to_str() {
        Ok(text) => crate::main(text, cpus),
        Err(_) => {
            crate::say!("guest: the arguments are no text");
            crate::BAD_ARGUMENTS
        }
    };
    exit(status)
}

/// # Safety
/// Pointers among the arguments have to be good for what the call does with them.
unsafe fn call(number: u32, a: u32, b: u32, c: u32, d: u32) -> u32 {
    let result;
    // SAFETY: the kernel keeps all registers but eax; memory it may change through the
    // pointers is the caller's promise. Flags are not kept.
    unsafe {
        asm!(
            "xchg esi, {d}",
            "int 0x80",
            "xchg esi, {d}",
            d = inout(reg) d => _,
            inlateout("eax") number => result,
            in("ebx") a,
            in("ecx") b,
            in("edx") c,
        );
    }
    result
}

/// An error of a call: the positive code from `abi::syscall::error`.
pub type Result<T> = core::result::Result<T, u32>;

/// Splits the results of those calls that never return `-255..=-1` otherwise.
fn checked(result: u32) -> Result<u32> {
    if result > u32::MAX - 255 { Err(result.wrapping_neg()) } else { Ok(result) }
}

fn off_len(offset: u32, length: u32) -> u32 {
    length << 16 | offset
}

/// Ends the process.
pub fn exit(status: u32) -> ! {
    // SAFETY: no pointers.
    unsafe { call(syscall::EXIT, status, 0, 0, 0) };
    loop {
        // Not reached; an endless loop must not be a wild jump instead.
        yield_now();
    }
}

/// Doubles the process; the child gets 0, the parent the child's id.
pub fn fork() -> Result<u32> {
    // SAFETY: no pointers; the child has its own copy of all memory.
    checked(unsafe { call(syscall::FORK, 0, 0, 0, 0) })
}

/// Sleeps until a child ends and returns its exit status.
pub fn wait() -> Result<u32> {
    // SAFETY: no pointers.
    checked(unsafe { call(syscall::WAIT, 0, 0, 0, 0) })
}

/// Lets others run.
pub fn yield_now() {
    // SAFETY: no pointers.
    unsafe { call(syscall::YIELD, 0, 0, 0, 0) };
}

/// New anonymous memory of whole pages, all zero. Never given back.
pub fn memory(pages: u32) -> Result<&'static mut [u32]> {
    let bytes = pages.checked_mul(PAGE).ok_or(12u32)?;
    // SAFETY: no pointers go in.
    let address = checked(unsafe { call(syscall::MMAP, bytes, 0, 0, 0) })?;
    // SAFETY: the kernel gave us this range, zeroed, page aligned, and gives it to nobody else.
    Ok(unsafe { core::slice::from_raw_parts_mut(address as *mut u32, bytes as usize / 4) })
}

/// New anonymous memory of whole pages, all zero; its address. `sharing` as in `abi::syscall`.
pub fn map(pages: u32, sharing: u32) -> Result<u32> {
    let bytes = pages.checked_mul(PAGE).ok_or(12u32)?;
    // SAFETY: no pointers go in.
    checked(unsafe { call(syscall::MMAP, bytes, sharing, 0, 0) })
}

/// Gives memory back that nobody uses any more.
pub fn unmap(address: u32, pages: u32) -> Result<()> {
    // SAFETY: the callers own the range (`memory::Region`).
    checked(unsafe { call(syscall::MUNMAP, address, pages * PAGE, 0, 0) }).map(|_| ())
}

/// Makes memory zero by giving its frames back.
pub fn discard(address: u32, pages: u32) -> Result<()> {
    // SAFETY: the callers own the range (`memory::Region`), and others read it word by word.
    checked(unsafe { call(syscall::DISCARD, address, pages * PAGE, 0, 0) }).map(|_| ())
}

/// Changes what may be done with memory; `protection` as in `abi::syscall`.
pub fn protect(address: u32, pages: u32, protection: u32) -> Result<()> {
    // SAFETY: a write that is not allowed ends the task, nothing else.
    checked(unsafe { call(syscall::MPROTECT, address, pages * PAGE, protection, 0) }).map(|_| ())
}

/// Moves memory; its new address.
pub fn remap(address: u32, old_pages: u32, new_pages: u32) -> Result<u32> {
    // SAFETY: the callers own the range (`memory::Region`).
    checked(unsafe { call(syscall::MREMAP, address, old_pages * PAGE, new_pages * PAGE, 0) })
}

/// Copies from `address` in another process until `words` is full; all within one page.
pub fn peek(id: u32, address: u32, words: &mut [u32]) -> Result<u32> {
    let length = words.len() as u32 * 4;
    let buffer = words.as_mut_ptr() as u32;
    // SAFETY: the kernel writes `length` bytes at `buffer`, which is `words`; any bits are a u32.
    checked(unsafe { call(syscall::PEEK, id, address, buffer, length) })
}

/// What a thread finds at the top of its stack. `thread_start` calls through the third word.
#[repr(C)]
struct Start<F> {
    task: *const F,
    index: u32,
    run: unsafe extern "C" fn(*const Start<F>) -> !,
}

// The kernel starts a thread with the address of its `Start` in eax.
global_asm!(
    "thread_start:",
    "xor ebp, ebp",
    "and esp, -16",
    "sub esp, 12",
    "push eax",
    "call [eax + 8]",
    "ud2",
);

/// Makes a thread of this process that runs `task(index)` on `stack` and ends with what it returns; its id.
///
/// # Safety
/// `task` has to stay where it is until the thread has ended.
pub unsafe fn thread<F: Fn(u32) -> u32 + Sync>(
    stack: &'static mut [u32],
    task: &F,
    index: u32,
) -> Result<u32> {
    unsafe extern "C" {
        fn thread_start() -> !;
    }
    let top = stack.as_mut_ptr_range().end as u32 - 64;
    let start = top as *mut Start<F>;
    // SAFETY: the stack is this thread's alone, and 64 bytes hold a `Start`.
    unsafe {
        start.write(Start { task, index, run: begin::<F> });
        checked(call(syscall::THREAD, thread_start as *const () as u32, top, top, 0))
    }
}

/// # Safety
/// Called by `thread_start` only, with what [`thread`] has written.
unsafe extern "C" fn begin<F: Fn(u32) -> u32>(start: *const Start<F>) -> ! {
    // SAFETY: promised by the caller of `thread`.
    let (task, index) = unsafe { (&*(*start).task, (*start).index) };
    exit(task(index))
}

/// A new file of that many pages.
pub fn create(pages: u32) -> Result<u32> {
    // SAFETY: no pointers.
    checked(unsafe { call(syscall::CREATE, pages, 0, 0, 0) })
}

/// Copies from a page of a file, beginning at byte `offset`, until `words` is full.
pub fn read(file: u32, page: u32, offset: u32, words: &mut [u32]) -> Result<u32> {
    let length = words.len() as u32 * 4;
    let buffer = words.as_mut_ptr() as u32;
    // SAFETY: the kernel writes `length` bytes at `buffer`, which is `words`; any bits are a u32.
    checked(unsafe { call(syscall::READ, file, page, buffer, off_len(offset, length)) })
}

/// Copies all of `words` into a page of a file, beginning at byte `offset`.
pub fn write(file: u32, page: u32, offset: u32, words: &[u32]) -> Result<u32> {
    let length = words.len() as u32 * 4;
    let buffer = words.as_ptr() as u32;
    // SAFETY: the kernel only reads `words`.
    checked(unsafe { call(syscall::WRITE, file, page, buffer, off_len(offset, length)) })
}

/// Maps pages `first..first + pages` of a file; the address.
pub fn map_file(file: u32, first: u32, pages: u32) -> Result<u32> {
    // SAFETY: no pointers go in.
    checked(unsafe { call(syscall::MAP_FILE, file, first, pages, 0) })
}

/// The wrapping sum of the words of a range of a page, mapped for `hold` rounds.
/// A sum may look like an error: the caller compares it with what it has to be.
pub fn touch(file: u32, page: u32, offset: u32, length: u32, hold: u32) -> u32 {
    // SAFETY: no pointers.
    unsafe { call(syscall::TOUCH, file, page, off_len(offset, length), hold) }
}

/// The time-stamp counter of the processor that the task runs on.
pub fn time() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the kernel lets ring 3 read it.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags)) }
    u64::from(high) << 32 | u64::from(low)
}

/// Tells how long after it was due an operation is done.
pub fn response(cycles: u32) {
    // SAFETY: no pointers.
    unsafe { call(syscall::RESPONSE, cycles, 0, 0, 0) };
}

/// The id of this process.
pub fn task() -> u32 {
    // SAFETY: no pointers.
    unsafe { call(syscall::TASK, 0, 0, 0, 0) }
}

/// Sleeps until `n` processes are at this barrier.
pub fn barrier(id: u32, n: u32) {
    // SAFETY: no pointers.
    unsafe { call(syscall::BARRIER, id, n, 0, 0) };
}

/// The measured part begins.
pub fn roi_begin() {
    // SAFETY: no pointers.
    unsafe { call(syscall::ROI, 1, 0, 0, 0) };
}

/// The measured part ends.
pub fn roi_end() {
    // SAFETY: no pointers.
    unsafe { call(syscall::ROI, 2, 0, 0, 0) };
}

/// Adds to the machine's totals.
pub fn account(operations: u32, errors: u32, checksum: u32) {
    // SAFETY: no pointers.
    unsafe { call(syscall::ACCOUNT, operations, errors, checksum, 0) };
}

/// A line under construction: one line is one call, so that lines of many tasks do not mix.
pub struct Line {
    bytes: [u8; 200],
    used: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Line {
        Line { bytes: [0; 200], used: 0 }
    }

    /// Prints the line and its newline; what did not fit is lost.
    pub fn print(mut self) {
        let end = self.used.min(self.bytes.len() - 1);
        self.bytes[end] = b'\n';
        let buffer = self.bytes.as_ptr() as u32;
        // SAFETY: the kernel only reads `end + 1` bytes of the array.
        unsafe { call(syscall::PRINT, buffer, end as u32 + 1, 0, 0) };
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.used..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.used += taken;
        Ok(())
    }
}

/// Prints one line on the console.
#[macro_export]
macro_rules! say {
    ($($what:tt)*) => {{
        let mut line = $crate::sys::Line::new();
        let _ = core::fmt::Write::write_fmt(&mut line, format_args!($($what)*));
        line.print();
    }};
}
