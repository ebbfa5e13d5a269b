//! `syscall`: null system calls in a loop.
//!
//! An operation is one `task`, which the kernel answers with a field of the
//! running task: what is measured is the border between ring 3 and the kernel,
//! with and without a CR3 load there (`entry-cr3=1`). Between two calls the
//! task works on its own memory (`think` rounds, each in the next of
//! `footprint` pages), so that the refills after such a load can be had or left out.

use crate::args::Key;
use crate::{Load, WRONG_DATA, crew, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "syscall",
    keys: &[
        Key::TASKS,
        Key::number("ops", 10_000, 1, 100_000_000),
        crew::WARMUP,
        crew::SEED,
        Key::number("think", 0, 0, 1_000_000),
        crew::FOOTPRINT,
    ],
    run: |values| {
        crew::fork_all(values.get("tasks"), |index| {
            let me = sys::task();
            let done = crew::phases(values, index, || (sys::task() == me).then_some(1));
            sys::account(values.get("ops"), done.errors, done.checksum);
            if done.errors == 0 { 0 } else { WRONG_DATA }
        })
    },
};
