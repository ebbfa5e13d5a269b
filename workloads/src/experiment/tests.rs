//! Made-up runs: does a verdict come out otherwise when the figures do? And real ones: same bytes from any number of threads?

use super::*;
use crate::experiment::measured::COST;
use crate::experiment::plan::{BASE, IDEAL, LONGER, LOWMEM};
use crate::strategy::Strategy;
use std::collections::BTreeMap;

/// A run with this cost for an operation, all else in proportion.
fn sample(seed: u64, cost: f64) -> Sample {
    let mut figures: BTreeMap<String, f64> = BTreeMap::new();
    for name in [
        COST,
        "wall_cycles_per_op",
        "pays.map",
        "pays.initiator",
        "pays.target",
        "pays.lock",
        "pays.flush",
        "pays.unlocked",
        "pays.all",
        "refill",
        "initiator_latency.p50",
        "invlpg",
        "flush_ipis",
        "recycles",
        "processes",
        "busy",
        "ptes_visited",
        "shootdowns",
    ] {
        figures.insert(name.into(), cost);
    }
    for name in ["operations", "reclaimed"] {
        figures.insert(name.into(), 1000.0);
    }
    figures.insert("conflicts".into(), cost / 10.0);
    let latencies = ["kmap_latency", "timer_latency", "exposure", "response"];
    let events = latencies.map(|name| (name, vec![(cost as u64, 1000)]));
    Sample { seed, figures, events: events.into(), boots: true, ..Sample::default() }
}

/// All arms of a question at these costs.
fn made_up(question: &Question, cost: impl Fn(&Setting, &Arm, usize) -> f64) -> Measured {
    let plan = (question.plan)(Effort::Quick);
    let arms: Vec<_> = plan.arms.iter().map(|a| a.name).collect();
    Measured::of(plan, |setting, arm, seed| {
        let number = arms.iter().position(|name| *name == arm.name).unwrap();
        sample(seed, cost(setting, arm, number))
    })
}

fn answer(question: &Question, m: &Measured) -> Answer {
    Answer::new(question, Effort::Quick, m, (question.conclude)(m), Default::default())
}

#[test]
fn a_verdict_is_that_of_the_figures() {
    for question in QUESTIONS {
        let up = answer(question, &made_up(question, |_, _, n| 100.0 + 10.0 * n as f64));
        let down = answer(question, &made_up(question, |_, _, n| 300.0 - 10.0 * n as f64));
        let equal = answer(question, &made_up(question, |_, _, _| 100.0));
        assert_ne!(up.verdict, down.verdict, "{}", question.name);
        assert_ne!(up.verdict, equal.verdict, "{}", question.name);
        assert!(equal.holds_in.iter().all(|h| h.holds.is_none()), "{}", question.name);
        assert!(!up.charts.is_empty(), "{}", question.name);
        assert!(up.charts.iter().all(|c| c.svg.contains("<title>") || c.svg.contains("<polyline")));
        let row = |a: &Answer| a.rows.iter().find(|r| r.setting == BASE && r.arm == a.reference).cloned();
        assert_eq!(row(&up).and_then(|r| r.ratio).map(|i| i.median), Some(1.0), "{}", question.name);
    }
}

#[test]
fn what_holds_in_the_base_alone_is_said_to() {
    for question in QUESTIONS {
        let turned = |setting: &Setting, _: &Arm, n: usize| {
            let n = n as f64;
            if setting.name == "cpus=1" { 300.0 - 10.0 * n } else { 100.0 + 10.0 * n }
        };
        let answer = answer(question, &made_up(question, turned));
        let (one, others): (Vec<_>, Vec<_>) = answer.holds_in.iter().partition(|h| h.setting == "cpus=1");
        assert!(!one.is_empty() && one.iter().all(|h| h.holds == Some(false)), "{}", question.name);
        assert!(!others.is_empty() && others.iter().all(|h| h.holds == Some(true)), "{}", question.name);
        assert!(answer.verdict.contains("above it with cpus=1."), "{}", answer.verdict);
    }
}

