//! Chance that repeats: a xorshift generator (Marsaglia, "Xorshift RNGs", 2003),
//! seeded by the run's seed and the number of the task.

/// Spreads every bit of a word over all bits: multiply and xor-shift, twice.
/// A permutation of the 32-bit words.
pub const fn mix(word: u32) -> u32 {
    let word = (word ^ (word >> 16)).wrapping_mul(0x7feb_352d);
    let word = (word ^ (word >> 15)).wrapping_mul(0x846c_a68b);
    word ^ (word >> 16)
}

/// A stream of numbers.
pub struct Rng(u32);

impl Rng {
    /// The stream of one task. Equal arguments give equal streams.
    pub fn new(seed: u32, task: u32) -> Rng {
        // The state must not be zero, which xorshift never leaves.
        Rng(mix(mix(seed) ^ task.wrapping_mul(0x9e37_79b9)) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A number in `0..n`, by multiplication: no division in the loop. `n` is not 0.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(n)) >> 32) as u32
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}
