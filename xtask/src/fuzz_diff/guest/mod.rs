//! Protected and virtual-8086 mode: batches of cases in a small guest that is the same on every machine.
//!
//! ```text
//!  seed, number of batch -> tables, cases -> shootdown's machine  \
//!                                      \---> Bochs or QEMU --------- compare the records
//! ```
//!
//! The guest ([`harness`]) starts each case and catches what ends it, so both sides deliver exceptions and
//! the machines need no hooks. A case that ends the machine under test (a triple fault, or something not modelled)
//! is dropped.

mod cases;
mod explained;
mod harness;
mod layout;
mod machines;
mod memory;
mod sequence;
mod tables;

use super::{Mode, Options, Tally, numbered};
use anyhow::Result;
use cases::Case;
use explained::explain;
use layout::{ARENA, arena, case, record};
pub use machines::Peer;
use machines::{Load, Outcome};
use memory::Memory;
use std::collections::BTreeMap;
use tables::Batch;

/// Cases of a batch.
const BATCH: u64 = 4000;
/// Differences that are shown in full.
const SHOWN: u64 = 12;
/// Instructions, the last ones, that are shown of each.
const SHOWN_INSTRUCTIONS: usize = 16;

/// Why a case may do otherwise after others.
const LEFT_OVER: &str = "memory that is not put back, and one machine was started anew";

/// How addresses are translated in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Not at all.
    Off,
    /// Pages of 4 KiB.
    Small,
    /// And of 4 MiB.
    Large,
    /// Physical address extension.
    Pae,
}

/// Runs the sequences from `options.from` on.
pub fn run(options: &Options<'_>) -> Result<Tally> {
    let harness = harness::assemble()?;
    let mut tally = Tally::default();
    let (first, end) = (options.from / BATCH, (options.from + options.count).div_ceil(BATCH));
    for b in first..end {
        let mut random = numbered(options.seed, b);
        let batch = Batch::new(&mut random, options.mode, &harness);
        let wanted = BATCH.min(options.from + options.count - b * BATCH);
        let cases: Vec<Case> = (0..wanted)
            .map(|n| cases::next(&mut numbered(options.seed, b << 20 | 1 << 50 | n), &batch))
            .collect();
        let mut bytes: Vec<u8> = cases.iter().flat_map(|c| c.bytes.iter().copied()).collect();
        for n in 0..options.from.saturating_sub(b * BATCH) {
            bytes[n as usize * case::BYTES as usize] = 0;
        }
        let here = machines::ours(&Load { image: &batch.image, cases: &bytes })?;
        for (n, o) in here.iter().enumerate() {
            if let Outcome::Lost(why) = o {
                bytes[n * case::BYTES as usize] = 0;
                tally.drop(why.rsplit(": ").next().unwrap_or(why));
            }
        }
        let mut there = machines::theirs(options.peer, &Load { image: &batch.image, cases: &bytes })?;
        let lost = |(h, t): (&Outcome, &Outcome)| [h, t].iter().any(|o| matches!(o, Outcome::Lost(_)));
        let restart = here.iter().zip(&there).position(lost).unwrap_or(here.len());
        for n in 0..there.len() {
            // It may have been ended by what came before.
            if let (Outcome::Record(_), Outcome::Lost(_)) = (&here[n], &there[n]) {
                let alone = only(&bytes, n);
                there[n] = machines::theirs(options.peer, &Load { image: &batch.image, cases: &alone })?
                    .swap_remove(n);
            }
        }
        for (n, c) in cases.iter().enumerate() {
            let (Outcome::Record(h), t) = (&here[n], &there[n]) else { continue };
            tally.compared += 1;
            let vector = h[record::INFO] & 0xff;
            tally.faults += u64::from(vector != 3);
            *tally.vectors.entry(vector).or_default() += 1;
            let differences = differences(c, h, t);
            if differences.is_empty() {
                continue;
            }
            let why = |executed| explain(options.peer, &batch, c, h, t, &differences, executed);
            if let Some(why) = why(None) {
                *tally.explained.entry(why).or_default() += 1;
                continue;
            }
            let alone = only(&bytes, n);
            let executed = machines::executed(&Load { image: &batch.image, cases: &alone })?;
            if let Some(why) = why(Some(&executed)) {
                *tally.explained.entry(why).or_default() += 1;
                continue;
            }
            if n > restart {
                // Then one machine may have memory left that the other has not.
                let load = Load { image: &batch.image, cases: &alone };
                let h = machines::ours(&load)?.swap_remove(n);
                let t = machines::theirs(options.peer, &load)?.swap_remove(n);
                if matches!(&h, Outcome::Record(h) if self::differences(c, h, &t).is_empty()) {
                    *tally.explained.entry(LEFT_OVER).or_default() += 1;
                    continue;
                }
            }
            tally.differences += 1;
            if tally.differences <= SHOWN {
                report(options, b * BATCH + n as u64, &batch, c, h, t, &differences);
                let all = &executed.instructions;
                let last = &all[all.len().saturating_sub(SHOWN_INSTRUCTIONS)..];
                last.iter().for_each(|i| println!("  executed here {:08x} {:?}", i.ip(), i.code()));
            }
        }
    }
    Ok(tally)
}

