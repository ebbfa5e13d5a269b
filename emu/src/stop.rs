//! Why a run ended.

use std::fmt;

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest wrote to isa-debug-exit; the process exit status is `(value << 1) | 1`.
    Exit(u32),
    /// The cycle limit was reached.
    CycleLimit(u64),
    /// A processor met an exception while delivering a double fault.
    TripleFault {
        /// The processor.
        cpu: usize,
    },
    /// An instruction, register or mode that is not modelled.
    Unmodelled {
        /// The processor.
        cpu: usize,
        /// Linear address of the instruction.
        at: u32,
        /// Its bytes.
        bytes: Vec<u8>,
        /// What is not modelled.
        what: String,
    },
    /// The guest has asked for a reset, through the keyboard controller, port 92h or port CF9h.
    Reset {
        /// The processor.
        cpu: usize,
        /// Linear address of the instruction.
        at: u32,
        /// The port.
        port: u16,
    },
    /// Under `--strict`: a port where no device is.
    EmptyPort {
        /// The processor.
        cpu: usize,
        /// Linear address of the instruction.
        at: u32,
        /// The port.
        port: u16,
    },
    /// Under `--strict`: a physical address where nothing is.
    EmptyAddress {
        /// The processor.
        cpu: usize,
        /// Linear address of the instruction.
        at: u32,
        /// The physical address.
        address: u64,
    },
    /// Under `--strict`: an MSR that is not there.
    UnknownMsr {
        /// The processor.
        cpu: usize,
        /// Linear address of the instruction.
        at: u32,
        /// The MSR number.
        msr: u32,
    },
    /// Every processor is halted and nothing can wake one.
    Deadlock,
    /// Processors run, but none has made progress for this many cycles.
    Livelock {
        /// Cycles without progress.
        cycles: u64,
    },
    /// The host asked to stop.
    Interrupted,
}

impl Stop {
    /// Short name used in results.
    pub fn reason(&self) -> &'static str {
        match self {
            Stop::Exit(_) => "exit",
            Stop::CycleLimit(_) => "cycle-limit",
            Stop::TripleFault { .. } => "triple-fault",
            Stop::Unmodelled { .. } => "unmodelled",
            Stop::Reset { .. } => "reset",
            Stop::EmptyPort { .. } => "empty-port",
            Stop::EmptyAddress { .. } => "empty-address",
            Stop::UnknownMsr { .. } => "unknown-msr",
            Stop::Deadlock => "deadlock",
            Stop::Livelock { .. } => "livelock",
            Stop::Interrupted => "interrupted",
        }
    }

    /// The process exit status that the guest asked for, as QEMU gives it.
    pub fn code(&self) -> Option<u32> {
        match self {
            Stop::Exit(v) => Some((v << 1) | 1),
            _ => None,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Exit(v) => write!(f, "guest exit with value {v:#x}"),
            Stop::CycleLimit(c) => write!(f, "cycle limit of {c} reached"),
            Stop::TripleFault { cpu } => write!(f, "triple fault on cpu {cpu}"),
            Stop::Unmodelled { cpu, at, bytes, what } => {
                write!(f, "cpu {cpu} at {at:#010x}: {what} is not modelled (bytes")?;
                for b in bytes {
                    write!(f, " {b:02x}")?;
                }
                write!(f, ")")
            }
            Stop::Reset { cpu, at, port } => {
                write!(f, "cpu {cpu} at {at:#010x}: guest asked for a reset through port {port:#x}")
            }
            Stop::EmptyPort { cpu, at, port } => {
                write!(f, "cpu {cpu} at {at:#010x}: no device at port {port:#x}")
            }
            Stop::EmptyAddress { cpu, at, address } => {
                write!(f, "cpu {cpu} at {at:#010x}: nothing at physical address {address:#x}")
            }
            Stop::UnknownMsr { cpu, at, msr } => write!(f, "cpu {cpu} at {at:#010x}: no MSR {msr:#x}"),
            Stop::Deadlock => write!(f, "deadlock: every processor is halted and nothing can wake one"),
            Stop::Livelock { cycles } => write!(f, "livelock: no progress for {cycles} cycles"),
            Stop::Interrupted => write!(f, "interrupted"),
        }
    }
}
