//! `sweep`: killed, resumed, sharded and merged, the bytes are those of one run that nobody disturbed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Eight small cells.
const STUDY: &str = "repeats = 2\n[set]\nops = 40\nwarmup = 10\nmem = \"64M\"\nnormal = \"16M\"\nwindow = 64\npages = 128\n\
    [vary]\nstrategy = [\"atomic\", \"batched\"]\ncpus = [1, 2]\n";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    command.stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// Runs `sweep` with these words; exit status, standard output, standard error.
fn sweep(words: &[&str]) -> (i32, String, String) {
    let done = program().arg("sweep").args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().unwrap(), text(&done.stdout), text(&done.stderr))
}

fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A planned sweep below `dir`.
fn planned(dir: &Path, name: &str, study: &str) -> PathBuf {
    let (file, sweep_dir) = (dir.join(format!("{name}.toml")), dir.join(name));
    std::fs::write(&file, study).unwrap();
    let (status, _, told) = sweep(&["plan", word(&file), "--out", word(&sweep_dir)]);
    assert_eq!(status, 0, "{told}");
    sweep_dir
}

/// The merged bytes of a sweep that is whole.
fn merged(dir: &Path) -> Vec<u8> {
    let out = dir.join("merged.jsonl");
    let (status, _, told) = sweep(&["merge", word(dir), "--out", word(&out)]);
    assert_eq!(status, 0, "{told}");
    std::fs::read(out).unwrap()
}

/// Files of finished cells.
fn cells(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("cells")).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.retain(|p| !p.file_name().unwrap().to_string_lossy().starts_with('.'));
    paths.sort();
    paths
}

#[test]
fn shards_that_are_killed_and_run_again_give_the_bytes_of_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let whole = planned(dir.path(), "whole", STUDY);
    assert_eq!(sweep(&["run", word(&whole)]).0, 0);
    let wanted = merged(&whole);
    assert_eq!(wanted.iter().filter(|&&b| b == b'\n').count(), 8);
    for shards in 1..=7u64 {
        let parts = planned(dir.path(), &format!("parts{shards}"), STUDY);
        for shard in 1..=shards {
            let which = format!("{shard}/{shards}");
            // Killed after a while that differs from shard to shard, perhaps in the middle of a cell.
            let mut run = program();
            run.args(["sweep", "run", word(&parts), "--shard", &which]).stderr(Stdio::null());
            let mut child = run.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(20 + (shard * 37 + shards * 101) % 300));
            child.kill().unwrap();
            child.wait().unwrap();
            let (status, _, told) = sweep(&["run", word(&parts), "--shard", &which]);
            assert_eq!(status, 0, "{told}");
        }
        assert_eq!(merged(&parts), wanted, "{shards} shards");
    }
}

#[test]
fn what_does_not_belong_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let study = "[set]\nops = 20\nwarmup = 5\npages = 600\ntasks = 2\ncpus = 1\n[vary]\nseed = [1, 2]\n";
    let one = planned(dir.path(), "one", study);
    let out = dir.path().join("all.jsonl");
    let merge = |dirs: &[&Path]| {
        let mut words = vec!["merge"];
        words.extend(dirs.iter().map(|d| word(d)));
        words.extend(["--out", word(&out)]);
        let (status, _, told) = sweep(&words);
        assert!(status == 0 || !out.exists(), "nothing is written on failure");
        (status, told)
    };
    // Missing.
    assert_eq!(sweep(&["run", word(&one), "--shard", "1/2"]).0, 0);
    let (status, told) = merge(&[&one]);
    assert!(status == 2 && told.contains("1 of 2 cells are missing: "), "{told}");
    assert_eq!(sweep(&["status", word(&one)]).0, 1);
    // The other half from another directory.
    let two = planned(dir.path(), "two", study);
    assert_eq!(sweep(&["run", word(&two), "--shard", "2/2"]).0, 0);
    assert_eq!(merge(&[&one, &two]).0, 0);
    std::fs::remove_file(&out).unwrap();
    // Conflicting: the same cell with another figure.
    let mine = cells(&one)[0].clone();
    let text = std::fs::read_to_string(&mine).unwrap();
    std::fs::write(
        two.join("cells").join(mine.file_name().unwrap()),
        text.replacen("\"operations\":", "\"operations\":1", 1),
    )
    .unwrap();
    let (status, told) = merge(&[&one, &two]);
    assert!(status == 2 && told.contains("is different in"), "{told}");
    // Truncated.
    std::fs::write(&mine, &text[..text.len() / 2]).unwrap();
    let (status, told) = merge(&[&one, &two]);
    assert!(status == 2 && told.contains("it is cut off") && told.contains(word(&mine)), "{told}");
    // Foreign.
    std::fs::write(&mine, &text).unwrap();
    let stranger = one.join("cells/00112233445566778899.json");
    std::fs::write(&stranger, &text).unwrap();
    let (status, told) = merge(&[&one]);
    assert!(status == 2 && told.contains("none of this plan's") && told.contains(word(&stranger)), "{told}");
    let (_, listed, _) = sweep(&["status", word(&one)]);
    assert!(listed.contains("foreign: "), "{listed}");
}

