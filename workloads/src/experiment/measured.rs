//! The figures of all runs of an experiment, and what is asked of them.
//!
//! A figure is a metric of `figures.rs` (`A`, or `A/B` for a ratio), or one of these, in cycles for each operation:
//!
//! | name | who pays for what |
//! |---|---|
//! | `busy_per_op` | all processors, but for the time in which they have nothing to run |
//! | `busy` | the same, of the whole region of interest |
//! | `pays.map` | the task that maps: the kmap itself, without what follows |
//! | `pays.initiator` | the task that flushes: sending, its own flush, waiting for acknowledgements |
//! | `pays.target` | processors that are asked to flush |
//! | `pays.flush` | initiator and target together |
//! | `pays.unlocked` | these and the one that maps: everybody but the waiters for a lock |
//! | `pays.lock` | tasks that spin for a lock |
//! | `pays.all` | all of them: what the ledger attributes to the scheme |
//! | `response.p99` and others | no cost: how long after they were due operations are done, of a load in which they are due at times; it has no cycles for an operation |
//! | `processes` | no cycles: how many there was memory for, where the load fills it with them |
//! | `refill` | anybody: TLB entries fetched again after a flush; part of whatever was being done then |
//!
//! What is compared is `busy_per_op`: tasks are done at different times, and at the end of a run the last of them is alone on
//! a machine that has nothing else to do. That time is the load's, and the shorter a run the more it weighs. Where tasks
//! sleep for want of a slot, `elapsed_per_op` tells it.

use super::ExperimentError;
use super::plan::{Arm, BASE, Plan, Role, Setting};
use super::pooled::{Events, Pool, events, quantile_of};
use crate::cell::Cell;
use crate::figures::{figures, summaries};
use crate::run::{Outcome, RunError, run};
use crate::statistics::{Interval, Pairs};
use crate::summary::Summary;
use rayon::prelude::*;
use shootdown_abi::{Activity, exit};
use shootdown_emu::Stop;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What the kernel prints when all processors have come up.
const UP_AND_RUNNING: &str = "shootdown kernel: ";

/// What a scheme costs: the metric that is compared.
pub const COST: &str = "busy_per_op";

/// Processes of a load that fills memory with them, as many as there was memory for.
pub const PROCESSES: &str = "processes";
/// ENOMEM, which the guest says.
const NO_MEMORY: u32 = 12;

/// One run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Its seed.
    pub seed: u64,
    /// The load with its arguments.
    pub load: String,
    /// What it printed.
    pub checksum: Option<String>,
    /// Did the kernel come up?
    pub boots: bool,
    /// Did another run of the same load with the same arguments print another checksum?
    pub differs: bool,
    /// Its figures; none when it did not reach its end.
    pub figures: BTreeMap<String, f64>,
    /// Its histograms, by the names that metrics have for them.
    pub events: BTreeMap<&'static str, Events>,
    /// What went wrong.
    pub problems: Vec<String>,
    /// Who waited for whom, as the guest said it, when tasks waited for each other for ever.
    pub deadlock: Option<String>,
}

/// Figures for each operation that are sums of others.
const PER_OPERATION: [(&str, &[&str]); 8] = [
    ("pays.map", &["activity.kmap"]),
    ("pays.initiator", &["activity.flush-init", "activity.ack-wait"]),
    ("pays.target", &["activity.ipi-handler"]),
    ("pays.flush", &["activity.flush-init", "activity.ack-wait", "activity.ipi-handler"]),
    ("pays.unlocked", &["activity.kmap", "activity.flush-init", "activity.ack-wait", "activity.ipi-handler"]),
    ("pays.lock", &["activity.lock-spin"]),
    (
        "pays.all",
        &[
            "activity.kmap",
            "activity.flush-init",
            "activity.ack-wait",
            "activity.ipi-handler",
            "activity.lock-spin",
        ],
    ),
    ("refill", &["kind.refill-invlpg", "kind.refill-cr3", "kind.refill-global"]),
];

