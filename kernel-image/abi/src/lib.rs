//! What the guest kernel and the host side agree on, and nothing else: the
//! ports, the marks, the counters and the exit codes.
//!
//! The guest reports *marks*, never times: the emulator does all timing.
//! A mark is one 32-bit `out` to [`MARK_PORT`]:
//!
//! ```text
//!  31        24 23                       0
//! +------------+--------------------------+
//! | mark code  | payload                  |
//! +------------+--------------------------+
//! ```
//!
//! On the emulator it costs nothing; on any other machine the port is empty
//! and the write is ignored. The file is compiled for the host and for the
//! guest, so it is `no_std` and free of dependencies.
#![no_std]

pub mod syscall;

/// Port that takes marks (32-bit `out` only). Unused on a PC.
pub const MARK_PORT: u16 = 0x5d0;
/// Port of QEMU's `isa-debug-exit`: a 32-bit write of `v` ends the machine with exit status `(v << 1) | 1`.
pub const EXIT_PORT: u16 = 0xf4;
/// The debug console of Bochs and QEMU: a byte written appears on the host.
pub const DEBUG_PORT: u16 = 0xe9;
/// First serial port (16550), 115200 8N1.
pub const SERIAL_PORT: u16 = 0x3f8;

/// Vector of the local APIC timer.
pub const TIMER_VECTOR: u8 = 0xf0;
/// Vector of the IPI that asks a processor to flush its TLB.
pub const FLUSH_VECTOR: u8 = 0xf1;
/// Vector of the IPI that asks an idle processor to look for work.
pub const RESCHEDULE_VECTOR: u8 = 0xf2;

/// Bits of the payload of a mark.
pub const MARK_PAYLOAD_BITS: u32 = 24;

/// Builds the word of a mark; bits of `payload` above 23 are cut off.
pub const fn mark(code: Mark, payload: u32) -> u32 {
    ((code as u32) << MARK_PAYLOAD_BITS) | (payload & 0x00ff_ffff)
}

/// Gives an enum of consecutive codes its table of names and its checked conversion.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $value:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $value,)* }

        impl $name {
            /// Every value, in order of its code.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The value with this code, if there is one.
            pub const fn from_code(code: u8) -> Option<$name> {
                match code { $($value => Some($name::$variant),)* _ => None }
            }

            /// The name used in results and reports.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// What a mark says.
    Mark {
        /// This processor's kernel activity is now the payload (an [`Activity`] code).
        Activity = 1 "activity",
        /// A kmap begins; payload: task id. Ends with `KmapEnd` of the same task, maybe on another processor.
        KmapBegin = 2 "kmap-begin",
        /// The address of a kmap is ready to use; payload: task id.
        KmapEnd = 3 "kmap-end",
        /// An initiator begins a flush of more processors than its own; payload: task id.
        FlushBegin = 4 "flush-begin",
        /// The initiator's flush is complete everywhere; payload: task id.
        FlushEnd = 5 "flush-end",
        /// A target's flush handler has begun; payload: processor.
        HandlerBegin = 6 "handler-begin",
        /// A target has flushed and acknowledged; payload: processor.
        HandlerEnd = 7 "handler-end",
        /// The frame whose number is the payload is free from now on.
        FrameFreed = 8 "frame-freed",
        /// The frame whose number is the payload has an owner again.
        FrameUsed = 9 "frame-used",
        /// The kernel page whose linear page number is the payload now stands for another page.
        SlotGiven = 10 "slot-given",
        /// The measured part begins: figures before it are warm-up.
        RoiBegin = 11 "roi-begin",
        /// The measured part ends.
        RoiEnd = 12 "roi-end",
        /// Adds to a counter: payload bits 16-23 a [`Counter`] code, bits 0-15 the amount.
        Count = 13 "count",
        /// This processor now runs the task whose id is the payload.
        Switch = 14 "switch",
        /// This processor waits for a lock; payload: number of the processor that it sees holding it plus one, or 0 when
        /// it sees the lock free. Sent before the activity `LockSpin` begins, and each time the lock is seen in other hands.
        WaitsFor = 15 "waits-for",
        /// The shared kmap window begins at the kernel page whose linear page number is the payload: slot 0.
        WindowAt = 16 "window-at",
        /// Payload bits 0-19: the frame where a table about the slots of the window begins, consecutive in memory; bits
        /// 20-23: a [`Table`] code.
        TableAt = 17 "table-at",
        /// An operation that was due at a certain time is done; payload: its response time in cycles, as [`response`] packs it.
        Response = 18 "response",
    }
}

codes! {
    /// A table with an element for each slot of the window, for those who look from outside.
    Table {
        /// Elements of 16 bits: 0 no PTE, 1 mapped and used by nobody, n + 1 used by n.
        Counts = 0 "counts",
        /// Elements of 24 bytes: the frame that is mapped as 32 bits (all ones: none), then how many use it as 32 bits.
        Pins = 1 "pins",
    }
}

/// The payload of [`Mark::TableAt`].
pub const fn table_at(table: Table, frame: u32) -> u32 {
    (table as u32) << 20 | frame & 0xf_ffff
}

/// Bits of the payload of [`Mark::Response`] that the leading digits have; those above say by how many bits they are shifted.
const RESPONSE_DIGITS: u32 = 20;

