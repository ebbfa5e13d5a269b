//! `run`, `compare`, `list`, `completions`, `man`: what comes out, where, and with which exit status.

mod common;

use common::{SMALL, shootdown, stderr};
use serde_json::Value;
use std::process::{Command, Stdio};

#[test]
fn compare_gives_rows_in_the_order_asked_for_and_equal_bytes_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.json");
    let mut compare = shootdown();
    compare.args(["compare", "--strategies", "deferred-seq,atomic", "--format", "json"]).args(SMALL);
    let output = compare.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], 1);
    let rows = report["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|r| r["strategy"].as_str().unwrap()).collect();
    assert_eq!(names, ["deferred-seq", "atomic"]);
    for key in ["operations", "cycles_per_op", "ipis", "invlpg", "cr3_loads", "global_flushes", "dtlb_misses"]
    {
        assert!(rows.iter().all(|r| r[key].is_number()), "{key}");
    }
    for (latency, part) in
        [("kmap_latency", "p999"), ("initiator_latency", "count"), ("target_latency", "max")]
    {
        assert!(rows.iter().all(|r| r[latency][part].is_u64()), "{latency}.{part}");
    }
    // Into a file: the same bytes, nothing on standard output, host time only on standard error.
    let again = compare.arg("--out").arg(&path).output().unwrap();
    assert!(again.stdout.is_empty());
    assert_eq!(std::fs::read(&path).unwrap(), output.stdout);
    assert!(stderr(&again).contains("guest instructions in"));
}

#[test]
fn sensitivity_is_a_section_of_every_format() {
    // All estimates but one are set and so fixed: a sweep of two runs for each strategy.
    let list = shootdown().args(["list", "cpus", "--format", "json"]).output().unwrap().stdout;
    let list: Value = serde_json::from_slice(&list).unwrap();
    let p3 = list.as_array().unwrap().iter().find(|p| p["name"] == "p3").unwrap();
    let mut fixed = Vec::new();
    for n in p3["numbers"].as_array().unwrap() {
        let key = n["key"].as_str().unwrap();
        if !n["low"].is_null() && key != "cost.invlpg" {
            fixed
                .extend(["--set".to_owned(), format!("{key}={}{}", n["value"], n["unit"].as_str().unwrap())]);
        }
    }
    let out = |command: &str, format: &str, more: &[&str]| {
        let mut run = shootdown();
        run.args([command, "--format", format]).args(SMALL).args(&fixed).args(more);
        let output = run.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let two = ["--strategies", "batched,atomic", "--sensitivity", "--draws", "3"];
    let json = out("compare", "json", &two);
    let report: Value = serde_json::from_str(&json).unwrap();
    let s = &report["sensitivity"];
    assert_eq!(s["estimates"].as_array().unwrap().len(), 1);
    let low = &s["estimates"][0]["low"];
    assert_eq!(low["value"], 60.0);
    let names: Vec<_> = low["strategies"].as_array().unwrap().iter().map(|m| &m["strategy"]).collect();
    assert_eq!(names, ["batched", "atomic"]);
    assert_eq!(s["conclusions"].as_array().unwrap().len(), 1);
    assert_eq!(s["conclusions"][0]["draws"]["draws"], 3);
    let draws = s["draws"].as_array().unwrap();
    let in_bracket = |d: &Value| (60.0..=120.0).contains(&d["values"][0].as_f64().unwrap());
    assert!(draws.len() == 3 && draws.iter().all(in_bracket));
    assert_eq!(json, out("compare", "json", &two), "equal bytes again");

    let csv = out("compare", "csv", &two);
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == columns));
    let high = s["estimates"][0]["high"]["strategies"][1]["cycles_per_op"].to_string();
    assert!(csv.contains(&format!(",atomic,sensitivity.cost.invlpg.high,cycles,{high}\n")), "{high}");

    let third = draws[2]["strategies"][0]["cycles_per_op"].to_string();
    assert!(csv.contains(&format!(",batched,sensitivity.draw.3,cycles,{third}\n")), "{third}");
    assert!(csv.contains(",sensitivity.cheaper-than.") && csv.contains(".held,count,"));
    let both = out("compare", "text", &two);
    assert!(both.contains("drawn together: holds in ") && both.contains(" of 3 draws; "), "{both}");

    let text = out("run", "text", &["--strategy", "atomic", "--sensitivity", "--draws", "0"]);
    assert!(text.contains("sensitivity: ") && !text.contains("is cheaper than"), "{text}");
    assert!(!text.contains("draws"), "{text}");
    // Without the option there is none of it.
    assert!(!out("run", "json", &["--strategy", "atomic"]).contains("sensitivity"));
}

