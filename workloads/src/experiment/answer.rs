//! The document of an experiment.

use super::claim::{Conclusion, Order, order};
use super::figure::Chart;
use super::measured::{COST, Measured, Sample};
use super::plan::{Arm, BASE, LONGER, Role, Setting};
use super::{ExperimentError, Question, THREATS};
use crate::image;
use crate::report::Images;
use crate::run::{Outcome, RunError};
use crate::sensitivity::{self, Subject, sweep_subjects};
use crate::statistics::Interval;
use crate::validation::Effort;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Version of the document's shape.
pub const SCHEMA: u32 = 1;

/// What an experiment found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The experiment.
    pub name: String,
    /// `Q1` to `Q13`.
    pub number: String,
    /// What was asked.
    pub question: String,
    /// By whom, where, when.
    pub asked_by: String,
    /// The answer that was expected.
    pub expectation: String,
    /// `full`, or `quick`: fewer seeds, settings and operations.
    pub size: String,
    /// Version of the program.
    pub version: String,
    /// The guest's images.
    pub image: Images,
    /// Seeds of each row, from 1 on.
    pub seeds: u64,
    /// Keys of all cells, unless a setting or an arm has them too.
    pub base: BTreeMap<String, String>,
    /// The arm that the others are held against.
    pub reference: String,
    /// Each arm in each setting.
    pub rows: Vec<Row>,
    /// A deadlock of each arm that had one: the first in the order of rows and seeds.
    pub deadlocks: Vec<Deadlock>,
    /// The answer, in a few sentences.
    pub verdict: String,
    /// Is the ground of the verdict the same elsewhere?
    pub holds_in: Vec<Holds>,
    /// The same pairs at both ends of the bracket of each estimate of the base's preset and in draws from all brackets, by
    /// the same metric, under the first seed; empty when the size is `quick`.
    pub sensitivity: Vec<sensitivity::Conclusion>,
    /// How many times its cycles for an operation an arm takes in a run of double length: 1 if the warm-up was enough.
    pub stationarity: BTreeMap<String, Interval>,
    /// What may be wrong with it.
    pub threats: Vec<String>,
    /// What went wrong where nothing may, and has no part in the figures; unsafe arms in which nothing did.
    pub problems: Vec<String>,
    /// Charts; they are files of their own.
    #[serde(skip)]
    pub charts: Vec<Chart>,
}

/// An arm in a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The setting.
    pub setting: String,
    /// The factor that it moves.
    pub factor: String,
    /// The arm.
    pub arm: String,
    /// `scheme`; `deadlocks`: a scheme that may deadlock; `control`; or `unsafe`: a control that does not invalidate.
    pub role: String,
    /// Its strategy.
    pub strategy: String,
    /// Keys of setting and arm beyond the base.
    pub set: BTreeMap<String, String>,
    /// Runs.
    pub runs: usize,
    /// Runs in which something was found wrong: those of an unsafe arm have to be.
    pub wrong: usize,
    /// Runs that ended in a deadlock; they have no figures, and are wrong unless that is what the arm is there for.
    pub deadlocks: usize,
    /// Median and interval of each figure; `docs/RESULTS-FORMAT.md` names them.
    pub figures: BTreeMap<String, Interval>,
    /// How many times the cycles of the reference an operation takes, on equal seeds.
    pub ratio: Option<Interval>,
    /// How many cycles more than `lowmem` an operation takes, on equal seeds.
    pub over_lowmem: Option<Interval>,
    /// What the ledger does not attribute to the scheme of `over_lowmem`: caches and TLBs that it disturbs, waiting.
    pub residual: Option<Interval>,
}

/// A run in which tasks waited for each other for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Deadlock {
    /// The setting.
    pub setting: String,
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// Who held what and waited for what, a line each, in the guest's words.
    pub waits: String,
}

