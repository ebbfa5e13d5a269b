//! Bytes to blocks of operations, once per block.
//!
//! ```text
//!  bytes -> iced-x86 -> form.rs (operands, widths, place)
//!                    -> table.rs, system.rs, x87.rs (mnemonic -> handler, cost class, effects)
//!                    -> here: costs, the end of the block
//! ```
//!
//! A block depends on its bytes, on its mode and on the processor's model, but not on its
//! linear address: branch targets are distances from the block's start. It ends
//! after an operation that may go elsewhere or change what decoding depends on,
//! before an instruction that reaches into the next page, and at [`MAX_OPS`].
//! A comparison and the jump behind it become one operation (`fuse.rs`).
//!
//! Prefixes that this generation of processors ignores stay ignored: `rep bsf` is
//! `bsf` (not `tzcnt`), the reserved opcodes 0F 18 to 0F 1F do nothing. A LOCK
//! prefix where none is allowed makes the instruction undefined.
//! (SDM vol. 2, "Instruction Format".)

mod form;
mod fuse;
mod pick;
mod row;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod x87;

use super::block::{Block, MAX_OPS, Mode, key};
use super::exec::cpuid::Identity;
use super::exec::{self, MAX_INSTRUCTION, keep_bytes};
use super::op::{Handler, Op};
use crate::addr::Frame;
use crate::cost::Costs;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic};
use row::Effect;

/// What decoding depends on besides the bytes and the mode: the processor's model.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What each class of instructions costs.
    pub costs: Costs,
    /// Which instructions there are.
    pub identity: Identity,
}

/// What decoding gave.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// A block of at least one operation.
    Block(Block),
    /// The first instruction reaches beyond the bytes given: call again with bytes that reach into the second page.
    NeedSecondPage,
}

/// Decodes the block that begins with the first byte of `code`, at physical address `pa`.
///
/// `code` reaches to the end of the page. When the first instruction crosses it, the answer is
/// [`Decoded::NeedSecondPage`]; then `code` must reach at least 15 bytes far, into the page in frame
/// `second`, and only that instruction is decoded.
pub fn decode_block(code: &[u8], pa: u64, mode: Mode, model: &Model, second: Option<Frame>) -> Decoded {
    let most = if second.is_some() { 1 } else { MAX_OPS };
    decode(code, pa, mode, model, second, most)
}

/// Decodes a block of one instruction: for single-stepping. Otherwise as [`decode_block`].
pub fn decode_single(code: &[u8], pa: u64, mode: Mode, model: &Model, second: Option<Frame>) -> Decoded {
    decode(code, pa, mode, model, second, 1)
}

fn decode(code: &[u8], pa: u64, mode: Mode, model: &Model, second: Option<Frame>, most: usize) -> Decoded {
    let bitness = if mode.contains(Mode::CODE32) { 32 } else { 16 };
    let options = DecoderOptions::FORCE_RESERVED_NOP
        | DecoderOptions::NO_MPFX_0FBC
        | DecoderOptions::NO_MPFX_0FBD
        | DecoderOptions::NO_WBNOINVD;
    let mut decoder = Decoder::with_ip(bitness, code, 0, options);
    let mut instruction = Instruction::default();
    let mut block = Building::default();
    while block.ops.len() < most {
        let start = decoder.position();
        // The start of an instruction is kept in one byte.
        let Ok(at) = u8::try_from(start) else { break };
        decoder.decode_out(&mut instruction);
        let bytes = &code[start..decoder.position()];
        match decoder.last_error() {
            DecoderError::NoMoreBytes if second.is_none() => {
                if block.ops.is_empty() {
                    return Decoded::NeedSecondPage;
                }
                break;
            }
            DecoderError::None => {}
            _ => {
                let run = if bytes.len() >= MAX_INSTRUCTION { exec::too_long } else { exec::undefined };
                block.fault(at, bytes, run);
                break;
            }
        }
        if !model.identity.offers(&instruction) {
            block.fault(at, bytes, exec::undefined);
            break;
        }
        if !block.add(&instruction, at, bytes, mode, &model.costs) {
            break;
        }
    }
    Decoded::Block(block.finish(pa, mode, second))
}

