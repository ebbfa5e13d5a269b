//! What a task has written to a file, so that it can tell whether it is still there.
//!
//! A task has a *stretch* of each page that it works on: all of a page of its own part; of a
//! common page an equal share, so that many tasks write one page at a time and no
//! word has two writers. Within the stretch it always writes the same words, the
//! *unit*, as a whole, and each time with another pattern: the number of the
//! task and a *version* that goes up with each write are in it. The rest of the
//! stretch stays as the file was filled. So a write that is lost, late, or in the
//! wrong place shows up in the stretch of the task that wrote or of one that did not.

use crate::args::Values;
use crate::crew::{Parts, Place};
use crate::memory::Region;
use crate::pattern::{Pattern, WORDS};
use crate::sys;

/// Content number of the first task's first version.
const CONTENT: u32 = 0x8000;
/// How far versions are apart: more than there are tasks.
const APART: u32 = 0x1_0000;

/// Some words of a page.
#[derive(Clone, Copy)]
pub struct Words {
    pub first: u32,
    pub count: u32,
}

/// Memory for the versions of all pages, to be made before the tasks are.
pub fn versions(values: &Values) -> sys::Result<Region> {
    Region::new(values.get("pages").div_ceil(WORDS))
}

/// A task's book of what it has written.
pub struct Written {
    place: Place,
    seed: u32,
    words: u32,
    /// A word for each page.
    versions: Region,
}

impl Written {
    /// Nothing yet. `versions` is as it was made, in a process of the task's own.
    pub fn new(values: &Values, place: Place, versions: &Region) -> Written {
        let versions = Region::at(versions.address(), values.get("pages").div_ceil(WORDS));
        Written { place, seed: values.get("seed"), words: values.get("len") / 4, versions }
    }

    /// The task's stretch of a page that it works on.
    pub fn stretch(&self, page: u32) -> Words {
        let Parts { tasks, .. } = self.place.parts;
        if !self.place.parts.is_common(page) {
            return Words { first: 0, count: WORDS };
        }
        let share = WORDS / tasks;
        let first = self.place.index * share;
        // The last one has what is left over.
        let count = if self.place.index + 1 == tasks { WORDS - first } else { share };
        Words { first, count }
    }

    /// The words of a page that the task writes: in another place of the stretch in each page.
    pub fn unit(&self, page: u32) -> Words {
        let stretch = self.stretch(page);
        let count = self.words.min(stretch.count);
        let at = page.wrapping_mul(37) % (stretch.count - count + 1);
        Words { first: stretch.first + at, count }
    }

    fn version(&mut self, page: u32) -> &mut u32 {
        &mut self.versions.words(page / WORDS, page % WORDS, 1)[0]
    }

    /// The task is about to write its unit of a page again.
    pub fn renew(&mut self, page: u32) {
        *self.version(page) += 1;
    }

    /// What the unit of a page has to hold.
    pub fn pattern(&mut self, page: u32) -> Pattern {
        match *self.version(page) {
            0 => self.place.file.pattern,
            n => Pattern::new(self.seed, CONTENT + self.place.index + n.wrapping_mul(APART)),
        }
    }

    /// Are these the words of the task's stretch of a page?
    pub fn holds(&mut self, page: u32, words: &[u32]) -> bool {
        let (stretch, unit) = (self.stretch(page), self.unit(page));
        let (before, rest) = words.split_at((unit.first - stretch.first) as usize);
        let (within, behind) = rest.split_at(unit.count as usize);
        let filled = self.place.file.pattern;
        filled.check(page, stretch.first, before).is_some()
            && self.pattern(page).check(page, unit.first, within).is_some()
            && filled.check(page, unit.first + unit.count, behind).is_some()
    }
}
