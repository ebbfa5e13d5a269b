//! Runs cases on the processor of this machine.
//!
//! A child process in 32-bit mode ([`image`]) is held by ptrace. Registers and memory of a case are put into it, it runs
//! until it meets an `int3`, of which all memory for code is full, and its state is read.
//! An exception comes as a signal; its handler in the child finds vector and error code
//! on its stack, as the processor gave them to the system. The x87 unit is loaded and stored by the child itself.
//!
//! Linux on x86-64 only.

use super::case::{After, Case, EFLAGS, EIP, SEGMENTS, pieces};
use super::image::{self, ARGUMENT, CALL, CODE, DATA, HANDLER, JUMP, LOAD, LOADED, SAVED, SIGNAL_STACK};
use super::unit::{IMAGE, STATE, Unit};
use anyhow::{Context, Result, bail};
use nix::libc::user_regs_struct;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Child, Command};

const INT3: u8 = 0xcc;
const RF: u32 = 1 << 16;
const BREAKPOINT: u8 = 3;
const PAGE_FAULT: u8 = 14;
/// Bit of a page fault's error code: the fetch of an instruction.
const FETCH: u32 = 0x10;
/// Numbers of system calls of a 32-bit program.
const RT_SIGACTION: u32 = 174;
const SIGALTSTACK: u32 = 186;
/// `SA_ONSTACK | SA_NODEFER | SA_RESTORER`.
const ACTION: u32 = 0x4c00_0000;
const CAUGHT: [Signal; 4] = [Signal::SIGSEGV, Signal::SIGILL, Signal::SIGFPE, Signal::SIGBUS];

