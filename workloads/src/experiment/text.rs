//! Answers for people: text for a terminal, and the document `results.md`.

use super::answer::{Answer, Deadlock, Holds, Row};
use super::claim::told;
use super::measured::COST;
use super::plan::BASE;
use crate::statistics::Interval;
use crate::text_table::Table;
use std::fmt::Write as _;

/// Settings whose rows are shown with all their figures: the base, one processor, where there is an unsafe control, and where
/// something else than the cost is measured.
fn shown_whole(answer: &Answer) -> Vec<&str> {
    let mut names = vec![BASE, "cpus=1"];
    for row in answer.rows.iter().filter(|r| r.role == "unsafe") {
        if !names.contains(&row.setting.as_str()) {
            names.push(&row.setting);
        }
    }
    for row in answer.rows.iter().filter(|r| r.role == "scheme" && !r.figures.is_empty()) {
        if !row.figures.contains_key(COST) && !names.contains(&row.setting.as_str()) {
            names.push(&row.setting);
        }
    }
    names
}

/// The figures that every table shows whole: name of the figure, head of the column.
const COLUMNS: [(&str, &str); 10] = [
    ("kmap.p50", "kmap p50"),
    ("kmap.p99", "p99"),
    ("kmap.p999", "p99.9"),
    ("kmap.max", "max"),
    ("pays.map", "map"),
    ("pays.initiator", "initiator"),
    ("pays.target", "target"),
    ("pays.lock", "lock"),
    ("refill", "refill"),
    ("flushes_per_op", "flushes/op"),
];

fn or_dash<T>(value: Option<T>, told: impl Fn(T) -> String) -> String {
    value.map_or("-".into(), told)
}

/// A median with as many digits as it needs.
fn median(i: &Interval) -> String {
    match i.median.abs() {
        m if m >= 100.0 || m == 0.0 => format!("{:.0}", i.median),
        m if m >= 1.0 => format!("{:.1}", i.median),
        _ => format!("{:.4}", i.median),
    }
}

