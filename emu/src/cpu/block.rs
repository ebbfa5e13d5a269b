//! Decoded basic blocks, cached by physical address and mode.
//!
//! A block begins at a physical address, runs to the first operation that may
//! leave it, to the end of its page, or to [`MAX_OPS`]. An instruction that
//! crosses a page is a block of its own and remembers the second frame. A write
//! to bytes that a block was decoded from drops the block.

use super::op::Op;
use crate::addr::Frame;
use std::collections::HashMap;

bitflags::bitflags! {
    /// What decoding depends on besides the bytes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Mode: u8 {
        /// CS.D: 32-bit operands and addresses by default.
        const CODE32 = 1;
        /// SS.B: ESP is the stack pointer.
        const STACK32 = 2;
        /// CS, DS, ES and SS have base 0 and no limit: their checks are decoded away.
        const FLAT = 4;
        /// Real or virtual-8086 mode.
        const REAL = 8;
    }
}

/// Operations in a block at most.
pub const MAX_OPS: usize = 48;

/// A decoded block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Physical address of the first byte and mode: see [`key`].
    pub key: u64,
    /// The operations, at least one.
    pub ops: Box<[Op]>,
    /// Length in bytes.
    pub bytes: u16,
    /// Guest instructions (a fused operation is two).
    pub instructions: u16,
    /// Sum of the static costs.
    pub cost: u32,
    /// The part of `cost` that is of kind `locked`.
    pub locked: u32,
    /// All operations are pure and the last is a jump back to the first: a candidate for skipping whole iterations.
    pub spin: bool,
    /// Ends in a near branch or falls through: interrupt state, mode and privilege are after it as before.
    pub quiet: bool,
    /// Frame of the second page, for a block that crosses one.
    pub second: Option<Frame>,
    /// Still valid? (A dropped block may still be referred to by number.)
    pub live: bool,
}

/// Key of a block: physical address and mode.
#[inline(always)]
pub fn key(pa: u64, mode: Mode) -> u64 {
    pa << 4 | u64::from(mode.bits())
}

/// All blocks of a machine, shared by its processors.
#[derive(Clone, Default)]
pub struct Blocks {
    list: Vec<Block>,
    free: Vec<u32>,
    /// Never iterated, so its order cannot reach a result.
    by_key: HashMap<u64, u32>,
    by_frame: HashMap<u32, Vec<u32>>,
    /// Counts invalidations: processors drop their own references when it moves.
    pub epoch: u64,
}

impl Blocks {
    /// The block with this number. Numbers come from [`Blocks::find`] and [`Blocks::insert`].
    #[inline(always)]
    pub fn get(&self, number: u32) -> Option<&Block> {
        self.list.get(number as usize)
    }

    /// Number of the live block with this key.
    pub fn find(&self, key: u64) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// Adds a block and returns its number. The caller watches its frames.
    pub fn insert(&mut self, block: Block) -> u32 {
        let key = block.key;
        let first = Frame((key >> 16) as u32);
        // Two pages in a row may show the same frame: it holds the block once.
        let frames = [Some(first), block.second.filter(|f| *f != first)];
        let number = match self.free.pop() {
            Some(n) => {
                self.list[n as usize] = block;
                n
            }
            None => {
                self.list.push(block);
                (self.list.len() - 1) as u32
            }
        };
        self.by_key.insert(key, number);
        for f in frames.into_iter().flatten() {
            self.by_frame.entry(f.0).or_default().push(number);
        }
        number
    }

    /// Drops the blocks decoded from any of `len` bytes at `offset` of `frame`.
    /// Returns true if the frame holds no block any more.
    pub fn invalidate(&mut self, frame: Frame, offset: u32, len: u32) -> bool {
        let Some(numbers) = self.by_frame.get_mut(&frame.0) else { return true };
        let mut gone = Vec::new();
        numbers.retain(|&n| {
            let b = &self.list[n as usize];
            let start = ((b.key >> 4) & 0xfff) as u32;
            let end = start + u32::from(b.bytes);
            let hits = |from: u32, to: u32| offset < to && from < offset + len;
            // In the second frame of a crossing block, which may be the first again, the bytes begin at offset 0.
            let hit = (b.key >> 16) as u32 == frame.0 && hits(start, end)
                || b.second == Some(frame) && hits(0, end.saturating_sub(4096));
            if hit {
                gone.push(n);
            }
            !hit
        });
        let empty = numbers.is_empty();
        if empty {
            self.by_frame.remove(&frame.0);
        }
        for n in gone {
            let (key, second) = {
                let b = &mut self.list[n as usize];
                b.live = false;
                (b.key, b.second)
            };
            self.by_key.remove(&key);
            for f in [Some(Frame((key >> 16) as u32)), second].into_iter().flatten() {
                if f.0 != frame.0
                    && let Some(v) = self.by_frame.get_mut(&f.0)
                {
                    v.retain(|&m| m != n);
                }
            }
            self.free.push(n);
            self.epoch += 1;
        }
        empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(pa: u64, bytes: u16, second: Option<u32>) -> Block {
        Block {
            key: key(pa, Mode::CODE32),
            ops: Box::default(),
            bytes,
            instructions: 1,
            cost: 0,
            locked: 0,
            spin: false,
            quiet: true,
            second: second.map(Frame),
            live: true,
        }
    }

    #[test]
    fn a_block_that_crosses_into_the_frame_it_began_in_is_dropped_once() {
        // One frame at two pages in a row: the instruction at its end goes on at its beginning.
        for (offset, len) in [(0xffe, 1), (0, 1), (1, 2), (0xfff, 1)] {
            let mut blocks = Blocks::default();
            let n = blocks.insert(block(0x5ffe, 4, Some(5)));
            assert!(!blocks.invalidate(Frame(5), 2, 4), "these bytes are not its own");
            assert_eq!(blocks.find(key(0x5ffe, Mode::CODE32)), Some(n));
            assert!(blocks.invalidate(Frame(5), offset, len), "{offset:#x}");
            assert_eq!(blocks.find(key(0x5ffe, Mode::CODE32)), None);
            // Its number is free once: two new blocks are not the same.
            assert_ne!(blocks.insert(block(0x6000, 1, None)), blocks.insert(block(0x7000, 1, None)));
        }
    }

    #[test]
    fn a_write_to_either_page_drops_a_crossing_block() {
        for (frame, offset) in [(5, 0xffe), (9, 1)] {
            let mut blocks = Blocks::default();
            blocks.insert(block(0x5ffe, 4, Some(9)));
            assert!(blocks.invalidate(Frame(frame), offset, 1));
            assert!(blocks.invalidate(Frame(5), 0, 4096) && blocks.invalidate(Frame(9), 0, 4096));
            assert_eq!(blocks.find(key(0x5ffe, Mode::CODE32)), None);
        }
    }
}
