//! What the loads have in common: a crew of tasks and their phases.
//!
//! ```text
//! first process   create and fill a file, fork the tasks           wait for all, exit
//! each task       |barrier| warm-up |barrier|       operations |barrier| check, account, exit
//! task 0                                     ROI begin              ROI end
//! ```
//!
//! Loads without a file have the phases alone, as processes ([`fork_all`]) or as threads of one ([`thread_all`]). Which pages a task uses: the file is cut into a part common to all tasks
//! (`sharing` per cent of the pages) and equal parts of the tasks' own;
//! `sharing` per cent of the operations go to the common part. Within a part
//! the pages come at random, `hot` per cent of them from its first tenth, or
//! in turn (`order=seq`). Between operations a task works `think` rounds on
//! its own memory of `footprint` pages, as programs do: that fills its TLB.

use crate::args::{Key, Values};
use crate::pattern::{Pattern, WORDS};
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, WRONG_DATA, say, sys};

/// The barrier of the crew.
const BARRIER: u32 = 0;

/// Most pages of a file: 4 GiB.
pub const MOST_PAGES: u32 = 1 << 20;

/// Keys of every load over a file, to be put into its table.
pub const PAGES: Key = Key::number("pages", 4096, 1, MOST_PAGES);
/// Operations of each task in the measured part.
pub const OPS: Key = Key::number("ops", 6000, 1, 100_000_000);
/// Operations of each task before it.
pub const WARMUP: Key = Key::number("warmup", 500, 0, 100_000_000);
/// Seed of every choice and of the patterns.
pub const SEED: Key = Key::number("seed", 1, 0, u32::MAX);
/// Per cent of pages and of operations that are common to all tasks.
pub const SHARING: Key = Key::number("sharing", 50, 0, 100);
/// Per cent of operations that go to the first tenth of a part; 0: none is preferred.
pub const HOT: Key = Key::number("hot", 0, 0, 100);
/// How pages follow each other.
pub const ORDER: Key = Key::choice("order", &["random", "seq"]);
/// Rounds of user-mode work between operations.
pub const THINK: Key = Key::number("think", 16, 0, 1_000_000);
/// Pages of a task's own memory that the work goes over.
pub const FOOTPRINT: Key = Key::number("footprint", 16, 1, 65536);
/// Per cent of the file's pages that are looked at in the end, by loads that only read it.
pub const CHECK: Key = Key::number("check", 100, 0, 100);

/// What a load does with a page of the file.
pub trait Work {
    /// One operation: the value read, or nothing when it was wrong.
    fn operation(&mut self, file: File, page: u32, rng: &mut Rng) -> Option<u32>;
    /// Looks at all of a page: is everything as it has to be?
    fn verify(&mut self, file: File, page: u32) -> bool;
    /// The pages that task `index` looks at in the end: together the tasks see them all.
    fn to_check(parts: Parts, index: u32) -> impl Iterator<Item = u32> {
        parts.in_turn(index)
    }
    /// Per cent of these that it does look at: all, unless nobody writes to the file and each operation has checked what it
    /// read.
    fn checked(&self) -> u32 {
        100
    }
}

/// A task's place in the crew.
#[derive(Clone, Copy)]
pub struct Place {
    /// What all work on.
    pub file: File,
    /// Who works on what of it.
    pub parts: Parts,
    /// The task's number.
    pub index: u32,
}

/// A file and what is in it.
#[derive(Clone, Copy)]
pub struct File {
    /// Its number.
    pub id: u32,
    /// Its content.
    pub pattern: Pattern,
}

/// Runs a load from start to end; the exit status of the first process.
pub fn run<W: Work>(values: &Values, make: impl Fn(Place) -> W) -> u32 {
    let tasks = values.get("tasks");
    let pages = values.get("pages");
    let Some(parts) = Parts::new(pages, tasks, values.get("sharing")) else {
        say!(
            "guest: pages={} are too few for tasks={} with sharing={}: every task needs a page of its own",
            pages,
            tasks,
            values.get("sharing")
        );
        return BAD_ARGUMENTS;
    };
    if values.get("order") == 1 && values.get("hot") > 0 {
        say!("guest: `hot` goes with order=random only");
        return BAD_ARGUMENTS;
    }
    let file = match fill(pages, values.get("seed")) {
        Ok(file) => file,
        Err(error) => {
            say!("guest: cannot make a file of {} pages (error {})", pages, error);
            return BAD_ARGUMENTS;
        }
    };
    fork_all(tasks, |index| {
        let picker = Picker::new(values, parts, index);
        let place = Place { file, parts, index };
        task(values, place, picker, make(place))
    })
}

