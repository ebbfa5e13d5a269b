//! Runs a batch: on the machine under test, which answers through its memory, and on Bochs or QEMU, which answer
//! through port E9.
//!
//! None of them has firmware here: the guest is the ROM.

use super::harness;
use super::layout::{ARENA, ARENA_BYTES, IMAGE, MAGIC, MEMORY, RESULTS, VARS, case, record, var};
use anyhow::{Context, Result, bail};
use iced_x86::{Decoder, DecoderOptions, Instruction};
use shootdown_emu::config::Strictness;
use shootdown_emu::cpu::op::CS;
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Preset, Stop, mmu};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::machine;

/// Cycles for a case, far more than any needs.
const CYCLES: u64 = 400_000;

/// The other machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// Checks all that a processor checks.
    Bochs,
    /// Checks neither limits nor types of segments when they are used.
    Qemu,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its record.
    Record(Vec<u32>),
    /// It ended the machine, or never ended.
    Lost(String),
    /// It was not run.
    LeftOut,
}

/// What is loaded.
pub struct Load<'a> {
    /// Memory from [`IMAGE`].
    pub image: &'a [u8],
    /// The cases.
    pub cases: &'a [u8],
}

impl Load<'_> {
    fn count(&self) -> u32 {
        self.cases.len() as u32 / case::BYTES
    }

    /// The image, told where to begin.
    fn image(&self, first: u32, stream: bool) -> Vec<u8> {
        let mut image = self.image.to_vec();
        for (at, v) in [(var::INDEX, first), (var::COUNT, self.count()), (var::STREAM, u32::from(stream))] {
            let at = (VARS + at - IMAGE) as usize;
            image[at..at + 4].copy_from_slice(&v.to_le_bytes());
        }
        image
    }

    /// The number of the first case from `n` on that is not left out.
    fn from(&self, n: u32) -> u32 {
        let entry = |n: u32| self.cases[(n * case::BYTES) as usize];
        (n..self.count()).find(|n| entry(*n) != 0).unwrap_or(self.count())
    }
}

/// Takes records apart, as far as they follow each other, and gives the number of the case after the last.
fn read(words: &[u32], into: &mut [Outcome]) -> u32 {
    let mut rest = words;
    let mut next = 0;
    while let Some(changes) = rest.get(record::CHANGES) {
        let len = record::HEAD + 2 * (*changes as usize).min(record::MOST_CHANGES);
        let Some(r) = rest.get(..len) else { break };
        if r[record::INDEX] < next || r[record::CR0] == 0 {
            break;
        }
        let Some(slot) = into.get_mut(r[record::INDEX] as usize) else { break };
        *slot = Outcome::Record(r.to_vec());
        next = r[record::INDEX] + 1;
        rest = &rest[len..];
    }
    next
}

/// Steps that a load with one case takes, at most: its beginning copies 2 MiB.
const STEPS: u64 = 4 << 20;
/// The end of conventional memory.
const CONVENTIONAL: u64 = 0xa_0000;
/// Instructions of a case that are of interest, its last.
const LAST: usize = 64;

fn machine(load: &Load<'_>, first: u32) -> Result<Machine> {
    let mut config = MachineConfig::new(Preset::load("p3")?);
    config.cpus = 1;
    config.strictness = Strictness::Lenient;
    config.memory = u64::from(MEMORY);
    config.max_cycles = Some(CYCLES * u64::from(load.count() - first) + 100 * CYCLES);
    let mut machine = Machine::new(config)?;
    machine.load_rom("rom", &harness::rom(&load.image(first, false), load.cases)?)?;
    Ok(machine)
}

/// What the machine under test executes outside the harness.
#[derive(Debug, Default)]
pub struct Executed {
    /// The last instructions.
    pub instructions: Vec<Instruction>,
    /// Some were neither in the arena, the only memory that a case has, nor in conventional memory, which is alike on both
    /// machines: on devices, holes, or what belongs to the harness.
    pub strays: bool,
    /// It has used addresses where there is nothing.
    pub empty: bool,
}

/// Runs a load of one case by single steps.
pub fn executed(load: &Load<'_>) -> Result<Executed> {
    let mut machine = machine(load, load.from(0))?;
    let (mut found, mut begun, mut strays) = (VecDeque::new(), false, false);
    let empty = |machine: &Machine| machine.cpus()[0].count.empty_addresses;
    let empty_before = empty(&machine);
    for _ in 0..STEPS {
        let (cpu, bus) = (&machine.cpus()[0], machine.bus());
        let cs = cpu.seg[usize::from(CS)];
        let start = cs.base.wrapping_add(cpu.eip);
        let harness = (IMAGE..VARS).contains(&start);
        begun |= harness;
        if begun && !harness {
            let bytes: Vec<u8> = (0..15)
                .map_while(|i| {
                    let at = mmu::path(cpu, bus, start.wrapping_add(i)).physical?;
                    let mut byte = [0];
                    bus.ram.peek(at, &mut byte);
                    Some(byte[0])
                })
                .collect();
            let arena = u64::from(ARENA)..u64::from(ARENA + ARENA_BYTES);
            let alike = |at: u64| at < CONVENTIONAL || arena.contains(&at);
            strays |= mmu::path(cpu, bus, start).physical.is_some_and(|at| !alike(at));
            let bits = if cs.big() { 32 } else { 16 };
            let at = u64::from(cpu.eip);
            found.push_back(Decoder::with_ip(bits, &bytes, at, DecoderOptions::NO_PAUSE).decode());
            if found.len() > LAST {
                found.pop_front();
            }
        }
        if machine.step(0).is_some() {
            break;
        }
    }
    Ok(Executed { instructions: found.into(), strays, empty: empty(&machine) > empty_before })
}

