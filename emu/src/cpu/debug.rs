//! Debug registers: breakpoints on execution, data and ports, single step, and
//! alignment checks, which watch memory accesses too.
//!
//! None of it costs anything while it is off. While a breakpoint is enabled no
//! block counts as flat, so that all code runs in careful mode, one instruction at
//! a time ([`super::run`]). While data breakpoints or alignment checks are on, the
//! front array stays empty, so that every access takes the slow path and is
//! seen there (`memory.rs`); figures are those of `host.shortcuts=off`, which are the same.
//!
//! ```text
//!  DR7  31 30  29 28  27 26  25 24 .. 19 18  17 16  13  9  8  7  6  ...  1  0
//!      |LEN 3 |R/W 3 |LEN 2 |R/W 2 |..|LEN 0|R/W 0 |GD|GE|LE|G3|L3| ... |G0|L0|
//!  DR6  15 14 13   3  2  1  0
//!      |BT|BS|BD| B3|B2|B1|B0|
//! ```
//!
//! A trap (B0 to B3 for data and ports, BS, BT) is *pending* from the instruction that
//! caused it to its end; after a load of SS, to the end of the next one. What an
//! event's own delivery pushes is not compared with data breakpoints. A length of 2
//! (undefined) is eight bytes. Left out: the P6's branch records and
//! single step on branches (DebugCtlMSR), which CPUID does not announce.
//! (SDM vol. 3B, "Debug Registers", "Debug Exceptions"; vol. 3A, "Alignment Check Exception".)

use super::exception::{Class, Exception, vector};
use super::flags::{AC, RF, TF};
use super::op::{CS, Flow};
use super::{Cpu, cr0, cr4};
use crate::mmu::{Access, Privilege};

/// Bits of DR6.
pub mod dr6 {
    /// A debug register was touched under general detect.
    pub const BD: u32 = 1 << 13;
    /// Single step.
    pub const BS: u32 = 1 << 14;
    /// A switch to a task whose TSS has the trap bit.
    pub const BT: u32 = 1 << 15;
}

/// Bits of DR7.
pub mod dr7 {
    /// Local and global enables of breakpoint 0; those of breakpoint n stand 2n bits higher.
    pub const ENABLE: u32 = 3;
    /// The local enables, which a task switch clears, LE among them.
    pub const LOCAL: u32 = 0x155;
    /// General detect: the next `mov` with a debug register raises #DB.
    pub const GD: u32 = 1 << 13;
}

/// What a breakpoint waits for: the field R/W of DR7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Execution,
    Write,
    /// Ports, with CR4.DE.
    Port,
    ReadWrite,
}

/// What is on, and what is pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Debug {
    /// Breakpoints on execution, data and ports, by number (bits 0 to 3).
    execution: u8,
    data: u8,
    port: u8,
    /// Ring 3 with CR0.AM and EFLAGS.AC: misaligned operands raise #AC.
    aligned: bool,
    /// The current instruction began with TF set, and nothing has transferred control to a handler since.
    pub(super) step: bool,
    /// The instruction before loaded SS: debug exceptions wait for the end of this one.
    pub(super) held: bool,
    /// The current instruction loaded RF (`iret`, a task switch): it holds for the next one.
    pub(super) resume: bool,
    /// An event is being delivered: what that pushes is not compared with data breakpoints.
    pub(crate) delivering: bool,
    /// Bits of DR6 for the trap at the end of the current instruction.
    pub(super) pending: u32,
}

impl Debug {
    /// Is a breakpoint enabled?
    pub(crate) fn armed(&self) -> bool {
        self.execution | self.data | self.port != 0
    }

    /// Do memory accesses have to be seen?
    #[inline]
    pub(crate) fn sees_memory(&self) -> bool {
        self.data != 0 || self.aligned
    }
}

impl Cpu {
    /// To be called after any change of DR7, CR0.AM, CR4.DE, EFLAGS.AC or the privilege level.
    #[inline]
    pub(crate) fn review_debug(&mut self) {
        let aligned = self.cr0 & cr0::AM != 0 && self.cpl == 3 && self.flags.rest & AC != 0;
        if aligned != self.debug.aligned || self.dr[7] & 0xff != 0 || self.debug.armed() {
            self.set_debug(aligned);
        }
    }

    #[cold]
    #[inline(never)]
    fn set_debug(&mut self, aligned: bool) {
        let before = self.debug;
        let d = &mut self.debug;
        (d.execution, d.data, d.port, d.aligned) = (0, 0, 0, aligned);
        for n in (0..4).filter(|n| self.dr[7] & dr7::ENABLE << (2 * n) != 0) {
            let set = match kind(self.dr[7], n) {
                Kind::Execution => &mut d.execution,
                Kind::Write | Kind::ReadWrite => &mut d.data,
                Kind::Port if self.cr4 & cr4::DE != 0 => &mut d.port,
                // Undefined without debugging extensions.
                Kind::Port => continue,
            };
            *set |= 1 << n;
        }
        if before.sees_memory() != self.debug.sees_memory() {
            self.mmu.use_front(!self.debug.sees_memory());
        }
        if before.armed() != self.debug.armed() {
            // The decoding mode is computed again.
            self.segment_changes += 1;
        }
    }

