//! The machine's totals, and its orderly end.
//!
//! The checksum is a wrapping sum over all processes, so that neither the
//! order in which they end nor the number of processors shows in it.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shootdown_abi::{Counter, exit};

use crate::{cmdline, debug, marks, multiboot, println};

static OPERATIONS: AtomicU32 = AtomicU32::new(0);
static ERRORS: AtomicU32 = AtomicU32::new(0);
static CHECKSUM: AtomicU32 = AtomicU32::new(0);

/// Exit statuses of the user program (`workloads/guest`) that the kernel tells apart.
const STATUS_WRONG_DATA: i32 = 1;
const STATUS_BAD_ARGUMENTS: i32 = 2;

/// What a process has done, found and seen.
pub fn add(operations: u32, errors: u32, checksum: u32) {
    OPERATIONS.fetch_add(operations, Relaxed);
    marks::count(Counter::Operations, operations);
    CHECKSUM.fetch_add(checksum, Relaxed);
    data_errors(errors);
}

/// Pages whose content was not what it had to be.
pub fn data_errors(errors: u32) {
    if errors > 0 {
        ERRORS.fetch_add(errors, Relaxed);
        marks::count(Counter::DataErrors, errors);
    }
}

/// The first process has ended: prints the totals and ends the machine.
pub fn finish(status: i32) -> ! {
    let workload = multiboot::info()
        .module
        .as_ref()
        .and_then(|module| module.arguments().split_ascii_whitespace().nth(1))
        .unwrap_or("none");
    let (operations, errors, checksum) =
        (OPERATIONS.load(Relaxed), ERRORS.load(Relaxed), CHECKSUM.load(Relaxed));
    let code = match status {
        0 if errors == 0 => exit::OK,
        0 | STATUS_WRONG_DATA => exit::DATA_ERROR,
        STATUS_BAD_ARGUMENTS => exit::BAD_COMMAND_LINE,
        _ => exit::PANIC,
    };
    if code == exit::OK || code == exit::DATA_ERROR {
        println!("checksum {workload} {} {checksum:#010x}", cmdline::options().kmap.name());
        println!("operations {operations} errors {errors}");
    } else {
        println!("the first process ended with status {status}");
    }
    debug::power_off(code)
}
