//! The unit's state in memory: environment (`fnstenv`), state (`fnsave`), and the format of `fxsave`.
//!
//! Of a tag word only "empty or not" is kept; what is stored tells the kind of each register's
//! content, as it is then. MXCSR and the XMM registers of the `fxsave` image are not
//! there, as without SSE: those bytes are neither written nor read.
//! (SDM vol. 1, "Saving the x87 FPU's State"; vol. 2, `FXSAVE`, "Layout of FXSAVE and FXRSTOR Memory Region".)

use super::float::{Class, F80};
use super::{Fpu, Pointers};

/// Bytes of an environment, 32-bit layout; half as many in the 16-bit layout.
pub const ENVIRONMENT: usize = 28;
/// Bytes of the registers.
pub const REGISTERS: usize = 80;
/// Bytes that `fxsave` writes.
pub const EXTENDED: usize = 160;

/// Layout of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 14 bytes, selectors.
    Protected16,
    /// 28 bytes, selectors.
    Protected32,
    /// 14 bytes, linear addresses of 20 bits.
    Real16,
    /// 28 bytes, linear addresses.
    Real32,
}

impl Layout {
    /// Size in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Layout::Protected16 | Layout::Real16 => ENVIRONMENT / 2,
            Layout::Protected32 | Layout::Real32 => ENVIRONMENT,
        }
    }
}

fn word(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2).map_or(0, |s| u16::from_le_bytes([s[0], s[1]]))
}

fn dword(b: &[u8], at: usize) -> u32 {
    u32::from(word(b, at)) | u32::from(word(b, at + 2)) << 16
}

fn put(b: &mut [u8], at: usize, v: &[u8]) {
    if let Some(to) = b.get_mut(at..at + v.len()) {
        to.copy_from_slice(v);
    }
}

impl Fpu {
    /// The tag word: 0 valid, 1 zero, 2 special, 3 empty, two bits a register.
    pub fn tags(&self) -> u16 {
        (0..8).fold(0, |tags, n: usize| {
            let tag = match self.regs[n].class() {
                _ if self.full & 1 << n == 0 => 3,
                Class::Normal => 0,
                Class::Zero => 1,
                _ => 2,
            };
            tags | tag << (2 * n)
        })
    }

    fn set_tags(&mut self, tags: u16) {
        self.full = (0..8).fold(0, |full, n| full | u8::from(tags >> (2 * n) & 3 != 3) << n);
    }

    /// Stores the environment, [`Layout::bytes`] long.
    pub fn environment(&self, layout: Layout) -> [u8; ENVIRONMENT] {
        let mut b = [0; ENVIRONMENT];
        let p = self.last;
        let linear = |segment: u16, offset: u32| (u32::from(segment) << 4).wrapping_add(offset);
        let (ip, dp) = (linear(p.cs, p.ip), linear(p.ds, p.dp));
        let words = [self.control(), self.status(), self.tags()];
        match layout {
            Layout::Protected32 | Layout::Real32 => {
                for (i, w) in words.into_iter().enumerate() {
                    put(&mut b, 4 * i, &(0xffff_0000 | u32::from(w)).to_le_bytes());
                }
                let rest = if layout == Layout::Protected32 {
                    let opcode = u32::from(p.opcode & 0x7ff) << 16;
                    [p.ip, opcode | u32::from(p.cs), p.dp, 0xffff_0000 | u32::from(p.ds)]
                } else {
                    let high = |v: u32| (v >> 16) << 12;
                    [
                        0xffff_0000 | ip & 0xffff,
                        high(ip) | u32::from(p.opcode & 0x7ff),
                        0xffff_0000 | dp & 0xffff,
                        high(dp),
                    ]
                };
                for (i, w) in rest.into_iter().enumerate() {
                    put(&mut b, 12 + 4 * i, &w.to_le_bytes());
                }
            }
            Layout::Protected16 | Layout::Real16 => {
                let rest = if layout == Layout::Protected16 {
                    [p.ip as u16, p.cs, p.dp as u16, p.ds]
                } else {
                    let high = |v: u32| (v >> 16 << 12) as u16;
                    [ip as u16, high(ip) | p.opcode & 0x7ff, dp as u16, high(dp)]
                };
                for (i, w) in words.into_iter().chain(rest).enumerate() {
                    put(&mut b, 2 * i, &w.to_le_bytes());
                }
            }
        }
        b
    }

