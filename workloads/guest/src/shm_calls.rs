//! `shm-calls`: threads of one process that map shared memory, show it to each other and take it away.
//!
//! In an operation a thread looks at `reads` pages of others' regions, then takes
//! its own: with `call=munmap` it gives it back and maps as much again, with `call=mprotect` it makes it
//! read-only, looks at it and makes it writable; then it fills it with a new
//! pattern. The kernel may have the memory in large pages, of which it gives back none in
//! part: with `cut=done` or `refused` a region is peeked at before it is given back, and moving
//! it, making its second page read-only and unmapping that must be done, or must be refused and change nothing.

use crate::args::{Key, Values};
use crate::board::{self, Shown, Viewer};
use crate::memory::Region;
use crate::pattern::Pattern;
use crate::rng::Rng;
use crate::{BAD_ARGUMENTS, Load, WRONG_DATA, crew, say, sys};
use shootdown_abi::syscall::{self, error};

/// The load.
pub const LOAD: Load = Load {
    name: "shm-calls",
    keys: &[
        board::TASKS,
        Key::number("pages", 1024, 1, 4096),
        Key::number("ops", 10, 1, 100_000_000),
        Key::number("warmup", 1, 0, 100_000_000),
        crew::SEED,
        Key::words("len", 64, 4, sys::PAGE),
        board::READS,
        Key::choice("call", &["munmap", "mprotect"]),
        Key::choice("cut", &["untried", "done", "refused"]),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run,
};

/// Numbers of the words of `call` and `cut`.
const MUNMAP: u32 = 0;
const UNTRIED: u32 = 0;
const DONE: u32 = 1;

/// Content numbers of thread `index` begin here.
fn content(index: u32, generation: u32) -> u32 {
    0xa000 + index + generation.wrapping_mul(0x100)
}

fn run(values: &Values) -> u32 {
    if values.get("cut") != UNTRIED && (values.get("pages") < 3 || values.get("call") != MUNMAP) {
        say!("guest: cut= goes with call=munmap and pages= from 3 on");
        return BAD_ARGUMENTS;
    }
    crew::thread_all(values.get("tasks"), |index| task(values, index))
}

fn task(values: &Values, index: u32) -> u32 {
    let viewer = Viewer::new(values, index, false);
    let mut rng = Rng::new(values.get("seed"), index);
    let mut generation = 0;
    let done = crew::phases(values, index, || {
        let right = viewer.look_around(&mut rng);
        generation += 1;
        let pattern = Pattern::new(values.get("seed"), content(index, generation));
        let taken = board::place(index).lock().take();
        let region = match taken {
            None => Region::shared(values.get("pages")).ok()?,
            Some(old) if values.get("call") == MUNMAP => renew(values, &viewer, old)?,
            Some(old) => protect(&viewer, old)?,
        };
        let mut shown = Shown { region, pattern };
        viewer.fill(&mut shown);
        let sum = viewer.check(&mut shown);
        *board::place(index).lock() = Some(shown);
        sum.filter(|_| right)
    });
    sys::account(values.get("ops"), done.errors, done.checksum);
    if done.errors == 0 { 0 } else { WRONG_DATA }
}

/// Gives a region back and maps as much again, which has to be zero.
fn renew(values: &Values, viewer: &Viewer, mut old: Shown) -> Option<Region> {
    if values.get("cut") != UNTRIED {
        cut(viewer, &mut old, values.get("cut") == DONE)?;
    }
    old.region.unmap().ok()?;
    let mut new = Region::shared(values.get("pages")).ok()?;
    let zero = (0..new.pages()).all(|page| new.words(page, 0, 1) == [0]);
    zero.then_some(new)
}

/// Looks at a region while nobody may write it.
fn protect(viewer: &Viewer, mut old: Shown) -> Option<Region> {
    old.region.protect(syscall::READ_ONLY).ok()?;
    viewer.check(&mut old)?;
    old.region.protect(syscall::READ_WRITE).ok()?;
    Some(old.region)
}

/// Peeks at a region, moves it, takes rights and memory from within it: is all that done, or all refused with nothing changed?
fn cut(viewer: &Viewer, shown: &mut Shown, done: bool) -> Option<()> {
    let (address, pages) = (shown.region.address(), shown.region.pages());
    for page in [0, pages / 2, pages - 1] {
        let mut word = [0];
        sys::peek(sys::task(), address + page * sys::PAGE, &mut word).ok()?;
        (shown.region.words(page, 0, 1) == word).then_some(())?;
    }
    let moved = shown.region.relocate();
    let second = shown.region.address() + sys::PAGE;
    let calls = [moved, sys::protect(second, 1, syscall::READ_ONLY), sys::unmap(second, 1)];
    if done {
        return calls.iter().all(|call| call.is_ok()).then_some(());
    }
    let refused = calls.iter().all(|call| *call == Err(error::INVALID as u32));
    viewer.check(shown).filter(|_| refused).map(|_| ())
}
