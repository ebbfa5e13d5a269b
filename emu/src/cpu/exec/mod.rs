//! The handlers: what each operation does, one file per group of the manual.
//!
//! ```text
//!  arith  logic  shift  muldiv  bits  bcd  flag    registers and flags
//!  mov  stack  string  atomic                      data movement
//!  branch                                          near control transfer
//!  fpu                                             x87: operands for `cpu/x87`
//!  fused                                           compare and jump as one operation
//!  segment  far  task  interrupt  system  msr  io  the system side
//!  descriptor  cpuid  reset                        what the system side shares
//!  operand                                         how handlers reach memory and the stack
//! ```
//!
//! A handler is generic over the operand width ([`Word`](super::word::Word)), over
//! what it computes, and over how the memory operand is addressed
//! ([`operand::Place`]), so that the source holds one function per operation and
//! the compiler makes the variants. Names end in the operand form: `_rr` register,
//! register; `_rm` register, memory; `_mr` memory, register; `_ri` and `_mi` with an
//! immediate; `_r` and `_m` with a single operand.
//!
//! Every handler reads and checks first and commits last: when it returns a
//! fault, nothing has changed. (SDM vol. 2, "Instruction Set Reference".)

pub mod arith;
pub mod atomic;
pub mod bcd;
pub mod bits;
pub mod branch;
pub mod cpuid;
pub mod descriptor;
pub mod far;
pub mod flag;
pub mod fpu;
#[cfg(test)]
mod fpu_tests;
pub mod fused;
pub mod interrupt;
pub mod io;
pub mod logic;
pub mod mov;
pub mod msr;
pub mod muldiv;
pub mod operand;
pub mod reset;
pub mod segment;
pub mod shift;
pub mod stack;
pub mod string;
pub mod system;
mod task;
#[cfg(test)]
mod tests;

use super::exception::Exception;
use super::op::{CS, Flow, Op, Step};
use super::{Cpu, Request};
use crate::bus::Bus;
use crate::stop::Stop;

/// Bytes of an instruction at most.
pub const MAX_INSTRUCTION: usize = 15;

/// A bit pattern that is no instruction of this processor: #UD.
pub fn undefined(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    cpu.raise(Exception::UD)
}

/// An instruction of more than 15 bytes: #GP(0).
pub fn too_long(cpu: &mut Cpu, _bus: &mut Bus, _op: &Op) -> Step {
    cpu.raise(Exception::GP0)
}

/// An instruction of the processor that the emulator has not: the run ends. Its
/// bytes travel in the operation's fields (see [`keep_bytes`]).
pub fn unmodelled(cpu: &mut Cpu, _bus: &mut Bus, op: &Op) -> Step {
    let at = cpu.seg[CS as usize].base.wrapping_add(cpu.this_eip(op));
    let mnemonic = usize::from(op.index) | usize::from(op.scale) << 8;
    let what = match iced_x86::Mnemonic::try_from(mnemonic) {
        Ok(m) => format!("the instruction {m:?}").to_lowercase(),
        Err(_) => "an instruction".to_string(),
    };
    cpu.eip = cpu.this_eip(op);
    cpu.request = Some(Request::Stop(Stop::Unmodelled { cpu: cpu.id, at, bytes: kept_bytes(op), what }));
    Err(Flow::Request)
}

/// Puts an instruction's bytes and its mnemonic's number into the fields that [`unmodelled`] reads them from.
pub fn keep_bytes(op: &mut Op, bytes: &[u8], mnemonic: usize) {
    let mut b = [0; 16];
    let n = bytes.len().min(MAX_INSTRUCTION);
    b[..n].copy_from_slice(&bytes[..n]);
    let word = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
    (op.imm, op.disp, op.mask) = (word(0), word(4), word(8));
    (op.dst, op.src, op.base) = (b[12], b[13], b[14]);
    (op.index, op.scale) = (mnemonic as u8, (mnemonic >> 8) as u8);
}

fn kept_bytes(op: &Op) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAX_INSTRUCTION);
    for word in [op.imm, op.disp, op.mask] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([op.dst, op.src, op.base]);
    bytes.truncate(usize::from(op.len));
    bytes
}
