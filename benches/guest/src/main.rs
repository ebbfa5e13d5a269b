//! A small Multiboot kernel that measures how fast an x86 emulator is.
//!
//! The command line picks a load and its length, such as `integer n=1000000`:
//!
//! | load | one `n` | what it asks of an emulator |
//! |---|---|---|
//! | `integer` | about 36 instructions | arithmetic, branches, calls in registers |
//! | `mixed` | one pass of [`mixed`] | compiled code, about 40 % of it with memory operands, in 16 KiB |
//! | `walk` | 4096 pages, 10 instructions each | misses of the data TLB |
//! | `kmap` | one map, 110 instructions | a PTE written, `invlpg`, the page used |
//! | `shootdown` | one broadcast IPI, all acknowledged | interrupts between processors (`cpus=`, 4) |
//!
//! All run with paging on and 4 KiB pages. The result is a function of `n`
//! alone (and shows that the emulator did the work right): the lines `start LOAD`
//! and `result LOAD 0x........` on the serial port. Then the machine is ended through
//! isa-debug-exit (QEMU and shootdown) or Bochs's shutdown port, whichever is there.
#![no_std]
#![no_main]

mod console;
mod machine;
mod mixed;

use core::arch::global_asm;
use core::ffi::{CStr, c_char};

use shootdown_abi::exit;

global_asm!(
    include_str!("boot.s"),
    main = sym main,
    ap_main = sym ap_main,
    fault = sym fault,
);
global_asm!(include_str!("loads.s"));

unsafe extern "C" {
    fn load_integer(n: u32) -> u32;
    fn load_walk(n: u32, memory: *mut u32, pages: u32) -> u32;
    fn load_kmap(n: u32, ptes: *mut u32, window: u32, first_pte: u32) -> u32;
    fn load_shootdown(n: u32, targets: u32, page: u32);
    fn poll_until_stop();
}

/// What a Multiboot loader leaves in `eax`.
const MULTIBOOT_MAGIC: u32 = 0x2bad_b002;
/// Bit of the information's flags: there is a command line.
const HAS_COMMAND_LINE: u32 = 1 << 2;

/// Pages of `walk`: more than any TLB holds, the software TLBs of other emulators included (Bochs 2.7: 2048).
const WALK_PAGES: usize = 4096;

extern "C" fn main(magic: u32, info: *const u32) {
    machine::set_up();
    // SAFETY: a Multiboot loader hands over the address of its information; word 0 holds
    // flags that say whether word 4 is the address of the command line.
    let line = unsafe {
        if magic == MULTIBOOT_MAGIC && *info & HAS_COMMAND_LINE != 0 {
            CStr::from_ptr(*info.add(4) as *const c_char).to_bytes()
        } else {
            b""
        }
    };
    let n = number(line, b"n=");
    let cpus = number(line, b"cpus=").unwrap_or(4);
    let found = words(line).find_map(|word| LOADS.iter().find(|load| load.name.as_bytes() == word));
    let Some(load) = found else {
        console::put(
            "bench: no load in the command line: integer, mixed, walk, kmap or shootdown, and n=COUNT\n",
        );
        machine::end(exit::BAD_COMMAND_LINE);
    };
    let n = n.unwrap_or(load.standard_n).max(1);
    // Whoever measures takes the time from this line to the next.
    console::put("start ");
    console::put(load.name);
    console::put("\n");
    match (load.run)(n, cpus) {
        Some(result) => {
            console::put("result ");
            console::put(load.name);
            console::put(" 0x");
            console::put_hex(result);
            console::put("\n");
            machine::end(exit::OK)
        }
        None => machine::end(exit::BAD_COMMAND_LINE),
    }
}

/// One of the loads: its name, its length when none is given, what runs it.
struct Load {
    name: &'static str,
    standard_n: u32,
    run: fn(n: u32, cpus: u32) -> Option<u32>,
}

const LOADS: &[Load] = &[
    Load {
        name: "integer",
        standard_n: 1_000_000,
        // SAFETY: touches registers and the stack only.
        run: |n, _| Some(unsafe { load_integer(n) }),
    },
    Load { name: "mixed", standard_n: 100, run: |n, _| Some(mixed::run(n)) },
    Load {
        name: "walk",
        standard_n: 1000,
        // SAFETY: stays within the WALK_PAGES pages from WALK_MEMORY on, which nothing else uses.
        run: |n, _| {
            Some(unsafe {
                let memory = machine::WALK_MEMORY as *mut u32;
                for line in 0..WALK_PAGES * 64 {
                    memory.add(line * 16).write(line as u32);
                }
                load_walk(n, memory, WALK_PAGES as u32)
            })
        },
    },
    Load {
        name: "kmap",
        standard_n: 100_000,
        // SAFETY: the window's PTEs and the 1024 frames from KMAP_FRAMES on belong to this load.
        run: |n, _| {
            Some(unsafe {
                load_kmap(
                    n,
                    machine::window_ptes(),
                    machine::WINDOW,
                    machine::KMAP_FRAMES | machine::PRESENT_WRITABLE,
                )
            })
        },
    },
    Load { name: "shootdown", standard_n: 10_000, run: shootdown },
];

fn shootdown(n: u32, cpus: u32) -> Option<u32> {
    let targets = cpus.clamp(2, 64) - 1;
    if !machine::start_others(targets) {
        console::put("bench: shootdown needs cpus= processors (4), but fewer came up\n");
        return None;
    }
    // SAFETY: all targets run poll_until_stop with the handler in place; the page is the window's first.
    unsafe { load_shootdown(n, targets, machine::WINDOW) };
    let left = machine::stop_others();
    Some(n ^ left)
}

/// Where the other processors go.
extern "C" fn ap_main() {
    machine::set_up_other();
    // SAFETY: the interrupt table is loaded; the handler touches the shared words only.
    unsafe { poll_until_stop() };
}

/// Any exception.
extern "C" fn fault() -> ! {
    console::put("bench: unexpected exception\n");
    machine::end(exit::PANIC)
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ')
}

/// The decimal number after `key`.
fn number(line: &[u8], key: &[u8]) -> Option<u32> {
    let digits = words(line).find_map(|word| word.strip_prefix(key))?;
    digits.iter().try_fold(0u32, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        sum.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    console::put("bench: panic\n");
    machine::end(exit::PANIC)
}
