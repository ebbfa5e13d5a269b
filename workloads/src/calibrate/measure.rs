//! The measurements. Each says what the preset's numbers make of it.

use super::ipi;
use crate::micro::*;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use shootdown_emu::MachineConfig;
use shootdown_emu::cost::Costs;

/// Names of the rows.
pub mod what {
    /// `invlpg` of a mapped page.
    pub const INVLPG: &str = "invlpg";
    /// A CR3 load that keeps the loop's own, global page.
    pub const CR3: &str = "cr3 load";
    /// CR4.PGE off and on, with the walks for the loop's own page.
    pub const PGE: &str = "cr4.pge off/on";
    /// A locked operation on an own line.
    pub const LOCKED: &str = "locked operation";
    /// A page walk with the tables in the first-level cache.
    pub const WALK: &str = "page walk, tables cached";
    /// A first-level miss that hits the second-level TLB.
    pub const SECOND: &str = "second-level TLB hit";
    /// A load from the first-level cache, to its use.
    pub const L1: &str = "L1 hit";
    /// A load from the second-level cache.
    pub const L2: &str = "L2 hit";
    /// A load from the last level.
    pub const LLC: &str = "last-level hit";
    /// A load from memory.
    pub const MEMORY: &str = "memory";
    /// A load next to the line missed before.
    pub const STREAM: &str = "stream";
    /// A locked operation on a line of another processor.
    pub const TRANSFER: &str = "line transfer";
    /// The same from another socket.
    pub const TRANSFER_REMOTE: &str = "line transfer, other socket";
    /// A locked operation on a line that others share.
    pub const UPGRADE: &str = "upgrade of a shared line";
    /// An IPI, and one in answer.
    pub const ROUND_TRIP: &str = "IPI round trip";
    /// From the send of an IPI to the first instruction of its handler.
    pub const ONE_WAY: &str = "IPI, one way";
    /// IPIs to three processors, one after the other, to the handler of the last.
    pub const UNICASTS: &str = "IPIs to three, one by one";
    /// One IPI to three processors, to the handler of the last.
    pub const BROADCAST: &str = "IPI to three, broadcast";
    /// Software interrupt and return without a change of ring.
    pub const SAME: &str = "interrupt and return, same ring";
    /// The same from ring 3.
    pub const RING3: &str = "interrupt and return, ring 3";
    /// A read of an APIC register.
    pub const APIC: &str = "APIC read";
    /// RDTSC.
    pub const RDTSC: &str = "rdtsc";
    /// CPUID.
    pub const CPUID: &str = "cpuid";
}

