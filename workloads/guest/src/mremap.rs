//! `mremap`: regions that wander through the address space.
//!
//! In an operation a thread looks at `reads` pages of others' regions, then
//! moves its own to another address, where it looks at every page: what was
//! there before must be there, under the new address. With `crew=processes`
//! the tasks are processes, and nobody else has the address space loaded.

use crate::args::{Key, Values};
use crate::board::{self, Shown, Viewer};
use crate::memory::Region;
use crate::pattern::Pattern;
use crate::rng::Rng;
use crate::{Load, WRONG_DATA, crew, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "mremap",
    keys: &[
        board::TASKS,
        board::PAGES,
        Key::number("ops", 300, 1, 100_000_000),
        Key::number("warmup", 30, 0, 100_000_000),
        crew::SEED,
        Key::words("len", 64, 4, sys::PAGE),
        board::READS,
        Key::choice("crew", &["threads", "processes"]),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run: |values| match values.get("crew") {
        0 => crew::thread_all(values.get("tasks"), |index| task(values, index)),
        _ => crew::fork_all(values.get("tasks"), |index| task(values, index)),
    },
};

/// Content number of the first task's region.
const CONTENT: u32 = 0x4000;

fn task(values: &Values, index: u32) -> u32 {
    let viewer = Viewer::new(values, index, false);
    let mut rng = Rng::new(values.get("seed"), index);
    let done = crew::phases(values, index, || {
        let right = viewer.look_around(&mut rng);
        let taken = board::place(index).lock().take();
        let mut shown = match taken {
            Some(shown) => shown,
            None => {
                let pattern = Pattern::new(values.get("seed"), CONTENT + index);
                let mut shown = Shown { region: Region::new(values.get("pages")).ok()?, pattern };
                viewer.fill(&mut shown);
                shown
            }
        };
        let moved = shown.region.relocate().is_ok();
        let sum = viewer.check(&mut shown);
        *board::place(index).lock() = Some(shown);
        sum.filter(|_| right && moved)
    });
    sys::account(values.get("ops"), done.errors, done.checksum);
    if done.errors == 0 { 0 } else { WRONG_DATA }
}
