//! `cargo xtask speed`: how fast other emulators run the benchmark kernel.
//!
//! The kernel prints `start LOAD` and `result LOAD 0x...`; the time between
//! the two lines is that of the load alone, without the machine's own start.
//! All machines have to print the same result.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::machine::{self, Boot, Outcome};
use crate::{bochs, boots, qemu};

/// A machine to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum On {
    /// QEMU's TCG
    Qemu,
    /// Bochs
    Bochs,
    /// This project's emulator (needs --shootdown)
    Shootdown,
}

/// What to measure.
pub struct Plan {
    /// The benchmark kernel.
    pub kernel: PathBuf,
    /// Its command line, such as `integer n=1000000`.
    pub load: String,
    pub on: Vec<On>,
    pub cpus: u32,
    pub shootdown: Option<PathBuf>,
}

/// Prints one line per machine: its name, seconds, result.
pub fn run(plan: &Plan) -> Result<()> {
    let boot = Boot {
        kernel: plan.kernel.clone(),
        modules: Vec::new(),
        append: plan.load.clone(),
        cpus: plan.cpus,
        mem: 64,
        limit: Duration::from_secs(300),
    };
    let mut first: Option<String> = None;
    for on in &plan.on {
        let (name, outcome) = match on {
            On::Qemu if !machine::installed(qemu::PROGRAM) => {
                eprintln!("qemu: left out, {} is not installed", qemu::PROGRAM);
                continue;
            }
            On::Bochs if !machine::installed(bochs::PROGRAM) => {
                eprintln!("bochs: left out, {} is not installed", bochs::PROGRAM);
                continue;
            }
            On::Qemu => ("qemu", qemu::run(&boot)?),
            On::Bochs => ("bochs", bochs::run(&boot, tempfile::tempdir()?.path())?),
            On::Shootdown => {
                let program = plan.shootdown.as_ref().context("--shootdown PROGRAM is missing")?;
                ("shootdown", boots::run_shootdown(program, &boot)?)
            }
        };
        let (seconds, result) = measured(&outcome).with_context(|| name.to_owned())?;
        println!("{name:<10} {seconds:>9.3} s  {result}");
        match &first {
            Some(first) if *first != result => bail!("{name} computed {result} instead of {first}"),
            Some(_) => {}
            None => first = Some(result),
        }
    }
    Ok(())
}

/// Seconds between the two lines, and the second.
fn measured(outcome: &Outcome) -> Result<(f64, String)> {
    let lines = outcome.serial.lines();
    let find = |prefix: &str| lines.iter().find(|(line, _)| line.contains(prefix));
    let (Some((_, start)), Some((result, end))) = (find("start "), find("result ")) else {
        bail!("the guest printed: {}", outcome.serial.text().trim());
    };
    Ok(((*end - *start).as_secs_f64(), result.clone()))
}
