//! The screens without a terminal: what stands on them against the results of `run` and
//! `compare`, scripts of keys, files that are written.

mod common;

use common::{SMALL, shootdown};
use serde_json::Value;

/// What `tui --headless` prints.
fn headless(arguments: &[&str]) -> String {
    let mut command = shootdown();
    command.env("LANG", "C.UTF-8").env("TERM", "xterm").env("XDG_CONFIG_HOME", "/nonexistent");
    command.env_remove("LC_ALL").env_remove("LC_CTYPE").env_remove("COLORTERM");
    let output = command.arg("tui").args(SMALL).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("screens are UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    let output =
        shootdown().args(arguments).args(SMALL).args(["--format", "json"]).output().expect("it runs");
    serde_json::from_slice(&output.stdout).expect("a document")
}

#[test]
fn the_same_keys_give_the_same_bytes() {
    let arguments = ["--headless", "12", "--keys", ". . . n s s t b . . space", "--size", "100x30"];
    assert_eq!(headless(&arguments), headless(&arguments));
}

#[test]
fn figures_of_a_finished_run_are_those_of_run() {
    let document = json(&["run"]);
    let row = &document["rows"][0];
    let shown =
        headless(&["--headless", "40", "--last", "--size", "160x50", "--keys", ". . . n n s s s t . space"]);
    assert!(shown.contains("FINISHED"), "{shown}");
    let grouped = |n: &Value| {
        let digits = n.as_u64().expect("a number").to_string();
        let parts: Vec<_> =
            digits.as_bytes().rchunks(3).rev().map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        parts.join(",")
    };
    for (label, key) in [
        ("operations", "operations"),
        ("kmaps", "kmaps"),
        ("wraps", "wraps"),
        ("flush IPIs", "flush_ipis"),
        ("invlpg", "invlpg"),
        ("cr3 loads", "cr3_loads"),
        ("global flushes", "global_flushes"),
        ("stale uses", "stale_uses"),
    ] {
        let text = format!("{label} {}", grouped(&row[key]));
        let followed = shown.find(&text).map(|at| shown[at + text.len()..].chars().next());
        assert!(matches!(followed, Some(None | Some(' ' | '\n'))), "{text}\n{shown}");
    }
    for (label, key) in [
        ("kmap ", "kmap_latency"),
        ("shootdown ", "initiator_latency"),
        ("its target ", "target_latency"),
        ("exposure ", "exposure"),
    ] {
        let line = shown.lines().find(|l| l.contains(label) && !l.contains("ends:")).unwrap_or_default();
        // The last of the line with this label: the tab has a word in common.
        let line = shown
            .lines()
            .rfind(|l| l.contains(&format!(" {label}")) && l.contains(&grouped(&row[key]["p99"])))
            .unwrap_or(line);
        for part in ["count", "p50", "p99", "max"] {
            let n = row[key][part].as_u64().expect("a number");
            let text =
                if n < 1_000_000 { grouped(&row[key][part]) } else { format!("{:.2}M", n as f64 / 1e6) };
            assert!(line.split_whitespace().any(|w| w == text), "{label}{part}: {text} in {line}\n{shown}");
        }
    }
    let all: f64 =
        row["ledger"]["activity"].as_object().expect("activities").values().filter_map(Value::as_f64).sum();
    for (name, n) in row["ledger"]["activity"].as_object().expect("activities") {
        let share = 100.0 * n.as_f64().expect("a number") / all;
        if share >= 0.05 {
            let text = format!("{name} {share:.1}%");
            assert!(shown.contains(&text), "{text}\n{shown}");
        }
    }
}

#[test]
fn the_result_that_is_written_is_that_of_compare_to_the_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("result.json");
    let keys = format!("{} E ctrl-u '{}' enter", ". ".repeat(30), out.display());
    headless(&["--strategies", "atomic,batched", "--headless", "36", "--keys", &keys, "--last"]);
    let written = std::fs::read(&out).expect("the result was written");
    let expected = shootdown()
        .args(["compare", "--strategies", "atomic,batched", "--format", "json"])
        .args(SMALL)
        .output()
        .expect("it runs");
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&expected.stdout));
}

#[test]
fn going_back_and_on_changes_nothing() {
    let finished = |keys: &str| {
        let frames = keys.split_whitespace().count().to_string();
        headless(&["--headless", &frames, "--last", "--size", "160x50", "--keys", keys])
    };
    let on = " .".repeat(30);
    let back = finished(&format!(". . . . space b space . . space g ctrl-u '3M' enter b space{on}"));
    assert_eq!(back, finished(&format!(".{on}")));
}

#[test]
fn a_screen_can_be_written_in_every_form() {
    let directory = tempfile::tempdir().expect("a directory");
    for (form, begin) in [("txt", "  1 Overview"), ("svg", "<svg "), ("csv", "cpu,state,"), ("json", "{\n")] {
        let out = directory.path().join(format!("screen.{form}"));
        let keys = format!(". . . e ctrl-u '{}' enter", out.display());
        headless(&["--headless", "8", "--keys", &keys, "--last"]);
        let text = std::fs::read_to_string(&out).unwrap_or_else(|e| panic!("{form}: {e}"));
        assert!(text.starts_with(begin), "{form}: {text}");
    }
}

#[test]
fn a_run_that_does_not_get_on_stops_and_says_so() {
    let on = ". . . . . . . space";
    let shown = headless(&["--headless", "9", "--last", "--set", "patience=1000", "--keys", on]);
    assert!(shown.contains("LIVELOCK"), "{shown}");
    assert!(shown.contains("livelock: no progress for 1000 cycles"), "{shown}");
    assert!(shown.contains("the run has ended; r starts it anew, b goes back"), "{shown}");
}

#[test]
fn small_terminals_are_told() {
    for (size, fits) in [("40x10", false), ("59x24", false), ("80x14", false), ("60x15", true)] {
        let shown = headless(&["--headless", "1", "--size", size, "--last"]);
        assert_eq!(!shown.contains("too small"), fits, "{size}: {shown}");
    }
}

#[test]
fn without_colours_and_blocks_there_are_letters() {
    let mut command = shootdown();
    command.env("LC_ALL", "C").env("NO_COLOR", "1").env("XDG_CONFIG_HOME", "/nonexistent");
    let output = command
        .arg("tui")
        .args(SMALL)
        .args(["--headless", "8", "--last", "--size", "120x30"])
        .output()
        .expect("it runs");
    assert!(output.stdout.is_ascii(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("kkkk"), "{text}");
}

#[test]
fn mistakes_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tui.toml");
    std::fs::write(&file, "colors = \"none\"\n").expect("the file can be written");
    let file = file.display().to_string();
    for (arguments, told) in [
        (vec!["--headless", "1", "--keys", "spcae"], "no key 'spcae'"),
        (vec!["--headless", "1", "--size", "80"], "as 80x24"),
        (vec!["--headless", "1", "--screen", "oversight"], "no screen 'oversight'; accepted are overview"),
        (vec!["--headless", "1", "--options", &file], "no key 'colors'; accepted are colours"),
        (vec!["--strategies", "atomic,batched,none,lowmem,deferred-seq"], "accepted are 1 to 4"),
        (vec![], "no terminal"),
    ] {
        let output = shootdown()
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .arg("tui")
            .args(&arguments)
            .output()
            .expect("it runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(told) && message.lines().count() == 1, "{arguments:?}: {message}");
    }
}