/// Name, model and measurement.
pub(super) type Measured = (&'static str, f64, f64);

pub(super) const ROUNDS: u32 = 64;
/// Results of the loop with and without the measured code.
pub(super) const WITH: u32 = 0;
pub(super) const WITHOUT: u32 = 1;
const SOFT: u8 = 0x42;

/// All rows of a preset.
pub fn all(config: &MachineConfig) -> Result<Vec<Measured>, MicroError> {
    let c = config.preset.costs();
    let one = |what, model: u32, prepare: Emit<'_>, body: Emit<'_>| {
        single(config, prepare, body, prepare, &nothing).map(|m| (what, f64::from(model), m))
    };
    let none: Emit<'_> = &nothing;
    let mut rows = vec![
        one(what::INVLPG, c.invlpg, none, &|a| a.invlpg(ptr(WINDOW)))?,
        one(what::CR3, c.cr3_load, &|a| a.mov(ecx, cr3), &|a| a.mov(cr3, ecx))?,
        // The flush of each write takes the loop's own page too: the instruction after it walks.
        one(what::PGE, 2 * c.cr4_pge_write + 2 * c.walk, &pge_values, &|a| {
            a.mov(cr4, ebx)?;
            a.mov(cr4, ecx)
        })?,
        one(what::LOCKED, c.locked, none, &|a| a.lock().add(dword_ptr(shared(0)), 1))?,
        walk(config, &c)?,
    ];
    rows.extend(second_level(config, &c)?);
    rows.extend(caches(config, &c)?);
    rows.extend(lines(config, &c)?);
    rows.extend(ipi::all(config, &c)?);
    rows.push(interrupt(config, &c, Ring::Zero)?);
    rows.push(interrupt(config, &c, Ring::Three)?);
    rows.push(one(what::APIC, c.alu + c.load + c.apic_access, none, &|a| {
        a.mov(eax, dword_ptr(APIC + 0x20))
    })?);
    rows.push(one(what::RDTSC, c.rdtsc, none, &|a| a.rdtsc())?);
    rows.push(one(what::CPUID, c.cpuid, &|a| a.xor(eax, eax), &|a| a.cpuid())?);
    Ok(rows)
}

/// The same machine with so many processors.
pub(super) fn machine(config: &MachineConfig, cpus: usize) -> MachineConfig {
    MachineConfig { cpus, ..config.clone() }
}

/// One processor: `body` after `prepare`, less `base` after `base_prepare`.
fn single(
    config: &MachineConfig,
    prepare: Emit<'_>,
    body: Emit<'_>,
    base_prepare: Emit<'_>,
    base: Emit<'_>,
) -> Result<f64, MicroError> {
    let mut m = Micro::new(machine(config, 1))?;
    m.cpu(0, &|a| {
        a.mov(ebx, WINDOW)?;
        timed(a, WITH, ROUNDS, prepare, body)?;
        timed(a, WITHOUT, ROUNDS, base_prepare, base)?;
        finish(a)
    })?;
    Ok(m.run()?.mean(WITH, WITHOUT, ROUNDS))
}

fn pge_values(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(ecx, cr4)?;
    a.mov(ebx, ecx)?;
    a.and(ebx, !(PGE as i32))
}

/// A load whose entry `invlpg` has just dropped, less one whose entry is there.
fn walk(config: &MachineConfig, c: &Costs) -> Result<Measured, MicroError> {
    let load: Emit<'_> = &|a| a.mov(eax, dword_ptr(WINDOW));
    let dropped: Emit<'_> = &|a| a.invlpg(ptr(WINDOW));
    let another: Emit<'_> = &|a| a.invlpg(ptr(WINDOW + 0x1000));
    Ok((what::WALK, f64::from(c.walk), single(config, dropped, load, another, load)?))
}

/// A load whose entry other pages of its set have pushed out of the first level, less one whose entry is there.
fn second_level(config: &MachineConfig, c: &Costs) -> Result<Option<Measured>, MicroError> {
    if config.preset.tlb.second.is_none() {
        return Ok(None);
    }
    let g = config.preset.tlb.data.small;
    let sets = g.entries / g.ways;
    let load: Emit<'_> = &|a| a.mov(eax, dword_ptr(WINDOW));
    // Three times the ways, so that a tree-PLRU set has let go of every older entry; each in its own cache set.
    let push: Emit<'_> =
        &|a| (1..=3 * g.ways).try_for_each(|k| a.mov(eax, dword_ptr(WINDOW + k * sets * 4096 + k % 63 * 64)));
    let pull: Emit<'_> = &|a| {
        push(a)?;
        a.mov(eax, dword_ptr(WINDOW))
    };
    Ok(Some((what::SECOND, f64::from(c.second_level_hit), single(config, push, load, pull, load)?)))
}

/// Loads from each level, whole: above a first-level hit, plus that hit as it is measured. The lines that push the measured one out lie
/// in its set; another line of its page is touched before, so that its translation is there. No level costs less than
/// the first-level hit that the instruction pays anyway.
fn caches(config: &MachineConfig, c: &Costs) -> Result<Vec<Measured>, MicroError> {
    let shape = &config.preset.cache;
    let load: Emit<'_> = &|a| a.mov(eax, dword_ptr(WINDOW));
    let translate: Emit<'_> = &|a| a.mov(eax, dword_ptr(WINDOW + 1024));
    // Above a copy from a register.
    let hit = single(config, &nothing, load, &nothing, &|a| a.mov(eax, ecx))?;
    let above = |push: Emit<'_>| {
        let out: Emit<'_> = &|a| {
            push(a)?;
            translate(a)
        };
        let in_again: Emit<'_> = &|a| {
            push(a)?;
            translate(a)?;
            load(a)
        };
        single(config, out, load, in_again, load).map(|m| m + hit)
    };
    let push = |geometry: shootdown_emu::cost::CacheGeometry| {
        let stride = geometry.sets() as u32 * 64;
        move |a: &mut CodeAssembler| {
            (1..=geometry.ways).try_for_each(|k| a.mov(eax, dword_ptr(WINDOW + k * stride)))
        }
    };
    let whole = |cost: u32| f64::from(cost.max(c.load));
    let mut rows =
        vec![(what::L1, f64::from(c.load), hit), (what::L2, whole(c.l2_hit), above(&push(shape.l1))?)];
    if shape.llc.is_some() {
        rows.push((what::LLC, whole(c.llc_hit), above(&push(shape.l2))?));
    }
    // Pages that nobody has touched, one for each round.
    let fresh = |line: i32, before: i32| {
        let next: Emit<'_> = &|a| {
            a.add(ebx, 4096)?;
            a.mov(eax, dword_ptr(ebx + before))
        };
        let next_and_load: Emit<'_> = &|a| {
            next(a)?;
            a.mov(eax, dword_ptr(ebx + line))
        };
        let body: Emit<'_> = &|a| a.mov(eax, dword_ptr(ebx + line));
        single(config, next, body, next_and_load, body).map(|m| m + hit)
    };
    rows.push((what::MEMORY, whole(c.memory), fresh(0, 1024)?));
    rows.push((what::STREAM, whole(c.stream.min(c.memory)), fresh(1088, 1024)?));
    Ok(rows)
}