/// Whether the order of a pair of arms is that of the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// The setting.
    pub setting: String,
    /// The one with less in the base; the first of the two where the base does not decide.
    pub cheaper: String,
    /// The other.
    pub dearer: String,
    /// Of what.
    pub metric: String,
    /// How many times the cheaper one's figure the dearer one has here.
    pub ratio: Interval,
    /// Is it so here? Null: the interval holds 1.
    pub holds: Option<bool>,
}

/// A pair of arms under all brackets.
pub type Shaken = sensitivity::Conclusion;

/// Figures of every row.
const FIGURES: [(&str, &str); 13] = [
    (COST, COST),
    ("elapsed_per_op", "wall_cycles_per_op"),
    ("kmap.p50", "kmap_latency.p50"),
    ("kmap.p99", "kmap_latency.p99"),
    ("kmap.p999", "kmap_latency.p999"),
    ("kmap.max", "kmap_latency.max"),
    ("pays.map", "pays.map"),
    ("pays.initiator", "pays.initiator"),
    ("pays.target", "pays.target"),
    ("pays.lock", "pays.lock"),
    ("refill", "refill"),
    ("flushes_per_op", "initiator_latency.count/operations"),
    ("maps_per_op", "maps/operations"),
];

impl Answer {
    /// Of what was measured and concluded.
    pub fn new(
        question: &Question,
        effort: Effort,
        m: &Measured,
        conclusion: Conclusion,
        (sensitivity, wrong): (Vec<Shaken>, Vec<String>),
    ) -> Answer {
        let holds_in = holds_in(m, &conclusion);
        let mut verdict = conclusion.verdict.clone();
        for (a, b) in &conclusion.pairs {
            verdict += &elsewhere(m, &conclusion, &holds_in, a, b);
        }
        for shaken in &sensitivity {
            let base = order(m, BASE, conclusion.metric, &shaken.cheaper, &shaken.dearer);
            verdict += &brackets(shaken, base.is_some_and(|(o, _)| o != Order::Undecided));
        }
        let threats = THREATS.iter().chain(question.threats).map(|t| (*t).to_owned());
        let of_the_question = |a: &&Arm| matches!(a.role, Role::Scheme | Role::Deadlocks);
        let schemes = m.plan.arms.iter().filter(of_the_question).map(|a| a.name);
        let stationary = schemes.filter_map(|arm| Some((arm.into(), m.moved(COST, arm, BASE, LONGER)?)));
        Answer {
            schema: SCHEMA,
            name: question.name.into(),
            number: question.number.into(),
            question: question.question.into(),
            asked_by: question.asked_by.into(),
            expectation: question.expectation.into(),
            size: if effort == Effort::Full { "full" } else { "quick" }.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            image: Images {
                kernel: image::digest(image::KERNEL).unwrap_or_default(),
                guest: image::digest(image::GUEST).unwrap_or_default(),
            },
            seeds: m.plan.seeds,
            base: m.plan.base.iter().cloned().collect(),
            reference: m.plan.reference.into(),
            rows: rows(m, &conclusion),
            deadlocks: m.plan.arms.iter().filter_map(|arm| deadlock(m, arm)).collect(),
            verdict,
            holds_in,
            sensitivity,
            stationarity: stationary.collect(),
            threats: threats.collect(),
            problems: m.problems().into_iter().chain(wrong).collect(),
            charts: conclusion.charts,
        }
    }

    /// The rows of a setting.
    pub fn rows_of<'a>(&'a self, setting: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |r| r.setting == setting)
    }

    /// The file name of a chart.
    pub fn chart_name(&self, chart: &Chart) -> String {
        let suffix = if chart.suffix.is_empty() { String::new() } else { format!("-{}", chart.suffix) };
        format!("experiment-{}{suffix}.svg", self.name)
    }
}

fn rows(m: &Measured, conclusion: &Conclusion) -> Vec<Row> {
    let settings = m.plan.settings.iter();
    let all = settings.flat_map(|s| m.plan.arms.iter().filter(|a| m.plan.runs(a, s)).map(move |a| (s, a)));
    all.map(|(setting, arm)| row(m, conclusion, setting, arm)).collect()
}

