//! Boots images on Bochs 2.7, from a GRUB CD, without a screen.
//!
//! Bochs has no boot loader and no isa-debug-exit. So the kernel lies on a CD
//! with GRUB, which hands it its command line and modules as QEMU does (each
//! string begins with the file's name), and the end is noticed by what the
//! guest prints, or by its writing `Shutdown` to port 0x8900. The serial port
//! is a TCP connection on the loopback device: what Bochs writes into a file
//! stays in its buffers when it is killed.
//!
//! Debian's Bochs comes with SMP, with its debugger (so it wants a `continue`)
//! and with no display but `rfb` (VNC) and wx; `rfb` needs no viewer when its
//! timeout is 0.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::machine::{self, Boot, Outcome, Serial};

/// The program.
pub const PROGRAM: &str = "bochs";

/// Emulated instructions per second. Only for the length of the BIOS's time-outs: few make a
/// boot quick, as guest time is counted in instructions.
const IPS: u32 = 5_000_000;

/// Writes a bootable CD with GRUB, the kernel and its modules.
pub fn make_cd(boot: &Boot, out: &Path) -> Result<()> {
    boot.check_files()?;
    let tree = tempfile::tempdir()?;
    let dir = tree.path().join("boot");
    fs::create_dir_all(dir.join("grub"))?;
    fs::copy(&boot.kernel, dir.join("kernel"))
        .with_context(|| format!("cannot read {}", boot.kernel.display()))?;
    let mut script = String::from(
        "set timeout=0\n\
         serial --unit=0 --speed=115200\n\
         terminal_output serial\n\
         menuentry guest {\n",
    );
    script.push_str(&line("multiboot", "kernel", &boot.kernel, &boot.append)?);
    for (number, module) in boot.modules.iter().enumerate() {
        let (file, arguments) = Boot::module_parts(module);
        let name = format!("module{number}");
        fs::copy(file, dir.join(&name)).with_context(|| format!("cannot read {}", file.display()))?;
        script.push_str(&line("module", &name, file, arguments)?);
    }
    script.push_str("boot\n}\n");
    fs::write(dir.join("grub/grub.cfg"), script)?;
    let made = Command::new("grub-mkrescue")
        .arg("-o")
        .arg(out)
        .arg(tree.path())
        .output()
        .context("cannot start grub-mkrescue (packages grub-pc-bin, xorriso, mtools)")?;
    if !made.status.success() {
        bail!("grub-mkrescue failed: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    Ok(())
}

/// A line of GRUB's script: the guest's string begins with the file's own name.
fn line(command: &str, name: &str, file: &Path, arguments: &str) -> Result<String> {
    let own = file.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!("{command} /boot/{name} {}", quote(&own)?);
    for word in arguments.split_whitespace() {
        text.push(' ');
        text.push_str(&quote(word)?);
    }
    text.push('\n');
    Ok(text)
}

/// A word that GRUB's shell leaves alone.
fn quote(word: &str) -> Result<String> {
    if word.contains(['\'', '\n']) {
        bail!("`{word}`: GRUB's script cannot hold a quote");
    }
    Ok(format!("'{word}'"))
}

/// The configuration. Paths are relative to the directory that Bochs runs in.
fn bochsrc(boot: &Boot, serial: &str) -> String {
    format!(
        "config_interface: textconfig\n\
         display_library: rfb, options=\"timeout=0\"\n\
         plugin_ctrl: speaker=0, gameport=0, parallel=0\n\
         megs: {mem}\n\
         romimage: file=$BXSHARE/BIOS-bochs-latest\n\
         vgaromimage: file=$BXSHARE/VGABIOS-lgpl-latest\n\
         cpu: model=p3_katmai, count={cpus}, ips={IPS}, reset_on_triple_fault=0, ignore_bad_msrs=1\n\
         clock: sync=none, time0=1000000000\n\
         ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n\
         ata0-master: type=cdrom, path=cd.iso, status=inserted\n\
         boot: cdrom\n\
         log: bochs.log\n\
         panic: action=fatal\n\
         error: action=report\n\
         info: action=report\n\
         debug: action=ignore\n\
         port_e9_hack: enabled=1\n\
         com1: enabled=1, mode=socket-client, dev={serial}\n",
        mem = boot.mem,
        cpus = boot.cpus,
    )
}

/// Does this Bochs have the debugger compiled in?
pub fn has_debugger() -> Result<bool> {
    let help = Command::new(PROGRAM)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {PROGRAM}"))?;
    let text = [help.stdout, help.stderr].concat();
    Ok(String::from_utf8_lossy(&text).contains("-rc filename"))
}

/// Lines after which nothing more comes from our kernels.
fn is_last_line(line: &str) -> bool {
    line.starts_with("operations ")
        || line.starts_with("result ")
        || line.contains("the first process ended with status")
        || line.starts_with("Press any key to continue")
}

/// Boots and waits for the end. `dir` keeps the CD (`cd.iso`), the configuration, Bochs's log, what the guest
/// wrote to port 0xE9 (`e9.txt`, among Bochs's own messages) and to the serial port (`serial.txt`).
pub fn run(boot: &Boot, dir: &Path) -> Result<Outcome> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    make_cd(boot, &dir.join("cd.iso"))?;
    let listener = TcpListener::bind("127.0.0.1:0").context("no port on the loopback device")?;
    let address = listener.local_addr()?;
    fs::write(dir.join("bochsrc"), bochsrc(boot, &address.to_string()))?;
    fs::write(dir.join("continue"), "continue\n")?;
    let messages = fs::File::create(dir.join("e9.txt"))?;
    let mut command = Command::new(PROGRAM);
    command.args(["-q", "-f", "bochsrc"]);
    if has_debugger()? {
        command.args(["-rc", "continue"]);
    }
    let mut child = command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(messages.try_clone()?)
        .stdout(messages)
        .spawn()
        .with_context(|| format!("cannot start {PROGRAM}"))?;
    let serial = Serial::default();
    listener.set_nonblocking(true)?;
    let mut readers = Vec::new();
    let mut last_seen = None;
    let ended = machine::wait(&mut child, boot.limit, || {
        if let Ok((stream, _)) = listener.accept()
            && stream.set_nonblocking(false).is_ok()
        {
            readers.push(serial.follow(stream));
        }
        // A moment more for what follows the last line.
        if last_seen.is_none() {
            let lines = serial.lines();
            last_seen = lines.into_iter().find(|(line, _)| is_last_line(line));
        }
        last_seen.as_ref().is_some_and(|(_, at)| at.elapsed() > Duration::from_millis(300))
    });
    for reader in readers {
        let _ = reader.join();
    }
    fs::write(dir.join("serial.txt"), serial.text())?;
    ended.with_context(|| format!("on Bochs, after it printed:\n{}", serial.text()))?;
    if serial.text().is_empty() {
        let log = fs::read_to_string(dir.join("e9.txt")).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(5).collect();
        bail!(
            "Bochs ended without a word from the guest; its last messages, newest first: {}",
            tail.join(" | ")
        );
    }
    // Bochs's own status says nothing about the guest.
    Ok(Outcome { serial, status: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_begin_with_the_file_name() {
        let text = line("module", "module0", Path::new("a/guest.elf"), "kmap-storm tasks=2").unwrap();
        assert_eq!(text, "module /boot/module0 'guest.elf' 'kmap-storm' 'tasks=2'\n");
        assert!(quote("it's").is_err());
    }
}
