//! Disks that are full or may not be written: a clear error, and nothing finished is lost.
//!
//! Limits on the size of files need no privilege. Full and read-only file systems are mounted in a mount namespace of the
//! test's own (`unshare` of util-linux); where that is not allowed the test says that it did nothing. Modes of directories
//! are not used, since they do not hold for root.

use std::path::Path;
use std::process::{Command, Stdio};

/// Six small cells.
const STUDY: &str = "repeats = 3\n[set]\nops = 20\nwarmup = 5\nmem = \"64M\"\nnormal = \"16M\"\nwindow = 64\npages = 128\ncpus = 1\n\
    [vary]\nstrategy = [\"atomic\", \"batched\"]\n";

/// Runs a script of the shell in `dir` with the program as `$P`; exit status, all that it printed.
fn script(dir: &Path, mounts: bool, text: &str) -> (i32, String) {
    let mut command = if mounts { Command::new("unshare") } else { Command::new("sh") };
    if mounts {
        command.args(["--user", "--map-root-user", "--mount", "sh"]);
    }
    let text = format!("set -eu; exec 2>&1\n{text}");
    command.args(["-c", &text]).env("P", env!("CARGO_BIN_EXE_shootdown"));
    let done = command.current_dir(dir).stdin(Stdio::null()).output().unwrap();
    (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Can this test mount?
fn mounts(dir: &Path) -> bool {
    std::fs::create_dir(dir.join("mnt")).unwrap();
    let able = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "mnt"])
        .current_dir(dir)
        .output();
    let able = able.is_ok_and(|done| done.status.success());
    if !able {
        println!("SKIPPED: no mount namespace can be made here (unshare --user --mount)");
    }
    able
}

fn studied() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("study.toml"), STUDY).unwrap();
    dir
}

/// The bytes of a sweep that nothing disturbed.
fn whole(dir: &Path) -> Vec<u8> {
    let (status, told) = script(
        dir,
        false,
        "$P sweep plan study.toml --out whole; $P sweep run whole; $P sweep merge whole --out whole.jsonl",
    );
    assert_eq!(status, 0, "{told}");
    std::fs::read(dir.join("whole.jsonl")).unwrap()
}

