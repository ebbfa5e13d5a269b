//! The program under test, and guests a few bytes long.
#![allow(dead_code, reason = "each test file uses a part")]

use assert_cmd::Command;
use std::path::{Path, PathBuf};

/// Where a tiny guest is linked.
pub const BASE: u32 = 0x10_0000;

/// The program, without anything of the environment that could change its output.
pub fn shootdown() -> Command {
    let mut command = Command::cargo_bin("shootdown").expect("the binary is built");
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

/// Options that make a cell small.
pub const SMALL: &[&str] = &[
    "--mem",
    "64M",
    "--set",
    "normal=16M",
    "--set",
    "window=64",
    "--set",
    "pages=256",
    "--set",
    "ops=100",
    "--set",
    "warmup=20",
    "--set",
    "patience=200000000",
];

/// A Multiboot ELF: one segment at `at` with the header and, 16 bytes behind its start, `code`.
pub fn elf(at: u32, code: &[u8]) -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    let half = |v: &mut Vec<u8>, x: u16| v.extend(x.to_le_bytes());
    let word = |v: &mut Vec<u8>, x: u32| v.extend(x.to_le_bytes());
    let mut f = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    half(&mut f, 2); // executable
    half(&mut f, 3); // i386
    for x in [1, at + 16, 52, 0, 0] {
        word(&mut f, x); // version, entry, program headers, section headers, flags
    }
    for x in [52, 32, 1, 40, 0, 0] {
        half(&mut f, x); // sizes and counts
    }
    let size = 16 + code.len() as u32;
    for x in [1, 96, at, at, size, size, 7, 16] {
        word(&mut f, x); // PT_LOAD: offset, linear, physical, sizes, rwx, alignment
    }
    f.resize(96, 0);
    for x in [MAGIC, 0, MAGIC.wrapping_neg(), 0] {
        word(&mut f, x);
    }
    f.extend(code);
    f
}

/// Writes a file into a directory.
pub fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("a temporary file");
    path
}

/// Standard error of a finished program.
pub fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A Python that has some packages of PyPI, installed into the build's directory at its first use; `None`, said aloud, where
/// that cannot be had. `packages` are separated by spaces; `modules`, by commas, are what has to be importable.
pub fn python(packages: &str, modules: &str) -> Option<PathBuf> {
    use std::process::Command as Process;
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{}", packages.replace(' ', "-")));
    let python = venv.join("bin/python");
    let has = |python: &Path| {
        let import = Process::new(python).arg("-c").arg(format!("import {modules}")).output();
        import.is_ok_and(|done| done.status.success())
    };
    if !has(&python) {
        // What fails here is seen below.
        let _ = Process::new("python3").args(["-m", "venv"]).arg(&venv).output();
        let _ = Process::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(packages.split(' '))
            .output();
    }
    if has(&python) {
        return Some(python);
    }
    println!("SKIPPED: of Python {packages} could not be installed");
    None
}
