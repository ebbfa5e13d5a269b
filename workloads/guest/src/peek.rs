//! `peek`: processes that look into each other's memory, as a debugger does.
//!
//! An operation copies `len` bytes of a page of another process, which the
//! kernel finds in that process's page tables and maps by kmap. All processes
//! have their memory at the same address, each with a pattern of its own.

use crate::args::{Key, Values};
use crate::memory::{Region, Shared};
use crate::pattern::{Pattern, WORDS};
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, WRONG_DATA, crew, say, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "peek",
    keys: &[
        Key::TASKS,
        Key::number("pages", 64, 1, 65536),
        Key::number("ops", 2000, 1, 100_000_000),
        crew::WARMUP,
        crew::SEED,
        Key::words("len", 128, 4, sys::PAGE),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run,
};

/// Content number of the first process's memory.
const CONTENT: u32 = 0x7000;

fn run(values: &Values) -> u32 {
    // One word for each process: its id.
    let memory = Shared::new(1).and_then(|ids| Ok((ids, Region::new(values.get("pages"))?)));
    match memory {
        Ok((ids, region)) => {
            let address = region.address();
            crew::fork_all(values.get("tasks"), |index| task(values, index, ids, address))
        }
        Err(error) => {
            say!("guest: no memory for {} pages (error {})", values.get("pages"), error);
            BAD_ARGUMENTS
        }
    }
}

fn task(values: &Values, index: u32, ids: Shared, address: u32) -> u32 {
    let (tasks, pages, words) = (values.get("tasks"), values.get("pages"), values.get("len") / 4);
    let seed = values.get("seed");
    let of = |index: u32| Pattern::new(seed, CONTENT + index);
    let mut region = Region::at(address, pages);
    for page in 0..pages {
        of(index).fill(page, 0, region.words(page, 0, WORDS));
    }
    ids.write(0, index, &[sys::task()]);
    let mut buffer = [0; WORDS as usize];
    let buffer = &mut buffer[..words as usize];
    let mut rng = Rng::new(seed, index);
    // The phases begin at a barrier: all ids and pages are there.
    let done = crew::phases(values, index, || {
        let (other, page, first) = (rng.below(tasks), rng.below(pages), rng.below(WORDS - words + 1));
        let mut id = [0];
        ids.read(0, other, &mut id);
        // What the last operation left must not pass for this one's.
        if let Some(word) = buffer.first_mut() {
            *word = !*word;
        }
        sys::peek(id[0], address + page * sys::PAGE + first * 4, buffer).ok()?;
        of(other).check(page, first, buffer)
    });
    sys::account(values.get("ops"), done.errors, done.checksum);
    if done.errors == 0 { 0 } else { WRONG_DATA }
}
