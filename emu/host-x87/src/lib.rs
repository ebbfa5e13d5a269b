//! Runs one x87 instruction on the host's own processor.
//!
//! A page of code is made for each instruction: load a state image, run the
//! instruction with its memory operand, save the image. Only for x86-64 Linux;
//! elsewhere [`Host::new`] gives `None` and a comparison has nothing to compare with.
//! Instructions are run with no exception pending, so none is ever delivered.

/// Bytes of an `fnsave` image.
pub const IMAGE: usize = 108;

/// What goes into an instruction and comes out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Context {
    /// The unit's state in the layout of `fnsave`.
    pub image: [u8; IMAGE],
    /// Zero.
    pub padding: u32,
    /// RFLAGS.
    pub rflags: u64,
    /// RAX.
    pub rax: u64,
    /// The memory operand.
    pub operand: [u8; 16],
}

/// Where one instruction at a time is placed and run.
#[derive(Debug)]
pub struct Host {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    page: *mut u8,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod native {
    use super::{Context, Host};
    use std::arch::asm;

    const MMAP: u64 = 9;
    const MUNMAP: u64 = 11;
    const PAGE: usize = 4096;
    /// Read, write, execute; private, anonymous.
    const PROTECTION: u64 = 7;
    const FLAGS: u64 = 0x22;

    impl Host {
        /// A page to run instructions in; `None` if the system gives none.
        pub fn new() -> Option<Host> {
            let result: i64;
            // SAFETY: a new anonymous mapping touches no memory of this program.
            unsafe {
                asm!("syscall", inlateout("rax") MMAP as i64 => result, in("rdi") 0u64, in("rsi") PAGE,
                    in("rdx") PROTECTION, in("r10") FLAGS, in("r8") -1i64, in("r9") 0u64,
                    lateout("rcx") _, lateout("r11") _);
            }
            (result > 0).then_some(Host { page: result as *mut u8 })
        }

        /// Places an instruction: opcode D8 to DF and ModR/M byte in one number. A memory operand is [`Context::operand`].
        pub fn place(&mut self, opcode: u16) {
            let modrm = opcode as u8;
            // With RSI as base where the operand lies in memory.
            let modrm = if modrm & 0xc0 == 0xc0 { modrm } else { modrm & 0x38 | 6 };
            let code = [
                0xff,
                0x77,
                0x70,
                0x9d, // push qword [rdi+112]; popfq
                0x48,
                0x8b,
                0x47,
                0x78, // mov rax,[rdi+120]
                0xdd,
                0x27, // frstor [rdi]
                (opcode >> 8) as u8,
                modrm,
                0xdd,
                0x37, // fnsave [rdi]
                0x48,
                0x89,
                0x47,
                0x78, // mov [rdi+120],rax
                0x9c,
                0x58,
                0x48,
                0x89,
                0x47,
                0x70, // pushfq; pop rax; mov [rdi+112],rax
                0xc3, // ret
            ];
            // SAFETY: the page is ours, is larger than the code, and nothing else refers to it.
            unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), self.page, code.len()) }
        }

        /// Runs the instruction placed last. The image must have no unmasked exception pending.
        pub fn run(&mut self, c: &mut Context) {
            // The arithmetic flags alone: no trap flag, no direction flag.
            c.rflags = c.rflags & 0x8d5 | 2;
            // SAFETY: the code reads and writes only the context and the stack below RSP, and leaves the
            // x87 unit initialised, as it has to be between functions.
            unsafe {
                asm!("call {page}", page = in(reg) self.page, in("rdi") c as *mut Context,
                    in("rsi") c.operand.as_mut_ptr(), out("rax") _, clobber_abi("sysv64"));
            }
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            // SAFETY: the mapping was made by `new` and nothing refers to it any more.
            unsafe {
                asm!("syscall", inlateout("rax") MUNMAP => _, in("rdi") self.page, in("rsi") PAGE,
                    lateout("rcx") _, lateout("r11") _);
            }
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
impl Host {
    /// There is no such processor here.
    pub fn new() -> Option<Host> {
        None
    }

    /// Does nothing.
    pub fn place(&mut self, _opcode: u16) {}

    /// Does nothing.
    pub fn run(&mut self, _c: &mut Context) {}
}