fn row(m: &Measured, conclusion: &Conclusion, setting: &Setting, arm: &Arm) -> Row {
    let samples = m.samples(&setting.name, arm.name);
    let wanted = FIGURES.iter().chain(&conclusion.more);
    let figures = wanted
        .filter_map(|(name, metric)| Some(((*name).into(), m.interval(&setting.name, arm.name, metric)?)));
    let own = arm.set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let over = |metric| m.pairs(&setting.name, metric, "lowmem", arm.name);
    Row {
        setting: setting.name.clone(),
        factor: setting.factor.clone(),
        arm: arm.name.into(),
        role: arm.role.name().into(),
        strategy: arm.strategy.name().into(),
        set: setting.set.iter().cloned().chain(own).collect(),
        runs: samples.len(),
        wrong: samples.iter().filter(|s| m.is_wrong(arm.name, s)).count(),
        deadlocks: m.deadlocks(&setting.name, arm.name),
        figures: figures.collect(),
        ratio: m.ratio(&setting.name, COST, m.plan.reference, arm.name),
        over_lowmem: over(COST).difference(),
        residual: over(COST).beyond(&over("pays.all")),
    }
}

/// The first deadlock of an arm.
fn deadlock(m: &Measured, arm: &Arm) -> Option<Deadlock> {
    m.plan.settings.iter().find_map(|setting| {
        let of = |s: &Sample| s.deadlock.clone().map(|waits| (s.seed, waits));
        let (seed, waits) = m.samples(&setting.name, arm.name).iter().find_map(of)?;
        Some(Deadlock { setting: setting.name.clone(), arm: arm.name.into(), seed, waits })
    })
}

/// Each pair in each setting but the base.
fn holds_in(m: &Measured, conclusion: &Conclusion) -> Vec<Holds> {
    let metric = conclusion.metric;
    let mut all = Vec::new();
    for (a, b) in &conclusion.pairs {
        let (a, b) = match order(m, BASE, metric, a, b) {
            Some((Order::Second, _)) => (b, a),
            _ => (a, b),
        };
        for setting in m.plan.settings.iter().filter(|s| s.name != BASE && s.name != LONGER) {
            let Some((order, ratio)) = order(m, &setting.name, metric, a, b) else { continue };
            all.push(Holds {
                setting: setting.name.clone(),
                cheaper: (*a).into(),
                dearer: (*b).into(),
                metric: metric.into(),
                ratio,
                holds: match order {
                    Order::First => Some(true),
                    Order::Second => Some(false),
                    Order::Undecided => None,
                },
            });
        }
    }
    all
}

/// Where else a pair has the order of the base, as a sentence.
fn elsewhere(m: &Measured, conclusion: &Conclusion, all: &[Holds], a: &str, b: &str) -> String {
    let of_pair = |h: &&Holds| [a, b].contains(&h.cheaper.as_str()) && [a, b].contains(&h.dearer.as_str());
    let pair: Vec<&Holds> = all.iter().filter(of_pair).collect();
    let Some(first) = pair.first() else { return String::new() };
    let decided = order(m, BASE, conclusion.metric, a, b).is_some_and(|(o, _)| o != Order::Undecided);
    let named = |holds: Option<bool>| -> Vec<&str> {
        pair.iter().filter(|h| h.holds == holds).map(|h| h.setting.as_str()).collect()
    };
    let (same, other, open) = (named(Some(true)), named(Some(false)), named(None));
    let mut text = format!(
        " {}`{}` stays below `{}` in {} of {} other settings",
        if decided { "" } else { "Undecided in the base, " },
        first.cheaper,
        first.dearer,
        same.len(),
        pair.len()
    );
    for (names, what) in [(other, "above it"), (open, "undecided")] {
        if !names.is_empty() {
            text += &format!("; {what} with {}", names.join(", "));
        }
    }
    text + "."
}

/// Estimates on which an order hangs that a verdict names; the document has all.
const FLIPS_TOLD: usize = 6;

