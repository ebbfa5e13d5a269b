//! Q5: how large must the window be?
//!
//! Arms are sizes of the window, from 128 slots to 65 536, over a file of 2048 pages (1024 in the quick size), four of five
//! kmaps to a tenth of it. And the first-order law of the discussion: with N slots and a flush as dear as F maps, a kmap costs
//! 1 + (1 + F) / N maps; for it every kmap has to need a new slot, so pages go in turn.

use super::Question;
use super::claim::{Conclusion, compared};
use super::figure::Chart;
use super::measured::{COST, Measured};
use super::plan::{Arm, BASE, IDEAL, LONGER, LOWMEM, Plan};
use crate::statistics::{Interval, Line};
use crate::strategy::Strategy;
use crate::validation::Effort;

/// The question.
pub const QUESTION: Question = Question {
    name: "window-size",
    number: "Q5",
    question: "how large must the window be: 512, 1024, 2048, 65 536 slots?",
    asked_by: "Dickins, January 2002",
    expectation: "the mean cost of a kmap falls as 1 + (1 + F) / N with N slots [B02c]; a kernel compile on some 16 processors \
                  took 40 s with 1024 slots and 43 s with 128 [B02a]",
    plan,
    conclude,
    threats: &[
        "a window that holds the whole file never wraps; how large is enough hangs on how often pages are used again, which was \
         not published and is `hot=80` here",
    ],
};

const LAW: &str = "law";
/// What a kmap costs everybody, waiting for the lock not.
const KMAP: &str = "pays.unlocked";
/// Sizes with their arms.
const SIZES: [(f64, &str); 5] = [
    (128.0, "128 slots"),
    (512.0, "512 slots"),
    (1024.0, "1024 slots"),
    (2048.0, "2048 slots"),
    (ALL, "65536 slots"),
];
/// Where the sizes run; for the law there is an arm of its own.
const SIZED: &[&str] = &[BASE, "cpus", "cpu", "hot", LONGER];
/// Part of the variance that the law has to explain.
const R2: f64 = 0.98;
/// The largest window: all that the kernel has addresses for, and more than the file.
const ALL: f64 = 65536.0;
/// A window is large enough if it takes no more than so many times what the largest takes.
const ENOUGH: f64 = 1.05;

const fn size(name: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    Arm::scheme(name, Strategy::Batched, set).only(SIZED)
}

fn plan(effort: Effort) -> Plan {
    let arms = vec![
        size("128 slots", &[("window", "128")]),
        size("512 slots", &[("window", "512")]),
        size("1024 slots", &[("window", "1024")]),
        size("2048 slots", &[("window", "2048")]),
        size("65536 slots", &[("window", "65536")]),
        Arm::plain(Strategy::Batched).only(&[LAW]),
        LOWMEM,
        IDEAL,
        Arm::unsafe_control("128 slots, no flush", Strategy::Batched),
    ];
    let pages = if effort == Effort::Full { "2048" } else { "1024" };
    let file = [("pages", pages), ("hot", "80"), ("sharing", "50"), ("normal", "32M"), ("mem", "128M")];
    let mut plan = Plan::new(effort, "1024 slots", arms, &file);
    // The largest window that does not hold the file is to wrap several times.
    plan.length("700", "100", "40", "30");
    plan.usual(&["1", "8"], &["1"]);
    plan.factor("hot", &["0"], &["0"]);
    // All tasks together make a whole number of passes through each window.
    let (windows, pages, ops) = match effort {
        Effort::Full => (["128", "256", "512", "1024"], "2048", "512"),
        Effort::Quick => (["32", "64", "128", "256"], "1024", "256"),
    };
    for window in windows {
        plan.setting(
            LAW,
            &format!("law, window={window}"),
            &[
                ("pages", pages),
                ("ops", ops),
                ("hot", "0"),
                ("order", "seq"),
                ("sharing", "0"),
                ("think", "800"),
                ("footprint", "4"),
                ("window", window),
            ],
        );
    }
    plan
}

fn conclude(m: &Measured) -> Conclusion {
    let mut verdict = String::new();
    let line = |setting: &str| -> Vec<_> {
        let points = SIZES.iter();
        points.filter_map(|(x, arm)| Some((*x, m.interval(setting, arm, COST)?))).collect()
    };
    for (setting, what) in
        [(BASE, "four processors"), ("cpus=1", "one"), ("hot=0", "four without a hot part")]
    {
        let points = line(setting);
        let Some((_, largest)) = points.last() else { continue };
        let times = |i: &Interval| i.median / largest.median;
        let Some((smallest, rest)) = points.split_first() else { continue };
        verdict += &format!("On {what} 128 slots take {:.3} times the cycles of 65536, ", times(&smallest.1));
        let enough = rest.iter().find(|(slots, i)| times(i) <= ENOUGH && *slots < ALL);
        verdict += &match (enough, rest.iter().rev().nth(1)) {
            (Some((slots, i)), _) => format!("{slots:.0} are enough: {:.3} times. ", times(i)),
            (None, Some((slots, i))) => format!("and {slots:.0} are not enough: {:.3} times. ", times(i)),
            (None, None) => "and nothing between was tried. ".into(),
        };
    }
    verdict += &format!("{}. ", compared(m, BASE, COST, "1024 slots", "512 slots"));
    let law = m.curve(LAW, "batched", KMAP);
    let points: Vec<(f64, f64)> = law.iter().map(|(n, i)| (1.0 / n, i.median)).collect();
    let mut lines = vec![("measured".to_owned(), law.clone())];
    if let Some(fit) = Line::fit(&points) {
        verdict += &format!(
            "The law 1 + (1 + F) / N {} (R2 {:.4}; a map costs {:.0} cycles and a flush, with all that it causes, as much as F = \
             {:.1} of them).",
            if fit.r2 > R2 { "holds" } else { "does not hold" },
            fit.r2,
            fit.intercept,
            fit.slope / fit.intercept - 1.0
        );
        let on_the_line = |(n, i): &(f64, Interval)| {
            let y = fit.at(1.0 / n);
            (*n, Interval { median: y, low: y, high: y, n: i.n })
        };
        lines.push(("1 + (1 + F) / N".into(), law.iter().map(on_the_line).collect()));
    }
    let sized = |setting: &str| (setting.to_owned(), line(setting));
    Conclusion {
        verdict,
        pairs: vec![("1024 slots", "512 slots"), ("2048 slots", "1024 slots"), ("65536 slots", "2048 slots")],
        metric: COST,
        more: vec![("pays.unlocked", KMAP)],
        charts: vec![
            Chart::lines(
                m,
                "",
                "The size of the window",
                ("slots", "cycles for an operation"),
                [BASE, "cpus=1", "cpus=8", "hot=0", "cpu=haswell-ep"].map(sized).into(),
            ),
            Chart::lines(
                m,
                "law",
                "Cost of a kmap and the law 1 + (1 + F) / N",
                ("slots", "cycles of a kmap"),
                lines,
            ),
        ],
    }
}