const LINE: u32 = shared(0);
const ASKED: u32 = shared(1);
const DONE: u32 = shared(2);

/// What the other processor does to the line between two measurements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    Writes,
    Reads,
}

/// A locked operation on a line that another processor has written, or reads too: `line_transfer` is the hand-over
/// with the operation, as a compare-exchange measures it, so never less than the operation alone.
fn lines(config: &MachineConfig, c: &Costs) -> Result<Vec<Measured>, MicroError> {
    let mut near = machine(config, 2);
    let whole = |cost: u32| f64::from(cost.max(c.locked));
    let mut rows = Vec::new();
    if near.preset.topology.cores > 1 || near.preset.costs().line_transfer == c.line_transfer_remote {
        rows.push((what::TRANSFER, whole(c.line_transfer), hand_over(&near, Other::Writes)?));
        rows.push((what::UPGRADE, whole(c.line_transfer), hand_over(&near, Other::Reads)?));
    }
    near.preset.topology.cores = 1;
    if config.preset.topology.sockets > 1 {
        let remote = hand_over(&near, Other::Writes)?;
        rows.push((what::TRANSFER_REMOTE, whole(c.line_transfer_remote), remote));
    }
    Ok(rows)
}

fn hand_over(config: &MachineConfig, other: Other) -> Result<f64, MicroError> {
    let mut m = Micro::new(config.clone())?;
    let ask: Emit<'_> = &|a| {
        let mut wait = a.create_label();
        a.lock().add(dword_ptr(LINE), 1)?;
        a.inc(dword_ptr(ASKED))?;
        a.mov(eax, dword_ptr(ASKED))?;
        a.set_label(&mut wait)?;
        a.cmp(dword_ptr(DONE), eax)?;
        a.jne(wait)
    };
    m.cpu(0, &|a| {
        timed(a, WITH, ROUNDS, ask, &|a| a.lock().add(dword_ptr(LINE), 1))?;
        timed(a, WITHOUT, ROUNDS, ask, &nothing)?;
        finish(a)
    })?;
    m.cpu(1, &|a| {
        let (mut round, mut wait) = (a.create_label(), a.create_label());
        a.xor(ecx, ecx)?;
        a.set_label(&mut round)?;
        a.inc(ecx)?;
        a.set_label(&mut wait)?;
        a.cmp(dword_ptr(ASKED), ecx)?;
        a.jne(wait)?;
        match other {
            Other::Writes => a.mov(dword_ptr(LINE), ecx)?,
            Other::Reads => a.mov(eax, dword_ptr(LINE))?,
        }
        a.mov(dword_ptr(DONE), ecx)?;
        a.jmp(round)
    })?;
    Ok(m.run()?.mean(WITH, WITHOUT, ROUNDS))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    Zero,
    Three,
}

/// A software interrupt whose handler is an `iret`.
fn interrupt(config: &MachineConfig, c: &Costs, ring: Ring) -> Result<Measured, MicroError> {
    const EXIT: u8 = 0x43;
    let mut m = Micro::new(machine(config, 1))?;
    m.handler(SOFT, &|a| a.iretd())?;
    m.handler(EXIT, &finish)?;
    m.cpu(0, &|a| {
        if ring == Ring::Three {
            enter_ring3(a)?;
        }
        timed(a, WITH, ROUNDS, &nothing, &|a| a.int(i32::from(SOFT)))?;
        timed(a, WITHOUT, ROUNDS, &nothing, &nothing)?;
        a.int(i32::from(EXIT))
    })?;
    let (what, model) = match ring {
        Ring::Zero => (what::SAME, c.interrupt_entry_same + c.interrupt_return_same),
        Ring::Three => (what::RING3, c.interrupt_entry + c.interrupt_return),
    };
    Ok((what, f64::from(model), m.run()?.mean(WITH, WITHOUT, ROUNDS)))
}