/// What the brackets do to a pair, as sentences. Of a pair that the base does not decide, as few as there is to tell.
fn brackets(shaken: &Shaken, decided: bool) -> String {
    let pair = format!("`{}` below `{}`", shaken.cheaper, shaken.dearer);
    let drawn = shaken
        .draws
        .as_ref()
        .map_or(String::new(), |drawn| format!(" With all estimates drawn together it {}.", drawn.told()));
    if shaken.flips.is_empty() {
        let ends = shaken.ends;
        return format!(" At all {ends} ends of brackets of the preset's estimates: {pair}.{drawn}");
    }
    let held = shaken.ends - shaken.flips.len();
    if !decided {
        return format!(
            " At {held} of {} ends of brackets {pair}, as undecided as in the base.",
            shaken.ends
        );
    }
    let named = shaken.flips.iter().take(FLIPS_TOLD);
    let mut flips: Vec<_> =
        named.map(|f| format!("{} = {} {} (by {:.1} %)", f.key, f.value, f.unit, f.margin_percent)).collect();
    if shaken.flips.len() > FLIPS_TOLD {
        flips.push(format!("{} more", shaken.flips.len() - FLIPS_TOLD));
    }
    format!(
        " At {held} of {} ends of brackets: {pair}; it flips at {}.{drawn}",
        shaken.ends,
        flips.join(", ")
    )
}

/// Draws from all brackets together.
const DRAWS: usize = 32;

/// Runs the compared arms at both ends of every bracket and in draws from all of them, in the base under the first seed: what
/// is found of the pairs, and what went wrong.
pub fn shake(
    name: &'static str,
    m: &Measured,
    conclusion: &Conclusion,
    interrupt: &Arc<AtomicBool>,
) -> Result<(Vec<Shaken>, Vec<String>), ExperimentError> {
    let Some(base) = m.plan.settings.first() else { return Ok(Default::default()) };
    let compared = |arm: &&Arm| conclusion.pairs.iter().any(|(a, b)| *a == arm.name || *b == arm.name);
    let arms: Vec<&Arm> = m.plan.arms.iter().filter(compared).collect();
    // Of nothing there is no share; a wrong run has no part in any figure.
    let first = |arm: &Arm| {
        let values = m.values(&base.name, arm.name, conclusion.metric);
        values.into_iter().find(|(seed, value)| *seed == 1 && *value > 0.0).map(|(_, value)| value)
    };
    let figure = |o: &Outcome| {
        let sample = Sample::new(1, o);
        sample.metric(conclusion.metric).filter(|value| *value > 0.0 && sample.problems.is_empty())
    };
    let subject = |arm: &&Arm| -> Result<Subject, ExperimentError> {
        Ok(Subject { name: arm.name.into(), cell: m.plan.cell(base, arm, 1)?, base: first(arm) })
    };
    let subjects = arms.iter().map(subject).collect::<Result<Vec<_>, _>>()?;
    let failed = |source: RunError| ExperimentError::Cell {
        experiment: name,
        cell: "sensitivity".into(),
        source: source.into(),
    };
    let Some(all) = sweep_subjects(&subjects, DRAWS, &figure, interrupt).map_err(failed)? else {
        return Err(ExperimentError::Interrupted(name));
    };
    // An arm that may go wrong is told of in the rows.
    let sound =
        |arm: &str| arms.iter().any(|a| a.name == arm && matches!(a.role, Role::Scheme | Role::Control));
    let wrong = all.wrong().into_iter().filter(|(arm, ..)| sound(arm));
    let wrong = wrong.map(|(arm, place, problem)| format!("{arm}, {place}: {problem}")).collect();
    let of_pair = |c: &Shaken| {
        conclusion
            .pairs
            .iter()
            .any(|(a, b)| [*a, *b].contains(&c.cheaper.as_str()) && [*a, *b].contains(&c.dearer.as_str()))
    };
    Ok((all.conclusions.into_iter().filter(of_pair).collect(), wrong))
}