/// Forks the tasks and waits for them; the worst of their exit statuses.
pub fn fork_all(tasks: u32, task: impl Fn(u32) -> u32) -> u32 {
    for index in 0..tasks {
        match sys::fork() {
            Ok(0) => sys::exit(task(index)),
            Ok(_) => {}
            Err(error) => {
                // The others wait at the barrier for ever; the end of this process ends the machine.
                say!("guest: cannot make task {} of {} (error {})", index, tasks, error);
                return BAD_ARGUMENTS;
            }
        }
    }
    wait_for(tasks)
}

/// Pages of a thread's stack.
const STACK: u32 = 4;

/// Makes the tasks as threads of this process and waits for them; the worst of their exit statuses.
pub fn thread_all(tasks: u32, task: impl Fn(u32) -> u32 + Sync) -> u32 {
    let made = (0..tasks).try_for_each(|index| {
        let stack = sys::memory(STACK)?;
        // SAFETY: `task` stays until all threads have ended, or this process has and the machine with it.
        unsafe { sys::thread(stack, &task, index) }.map(|_| ())
    });
    if let Err(error) = made {
        // Those that run use `task`; the end of this process ends the machine.
        say!("guest: cannot make {} threads (error {})", tasks, error);
        sys::exit(BAD_ARGUMENTS);
    }
    wait_for(tasks)
}

/// Waits for that many children; the worst of their exit statuses.
pub fn wait_for(children: u32) -> u32 {
    let mut worst = 0;
    for _ in 0..children {
        worst = worst.max(sys::wait().unwrap_or(BAD_ARGUMENTS));
    }
    worst
}

/// Makes the file and writes every page through the kernel's kmap.
fn fill(pages: u32, seed: u32) -> sys::Result<File> {
    let id = sys::create(pages)?;
    let file = File { id, pattern: Pattern::new(seed, id) };
    let buffer = sys::memory(1)?;
    for page in 0..pages {
        file.pattern.fill(page, 0, buffer);
        sys::write(id, page, 0, buffer)?;
    }
    Ok(file)
}

/// The life of one task of the crew.
fn task<W: Work>(values: &Values, place: Place, mut picker: Picker, mut work: W) -> u32 {
    let Place { file, parts, index } = place;
    let Done { checksum, mut errors } = phases(values, index, || {
        let page = picker.next();
        work.operation(file, page, &mut picker.rng)
    });
    let checked = work.checked();
    for page in W::to_check(parts, index).filter(|page| is_drawn(*page, checked)) {
        if !work.verify(file, page) {
            errors = errors.saturating_add(1);
        }
    }
    sys::account(values.get("ops"), errors, checksum);
    if errors == 0 { 0 } else { WRONG_DATA }
}

/// Is this one of `percent` per cent of the pages, evenly spread?
fn is_drawn(page: u32, percent: u32) -> bool {
    // At most 2^20 * 100: fits.
    page * percent / 100 != (page + 1) * percent / 100
}

/// What came of a task's operations.
pub struct Done {
    /// Wrapping sum of what the measured ones read.
    pub checksum: u32,
    /// How many were wrong, those of the warm-up too.
    pub errors: u32,
}

/// Goes through the phases of the crew; an operation gives the value read, or nothing when it was wrong.
pub fn phases(values: &Values, index: u32, mut operation: impl FnMut() -> Option<u32>) -> Done {
    let tasks = values.get("tasks");
    // Without memory of its own a task still has to reach the barriers, or all others would hang.
    let mut errors = 0;
    let mut thinker = match Thinker::new(values.get("think"), values.get("footprint")) {
        Ok(thinker) => thinker,
        Err(error) => {
            say!("guest: task {} has no memory for its footprint (error {})", index, error);
            errors += 1;
            Thinker::idle()
        }
    };
    let mut operations = |count: u32, errors: &mut u32| -> u32 {
        let mut checksum = 0u32;
        for _ in 0..count {
            match operation() {
                Some(value) => checksum = checksum.wrapping_add(value),
                None => *errors = errors.saturating_add(1),
            }
            thinker.think();
        }
        checksum
    };

    sys::barrier(BARRIER, tasks);
    operations(values.get("warmup"), &mut errors);
    sys::barrier(BARRIER, tasks);
    if index == 0 {
        sys::roi_begin();
    }
    sys::barrier(BARRIER, tasks);
    let checksum = operations(values.get("ops"), &mut errors);
    sys::barrier(BARRIER, tasks);
    if index == 0 {
        sys::roi_end();
    }
    sys::barrier(BARRIER, tasks);
    Done { checksum, errors }
}

