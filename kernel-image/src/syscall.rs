//! System calls: registers in, one function each, `eax` out. The calls
//! themselves are described in the ABI (`abi/src/syscall.rs`).

use shootdown_abi::{Mark, syscall as call};

use crate::arch::trap::TrapFrame;
use crate::mm::user;
use crate::{account, barrier, debug, marks, process, sched, syscall_mm};

/// Bytes that `print` takes from the process at a time.
const PRINT_CHUNK: usize = 256;

/// `roi(phase)`.
const ROI_BEGIN: u32 = 1;
const ROI_END: u32 = 2;

/// Does what the frame's `eax` asks for. Interrupts are on.
pub fn dispatch(frame: &mut TrapFrame) {
    let (a, b, c, d) = (frame.ebx, frame.ecx, frame.edx, frame.esi);
    let result = match frame.eax {
        call::EXIT => process::exit(a as i32),
        call::FORK => process::fork(frame),
        call::WAIT => process::wait(),
        call::YIELD => {
            sched::yield_now();
            0
        }
        call::PRINT => print(a, b),
        call::MMAP => syscall_mm::mmap(a, b),
        call::MUNMAP => syscall_mm::munmap(a, b),
        call::CREATE => syscall_mm::create(a),
        call::READ => syscall_mm::read(a, b, c, d),
        call::WRITE => syscall_mm::write(a, b, c, d),
        call::TOUCH => syscall_mm::touch(a, b, c, d),
        call::BARRIER => match barrier::wait(a, b) {
            Some(()) => 0,
            None => -call::error::INVALID,
        },
        call::ROI => roi(a),
        call::ACCOUNT => {
            account::add(a, b, c);
            0
        }
        call::THREAD => process::thread(a, b, c),
        call::MPROTECT => syscall_mm::mprotect(a, b, c),
        call::MREMAP => syscall_mm::mremap(a, b, c),
        call::DISCARD => syscall_mm::discard(a, b),
        call::PEEK => syscall_mm::peek(a, b, c, d),
        call::MAP_FILE => syscall_mm::map_file(a, b, c),
        call::RESPONSE => {
            marks::mark(Mark::Response, shootdown_abi::response(a));
            0
        }
        call::TASK => sched::current().id as i32,
        _ => -call::error::INVALID,
    };
    frame.eax = result as u32;
}

fn roi(phase: u32) -> i32 {
    let mark = match phase {
        ROI_BEGIN => Mark::RoiBegin,
        ROI_END => Mark::RoiEnd,
        _ => return -call::error::INVALID,
    };
    marks::mark_always(mark, 0);
    0
}

fn print(mut address: u32, len: u32) -> i32 {
    let mut left = len as usize;
    let mut chunk = [0; PRINT_CHUNK];
    while left > 0 {
        let part = &mut chunk[..left.min(PRINT_CHUNK)];
        if user::copy_in(part, address).is_err() {
            return -call::error::FAULT;
        }
        debug::print_bytes(part);
        address += part.len() as u32;
        left -= part.len();
    }
    len as i32
}