impl Sample {
    /// The figures of a run that reached its end, or why it did not.
    pub fn new(seed: u64, outcome: &Outcome) -> Sample {
        let row = &outcome.row;
        let (mut all, mut histograms) = (BTreeMap::new(), BTreeMap::new());
        if outcome.is_complete() && row.operations > 0 {
            all.extend(figures(row).into_iter().map(|f| (f.metric, f.value.number())));
            let recorded = |(name, s): (&'static str, &Summary)| Some((name, events(&s.histogram()?)));
            histograms.extend(summaries(row).into_iter().filter_map(recorded));
            for (name, parts) in PER_OPERATION {
                let cycles: f64 = parts.iter().filter_map(|part| all.get(*part)).sum();
                all.insert(name.into(), cycles / row.operations as f64);
            }
            if row.response.count == 0 {
                all.retain(|name, _| !name.starts_with("response."));
            }
            let busy = row.ledger.activity.iter().filter(|(name, _)| *name != Activity::Idle.name());
            let busy: u64 = busy.map(|(_, cycles)| cycles).sum();
            all.insert("busy".into(), busy as f64);
            // Tasks that wait in user mode for their operations to be due are busy whatever these cost.
            if row.response.count == 0 {
                all.insert(COST.into(), busy as f64 / row.operations as f64);
            }
        }
        let deadlock = (outcome.stop == Stop::Exit(exit::DEADLOCK)).then(|| {
            let lines = outcome.console.lines().filter(|line| line.contains("waits for"));
            lines.map(str::trim).collect::<Vec<_>>().join("\n")
        });
        Sample {
            seed,
            figures: all,
            events: histograms,
            problems: row.problems(),
            deadlock,
            checksum: row.checksum.clone(),
            boots: outcome.console.contains(UP_AND_RUNNING),
            ..Sample::default()
        }
    }

    /// Of a guest that found no memory for another process; `None` if it says something else.
    pub fn full(seed: u64, said: &str) -> Option<Sample> {
        let (_, rest) = said.split_once("cannot make task ")?;
        let (made, why) = rest.split_once(" of ")?;
        let made: f64 = made.parse().ok().filter(|_| why.ends_with(&format!("(error {NO_MEMORY})")))?;
        let figures = [(PROCESSES.to_owned(), made)].into_iter().collect();
        Some(Sample { seed, figures, ..Sample::default() })
    }

    /// What came of a run in a setting. A kernel that refuses its command line is one that fails, and stops nothing.
    fn of(
        setting: &Setting,
        cell: &Cell,
        outcome: Result<Outcome, RunError>,
    ) -> Result<Option<Sample>, RunError> {
        let seed = cell.machine.seed;
        let sample = match outcome {
            Ok(outcome) if outcome.stop == Stop::Interrupted => return Ok(None),
            Ok(outcome) => Sample::new(seed, &outcome),
            Err(RunError::Refused(said)) => {
                let full = Sample::full(seed, &said).filter(|_| setting.fills);
                full.unwrap_or_else(|| Sample {
                    seed,
                    problems: vec![format!("the guest refuses: {said}")],
                    ..Sample::default()
                })
            }
            Err(other) => return Err(other),
        };
        Ok(Some(Sample { load: cell.module_string(), ..sample }))
    }

    /// A metric; `None` where there is none, and for a division by 0.
    pub fn metric(&self, name: &str) -> Option<f64> {
        match name.split_once('/') {
            None => self.figures.get(name).copied(),
            Some((above, below)) => {
                let below = *self.figures.get(below)?;
                (below != 0.0).then_some(*self.figures.get(above)? / below)
            }
        }
    }
}

/// All runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What was run.
    pub plan: Plan,
    /// By setting and arm, by name; each by seed.
    runs: BTreeMap<(String, &'static str), Vec<Sample>>,
}

impl Measured {
    /// Runs a plan, cells side by side.
    pub fn run(
        name: &'static str,
        plan: Plan,
        interrupt: &Arc<AtomicBool>,
    ) -> Result<Measured, ExperimentError> {
        let jobs = plan.runs_in_order();
        let one = |&(s, a, seed): &(usize, usize, u64)| -> Result<Option<Sample>, ExperimentError> {
            let (setting, arm) = (&plan.settings[s], &plan.arms[a]);
            let failed = |source: RunError| ExperimentError::Cell {
                experiment: name,
                cell: format!("{}, {}, seed {seed}", setting.name, arm.name),
                source: source.into(),
            };
            let cell = plan.cell(setting, arm, seed).map_err(RunError::from).map_err(failed)?;
            Sample::of(setting, &cell, run(&cell, interrupt)).map_err(failed)
        };
        let samples: Vec<_> = jobs.par_iter().with_max_len(1).map(one).collect();
        let mut runs: BTreeMap<(String, &'static str), Vec<Sample>> = BTreeMap::new();
        for (&(s, a, _), sample) in jobs.iter().zip(samples) {
            let Some(sample) = sample? else { return Err(ExperimentError::Interrupted(name)) };
            runs.entry((plan.settings[s].name.clone(), plan.arms[a].name)).or_default().push(sample);
        }
        Ok(Measured::new(plan, runs))
    }

    /// Holds the checksums of each load against that of its first sound run, in the order of the plan.
    fn new(plan: Plan, mut runs: BTreeMap<(String, &'static str), Vec<Sample>>) -> Measured {
        let mut firsts: BTreeMap<String, (String, String)> = BTreeMap::new();
        for setting in &plan.settings {
            for arm in plan.arms.iter().filter(|arm| arm.role != Role::Unsafe) {
                let samples = runs.get_mut(&(setting.name.clone(), arm.name)).into_iter().flatten();
                for sample in samples.filter(|s| s.problems.is_empty()) {
                    let Some(own) = sample.checksum.clone() else { continue };
                    let here = format!("{}, {}", setting.name, arm.name);
                    let (first, of) =
                        firsts.entry(sample.load.clone()).or_insert_with(|| (own.clone(), here));
                    if own != *first {
                        sample.differs = true;
                        sample.problems.push(format!("its checksum is {own}, but that of {of} {first}"));
                    }
                }
            }
        }
        Measured { plan, runs }
    }

    /// Runs that were made elsewhere: by setting, arm and seed.
    pub fn of(plan: Plan, samples: impl Fn(&Setting, &Arm, u64) -> Sample) -> Measured {
        let mut runs: BTreeMap<(String, &'static str), Vec<Sample>> = BTreeMap::new();
        for (s, a, seed) in plan.runs_in_order() {
            let (setting, arm) = (&plan.settings[s], &plan.arms[a]);
            runs.entry((setting.name.clone(), arm.name)).or_default().push(samples(setting, arm, seed));
        }
        Measured::new(plan, runs)
    }

    /// The runs of an arm in a setting.
    pub fn samples(&self, setting: &str, arm: &str) -> &[Sample] {
        let all = self.runs.iter().find(|((s, a), _)| s == setting && *a == arm);
        all.map_or(&[], |(_, samples)| samples)
    }

    fn role(&self, arm: &str) -> Role {
        self.plan.arms.iter().find(|a| a.name == arm).map_or(Role::Scheme, |a| a.role)
    }

    /// Runs that count. One that found something wrong does not, unless its arm is there to be wrong.
    fn counted<'a>(&'a self, setting: &str, arm: &str) -> impl Iterator<Item = &'a Sample> {
        let wrong = self.role(arm) == Role::Unsafe;
        self.samples(setting, arm).iter().filter(move |s| wrong || s.problems.is_empty())
    }

    /// A metric by seed; a percentile is that of the run.
    pub fn values(&self, setting: &str, arm: &str, metric: &str) -> Vec<(u64, f64)> {
        self.counted(setting, arm).filter_map(|s| Some((s.seed, s.metric(metric)?))).collect()
    }

    /// The events of all runs in one of their histograms, of those seeds under which `with` has them too.
    fn pool(&self, setting: &str, (arm, with): (&str, &str), of: &str) -> Pool {
        let has = |arm: &str, seed: u64| {
            self.counted(setting, arm).any(|s| s.seed == seed && s.events.contains_key(of))
        };
        let runs = self.counted(setting, arm).filter(|s| arm == with || has(with, s.seed));
        Pool::new(runs.filter_map(|s| s.events.get(of)))
    }

    /// Runs of an arm in a setting that ended in a deadlock.
    pub fn deadlocks(&self, setting: &str, arm: &str) -> usize {
        self.samples(setting, arm).iter().filter(|s| s.deadlock.is_some()).count()
    }

    /// Is what went wrong in a run of this arm a fault? A deadlock is none where it is asked for.
    pub fn is_wrong(&self, arm: &str, sample: &Sample) -> bool {
        let asked_for = self.role(arm) == Role::Deadlocks && sample.deadlock.is_some();
        !sample.problems.is_empty() && !asked_for
    }

    /// Median and interval of a metric; a percentile is that of all runs together.
    pub fn interval(&self, setting: &str, arm: &str, metric: &str) -> Option<Interval> {
        if let Some((of, q)) = quantile_of(metric) {
            return self.pool(setting, (arm, arm), of).interval(q);
        }
        let values: Vec<f64> = self.values(setting, arm, metric).into_iter().map(|(_, v)| v).collect();
        Interval::of(&values)
    }

    /// The median of a metric.
    pub fn median(&self, setting: &str, arm: &str, metric: &str) -> Option<f64> {
        Some(self.interval(setting, arm, metric)?.median)
    }

    /// Two arms of a setting, seed by seed.
    pub fn pairs(&self, setting: &str, metric: &str, a: &str, b: &str) -> Pairs {
        Pairs::new(&self.values(setting, a, metric), &self.values(setting, b, metric))
    }

    /// How many times `a` arm `b` takes; of a percentile, that of all runs together.
    pub fn ratio(&self, setting: &str, metric: &str, a: &str, b: &str) -> Option<Interval> {
        if let Some((of, q)) = quantile_of(metric) {
            return self.pool(setting, (a, b), of).ratio(&self.pool(setting, (b, a), of), q);
        }
        self.pairs(setting, metric, a, b).ratio()
    }

    /// How much more than `a` arm `b` takes.
    pub fn difference(&self, setting: &str, metric: &str, a: &str, b: &str) -> Option<Interval> {
        self.pairs(setting, metric, a, b).difference()
    }

    /// One arm in two settings, seed by seed: how many times `from` it takes in `to`.
    pub fn moved(&self, metric: &str, arm: &str, from: &str, to: &str) -> Option<Interval> {
        Pairs::new(&self.values(from, arm, metric), &self.values(to, arm, metric)).ratio()
    }

    /// Settings along a factor with the base among them, by x.
    pub fn along(&self, factor: &str) -> Vec<(f64, &str)> {
        let base = self.plan.base_value(factor);
        let settings = self.plan.settings.iter().filter_map(|s| {
            let x = if s.name == BASE { base } else { s.x.filter(|_| s.factor == factor) };
            Some((x?, s.name.as_str()))
        });
        let mut all: Vec<_> = settings.collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    }

    /// Points of a curve along a factor.
    pub fn curve(&self, factor: &str, arm: &str, metric: &str) -> Vec<(f64, Interval)> {
        let points = self.along(factor).into_iter();
        points.filter_map(|(x, setting)| Some((x, self.interval(setting, arm, metric)?))).collect()
    }

    /// Where along a factor the medians of two arms cross, on straight lines between neighbouring points.
    pub fn crossing(&self, factor: &str, metric: &str, a: &str, b: &str) -> Option<f64> {
        let (a, b) = (self.curve(factor, a, metric), self.curve(factor, b, metric));
        let gaps: Vec<(f64, f64)> = a
            .iter()
            .filter_map(|(x, i)| {
                let other = b.iter().find(|(at, _)| at == x)?;
                Some((*x, i.median - other.1.median))
            })
            .collect();
        let crosses = gaps.windows(2).find(|pair| pair[0].1 * pair[1].1 < 0.0)?;
        let ((x0, g0), (x1, g1)) = (crosses[0], crosses[1]);
        Some(x0 + (x1 - x0) * g0 / (g0 - g1))
    }

    /// What went wrong where nothing may, and where nothing did that has to, a line each.
    pub fn problems(&self) -> Vec<String> {
        let sound = self.runs.iter().filter(|((_, arm), _)| self.role(arm) != Role::Unsafe);
        let of = |((setting, arm), samples): (&(String, &'static str), &Vec<Sample>)| {
            let wrong = samples.iter().filter(|s| self.is_wrong(arm, s));
            let told = wrong.flat_map(|s| s.problems.iter().map(move |p| (s.seed, p)));
            told.map(|(seed, p)| format!("{setting}, {arm}, seed {seed}: {p}")).collect::<Vec<_>>()
        };
        let caught = |samples: &Vec<Sample>| samples.iter().any(|s| !s.problems.is_empty());
        let unseen =
            self.runs.iter().filter(|((_, arm), samples)| self.role(arm) == Role::Unsafe && !caught(samples));
        let told = unseen
            .map(|((setting, arm), _)| format!("{setting}, {arm}: nothing was found wrong under any seed"));
        sound.flat_map(of).chain(told).collect()
    }
}
