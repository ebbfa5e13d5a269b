//! Sensitivity for people: what moves, and which conclusions hold.

use super::{Conclusion, End, Estimate, Move, Sensitivity};

/// Ends at which every strategy moves by less than this, in per cent, are only counted.
const SHOWN_PERCENT: f64 = 1.0;
/// Strategies side by side; more make another block.
const COLUMNS: usize = 4;
const LABEL: usize = 46;
const COLUMN: usize = 16;

/// The section below the table of `run` and `compare`.
pub fn render(s: &Sensitivity) -> String {
    let mut text = format!(
        "sensitivity: cycles per operation at both ends of the bracket of each of {} estimates, one at a time",
        s.estimates.len()
    );
    if !s.draws.is_empty() {
        text += &format!(",\nand in {} draws of all of them together", s.draws.len());
    }
    text.push('\n');
    let mut moving: Vec<_> = s.ends().filter(|(_, _, end)| greatest(end) >= SHOWN_PERCENT).collect();
    // By what they move, and where that is equal in the preset's order.
    moving.sort_by(|a, b| greatest(b.2).total_cmp(&greatest(a.2)));
    let strategies = s.estimates.first().map_or(0, |e| e.low.strategies.len());
    for first in (0..strategies).step_by(COLUMNS).take_while(|_| !moving.is_empty()) {
        block(&mut text, &moving, first);
    }
    let still = s.ends().count() - moving.len();
    if still > 0 {
        text += &format!("  {still} other ends move nothing by {SHOWN_PERCENT} % or more.\n");
    }
    text += &notable(s);
    for c in &s.conclusions {
        text += &conclusion(c);
    }
    for problem in s.problems() {
        text += &format!("  WRONG: {problem}.\n");
    }
    text
}

/// The greatest move at an end; a strategy without a figure is shown above all.
fn greatest(end: &End) -> f64 {
    end.strategies.iter().map(|m| m.change_percent.map_or(f64::INFINITY, f64::abs)).fold(0.0, f64::max)
}

fn block(text: &mut String, moving: &[(&Estimate, &'static str, &End)], first: usize) {
    let shown = |end: &End, cell: &dyn Fn(&Move) -> String| -> String {
        end.strategies.iter().skip(first).take(COLUMNS).map(|m| format!("{:>COLUMN$}", cell(m))).collect()
    };
    if let Some((_, _, end)) = moving.first() {
        *text += &format!("{:<LABEL$}{}\n", "", shown(end, &|m| m.strategy.clone()));
    }
    for (e, which, end) in moving {
        let value = format!("{which} {} {}", end.value, e.base.unit);
        let label = format!("  {:<26} {value}", e.key);
        let moves = shown(end, &|m| match m.change_percent {
            Some(change) => format!("{} {}", percent(change), if m.notable { '*' } else { ' ' }),
            None => "no figure *".into(),
        });
        *text += format!("{label:<LABEL$}{moves}").trim_end();
        text.push('\n');
    }
}

fn percent(change: f64) -> String {
    // A rounded zero has no sign.
    let tenths = (change * 10.0).round() / 10.0;
    if tenths == 0.0 { "0.0 %".into() } else { format!("{tenths:+.1} %") }
}

/// The estimates that a strategy's figure hangs on.
fn notable(s: &Sensitivity) -> String {
    let mut keys: Vec<&str> = Vec::new();
    for (e, _, end) in s.ends() {
        if end.strategies.iter().any(|m| m.notable) && !keys.contains(&e.key.as_str()) {
            keys.push(&e.key);
        }
    }
    let least = s.notable_percent;
    match keys.as_slice() {
        [] => format!("  No estimate moves a strategy by more than {least} %.\n"),
        keys => format!("  * more than {least} %, from {}.\n", keys.join(", ")),
    }
}

fn conclusion(c: &Conclusion) -> String {
    let Conclusion { cheaper, dearer, margin_percent, ends, flips, draws } = c;
    let mut text = format!("  {cheaper} is cheaper than {dearer} by {margin_percent:.1} %: ");
    text += &match flips.len() {
        0 => format!("holds at all {ends} ends.\n"),
        some => format!("FLIPS at {some} of {ends} ends:\n"),
    };
    for f in flips {
        text += &format!(
            "    {} = {} {}: {dearer} is cheaper by {:.1} %\n",
            f.key, f.value, f.unit, f.margin_percent
        );
    }
    if let Some(drawn) = draws {
        text += &format!("    drawn together: {}.\n", drawn.told());
    }
    text
}
