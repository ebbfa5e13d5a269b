//! What an experiment runs: settings x arms x seeds.

use crate::cell::{Cell, KeyError};
use crate::strategy::Strategy;
use crate::validation::Effort;
use crate::workload::Workload;

/// What an arm is in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A scheme that the question is about.
    Scheme,
    /// A scheme of which it is asked whether its tasks wait for each other for ever: that they do is an answer.
    Deadlocks,
    /// A bound or a baseline.
    Control,
    /// A control that does not invalidate: wrong, and it has to be caught.
    Unsafe,
}

impl Role {
    /// As results name it.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Scheme => "scheme",
            Role::Deadlocks => "deadlocks",
            Role::Control => "control",
            Role::Unsafe => "unsafe",
        }
    }
}

/// A scheme with its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// What tables call it.
    pub name: &'static str,
    /// Its strategy.
    pub strategy: Strategy,
    /// Keys beyond it.
    pub set: &'static [(&'static str, &'static str)],
    /// What it is there for.
    pub role: Role,
    /// Names of factors or settings in which alone it runs; empty: everywhere.
    pub only: &'static [&'static str],
}

/// Factors in which unsafe controls run: the base and one processor, which are the tables that are shown whole.
const SHOWN_WHOLE: &[&str] = &[BASE, "cpus=1"];
/// Name of the setting from which all others go out.
pub const BASE: &str = "base";
/// Name of the setting of double length.
pub const LONGER: &str = "twice as long";

impl Arm {
    /// A scheme of the question.
    pub const fn scheme(
        name: &'static str,
        strategy: Strategy,
        set: &'static [(&'static str, &'static str)],
    ) -> Arm {
        Arm { name, strategy, set, role: Role::Scheme, only: &[] }
    }

    /// A scheme that may deadlock.
    pub const fn deadlocks(
        name: &'static str,
        strategy: Strategy,
        set: &'static [(&'static str, &'static str)],
    ) -> Arm {
        Arm { role: Role::Deadlocks, ..Arm::scheme(name, strategy, set) }
    }

    /// A strategy under its own name.
    pub const fn plain(strategy: Strategy) -> Arm {
        Arm::scheme(strategy.name(), strategy, &[])
    }

    /// A bound.
    pub const fn control(
        name: &'static str,
        strategy: Strategy,
        set: &'static [(&'static str, &'static str)],
    ) -> Arm {
        Arm { role: Role::Control, ..Arm::scheme(name, strategy, set) }
    }

    /// A scheme that leaves its invalidations out.
    pub const fn unsafe_control(name: &'static str, strategy: Strategy) -> Arm {
        let set = &[("inval", "none")];
        Arm { role: Role::Unsafe, only: SHOWN_WHOLE, ..Arm::scheme(name, strategy, set) }
    }

    /// The same in some factors or settings alone.
    pub const fn only(self, only: &'static [&'static str]) -> Arm {
        Arm { only, ..self }
    }
}

/// The controls of every table but the unsafe one, which is a scheme of the question.
pub const LOWMEM: Arm = Arm::control("lowmem", Strategy::Lowmem, &[]).only(CONTROLLED);
/// The bound.
pub const IDEAL: Arm = Arm::control("ideal", Strategy::Ideal, &[]).only(CONTROLLED);
/// Where these two run, unless a question says otherwise: in the base, and on other machines.
pub const CONTROLLED: &[&str] = &[BASE, "cpus", "cpu"];

/// Loads that only read their file check what they read as they go: a look at a part of it in the end is enough here.
pub const CHECK: (&str, &str) = ("check", "10");
/// The load and setting of [`Plan::reads`].
pub const READS: &str = "pagecache-read";

/// Keys and values.
pub type Keys = Vec<(String, String)>;

/// A way to run all arms.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What tables call it.
    pub name: String,
    /// The factor that is moved.
    pub factor: String,
    /// Where to, if that is a number.
    pub x: Option<f64>,
    /// Keys in place of those of the base.
    pub set: Keys,
    /// Its load makes processes until there is no memory for another: how many there are then is its figure.
    pub fills: bool,
}

