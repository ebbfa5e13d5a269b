//! `kmap-storm`: many tasks on all processors, each mapping one page after another.
//!
//! An operation is one `touch`: the kernel maps a page, adds up `len` bytes of
//! it, holds it for `hold` rounds, adds up again and unmaps. Almost nothing but
//! kmaps, over more pages than the window has slots: the load under which the
//! schemes differ most. With `every=` operations come in an open loop (`pace`), else
//! one follows the other.

use crate::args::{Key, Values};
use crate::crew::{self, File, Work};
use crate::pace::Pace;
use crate::pattern::WORDS;
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, say, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "kmap-storm",
    keys: &[
        Key::TASKS,
        crew::PAGES,
        crew::OPS,
        crew::WARMUP,
        crew::SEED,
        Key::words("len", 128, 64, sys::PAGE),
        Key::number("hold", 0, 0, 1_000_000),
        crew::SHARING,
        crew::HOT,
        crew::ORDER,
        crew::THINK,
        crew::FOOTPRINT,
        crew::CHECK,
        Key::number("every", 0, 0, 1_000_000_000),
    ],
    run,
};

fn run(values: &Values) -> u32 {
    if values.get("every") > 0 && values.get("tasks") > values.cpus() {
        say!(
            "guest: every={} with tasks={} on {} processors: each task needs one for itself",
            values.get("every"),
            values.get("tasks"),
            values.cpus()
        );
        return BAD_ARGUMENTS;
    }
    let storm =
        || Storm { words: values.get("len") / 4, hold: values.get("hold"), checked: values.get("check") };
    // Work of its own, so that operations that follow each other have nothing to do with time.
    match values.get("every") {
        0 => crew::run(values, |_| storm()),
        _ => crew::run(values, |place| Paced { storm: storm(), pace: Pace::new(values, place.index) }),
    }
}

struct Storm {
    words: u32,
    hold: u32,
    checked: u32,
}

impl Storm {
    fn touch(&self, file: File, page: u32, first: u32, words: u32, hold: u32) -> Option<u32> {
        let sum = sys::touch(file.id, page, first * 4, words * 4, hold);
        (sum == file.pattern.sum(page, first, words)).then_some(sum)
    }
}

impl Work for Storm {
    fn operation(&mut self, file: File, page: u32, rng: &mut Rng) -> Option<u32> {
        let first = rng.below(WORDS - self.words + 1);
        self.touch(file, page, first, self.words, self.hold)
    }

    fn verify(&mut self, file: File, page: u32) -> bool {
        self.touch(file, page, 0, WORDS, 0).is_some()
    }

    fn checked(&self) -> u32 {
        self.checked
    }
}

/// The same in an open loop.
struct Paced {
    storm: Storm,
    pace: Pace,
}

impl Work for Paced {
    fn operation(&mut self, file: File, page: u32, rng: &mut Rng) -> Option<u32> {
        self.pace.wait();
        let sum = self.storm.operation(file, page, rng);
        self.pace.done();
        sum
    }

    fn verify(&mut self, file: File, page: u32) -> bool {
        self.storm.verify(file, page)
    }

    fn checked(&self) -> u32 {
        self.storm.checked()
    }
}
