//! Sparse guest RAM: host memory only for frames that were touched.
//!
//! A table maps each 4 KiB frame to a slot in one growing byte arena. A slot
//! never moves relative to the arena, so a translation may keep its offset and
//! the fast path is one checked slice access.
//!
//! ```text
//!  frame table entry  31     30     29    28  27..24 23 ............ 0
//!                   +-------+------+------+-----+------+----------------+
//!                   | TABLE | CODE | FREE | ROM |  -   | slot + 1, or 0 |
//!                   +-------+------+------+-----+------+----------------+
//! ```
//!
//! TABLE and CODE are the write watch: a frame that holds page tables (known
//! because a walk read it) or decoded code. Writes to such a frame take the slow
//! path, where the oracle and the block cache look at them. FREE: the guest has
//! declared the frame free. ROM: writes have no effect; two frames may show the same
//! slot of it.
//!
//! Physical map, as a PC's: RAM below 640 KiB, the text of a display, firmware area
//! E0000-FFFFF, RAM from 1 MiB up to 3.5 GiB, the rest from 4 GiB up.

use crate::addr::{Frame, PhysAddr};

/// Bytes in a frame.
pub const FRAME_BYTES: usize = 4096;
const SLOT: u32 = 0x00ff_ffff;
const ROM: u32 = 1 << 28;
const FREE: u32 = 1 << 29;
const CODE: u32 = 1 << 30;
const TABLE: u32 = 1 << 31;
/// The arena grows by at most this many bytes at a time.
const GROWTH: usize = 32 << 20;
/// End of RAM below 4 GiB.
pub const LOW_RAM_END: u64 = 0xe000_0000;
const FOUR_GIB: u64 = 1 << 32;
/// The end of the firmware area below 1 MiB, where the last bytes of a ROM show too.
const FIRMWARE_END: u64 = 0x10_0000;
/// The memory of a text display.
const TEXT: std::ops::Range<u64> = 0xb_8000..0xc_0000;
/// The largest ROM, in bytes.
pub const MAX_ROM: usize = 16 << 20;
/// How much of a ROM shows below 1 MiB, in bytes: a PC's E0000-FFFFF.
const SHADOW: usize = 128 << 10;

/// Guest memory.
#[derive(Clone)]
pub struct Ram {
    size: u64,
    table: Vec<u32>,
    bytes: Vec<u8>,
    used: usize,
    /// There is RAM in the adapter area, too.
    adapters_filled: bool,
}

impl Ram {
    /// Memory of `size` bytes (a multiple of 4 KiB, at most 64 GiB); nothing is allocated yet.
    pub fn new(size: u64) -> Ram {
        let top = if size > LOW_RAM_END { FOUR_GIB + (size - LOW_RAM_END) } else { size.max(1 << 20) };
        Ram { size, table: vec![0; (top >> 12) as usize], bytes: Vec::new(), used: 0, adapters_filled: false }
    }

    /// Puts RAM into the adapter area A0000-DFFFF, too: a processor alone with its memory, as when single
    /// instructions are captured.
    pub fn fill_adapter_area(&mut self) {
        self.adapters_filled = true;
    }

    /// Size in bytes as configured.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of host memory that hold guest frames.
    pub fn touched(&self) -> u64 {
        (self.used * FRAME_BYTES) as u64
    }

    /// Maps a ROM so that it ends at 4 GiB, its last 128 KiB below 1 MiB too. False, and nothing mapped, unless its
    /// size is a whole number of frames, at least one and at most [`MAX_ROM`].
    pub fn map_rom(&mut self, image: &[u8]) -> bool {
        if image.is_empty() || image.len() > MAX_ROM || !image.len().is_multiple_of(FRAME_BYTES) {
            return false;
        }
        let frames = image.len() / FRAME_BYTES;
        let top = (FOUR_GIB >> 12) as usize;
        if self.table.len() < top {
            self.table.resize(top, 0);
        }
        for (i, bytes) in image.chunks_exact(FRAME_BYTES).enumerate() {
            let at = self.new_slot();
            self.bytes[at..at + FRAME_BYTES].copy_from_slice(bytes);
            let entry = ROM | self.used as u32;
            let from_end = frames - i;
            self.table[top - from_end] = entry;
            if from_end <= SHADOW / FRAME_BYTES {
                self.table[(FIRMWARE_END >> 12) as usize - from_end] = entry;
            }
        }
        true
    }

    /// Does the frame show a ROM?
    #[inline(always)]
    pub fn is_rom(&self, frame: Frame) -> bool {
        self.table.get(frame.0 as usize).is_some_and(|e| e & ROM != 0)
    }

