//! The one form of histogram used for cycles: 3 significant digits, growing as needed.

use hdrhistogram::Histogram;

/// Greatest value that a histogram holds, in cycles; larger ones are recorded as this (about 22 minutes at 700 MHz).
pub const MAX_CYCLES: u64 = 1 << 40;

/// An empty histogram of cycles.
#[allow(clippy::missing_panics_doc)]
pub fn new() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_CYCLES, 3).expect("bounds are constant and valid")
}