/// All figures of the arms of a setting.
fn whole(answer: &Answer, setting: &str) -> Table {
    let more: Vec<&str> = {
        let known =
            |name: &str| COLUMNS.iter().any(|(n, _)| *n == name) || [COST, "elapsed_per_op"].contains(&name);
        let mut names: Vec<&str> =
            answer.rows_of(setting).flat_map(|r| r.figures.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().filter(|n| !known(n)).collect()
    };
    let against = format!("over {}", answer.reference);
    let mut head = vec!["", "busy cycles/op [95 %]", &against, "- lowmem", "residual"];
    head.extend(COLUMNS.iter().map(|(_, column)| *column));
    head.extend(&more);
    let mut table = Table::new(&head);
    for row in answer.rows_of(setting) {
        let names = COLUMNS.iter().map(|(name, _)| *name).chain(more.iter().copied());
        let figure = |name: &str| or_dash(row.figures.get(name), median);
        let cells = [
            label(row),
            or_dash(row.figures.get(COST), |i| told(i, 0)),
            or_dash(row.ratio, |i| told(&i, 3)),
            or_dash(row.over_lowmem, |i| median(&i)),
            or_dash(row.residual, |i| median(&i)),
        ];
        table.row(cells.into_iter().chain(names.map(figure)));
    }
    table
}

/// The arm, and what is wrong with it.
fn label(row: &Row) -> String {
    match (row.role.as_str(), row.wrong, row.deadlocks) {
        ("unsafe", wrong, _) => format!("{} (UNSAFE: caught in {wrong} of {})", row.arm, row.runs),
        (_, 0, 0) => row.arm.clone(),
        (_, 0, deadlocks) => format!("{} (DEADLOCK in {deadlocks} of {})", row.arm, row.runs),
        (_, wrong, _) => format!("{} (WRONG in {wrong} of {})", row.arm, row.runs),
    }
}

/// Cycles of an operation in every other setting, an arm a column.
fn settings(answer: &Answer) -> Table {
    let mut arms: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let shown = shown_whole(answer);
    for row in answer.rows.iter().filter(|r| r.role != "unsafe") {
        if !arms.contains(&row.arm.as_str()) {
            arms.push(&row.arm);
        }
        if !names.contains(&row.setting.as_str()) && !shown.contains(&row.setting.as_str()) {
            names.push(&row.setting);
        }
    }
    let mut table = Table::new(&[&["busy cycles/op [95 %]"], arms.as_slice()].concat());
    for setting in names {
        let cost = |arm: &&str| {
            let row = answer.rows_of(setting).find(|r| r.arm == *arm);
            or_dash(row.and_then(|r| r.figures.get(COST)), |i| told(i, 0))
        };
        table.row([setting.to_owned()].into_iter().chain(arms.iter().map(cost)));
    }
    table
}

/// How many runs of each arm deadlocked, setting by setting; `None` where it was not asked.
fn deadlocks(answer: &Answer) -> Option<Table> {
    let mut arms: Vec<&str> = Vec::new();
    let asked: Vec<&str> =
        answer.rows.iter().filter(|r| r.role == "deadlocks").map(|r| r.setting.as_str()).collect();
    let rows = answer.rows.iter().filter(|r| ["scheme", "deadlocks"].contains(&r.role.as_str()));
    rows.filter(|r| asked.contains(&r.setting.as_str())).for_each(|r| {
        if !arms.contains(&r.arm.as_str()) {
            arms.push(&r.arm);
        }
    });
    let mut table = Table::new(&[&["runs that deadlock [95 %]"], arms.as_slice()].concat());
    let mut settings = asked;
    settings.dedup();
    for setting in &settings {
        let told = |arm: &&str| {
            let row = answer.rows_of(setting).find(|r| r.arm == *arm);
            let share = row.and_then(|r| Some((r, Interval::share(r.deadlocks, r.runs)?)));
            or_dash(share, |(r, i)| {
                let per_cent = |share: f64| 100.0 * share;
                format!("{} of {} [{:.0} %, {:.0} %]", r.deadlocks, r.runs, per_cent(i.low), per_cent(i.high))
            })
        };
        table.row([(*setting).to_owned()].into_iter().chain(arms.iter().map(told)));
    }
    (!settings.is_empty()).then_some(table)
}

/// Who holds something in a deadlock, a line each, and how many hold nothing.
fn holders(d: &Deadlock) -> Vec<String> {
    let (empty, holders): (Vec<_>, Vec<_>) = d.waits.lines().partition(|line| line.contains("holds nothing"));
    let mut lines: Vec<String> = holders.into_iter().map(str::to_owned).collect();
    if !empty.is_empty() {
        lines.push(format!("{} more hold nothing and wait", empty.len()));
    }
    lines
}

/// Whose deadlock is shown.
fn first_seen(d: &Deadlock) -> String {
    format!("{} in {}, seed {}", d.arm, d.setting, d.seed)
}

fn holds(all: &[Holds]) -> Table {
    let mut table = Table::new(&["setting", "claim", "ratio [95 %]", "holds"]);
    for h in all {
        let answer = match h.holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "undecided",
        };
        let claim = format!("{} below {}", h.cheaper, h.dearer);
        table.row([h.setting.clone(), claim, told(&h.ratio, 3), answer.into()]);
    }
    table
}

fn seeds(answer: &Answer) -> String {
    let size = match answer.size.as_str() {
        "quick" => {
            "QUICK: fewer seeds, settings and operations, no brackets; for a look, not for a citation. "
        }
        _ => "",
    };
    let keys: Vec<_> = answer.base.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{size}{} seeds; base: {}", answer.seeds, keys.join(" "))
}

/// How far runs of double length lie from those of the base.
fn stationarity(answer: &Answer) -> String {
    let far = |i: &Interval| (i.median - 1.0).abs();
    match answer.stationarity.iter().max_by(|a, b| far(a.1).total_cmp(&far(b.1))) {
        Some((arm, i)) => format!(
            "in runs of double length {arm} moves farthest: {} times the cycles for an operation",
            told(i, 3)
        ),
        None => "no run of double length".into(),
    }
}

