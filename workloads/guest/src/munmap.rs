//! `munmap`: threads of one process that take memory away from under each other's TLBs.
//!
//! In an operation a thread looks at `reads` pages of others' regions, then
//! takes its own: with `call=munmap` it gives it back, maps as much again (the
//! kernel hands out the lowest free address, mostly the same one) and fills it
//! with a new pattern; with `call=mprotect` it makes it read-only, looks at it,
//! makes it writable and fills it; with `call=fork` it forks a child that looks
//! at the region as it was, while the thread fills it again: all pages of the
//! process lose their write right, and its threads break the sharing of theirs
//! at the same time; with `call=discard` it gives the frames back while others
//! still look at the region, who see the old words or zeros. Every operation costs a shootdown of user translations for
//! each 64 pages, `call=mprotect` one, `call=fork` one and one for each page written.

use crate::args::{Key, Values};
use crate::board::{self, Shown, Viewer};
use crate::memory::Region;
use crate::pattern::Pattern;
use crate::rng::Rng;
use crate::{Load, WRONG_DATA, crew, sys};
use shootdown_abi::syscall;

/// The load.
pub const LOAD: Load = Load {
    name: "munmap",
    keys: &[
        board::TASKS,
        board::PAGES,
        Key::number("ops", 300, 1, 100_000_000),
        Key::number("warmup", 30, 0, 100_000_000),
        crew::SEED,
        Key::words("len", 64, 4, sys::PAGE),
        board::READS,
        Key::choice("call", &["munmap", "mprotect", "fork", "discard"]),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run: |values| crew::thread_all(values.get("tasks"), |index| task(values, index)),
};

/// Numbers of `call=fork` and `call=discard` among its words.
const FORK: u32 = 2;
const DISCARD: u32 = 3;

/// Content numbers of thread `index` begin here.
fn content(index: u32, generation: u32) -> u32 {
    0x3000 + index + generation.wrapping_mul(0x100)
}

fn task(values: &Values, index: u32) -> u32 {
    let viewer = Viewer::new(values, index, values.get("call") == DISCARD);
    let mut rng = Rng::new(values.get("seed"), index);
    let mut generation = 0;
    let done = crew::phases(values, index, || {
        let right = viewer.look_around(&mut rng);
        generation += 1;
        let pattern = Pattern::new(values.get("seed"), content(index, generation));
        let mut forked = false;
        if values.get("call") == DISCARD {
            // Still shown: whoever looks now may use a translation that is just going.
            let address = board::place(index).lock().as_ref().map(|shown| shown.region.address());
            address.map_or(Ok(()), |at| sys::discard(at, values.get("pages"))).ok()?;
        }
        let taken = board::place(index).lock().take();
        let region = match (taken, values.get("call")) {
            (None, _) => Region::new(values.get("pages")),
            (Some(old), 0) => old.region.unmap().and_then(|()| Region::new(values.get("pages"))),
            (Some(old), DISCARD) => Ok(old.region),
            (Some(mut old), FORK) => {
                match sys::fork() {
                    // The child has this thread alone, and nobody to let go of the board's locks.
                    Ok(0) => sys::exit(if viewer.check(&mut old).is_some() { 0 } else { WRONG_DATA }),
                    Ok(_) => forked = true,
                    Err(_) => return None,
                }
                Ok(old.region)
            }
            (Some(mut old), _) => old.region.protect(syscall::READ_ONLY).and_then(|()| {
                // Looked at while nobody may write it.
                let kept = viewer.check(&mut old).is_some();
                old.region.protect(syscall::READ_WRITE)?;
                if kept { Ok(old.region) } else { Err(0) }
            }),
        };
        let mut shown = Shown { region: region.ok()?, pattern };
        viewer.fill(&mut shown);
        let sum = viewer.check(&mut shown);
        *board::place(index).lock() = Some(shown);
        let child_saw_right = !forked || sys::wait() == Ok(0);
        sum.filter(|_| right && child_saw_right)
    });
    sys::account(values.get("ops"), done.errors, done.checksum);
    if done.errors == 0 { 0 } else { WRONG_DATA }
}
