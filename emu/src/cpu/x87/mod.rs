//! The x87 floating-point unit: eight registers of 80 bits as a stack, control and status word.
//!
//! ```text
//!  float      the 80-bit format; rounding once, to the precision in force
//!  arith      add, subtract, multiply, divide, square root, compare; NaNs
//!  convert    to and from memory formats, round to integer
//!  partial    fprem, fprem1, fscale, fxtract
//!  wide       128-bit significands for ...
//!  transcendental
//!  stack      what the instructions do to the stack and the status word, by opcode
//!  image      fsave, fstenv, fxsave and back
//! ```
//!
//! Nothing here knows of memory or of the processor: `cpu/exec/fpu.rs` brings operands and
//! raises #NM and #MF. An instruction with an unmasked invalid, denormal or zero-divide exception changes
//! nothing but the status word; an overflow or underflow that is unmasked leaves a wrapped exponent in a
//! register and memory as it was.
//! (SDM vol. 1, chapter "Programming with the x87 FPU".)

pub mod arith;
pub mod convert;
pub mod float;
pub mod image;
pub mod partial;
pub mod stack;
pub mod transcendental;
pub mod wide;

use float::{Env, F80, flag};
pub use stack::Ports;

/// Where the last instruction and its operand were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pointers {
    /// Low 11 bits of the opcode.
    pub opcode: u16,
    /// Offset of the instruction.
    pub ip: u32,
    /// Its code segment.
    pub cs: u16,
    /// Offset of the memory operand.
    pub dp: u32,
    /// Its segment.
    pub ds: u16,
}

/// The unit's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fpu {
    /// Registers by number, not by place in the stack.
    regs: [F80; 8],
    /// Bit n: register n holds something.
    full: u8,
    /// Register number of ST(0).
    top: u8,
    /// Status word without TOP.
    status: u16,
    /// Control word.
    control: u16,
    /// For the handler of an exception.
    pub last: Pointers,
}

/// Bits of the control word that hold; bit 6 reads one.
const CONTROL: u16 = 0x1f3f;

impl Default for Fpu {
    /// The state after RESET: not that of `fninit`.
    fn default() -> Fpu {
        Fpu {
            regs: [F80::default(); 8],
            full: 0xff,
            top: 0,
            status: 0,
            control: 0x40,
            last: Pointers::default(),
        }
    }
}

impl Fpu {
    /// `fninit`. The registers keep their bits, all marked empty.
    pub fn initialise(&mut self) {
        *self = Fpu { regs: self.regs, full: 0, control: 0x37f, ..Fpu::default() };
    }

    /// `fnclex`.
    pub fn clear_exceptions(&mut self) {
        self.status &= !(flag::B | 0xff);
    }

    /// The control word.
    pub fn control(&self) -> u16 {
        self.control
    }

    /// `fldcw`. An exception that this unmasks is pending from now on.
    pub fn set_control(&mut self, v: u16) {
        self.control = v & CONTROL | 0x40;
        self.summarise();
    }

    /// The status word.
    pub fn status(&self) -> u16 {
        self.status | u16::from(self.top & 7) << 11
    }

    fn set_status(&mut self, v: u16) {
        self.top = (v >> 11 & 7) as u8;
        self.status = v & !(7 << 11);
        self.summarise();
    }

    /// Is an unmasked exception waiting for the next waiting instruction?
    pub fn pending(&self) -> bool {
        self.status & flag::ES != 0
    }

    /// ES and B follow from flags and masks.
    fn summarise(&mut self) {
        self.status &= !(flag::ES | flag::B);
        if self.status & !self.control & 0x3f != 0 {
            self.status |= flag::ES | flag::B;
        }
    }

    fn env(&self) -> Env {
        Env::new(self.control)
    }

    fn number(&self, i: u8) -> usize {
        usize::from(self.top.wrapping_add(i) & 7)
    }

    fn get(&self, i: u8) -> F80 {
        self.regs[self.number(i)]
    }

    fn set(&mut self, i: u8, v: F80) {
        let n = self.number(i);
        self.regs[n] = v;
        self.full |= 1 << n;
    }

    fn empty(&self, i: u8) -> bool {
        self.full & 1 << self.number(i) == 0
    }

    fn free(&mut self, i: u8) {
        self.full &= !(1 << self.number(i));
    }

    fn pop(&mut self) {
        self.free(0);
        self.top = self.top.wrapping_add(1) & 7;
    }

    fn push(&mut self, v: F80) {
        self.top = self.top.wrapping_sub(1) & 7;
        self.set(0, v);
    }

    /// Records what was raised, with C1 as it then is. Must the operation be given up?
    fn settle(&mut self, env: &Env) -> bool {
        self.status = self.status & !flag::C1 | env.raised;
        self.summarise();
        env.unmasked(flag::IE | flag::DE | flag::ZE)
    }

    /// A register is empty that should not be. May the masked answer be given?
    fn underflow(&mut self) -> bool {
        self.stack_fault(0)
    }

    /// There is no room for a push. May the masked answer be given?
    fn overflow(&mut self) -> bool {
        self.stack_fault(flag::C1)
    }

    fn stack_fault(&mut self, c1: u16) -> bool {
        let mut env = self.env();
        env.raise(flag::IE | flag::SF | c1);
        !self.settle(&env)
    }
}
