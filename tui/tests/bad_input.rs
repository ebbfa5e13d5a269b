//! Bad usage and input: exit status 2 and one line that says what is wrong and what is accepted.

mod common;

use common::{BASE, elf, file, shootdown, stderr};
use std::path::Path;

/// Fails unless the program refuses with one line that has all of `words`.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = shootdown().args(arguments).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert_eq!(message.lines().count(), 1, "{arguments:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{arguments:?}: no '{word}' in: {message}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn kernels_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let good = elf(BASE, &[0xfa, 0xf4]);
    let mut wide = good.clone();
    wide[4] = 2;
    let mut headless = good.clone();
    headless[96..100].fill(0);
    for (name, bytes, words) in [
        ("notes.txt", b"no kernel".to_vec(), &["not an ELF file", "32-bit"][..]),
        ("empty", Vec::new(), &["not an ELF file"]),
        ("wide.elf", wide, &["64-bit", "32-bit"]),
        ("headless.elf", headless, &["Multiboot", "0x1badb002"]),
        ("far.elf", elf(0x4000_0000, &[0xf4]), &["outside RAM", "0x40000000"]),
        ("cut.elf", good[..80].to_vec(), &["ELF"]),
    ] {
        let path = file(dir.path(), name, &bytes);
        refused(&["boot", text(&path), "--mem", "16M"], &[&[name], words].concat());
    }
    refused(&["boot", text(&dir.path().join("absent.elf"))], &["absent.elf", "cannot read"]);
    refused(&["boot", text(dir.path())], &["cannot read"]);
}

#[test]
fn boot_options() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = file(dir.path(), "k.elf", &elf(BASE, &[0xfa, 0xf4]));
    let boot = |more: &[&str], words: &[&str]| refused(&[&["boot", text(&kernel)], more].concat(), words);
    boot(&["--module", "/no/such/module argument"], &["/no/such/module", "module"]);
    boot(&["--module", ""], &["--module", "path"]);
    boot(&["--cpus", "0"], &["cpus", "1 to 64"]);
    boot(&["--cpus", "65"], &["cpus", "1 to 64"]);
    boot(&["--cpus", "-1"], &["cpus", "1 to 64"]);
    boot(&["--mem", "17T"], &["17T", "1M to 64G"]);
    boot(&["--mem", "lots"], &["lots", "1M to 64G"]);
    boot(&["--cpu", "z80"], &["z80", "p3", "haswell-ep"]);
    boot(&["--cpu", "p3", "--cpus", "16"], &["p3", "1 to 15", "APIC ids"]);
    boot(&["--patience", "0"], &["patience", "none"]);
    boot(&["--stats", "/no/such/dir/s.json"], &["/no/such/dir/s.json", "cannot write"]);
    boot(&["--stats", text(dir.path())], &["cannot write"]);
}

#[test]
fn cells_that_cannot_be() {
    for command in ["run", "compare"] {
        let cell = |more: &[&str], words: &[&str]| refused(&[&[command], more].concat(), words);
        cell(&["--workload", "sleep"], &["sleep", "kmap-storm", "fork-cow"]);
        cell(&["--cpu", "z80"], &["z80", "p3", "haswell-ep"]);
        cell(&["--cpus", "0"], &["1 to 64"]);
        cell(&["--cpus", "65"], &["1 to 64"]);
        cell(&["--mem", "17T"], &["17T", "64G"]);
        cell(&["--set", "colour=red"], &["colour", "pages", "window", "cost.*"]);
        cell(&["--set", "cost.colour=1"], &["cost.colour", "invlpg"]);
        cell(&["--set", "pages"], &["'pages'", "key=value"]);
        cell(&["--set", "pages=0"], &["pages", "1 to"]);
        cell(&["--set", "tlb.adversary=evil"], &["none, fill, keep"]);
        cell(&["--set", "fault=z"], &["fault", "cr3-flush"]);
        cell(&["--config", "/no/such/file.toml"], &["/no/such/file.toml"]);
        cell(&["--out", "/no/such/dir/out.json"], &["/no/such/dir/out.json", "cannot write"]);
        // What only the guest can tell: it says why, and no file is left behind.
        cell(&["--set", "pages=4", "--set", "tasks=64"], &["pages=4", "tasks=64"]);
    }
    refused(&["run", "--strategy", "hope"], &["hope", "atomic", "deferred-seq"]);
    refused(&["compare", "--strategies", "atomic,hope"], &["hope", "atomic", "deferred-seq"]);
    refused(&["compare", "--strategies", "atomic,atomic"], &["twice"]);
    refused(&["compare", "--set", "fault=b"], &["fault", "deferred-seq"]);
}

#[test]
fn configuration_files() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content, words) in [
        ("key.toml", "colour = \"red\"\n", &["key.toml", "colour", "window"][..]),
        ("value.toml", "[kernel]\nwindow = 3\n", &["value.toml", "kernel.window", "16 to 65536"]),
        ("syntax.toml", "pages = 1\npages = \n", &["syntax.toml", "line 2"]),
        ("list.toml", "strategies = [\"hope\"]\n", &["list.toml", "hope"]),
    ] {
        let path = file(dir.path(), name, content.as_bytes());
        refused(&["compare", "--config", text(&path)], words);
    }
}

#[test]
fn an_existing_result_survives_a_run_that_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = file(dir.path(), "out.json", b"precious");
    refused(&["run", "--out", text(&out), "--set", "pages=4", "--set", "tasks=64"], &["pages=4"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    let new = dir.path().join("new.json");
    refused(&["run", "--out", text(&new), "--set", "pages=4", "--set", "tasks=64"], &["pages=4"]);
    assert!(!new.exists(), "an empty result is left behind");
}

#[test]
fn experiments() {
    refused(
        &["experiment", "reverse"],
        &["no experiment 'reverse'", "invlpg-vs-batch", "validation", "all, list"],
    );
    refused(
        &["experiment", "deferred", "--quick", "--write", "/no/such/dir"],
        &["--write", "/no/such/dir", "exists"],
    );
    refused(
        &["experiment", "deferred", "--quick", "--out", "/no/such/dir/a"],
        &["/no/such/dir/a", "cannot write"],
    );
}
