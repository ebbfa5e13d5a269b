//! What memory must hold after a case, and the comparison with what it holds.

use shootdown_emu::Machine;
use shootdown_emu::addr::Frame;
use std::ops::Range;

const PAGE: usize = 4096;

/// The wanted content of some windows of physical memory, all zero between cases.
pub struct Memory {
    windows: Vec<(u32, Vec<u8>)>,
    /// What the case has put here, to be cleared after it.
    used: Vec<Range<u32>>,
}

impl Memory {
    /// Windows, each from a base address (a multiple of 4 KiB) so many bytes long; the machine's memory there is cleared.
    pub fn new(m: &mut Machine, windows: &[(u32, usize)]) -> Memory {
        let windows: Vec<_> = windows.iter().map(|&(base, len)| (base, vec![0; len])).collect();
        for (base, zeros) in &windows {
            assert!(m.bus_mut().ram.poke(u64::from(*base), zeros), "memory of the cases");
        }
        Memory { windows, used: Vec::new() }
    }

    /// Part of the case: put into the machine's memory, and wanted there unless something else is.
    pub fn place(&mut self, m: &mut Machine, at: u32, data: &[u8]) {
        assert!(m.bus_mut().ram.poke(u64::from(at), data), "memory of the case");
        self.want(at, data);
    }

    /// Wanted after the case.
    pub fn want(&mut self, at: u32, data: &[u8]) {
        for (base, want) in &mut self.windows {
            let from = at.wrapping_sub(*base) as usize;
            if let Some(place) = want.get_mut(from..from + data.len()) {
                place.copy_from_slice(data);
                self.used.push(at..at + data.len() as u32);
            }
        }
    }

    /// The byte that is wanted.
    pub fn wanted(&self, at: u32) -> Option<u8> {
        self.windows.iter().find_map(|(base, want)| want.get(at.wrapping_sub(*base) as usize).copied())
    }

    /// Compares at the end of a case: the first byte that differs, as (address, wanted, found). Clears memory.
    pub fn settle(&mut self, m: &mut Machine) -> Option<(u32, u8, u8)> {
        let ram = &mut m.bus_mut().ram;
        let mut first = None;
        for (base, want) in &mut self.windows {
            for (page, want) in (*base..).step_by(PAGE).zip(want.chunks_mut(PAGE)) {
                let at = ram.offset(Frame(page >> 12)).expect("RAM");
                let Some(have) = ram.bytes_mut().get_mut(at..at + want.len()) else { continue };
                if want != have {
                    let i = want.iter().zip(&*have).position(|(a, b)| a != b).unwrap_or(0);
                    first = first.or(Some((page + i as u32, want[i], have[i])));
                    have.copy_from_slice(want);
                }
            }
        }
        for range in std::mem::take(&mut self.used) {
            let zeros = vec![0; range.len()];
            assert!(m.bus_mut().ram.poke(u64::from(range.start), &zeros));
            self.want(range.start, &zeros);
        }
        self.used.clear();
        first
    }
}