    /// Is there RAM or ROM at this frame?
    pub fn contains(&self, frame: Frame) -> bool {
        if self.is_rom(frame) {
            return true;
        }
        let pa = u64::from(frame.0) << 12;
        (frame.0 as usize) < self.table.len()
            && (self.adapters_filled || !(0xa_0000..0xe_0000).contains(&pa) || TEXT.contains(&pa))
            && !(LOW_RAM_END..FOUR_GIB).contains(&pa)
            && (pa < FIRMWARE_END || pa < self.size || pa >= FOUR_GIB)
    }

    /// Arena offset of a frame, allocating it on first touch; `None` where there is no RAM.
    #[inline]
    pub fn offset(&mut self, frame: Frame) -> Option<usize> {
        let entry = *self.table.get(frame.0 as usize)?;
        if entry & SLOT != 0 {
            return Some(((entry & SLOT) as usize - 1) * FRAME_BYTES);
        }
        self.allocate(frame)
    }

    #[cold]
    fn allocate(&mut self, frame: Frame) -> Option<usize> {
        if !self.contains(frame) {
            return None;
        }
        let at = self.new_slot();
        self.table[frame.0 as usize] |= self.used as u32;
        Some(at)
    }

    /// Arena offset of a frame more.
    fn new_slot(&mut self) -> usize {
        let at = self.used * FRAME_BYTES;
        if at == self.bytes.len() {
            // Whole frames, or the end would never be met exactly.
            let grow = ((self.bytes.len() / 4) & !(FRAME_BYTES - 1)).clamp(1 << 20, GROWTH);
            self.bytes.reserve_exact(grow);
            self.bytes.resize(at + grow, 0);
        }
        self.used += 1;
        at
    }

    /// The arena; offsets come from [`Ram::offset`].
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The arena, for writing. The caller has looked at the write watch.
    #[inline(always)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Copies from physical memory without touching it; what was never written reads as zero.
    /// False if a byte lies outside RAM.
    pub fn peek(&self, pa: u64, buf: &mut [u8]) -> bool {
        let Some(last) = pa.checked_add(buf.len() as u64) else { return false };
        if last >> 44 != 0 {
            return false;
        }
        let mut done = 0;
        while done < buf.len() {
            let at = pa + done as u64;
            let frame = Frame((at >> 12) as u32);
            if !self.contains(frame) {
                return false;
            }
            let within = (at & 0xfff) as usize;
            let n = (FRAME_BYTES - within).min(buf.len() - done);
            match (self.table[frame.0 as usize] & SLOT) as usize {
                0 => buf[done..done + n].fill(0),
                slot => {
                    let from = (slot - 1) * FRAME_BYTES + within;
                    buf[done..done + n].copy_from_slice(&self.bytes[from..from + n]);
                }
            }
            done += n;
        }
        true
    }

    /// Copies to physical memory, before the machine runs. False if a byte lies outside RAM (then nothing is written).
    pub fn poke(&mut self, pa: u64, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let Some(last) = pa.checked_add(bytes.len() as u64 - 1) else { return false };
        if last >> 44 != 0 || !((pa >> 12)..=(last >> 12)).all(|f| self.contains(Frame(f as u32))) {
            return false;
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = pa + done as u64;
            let within = (at & 0xfff) as usize;
            let n = (FRAME_BYTES - within).min(bytes.len() - done);
            let Some(offset) = self.offset(Frame((at >> 12) as u32)) else { return false };
            self.bytes[offset + within..offset + within + n].copy_from_slice(&bytes[done..done + n]);
            done += n;
        }
        true
    }

