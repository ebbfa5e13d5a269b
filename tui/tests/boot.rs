//! `boot`: exit status, console, statistics, and a report when the guest gets stuck.

mod common;

use common::{BASE, elf, file, shootdown, stderr};
use serde_json::Value;
use std::process::Output;

/// Boots a few bytes of 32-bit code.
fn boot(code: &[u8], options: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let kernel = file(dir.path(), "k.elf", &elf(BASE, code));
    shootdown().arg("boot").arg(kernel).args(["--mem", "16M", "--cpus", "2"]).args(options).output().unwrap()
}

/// Fails unless the guest got stuck, for this reason, with a report of both processors.
fn stuck(code: &[u8], options: &[&str], reason: &str) {
    let output = boot(code, options);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{reason}: {message}");
    for word in [reason, "cpu 0:", "cpu 1:", "eip", "cr3", "eflags", "interrupts", "activity", "requested"] {
        assert!(message.contains(word), "{reason}: no '{word}' in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// `mov dx, 0x3f8; mov al, 'o'; out dx, al; mov al, 'k'; out dx, al; mov al, '!'; out 0xe9, al;
/// mov eax, 0x10; out 0xf4, eax`
const SAY_AND_EXIT: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, 0xb0, b'o', 0xee, 0xb0, b'k', 0xee, 0xb0, b'!', 0xe6, 0xe9, 0xb8, 0x10, 0, 0, 0,
    0xe7, 0xf4,
];

#[test]
fn the_console_and_the_exit_status_are_the_guests() {
    let output = boot(SAY_AND_EXIT, &[]);
    assert_eq!(output.status.code(), Some(33), "{}", stderr(&output));
    assert_eq!(output.stdout, b"ok");
    assert!(!stderr(&output).contains('!'));
    let output = boot(SAY_AND_EXIT, &["--debug-port"]);
    assert_eq!(output.stdout, b"ok");
    assert!(stderr(&output).starts_with('!'), "{}", stderr(&output));
}

#[test]
fn guests_that_get_stuck_are_reported() {
    stuck(&[0x0f, 0x0b], &[], "triple fault"); // ud2 without an IDT
    stuck(&[0xfa, 0xf4], &[], "deadlock"); // cli; hlt
    stuck(&[0xeb, 0xfe], &["--patience", "1000000"], "livelock"); // jmp to itself
    stuck(&[0xe4, 0x50], &["--strict"], "no device at port 0x50"); // in al, 0x50
    stuck(&[0xa1, 0, 0, 0, 0xd0], &["--strict"], "0xd0000000"); // mov eax, [0xd0000000]
    stuck(&[0xb9, 0x34, 0x12, 0, 0, 0x0f, 0x32], &["--strict"], "0x1234"); // mov ecx, 0x1234; rdmsr
}

#[test]
fn what_is_missing_floats_unless_strict() {
    // in al, 0x50; and eax, 0xff; out 0xf4, eax
    let code = [0xe4, 0x50, 0x25, 0xff, 0, 0, 0, 0xe7, 0xf4];
    assert_eq!(boot(&code, &["--no-strict"]).status.code(), Some(0xff), "all ones, shifted, and one");
}

#[test]
fn a_limit_ends_the_run() {
    let output = boot(&[0xeb, 0xfe], &["--max-cycles", "100000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cycle limit"), "{}", stderr(&output));
}

#[test]
fn statistics_have_the_same_counters_for_each_processor_and_in_total() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stats.json");
    boot(SAY_AND_EXIT, &["--stats", path.to_str().unwrap(), "--append", "a=1"]);
    let stats: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(stats["schema"], 1);
    assert_eq!(stats["stop"]["reason"], "exit");
    assert_eq!(stats["stop"]["code"], 33);
    assert_eq!(stats["config"]["append"], "a=1");
    assert_eq!(stats["instructions"], 9);
    let cpus = stats["cpus"].as_array().unwrap();
    assert_eq!(cpus.len(), 2);
    for (name, total) in stats["totals"].as_object().unwrap() {
        if let Some(total) = total.as_u64() {
            let sum: u64 = cpus.iter().map(|c| c[name].as_u64().unwrap()).sum();
            assert_eq!(sum, total, "{name}");
        }
    }
    for cpu in cpus {
        for axis in ["activity", "kind"] {
            let axis = cpu["ledger"][axis].as_object().unwrap();
            let sum: u64 = axis.values().map(|v| v.as_u64().unwrap()).sum();
            assert_eq!(Some(sum), cpu["cycles"].as_u64());
        }
    }
}

/// A ROM of `kib` KiB: a far jump from the reset vector to its copy below 1 MiB, where `code` runs in real mode.
fn rom(kib: usize, code: &[u8]) -> Vec<u8> {
    let mut image = vec![0; kib << 10];
    let end = image.len();
    image[end - 0x1_0000..][..code.len()].copy_from_slice(code);
    // jmp far f000:0000
    image[end - 16..][..5].copy_from_slice(&[0xea, 0, 0, 0, 0xf0]);
    image
}

fn boot_rom(image: &[u8], options: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let rom = file(dir.path(), "bios.bin", image);
    shootdown()
        .arg("boot")
        .arg("--rom")
        .arg(rom)
        .args(["--mem", "16M", "--cpus", "1"])
        .args(options)
        .output()
        .unwrap()
}

#[test]
fn a_rom_starts_at_the_reset_vector_and_takes_no_write() {
    let code = [
        0xb0, 0x5a, 0xe6, 0x80, // mov al, 0x5a; out 0x80, al
        0xba, 0x90, 0x01, 0xb8, 0x34, 0x12, 0xef, // mov dx, 0x190; mov ax, 0x1234; out dx, ax
        0xba, 0x90, 0x02, 0xef, // mov dx, 0x290; out dx, ax: not asked for
        0x2e, 0xc6, 0x06, 0x00, 0x00, 0x07, // mov byte cs:[0], 7
        0x2e, 0xa0, 0x00, 0x00, // mov al, cs:[0]
        0x32, 0xe4, 0x66, 0x0f, 0xb7, 0xc0, // xor ah, ah; movzx eax, ax
        0x66, 0xe7, 0xf4, // out 0xf4, eax
    ];
    for kib in [64, 128, 256] {
        let output = boot_rom(&rom(kib, &code), &["--log-port", "0x80", "--log-port", "400"]);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some((0xb0 << 1 | 1) & 0xff), "{message}");
        assert!(message.starts_with("port 0x0080: 5a\nport 0x0190: 1234\n"), "{message}");
        assert!(!message.contains("port 0x0290"), "{message}");
    }
}

#[test]
fn what_is_no_rom_is_refused() {
    let message = stderr(&boot_rom(&[0; 5000], &[]));
    assert!(
        message.contains("bios.bin: 5000 bytes; accepted is a ROM of whole 4 KiB, at most 16 MiB"),
        "{message}"
    );
    let message = stderr(&boot_rom(&rom(64, &[]), &["--log-port", "0x10000"]));
    assert!(message.contains("accepted are 0 to 65535, or 0x0 to 0xffff"), "{message}");
    let message = stderr(&boot_rom(&rom(64, &[]), &["--append", "words"]));
    assert!(message.contains("cannot be used with"), "{message}");
}