/// All of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Keys of all cells.
    pub base: Keys,
    /// The settings, the base first.
    pub settings: Vec<Setting>,
    /// The arms.
    pub arms: Vec<Arm>,
    /// The arm that the others are held against.
    pub reference: &'static str,
    /// Seeds, from 1 on.
    pub seeds: u64,
    /// How much is run.
    pub effort: Effort,
}

fn owned(set: &[(&str, &str)]) -> Keys {
    set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

impl Plan {
    /// The standard load: `kmap-storm` on four processors over a file of four times the window, so that
    /// nearly every kmap needs a slot. `set` stands in place of what is not to be so.
    pub fn new(effort: Effort, reference: &'static str, arms: Vec<Arm>, set: &[(&str, &str)]) -> Plan {
        let mut plan = Plan {
            base: owned(&[
                ("workload", "kmap-storm"),
                ("mem", "64M"),
                ("normal", "16M"),
                ("cpus", "4"),
                ("jitter", "50"),
                ("window", "128"),
                ("pages", "512"),
            ]),
            settings: vec![Setting {
                name: BASE.into(),
                factor: BASE.into(),
                x: None,
                set: Vec::new(),
                fills: false,
            }],
            arms,
            reference,
            seeds: match effort {
                Effort::Full => 20,
                Effort::Quick => 6,
            },
            effort,
        };
        plan.length("80", "40", "40", "30");
        if effort == Effort::Quick {
            plan.put(&[("window", "64"), ("pages", "256")]);
        }
        plan.put(set);
        let load = plan.base.iter().find(|(key, _)| key == "workload").map_or("", |(_, name)| name);
        let keys = Workload::from_name(load).map_or(&[][..], |load| load.keys);
        if keys.iter().any(|key| key.name == CHECK.0) {
            plan.put(&[CHECK]);
        }
        plan
    }

    /// Sets keys of the base.
    pub fn put(&mut self, set: &[(&str, &str)]) {
        for (key, value) in owned(set) {
            match self.base.iter_mut().find(|(k, _)| *k == key) {
                Some(pair) => pair.1 = value,
                None => self.base.push((key, value)),
            }
        }
    }

    /// Operations of each task and warm-up, of the whole experiment and of the quick one.
    pub fn length(&mut self, ops: &str, warmup: &str, quick_ops: &str, quick_warmup: &str) {
        match self.effort {
            Effort::Full => self.put(&[("ops", ops), ("warmup", warmup)]),
            Effort::Quick => self.put(&[("ops", quick_ops), ("warmup", quick_warmup)]),
        }
    }

    /// Moves a factor, whose name is its key, through values; of `quick` only some. The base's own value makes no setting.
    pub fn factor(&mut self, key: &str, values: &[&str], quick: &[&str]) {
        let values = if self.effort == Effort::Quick { quick } else { values };
        for value in values {
            let own = self.base.iter().any(|(k, v)| k == key && v == value);
            if !own {
                self.setting(key, &format!("{key}={value}"), &[(key, value)]);
            }
        }
    }

    /// Adds a setting of several keys; the last is the one that a curve goes along.
    pub fn setting(&mut self, factor: &str, name: &str, set: &[(&str, &str)]) {
        let x = set.last().and_then(|(_, value)| value.parse().ok());
        self.settings.push(Setting {
            name: name.into(),
            factor: factor.into(),
            x,
            set: owned(set),
            fills: false,
        });
    }

    /// Reads of files: the load that finds out whether an arm without invalidation is wrong.
    pub fn reads(&mut self) {
        let sizes = match self.effort {
            Effort::Full => [("pages", "512"), ("ops", "100"), ("warmup", "50")],
            Effort::Quick => [("pages", "256"), ("ops", "40"), ("warmup", "20")],
        };
        self.setting("load", READS, &[&[("workload", READS)], &sizes[..]].concat());
    }

    /// The same with a load that fills memory with processes.
    pub fn filling(&mut self, factor: &str, name: &str, set: &[(&str, &str)]) {
        self.setting(factor, name, set);
        self.settings.last_mut().into_iter().for_each(|s| s.fills = true);
    }

    /// What every experiment tries besides its own factors: one processor; in the full size other numbers of them, processors
    /// fifteen years younger, and a run of double length.
    pub fn usual(&mut self, cpus: &[&str], quick_cpus: &[&str]) {
        self.factor("cpus", cpus, quick_cpus);
        self.factor("cpu", &["haswell-ep"], &[]);
        // A load that goes in rounds is twice as long with twice as many of them.
        let length = ["rounds", "ops"].into_iter().find_map(|key| {
            let (_, value) = self.base.iter().find(|(k, _)| k == key)?;
            Some((key, 2 * value.parse::<u32>().ok()?))
        });
        if let Some((key, twice)) = length
            && self.effort == Effort::Full
        {
            self.setting(LONGER, LONGER, &[(key, &twice.to_string())]);
        }
    }

    /// Does an arm run in a setting? A run of double length asks about schemes alone, and [`Plan::reads`] about arms that name it.
    pub fn runs(&self, arm: &Arm, setting: &Setting) -> bool {
        if setting.name == LONGER && arm.role == Role::Control && arm.name != self.reference {
            return false;
        }
        // There for the arms that it finds wrong.
        if setting.name == READS {
            return arm.only.contains(&READS);
        }
        arm.only.is_empty() || arm.only.iter().any(|name| *name == setting.name || *name == setting.factor)
    }

    /// Every cell's setting, arm and seed, in the order of results.
    pub fn runs_in_order(&self) -> Vec<(usize, usize, u64)> {
        let mut all = Vec::new();
        for (s, setting) in self.settings.iter().enumerate() {
            let arms = self.arms.iter().enumerate().filter(|(_, arm)| self.runs(arm, setting));
            all.extend(arms.flat_map(|(a, _)| (1..=self.seeds).map(move |seed| (s, a, seed))));
        }
        all
    }

    /// Keys of an arm in a setting, each once.
    pub fn keys(&self, setting: &Setting, arm: &Arm) -> Keys {
        let mut keys = self.base.clone();
        let over = setting.set.iter().cloned().chain(owned(arm.set));
        for (key, value) in over {
            // Keys of another load do not go with this one.
            if key == "workload" {
                keys.retain(|(k, _)| MACHINE.contains(&k.as_str()));
            }
            match keys.iter_mut().find(|(k, _)| *k == key) {
                Some(pair) => pair.1 = value,
                None => keys.push((key, value)),
            }
        }
        keys
    }

    /// What a key is in the base: as it was set, or what stands where nothing is set; `None` if that is no number.
    pub fn base_value(&self, key: &str) -> Option<f64> {
        if let Some((_, value)) = self.base.iter().find(|(k, _)| k == key) {
            return value.parse().ok();
        }
        let mut cell = Cell::standard().ok()?;
        cell.set_all(self.base.iter().map(|(k, v)| (k.as_str(), v.as_str()))).ok()?;
        match cell.parameters().into_iter().find(|(name, _)| *name == key) {
            Some((_, value)) => value.parse().ok(),
            None => cell.machine.preset.numbers().into_iter().find(|n| n.key == key).map(|n| n.value),
        }
    }

    /// The cell of an arm in a setting under a seed.
    pub fn cell(&self, setting: &Setting, arm: &Arm, seed: u64) -> Result<Cell, KeyError> {
        let mut cell = Cell::standard()?.with(arm.strategy);
        let keys = self.keys(setting, arm);
        cell.set_all(keys.iter().map(|(k, v)| (k.as_str(), v.as_str())))?;
        cell.machine.seed = seed;
        // A longer page array: low frames lie otherwise against high ones.
        let more = (seed - 1) * COLOUR_STEP;
        cell.machine.memory += more;
        if cell.kernel.swap > 0 {
            // The device takes it: what is left is the same under every seed.
            cell.kernel.swap += (more / 4096) as u32;
        }
        Ok(cell)
    }
}

/// RAM that a seed has more than the one before.
const COLOUR_STEP: u64 = 1 << 20;

/// Keys of the base that every load has.
const MACHINE: [&str; 7] = ["mem", "normal", "paging", "cpus", "jitter", "window", "cpu"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::QUESTIONS;

    #[test]
    fn every_cell_of_every_plan_can_be_made() {
        for question in QUESTIONS {
            for effort in [Effort::Full, Effort::Quick] {
                let plan = (question.plan)(effort);
                assert!(plan.seeds >= if effort == Effort::Full { 20 } else { 6 });
                let names: Vec<_> = plan.settings.iter().map(|s| s.name.as_str()).collect();
                let mut once = names.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), names.len(), "{}: {names:?}", question.name);
                for wanted in [BASE, "cpus=1", LONGER] {
                    let there = names.contains(&wanted) || wanted == LONGER && effort == Effort::Quick;
                    assert!(there, "{}: no {wanted} in {names:?}", question.name);
                }
                for arm in &plan.arms {
                    for only in arm.only {
                        assert!(
                            effort == Effort::Quick
                                || plan.settings.iter().any(|s| s.name == *only || s.factor == *only),
                            "{}: {} runs in no {only}",
                            question.name,
                            arm.name
                        );
                    }
                }
                // The quick size is made of the same keys.
                let tried = |run: &(usize, usize, u64)| run.2 == 1 && (effort == Effort::Full || run.0 == 0);
                for (s, a, seed) in plan.runs_in_order().into_iter().filter(tried) {
                    let (setting, arm) = (&plan.settings[s], &plan.arms[a]);
                    let cell = plan.cell(setting, arm, seed);
                    let told = || format!("{}, {}, {}", question.name, setting.name, arm.name);
                    cell.and_then(|c| c.validate()).unwrap_or_else(|e| panic!("{}: {e}", told()));
                }
                let has = |role| plan.arms.iter().any(|a| a.role == role);
                assert!(has(Role::Scheme) && has(Role::Unsafe), "{}", question.name);
                for control in ["lowmem", "ideal", plan.reference] {
                    assert!(plan.arms.iter().any(|a| a.name == control), "{}: {control}", question.name);
                }
            }
        }
    }

    #[test]
    fn a_factor_leaves_the_base_alone_and_arms_come_last() {
        let arm = Arm::scheme("slow", Strategy::Batched, &[("window", "32")]);
        let mut plan = Plan::new(Effort::Full, "slow", vec![arm], &[("think", "7")]);
        plan.factor("cpus", &["1", "4", "8"], &["1"]);
        let names: Vec<_> = plan.settings.iter().map(|s| (s.name.as_str(), s.x)).collect();
        assert_eq!(names, [(BASE, None), ("cpus=1", Some(1.0)), ("cpus=8", Some(8.0))]);
        let keys = plan.keys(&plan.settings[2], &arm);
        let of = |key: &str| keys.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        assert_eq!((of("cpus"), of("window"), of("think")), (Some("8"), Some("32"), Some("7")));
        let cell = |seed| plan.cell(&plan.settings[0], &arm, seed).unwrap();
        assert_eq!(cell(3).machine.memory - cell(1).machine.memory, 2 << 20);
    }

    #[test]
    fn another_load_keeps_no_keys_of_the_one_before() {
        let arm = Arm::plain(Strategy::Batched);
        let mut plan = Plan::new(Effort::Quick, "batched", vec![arm], &[("hot", "50")]);
        plan.setting("load", "syscall", &[("workload", "syscall"), ("ops", "100")]);
        let keys = plan.keys(&plan.settings[1], &arm);
        assert!(keys.iter().any(|(k, v)| k == "ops" && v == "100"));
        assert!(!keys.iter().any(|(k, _)| k == "hot" || k == "pages"), "{keys:?}");
        plan.cell(&plan.settings[1], &arm, 1).unwrap();
    }
}