    /// Reads a little-endian dword at a 4-byte aligned physical address; `None` outside RAM.
    #[inline]
    pub fn read32(&mut self, pa: PhysAddr) -> Option<u32> {
        let at = self.offset(Frame((pa.0 >> 12) as u32))? + (pa.0 & 0xffc) as usize;
        let b = self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*b))
    }

    /// Writes a dword at a 4-byte aligned physical address, past the write watch (the walker's own A and D updates).
    pub fn write32(&mut self, pa: PhysAddr, value: u32) {
        if self.is_rom(Frame((pa.0 >> 12) as u32)) {
            return;
        }
        if let Some(at) = self.offset(Frame((pa.0 >> 12) as u32)) {
            let at = at + (pa.0 & 0xffc) as usize;
            if let Some(b) = self.bytes.get_mut(at..).and_then(|b| b.first_chunk_mut::<4>()) {
                *b = value.to_le_bytes();
            }
        }
    }

    /// Does anything have to look at writes to this frame?
    #[inline(always)]
    pub fn watched(&self, frame: Frame) -> bool {
        self.table.get(frame.0 as usize).is_some_and(|e| e & (CODE | TABLE | ROM) != 0)
    }

    /// Does the frame hold decoded code?
    pub fn holds_code(&self, frame: Frame) -> bool {
        self.table.get(frame.0 as usize).is_some_and(|e| e & CODE != 0)
    }

    /// Does the frame hold page tables?
    #[inline(always)]
    pub fn holds_tables(&self, frame: Frame) -> bool {
        self.table.get(frame.0 as usize).is_some_and(|e| e & TABLE != 0)
    }

    /// Watches writes to a frame with code. True if nothing watched it before.
    pub fn watch_code(&mut self, frame: Frame) -> bool {
        self.watch(frame, CODE)
    }

    /// Watches writes to a frame with page tables. True if nothing watched it before.
    pub fn watch_tables(&mut self, frame: Frame) -> bool {
        self.watch(frame, TABLE)
    }

    fn watch(&mut self, frame: Frame, bit: u32) -> bool {
        match self.table.get_mut(frame.0 as usize) {
            Some(e) => {
                let fresh = *e & (CODE | TABLE) == 0;
                *e |= bit;
                fresh
            }
            None => false,
        }
    }

    /// Records that the guest declared the frame free, or in use again.
    pub fn set_free(&mut self, frame: Frame, free: bool) {
        if let Some(e) = self.table.get_mut(frame.0 as usize) {
            *e = if free { *e | FREE } else { *e & !FREE };
        }
    }

    /// Has the guest declared the frame free?
    #[inline(always)]
    pub fn is_free(&self, frame: Frame) -> bool {
        self.table.get(frame.0 as usize).is_some_and(|e| e & FREE != 0)
    }

    /// Number of frames that the physical map spans, holes included.
    pub fn span(&self) -> usize {
        self.table.len()
    }

    /// The frame holds no decoded code any more.
    pub fn unwatch_code(&mut self, frame: Frame) {
        if let Some(e) = self.table.get_mut(frame.0 as usize) {
            *e &= !CODE;
        }
    }

    /// The frame holds no page tables any more.
    pub fn unwatch_tables(&mut self, frame: Frame) {
        if let Some(e) = self.table.get_mut(frame.0 as usize) {
            *e &= !TABLE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untouched_memory_reads_zero_and_costs_nothing() {
        let ram = Ram::new(64 << 30);
        let mut b = [1u8; 8];
        assert!(ram.peek(0x10_0000, &mut b));
        assert_eq!(b, [0; 8]);
        assert_eq!(ram.touched(), 0);
    }

    #[test]
    fn the_hole_below_four_gib_is_no_ram_and_its_memory_lies_above() {
        let mut ram = Ram::new(4 << 30);
        assert!(!ram.poke(LOW_RAM_END, &[1]));
        assert!(!ram.poke(0xa_0000, &[1]));
        assert!(ram.poke(LOW_RAM_END - 1, &[1]));
        assert!(ram.poke(FOUR_GIB + (512 << 20) - 1, &[2]));
        assert!(!ram.poke(FOUR_GIB + (512 << 20), &[2]));
        assert_eq!(ram.touched(), 8192);
    }

    #[test]
    fn the_adapter_area_is_ram_only_when_filled() {
        let mut ram = Ram::new(1 << 20);
        assert!(!ram.poke(0xa_0000, &[1]) && !ram.poke(0xd_ffff, &[1]));
        ram.fill_adapter_area();
        assert!(ram.poke(0xa_0000, &[1]) && ram.poke(0xd_ffff, &[1]));
    }

    #[test]
    fn a_rom_shows_at_both_ends_and_takes_no_write() {
        let image: Vec<u8> = (0..192 << 10).map(|i: usize| (i >> 12) as u8).collect();
        let mut ram = Ram::new(8 << 20);
        assert!(ram.map_rom(&image));
        let byte = |ram: &Ram, pa: u64| {
            let mut b = [0];
            ram.peek(pa, &mut b).then_some(b[0])
        };
        assert_eq!(byte(&ram, FOUR_GIB - 1), Some(47));
        assert_eq!(byte(&ram, FOUR_GIB - (192 << 10)), Some(0));
        assert_eq!(byte(&ram, FOUR_GIB - (192 << 10) - 1), None);
        assert_eq!(
            (byte(&ram, 0xf_ffff), byte(&ram, 0xe_0000), byte(&ram, 0xd_ffff)),
            (Some(47), Some(16), None)
        );
        ram.write32(PhysAddr(0xf_0000), 0x5555_5555);
        assert_eq!(byte(&ram, 0xf_0000), Some(32));
        for size in [0, 1, 4095, MAX_ROM + 4096] {
            assert!(!Ram::new(8 << 20).map_rom(&vec![0; size]), "{size}");
        }
    }

    #[test]
    fn a_write_across_frames_comes_back() {
        let mut ram = Ram::new(8 << 20);
        let data: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        assert!(ram.poke(0x20_0ff0, &data));
        let mut back = vec![0; data.len()];
        assert!(ram.peek(0x20_0ff0, &mut back));
        assert_eq!(back, data);
        assert!(!ram.poke((8 << 20) - 4, &[0; 5]), "runs past the end");
    }
}