/// How the pages of the file are shared out.
#[derive(Clone, Copy)]
pub struct Parts {
    pages: u32,
    /// Tasks of the crew.
    pub tasks: u32,
    /// Pages `0..common` belong to all tasks.
    common: u32,
    /// Pages of each task's own part; the parts follow the common one.
    own: u32,
    sharing: u32,
}

impl Parts {
    /// Cuts `pages`; nothing when a part that is used would be empty.
    fn new(pages: u32, tasks: u32, sharing: u32) -> Option<Parts> {
        // At most 2^20 * 100: fits.
        let common = match sharing {
            0 => 0,
            _ => (pages * sharing / 100).max(1),
        };
        let own = match sharing {
            100 => 0,
            _ => (pages - common) / tasks,
        };
        (sharing == 100 || own > 0).then_some(Parts { pages, tasks, common, own, sharing })
    }

    /// Is this page common to all tasks?
    pub fn is_common(&self, page: u32) -> bool {
        page < self.common
    }

    /// Every so manieth page from `index` on.
    fn in_turn(self, index: u32) -> impl Iterator<Item = u32> {
        (index..self.pages).step_by(self.tasks as usize)
    }

    /// The pages that task `index` works on: the common ones and its own, and for the last task those that nobody does.
    pub fn of(self, index: u32) -> impl Iterator<Item = u32> {
        let first = self.common + self.own * index;
        let end = if index + 1 == self.tasks { self.pages } else { first + self.own };
        (0..self.common).chain(first..end)
    }
}

/// Chooses the pages of a task's operations.
struct Picker {
    rng: Rng,
    common: Cursor,
    own: Cursor,
    sharing: u32,
    hot: u32,
    sequential: bool,
}

/// A part of the file and the place in it.
struct Cursor {
    first: u32,
    pages: u32,
    at: u32,
}

impl Picker {
    fn new(values: &Values, parts: Parts, index: u32) -> Picker {
        let cursor = |first, pages, at| Cursor { first, pages, at };
        Picker {
            rng: Rng::new(values.get("seed"), index),
            // In turn, but not in step: each task begins elsewhere in the common part.
            common: cursor(0, parts.common, parts.common / parts.tasks * index),
            own: cursor(parts.common + parts.own * index, parts.own, 0),
            sharing: parts.sharing,
            hot: values.get("hot"),
            sequential: values.get("order") == 1,
        }
    }

    fn next(&mut self) -> u32 {
        let part = if self.rng.percent(self.sharing) { &mut self.common } else { &mut self.own };
        if self.sequential {
            let page = part.first + part.at;
            part.at = if part.at + 1 < part.pages { part.at + 1 } else { 0 };
            return page;
        }
        let hot = (part.pages / 10).max(1);
        let span = if self.hot > 0 && self.rng.percent(self.hot) { hot } else { part.pages };
        part.first + self.rng.below(span)
    }
}

/// Work in user mode that keeps a task's own translations in the TLB.
struct Thinker {
    rounds: u32,
    memory: &'static mut [u32],
    at: usize,
}

/// Steps through the memory so that each round is in the next page, in another cache line of it.
const STRIDE: usize = WORDS as usize + 16;

impl Thinker {
    fn new(rounds: u32, footprint: u32) -> sys::Result<Thinker> {
        Ok(Thinker { rounds, memory: sys::memory(footprint)?, at: 0 })
    }

    fn idle() -> Thinker {
        Thinker { rounds: 0, memory: &mut [], at: 0 }
    }

    fn think(&mut self) {
        for _ in 0..self.rounds {
            if let Some(word) = self.memory.get_mut(self.at) {
                *word = core::hint::black_box(word.rotate_left(5) ^ self.rounds);
            }
            self.at += STRIDE;
            if self.at >= self.memory.len() {
                self.at %= WORDS as usize;
            }
        }
    }
}