/// The cases, all but one left out.
fn only(cases: &[u8], n: usize) -> Vec<u8> {
    let mut cases = cases.to_vec();
    for (_, case) in cases.chunks_exact_mut(case::BYTES as usize).enumerate().filter(|(i, _)| *i != n) {
        case[0] = 0;
    }
    cases
}

/// Names of what differs.
fn differences(c: &Case, here: &[u32], there: &Outcome) -> Vec<String> {
    let Outcome::Record(there) = there else { return vec!["the other machine ended".into()] };
    let mut found = Vec::new();
    for (n, name) in record::NAMES.iter().enumerate() {
        let mask = if n == record::FLAGS { compared_flags(c, here) } else { u32::MAX };
        if (here[n] ^ there[n]) & mask != 0 && n != record::CHANGES {
            found.push((*name).to_string());
        }
    }
    if changes(c, here) != changes(c, there) {
        found.push("memory".into());
    }
    found
}

/// Address and value of what changed. Flags that a task switch saved count as far as they are defined.
fn changes(c: &Case, r: &[u32]) -> BTreeMap<u32, u32> {
    let mask = |at: u32| {
        let tss = at == ARENA + arena::TSS + 0x24 || at == ARENA + arena::OTHER_TSS + 0x24;
        if tss {
            !c.sequence.ends.iter().fold(0, |m, (_, u)| m | super::processor_flags(*u))
        } else {
            u32::MAX
        }
    };
    r[record::HEAD..].chunks_exact(2).map(|c| (c[0], c[1] & mask(c[0]))).collect()
}

/// Flags that are defined where the case ended.
fn compared_flags(c: &Case, r: &[u32]) -> u32 {
    let offset = r[record::EIP].wrapping_sub(c.eip) as usize;
    let ends = &c.sequence.ends;
    let undefined = if offset > c.sequence.code.len() {
        ends.last().map_or(0, |(_, u)| *u)
    } else {
        ends.iter().rev().find(|(end, _)| *end <= offset).map_or(0, |(_, u)| *u)
    };
    !super::processor_flags(undefined)
}

fn report(
    options: &Options<'_>,
    n: u64,
    batch: &Batch,
    c: &Case,
    here: &[u32],
    there: &Outcome,
    differences: &[String],
) {
    println!(
        "sequence {n} of seed {}, {:?}, paging {:?}: {} (again: fuzz-diff --mode {} --seed {} --from {n} --count 1)",
        options.seed,
        options.mode,
        batch.paging,
        differences.join(", "),
        options.mode.name(),
        options.seed,
    );
    let mut start = 0;
    for (end, _) in &c.sequence.ends {
        let b = &c.sequence.code[start..*end];
        let i = iced_x86::Decoder::new(c.bits, b, 0).decode();
        println!("    {:08x} {} {:?}", c.eip.wrapping_add(start as u32), super::hex(b), i.code());
        start = *end;
    }
    let w = |at| c.word(at);
    println!(
        "  before eax {:x} ecx {:x} edx {:x} ebx {:x} esp {:x} ebp {:x} esi {:x} edi {:x} flags {:x}",
        w(case::EAX),
        w(case::ECX),
        w(case::EDX),
        w(case::EBX),
        w(case::ESP),
        w(case::EBP),
        w(case::ESI),
        w(case::EDI),
        w(case::FLAGS)
    );
    println!("         cr0 {:x} cr4 {:x} ldt {:x}", w(case::CR0), w(case::CR4), w(case::LDT));
    for (name, at) in [
        ("cs", case::CS),
        ("ss", case::SS),
        ("ds", case::DS),
        ("es", case::ES),
        ("fs", case::FS),
        ("gs", case::GS),
    ] {
        let s = w(at);
        match batch.segments.iter().find(|d| d.selector == s & !3) {
            Some(d) if batch.mode != Mode::V86 => println!(
                "         {name} {s:04x}: base {:x} limit {:x} type {:x} dpl {} present {} big {}",
                d.base, d.limit, d.kind, d.dpl, d.present, d.big
            ),
            _ => println!("         {name} {s:04x}"),
        }
    }
    let Outcome::Record(there) = there else {
        println!("  here   vector {} at {:x}", here[record::INFO], here[record::EIP]);
        return;
    };
    let (a, b) = (changes(c, here), changes(c, there));
    for (r, changes, where_) in [(here, &a, "here"), (there, &b, "there")] {
        let i = Memory { image: &batch.image, case: c, changes, record: r }.instruction();
        println!(
            "  ended by vector {:x}, error code {:x}, at {:x}:{:x} ({}) {where_}",
            r[record::INFO],
            r[record::ERROR],
            r[record::CS],
            r[record::EIP],
            i.map_or("no instruction".into(), |i| format!("{:?}", i.code())),
        );
    }
    for (i, name) in record::NAMES.iter().enumerate().filter(|(i, _)| here[*i] != there[*i]) {
        println!("  {name}: {:x} here, {:x} there", here[i], there[i]);
    }
    for at in a.keys().chain(b.keys().filter(|k| !a.contains_key(k))) {
        let shown = |m: &BTreeMap<u32, u32>| m.get(at).map_or("unchanged".into(), |v| format!("{v:08x}"));
        if a.get(at) != b.get(at) {
            println!("  memory {at:x}: {} here, {} there", shown(&a), shown(&b));
        }
    }
}
