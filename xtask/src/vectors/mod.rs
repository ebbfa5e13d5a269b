//! `cargo xtask capture-vectors`: single instructions run on the processor of this machine, in 32-bit user mode, as cases
//! for `cargo test -p shootdown-emu --test conformance`.
//!
//! ```text
//!  forms.rs -> generate.rs, operands.rs, x87.rs -> tracee.rs: the processor -> undefined.rs -> a line of the file
//!  every       a case, from the seed               a child under ptrace        what is not
//!  opcode                                                                      compared
//! ```
//!
//! The same seed on the same processor gives the same file. It is described, with what is left out, in
//! `emu/tests/vectors/README.md`.

mod case;
mod forms;
mod generate;
mod image;
mod operands;
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
mod tracee;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
#[path = "no_tracee.rs"]
mod tracee;
mod undefined;
mod unit;
mod x87;

use crate::random::Random;
use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use iced_x86::Mnemonic;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What `cargo xtask capture-vectors` is asked.
pub struct Options<'a> {
    /// Where the randomness begins.
    pub seed: u64,
    /// Cases of a form.
    pub count: u32,
    /// Cases of a form of the x87 unit.
    pub x87: u32,
    /// The file.
    pub out: &'a Path,
}

/// Random bytes that may make no case, for each that is wanted.
const PATIENCE: u32 = 200;

/// Captures the set.
pub fn run(options: &Options) -> Result<()> {
    let mut tracee = tracee::Tracee::start()?;
    let file =
        File::create(options.out).with_context(|| format!("cannot create {}", options.out.display()))?;
    let mut file = GzBuilder::new().write(BufWriter::new(file), Compression::best());
    let header = json!({
        "captured": {
            "processor": tracee::processor()?, "seed": options.seed, "count": options.count, "x87": options.x87,
        }
    });
    writeln!(file, "{header}")?;
    let forms = forms::all();
    let mut cases = 0;
    for (n, form) in forms.iter().enumerate() {
        // Each form has its own randomness: another form more or less leaves the rest as it is.
        let name = form.name();
        let mut random =
            Random::new(name.bytes().fold(options.seed, |h, b| h.wrapping_mul(0x100_0193) ^ u64::from(b)));
        let wanted = if form.x87() { options.x87 } else { options.count };
        let mut found = 0;
        for _ in 0..wanted * PATIENCE {
            if found == wanted {
                break;
            }
            let Some(case) = generate::case(&mut random, form) else { continue };
            if undefined::useless(&case) {
                continue;
            }
            let Some(after) = tracee.run(&case).with_context(|| format!("{case:x?}"))? else { continue };
            let open = undefined::after(&case, &after);
            let loads_flags = matches!(
                form.code.mnemonic(),
                Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Iret | Mnemonic::Iretd
            );
            writeln!(file, "{}", case::line(&case, &after, &open, loads_flags))?;
            found += 1;
        }
        if found < wanted {
            bail!("{name} ({n}): only {found} of {wanted} cases could be made");
        }
        cases += found;
    }
    file.finish()?.flush()?;
    let bytes = options.out.metadata()?.len();
    println!("{}: {cases} cases of {} forms, {bytes} bytes", options.out.display(), forms.len());
    Ok(())
}