#[test]
fn a_failing_cell_is_kept_with_its_report_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let study = "[set]\nops = 60\nwarmup = 5\npages = 1200\nwindow = 64\ncpus = 2\n[vary]\nstrategy = [\"atomic\", \"none\"]\n";
    let at = planned(dir.path(), "failing", study);
    let (status, _, told) = sweep(&["run", word(&at)]);
    assert!(status == 1 && told.contains("harmful uses") && told.contains("1 cells run, 1 failed"), "{told}");
    let text = String::from_utf8(merged(&at)).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let failed = lines.iter().find(|l| l["set"]["strategy"] == "none").unwrap();
    assert!(failed["failure"]["problems"][0].as_str().unwrap().contains("harmful uses"));
    assert_eq!(failed["report"]["rows"].as_array().unwrap().len(), 1, "its figures are kept too");
    // Finished is finished, unless asked for.
    assert!(sweep(&["run", word(&at)]).2.contains("0 cells run, 0 failed, 2 finished before"));
    assert!(
        sweep(&["run", word(&at), "--retry-failed"]).2.contains("0 cells run, 1 failed, 1 finished before")
    );
    // The tidy table.
    let csv = at.join("all.csv");
    assert_eq!(sweep(&["merge", word(&at), "--out", word(&csv)]).0, 0);
    let csv = std::fs::read_to_string(csv).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(&["id", "failure", "cpus", "ops", "pages", "strategy", "warmup"]));
    assert!(lines.iter().all(|l| l.len() == lines[0].len()));
}

#[test]
fn bad_input_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    for (text, wanted) in [
        ("[vary]\ncolour = [1]\n", "no key 'colour'"),
        ("[vary]\ncpus = { from = 3, to = 1 }\n", "range from 3 to 1 is empty"),
        ("[vary]\ncpus = []\n", "cpus: the list is empty"),
        ("[vary]\ncpus = [1, 2]\n[[exclude]]\ncpus = [1, 2]\n", "leaves no cell"),
        (
            "[vary]\ncpus = [1, 2]\n[[exclude]]\ncpus = 3\n",
            "[[exclude]] number 1: cpus never is 3; it is 1, 2",
        ),
        (
            "[[together]]\ncpus = [1, 2]\nwindow = [64, 128]\n[[exclude]]\ncpus = 1\nwindow = 128\n",
            "[[exclude]] number 1 matches no cell: its values never meet",
        ),
        ("[vary]\ncpus = [1, 2]\n[set]\ncpus = 4\n", "cpus is given twice"),
        ("repeats = 0\n", "repeats: 0 is not accepted"),
        ("[vary]\ncpus = [1,\n", "bad.toml, line "),
    ] {
        std::fs::write(&file, text).unwrap();
        let (status, _, told) = sweep(&["plan", word(&file)]);
        assert!(status == 2 && told.contains(wanted) && told.lines().count() == 1, "{told}");
    }
    let (status, _, told) = sweep(&["run", word(dir.path())]);
    assert!(status == 2 && told.contains("no sweep is planned here"), "{told}");
    // A plan of another version, whose ids mean other cells.
    let old = planned(dir.path(), "old", "[vary]\ncpus = [1, 2]\n");
    let plan = std::fs::read_to_string(old.join("plan.jsonl")).unwrap();
    let version = concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"");
    std::fs::write(old.join("plan.jsonl"), plan.replace(version, "\"version\":\"0.0.9\"")).unwrap();
    let out = dir.path().join("all.jsonl");
    for words in
        [&["run", word(&old)][..], &["status", word(&old)], &["merge", word(&old), "--out", word(&out)]]
    {
        let (status, _, told) = sweep(words);
        assert!(status == 2 && told.contains("planned by version 0.0.9"), "{told}");
        assert!(told.lines().count() == 1 && !out.exists(), "{told}");
    }
    // A cell of another version in a sound plan: an id that this plan does not have.
    let new = planned(dir.path(), "new", "[vary]\ncpus = [1, 2]\n");
    std::fs::create_dir(new.join("cells")).unwrap();
    std::fs::write(new.join("cells/0123456789abcdef0123.json"), "{}\n").unwrap();
    let (status, _, told) = sweep(&["merge", word(&new), "--out", word(&out)]);
    assert!(
        status == 2 && told.contains("none of this plan's") && told.contains("0123456789abcdef0123"),
        "{told}"
    );
    let (status, _, told) = sweep(&["run", word(dir.path()), "--shard", "3/2"]);
    assert!(status == 2 && told.contains("accepted are I/N"), "{told}");
}

#[test]
fn the_examples_can_be_planned() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sweeps");
    let mut count = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let (status, listed, told) = sweep(&["plan", word(&path)]);
        assert!(status == 0 && listed.lines().count() > 10, "{}: {told}", path.display());
        count += 1;
    }
    assert!(count >= 3);
}
