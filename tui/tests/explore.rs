//! `explore`: a planted fault is found, made smaller, and found again by the command line that is printed.

use assert_cmd::Command;
use serde_json::{Value, json};

/// A small cell in which races are run often, and a guest that no longer gets on is soon ended.
const CELL: [&str; 18] = [
    "--set",
    "mem=64M",
    "--set",
    "normal=16M",
    "--set",
    "window=16",
    "--set",
    "pages=64",
    "--set",
    "ops=60",
    "--set",
    "warmup=8",
    "--set",
    "think=0",
    "--set",
    "tlb.adversary=fill",
    "--set",
    "patience=50000000",
];

fn shootdown(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::cargo_bin("shootdown").expect("built").args(arguments).output().expect("run");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

fn explore(more: &[&str]) -> (Option<i32>, String) {
    shootdown(&[&["explore"], &CELL[..], more].concat())
}

/// The value of a key on the last line.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .last()?
        .rsplit(' ')
        .filter_map(|word| word.split_once('='))
        .find(|(k, _)| *k == key)
        .map(|(_, v)| v)
}

#[test]
fn a_sound_cell_stays_sound_under_every_seed() {
    assert_eq!(explore(&["--seeds", "4"]), (Some(0), "0 of 4 seeds went wrong\n".into()));
}

#[test]
fn a_fault_is_found_and_its_smallest_cell_can_be_run_again() {
    let (status, text) = explore(&["--seeds", "3", "--set", "fault=cr3-flush"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("harmful uses of stale translations"), "{text}");
    assert!(text.contains("3 of 3 seeds went wrong"), "{text}");
    let ops: u32 =
        value(&text, "ops").and_then(|ops| ops.parse().ok()).expect("the operations of the smallest cell");
    assert!(ops < 60, "{text}");
    let command: Vec<_> = text.lines().last().unwrap_or_default().split_whitespace().skip(1).collect();
    assert_eq!(command.first(), Some(&"run"), "{text}");
    let (status, again) = shootdown(&[&command[..], &["--format", "json"]].concat());
    assert_eq!(status, Some(1), "{again}");
    assert!(!again.contains("\"harmful_uses\": 0,"), "{again}");
}

#[test]
fn the_first_seed_that_goes_wrong_ends_the_search_if_that_is_asked_for() {
    let (status, text) = explore(&["--seeds", "5", "--first", "--set", "fault=cr3-flush", "--seed", "9"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.starts_with("seed 9: "), "{text}");
    assert!(text.contains("1 of 1 seeds went wrong"), "{text}");
    assert_eq!(value(&text, "seed"), Some("9"), "{text}");
}

/// Both forms say the same; the document is enough to run the cell and its smallest form again.
#[test]
fn the_json_document_says_what_the_text_says() {
    let fault = ["--seeds", "2", "--set", "fault=cr3-flush", "--seed", "9"];
    let (status, text) = explore(&fault);
    let (again, document) = explore(&[&fault[..], &["--format", "json"]].concat());
    assert_eq!((status, again), (Some(1), Some(1)), "{document}");
    let document: Value = serde_json::from_str(&document).expect("one JSON document");
    assert_eq!((&document["schema"], &document["asked"]), (&json!(1), &json!(2)));
    assert_eq!((&document["seeds"], &document["interrupted"]), (&json!([9, 10]), &json!(false)));
    assert_eq!(document["config"]["strategies"], json!(["batched"]));
    assert_eq!(document["config"]["parameters"]["ops"], "60", "the cell, not the smallest");
    let found = document["found"].as_array().expect("a list");
    assert_eq!(found.iter().map(|f| &f["seed"]).collect::<Vec<_>>(), [9, 10]);
    for f in found {
        for problem in f["problems"].as_array().expect("a list") {
            let line = format!("seed {}: {}\n", f["seed"], problem.as_str().expect("text"));
            assert!(text.contains(&line), "no '{line}' in:\n{text}");
        }
    }
    let smallest = &document["smallest"];
    let command = smallest["command"].as_str().expect("a command");
    assert_eq!(text.lines().last().map(str::trim), Some(command));
    assert_eq!(smallest["seed"], 9);
    assert_eq!(smallest["changed"]["ops"].to_string(), value(&text, "ops").expect("operations"));
    assert!(smallest["problems"].as_array().is_some_and(|p| !p.is_empty()));

    let (status, sound) = explore(&["--seeds", "2", "--format", "json"]);
    let sound: Value = serde_json::from_str(&sound).expect("one JSON document");
    assert_eq!((status, &sound["seeds"], &sound["found"]), (Some(0), &json!([1, 2]), &json!([])));
    assert_eq!(sound["smallest"], Value::Null);
}

/// With `--first` the seeds before the one that goes wrong count as tried, those after it do not.
#[test]
fn the_seeds_tried_end_with_the_first_that_goes_wrong() {
    let (_, text) = explore(&["--seeds", "5", "--first", "--format", "json", "--set", "fault=cr3-flush"]);
    let document: Value = serde_json::from_str(&text).expect("one JSON document");
    let first = &document["found"][0]["seed"];
    let seeds = document["seeds"].as_array().expect("a list");
    assert_eq!((seeds.first(), seeds.last()), (Some(&json!(1)), Some(first)), "{text}");
    assert_eq!((document["found"].as_array().map(Vec::len), &document["asked"]), (Some(1), &json!(5)));
}
