//! The compact operation that the interpreter runs, and how it ends.
//!
//! `decode` turns an instruction into one [`Op`] once; `run` calls
//! `(op.run)(cpu, bus, op)` for each operation of a block. 32 bytes, so that two
//! share a cache line.

use super::Cpu;
use crate::bus::Bus;

/// One indirect call per operation.
pub type Handler = fn(&mut Cpu, &mut Bus, &Op) -> Step;

/// What a handler returns: the next operation follows, or the block ends here.
/// One byte; `Ok` is zero.
pub type Step = Result<(), Flow>;

/// Why a block ends at this operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flow {
    /// The operation is complete and has set `cpu.eip` itself (jumps, `iret`, anything that
    /// may change mode, mapping, or interrupt state: these set `eip` to the next instruction).
    Branch = 1,
    /// The operation did nothing; `cpu.fault` holds the exception. `eip` stays at the operation.
    Fault,
    /// The operation did nothing that counts and is to be run again in careful mode,
    /// where the clock is exact and the block is left after any operation that asks for it.
    Careful,
    /// The operation did nothing that counts: it concerns lines of other processors, and others come first.
    Order,
    /// A string instruction is not finished: its elements so far are charged, `eip` stays at it.
    Repeat,
    /// The machine has to look (halt, exit, ROI mark, unmodelled): `cpu.request` says why.
    /// `cpu.eip` has been set as for `Branch`.
    Request,
}

/// Register number that always reads zero: a missing base or index.
pub const NO_REG: u8 = 8;

/// Segment numbers: ES, CS, SS, DS, FS, GS as encoded, and [`FLAT`].
pub const ES: u8 = 0;
/// Code segment.
pub const CS: u8 = 1;
/// Stack segment.
pub const SS: u8 = 2;
/// Data segment.
pub const DS: u8 = 3;
/// Extra segment FS.
pub const FS: u8 = 4;
/// Extra segment GS.
pub const GS: u8 = 5;
/// Pseudo segment with base 0 and no limit: what ES, CS, SS, DS are in a flat block.
pub const FLAT: u8 = 6;

/// A decoded operation. Meaning of fields that a handler does not use: none.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// The handler.
    pub run: Handler,
    /// Immediate, branch target (relative displacement from the next instruction), port, vector...
    pub imm: u32,
    /// Displacement of the memory operand.
    pub disp: u32,
    /// Effective addresses are cut to this: `0xffff_ffff` or `0xffff`.
    pub mask: u32,
    /// Static cycles of the block before this operation.
    pub before: u16,
    /// Static cycles of this operation, at most 255.
    pub cost: u8,
    /// Where the instruction begins, in bytes from the block's start.
    pub at: u8,
    /// Length of the instruction in bytes.
    pub len: u8,
    /// Destination register.
    pub dst: u8,
    /// Source register.
    pub src: u8,
    /// Base register of the memory operand, [`NO_REG`] if none.
    pub base: u8,
    /// Index register of the memory operand, [`NO_REG`] if none.
    pub index: u8,
    /// Shift of the index, 0..=3.
    pub scale: u8,
    /// Segment of the memory operand.
    pub seg: u8,
    /// Prefixes and kind: see the constants of [`Op`].
    pub bits: u8,
}

impl Op {
    /// `REP`/`REPE` prefix.
    pub const REP: u8 = 1;
    /// `REPNE` prefix.
    pub const REPNE: u8 = 2;
    /// The static cost is of kind `locked`, not `compute`.
    pub const LOCKED: u8 = 4;
    /// Operand size is 16 bits (where the handler is shared by both).
    pub const OP16: u8 = 8;
    /// Has no effect but on registers and flags, apart from reading memory: may stand in a spin loop.
    pub const PURE: u8 = 16;
    /// Stands for two instructions (compare and jump).
    pub const FUSED: u8 = 32;

    /// Effective address of the memory operand: offset within its segment.
    #[inline(always)]
    pub fn ea(&self, cpu: &Cpu) -> u32 {
        cpu.regs[(self.base & 15) as usize]
            .wrapping_add(cpu.regs[(self.index & 15) as usize] << (self.scale & 3))
            .wrapping_add(self.disp)
            & self.mask
    }
}

const _: () = assert!(size_of::<Op>() == 32);
const _: () = assert!(size_of::<Step>() == 1);