#[test]
fn wrong_runs_have_no_part_unless_they_are_to_be_wrong() {
    let question = QUESTIONS[0];
    let plan = (question.plan)(Effort::Quick);
    let m = Measured::of(plan, |_, arm, seed| {
        let mut sample = sample(seed, if seed == 2 && arm.name == "atomic" { 9999.0 } else { 100.0 });
        if seed == 2 && (arm.name == "atomic" || arm.role == Role::Unsafe) {
            sample.problems.push("lost".into());
        }
        sample
    });
    let all = answer(question, &m);
    let row = |arm: &str| all.rows.iter().find(|r| r.setting == BASE && r.arm == arm).unwrap();
    assert_eq!((row("atomic").wrong, row("atomic").figures[COST].n), (1, 5));
    assert!(row("atomic").figures[COST].high < 200.0);
    let control = all.rows.iter().find(|r| r.role == "unsafe" && r.setting == BASE).unwrap();
    assert_eq!((control.wrong, control.figures[COST].n), (1, 6));
    assert!(all.problems.iter().any(|p| p == "base, atomic, seed 2: lost"), "{:?}", all.problems);
    assert!(!all.problems.iter().any(|p| p.contains(&control.arm)));
    let text = render(&all);
    for words in ["WRONG in 1 of 6", "UNSAFE: caught in 1 of 6", "QUICK", "lost"] {
        assert!(text.contains(words), "no '{words}' in:\n{text}");
    }
}

/// A kernel that prints another checksum, or refuses, is told by name, and its figures have no part.
#[test]
fn a_kernel_of_the_matrix_that_fails_is_told() {
    let question = &config_matrix::QUESTION;
    let with = |broken: fn(&mut Sample)| {
        let m = Measured::of((question.plan)(Effort::Quick), |_, arm, seed| {
            let mut sample = Sample { checksum: Some(format!("0x{seed}")), ..sample(seed, 100.0) };
            sample.load = format!("mixed seed={seed}");
            if arm.name == "SMP 64G-highpte" && seed == 3 {
                broken(&mut sample);
            }
            sample
        });
        answer(question, &m)
    };
    let good = with(|_| {});
    for words in ["20 of 20 kernels boot,", "20 of 20 pass the load,", "20 of 20 print the checksum"] {
        assert!(good.verdict.contains(words), "{}", good.verdict);
    }
    // Four clusters of five bars, each kernel once.
    let svg = &good.charts[0].svg;
    assert_eq!((svg.matches("<title>").count(), svg.matches("<pattern ").count()), (20, 5));
    for arm in (question.plan)(Effort::Quick).arms.iter().filter(|a| a.role == Role::Scheme) {
        let (kind, memory) = arm.name.rsplit_once(' ').unwrap();
        assert_eq!(svg.matches(&format!("<title>{kind}, {memory}: ")).count(), 1, "{}", arm.name);
    }
    let other = with(|s| s.checksum = Some("0xbad".into()));
    for words in ["20 of 20 kernels boot,", "19 of 20 pass the load (not `SMP 64G-highpte`),"] {
        assert!(other.verdict.contains(words), "{}", other.verdict);
    }
    let told = "base, SMP 64G-highpte, seed 3: its checksum is 0xbad, but that of base, UP nohighmem 0x3";
    assert!(other.problems.iter().any(|p| p == told), "{:?}", other.problems);
    let row = other.rows.iter().find(|r| r.arm == "SMP 64G-highpte" && r.setting == BASE).unwrap();
    assert_eq!((row.wrong, row.figures[COST].n), (1, 5));
    let dead = with(|s| {
        s.boots = false;
        s.problems = vec!["the guest refuses: cpu: no PAE".into()];
        s.checksum = None;
        s.figures.clear();
    });
    assert!(dead.verdict.contains("19 of 20 kernels boot (not `SMP 64G-highpte`)"), "{}", dead.verdict);
    assert!(dead.problems.iter().any(|p| p.contains("no PAE")), "{:?}", dead.problems);
}

