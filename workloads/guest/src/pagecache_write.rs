//! `pagecache-write`: `write(2)` into the page cache and `read(2)` out of it, by many tasks at once.
//!
//! In `writes` per cent of the operations a task copies `len` bytes into a page
//! through the kernel's kmap, with a pattern that was never there before; in
//! each it reads what it wrote there last and compares every word. In the end
//! it looks at all that it could have written, and around it ([`written`]).

use crate::args::{Key, Values};
use crate::crew::{self, File, Parts, Place, Work};
use crate::memory::Region;
use crate::pattern::WORDS;
use crate::rng::Rng;
use crate::written::{self, Words, Written};
use crate::{BAD_ARGUMENTS, Load, say, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "pagecache-write",
    keys: &[
        Key::TASKS,
        crew::PAGES,
        Key::number("ops", 2000, 1, 100_000_000),
        crew::WARMUP,
        crew::SEED,
        Key::words("len", 1024, 64, sys::PAGE),
        Key::number("writes", 50, 0, 100),
        crew::SHARING,
        crew::HOT,
        crew::ORDER,
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run,
};

fn run(values: &Values) -> u32 {
    match written::versions(values) {
        Ok(versions) => crew::run(values, |place| Writer::new(values, place, &versions)),
        Err(error) => {
            say!("guest: no memory for the versions of {} pages (error {})", values.get("pages"), error);
            BAD_ARGUMENTS
        }
    }
}

/// A task that writes a file with system calls.
pub struct Writer {
    writes: u32,
    pub written: Written,
    buffer: [u32; WORDS as usize],
}

impl Writer {
    /// That of a task, by the keys `seed`, `len`, `pages` and `writes`.
    pub fn new(values: &Values, place: Place, versions: &Region) -> Writer {
        let written = Written::new(values, place, versions);
        Writer { writes: values.get("writes"), written, buffer: [0; WORDS as usize] }
    }

    /// Gives the task's unit of a page new content; false if the kernel did not take it.
    fn write(&mut self, file: File, page: u32) -> bool {
        self.written.renew(page);
        let unit = self.written.unit(page);
        let words = &mut self.buffer[..unit.count as usize];
        self.written.pattern(page).fill(page, unit.first, words);
        sys::write(file.id, page, unit.first * 4, words) == Ok(unit.count * 4)
    }

    /// Reads words of a page, if the kernel gives them.
    fn read(&mut self, file: File, page: u32, at: Words) -> Option<&[u32]> {
        let words = &mut self.buffer[..at.count as usize];
        // What was there before must not pass for what is read.
        words.iter_mut().for_each(|word| *word = !*word);
        let bytes = sys::read(file.id, page, at.first * 4, words);
        (bytes == Ok(at.count * 4)).then_some(words)
    }
}

impl Work for Writer {
    fn operation(&mut self, file: File, page: u32, rng: &mut Rng) -> Option<u32> {
        if rng.percent(self.writes) && !self.write(file, page) {
            return None;
        }
        let (pattern, unit) = (self.written.pattern(page), self.written.unit(page));
        let words = self.read(file, page, unit)?;
        pattern.check(page, unit.first, words)
    }

    fn verify(&mut self, file: File, page: u32) -> bool {
        let stretch = self.written.stretch(page);
        let copy = self.read(file, page, stretch).is_some();
        copy && self.written.holds(page, &self.buffer[..stretch.count as usize])
    }

    fn to_check(parts: Parts, index: u32) -> impl Iterator<Item = u32> {
        parts.of(index)
    }
}
