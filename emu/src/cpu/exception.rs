//! Exceptions as data: vector, error code, and what they leave behind.
//!
//! Delivery through the IDT is in `exec/interrupt.rs`.
//! (SDM vol. 3A, "Interrupt and Exception Handling".)

/// An exception raised by an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Vector, 0..=31.
    pub vector: u8,
    /// Error code to push, where the vector has one.
    pub code: Option<u32>,
    /// Traps (#OF by `into`, #BP, single step) report the next instruction; faults this one.
    pub class: Class,
}

/// Which instruction the saved EIP names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The instruction that raised it, which has had no effect.
    Fault,
    /// The instruction after it.
    Trap,
    /// The instruction that was about to begin, at a breakpoint: as a fault, but the saved RF stays as it is, for the
    /// handler to set.
    Breakpoint,
}

/// Vector numbers.
pub mod vector {
    /// #DE divide error.
    pub const DE: u8 = 0;
    /// #DB debug.
    pub const DB: u8 = 1;
    /// Non-maskable interrupt.
    pub const NMI: u8 = 2;
    /// #BP breakpoint.
    pub const BP: u8 = 3;
    /// #OF overflow.
    pub const OF: u8 = 4;
    /// #BR bound range exceeded.
    pub const BR: u8 = 5;
    /// #UD invalid opcode.
    pub const UD: u8 = 6;
    /// #NM device not available.
    pub const NM: u8 = 7;
    /// #DF double fault.
    pub const DF: u8 = 8;
    /// #TS invalid TSS.
    pub const TS: u8 = 10;
    /// #NP segment not present.
    pub const NP: u8 = 11;
    /// #SS stack fault.
    pub const SS: u8 = 12;
    /// #GP general protection.
    pub const GP: u8 = 13;
    /// #PF page fault.
    pub const PF: u8 = 14;
    /// #MF x87 error.
    pub const MF: u8 = 16;
    /// #AC alignment check.
    pub const AC: u8 = 17;
}

impl Exception {
    /// A fault without error code.
    pub const fn plain(vector: u8) -> Exception {
        Exception { vector, code: None, class: Class::Fault }
    }

    /// A fault with error code.
    pub const fn with_code(vector: u8, code: u32) -> Exception {
        Exception { vector, code: Some(code), class: Class::Fault }
    }

    /// #UD.
    pub const UD: Exception = Exception::plain(vector::UD);
    /// #GP(0).
    pub const GP0: Exception = Exception::with_code(vector::GP, 0);
    /// #SS(0).
    pub const SS0: Exception = Exception::with_code(vector::SS, 0);
}