#[test]
fn a_deadlock_is_an_answer_where_it_is_asked_for_and_wrong_elsewhere() {
    let question = &kmap_deadlock::QUESTION;
    let stuck = |narrow: &str, arms: &[&str]| {
        let (narrow, arms) = (narrow.to_owned(), arms.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
        let m = Measured::of((question.plan)(Effort::Quick), |setting, arm, seed| {
            let mut sample = sample(seed, 100.0);
            if setting.name == narrow && seed > 2 && arms.iter().any(|a| a == arm.name) {
                sample.figures.clear();
                sample.problems.push("tasks wait for each other".into());
                sample.deadlock = Some(format!("task {seed} holds slot 1\ntask 9 holds nothing"));
            }
            sample
        });
        answer(question, &m)
    };
    let asked = stuck("faults, 16 slots", &["one pool"]);
    let row = asked.rows.iter().find(|r| r.setting == "faults, 16 slots" && r.arm == "one pool").unwrap();
    assert_eq!((row.role.as_str(), row.runs, row.wrong, row.deadlocks), ("deadlocks", 6, 0, 4));
    assert_eq!(row.figures[COST].n, 2, "a run that got stuck has no figures");
    assert!(!asked.problems.iter().any(|p| p.contains("one pool")), "{:?}", asked.problems);
    assert_eq!(asked.deadlocks.len(), 1);
    assert_eq!((asked.deadlocks[0].seed, asked.deadlocks[0].arm.as_str()), (3, "one pool"));
    assert!(asked.verdict.contains("`one pool` 4 of 6, `series` 0 of 6"), "{}", asked.verdict);
    for text in [render(&asked), document(std::slice::from_ref(&asked))] {
        for words in ["4 of 6 [30 %, 90 %]", "one pool in faults, 16 slots, seed 3", "task 3 holds slot 1"] {
            assert!(text.contains(words), "no '{words}' in:\n{text}");
        }
        assert!(text.contains("1 more hold nothing and wait") && !text.contains("task 9"), "{text}");
    }
    let wrong = stuck("faults, 16 slots", &["reserve"]);
    let row = wrong.rows.iter().find(|r| r.setting == "faults, 16 slots" && r.arm == "reserve").unwrap();
    assert_eq!((row.wrong, row.deadlocks), (4, 4));
    assert!(
        wrong.problems.iter().any(|p| p == "faults, 16 slots, reserve, seed 3: tasks wait for each other")
    );
    assert_ne!(asked.verdict, wrong.verdict);
}

#[test]
fn a_run_of_double_length_shows_a_warm_up_that_was_too_short() {
    let question = QUESTIONS[0];
    // The quick size has none.
    let drifts = |s: &Setting, _: &Arm, seed| sample(seed, if s.name == LONGER { 80.0 } else { 100.0 });
    let all = answer(question, &Measured::of((question.plan)(Effort::Full), drifts));
    assert!((all.stationarity["atomic"].median - 0.8).abs() < 1e-9);
    assert!(render(&all).contains("0.800 [0.800, 0.800] times"));
}

#[test]
fn the_document_and_its_json_come_back_whole() {
    let question = QUESTIONS[0];
    let mut all = answer(question, &made_up(question, |_, _, n| 100.0 + 10.0 * n as f64));
    let json = serde_json::to_string_pretty(&all).unwrap();
    let again: Answer = serde_json::from_str(&json).unwrap();
    let text = document(std::slice::from_ref(&all));
    all.charts.clear();
    assert_eq!(again, all);
    let fields: serde_json::Value = serde_json::from_str(&json).unwrap();
    for field in
        ["schema", "name", "question", "asked_by", "expectation", "rows", "verdict", "holds_in", "threats"]
    {
        assert!(!fields[field].is_null(), "no {field}");
    }
    for words in [
        "**This is the quick size**",
        "## invlpg-vs-batch",
        "experiment-invlpg-vs-batch.svg",
        "Threats to all",
    ] {
        assert!(text.contains(words), "no '{words}'");
    }
}

/// Three arms on two processors; the whole size is shorter, as it is run a hundred times.
fn tiny(effort: Effort) -> Plan {
    let arms = vec![Arm::plain(Strategy::Atomic), LOWMEM, IDEAL];
    let small = [("ops", "200"), ("warmup", "10"), ("cpus", "2"), ("pages", "64"), ("window", "16")];
    let mut plan = Plan::new(effort, "atomic", arms, &small);
    if effort == Effort::Full {
        plan.put(&[("ops", "20"), ("warmup", "5"), ("tasks", "2"), ("jitter", "0")]);
    }
    plan.seeds = 2;
    plan
}

fn lowmem_against_atomic(m: &Measured) -> Conclusion {
    Conclusion {
        verdict: claim::compared(m, BASE, COST, "lowmem", "atomic"),
        pairs: vec![("lowmem", "atomic")],
        metric: COST,
        more: Vec::new(),
        charts: vec![Chart::bars(m, "", "t", (COST, "y"), &[BASE], &["lowmem", "atomic"])],
    }
}

const TINY: Question = Question { plan: tiny, conclude: lowmem_against_atomic, ..invlpg_vs_batch::QUESTION };

#[test]
fn the_whole_size_holds_its_pairs_against_all_brackets() {
    let answer = TINY.answer(Effort::Full, &Arc::new(AtomicBool::new(false))).unwrap();
    let [pair] = answer.sensitivity.as_slice() else { panic!("one pair: {:?}", answer.sensitivity) };
    assert_eq!((pair.cheaper.as_str(), pair.dearer.as_str()), ("lowmem", "atomic"));
    assert!(pair.ends > 60 && pair.draws.as_ref().is_some_and(|d| d.draws == 32 && d.held == 32), "{pair:?}");
    // By the metric of the verdict, of the first seed.
    let cost =
        |arm: &str| answer.rows.iter().find(|r| r.setting == BASE && r.arm == arm).unwrap().figures[COST];
    let margin = |of: fn(&crate::statistics::Interval) -> f64| {
        100.0 * (of(&cost("atomic")) / of(&cost("lowmem")) - 1.0)
    };
    let (low, high) = (margin(|i| i.low), margin(|i| i.high));
    assert!(
        (low.min(high) - 5.0..=low.max(high) + 5.0).contains(&pair.margin_percent),
        "{low} {high} {pair:?}"
    );
    for words in [
        "ends of brackets",
        "With all estimates drawn together it holds in 100 % [89 %, 100 %] of 32 draws; none",
    ] {
        assert!(answer.verdict.contains(words), "{}", answer.verdict);
    }
    assert_eq!(answer.problems, Vec::<String>::new());
}

#[test]
fn real_runs_give_the_same_bytes_from_any_number_of_threads() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| TINY.answer(Effort::Quick, &Arc::new(AtomicBool::new(false)))).unwrap()
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&three).unwrap());
    assert_eq!(one.charts, three.charts);
    assert_eq!(one.problems, Vec::<String>::new());
    let cost = |arm: &str| one.rows.iter().find(|r| r.arm == arm).unwrap().figures[COST].median;
    assert!(
        cost("lowmem") < cost("atomic") && cost("lowmem") > 100.0,
        "{} {}",
        cost("lowmem"),
        cost("atomic")
    );
    let stopped = TINY.answer(Effort::Quick, &Arc::new(AtomicBool::new(true)));
    assert!(matches!(stopped, Err(ExperimentError::Interrupted(_))));
}

#[test]
fn memory_that_is_full_of_processes_is_counted() {
    let full = Sample::full(3, "guest: cannot make task 110 of 1024 (error 12)").unwrap();
    assert_eq!((full.seed, full.figures["processes"], full.problems.len()), (3, 110.0, 0));
    for other in
        ["guest: cannot make task 110 of 1024 (error 11)", "guest: pages=64 are too few for tasks=40", ""]
    {
        assert_eq!(Sample::full(3, other), None, "{other}");
    }
}

#[test]
fn names_are_unique_and_found() {
    for (number, question) in QUESTIONS.iter().enumerate() {
        assert_eq!(Question::from_name(question.name).map(|q| q.number), Some(question.number));
        assert!(QUESTIONS[..number].iter().all(|q| q.name != question.name && q.number != question.number));
    }
    assert!(Question::from_name("no-such-question").is_none());
}
