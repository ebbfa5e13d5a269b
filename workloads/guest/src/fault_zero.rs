//! `fault-zero`: pages that are touched for the first time.
//!
//! An operation looks at `len` bytes of the next page of a task's region, which
//! must be zero, and fills them with a pattern: a page fault, a frame, a kmap to
//! clear it. When all pages are used the region is given back and mapped anew.
//! With `crew=threads` all tasks fault in one address space.

use crate::args::{Key, Values};
use crate::memory::Region;
use crate::pattern::Pattern;
use crate::{Load, WRONG_DATA, crew, sys};

/// The load.
pub const LOAD: Load = Load {
    name: "fault-zero",
    keys: &[
        Key::per_cpu("tasks", 1, 1, 120),
        Key::number("pages", 128, 1, crew::MOST_PAGES / 16),
        Key::number("ops", 1000, 1, 100_000_000),
        Key::number("warmup", 100, 0, 100_000_000),
        crew::SEED,
        Key::words("len", 64, 4, sys::PAGE),
        Key::choice("crew", &["processes", "threads"]),
        crew::THINK,
        crew::FOOTPRINT,
    ],
    run: |values| match values.get("crew") {
        0 => crew::fork_all(values.get("tasks"), |index| task(values, index)),
        _ => crew::thread_all(values.get("tasks"), |index| task(values, index)),
    },
};

/// Content number of the first task's memory.
const CONTENT: u32 = 0x5000;

fn task(values: &Values, index: u32) -> u32 {
    let (pages, words) = (values.get("pages"), values.get("len") / 4);
    let pattern = Pattern::new(values.get("seed"), CONTENT + index);
    let (mut region, mut page) = (None, 0);
    let done = crew::phases(values, index, || {
        if page == pages
            && let Some(used) = region.take()
        {
            Region::unmap(used).ok()?;
        }
        if region.is_none() {
            region = Some(Region::new(pages).ok()?);
            page = 0;
        }
        let slice = region.as_mut()?.words(page, 0, words);
        let zero = slice.iter().all(|word| *word == 0);
        pattern.fill(page, 0, slice);
        let sum = pattern.check(page, 0, slice);
        page += 1;
        sum.filter(|_| zero)
    });
    sys::account(values.get("ops"), done.errors, done.checksum);
    if done.errors == 0 { 0 } else { WRONG_DATA }
}
