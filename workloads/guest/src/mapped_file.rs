//! `mapped-file`: threads of one process that map parts of a file, change them and unmap them.
//!
//! Each thread has [`STRETCHES`] stretches of `pages` pages of the file, of which
//! one is mapped. In an operation it looks at `reads` pages of others' mappings,
//! then takes its own. With `call=munmap` it unmaps it and maps the next
//! stretch, mostly at the same address, which has to be what it was left as the
//! last time; with `call=mprotect` it makes it read-only, looks at it and makes
//! it writable; with `call=fork` it forks a child, whose writes through the
//! mapping it has to see. Otherwise the thread itself gives the stretch new
//! content: through the mapping, looked at with `read`, or with `write`, looked
//! at through the mapping, in turn. In the end it reads the whole file.

use crate::args::{Key, Values};
use crate::board::{self, Shown, Viewer};
use crate::memory::Region;
use crate::pattern::Pattern;
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, WRONG_DATA, crew, say, sys};
use shootdown_abi::syscall;

/// The load.
pub const LOAD: Load = Load {
    name: "mapped-file",
    keys: &[
        board::TASKS,
        Key::number("pages", 8, 1, 1024),
        Key::number("ops", 300, 1, 100_000_000),
        Key::number("warmup", 30, 0, 100_000_000),
        crew::SEED,
        Key::words("len", 64, 4, sys::PAGE),
        board::READS,
        Key::choice("call", &["munmap", "mprotect", "fork"]),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run,
};

/// Numbers of calls among the words of `call`.
const MUNMAP: u32 = 0;
const MPROTECT: u32 = 1;
const FORK: u32 = 2;

/// Parts of the file that each thread has.
const STRETCHES: u32 = 4;

/// Content number `generation` of thread `index`.
fn content(index: u32, generation: u32) -> u32 {
    0x9000 + index + generation.wrapping_mul(0x100)
}

fn run(values: &Values) -> u32 {
    let pages = values.get("tasks") * values.get("pages") * STRETCHES;
    match sys::create(pages) {
        Ok(file) => crew::thread_all(values.get("tasks"), |index| Task::new(values, index, file).run()),
        Err(error) => {
            say!("guest: cannot make a file of {} pages (error {})", pages, error);
            BAD_ARGUMENTS
        }
    }
}

struct Task<'a> {
    values: &'a Values,
    index: u32,
    viewer: Viewer,
    file: u32,
    pages: u32,
    /// What each stretch holds; nothing: zeros.
    contents: [Option<Pattern>; STRETCHES as usize],
    /// The stretch that is mapped.
    current: u32,
    generation: u32,
}

impl<'a> Task<'a> {
    fn new(values: &'a Values, index: u32, file: u32) -> Task<'a> {
        Task {
            values,
            index,
            viewer: Viewer::new(values, index, false),
            file,
            pages: values.get("pages"),
            contents: [None; STRETCHES as usize],
            current: 0,
            generation: 0,
        }
    }

    fn run(mut self) -> u32 {
        let values = self.values;
        let mut rng = Rng::new(values.get("seed"), self.index);
        let mut done = crew::phases(values, self.index, || self.operation(&mut rng));
        for stretch in 0..STRETCHES {
            let wrong = match self.contents[stretch as usize] {
                Some(pattern) => {
                    self.viewer.check_file(self.file, self.first_page(stretch), pattern).is_none()
                }
                None => false,
            };
            done.errors = done.errors.saturating_add(u32::from(wrong));
        }
        sys::account(values.get("ops"), done.errors, done.checksum);
        if done.errors == 0 { 0 } else { WRONG_DATA }
    }

    /// Where a stretch begins in the file.
    fn first_page(&self, stretch: u32) -> u32 {
        (self.index * STRETCHES + stretch) * self.pages
    }

    fn operation(&mut self, rng: &mut Rng) -> Option<u32> {
        let right = self.viewer.look_around(rng);
        let call = self.values.get("call");
        self.generation += 1;
        let new = Pattern::new(self.values.get("seed"), content(self.index, self.generation));
        let taken = board::place(self.index).lock().take();
        let mut region = match taken {
            Some(old) if call == MUNMAP => {
                old.region.unmap().ok()?;
                self.current = (self.current + 1) % STRETCHES;
                self.map()?
            }
            Some(old) => old.region,
            None => self.map()?,
        };
        // What it was left as, in whatever way and under whatever mapping.
        let was = self.contents[self.current as usize];
        if call == MPROTECT {
            region.protect(syscall::READ_ONLY).ok()?;
        }
        let mut shown = Shown { region, pattern: was.unwrap_or(new) };
        let kept = was.is_none() || self.viewer.check(&mut shown).is_some();
        if call == MPROTECT {
            shown.region.protect(syscall::READ_WRITE).ok()?;
        }
        shown.pattern = new;
        let sum = self.change(&mut shown, call);
        self.contents[self.current as usize] = Some(new);
        *board::place(self.index).lock() = Some(shown);
        sum.filter(|_| right && kept)
    }

    fn map(&self) -> Option<Region> {
        Region::of_file(self.file, self.first_page(self.current), self.pages).ok()
    }

    /// Gives the stretch new content in one way and looks at it in another: its sum, if it is there.
    fn change(&self, shown: &mut Shown, call: u32) -> Option<u32> {
        let first = self.first_page(self.current);
        if call == FORK {
            if sys::fork().ok()? == 0 {
                // The child has this thread alone, and nobody to let go of the board's locks.
                self.viewer.fill(shown);
                sys::exit(0);
            }
            if sys::wait() != Ok(0) {
                return None;
            }
            return self.viewer.check(shown);
        }
        if self.generation % 2 == 0 {
            self.viewer.fill(shown);
            self.viewer.check_file(self.file, first, shown.pattern)
        } else {
            self.viewer.fill_file(self.file, first, shown.pattern)?;
            self.viewer.check(shown)
        }
    }
}
