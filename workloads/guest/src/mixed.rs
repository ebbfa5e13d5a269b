//! `mixed`: tasks that do a bit of everything, as on a machine with many users.
//!
//! `files` per cent of the operations are about a page of the common file: one in
//! four adds it up in the kernel (as `kmap-storm`), one in four looks at it through
//! a mapping made for that (as `mapped-file`), the others write and read it (as
//! `pagecache-write`). In `forks` per cent the task forks a child that looks at and
//! changes the memory that it inherits (as `fork-cow`). In all others it touches
//! a fresh page (as `fault-zero`); when [`FRESH`] pages are used they move to
//! another address (as `mremap`), are looked at and given back.

use crate::args::{Key, Values};
use crate::crew::{self, File, Parts, Work};
use crate::memory::Region;
use crate::pagecache_write::Writer;
use crate::pattern::{Pattern, WORDS};
use crate::rng::Rng;
use crate::written;
use crate::{BAD_ARGUMENTS, Load, WRONG_DATA, say, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "mixed",
    keys: &[
        Key::TASKS,
        crew::PAGES,
        Key::number("ops", 1000, 1, 100_000_000),
        crew::WARMUP,
        crew::SEED,
        Key::words("len", 512, 64, sys::PAGE),
        Key::number("files", 60, 0, 100),
        Key::number("writes", 30, 0, 100),
        Key::number("forks", 2, 0, 100),
        crew::SHARING,
        crew::HOT,
        crew::ORDER,
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run,
};

/// Pages of a task's fresh memory.
const FRESH: u32 = 16;
/// Content number of the first task's memory, and of what children write there.
const CONTENT: u32 = 0xa000;
const CHILDREN: u32 = 0xb000;
/// How far the contents of a task's regions are apart: more than there are tasks.
const APART: u32 = 0x1_0000;

fn run(values: &Values) -> u32 {
    let (files, forks) = (values.get("files"), values.get("forks"));
    if files + forks > 100 {
        say!("guest: files={} and forks={} are more than 100 per cent together", files, forks);
        return BAD_ARGUMENTS;
    }
    match written::versions(values) {
        Ok(versions) => crew::run(values, |place| Mixed {
            writer: Writer::new(values, place, &versions),
            memory: Memory::new(values, place.index),
            files,
            forks,
        }),
        Err(error) => {
            say!("guest: no memory for the versions of {} pages (error {})", values.get("pages"), error);
            BAD_ARGUMENTS
        }
    }
}

struct Mixed {
    writer: Writer,
    memory: Memory,
    files: u32,
    forks: u32,
}

impl Mixed {
    /// The kernel's sum of the task's unit of a page.
    fn touch(&mut self, file: File, page: u32) -> Option<u32> {
        let written = &mut self.writer.written;
        let (pattern, unit) = (written.pattern(page), written.unit(page));
        let sum = sys::touch(file.id, page, unit.first * 4, unit.count * 4, 0);
        (sum == pattern.sum(page, unit.first, unit.count)).then_some(sum)
    }

    /// Looks at the task's unit of a page through a mapping of its own.
    fn look(&mut self, file: File, page: u32) -> Option<u32> {
        let written = &mut self.writer.written;
        let (pattern, unit) = (written.pattern(page), written.unit(page));
        let mut region = Region::of_file(file.id, page, 1).ok()?;
        let sum = pattern.check(page, unit.first, region.words(0, unit.first, unit.count));
        region.unmap().ok()?;
        sum
    }
}

impl Work for Mixed {
    fn operation(&mut self, file: File, page: u32, rng: &mut Rng) -> Option<u32> {
        let turn = rng.below(100);
        if turn >= self.files + self.forks {
            return self.memory.touch();
        }
        if turn >= self.files {
            return self.memory.fork();
        }
        match rng.below(4) {
            0 => self.touch(file, page),
            1 => self.look(file, page),
            _ => self.writer.operation(file, page, rng),
        }
    }

    fn verify(&mut self, file: File, page: u32) -> bool {
        self.writer.verify(file, page)
    }

    fn to_check(parts: Parts, index: u32) -> impl Iterator<Item = u32> {
        Writer::to_check(parts, index)
    }
}

/// Fresh memory, of which pages `0..used` were touched.
struct Memory {
    seed: u32,
    index: u32,
    words: u32,
    region: Option<Region>,
    used: u32,
    /// Regions and children that there were.
    generation: u32,
}

impl Memory {
    fn new(values: &Values, index: u32) -> Memory {
        let words = values.get("len") / 4;
        Memory { seed: values.get("seed"), index, words, region: None, used: 0, generation: 0 }
    }

    fn pattern(&self, content: u32) -> Pattern {
        Pattern::new(self.seed, content + self.index + self.generation.wrapping_mul(APART))
    }

    /// The first word that is written to a page: in another place in each.
    fn slice_at(&self, page: u32) -> u32 {
        page.wrapping_mul(37) % (WORDS - self.words + 1)
    }

    /// Touches the next page, which has to be zero.
    fn touch(&mut self) -> Option<u32> {
        if self.used == FRESH {
            self.give_back()?;
        }
        if self.region.is_none() {
            self.region = Some(Region::new(FRESH).ok()?);
            self.generation += 1;
        }
        let (pattern, page) = (self.pattern(CONTENT), self.used);
        let (first, words) = (self.slice_at(page), self.words);
        self.used += 1;
        let slice = self.region.as_mut()?.words(page, first, words);
        let zero = slice.iter().all(|word| *word == 0);
        pattern.fill(page, first, slice);
        pattern.check(page, first, slice).filter(|_| zero)
    }

    /// The sum of what is in the pages that were touched, if it is right.
    fn check(&mut self) -> Option<u32> {
        let pattern = self.pattern(CONTENT);
        (0..self.used).try_fold(0u32, |sum, page| {
            let (first, words) = (self.slice_at(page), self.words);
            let slice = self.region.as_mut()?.words(page, first, words);
            Some(sum.wrapping_add(pattern.check(page, first, slice)?))
        })
    }

    /// Moves the region, looks at it under its new address, and ends it.
    fn give_back(&mut self) -> Option<()> {
        self.region.as_mut()?.relocate().ok()?;
        let right = self.check().is_some();
        self.region.take()?.unmap().ok()?;
        self.used = 0;
        right.then_some(())
    }

    /// Forks a child that looks at what it inherits and writes over it.
    fn fork(&mut self) -> Option<u32> {
        if sys::fork().ok()? == 0 {
            sys::exit(if self.overwrite().is_some() { 0 } else { WRONG_DATA });
        }
        let right = sys::wait() == Ok(0);
        self.check().filter(|_| right)
    }

    fn overwrite(&mut self) -> Option<()> {
        self.check()?;
        let pattern = self.pattern(CHILDREN);
        (0..self.used).try_for_each(|page| {
            let (first, words) = (self.slice_at(page), self.words);
            let slice = self.region.as_mut()?.words(page, first, words);
            pattern.fill(page, first, slice);
            pattern.check(page, first, slice).map(|_| ())
        })
    }
}