/// An answer as text.
pub fn render(answer: &Answer) -> String {
    let mut text = format!("{} {}\n\n", answer.number, answer.name);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  asked by   {}", answer.asked_by);
    let _ = writeln!(text, "  question   {}", answer.question);
    let _ = writeln!(text, "  expected   {}", answer.expectation);
    let _ = writeln!(text, "  run        {}", seeds(answer));
    for setting in shown_whole(answer) {
        let _ = write!(text, "\n  {setting}, cycles\n{}", whole(answer, setting).text());
    }
    let _ = write!(text, "\n{}\n{}", settings(answer).text(), holds(&answer.holds_in).text());
    if let Some(table) = deadlocks(answer) {
        let _ = write!(text, "\n{}", table.text());
    }
    for d in &answer.deadlocks {
        let _ = writeln!(text, "\n  a deadlock: {}", first_seen(d));
        holders(d).iter().for_each(|line| text += &format!("    {line}\n"));
    }
    let _ = writeln!(text, "\n  verdict    {}", answer.verdict);
    let _ = writeln!(text, "  steady     {}", stationarity(answer));
    answer.threats.iter().for_each(|t| text += &format!("  threat     {t}\n"));
    answer.problems.iter().for_each(|p| text += &format!("  WRONG      {p}\n"));
    text
}

/// What a verdict begins with.
fn first_sentence(verdict: &str) -> &str {
    verdict.find(". ").and_then(|end| verdict.get(..=end)).unwrap_or(verdict)
}

/// Answers as the document `results.md`.
pub fn document(answers: &[Answer]) -> String {
    let quick = answers.iter().any(|a| a.size == "quick");
    let mut text = format!(
        "# Results\n\n\
         The questions that the designers of highmem left open, answered by experiment. Written by\n\n\
         \u{20}   cargo run --release -- experiment all{} --write docs\n\n\
         {}All times are cycles of the modelled processor. An operation is what the load says (`shootdown list workloads`). \
         Intervals are 95 % bootstrap intervals of the median over seeds; ratios and differences are of equal seeds. Who pays, \
         for an operation: *map* the task that maps, *initiator* the task that flushes and waits, *target* processors that are \
         asked to, *lock* tasks that spin; *refill* is part of whatever was being done. *residual*: what of the difference to \
         `lowmem` the ledger does not attribute to those four. What the columns mean exactly: `RESULTS-FORMAT.md`.\n\n\
         | | experiment | verdict |\n|---|---|---|\n",
        if quick { " --quick" } else { "" },
        if quick {
            "**This is the quick size**: fewer seeds, settings and operations, and estimates at their values only. "
        } else {
            ""
        }
    );
    for a in answers {
        let _ = writeln!(text, "| {} | [{}](#{1}) | {} |", a.number, a.name, first_sentence(&a.verdict));
    }
    for a in answers {
        let _ = write!(
            text,
            "\n## {}\n\n**{}** {} ({})\n\nExpected: {}\n\n**Verdict.** {}\n",
            a.name, a.number, a.question, a.asked_by, a.expectation, a.verdict
        );
        for chart in &a.charts {
            let _ = write!(text, "\n![{}]({})\n", chart.title, a.chart_name(chart));
        }
        for setting in shown_whole(a) {
            let _ = write!(text, "\n{setting}, cycles:\n\n{}", whole(a, setting).markdown());
        }
        let _ = write!(text, "\nOther settings:\n\n{}", settings(a).markdown());
        let _ = write!(text, "\nWhere it holds:\n\n{}", holds(&a.holds_in).markdown());
        if let Some(table) = deadlocks(a) {
            let _ = write!(text, "\nDeadlocks:\n\n{}", table.markdown());
        }
        for d in &a.deadlocks {
            let _ = write!(text, "\n{}:\n\n", first_seen(d));
            holders(d).iter().for_each(|line| text += &format!("    {line}\n"));
        }
        let _ = write!(text, "\n- {}\n- {}\n", seeds(a), stationarity(a));
        // What threatens all is said once, below.
        let common = super::THREATS;
        a.threats
            .iter()
            .filter(|t| !common.contains(&t.as_str()))
            .for_each(|t| text += &format!("- Threat: {t}\n"));
        a.problems.iter().for_each(|p| text += &format!("- **Wrong**: {p}\n"));
    }
    text += "\n## Threats to all\n\n";
    super::THREATS.iter().for_each(|t| text += &format!("- {t}\n"));
    text
}
