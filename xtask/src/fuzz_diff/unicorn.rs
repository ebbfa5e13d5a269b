//! Real mode and flat 32-bit code: random instruction sequences here and on Unicorn (QEMU's translator as a
//! library, from PyPI).
//!
//! ```text
//!  seed -> case -> shootdown's machine, step by step  \
//!             \--> peer.py: Unicorn ------------------ compare: registers, flags that are
//!                                                      defined, memory, exception
//! ```
//!
//! Flat code runs here in ring 3 with a supervisor that catches exceptions; there in ring 0, where the
//! instructions that are asked do the same. Both sides have [`MEMORY`] bytes of RAM, filled alike. A case in
//! which either leaves it, or changes its own code, is dropped: there is nothing to compare.
//!
//! Differences that are explained, and so not asked or not compared: limits of segments
//! in real mode, the second encoding of TEST, a RET with a count of 8000 or more, EBP
//! after a 16-bit ENTER and two repeat prefixes, each of which Unicorn takes otherwise
//! than the manual or captured vectors say; CMPXCHG8B, after which Unicorn has lost the flags
//! of the instruction before; flags after a branch, where its stop between
//! instructions loses those that were not computed yet; OF after rotations through carry
//! by other counts than one, which is undefined; the upper half of the frame pointer that
//! a 32-bit ENTER pushes in real mode where SP wraps, which Unicorn borrows from.

use super::ours::{self, Ours};
use super::{Mode, Options, Tally, generate, hex, numbered, processor_flags};
use crate::random::Random;
use anyhow::{Context, Result, bail};
use iced_x86::{Code, Decoder, Instruction};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Bytes of RAM that both sides have.
pub const MEMORY: usize = 0x2_0000;
/// Where the code lies, apart from the memory: stores do not come there.
pub const CODE: u32 = 0x3_0000;
pub const PAGE: usize = 4096;
/// What the other side answers instead of a vector.
pub const NONE: i16 = -1;
const OUTSIDE: i16 = -2;
/// Differences that are shown in full.
const SHOWN: u64 = 20;

/// One sequence and the state before it.
#[derive(Clone, Debug)]
pub struct Case {
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub regs: [u32; 8],
    /// EFLAGS.
    pub flags: u32,
    /// ES, CS, SS, DS, FS, GS in real mode.
    pub segments: [u16; 6],
    /// The instructions.
    pub code: Vec<u8>,
    /// How many.
    pub count: u8,
    /// The last one repeats.
    pub repeats: bool,
    /// The last one is a branch.
    pub branches: bool,
    /// Flags undefined after it, in the decoder's numbering.
    pub undefined: u32,
}

/// State after a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// Exception, or [`NONE`].
    pub vector: i16,
    /// As before.
    pub regs: [u32; 8],
    /// Instruction pointer.
    pub eip: u32,
    /// EFLAGS.
    pub flags: u32,
    /// Addresses of memory that hold an exception's frame here and are not compared.
    pub frame: Vec<u32>,
    /// Pages that changed.
    pub pages: Vec<(u8, Vec<u8>)>,
}

