//! What the machines that boot our images have in common: what is booted, and what came of it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A kernel with what a boot loader gives it.
#[derive(Clone)]
pub struct Boot {
    /// The Multiboot kernel.
    pub kernel: PathBuf,
    /// Modules, each a file and its arguments separated by spaces.
    pub modules: Vec<String>,
    /// The command line, without the file's name.
    pub append: String,
    /// Number of processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub mem: u32,
    /// When to give up.
    pub limit: Duration,
}

/// What the guest printed, and how it ended.
pub struct Outcome {
    /// Everything that came over the serial port.
    pub serial: Serial,
    /// The machine's exit status, where it has one to give.
    pub status: Option<i32>,
}

impl Boot {
    /// Splits a module into its file and its arguments.
    pub fn module_parts(module: &str) -> (&Path, &str) {
        let (file, arguments) = module.split_once(' ').unwrap_or((module, ""));
        (Path::new(file), arguments)
    }

    /// Fails when a file is missing, before a machine is started over it.
    pub fn check_files(&self) -> Result<()> {
        let modules = self.modules.iter().map(|m| Boot::module_parts(m).0);
        for file in std::iter::once(self.kernel.as_path()).chain(modules) {
            if !file.is_file() {
                bail!("no file {}", file.display());
            }
        }
        Ok(())
    }
}

/// A growing text of which another thread adds the end, with the time of each line's last byte.
#[derive(Clone, Default)]
pub struct Serial(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    /// End of each complete line in `bytes`, and when it was there.
    lines: Vec<(usize, Instant)>,
}

impl Serial {
    /// Reads a stream to its end in a thread of its own.
    pub fn follow(&self, mut from: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let into = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                into.add(&buffer[..count]);
            }
        })
    }

    fn add(&self, bytes: &[u8]) {
        let now = Instant::now();
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            received.bytes.push(byte);
            if byte == b'\n' {
                let end = received.bytes.len();
                received.lines.push((end, now));
            }
        }
    }

    /// The complete lines so far, without their ends.
    pub fn lines(&self) -> Vec<(String, Instant)> {
        let received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = 0;
        received
            .lines
            .iter()
            .map(|&(end, at)| {
                let line = String::from_utf8_lossy(&received.bytes[start..end]);
                start = end;
                (line.trim().to_owned(), at)
            })
            .collect()
    }

    /// All text so far.
    pub fn text(&self) -> String {
        let received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&received.bytes).replace('\r', "")
    }
}

/// Waits until a machine ends, `done` says that it may be ended, or the time is up.
pub fn wait(
    child: &mut Child,
    limit: Duration,
    mut done: impl FnMut() -> bool,
) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the machine")? {
            return Ok(Some(status));
        }
        let over = start.elapsed() > limit;
        if over || done() {
            // It may end by itself in between; that is as good.
            let _ = child.kill();
            let status = child.wait().context("cannot wait for the machine")?;
            if over {
                bail!("not finished after {} s", limit.as_secs());
            }
            return Ok(status.code().map(|_| status));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Is there a program of this name?
pub fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_complete_ones() {
        let serial = Serial::default();
        serial.follow(&b"one\r\ntwo\nthr"[..]).join().unwrap();
        let lines: Vec<_> = serial.lines().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(serial.text(), "one\ntwo\nthr");
    }

    #[test]
    fn module_is_split_at_the_first_space() {
        let (file, arguments) = Boot::module_parts("a/guest.elf kmap-storm tasks=2");
        assert_eq!(file, Path::new("a/guest.elf"));
        assert_eq!(arguments, "kmap-storm tasks=2");
        assert_eq!(Boot::module_parts("x").1, "");
    }
}
