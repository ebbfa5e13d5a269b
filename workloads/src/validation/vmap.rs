//! C4: kernel mappings unmapped at once or lazily [P08].
//!
//! Each thread maps four kernel pages, touches them and unmaps them. *Immediate*: one
//! lock, held over a global flush of all processors at each unmap, as Linux's vmap did.
//! *Lazy*: addresses from a block of the processor's own, and one global flush when
//! enough unmapped pages have gathered. All eight processors are online, those without a
//! thread asleep.

use super::parts::{flush_global, idle, lock, meet, send, solve, unlock, wait_zero};
use super::{Check, CheckError, Effort, Table};
use crate::micro::*;
use crate::plot::{Plot, Scale, Series};
use crate::statistics::Line;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use serde_json::json;
use shootdown_emu::{MachineConfig, Preset};

const PRESET: &str = "westmere-ep";
const CPUS: u32 = 8;
/// Threads, ns of a cycle immediate, lazy.
const PUBLISHED: [(u32, f64, f64); 4] =
    [(1, 14_700.0, 2_900.0), (2, 33_600.0, 3_000.0), (4, 49_500.0, 2_800.0), (8, 70_631.0, 2_900.0)];
const PAGES: u32 = 4;
const FLUSH: u8 = 0x40;
const LOCK: u32 = shared(0);
const PENDING: u32 = shared(1);
const READY: u32 = shared(2);
const LEFT: u32 = shared(3);
/// Pages of a processor's own block.
const BLOCK: u32 = 128;

/// How mappings end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Immediate,
    Lazy,
}

/// Flushes all processors: the lock is held. `eax` to `edx` are taken.
fn flush_all(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(dword_ptr(PENDING), CPUS - 1)?;
    send(a, TO_OTHERS | u32::from(FLUSH))?;
    wait_zero(a, PENDING)?;
    flush_global(a)
}

/// Writes four PTEs at `ebx`, to what they were at first or to nothing.
fn write_entries(a: &mut CodeAssembler, first_page: u32, present: bool) -> Result<(), IcedError> {
    (0..PAGES).try_for_each(|i| {
        let entry = if present { window_entry(first_page + i) } else { 0 };
        a.mov(dword_ptr(window_pte(first_page + i)), entry)
    })
}

/// Code that is not modelled, in cycles.
#[derive(Clone, Copy)]
struct Path {
    /// What both ways do, outside the lock.
    common: u32,
    /// What the immediate one does under the lock.
    locked: u32,
}

/// Cycles of a cycle of mapping, touching, unmapping with so many threads, each doing as many.
fn cycle(preset: &Preset, how: How, threads: u32, path: Path, rounds: u32) -> Result<f64, MicroError> {
    let costs = preset.costs();
    let mut m = Micro::new(MachineConfig { cpus: CPUS as usize, ..MachineConfig::new(preset.clone()) })?;
    m.handler(FLUSH, &|a| {
        a.pushad()?;
        a.mov(dword_ptr(EOI), 0)?;
        flush_global(a)?;
        a.lock().dec(dword_ptr(PENDING))?;
        a.popad()?;
        a.iretd()
    })?;
    for t in 0..threads {
        let first = BLOCK * t;
        m.cpu(t as usize, &|a| {
            a.sti()?;
            meet(a, READY, threads)?;
            timed(a, t, rounds, &nothing, &|a| match how {
                How::Immediate => {
                    idle(a, &costs, path.common)?;
                    lock(a, LOCK)?;
                    write_entries(a, first, true)?;
                    unlock(a, LOCK)?;
                    touch(a, first)?;
                    lock(a, LOCK)?;
                    idle(a, &costs, path.locked)?;
                    write_entries(a, first, false)?;
                    flush_all(a)?;
                    unlock(a, LOCK)
                }
                How::Lazy => {
                    idle(a, &costs, path.common)?;
                    write_entries(a, first, true)?;
                    touch(a, first)?;
                    write_entries(a, first, false)?;
                    // The addresses are used again at once here, so the processor drops them itself; the block that
                    // the real one walks through has no entry left either.
                    (0..PAGES).try_for_each(|i| a.invlpg(ptr(WINDOW + 4096 * (first + i))))
                }
            })?;
            if how == How::Lazy {
                // What has gathered goes with one flush.
                a.rdtsc()?;
                a.mov(edi, eax)?;
                lock(a, LOCK)?;
                flush_all(a)?;
                unlock(a, LOCK)?;
                a.rdtsc()?;
                a.sub(eax, edi)?;
                a.add(dword_ptr(result(t)), eax)?;
            }
            a.lock().inc(dword_ptr(LEFT))?;
            if t == 0 {
                let mut wait = a.create_label();
                a.set_label(&mut wait)?;
                a.pause()?;
                a.cmp(dword_ptr(LEFT), threads)?;
                a.jne(wait)?;
                finish(a)?;
            }
            Ok(())
        })?;
    }
    for t in threads..CPUS {
        m.cpu(t as usize, &|a| a.sti())?;
    }
    let done = m.run()?;
    // Until the last has done its share: the lock is unfair.
    let longest = (0..threads).map(|t| done.result(t)).max().unwrap_or(0);
    Ok(f64::from(longest) / f64::from(rounds))
}

