//! The table for people: a column per strategy, a section per question.
//!
//! ```text
//!                             atomic                batched
//!  kmap latency
//!    p50                 1,234    1.76 us      1,100    1.57 us
//! ```
//!
//! Each column has a figure and a remark: the same in time at the preset's
//! clock, per operation, or as a bar. Four columns fit 116 characters; more
//! strategies make another block below.

use crate::report::{Report, Row};
use crate::seeds;
use crate::sensitivity;
use crate::strategy::Strategy;
use shootdown_abi::Activity;
use shootdown_emu::ledger::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Is the output a terminal that likes colour?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    Plain,
    /// ANSI colours.
    Colour,
}

const LABEL: usize = 24;
const FIGURE: usize = 11;
const REMARK: usize = 12;
const COLUMNS: usize = 4;

/// What flushes cost directly, where they are carried out, and what they cost afterwards.
const FLUSHING: [Kind; 5] =
    [Kind::Invlpg, Kind::Flush, Kind::RefillInvlpg, Kind::RefillCr3, Kind::RefillGlobal];

/// How a figure is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Good,
    Bad,
    Faint,
    Head,
}

struct Field {
    figure: String,
    remark: String,
    tone: Tone,
}

impl Field {
    fn plain(figure: String) -> Field {
        Field { figure, remark: String::new(), tone: Tone::Plain }
    }

    fn with(figure: String, remark: String) -> Field {
        Field { figure, remark, tone: Tone::Plain }
    }
}