/// The payload of [`Mark::Response`]: exact below 2^20 cycles, from there on to one part in 2^19.
pub const fn response(cycles: u32) -> u32 {
    let shift = (u32::BITS - cycles.leading_zeros()).saturating_sub(RESPONSE_DIGITS);
    shift << RESPONSE_DIGITS | cycles >> shift
}

/// The cycles that a payload of [`Mark::Response`] says.
pub const fn response_cycles(payload: u32) -> u64 {
    let digits = payload & ((1 << RESPONSE_DIGITS) - 1);
    (digits as u64) << (payload >> RESPONSE_DIGITS & 15)
}

codes! {
    /// What a processor's kernel is busy with. The emulator itself charges ring 3 to `User`.
    Activity {
        /// Ring 3.
        User = 0 "user",
        /// Kernel work that is none of the below.
        Kernel = 1 "kernel",
        /// Finding, mapping or releasing a kernel address for a page.
        Kmap = 2 "kmap",
        /// Starting a flush of other processors, and the own flush that belongs to it.
        FlushInit = 3 "flush-init",
        /// Waiting for the acknowledgements of other processors.
        AckWait = 4 "ack-wait",
        /// The handler of a flush IPI.
        IpiHandler = 5 "ipi-handler",
        /// Spinning on a lock.
        LockSpin = 6 "lock-spin",
        /// Nothing to run.
        Idle = 7 "idle",
    }
}

codes! {
    /// Counters that only the kernel can keep.
    Counter {
        /// Operations completed by the workload.
        Operations = 0 "operations",
        /// Pages whose content was not what it had to be.
        DataErrors = 1 "data_errors",
        /// kmaps asked for.
        Kmaps = 2 "kmaps",
        /// kmaps that wrote a PTE.
        Maps = 3 "maps",
        /// Times the cursor of `batched` wrapped and flushed.
        Wraps = 4 "wraps",
        /// Slots of `deferred-*` and `shared-invlpg` taken from one page and given to another.
        Recycles = 5 "recycles",
        /// Conflicts of `deferred-*`: a processor was out of date for a slot and had to invalidate (`deferred-seq`: all did).
        Conflicts = 6 "conflicts",
        /// Context switches that loaded CR3.
        MmSwitches = 7 "mm_switches",
        /// Context switches that kept CR3 (kernel threads, idle, same address space).
        LazySwitches = 8 "lazy_switches",
        /// Flushes of user translations for which other processors were interrupted.
        Shootdowns = 9 "shootdowns",
        /// PTEs that reclaim looked at to find those of its victims.
        PtesVisited = 10 "ptes_visited",
        /// Frames that reclaim has freed.
        Reclaimed = 11 "reclaimed",
        /// Pages copied back from the swap device.
        SwapIns = 12 "swap_ins",
        /// Pages that went to a device or came from it through a bounce page.
        Bounces = 13 "bounces",
        /// Times a task found no bounce page and slept.
        BounceWaits = 14 "bounce_waits",
        /// Pages of files read from the device.
        FileIns = 15 "file_ins",
        /// Pages of files written to the device.
        FileOuts = 16 "file_outs",
        /// Searches for the PTEs of a page.
        RmapSearches = 17 "rmap_searches",
        /// Address spaces, or areas of a list, that those looked into.
        RmapSteps = 18 "rmap_steps",
        /// PTEs that reclaim took, each with a flush of its translations.
        PtesTaken = 19 "ptes_taken",
    }
}

/// Values written to [`EXIT_PORT`].
pub mod exit {
    /// All went well (process exit status 33 on QEMU).
    pub const OK: u32 = 0x10;
    /// The workload found wrong data.
    pub const DATA_ERROR: u32 = 0x11;
    /// The kernel panicked.
    pub const PANIC: u32 = 0x12;
    /// The command line asks for something that the kernel does not have.
    pub const BAD_COMMAND_LINE: u32 = 0x13;
    /// Tasks wait for each other for ever.
    pub const DEADLOCK: u32 = 0x14;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_convert_both_ways() {
        for &m in Mark::ALL {
            assert_eq!(Mark::from_code(m as u8), Some(m));
        }
        for (i, &a) in Activity::ALL.iter().enumerate() {
            assert_eq!(a as usize, i, "activities index the ledger");
        }
        for (i, &c) in Counter::ALL.iter().enumerate() {
            assert_eq!(c as usize, i, "counters index a table");
        }
        assert_eq!(Mark::from_code(0), None);
    }

    #[test]
    fn a_response_time_comes_through_to_its_digits() {
        for cycles in [0, 1, 0xf_ffff, 0x10_0000, 0x12_3457, 0x1234_5678, u32::MAX] {
            let told = response_cycles(mark(Mark::Response, response(cycles)) & 0xff_ffff);
            assert!(
                told <= u64::from(cycles) && (u64::from(cycles) - told) << 19 <= u64::from(cycles),
                "{cycles}: {told}"
            );
        }
        assert_eq!(response_cycles(response(0xf_ffff)), 0xf_ffff);
    }

    #[test]
    fn mark_keeps_code_and_payload_apart() {
        assert_eq!(mark(Mark::FrameFreed, 0xffff_ffff), 0x08ff_ffff);
    }
}
