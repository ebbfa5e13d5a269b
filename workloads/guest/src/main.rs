//! The guest's user program: one ring-3 executable that holds every load.
//!
//! Its argument string picks the load and its size:
//!
//! ```text
//! guest kmap-storm tasks=8 pages=4096 ops=5000
//! ```
//!
//! The first word is the file's name and is ignored, the second names a load
//! of [`LOADS`], the rest are keys of that load. All content that the loads
//! handle follows a known pattern ([`pattern`]), and every operation checks
//! what it sees, so that a wrong translation shows up as wrong data.
//!
//! Exit status: 0 all well, 1 wrong data, 2 bad arguments or a machine too
//! small for them.
//!
//! A new load is a file with a [`Load`] in it and a line in [`LOADS`].
#![no_std]
#![no_main]

mod args;
mod board;
mod crew;
mod fault_zero;
mod fork_cow;
mod kmap_storm;
mod lock;
mod mapped_file;
mod memory;
mod mixed;
mod mremap;
mod munmap;
mod pace;
mod pagecache_read;
mod pagecache_write;
mod pattern;
mod peek;
mod rng;
mod shm_calls;
mod shm_many;
mod swap;
mod sys;
mod syscall;
mod written;

use args::{Key, Values};

/// What a load is to the command line.
pub struct Load {
    /// Its name there.
    pub name: &'static str,
    /// The keys that it takes.
    pub keys: &'static [Key],
    /// Runs it to its end; returns the exit status of the first process.
    pub run: fn(&Values) -> u32,
}

/// Every load.
const LOADS: &[&Load] = &[
    &kmap_storm::LOAD,
    &pagecache_read::LOAD,
    &pagecache_write::LOAD,
    &fork_cow::LOAD,
    &syscall::LOAD,
    &fault_zero::LOAD,
    &munmap::LOAD,
    &mremap::LOAD,
    &shm_many::LOAD,
    &shm_calls::LOAD,
    &peek::LOAD,
    &swap::LOAD,
    &mapped_file::LOAD,
    &mixed::LOAD,
];

/// Exit status when wrong data was seen.
pub const WRONG_DATA: u32 = 1;
/// Exit status when the arguments make no sense, or the machine cannot hold what they ask for.
pub const BAD_ARGUMENTS: u32 = 2;
/// Exit status of a bug in this program.
const PANICKED: u32 = 3;

/// Where [`sys`] hands over: the argument string and the number of processors.
fn main(arguments: &str, cpus: u32) -> u32 {
    let mut words = arguments.split_ascii_whitespace().skip(1);
    let name = words.next().unwrap_or("");
    let Some(load) = LOADS.iter().find(|load| load.name == name) else {
        say!("guest: no workload `{}`: one of {}", name, Names);
        return BAD_ARGUMENTS;
    };
    match Values::parse(load.keys, words, cpus) {
        Ok(values) => (load.run)(&values),
        Err(()) => BAD_ARGUMENTS,
    }
}

/// Prints the names of all loads.
struct Names;

impl core::fmt::Display for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, load) in LOADS.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(load.name)?;
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("guest: {}", info);
    sys::exit(PANICKED)
}