/// The child.
pub struct Tracee {
    child: Child,
    pid: Pid,
    memory: File,
    /// What the windows of [`DATA`] hold before the instruction.
    before: [Vec<u8>; 2],
    /// What they hold after it.
    after: [Vec<u8>; 2],
    /// What the memory for code holds.
    code: Vec<u8>,
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // It is gone already where these fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tracee {
    /// Starts the child.
    pub fn start() -> Result<Tracee> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("vectors");
        fs::write(&program, image::elf())?;
        fs::set_permissions(&program, Permissions::from_mode(0o700))?;
        let child = Command::new(&program).spawn().context(
            "cannot start a 32-bit program; wanted are a Linux that runs them, and memory from 0x1000 on: root, or \
             vm.mmap_min_addr at most 4096",
        )?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        ptrace::seize(pid, Options::PTRACE_O_EXITKILL).context("cannot trace the 32-bit program")?;
        ptrace::interrupt(pid)?;
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        let size = |n: usize| vec![0; (DATA[n].end - DATA[n].start) as usize];
        let code = vec![INT3; (CODE.end - CODE.start) as usize];
        let mut tracee =
            Tracee { child, pid, memory, before: [size(0), size(1)], after: [size(0), size(1)], code };
        match waitpid(pid, None)? {
            WaitStatus::PtraceEvent(..) => {}
            other => bail!(
                "the 32-bit program does not stand still ({other:?}); is memory from 0x1000 on allowed (vm.mmap_min_addr)?"
            ),
        }
        tracee.prepare()?;
        Ok(tracee)
    }

    /// Fills the memory for code and asks for the signals.
    fn prepare(&mut self) -> Result<()> {
        self.poke(CODE.start, &self.code)?;
        let words = |w: &[u32]| w.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        self.poke(ARGUMENT, &words(&[HANDLER, ACTION, 0, 0, 0]))?;
        for signal in CAUGHT {
            self.call(RT_SIGACTION, [signal as u32, ARGUMENT, 0, 8])?;
        }
        self.poke(ARGUMENT, &words(&[SIGNAL_STACK.start, 0, SIGNAL_STACK.end - SIGNAL_STACK.start]))?;
        self.call(SIGALTSTACK, [ARGUMENT, 0, 0, 0])
    }

    fn poke(&self, at: u32, bytes: &[u8]) -> Result<()> {
        self.memory.write_all_at(bytes, at.into()).with_context(|| format!("cannot write at {at:#x}"))
    }

    fn peek(&self, at: u32, bytes: &mut [u8]) -> Result<()> {
        self.memory.read_exact_at(bytes, at.into()).with_context(|| format!("cannot read at {at:#x}"))
    }

    /// A system call by the child.
    fn call(&mut self, number: u32, [ebx, ecx, edx, esi]: [u32; 4]) -> Result<()> {
        let mut registers = [number, ecx, edx, ebx, 0, 0, esi, 0, CALL, 2];
        self.go(&registers, &SEGMENTS, CALL)?;
        registers = self.registers()?.0;
        if registers[0] != 0 {
            bail!("system call {number} of the 32-bit program answers {:#x}", registers[0]);
        }
        Ok(())
    }

    /// Lets the child run from an address, with these registers, to its next stop, at a signal.
    fn go(&mut self, r: &[u32; 10], segments: &[u16; 6], from: u32) -> Result<Signal> {
        let mut regs = ptrace::getregs(self.pid)?;
        let [ax, cx, dx, bx, sp, bp, si, di, _, flags] = r.map(u64::from);
        let [es, cs, ss, ds, fs, gs] = segments.map(u64::from);
        let ip = u64::from(from);
        regs = user_regs_struct {
            rax: ax,
            rcx: cx,
            rdx: dx,
            rbx: bx,
            rsp: sp,
            rbp: bp,
            rsi: si,
            rdi: di,
            rip: ip,
            eflags: flags,
            es,
            cs,
            ss,
            ds,
            fs,
            gs,
            fs_base: 0,
            gs_base: 0,
            // Not in a system call.
            orig_rax: u64::MAX,
            ..regs
        };
        ptrace::setregs(self.pid, regs)?;
        self.resume(None)
    }

    fn resume(&mut self, signal: Option<Signal>) -> Result<Signal> {
        ptrace::cont(self.pid, signal)?;
        match waitpid(self.pid, None)? {
            WaitStatus::Stopped(_, signal) => Ok(signal),
            other => bail!("the 32-bit program has come to {other:?}"),
        }
    }

    fn registers(&self) -> Result<([u32; 10], [u16; 6])> {
        let r = ptrace::getregs(self.pid)?;
        let general =
            [r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.rip, r.eflags].map(|v| v as u32);
        Ok((general, [r.es, r.cs, r.ss, r.ds, r.fs, r.gs].map(|v| v as u16)))
    }

    /// Runs a case. `None`: it left the memory, or stopped in another way than cases should.
    pub fn run(&mut self, case: &Case) -> Result<Option<After>> {
        let eip = case.registers[EIP];
        let mut code = case.code.clone();
        let length = code.len() as u32;
        for (at, bytes) in &case.memory {
            self.poke(*at, bytes)?;
            put(&mut self.before, *at, bytes);
        }
        let mut from = eip;
        let mut behind = 0;
        if let Some(unit) = &case.unit {
            self.poke(LOADED, &unit.state(STATE))?;
            self.poke(JUMP.0, &eip.wrapping_sub(JUMP.1).to_le_bytes())?;
            code.extend(image::save());
            from = LOAD;
            behind = image::save().len() as u32;
        }
        self.poke(eip, &code)?;
        let signal = self.go(&case.registers, &case.segments, from)?;
        let outcome = match signal {
            Signal::SIGTRAP => self.trapped(case, length, behind)?,
            s if CAUGHT.contains(&s) => self.faulted(case, s)?,
            other => bail!("the 32-bit program got {other}"),
        };
        self.poke(eip, &vec![INT3; code.len()])?;
        let changed = self.changes()?;
        self.clean(case, &changed)?;
        if self.code_changed()? {
            return Ok(None);
        }
        Ok(outcome.map(|o| After { changed, ..o }))
    }

    /// After `int3`: of the filling, or the case itself.
    fn trapped(&self, case: &Case, length: u32, behind: u32) -> Result<Option<After>> {
        let (mut registers, segments) = self.registers()?;
        let own = registers[EIP] == case.registers[EIP].wrapping_add(length)
            && matches!(case.code.last(), Some(&INT3) | Some(3));
        if !own {
            registers[EIP] = registers[EIP].wrapping_sub(1 + behind);
        }
        registers[EFLAGS] &= !RF;
        let unit = case.unit.as_ref().map(|_| self.saved()).transpose()?;
        let exception = own.then_some((BREAKPOINT, 0));
        Ok(Some(After { registers, segments, changed: Vec::new(), unit, exception }))
    }

    /// After a fault or `into`: the handler of the signal tells.
    fn faulted(&mut self, case: &Case, signal: Signal) -> Result<Option<After>> {
        let (_, segments) = self.registers()?;
        if self.resume(Some(signal))? != Signal::SIGTRAP {
            bail!("the handler of {signal} does not run");
        }
        let (now, _) = self.registers()?;
        // Return address, signal, then `struct sigcontext_32`.
        let mut frame = [0; 8 + 88];
        self.peek(now[4], &mut frame)?;
        let word = |n: usize| {
            let at = 8 + 4 * n;
            u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        let [di, si, bp, sp, bx, dx, cx, ax, vector, code, ip] = std::array::from_fn(|n| word(n + 4));
        let (flags, saved, cr2) = (word(16), word(19), word(21));
        let registers = [ax, cx, dx, bx, sp, bp, si, di, ip, flags & !RF];
        // The system stores an `fnsave` image of 112 bytes in front of that of `fxsave`.
        let unit = case.unit.as_ref().map(|_| self.unit(saved + 112)).transpose()?;
        let mut exception = Some((vector as u8, code));
        if vector == u32::from(PAGE_FAULT) {
            // A branch that has left the memory for code has done all of its work.
            if code & FETCH == 0 || cr2 != ip || ip == case.registers[EIP] {
                return Ok(None);
            }
            exception = None;
        }
        Ok(Some(After { registers, segments, changed: Vec::new(), unit, exception }))
    }

    /// As `fnsave` behind the case has stored it.
    fn saved(&self) -> Result<Unit> {
        let mut state = [0; STATE];
        self.peek(SAVED, &mut state)?;
        Ok(Unit::from_state(&state))
    }

    /// As the system has stored it for the handler of a signal.
    fn unit(&self, at: u32) -> Result<Unit> {
        let mut image = [0; IMAGE];
        self.peek(at, &mut image)?;
        Ok(Unit::from_image(&image))
    }

    fn changes(&mut self) -> Result<Vec<(u32, Vec<u8>)>> {
        let mut changed = Vec::new();
        for (n, range) in DATA.iter().enumerate() {
            self.memory.read_exact_at(&mut self.after[n], range.start.into())?;
            let (before, after) = (&self.before[n], &self.after[n]);
            if before != after {
                let bytes = (range.start..).zip(before.iter().zip(after));
                changed.extend(pieces(bytes.filter(|(_, (b, a))| a != b).map(|(at, (_, a))| (at, *a))));
            }
        }
        Ok(changed)
    }

    /// Has the case written where code lies? Then that is made good.
    fn code_changed(&mut self) -> Result<bool> {
        self.memory.read_exact_at(&mut self.code, CODE.start.into())?;
        let changed = self.code.iter().any(|b| *b != INT3);
        if changed {
            self.code.fill(INT3);
            self.poke(CODE.start, &self.code)?;
        }
        Ok(changed)
    }

    /// Memory is zero between cases.
    fn clean(&mut self, case: &Case, changed: &[(u32, Vec<u8>)]) -> Result<()> {
        for (at, bytes) in changed.iter().chain(&case.memory) {
            let zeros = vec![0; bytes.len()];
            self.poke(*at, &zeros)?;
            put(&mut self.before, *at, &zeros);
        }
        Ok(())
    }
}

fn put(windows: &mut [Vec<u8>; 2], at: u32, bytes: &[u8]) {
    for (range, window) in DATA.iter().zip(windows) {
        let from = at.wrapping_sub(range.start) as usize;
        if let Some(to) = window.get_mut(from..from.saturating_add(bytes.len())) {
            to.copy_from_slice(bytes);
        }
    }
}

/// What /proc/cpuinfo says of the processor.
pub fn processor() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = text.lines().find(|l| l.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|l| l.split_once(':')).map_or("?", |(_, value)| value.trim())
    };
    Ok(format!(
        "{} ({} family {} model {} stepping {})",
        field("model name"),
        field("vendor_id"),
        field("cpu family"),
        field("model"),
        field("stepping")
    ))
}
