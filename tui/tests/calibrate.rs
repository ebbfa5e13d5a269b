//! `calibrate`: what it prints, in which form, and what it refuses.

mod common;

use common::{file, shootdown, stderr};
use serde_json::Value;

fn output(arguments: &[&str]) -> std::process::Output {
    shootdown().arg("calibrate").args(arguments).output().unwrap()
}

#[test]
fn all_presets_come_out_within_their_tolerance() {
    let all = output(&["--format", "json"]);
    assert_eq!(all.status.code(), Some(0), "{}", stderr(&all));
    let rows: Value = serde_json::from_slice(&all.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    for preset in ["p3", "p4-xeon", "westmere-ep", "haswell-ep", "skylake-sp"] {
        assert!(rows.iter().any(|r| r["preset"] == preset), "{preset}");
    }
    let keys = ["deviation", "measured", "model", "preset", "published", "what"];
    for r in rows {
        let mut found: Vec<_> = r.as_object().unwrap().keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, keys, "{r}");
        let number = |key: &str| r[key].as_f64().unwrap_or_else(|| panic!("{key}: {r}"));
        assert_eq!(number("deviation"), number("measured") - number("model"));
        assert!(r["published"].is_null() || r["published"].is_f64(), "{r}");
    }
    assert!(rows.iter().any(|r| r["published"].is_null()), "not everything was published");
    assert_eq!(output(&["--format", "json"]).stdout, all.stdout, "the same bytes again");
}

#[test]
fn one_preset_as_table_as_csv_and_into_a_file() {
    let table = String::from_utf8(output(&["--cpu", "westmere-ep"]).stdout).unwrap();
    assert!(table.contains("IPI round trip") && table.contains("[H15] hot loop"), "{table}");
    assert!(!table.contains("p3 "), "{table}");

    let csv = output(&["--cpu", "westmere-ep", "--format", "csv"]).stdout;
    let text = String::from_utf8(csv.clone()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("preset,what,model,measured,published,deviation"));
    assert!(lines.clone().any(|l| l == "westmere-ep,\"cr3 load\",108,108,108,0"), "{text}");
    assert!(lines.any(|l| l == "westmere-ep,\"APIC read\",65,65,,0"), "nothing published: {text}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    let filed = output(&["--cpu", "westmere-ep", "--format", "csv", "--out", path.to_str().unwrap()]);
    assert!(filed.stdout.is_empty());
    assert_eq!(std::fs::read(&path).unwrap(), csv);
}

#[test]
fn a_set_cost_and_a_users_file_are_what_is_measured() {
    let measured = |arguments: &[&str]| {
        let rows: Value = serde_json::from_slice(&output(arguments).stdout).unwrap();
        let row = rows.as_array().unwrap().iter().find(|r| r["what"] == "invlpg").unwrap().clone();
        (row["preset"].as_str().unwrap().to_owned(), row["measured"].as_f64().unwrap())
    };
    let set = ["--cpu", "p3", "--set", "cost.invlpg=120", "--format", "json"];
    assert_eq!(measured(&set), ("p3".into(), 120.0));

    let dir = tempfile::tempdir().unwrap();
    let mine = include_str!("../../emu/costs/p3.toml")
        .replace("name = \"p3\"", "name = \"mine\"")
        .replace("invlpg = { cycles = 90,", "invlpg = { cycles = 101,");
    let path = file(dir.path(), "mine.toml", mine.as_bytes());
    assert_eq!(measured(&["--cpu", path.to_str().unwrap(), "--format", "json"]), ("mine".into(), 101.0));
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    for (arguments, words) in [
        (&["--cpu", "i486"][..], &["i486", "p3", "haswell-ep"][..]),
        (&["--set", "cost.warp=1"], &["cost.warp", "invlpg"]),
        (&["--set", "cost.invlpg=fast"], &["cost.invlpg", "nanoseconds"]),
        (&["--set", "cost.invlpg"], &["key=value"]),
    ] {
        let refused = output(arguments);
        let message = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(refused.stdout.is_empty(), "{arguments:?}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(words.iter().all(|w| message.contains(w)), "{arguments:?}: {message}");
    }
}
