//! The pattern that every page carries, and its checks.
//!
//! Word `w` of page `p` of content `c` (a file, or a generation of anonymous
//! memory) is `base(c, p) + w * STEP`, wrapping, where `base` is a hash. So
//! every word says which page it belongs to and where it stands in it, and the
//! sum of a range has a closed form: a check of the kernel's sum costs the
//! guest a few instructions, whatever the range.

use crate::rng::mix;

/// Words of a page.
pub const WORDS: u32 = 1024;

/// Odd, so that no two words of a page are equal.
const STEP: u32 = 0x9e37_79b1;

/// One kind of content: the seed of the run and a number of the file or generation.
#[derive(Clone, Copy)]
pub struct Pattern(u32);

impl Pattern {
    /// The pattern of content number `content` under this seed.
    pub fn new(seed: u32, content: u32) -> Pattern {
        Pattern(mix(mix(seed).wrapping_add(content)))
    }

    fn base(self, page: u32) -> u32 {
        mix(self.0.wrapping_add(page))
    }

    /// Word `word` of a page.
    fn word(self, page: u32, word: u32) -> u32 {
        self.base(page).wrapping_add(word.wrapping_mul(STEP))
    }

    /// The wrapping sum of words `first..first + count` of a page.
    pub fn sum(self, page: u32, first: u32, count: u32) -> u32 {
        // At most 1024 * 1023: no overflow, and the product of two neighbours is even.
        let places = count * first + count * count.saturating_sub(1) / 2;
        count.wrapping_mul(self.base(page)).wrapping_add(places.wrapping_mul(STEP))
    }

    /// Writes the pattern of words `first..` of a page into `words`.
    pub fn fill(self, page: u32, first: u32, words: &mut [u32]) {
        let mut value = self.word(page, first);
        // A load begins with filling its files: eight words at a time, for less of a loop.
        let mut eights = words.chunks_exact_mut(8);
        for eight in &mut eights {
            for word in eight {
                *word = value;
                value = value.wrapping_add(STEP);
            }
        }
        for word in eights.into_remainder() {
            *word = value;
            value = value.wrapping_add(STEP);
        }
    }

    /// Is each of `words` word `first..` of the page, or zero?
    pub fn holds_or_is_zero(self, page: u32, first: u32, words: &[u32]) -> bool {
        let mut value = self.word(page, first);
        words.iter().all(|word| {
            let right = *word == value || *word == 0;
            value = value.wrapping_add(STEP);
            right
        })
    }

    /// The wrapping sum of `words`, if they are words `first..` of the page.
    pub fn check(self, page: u32, first: u32, words: &[u32]) -> Option<u32> {
        let mut value = self.word(page, first);
        let mut wrong = 0;
        let mut sum = 0u32;
        for word in words {
            wrong |= word ^ value;
            sum = sum.wrapping_add(*word);
            value = value.wrapping_add(STEP);
        }
        (wrong == 0).then_some(sum)
    }
}
