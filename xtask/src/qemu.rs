//! Boots images on QEMU.
//!
//! `-nodefaults`, a serial port on standard output and isa-debug-exit. One
//! core per socket: with a plain `-smp 4` QEMU's MP table lists one processor.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::machine::{self, Boot, Outcome, Serial};

/// The program.
pub const PROGRAM: &str = "qemu-system-i386";

/// Boots and waits for the end.
pub fn run(boot: &Boot) -> Result<Outcome> {
    boot.check_files()?;
    let mut command = Command::new(PROGRAM);
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-serial", "stdio"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
        .args(["-m", &format!("{}M", boot.mem)])
        .args(["-smp", &format!("{0},sockets={0},cores=1,threads=1", boot.cpus)])
        .arg("-kernel")
        .arg(&boot.kernel)
        .args(["-append", &boot.append]);
    if !boot.modules.is_empty() {
        // A comma would end the module's arguments; QEMU takes two for one.
        let modules: Vec<_> = boot.modules.iter().map(|m| m.replace(',', ",,")).collect();
        command.args(["-initrd", &modules.join(",")]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start {PROGRAM}"))?;
    let serial = Serial::default();
    let reader = child.stdout.take().map(|out| serial.follow(out));
    let ended = machine::wait(&mut child, boot.limit, || false);
    if let Some(reader) = reader {
        let _ = reader.join();
    }
    let status = ended.with_context(|| format!("on QEMU, after it printed:\n{}", serial.text()))?;
    Ok(Outcome { status: status.and_then(|status| status.code()), serial })
}