#[test]
fn seeds_are_in_every_format_and_exclude_what_is_of_one_run() {
    let out = |format: &str, more: &[&str]| {
        let output = shootdown().args(["run", "--format", format]).args(SMALL).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let two = ["--seeds", "2", "--seed", "7"];
    let json: Value = serde_json::from_str(&out("json", &two)).unwrap();
    assert_eq!(json["seeds"]["seeds"], serde_json::json!([7, 8]));
    let of_8: Value = serde_json::from_str(&out("json", &["--seed", "8"])).unwrap();
    assert_eq!(json["seeds"]["rows"][0]["rows"], of_8["rows"]);
    // Tidy: the lines of both runs, nothing twice.
    let csv = out("csv", &two);
    let (first, second) = (out("csv", &["--seed", "7"]), out("csv", &["--seed", "8"]));
    assert_eq!(csv, first + second.split_once('\n').unwrap().1);
    assert!(out("text", &two).contains("median of 2 seeds [95 % interval]"));
    for (more, wanted) in [
        (&["--seeds", "0"][..], "1..=1000"),
        (&["--seeds", "1001"], "1..=1000"),
        (&["--seeds", "2", "--sensitivity"], "cannot be used with"),
        (&["--draws", "5"], "--sensitivity"),
        (&["--sensitivity", "--draws", "1001"], "0..=1000"),
        (&["--seeds", "2", "--timeline", "t"], "cannot be used with"),
    ] {
        let output = shootdown().arg("run").args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    }
}

#[test]
fn a_configuration_file_says_the_same_as_options() {
    let dir = tempfile::tempdir().unwrap();
    let text = "strategy = \"atomic\"\nmem = \"64M\"\npatience = 200000000\n[kernel]\nnormal = \"16M\"\nwindow = 64\n\
                [workload]\npages = 256\nops = 9999\nwarmup = 20\n";
    let config = common::file(dir.path(), "cell.toml", text.as_bytes());
    let run =
        |more: &[&str]| shootdown().args(["run", "--format", "json"]).args(more).output().unwrap().stdout;
    let by_file = run(&["--config", config.to_str().unwrap(), "--set", "ops=100"]);
    assert!(!by_file.is_empty());
    assert_eq!(by_file, run(&[&["--strategy", "atomic"], SMALL].concat()), "options win over the file");
}

#[test]
fn the_control_ends_with_status_1_and_its_row() {
    let output =
        shootdown().args(["run", "--strategy", "none", "--format", "csv"]).args(SMALL).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("harmful uses"));
    let csv = String::from_utf8(output.stdout).unwrap();
    let mut lines = csv.lines();
    let columns = lines.next().unwrap().split(',').count();
    assert!(lines.all(|line| line.split(',').count() == columns));
    let errors = csv.lines().find(|l| l.contains(",data_errors,")).unwrap();
    assert!(!errors.ends_with(",0"), "{errors}");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shootdown"))
        .args(["list", "cpus", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_run_cleanly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shootdown"))
        .args(["run", "--set", "ops=100000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Long enough for the handler to be there; the run itself would take hours.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("interrupted"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn lists_completions_and_manual() {
    for (arguments, words) in [
        (
            &["list", "cpus"][..],
            &[
                "p3",
                "skylake-sp",
                "cost.invlpg",
                "60..120",
                "[H15] one page",
                "topology.cores",
                "cache.l2.kib",
            ][..],
        ),
        (&["list", "strategies"], &["lowmem", "deferred-seq", "cr3-flush", "Tweedie"]),
        (&["list", "shootdowns"], &["ipi-sync", "tlb-gen", "Lutomirski"]),
        (&["list", "pte"], &["series-strict", "nowait", "pte-highmem-5"]),
        (&["list", "workloads"], &["kmap-storm", "pagecache-read", "fork-cow", "footprint"]),
        (&["list", "experiments"], &["validation", "published", "invlpg-vs-batch", "Tweedie"]),
        (&["experiment", "list"], &["validation", "deferred"]),
        (&["completions", "bash"], &["compare", "--strategies"]),
        (&["man"], &[".TH", "SHOOTDOWN COMPARE", "max\\-cycles"]),
    ] {
        let output = shootdown().args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        for word in words {
            assert!(text.contains(word), "{arguments:?}: no '{word}'");
        }
    }
    for list in ["cpus", "strategies", "shootdowns", "pte", "workloads", "experiments"] {
        let output = shootdown().args(["list", list, "--format", "json"]).output().unwrap();
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(list.as_array().unwrap().iter().all(|entry| entry["name"].is_string()));
    }
}