/// The last line that is not empty.
fn last(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

#[test]
fn a_file_that_may_not_grow_is_told_and_the_sweep_goes_on_later() {
    let dir = studied();
    let wanted = whole(dir.path());
    let (status, told) =
        script(dir.path(), false, "$P sweep plan study.toml --out s; $P sweep run s --shard 1/2");
    assert_eq!(status, 0, "{told}");
    // No file above 1024 bytes (two blocks): the signal is ignored, so writing fails.
    let limited = |command: &str| script(dir.path(), false, &format!("trap '' XFSZ; ulimit -f 2; {command}"));
    let (status, told) = limited("$P sweep run s");
    assert_eq!(status, 2, "{told}");
    assert!(last(&told).contains("s/cells/") && last(&told).contains("File too large"), "{told}");
    let (status, told) = script(dir.path(), false, "$P sweep status s");
    assert!(status == 1 && told.contains("6 cells, 3 done, 0 failed, 3 missing"), "{told}");
    let (status, told) = script(dir.path(), false, "$P sweep run s; ls -A s/cells | wc -l");
    assert!(status == 0 && last(&told).trim() == "6", "nothing half-written is left: {told}");
    // Neither is a merge half-written, and what was there stays.
    std::fs::write(dir.path().join("all.jsonl"), "precious").unwrap();
    let (status, told) = limited("$P sweep merge s --out all.jsonl");
    assert!(
        status == 2 && last(&told).contains("all.jsonl: cannot write the merged results: File too large"),
        "{told}"
    );
    assert_eq!(std::fs::read(dir.path().join("all.jsonl")).unwrap(), b"precious");
    let (status, told) = limited("$P export histograms whole.jsonl --out h");
    assert!(status == 2 && last(&told).contains("cannot write h/"), "{told}");
    assert_eq!(script(dir.path(), false, "$P sweep merge s --out all.jsonl").0, 0);
    assert_eq!(std::fs::read(dir.path().join("all.jsonl")).unwrap(), wanted);
}

#[test]
fn a_full_disk_is_told_and_the_sweep_goes_on_with_more_room() {
    let dir = studied();
    if !mounts(dir.path()) {
        return;
    }
    let wanted = whole(dir.path());
    // Room for the plan and some cells.
    let (status, told) = script(
        dir.path(),
        true,
        "mount -t tmpfs -o size=40k tmpfs mnt
        $P sweep plan study.toml --out mnt/s
        if $P sweep run mnt/s --jobs 1; then exit 99; else echo status $?; fi
        ls mnt/s/cells | wc -l
        $P sweep status mnt/s || true
        mount -o remount,size=8m mnt
        $P sweep run mnt/s
        $P sweep merge mnt/s --out after.jsonl",
    );
    assert!(status == 0 && told.contains("\nstatus 2\n"), "{told}");
    assert!(told.contains("No space left on device") && told.contains("mnt/s/cells/"), "{told}");
    // What was finished before the disk was full is not run again.
    let before: usize =
        told.split("status 2\n").nth(1).unwrap().lines().next().unwrap().trim().parse().unwrap();
    assert!((1..6).contains(&before), "{told}");
    assert!(told.contains(&format!("6 cells, {before} done, 0 failed, {} missing", 6 - before)), "{told}");
    assert!(
        told.contains(&format!("{} cells run, 0 failed, {before} finished before", 6 - before)),
        "{told}"
    );
    assert_eq!(std::fs::read(dir.path().join("after.jsonl")).unwrap(), wanted);
}

#[test]
fn a_read_only_disk_is_told_and_what_is_there_can_be_read() {
    let dir = studied();
    if !mounts(dir.path()) {
        return;
    }
    let (status, told) = script(
        dir.path(),
        true,
        "mount -t tmpfs tmpfs mnt
        $P sweep plan study.toml --out mnt/s
        $P sweep run mnt/s --shard 1/2
        mount -o remount,ro mnt
        for command in 'run mnt/s' 'plan study.toml --out mnt/t' 'merge mnt/s --out mnt/all.csv'; do
          if $P sweep $command; then exit 99; else echo status $?; fi
        done
        $P sweep status mnt/s || true
        if $P compare --out mnt/c.json; then exit 99; else echo status $?; fi",
    );
    assert_eq!(status, 0, "{told}");
    let refused: Vec<_> = told.lines().filter(|line| line.contains("Read-only file system")).collect();
    assert_eq!(refused.len(), 3, "{told}");
    assert!(
        refused[0].contains("mnt/s/cells")
            && refused[1].contains("mnt/t")
            && refused[2].contains("mnt/c.json")
    );
    assert!(
        told.contains("3 of 6 cells are missing") && told.contains("6 cells, 3 done, 0 failed, 3 missing"),
        "{told}"
    );
    assert_eq!(told.matches("status 2\n").count(), 4, "{told}");
}

#[test]
fn what_is_no_folder_and_a_device_that_is_full() {
    let dir = studied();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), "").unwrap();
    for (command, wanted) in [
        ("sweep plan study.toml --out file", "file/plan.jsonl: Not a directory"),
        ("sweep plan study.toml --out file/s", "file/s/plan.jsonl: Not a directory"),
        ("sweep plan study.toml > /dev/full", "No space left on device"),
        ("list cpus > /dev/full", "No space left on device"),
        ("list cpus --format json > /dev/full", "No space left on device"),
    ] {
        let (status, told) = script(dir.path(), false, &format!("$P {command}"));
        assert!(
            status == 2 && told.contains(wanted) && told.lines().count() == 1,
            "{command}: {status} {told}"
        );
    }
    let (status, told) =
        script(dir.path(), false, "$P sweep plan study.toml --out s; : > s/cells; $P sweep run s");
    assert!(status == 2 && last(&told).contains(" s/cells: Not a directory"), "{told}");
    let small =
        "--mem 64M --cpus 1 --set normal=16M --set window=64 --set pages=128 --set ops=20 --set warmup=5";
    let (status, told) = script(dir.path(), false, &format!("$P run {small} --format json --out /dev/full"));
    assert!(status == 2 && last(&told).contains("cannot write /dev/full: No space left on device"), "{told}");
}