/// The other side.
struct Peer {
    child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &Path, mode: Mode, image: &[u8]) -> Result<Peer> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fuzz_diff/peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!(
                    "{}: cannot be started; accepted is a Python 3 with the package unicorn",
                    python.display()
                )
            })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { bail!("no pipes") };
        let mut peer = Peer { child, to: BufWriter::new(to), from: BufReader::new(from) };
        peer.to.write_all(&[if mode == Mode::Real { 16 } else { 32 }])?;
        peer.to.write_all(image)?;
        Ok(peer)
    }

    fn run(&mut self, case: &Case) -> Result<After> {
        let mut head = vec![case.count, u8::from(case.repeats), case.code.len() as u8, 0];
        let mut put = |v: u32| head.extend(v.to_le_bytes());
        case.regs.iter().for_each(|r| put(*r));
        put(case.flags);
        case.segments.iter().for_each(|s| head.extend(s.to_le_bytes()));
        head.extend(&case.code);
        self.to.write_all(&head)?;
        self.to.flush()?;
        let lost = "the other side has ended; is the package unicorn installed for this Python?";
        let mut b = [0; 2 + 40 + 1];
        self.from.read_exact(&mut b).context(lost)?;
        let dword = |n: usize| u32::from_le_bytes(std::array::from_fn(|i| b[2 + 4 * n + i]));
        let mut pages = Vec::new();
        for _ in 0..b[42] {
            let mut number = [0];
            let mut bytes = vec![0; PAGE];
            self.from.read_exact(&mut number)?;
            self.from.read_exact(&mut bytes)?;
            pages.push((number[0], bytes));
        }
        Ok(After {
            vector: i16::from_le_bytes([b[0], b[1]]),
            regs: std::array::from_fn(dword),
            eip: dword(8),
            flags: dword(9),
            frame: Vec::new(),
            pages,
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the sequences from `options.from` on.
pub fn run(options: &Options<'_>) -> Result<Tally> {
    let mode = options.mode;
    let mut fill = Random::new(0x5eed);
    let mut image: Vec<u8> = (0..MEMORY / 8).flat_map(|_| fill.next().to_le_bytes()).collect();
    ours::prepare_image(&mut image, mode);
    let mut ours = Ours::new(mode, &image)?;
    let mut peer = Peer::start(options.python, mode, &image)?;
    let mut tally = Tally::default();
    for n in options.from..options.from + options.count {
        let case = generate::case(&mut numbered(options.seed, n), mode);
        let theirs = peer.run(&case)?;
        let Some(here) = ours.run(&case, &image)? else {
            tally.drop("it leaves the memory or changes its code here");
            continue;
        };
        // Unicorn stops at a store into the page that it runs, whatever is stored.
        let stopped = theirs.vector == NONE
            && !case.branches
            && theirs.eip.wrapping_sub(ours::begin(mode)) != case.code.len() as u32;
        if theirs.vector == OUTSIDE || stopped {
            tally.drop("it leaves the memory or changes its code there");
            continue;
        }
        if mode == Mode::Real && matches!(here.vector, 12 | 13) {
            tally.drop("it exceeds a limit, which is not checked there");
            continue;
        }
        tally.compared += 1;
        tally.faults += u64::from(here.vector != NONE);
        let Some(what) = difference(&case, &here, &theirs, mode) else { continue };
        if mode == Mode::Real && what == "memory" && enters_wrapped(&case, &here, &theirs) {
            *tally.explained.entry("ENTER borrows from the upper half of ESP").or_default() += 1;
            continue;
        }
        tally.differences += 1;
        if tally.differences <= SHOWN {
            report(options, n, &case, &what, &here, &theirs);
        }
    }
    Ok(tally)
}

/// What differs first.
fn difference(case: &Case, here: &After, theirs: &After, mode: Mode) -> Option<String> {
    if here.vector != theirs.vector {
        return Some(format!("exception {} here, {} there", here.vector, theirs.vector));
    }
    for (n, name) in ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"].into_iter().enumerate() {
        if here.regs[n] != theirs.regs[n] {
            return Some(format!("{name} {:#x} here, {:#x} there", here.regs[n], theirs.regs[n]));
        }
    }
    let eip = if mode == Mode::Real { 0xffff } else { u32::MAX };
    if (here.eip ^ theirs.eip) & eip != 0 {
        return Some(format!("eip {:#x} here, {:#x} there", here.eip, theirs.eip));
    }
    let mask = 0xcd5 & !processor_flags(case.undefined);
    // A stop between instructions loses flags there that were not computed yet.
    let precise = here.vector == NONE && !case.branches;
    if precise && (here.flags ^ theirs.flags) & mask != 0 {
        return Some(format!("flags {:#x} here, {:#x} there, compared {mask:#x}", here.flags, theirs.flags));
    }
    if memory(here, theirs, here) != memory(theirs, here, here) {
        return Some("memory".into());
    }
    None
}

/// The changed pages of one side, but for the frame: a page in which nothing else changed may have changed on one side
/// alone.
fn memory(of: &After, other: &After, here: &After) -> Vec<(u8, Vec<u8>)> {
    let mut pages = of.pages.clone();
    for at in &here.frame {
        for (_, bytes) in pages.iter_mut().filter(|(n, _)| u32::from(*n) == at >> 12) {
            bytes[(at & 0xfff) as usize] = 0;
        }
    }
    let touched = |n: u8| here.frame.iter().any(|at| at >> 12 == u32::from(n));
    pages.retain(|(n, _)| !touched(*n) || other.pages.iter().any(|p| p.0 == *n));
    pages
}

/// Has a 32-bit ENTER with frame pointers pushed one whose upper half differs, and nothing else does?
fn enters_wrapped(case: &Case, here: &After, theirs: &After) -> bool {
    let nested = |i: Instruction| i.code() == Code::Enterd_imm16_imm8 && i.immediate8_2nd() & 31 != 0;
    let bytes = |a: &After| a.pages.iter().flat_map(|(_, b)| b.clone()).collect::<Vec<u8>>();
    let differing = bytes(here).iter().zip(bytes(theirs)).filter(|(a, b)| *a != b).count();
    let same_pages = here.pages.iter().map(|p| p.0).eq(theirs.pages.iter().map(|p| p.0));
    Decoder::new(16, &case.code, 0).into_iter().any(nested) && same_pages && differing <= 2
}

fn report(options: &Options<'_>, n: u64, case: &Case, what: &str, here: &After, theirs: &After) {
    println!("case {n} of seed {}, {:?}: {what}", options.seed, options.mode);
    println!("  code {}", hex(&case.code));
    let bits = if options.mode == Mode::Real { 16 } else { 32 };
    for i in Decoder::new(bits, &case.code, 0).into_iter() {
        println!("    {:?}", i.code());
    }
    println!("  before {:08x?} flags {:04x} segments {:04x?}", case.regs, case.flags, case.segments);
    println!("  here   {:08x?} flags {:04x} eip {:08x}", here.regs, here.flags, here.eip);
    println!("  there  {:08x?} flags {:04x} eip {:08x}", theirs.regs, theirs.flags, theirs.eip);
    for (a, b) in here.pages.iter().zip(&theirs.pages).filter(|(a, b)| a != b).take(1) {
        let first = a.1.iter().zip(&b.1).position(|(a, b)| a != b).unwrap_or(0);
        println!(
            "  memory: page {:#x} here, {:#x} there, at {first:#x}: {:02x} here, {:02x} there",
            a.0, b.0, a.1[first], b.1[first]
        );
    }
}