/// Jumps, calls and returns that stay in their code segment.
fn is_near_branch(i: &Instruction) -> bool {
    i.is_jcc_short_or_near()
        || i.is_jmp_short_or_near()
        || i.is_jmp_near_indirect()
        || i.is_call_near()
        || i.is_call_near_indirect()
        || i.is_loop()
        || i.is_loopcc()
        || i.is_jcx_short()
        || i.mnemonic() == Mnemonic::Ret
}

/// A block in the making.
#[derive(Default)]
struct Building {
    ops: Vec<Op>,
    bytes: u16,
    cost: u32,
    locked: u32,
    /// An operation so far is not pure.
    impure: bool,
    /// The last operation is a direct jump to the block's start.
    closed: bool,
    /// The last operation changes neither interrupt state nor mode nor privilege.
    quiet: bool,
    /// The last operation can be fused with a jump.
    head: Option<fuse::Head>,
    /// Instructions that were fused with the one before.
    fused: u16,
}

impl Building {
    /// Adds an instruction; false if the block ends with it.
    fn add(&mut self, i: &Instruction, at: u8, bytes: &[u8], mode: Mode, costs: &Costs) -> bool {
        let mut op = form::blank(at, bytes.len() as u8);
        let f = form::form(i, mode, &mut op);
        let row = table::row(&f, &mut op);
        op.run = row.run;
        // Presets with costs that do not fit are refused (`cost::table::MAX_INSTRUCTION_CYCLES`).
        op.cost = row.cost(costs).min(u32::from(u8::MAX)) as u8;
        if self.fuse(&f, &op) {
            return false;
        }
        self.head = fuse::head(&f);
        if row.effect.contains(Effect::LOCKED) {
            op.bits |= Op::LOCKED;
            self.locked += u32::from(op.cost);
        }
        if row.effect.contains(Effect::PURE) {
            op.bits |= Op::PURE;
        } else {
            self.impure = true;
        }
        if row.effect.contains(Effect::BYTES) {
            keep_bytes(&mut op, bytes, i.mnemonic() as usize);
        }
        if row.effect.contains(Effect::ESCAPE) {
            exec::fpu::keep_opcode(&mut op, bytes);
        }
        let direct = i.is_jcc_short_or_near() || i.is_jmp_short_or_near();
        self.closed = direct && i.near_branch_target() == 0;
        let ends = row.effect.contains(Effect::ENDS);
        self.quiet = !ends || is_near_branch(i);
        self.push(op);
        !ends
    }

    /// Fuses the jump `op` with the operation before it, if they are such a pair.
    fn fuse(&mut self, f: &form::Form, op: &Op) -> bool {
        let (Some(head), Some(first)) = (self.head, self.ops.last_mut()) else { return false };
        if !fuse::fuse(head, first, f, op.len) {
            return false;
        }
        let cost = first.cost.saturating_add(op.cost);
        self.cost += u32::from(cost - first.cost);
        first.cost = cost;
        self.bytes += u16::from(op.len);
        self.closed = f.i.near_branch_target() == 0;
        self.quiet = true;
        self.fused += 1;
        true
    }

    /// Adds an operation that only raises an exception.
    fn fault(&mut self, at: u8, bytes: &[u8], run: Handler) {
        let op = Op { run, ..form::blank(at, bytes.len() as u8) };
        self.impure = true;
        self.quiet = false;
        self.push(op);
    }

    fn push(&mut self, mut op: Op) {
        op.before = self.cost.min(u32::from(u16::MAX)) as u16;
        self.cost += u32::from(op.cost);
        self.bytes = u16::from(op.at) + u16::from(op.len);
        self.ops.push(op);
    }

    fn finish(self, pa: u64, mode: Mode, second: Option<Frame>) -> Block {
        Block {
            key: key(pa, mode),
            instructions: self.ops.len() as u16 + self.fused,
            ops: self.ops.into_boxed_slice(),
            bytes: self.bytes,
            cost: self.cost,
            locked: self.locked,
            spin: self.closed && !self.impure,
            quiet: self.quiet,
            second,
            live: true,
        }
    }
}
