//! A kernel for one processor out of the image for many (`smp=off`): its LOCK prefixes are taken away at boot.
//!
//! A prefix makes way for one that means nothing to these instructions, as with the
//! SMP alternatives of Linux 2.6. Where they are is not for the compiler to say
//! and not to be guessed: the image's build decodes all code, and fills [`SITES`]
//! (`xtask/src/smp_locks.rs`).
//!
//! There is nothing else to take away: with one processor nobody ever waits for a
//! spinlock, no list of those who have to flush has anybody on it, and no IPI is
//! sent. `xchg` with memory locks without a prefix; the build refuses an image
//! that has one.
//!
//! Left out: the words of spinlocks are still taken, by a compare-exchange that
//! always succeeds, where a kernel that was compiled for one processor has nothing
//! but a count of preemption.

use crate::cmdline::options;
use crate::println;

/// Prefixes that the image's build can list.
const ROOM: usize = 1024;
const LOCK: u8 = 0xf0;
/// DS, which all segments equal here.
const NOTHING: u8 = 0x3e;

/// Linear addresses of all LOCK prefixes of the kernel's code, and a 0 behind the last. Written into the linked image.
#[used]
#[unsafe(link_section = ".smp_locks")]
static SITES: [u32; ROOM] = [0; ROOM];

/// Takes the prefixes away if the user says so. On the boot processor, on the boot page tables, which let code be written.
pub fn init() {
    if options().smp {
        return;
    }
    let mut count = 0;
    // SAFETY: reads an element; volatile, since the compiler knows nothing of what the image's build writes.
    let site = |n: usize| unsafe { SITES.as_ptr().add(n).read_volatile() };
    for at in (0..ROOM).map(site).take_while(|&at| at != 0) {
        let prefix = at as *mut u8;
        // SAFETY: nobody else runs, and a prefix is exchanged for another of the same length. The processor sees
        // changed code from the next jump on (SDM vol. 3A, "Self-Modifying Code").
        unsafe {
            assert!(prefix.read_volatile() == LOCK, "no LOCK prefix at {at:#x}");
            prefix.write_volatile(NOTHING);
        }
        count += 1;
    }
    assert!(count > 0, "the image does not list its LOCK prefixes");
    println!("smp=off: {count} LOCK prefixes taken away");
}