/// The machine under test.
pub fn ours(load: &Load<'_>) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::LeftOut; load.count() as usize];
    let mut first = load.from(0);
    while first < load.count() {
        let mut machine = machine(load, first)?;
        let stop = machine.run(&mut Nobody);
        let word = |at: u32| {
            let mut b = [0; 4];
            machine.bus().ram.peek(u64::from(at), &mut b);
            u32::from_le_bytes(b)
        };
        let end = word(VARS + var::RESULT);
        let sound = (RESULTS..=MEMORY).contains(&end);
        let end = if sound { end } else { MEMORY };
        let words: Vec<u32> = (RESULTS..end).step_by(4).map(word).collect();
        let next = read(&words, &mut outcomes);
        if stop == Stop::Exit(0) {
            break;
        }
        let lost = load.from(next.max(first));
        if !sound && next > first {
            // It wrote into the harness: perhaps before its record was complete.
            outcomes[next as usize - 1] = Outcome::Lost("a case has changed the harness".into());
        }
        let Some(slot) = outcomes.get_mut(lost as usize) else { break };
        *slot = Outcome::Lost(stop.to_string());
        first = load.from(lost + 1);
    }
    Ok(outcomes)
}

/// The other machine: as far as it came.
pub fn theirs(peer: Peer, load: &Load<'_>) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::LeftOut; load.count() as usize];
    let mut first = load.from(0);
    while first < load.count() {
        let dir = tempfile::tempdir()?;
        let written = run(peer, load, first, dir.path())?;
        let begin = written.windows(MAGIC.len()).position(|w| w == MAGIC);
        let Some(begin) = begin else {
            let tail = String::from_utf8_lossy(&written[written.len().saturating_sub(600)..]).into_owned();
            bail!("{peer:?} ended without a word from the guest; it says: {tail}");
        };
        let words: Vec<u32> = written[begin + MAGIC.len()..]
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes(std::array::from_fn(|i| b[i])))
            .collect();
        let next = read(&words, &mut outcomes);
        let lost = load.from(next.max(first));
        let Some(slot) = outcomes.get_mut(lost as usize) else { break };
        *slot = Outcome::Lost("it ended or hung".into());
        first = load.from(lost + 1);
    }
    Ok(outcomes)
}

const BOCHSRC: &str = "config_interface: textconfig\n\
    display_library: rfb, options=\"timeout=0\"\n\
    plugin_ctrl: speaker=0, gameport=0, parallel=0\n\
    megs: 48\n\
    romimage: file=rom\n\
    cpu: model=p3_katmai, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1\n\
    clock: sync=none, time0=1000000000\n\
    pci: enabled=0\n\
    log: bochs.log\n\
    panic: action=fatal\n\
    error: action=ignore\n\
    info: action=ignore\n\
    debug: action=ignore\n\
    port_e9_hack: enabled=1\n";

fn run(peer: Peer, load: &Load<'_>, first: u32, dir: &Path) -> Result<Vec<u8>> {
    fs::write(dir.join("rom"), harness::rom(&load.image(first, true), load.cases)?)?;
    let out = dir.join("out");
    let stdout = File::create(dir.join(if peer == Peer::Bochs { "out" } else { "messages" }))?;
    let mut command = match peer {
        Peer::Bochs => {
            fs::write(dir.join("bochsrc"), BOCHSRC)?;
            fs::write(dir.join("continue"), "continue\n")?;
            let mut c = Command::new("bochs");
            c.args(["-q", "-f", "bochsrc"]);
            if crate::bochs::has_debugger()? {
                c.args(["-rc", "continue"]);
            }
            c
        }
        Peer::Qemu => {
            let mut c = Command::new("qemu-system-i386");
            c.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "48"])
                .args(["-cpu", "pentium3", "-accel", "tcg", "-bios", "rom"])
                .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
                .args([
                    "-chardev",
                    "file,id=out,path=out",
                    "-device",
                    "isa-debugcon,iobase=0xe9,chardev=out",
                ]);
            c
        }
    };
    let mut child = command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(stdout.try_clone()?)
        .stdout(stdout)
        .spawn()
        .with_context(|| {
            format!("{peer:?} cannot be started; accepted is a PATH on which it is installed")
        })?;
    // A machine that hangs is ended, and says nothing more; one on a busy host must not be.
    let limit = Duration::from_secs(60 + u64::from(load.count()) / 20);
    let _ = machine::wait(&mut child, limit, || false);
    fs::read(&out).with_context(|| format!("{peer:?} left nothing"))
}