    /// EFLAGS were loaded whole, as `iret` and a task switch do: RF holds for the next instruction.
    pub(crate) fn flags_loaded(&mut self) {
        self.debug.resume = self.flags.rest & RF != 0;
        self.review_debug();
    }

    /// Holds debug exceptions off until the end of the next instruction, as a load of SS does.
    pub(crate) fn hold_debug(&mut self) {
        self.debug.held = self.debug.armed() || self.flags.rest & TF != 0;
    }

    /// An event is about to be delivered: what was pending for the instruction is lost with it.
    pub(crate) fn drop_debug(&mut self) {
        self.debug = Debug { step: false, held: false, pending: 0, ..self.debug };
    }

    /// A trap for the end of this instruction.
    pub(crate) fn pend_debug(&mut self, bits: u32) {
        self.debug.pending |= bits;
    }

    /// The pending trap, if there is one and it does not have to wait; DR6 says why.
    pub(crate) fn take_debug_trap(&mut self) -> Option<Exception> {
        if self.debug.pending == 0 || self.debug.held {
            return None;
        }
        self.dr[6] |= std::mem::take(&mut self.debug.pending);
        Some(Exception { vector: vector::DB, code: None, class: Class::Trap })
    }

    /// Raises #DB if a breakpoint is set on the instruction at CS:EIP.
    pub(crate) fn check_execution(&mut self) -> Result<(), Flow> {
        if self.debug.execution == 0 || self.flags.rest & RF != 0 || self.debug.held {
            return Ok(());
        }
        let at = self.seg[usize::from(CS)].base.wrapping_add(self.eip);
        let hit = (0..4).filter(|n| self.debug.execution >> n & 1 != 0 && self.dr[*n] == at);
        let bits = hit.fold(0, |bits, n| bits | 1 << n);
        if bits == 0 {
            return Ok(());
        }
        self.dr[6] |= bits;
        self.raise(Exception { vector: vector::DB, code: None, class: Class::Breakpoint })
    }

    /// An access to memory that cannot fault any more, but for its alignment.
    #[inline]
    pub(super) fn watch_access(
        &mut self,
        lin: u32,
        size: u32,
        access: Access,
        privilege: Privilege,
    ) -> Result<(), Flow> {
        if !self.debug.sees_memory() {
            return Ok(());
        }
        self.check_alignment(lin, size, privilege)?;
        let data = if self.debug.delivering { 0 } else { self.debug.data };
        for n in (0..4).filter(|n| data >> n & 1 != 0) {
            let wanted = access == Access::Write || kind(self.dr[7], n) == Kind::ReadWrite;
            if wanted && overlaps(self.dr[n as usize], length(self.dr[7], n), lin, size) {
                self.debug.pending |= 1 << n;
            }
        }
        Ok(())
    }

    /// #AC(0) for an operand that does not lie on a multiple of `size`, where that is checked.
    #[inline]
    pub(super) fn check_alignment(&mut self, lin: u32, size: u32, privilege: Privilege) -> Result<(), Flow> {
        if self.debug.aligned && privilege == Privilege::User && lin & (size - 1) != 0 {
            return self.raise(Exception::with_code(vector::AC, 0));
        }
        Ok(())
    }

    /// A port that was accessed.
    pub(crate) fn note_port(&mut self, port: u16, size: u32) {
        for n in (0..4).filter(|n| self.debug.port >> n & 1 != 0) {
            if overlaps(self.dr[n as usize], length(self.dr[7], n), u32::from(port), size) {
                self.debug.pending |= 1 << n;
            }
        }
    }
}

fn kind(dr7: u32, n: u32) -> Kind {
    match dr7 >> (16 + 4 * n) & 3 {
        0 => Kind::Execution,
        1 => Kind::Write,
        2 => Kind::Port,
        _ => Kind::ReadWrite,
    }
}

/// Bytes that breakpoint `n` covers.
fn length(dr7: u32, n: u32) -> u32 {
    match dr7 >> (18 + 4 * n) & 3 {
        0 => 1,
        1 => 2,
        2 => 8,
        _ => 4,
    }
}

/// Does the aligned range of `length` bytes around `at` meet `size` bytes at `lin`?
fn overlaps(at: u32, length: u32, lin: u32, size: u32) -> bool {
    let first = at & !(length - 1);
    // Distances wrap as addresses do.
    lin.wrapping_sub(first) < length || first.wrapping_sub(lin) < size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_as_bytes_do() {
        for length in [1, 2, 4, 8] {
            for at in 0..16u32 {
                for lin in 0..16u32 {
                    for size in [1, 2, 4] {
                        let covered = |b: u32| b & !(length - 1) == at & !(length - 1);
                        let expected = (lin..lin + size).any(covered);
                        assert_eq!(overlaps(at, length, lin, size), expected, "{at} {length} {lin} {size}");
                    }
                }
            }
        }
        assert!(overlaps(0, 1, u32::MAX, 2), "addresses wrap");
    }
}
