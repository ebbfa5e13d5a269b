//! `pagecache-read`: `read(2)` out of the page cache, by many tasks at once.
//!
//! An operation copies `len` bytes of a page into the task's buffer through
//! the kernel's kmap and compares every word. More work for each map than
//! `kmap-storm`, as in the loads for which highmem was made.
//!
//! With `buffer=fresh` it is a page that was never touched, another one for each operation,
//! so that the kernel's copy comes to a hole; after [`FRESH`] of them all are given back.

use crate::args::{Key, Values};
use crate::crew::{self, File, Work};
use crate::memory::Region;
use crate::pattern::WORDS;
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, say, sys};

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
        crew::CHECK,
        Key::choice("buffer", &["kept", "fresh"]),
    ],
    run,
};

/// Fresh pages of a task.
const FRESH: u32 = 16;

fn run(values: &Values) -> u32 {
    let words = values.get("len") / 4;
    let fresh = match (values.get("buffer") == 1).then(|| Region::new(FRESH)).transpose() {
        Ok(region) => region.map(|region| region.address()),
        Err(error) => {
            say!("guest: no memory for {} fresh pages (error {})", FRESH, error);
            return BAD_ARGUMENTS;
        }
    };
    crew::run(values, |_| Reader {
        words,
        checked: values.get("check"),
        buffer: [0; WORDS as usize],
        // Each task has them where it had them before the fork, and to itself.
        fresh: fresh.map(|address| Fresh { region: Region::at(address, FRESH), used: 0 }),
    })
}

struct Reader {
    words: u32,
    checked: u32,
    buffer: [u32; WORDS as usize],
    fresh: Option<Fresh>,
}

impl Reader {
    fn read(&mut self, file: File, page: u32, first: u32, words: u32) -> Option<u32> {
        let buffer = match &mut self.fresh {
            // Zero, and what is read must not be.
            Some(fresh) => fresh.take(words)?,
            None => {
                let buffer = self.buffer.get_mut(..words as usize)?;
                // What the last operation left must not pass for this one's.
                if let Some(word) = buffer.first_mut() {
                    *word = !*word;
                }
                buffer
            }
        };
        if sys::read(file.id, page, first * 4, buffer) != Ok(words * 4) {
            return None;
        }
        file.pattern.check(page, first, buffer)
    }
}

/// Private memory of which the pages before `used` were touched.
struct Fresh {
    region: Region,
    used: u32,
}

impl Fresh {
    /// The first words of a page that nobody has touched.
    fn take(&mut self, words: u32) -> Option<&mut [u32]> {
        if self.used == FRESH {
            sys::discard(self.region.address(), FRESH).ok()?;
            self.used = 0;
        }
        self.used += 1;
        Some(self.region.words(self.used - 1, 0, words))
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

    fn checked(&self) -> u32 {
        self.checked
    }
}
