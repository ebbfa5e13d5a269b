//! `swap`: tasks with more memory together than the machine has frames for.
//!
//! Each task has `pages` pages of private memory. `sharing` per cent of them are
//! filled before the tasks are forked, so all have them together until they write;
//! the task fills the others itself. In an operation it looks at `len` bytes of a
//! page, which have to be what was written there last; in `writes` per cent of
//! them it writes something new there. `hot` per cent go to the first tenth of
//! its pages. In the end it looks at every page.
//!
//! `moves` per cent of the operations begin with `mremap` of a chunk of the task's own pages, `chunk` at a time, to
//! another address: the first one takes it out of the middle of its area.
//!
//! With `crew=threads` all tasks are in one address space. The common pages are only
//! read then. With `tree=deep` each process forks the next one when it has filled its own pages, which the next one
//! has too from then on, but never looks at.

use crate::args::{Key, Values};
use crate::memory::{Chunks, Region};
use crate::pattern::{Pattern, WORDS};
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, WRONG_DATA, crew, say, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "swap",
    keys: &[
        Key::per_cpu("tasks", 1, 1, 120),
        Key::number("pages", 512, 1, crew::MOST_PAGES / 16),
        Key::number("ops", 1000, 1, 100_000_000),
        Key::number("warmup", 100, 0, 100_000_000),
        crew::SEED,
        Key::words("len", 64, 4, sys::PAGE),
        Key::number("writes", 30, 0, 100),
        Key::number("sharing", 25, 0, 100),
        crew::HOT,
        Key::choice("crew", &["processes", "threads"]),
        Key::choice("tree", &["flat", "deep"]),
        Key::number("moves", 0, 0, 100),
        Key::number("chunk", 8, 1, 1024),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run,
};

/// Content number of the common pages, and from here on those of the tasks' own.
const COMMON: u32 = 0x7000;
const OWN: u32 = 0x7100;

fn run(values: &Values) -> u32 {
    // At most 2^16 * 100.
    let common = values.get("pages") * values.get("sharing") / 100;
    let mut region = match Region::new(common.max(1)) {
        Ok(region) => region,
        Err(error) => {
            say!("guest: no memory for {} common pages (error {})", common, error);
            return BAD_ARGUMENTS;
        }
    };
    let pattern = Pattern::new(values.get("seed"), COMMON);
    for page in 0..common {
        let at = slice_at(values, page);
        pattern.fill(page, at, region.words(page, at, values.get("len") / 4));
    }
    let address = region.address();
    let make = |index| {
        let region = Region::at(address, common.max(1));
        let made = Task::new(values, index, region, common);
        made.map_err(|error| {
            // The others wait at the barrier for ever; the end of this process ends the machine.
            say!(
                "guest: no memory for the {} pages of task {} (error {})",
                values.get("pages"),
                index,
                error
            );
            BAD_ARGUMENTS
        })
    };
    let task = |index| make(index).map_or_else(|status| status, |task| task.run(values));
    match (values.get("crew"), values.get("tree")) {
        (0, 0) => crew::fork_all(values.get("tasks"), task),
        (0, _) => descend(values, 0, &make),
        (_, 0) => crew::thread_all(values.get("tasks"), task),
        _ => {
            say!("guest: `tree=deep` goes with crew=processes only");
            BAD_ARGUMENTS
        }
    }
}

/// Is task `index`, after it has forked the next one; the worst exit status of both.
fn descend(values: &Values, index: u32, make: &impl Fn(u32) -> Result<Task, u32>) -> u32 {
    let task = match make(index) {
        Ok(task) => task,
        Err(status) => return status,
    };
    if index + 1 == values.get("tasks") {
        return task.run(values);
    }
    match sys::fork() {
        Ok(0) => sys::exit(descend(values, index + 1, make)),
        Ok(_) => task.run(values).max(crew::wait_for(1)),
        Err(error) => {
            say!("guest: cannot make task {} of {} (error {})", index + 1, values.get("tasks"), error);
            BAD_ARGUMENTS
        }
    }
}

/// The first word of the slice of a page that is written and looked at: another place in each page.
fn slice_at(values: &Values, page: u32) -> u32 {
    page.wrapping_mul(37) % (WORDS - values.get("len") / 4 + 1)
}

/// A task and what it knows of its pages.
struct Task {
    index: u32,
    seed: u32,
    words: u32,
    /// Pages `0..common`.
    common: u32,
    inherited: Region,
    /// The others.
    own: Chunks,
    /// How many times each page was written by this task.
    generations: &'static mut [u32],
    /// May the common pages be written?
    forked: bool,
}

impl Task {
    /// A task, its own pages filled.
    fn new(values: &Values, index: u32, inherited: Region, common: u32) -> sys::Result<Task> {
        let pages = values.get("pages");
        let own = (pages - common).max(1);
        let chunk = if values.get("moves") == 0 { own } else { values.get("chunk") };
        let chunks = own.div_ceil(chunk);
        let (generations, rest) = sys::memory((pages + chunks).div_ceil(WORDS))?.split_at_mut(pages as usize);
        let mut task = Task {
            index,
            seed: values.get("seed"),
            words: values.get("len") / 4,
            common,
            inherited,
            own: Chunks::new(chunk, &mut rest[..chunks as usize])?,
            generations,
            forked: values.get("crew") == 0,
        };
        for page in common..pages {
            task.write(values, page);
        }
        Ok(task)
    }

    fn run(mut self, values: &Values) -> u32 {
        let pages = values.get("pages");
        let hot_pages = (pages / 10).max(1);
        let mut rng = Rng::new(self.seed, self.index);
        let mut done = crew::phases(values, self.index, || {
            let moves = values.get("moves") > 0 && rng.percent(values.get("moves"));
            let moved = !moves || self.own.relocate(rng.below(self.own.count())).is_ok();
            let hot = rng.percent(values.get("hot"));
            let page = rng.below(if hot { hot_pages } else { pages });
            let write = rng.percent(values.get("writes"));
            let sum = self.look(values, page);
            if write && (self.forked || page >= self.common) {
                self.write(values, page);
            }
            sum.filter(|_| moved)
        });
        for page in 0..pages {
            match self.look(values, page) {
                Some(sum) => done.checksum = done.checksum.wrapping_add(sum),
                None => done.errors = done.errors.saturating_add(1),
            }
        }
        sys::account(values.get("ops"), done.errors, done.checksum);
        if done.errors == 0 { 0 } else { WRONG_DATA }
    }

    /// What a page has to hold.
    fn pattern(&self, page: u32) -> Pattern {
        match self.generations[page as usize] {
            0 => Pattern::new(self.seed, COMMON),
            n => Pattern::new(self.seed, OWN + self.index + n.wrapping_mul(0x100)),
        }
    }

    fn slice(&mut self, page: u32, at: u32) -> &mut [u32] {
        match page.checked_sub(self.common) {
            None => self.inherited.words(page, at, self.words),
            Some(own) => self.own.words(own, at, self.words),
        }
    }

    /// Writes something new to a page.
    fn write(&mut self, values: &Values, page: u32) {
        self.generations[page as usize] += 1;
        let at = slice_at(values, page);
        self.pattern(page).fill(page, at, self.slice(page, at));
    }

    /// The sum of a page's slice, if it is what was written there last.
    fn look(&mut self, values: &Values, page: u32) -> Option<u32> {
        let at = slice_at(values, page);
        self.pattern(page).check(page, at, self.slice(page, at))
    }
}