fn touch(a: &mut CodeAssembler, first: u32) -> Result<(), IcedError> {
    (0..PAGES).try_for_each(|i| a.mov(eax, dword_ptr(WINDOW + 4096 * (first + i))))
}

/// The check.
pub fn check(effort: Effort) -> Result<Check, CheckError> {
    let mut preset = Preset::load(PRESET)?;
    preset.set("topology.cores", "4")?;
    let ns = 1000.0 / f64::from(preset.clock_mhz);
    let rounds = if effort == Effort::Quick { 100 } else { 1000 };
    let (common, _) = solve(0, 60_000, PUBLISHED[0].2 / ns, |common| {
        cycle(&preset, How::Lazy, 1, Path { common, locked: 0 }, rounds)
    })?;
    let (locked, _) = solve(0, 60_000, PUBLISHED[0].1 / ns, |locked| {
        cycle(&preset, How::Immediate, 1, Path { common, locked }, 50)
    })?;
    let path = Path { common, locked };
    let mut immediate = Vec::new();
    let mut lazy = Vec::new();
    for (threads, ..) in PUBLISHED {
        let n = f64::from(threads);
        immediate.push((n, cycle(&preset, How::Immediate, threads, path, rounds)? * ns));
        lazy.push((n, cycle(&preset, How::Lazy, threads, path, rounds)? * ns));
    }
    let mut table =
        Table::new(&["threads", "immediate, published", "ours, ns", "lazy, published", "ours, ns"]);
    for (i, (threads, a, b)) in PUBLISHED.into_iter().enumerate() {
        let ours = |v: &[(f64, f64)]| format!("{:.0}", v[i].1);
        table.row([threads.to_string(), a.to_string(), ours(&immediate), b.to_string(), ours(&lazy)]);
    }
    let line = Line::fit(&immediate).ok_or_else(|| CheckError::Failed("C4: no line".into()))?;
    let grows = immediate.windows(2).all(|w| w[1].1 > w[0].1) && line.r2 > 0.95;
    let growth_published = PUBLISHED[3].1 / PUBLISHED[0].1;
    let growth = immediate[3].1 / immediate[0].1;
    let flat = lazy.iter().all(|p| (p.1 / lazy[0].1 - 1.0).abs() <= 0.1);
    let ratio = immediate[3].1 / lazy[3].1;
    let ratio_holds = (15.0..=35.0).contains(&ratio);
    table.row([
        "8 to 1".into(),
        format!("{growth_published:.1}"),
        format!("{growth:.1}"),
        "1.0".into(),
        format!("{:.2}", lazy[3].1 / lazy[0].1),
    ]);
    table.row([
        "immediate / lazy at 8".into(),
        "24.4".into(),
        format!("{ratio:.1}"),
        "15 to 35".into(),
        "-".into(),
    ]);
    let of = |v: &[(f64, f64)]| v.iter().map(|p| p.1).collect::<Vec<_>>();
    Ok(Check {
        check: "C4",
        title: "immediate against lazy kernel unmaps",
        holds: grows && flat && ratio_holds,
        published: json!({
            "threads": [1, 2, 4, 8], "immediate_ns": PUBLISHED.map(|p| p.1), "lazy_ns": PUBLISHED.map(|p| p.2),
            "ratio_at_8": PUBLISHED[3].1 / PUBLISHED[3].2,
        }),
        ours: json!({
            "threads": [1, 2, 4, 8], "immediate_ns": of(&immediate), "lazy_ns": of(&lazy), "ratio_at_8": ratio,
            "r2": line.r2,
        }),
        tolerance: "immediate grows at least linearly from 1 to 8 threads, lazy is flat within 10 %, their ratio at 8 \
                    threads is 15 to 35",
        calibrated: format!(
            "on 1 thread: {common} cycles of path from the lazy case, in both outside the lock; {locked} more under the \
             lock in the immediate one"
        ),
        predicted: "2, 4 and 8 threads",
        preset: PRESET,
        source: "[P08], 2-socket, 8-core Opteron; westmere-ep with 4 processors to a socket is the nearest preset",
        analysis: format!(
            "Under one lock that is held over the flush, threads queue for whole flushes: {growth:.1} times as long at 8 \
             threads as at 1 (published {growth_published:.1}; not 8, because the common path runs beside the others' \
             flushes and a lone thread has to wake seven sleeping processors). Linear growth is read as: each step grows, \
             and a straight line fits (R2 {:.3}).",
            line.r2
        ),
        table,
        plot: Some(Plot {
            title: "Map, touch, unmap four kernel pages".into(),
            x: "threads".into(),
            y: "ns per cycle".into(),
            origin: None,
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
            series: vec![
                Series::ours("immediate, ours", immediate),
                Series::published("immediate, published", PUBLISHED.map(|p| (f64::from(p.0), p.1)).to_vec()),
                Series::ours("lazy, ours", lazy),
                Series::published("lazy, published", PUBLISHED.map(|p| (f64::from(p.0), p.2)).to_vec()),
            ],
        }),
    })
}
