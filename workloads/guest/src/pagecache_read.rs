//! `pagecache-read`: `read(2)` out of the page cache, by many tasks at once.
//!
//! An operation copies `len` bytes of a page into the task's buffer through
//! the kernel's kmap and compares every word. More work for each map than
//! `kmap-storm`, as in the loads for which highmem was made.

use crate::args::Key;
use crate::crew::{self, File, Work};
use crate::pattern::WORDS;
use crate::rng::Rng;
use crate::{Load, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "pagecache-read",
    keys: &[
        Key::TASKS,
        crew::PAGES,
        Key::number("ops", 2000, 1, 100_000_000),
        crew::WARMUP,
        crew::SEED,
        Key::words("len", 1024, 64, sys::PAGE),
        crew::SHARING,
        crew::HOT,
        crew::ORDER,
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run: |values| {
        let words = values.get("len") / 4;
        crew::run(values, |_| Reader { words, buffer: [0; WORDS as usize] })
    },
};

struct Reader {
    words: u32,
    buffer: [u32; WORDS as usize],
}

impl Reader {
    fn read(&mut self, file: File, page: u32, first: u32, words: u32) -> Option<u32> {
        let buffer = self.buffer.get_mut(..words as usize)?;
        // What the last operation left must not pass for this one's.
        if let Some(word) = buffer.first_mut() {
            *word = !*word;
        }
        if sys::read(file.id, page, first * 4, buffer) != Ok(words * 4) {
            return None;
        }
        file.pattern.check(page, first, buffer)
    }
}

impl Work for Reader {
    fn operation(&mut self, file: File, page: u32, rng: &mut Rng) -> Option<u32> {
        let first = rng.below(WORDS - self.words + 1);
        self.read(file, page, first, self.words)
    }

    fn verify(&mut self, file: File, page: u32) -> bool {
        self.read(file, page, 0, WORDS).is_some()
    }
}
