//! In the place of `tracee.rs` where there is no such processor or system.

use super::case::{After, Case};
use anyhow::{Result, bail};

/// Nothing.
pub struct Tracee;

impl Tracee {
    /// Says why there is none.
    pub fn start() -> Result<Tracee> {
        bail!(
            "vectors can be captured on x86-64 Linux (GNU) alone: it runs 32-bit programs and lets them be traced"
        )
    }

    /// Never called.
    pub fn run(&mut self, _case: &Case) -> Result<Option<After>> {
        Ok(None)
    }
}

/// Never called.
pub fn processor() -> Result<String> {
    Ok(String::new())
}
