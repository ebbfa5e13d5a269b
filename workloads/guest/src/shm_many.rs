//! `shm-many`: many processes on one piece of shared memory.
//!
//! An operation reads `len` bytes of a page, `writes` per cent of them after
//! writing there what the page has to hold anyway: so every process may check
//! every page at any time. Every process has page tables of its own for all of it,
//! which fill the low zone when they are many.

use crate::args::{Key, Values};
use crate::memory::Shared;
use crate::pattern::{Pattern, WORDS};
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, WRONG_DATA, crew, say, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "shm-many",
    keys: &[
        Key::TASKS,
        Key::number("pages", 1024, 1, crew::MOST_PAGES / 4),
        Key::number("ops", 2000, 1, 100_000_000),
        crew::WARMUP,
        crew::SEED,
        Key::words("len", 128, 4, sys::PAGE),
        Key::number("writes", 30, 0, 100),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run,
};

/// Content number of the memory.
const CONTENT: u32 = 0x6000;

fn run(values: &Values) -> u32 {
    let pages = values.get("pages");
    let memory = match Shared::new(pages) {
        Ok(memory) => memory,
        Err(error) => {
            say!("guest: no shared memory of {} pages (error {})", pages, error);
            return BAD_ARGUMENTS;
        }
    };
    let pattern = Pattern::new(values.get("seed"), CONTENT);
    let mut buffer = [0; WORDS as usize];
    for page in 0..pages {
        pattern.fill(page, 0, &mut buffer);
        memory.write(page, 0, &buffer);
    }
    crew::fork_all(values.get("tasks"), |index| task(values, index, memory, pattern))
}

fn task(values: &Values, index: u32, memory: Shared, pattern: Pattern) -> u32 {
    let (pages, words) = (values.get("pages"), values.get("len") / 4);
    let mut buffer = [0; WORDS as usize];
    let buffer = &mut buffer[..words as usize];
    let mut rng = Rng::new(values.get("seed"), index);
    let done = crew::phases(values, index, || {
        let (page, first) = (rng.below(pages), rng.below(WORDS - words + 1));
        if rng.percent(values.get("writes")) {
            pattern.fill(page, first, buffer);
            memory.write(page, first, buffer);
        }
        memory.read(page, first, buffer);
        pattern.check(page, first, buffer)
    });
    sys::account(values.get("ops"), done.errors, done.checksum);
    if done.errors == 0 { 0 } else { WRONG_DATA }
}