    /// Loads an environment.
    pub fn set_environment(&mut self, layout: Layout, b: &[u8]) {
        let step = if layout.bytes() == ENVIRONMENT { 4 } else { 2 };
        let (control, status, tags) = (word(b, 0), word(b, step), word(b, 2 * step));
        self.last = match layout {
            Layout::Protected32 => Pointers {
                ip: dword(b, 12),
                cs: word(b, 16),
                opcode: word(b, 18) & 0x7ff,
                dp: dword(b, 20),
                ds: word(b, 24),
            },
            Layout::Real32 => Pointers {
                ip: u32::from(word(b, 12)) | (dword(b, 16) >> 12 & 0xffff) << 16,
                cs: 0,
                opcode: word(b, 16) & 0x7ff,
                dp: u32::from(word(b, 20)) | (dword(b, 24) >> 12 & 0xffff) << 16,
                ds: 0,
            },
            Layout::Protected16 => Pointers {
                ip: word(b, 6).into(),
                cs: word(b, 8),
                opcode: 0,
                dp: word(b, 10).into(),
                ds: word(b, 12),
            },
            Layout::Real16 => Pointers {
                ip: u32::from(word(b, 6)) | u32::from(word(b, 8) >> 12) << 16,
                cs: 0,
                opcode: word(b, 8) & 0x7ff,
                dp: u32::from(word(b, 10)) | u32::from(word(b, 12) >> 12) << 16,
                ds: 0,
            },
        };
        self.set_tags(tags);
        self.set_status(status);
        self.set_control(control);
    }

    /// The registers in the order of the stack.
    pub fn registers(&self) -> [u8; REGISTERS] {
        let mut b = [0; REGISTERS];
        for (i, to) in (0..).zip(b.chunks_exact_mut(10)) {
            to.copy_from_slice(&self.get(i).to_bytes());
        }
        b
    }

    /// Loads the registers; which of them are empty stays as it is. TOP must have been set.
    pub fn set_registers(&mut self, b: &[u8; REGISTERS]) {
        for (i, from) in (0..).zip(b.chunks_exact(10)) {
            let n = self.number(i);
            self.regs[n] = F80::from_bytes(&std::array::from_fn(|k| from[k]));
        }
    }

    /// What `fxsave` writes: the first 160 bytes of the region. Bytes 24 to 31 (MXCSR) read zero.
    pub fn extended(&self) -> [u8; EXTENDED] {
        let mut b = [0; EXTENDED];
        put(&mut b, 0, &self.control().to_le_bytes());
        put(&mut b, 2, &self.status().to_le_bytes());
        put(&mut b, 4, &[self.full]);
        put(&mut b, 6, &(self.last.opcode & 0x7ff).to_le_bytes());
        put(&mut b, 8, &self.last.ip.to_le_bytes());
        put(&mut b, 12, &self.last.cs.to_le_bytes());
        put(&mut b, 16, &self.last.dp.to_le_bytes());
        put(&mut b, 20, &self.last.ds.to_le_bytes());
        for (i, to) in (0..).zip(b[32..].chunks_exact_mut(16)) {
            put(to, 0, &self.get(i).to_bytes());
        }
        b
    }

    /// `fxrstor`.
    pub fn set_extended(&mut self, b: &[u8; EXTENDED]) {
        self.last = Pointers {
            opcode: word(b, 6) & 0x7ff,
            ip: dword(b, 8),
            cs: word(b, 12),
            dp: dword(b, 16),
            ds: word(b, 20),
        };
        self.full = b[4];
        self.set_status(word(b, 2));
        self.set_control(word(b, 0));
        for (i, from) in (0..).zip(b[32..].chunks_exact(16)) {
            let n = self.number(i);
            self.regs[n] = F80::from_bytes(&std::array::from_fn(|k| from[k]));
        }
    }
}
