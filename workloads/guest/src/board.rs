//! Regions that the threads of one process show each other: each thread has one
//! place, puts its region there, and looks at those of the others.
//!
//! Whoever looks holds the place's lock. The owner takes its region from there
//! before it unmaps, moves or fills it; others find nothing meanwhile. So no
//! thread ever uses an address that is not mapped; but a translation that has outlived its page is
//! used as soon as something else is at that address, and then shows the wrong
//! words.

use crate::args::{Key, Values};
use crate::lock::Lock;
use crate::memory::Region;
use crate::pattern::{Pattern, WORDS};
use crate::rng::Rng;
use crate::sys;

/// Most threads of a load; the kernel has room for a few more.
const PLACES: u32 = 120;

/// `tasks=`: threads at work, one for each processor when not given.
pub const TASKS: Key = Key::per_cpu("tasks", 1, 1, PLACES);
/// Pages of each thread's region.
pub const PAGES: Key = Key::number("pages", 8, 1, 4096);
/// Pages of other threads' regions that a thread looks at before each operation.
pub const READS: Key = Key::number("reads", 4, 0, 100_000);

/// A region and what is in it.
pub struct Shown {
    pub region: Region,
    pub pattern: Pattern,
}

static BOARD: [Lock<Option<Shown>>; PLACES as usize] = [const { Lock::new(None) }; PLACES as usize];

/// The place of a thread.
pub fn place(index: u32) -> &'static Lock<Option<Shown>> {
    &BOARD[index as usize]
}

/// What a thread does with the board.
pub struct Viewer {
    index: u32,
    tasks: u32,
    pages: u32,
    reads: u32,
    words: u32,
    /// Regions may become zero while others look at them.
    fading: bool,
}

impl Viewer {
    /// That of thread `index`, by the keys `tasks`, `pages`, `reads` and `len`.
    pub fn new(values: &Values, index: u32, fading: bool) -> Viewer {
        Viewer {
            index,
            tasks: values.get("tasks"),
            pages: values.get("pages"),
            reads: values.get("reads"),
            words: values.get("len") / 4,
            fading,
        }
    }

    /// The first word of the slice of a page that is filled and looked at: another place in each page.
    fn slice_at(&self, page: u32) -> u32 {
        page.wrapping_mul(37) % (WORDS - self.words + 1)
    }

    /// Fills the slice of every page.
    pub fn fill(&self, shown: &mut Shown) {
        for page in 0..self.pages {
            let first = self.slice_at(page);
            shown.pattern.fill(page, first, shown.region.words(page, first, self.words));
        }
    }

    /// The sum over all slices, if all are as they have to be.
    pub fn check(&self, shown: &mut Shown) -> Option<u32> {
        (0..self.pages).try_fold(0u32, |sum, page| Some(sum.wrapping_add(self.look(shown, page)?)))
    }

    /// Writes the slices of all pages to a file, from page `first_page` on; nothing if the kernel does not take them.
    pub fn fill_file(&self, file: u32, first_page: u32, pattern: Pattern) -> Option<()> {
        let mut words = [0; WORDS as usize];
        let words = &mut words[..self.words as usize];
        (0..self.pages).try_for_each(|page| {
            let first = self.slice_at(page);
            pattern.fill(page, first, words);
            sys::write(file, first_page + page, first * 4, words).ok().map(|_| ())
        })
    }

    /// The sum over the slices of all pages of a file, from page `first_page` on, if they are as they have to be.
    pub fn check_file(&self, file: u32, first_page: u32, pattern: Pattern) -> Option<u32> {
        let mut words = [0; WORDS as usize];
        let words = &mut words[..self.words as usize];
        (0..self.pages).try_fold(0u32, |sum, page| {
            let first = self.slice_at(page);
            sys::read(file, first_page + page, first * 4, words).ok()?;
            Some(sum.wrapping_add(pattern.check(page, first, words)?))
        })
    }

    fn look(&self, shown: &mut Shown, page: u32) -> Option<u32> {
        let first = self.slice_at(page);
        shown.pattern.check(page, first, shown.region.words(page, first, self.words))
    }

    /// Looks at pages of others; false if one is not as it has to be.
    pub fn look_around(&self, rng: &mut Rng) -> bool {
        let mut right = true;
        let mut copy = [0; WORDS as usize];
        let copy = &mut copy[..self.words as usize];
        for _ in 0..self.reads {
            let other = (self.index + rng.below(self.tasks)) % self.tasks;
            let page = rng.below(self.pages);
            if let Some(Shown { region, pattern }) = place(other).lock().as_ref() {
                let first = self.slice_at(page);
                region.copy(page, first, copy);
                right &= match self.fading {
                    true => pattern.holds_or_is_zero(page, first, copy),
                    false => pattern.check(page, first, copy).is_some(),
                };
            }
        }
        right
    }
}
