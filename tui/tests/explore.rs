//! `explore`: a planted fault is found, made smaller, and found again by the command line that is printed.

use assert_cmd::Command;

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
