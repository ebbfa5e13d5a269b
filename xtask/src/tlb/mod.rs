//! `cargo xtask tlb`: translations live and die here as on other machines.
//!
//! One image ([`image`]) runs all [`guests`]; QEMU and, when asked for, Bochs run the same file. What each guest
//! keeps has to be what the manual says. That it is so on every preset of ours is an ordinary test.

mod guests;
mod image;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use shootdown_emu::loader::BootRequest;
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Preset, Stop};

use crate::machine::{self, Boot};
use crate::{bochs, qemu};
use guests::GUESTS;

/// Another machine that runs the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// QEMU's TCG.
    Qemu,
    /// Bochs, as a P6.
    Bochs,
}

/// Megabytes of memory, and processors.
const MEMORY: u32 = 16;
const CPUS: u32 = 2;

/// Runs the guests on the judges that are installed and here on every preset; fails on a difference.
pub fn run(with_bochs: bool) -> Result<()> {
    let image = image::image()?;
    let dir = tempfile::tempdir()?;
    let kernel = dir.path().join("tlb.img");
    std::fs::write(&kernel, &image).with_context(|| format!("cannot write {}", kernel.display()))?;
    let boot = Boot {
        kernel,
        modules: Vec::new(),
        append: String::new(),
        cpus: CPUS,
        mem: MEMORY,
        limit: Duration::from_secs(120),
    };
    let mut failed = 0;
    for preset in Preset::names() {
        failed += judge(preset, None, &here(&image, preset)?);
    }
    if machine::installed(qemu::PROGRAM) {
        failed += judge("qemu", Some(Judge::Qemu), &qemu::run(&boot)?.serial.text());
    } else {
        eprintln!("qemu: left out, {} is not installed", qemu::PROGRAM);
    }
    if with_bochs && machine::installed(bochs::PROGRAM) {
        let text = bochs::run(&boot, &dir.path().join("bochs"))?.serial.text();
        failed += judge("bochs", Some(Judge::Bochs), &text);
    } else {
        let why = if with_bochs { "is not installed" } else { "was not asked for (--bochs)" };
        eprintln!("bochs: left out, it {why}");
    }
    if failed > 0 {
        bail!("{failed} guests differ");
    }
    Ok(())
}

/// What the image prints on a machine of ours.
fn here(image: &[u8], preset: &str) -> Result<String> {
    let config = MachineConfig {
        cpus: CPUS as usize,
        memory: u64::from(MEMORY) << 20,
        ..MachineConfig::new(Preset::builtin(preset).context("no such preset")?)
    };
    let memory = config.memory;
    let mut machine = Machine::new(config)?;
    machine.load_multiboot(&BootRequest {
        kernel_name: "tlb.img",
        kernel: image,
        arguments: "",
        modules: &[],
        memory,
    })?;
    let stop = machine.run(&mut Nobody);
    let text = String::from_utf8_lossy(&machine.take_console()).into_owned();
    if stop != Stop::Exit(0x10) {
        bail!("{preset}: {stop:?} after\n{text}");
    }
    Ok(text)
}

/// Holds what a machine printed against what it must print; says what differs and how many do.
fn judge(machine: &str, judge: Option<Judge>, text: &str) -> usize {
    let mut failed = 0;
    for (number, guest) in GUESTS.iter().enumerate() {
        let other = guest.elsewhere.iter().find(|e| Some(e.0) == judge);
        let wanted = image::words(other.map_or(guest.outcome, |e| e.1));
        let head = format!("guest {number:08x} ");
        let got = text.lines().find_map(|line| line.trim().strip_prefix(&head)).unwrap_or("nothing");
        if got != wanted {
            failed += 1;
            println!("FAILED {machine:<12} {}: {got} instead of {wanted}", guest.name);
        } else if let Some((_, _, why)) = other {
            println!("known  {machine:<12} {}: {why}", guest.name);
        }
    }
    println!("{machine}: {} passed, {failed} failed", GUESTS.len() - failed);
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_give_what_the_manual_says_on_every_preset() {
        let image = image::image().unwrap();
        for preset in Preset::names() {
            assert_eq!(judge(preset, None, &here(&image, preset).unwrap()), 0, "{preset}");
        }
    }

    #[test]
    fn another_outcome_is_noticed() {
        assert_eq!(judge("nothing", None, ""), GUESTS.len());
    }
}