enum Line {
    Section(&'static str),
    Fields(String, Vec<Field>),
}

/// The table with its heading and closing line.
pub fn render(report: &Report, paint: Paint) -> String {
    let mut text = heading(report);
    if let Some(several) = &report.seeds {
        return text + &seeds::render(report, several);
    }
    for rows in report.rows.chunks(COLUMNS) {
        text.push('\n');
        write_block(&mut text, report, rows, paint);
    }
    text.push('\n');
    for line in closing(report) {
        text.push_str(&line);
        text.push('\n');
    }
    if let Some(s) = &report.sensitivity {
        text.push('\n');
        text.push_str(&sensitivity::render(s));
    }
    text
}

fn heading(report: &Report) -> String {
    let c = &report.config;
    let (m, k) = (&c.machine, &c.kernel);
    let parameters: Vec<_> = c.parameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let normal = match k.normal {
        Some(bytes) => format!("NORMAL to {}", mib(bytes)),
        None => "NORMAL as far as the direct map".into(),
    };
    let highmem = if k.highmem { "" } else { " without highmem" };
    let smp = if k.smp { "" } else { ", kernel for one processor" };
    let split = if k.split == "3g" { String::new() } else { format!(", split {}", k.split) };
    let shm = if k.shm_pages == "small" { "" } else { ", shared memory in large pages" };
    let lock = if k.lock == "tas" { "" } else { ", ticket lock" };
    let fault = k.fault.as_ref().map(|f| format!(", planted fault {f}")).unwrap_or_default();
    let adversary =
        if m.adversary == "none" { String::new() } else { format!(", adversary {}", m.adversary) };
    let timing = if m.timing == "full" { "" } else { ", timing flat" };
    let seed = match &report.seeds {
        Some(several) => format!("seeds {} to {}", m.seed, several.seeds.last().unwrap_or(&m.seed)),
        None => format!("seed {}", m.seed),
    };
    format!(
        "{} on {} x {} at {} MHz, {seed}{timing}{adversary}\n{}, {normal}, paging {}{highmem}{split}{smp}{shm}, window of {} slots{lock}{fault}\n{}\n",
        c.workload,
        m.cpus,
        m.cpu,
        m.clock_mhz,
        mib(m.mem),
        k.paging,
        k.window,
        parameters.join(" ")
    )
}

fn mib(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) {
        format!("{} GiB", bytes >> 30)
    } else if bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

fn write_block(text: &mut String, report: &Report, rows: &[Row], paint: Paint) {
    text.push_str(&" ".repeat(LABEL));
    for row in rows {
        let name = format!("{:>width$}", row.strategy, width = FIGURE + REMARK);
        text.push_str(&painted(&name, Tone::Head, paint));
    }
    text.push('\n');
    for line in lines(report, rows) {
        match line {
            Line::Section(title) => {
                text.push_str(&painted(title, Tone::Head, paint));
            }
            Line::Fields(label, fields) => {
                text.push_str(&format!("  {label:<width$}", width = LABEL - 2));
                let mut line = String::new();
                for f in fields {
                    let figure = format!("{:>FIGURE$}", f.figure);
                    let remark = format!("{:>REMARK$}", f.remark);
                    line.push_str(&painted(&figure, f.tone, paint));
                    line.push_str(&painted(&remark, Tone::Faint, paint));
                }
                text.push_str(if paint == Paint::Plain { line.trim_end() } else { &line });
            }
        }
        text.push('\n');
    }
}

fn painted(text: &str, tone: Tone, paint: Paint) -> String {
    let code = match (paint, tone) {
        (Paint::Plain, _) | (_, Tone::Plain) => return text.into(),
        (_, Tone::Good) => "1;32",
        (_, Tone::Bad) => "1;31",
        (_, Tone::Faint) => "2",
        (_, Tone::Head) => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The parts of a figure of a row, by name.
type Parts = fn(&Row) -> &BTreeMap<String, u64>;

fn lines(report: &Report, rows: &[Row]) -> Vec<Line> {
    let clock = report.config.machine.clock_mhz;
    let best = cheapest(&report.rows).map(|r| r.cycles_per_op);
    let each =
        |label: &str, f: &dyn Fn(&Row) -> Field| Line::Fields(label.into(), rows.iter().map(f).collect());
    let latency = |label, f: &dyn Fn(&Row) -> u64| {
        each(label, &|r| {
            let cycles = f(r);
            if cycles == 0 {
                Field::plain("-".into())
            } else {
                Field::with(grouped(cycles), time(cycles as f64, clock))
            }
        })
    };
    let rate = |label, f: &dyn Fn(&Row) -> u64| {
        each(label, &|r| Field::with(grouped(f(r)), per_op(f(r), r.operations)))
    };
    let count = |label, f: &dyn Fn(&Row) -> u64| each(label, &|r| Field::plain(grouped(f(r))));
    let alarm = |label, f: &dyn Fn(&Row) -> u64| {
        each(label, &|r| Field {
            figure: grouped(f(r)),
            remark: String::new(),
            tone: if f(r) > 0 { Tone::Bad } else { Tone::Plain },
        })
    };
    let mut lines = vec![
        Line::Section("work"),
        count("operations", &|r| r.operations),
        each("cycles per operation", &|r| Field {
            figure: decimal(r.cycles_per_op),
            remark: time(r.cycles_per_op, clock),
            tone: if best == Some(r.cycles_per_op) { Tone::Good } else { Tone::Plain },
        }),
        each("elapsed per operation", &|r| {
            Field::with(decimal(r.wall_cycles_per_op), time(r.wall_cycles_per_op, clock))
        }),
        Line::Section("kmap latency, cycles and time"),
        latency("p50", &|r| r.kmap_latency.p50),
        latency("p90", &|r| r.kmap_latency.p90),
        latency("p99", &|r| r.kmap_latency.p99),
        latency("p99.9", &|r| r.kmap_latency.p999),
        latency("max", &|r| r.kmap_latency.max),
    ];
    if rows.iter().any(|r| r.response.count > 0) {
        lines.extend([
            Line::Section("operations, from when they were due"),
            latency("p50", &|r| r.response.p50),
            latency("p99", &|r| r.response.p99),
            latency("p99.9", &|r| r.response.p999),
            latency("max", &|r| r.response.max),
        ]);
    }
    lines.extend([
        Line::Section("flush of all processors"),
        count("flushes", &|r| r.initiator_latency.count),
        latency("initiator, p50", &|r| r.initiator_latency.p50),
        latency("initiator, p99", &|r| r.initiator_latency.p99),
        latency("initiator, max", &|r| r.initiator_latency.max),
        latency("target, p50", &|r| r.target_latency.p50),
        latency("target, p99", &|r| r.target_latency.p99),
        Line::Section("events, and per operation"),
        rate("pages mapped", &|r| r.maps),
        rate("invlpg", &|r| r.invlpg),
        rate("global flushes", &|r| r.global_flushes),
        rate("cr3 loads", &|r| r.cr3_loads),
        rate("ipis", &|r| r.ipis),
        rate("data TLB misses", &|r| r.dtlb_misses),
        rate("instruction TLB misses", &|r| r.itlb_misses),
        rate("of both, refills", &|r| r.refills_invlpg + r.refills_cr3 + r.refills_global),
        rate("of both, remapped", &|r| r.remapped),
        Line::Section("where the cycles went"),
    ]);
    for activity in Activity::ALL {
        lines.push(each(activity.name(), &|r| share(&r.ledger.activity, activity.name())));
    }
    lines.push(Line::Section("of these, for flushing itself and for refills after it"));
    for kind in FLUSHING {
        lines.push(each(kind.name(), &|r| share(&r.ledger.kind, kind.name())));
    }
    let waiting: [(_, Parts); 2] = [
        ("lock spin, by what the holder was doing", |r| &r.waits.lock_spin),
        ("acknowledgements, by what the last target was doing", |r| &r.waits.ack_wait),
    ];
    for (title, part) in waiting {
        // Only what shows in one of the columns.
        let shown = |r: &Row, n: u64| n > 0 && n * 2000 >= r.ledger.activity.values().sum();
        let names =
            rows.iter().flat_map(|r| part(r).iter().filter(|(_, n)| shown(r, **n)).map(|(name, _)| name));
        let names: BTreeSet<_> = names.collect();
        if !names.is_empty() {
            lines.push(Line::Section(title));
        }
        for name in names {
            lines.push(each(name, &|r| of_all(part(r).get(name), &r.ledger.activity)));
        }
    }
    lines.extend([
        Line::Section("correctness"),
        count("stale uses", &|r| r.stale_uses),
        alarm("harmful uses", &|r| r.harmful_uses),
        alarm("data errors", &|r| r.data_errors),
        each("checksum", &|r| Field::plain(r.checksum.clone().unwrap_or_else(|| "none".into()))),
    ]);
    lines
}

/// Per cent of all cycles on one axis of the ledger, with a bar.
fn share(axis: &BTreeMap<String, u64>, name: &str) -> Field {
    of_all(axis.get(name), axis)
}

/// Per cent that a part has of all cycles of a ledger, with a bar.
fn of_all(part: Option<&u64>, axis: &BTreeMap<String, u64>) -> Field {
    let all: u64 = axis.values().sum();
    let part = part.copied().unwrap_or(0);
    let share = if all == 0 { 0.0 } else { part as f64 / all as f64 };
    Field::with(format!("{:.1} %", share * 100.0), bar(share))
}

/// A bar of at most ten characters, to an eighth of one; anything at all shows.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * 80.0).ceil().clamp(0.0, 80.0) as usize;
    let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    format!("{bar:<10}")
}

/// The sound strategy with the fewest cycles for an operation, of those that really map pages safely.
fn cheapest(rows: &[Row]) -> Option<&Row> {
    let sound = rows.iter().filter(|r| r.problems().is_empty() && r.operations > 0);
    let mapping = sound.filter(|r| r.strategy != Strategy::Lowmem.name());
    mapping.min_by(|a, b| a.cycles_per_op.total_cmp(&b.cycles_per_op))
}

fn closing(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let rows = &report.rows;
    if let [first, rest @ ..] = rows.as_slice()
        && first.cycles_per_op > 0.0
        && !rest.is_empty()
    {
        let ratios: Vec<_> = rest
            .iter()
            .map(|r| format!("{} {:.2}", r.strategy, r.cycles_per_op / first.cycles_per_op))
            .collect();
        lines.push(format!("Cycles per operation relative to {}: {}.", first.strategy, ratios.join(", ")));
    }
    if rows.len() > 1
        && let Some(best) = cheapest(rows)
    {
        let overhead: u64 =
            [Activity::FlushInit, Activity::AckWait, Activity::IpiHandler, Activity::LockSpin]
                .iter()
                .filter_map(|a| best.ledger.activity.get(a.name()))
                .sum();
        let all: u64 = best.ledger.activity.values().sum();
        lines.push(format!(
            "{} is the cheapest here; {:.1} % of its cycles go to flushing, waiting and spinning.",
            best.strategy,
            100.0 * overhead as f64 / (all.max(1)) as f64
        ));
    }
    for row in rows {
        for problem in row.problems() {
            lines.push(format!("{}: WRONG: {problem}.", row.strategy));
        }
    }
    lines
}

fn per_op(n: u64, operations: u64) -> String {
    if operations == 0 || n == 0 {
        return String::new();
    }
    let rate = n as f64 / operations as f64;
    if rate < 0.0005 { format!("{rate:.1e}") } else { format!("{rate:.3}") }
}

/// Cycles as time at `clock` MHz.
fn time(cycles: f64, clock: u32) -> String {
    let ns = cycles * 1000.0 / f64::from(clock.max(1));
    match ns {
        _ if ns < 1000.0 => format!("{ns:.0} ns"),
        _ if ns < 1e6 => format!("{} us", three(ns / 1e3)),
        _ => format!("{} ms", three(ns / 1e6)),
    }
}

/// Three significant digits for numbers below 1000.
fn three(x: f64) -> String {
    match x {
        _ if x < 10.0 => format!("{x:.2}"),
        _ if x < 100.0 => format!("{x:.1}"),
        _ => format!("{x:.0}"),
    }
}

fn decimal(x: f64) -> String {
    if x >= 1000.0 { grouped(x.round() as u64) } else { format!("{x:.1}") }
}

/// A number with a comma before every third digit from the right.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(time(7.0, 700), "10 ns");
        assert_eq!(time(700_000.0, 700), "1.00 ms");
        assert_eq!(time(12_345.0, 1000), "12.3 us");
    }

    #[test]
    fn bars_end_where_they_should() {
        assert_eq!(bar(0.0).trim_end(), "");
        assert_eq!(bar(0.000_1).trim_end(), "▏");
        assert_eq!(bar(0.5).trim_end(), "█████");
        assert_eq!(bar(1.0), "██████████");
    }
}
