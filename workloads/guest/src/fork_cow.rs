//! `fork-cow`: a parent with anonymous memory forks children that write to it.
//!
//! In each round `tasks` children start together; each looks at all pages that
//! it inherited, writes `len` bytes into `ops` of them (every write the first
//! to its page, hence a fault and a copy), looks again at what it wrote and at
//! what it did not, and ends. Then the parent looks whether its own pages are
//! as they were. An operation is one page written after a fork.
//!
//! The parent is alone between the rounds, so it marks the measured part
//! itself: `warmup` rounds before it, `rounds` in it.

use crate::args::{Key, Values};
use crate::crew::{self, wait_for};
use crate::pattern::{Pattern, WORDS};
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, WRONG_DATA, say, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "fork-cow",
    keys: &[
        Key::TASKS,
        Key::number("pages", 512, 1, crew::MOST_PAGES / 4),
        Key::number("ops", 128, 1, crew::MOST_PAGES / 4),
        Key::number("rounds", 4, 1, 1_000_000),
        Key::number("warmup", 1, 0, 1_000_000),
        crew::SEED,
        Key::words("len", 64, 4, sys::PAGE),
    ],
    run,
};

/// Where the children of a round wait for each other.
const BARRIER: u32 = 0;

/// Content numbers: the parent's memory, and from here on the children's.
const PARENT: u32 = 0x1000;
const CHILDREN: u32 = 0x2000;

fn run(values: &Values) -> u32 {
    let pages = values.get("pages");
    if values.get("ops") > pages {
        say!("guest: ops={} pages to write, but pages={}", values.get("ops"), pages);
        return BAD_ARGUMENTS;
    }
    let memory = match sys::memory(pages) {
        Ok(memory) => memory,
        Err(error) => {
            say!("guest: no memory for {} pages (error {})", pages, error);
            return BAD_ARGUMENTS;
        }
    };
    let parent = Pattern::new(values.get("seed"), PARENT);
    for (page, words) in (0..).zip(memory.chunks_mut(WORDS as usize)) {
        parent.fill(page, 0, words);
    }

    let warmup = values.get("warmup");
    let all = warmup.saturating_add(values.get("rounds"));
    let mut worst = 0;
    let mut errors = 0;
    for round in 0..all {
        if round == warmup {
            sys::roi_begin();
        }
        for index in 0..values.get("tasks") {
            match sys::fork() {
                Ok(0) => {
                    let child = Child::new(values, parent, index, round);
                    sys::exit(child.run(memory, round >= warmup));
                }
                Ok(_) => {}
                Err(error) => {
                    say!("guest: cannot make child {} (error {})", index, error);
                    return BAD_ARGUMENTS;
                }
            }
        }
        worst = worst.max(wait_for(values.get("tasks")));
        let length = values.get("len") / 4;
        errors += wrong_pages(parent, memory, |page| slice_at(page, length), length);
    }
    sys::roi_end();
    errors += wrong_pages(parent, memory, |_| 0, WORDS);
    sys::account(0, errors, 0);
    if errors > 0 { worst.max(WRONG_DATA) } else { worst }
}

/// The first word of the slice of a page that all look at: another place in each page.
fn slice_at(page: u32, words: u32) -> u32 {
    page.wrapping_mul(37) % (WORDS - words + 1)
}

/// Pages of which `words` words, from `first(page)` on, are not those of the pattern.
fn wrong_pages(pattern: Pattern, memory: &[u32], first: impl Fn(u32) -> u32, words: u32) -> u32 {
    let mut wrong = 0;
    for (page, content) in (0..).zip(memory.chunks(WORDS as usize)) {
        let at = first(page);
        let slice = &content[at as usize..(at + words) as usize];
        if pattern.check(page, at, slice).is_none() {
            wrong += 1;
        }
    }
    wrong
}

/// One child of one round.
struct Child {
    /// What it inherits.
    parent: Pattern,
    /// What it writes.
    own: Pattern,
    tasks: u32,
    ops: u32,
    words: u32,
    /// The pages it writes: `ops` pages from here on, wrapping.
    start: u32,
}

impl Child {
    fn new(values: &Values, parent: Pattern, index: u32, round: u32) -> Child {
        let number = round.wrapping_mul(values.get("tasks")).wrapping_add(index);
        Child {
            parent,
            own: Pattern::new(values.get("seed"), CHILDREN.wrapping_add(number)),
            tasks: values.get("tasks"),
            ops: values.get("ops"),
            words: values.get("len") / 4,
            start: Rng::new(values.get("seed"), number).below(values.get("pages")),
        }
    }

    fn run(&self, memory: &mut [u32], measured: bool) -> u32 {
        sys::barrier(BARRIER, self.tasks);
        let mut errors = wrong_pages(self.parent, memory, |page| self.at(page), self.words);
        let pages = memory.len() as u32 / WORDS;
        for page in self.written(pages) {
            let at = self.at(page);
            self.own.fill(page, at, self.slice(memory, page));
        }
        let mut checksum = 0u32;
        for page in self.written(pages) {
            let at = self.at(page);
            match self.own.check(page, at, self.slice(memory, page)) {
                Some(sum) => checksum = checksum.wrapping_add(sum),
                None => errors += 1,
            }
            errors += self.untouched(memory, page);
        }
        let not_written = (self.ops..pages).map(|n| (self.start + n) % pages);
        for page in not_written {
            let at = self.at(page);
            if self.parent.check(page, at, self.slice(memory, page)).is_none() {
                errors += 1;
            }
        }
        if measured {
            sys::account(self.ops, errors, checksum);
        } else {
            sys::account(0, errors, 0);
        }
        if errors == 0 { 0 } else { WRONG_DATA }
    }

    fn at(&self, page: u32) -> u32 {
        slice_at(page, self.words)
    }

    fn written(&self, pages: u32) -> impl Iterator<Item = u32> + use<> {
        let start = self.start;
        (0..self.ops).map(move |n| (start + n) % pages)
    }

    /// The words of a page that the children look at and write.
    fn slice<'m>(&self, memory: &'m mut [u32], page: u32) -> &'m mut [u32] {
        let first = (page * WORDS + self.at(page)) as usize;
        &mut memory[first..first + self.words as usize]
    }

    /// The words just before and after the written ones still have to be the parent's: 1 if not.
    fn untouched(&self, memory: &[u32], page: u32) -> u32 {
        let content = &memory[(page * WORDS) as usize..((page + 1) * WORDS) as usize];
        let first = self.at(page);
        let after = first + self.words;
        let before = first.saturating_sub(8);
        let behind = (after + 8).min(WORDS);
        let same = |from: u32, to: u32| {
            self.parent.check(page, from, &content[from as usize..to as usize]).is_some()
        };
        u32::from(!(same(before, first) && same(after, behind)))
    }
}
