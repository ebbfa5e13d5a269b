//! One processor's own caches: first and second level, and the prefetcher's view
//! of its recent misses.

use super::array::Array;
use crate::cost::CacheShape;

/// Streams that the prefetcher follows at a time.
const STREAMS: usize = 8;

/// What fell out of the caches when a line came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fallen {
    /// Left the first level.
    pub first: Option<u32>,
    /// Left the second level, and with it the first.
    pub second: Option<u32>,
}

/// The private levels of one processor. A line is named by its tag (its number in the RAM arena) and placed by its
/// physical line number.
#[derive(Clone, Debug)]
pub struct Private {
    first: Array,
    second: Array,
    streams: [u32; STREAMS],
    next_stream: usize,
}

impl Private {
    /// Empty caches of the preset's shape.
    pub fn new(shape: &CacheShape) -> Private {
        let array = |g: crate::cost::CacheGeometry| Array::new(g.sets(), g.ways as usize);
        Private {
            first: array(shape.l1),
            second: array(shape.l2),
            streams: [u32::MAX; STREAMS],
            next_stream: 0,
        }
    }

    /// Is the line in the second level? Then it is used.
    pub fn second_has(&mut self, line: u64, tag: u32) -> bool {
        let set = self.second.set_of(line);
        self.second.touch(set, tag)
    }

    /// Brings a line into the first level, and into the second if it is not there.
    pub fn bring(&mut self, line: u64, tag: u32, in_second: bool) -> Fallen {
        let mut fallen = Fallen::default();
        if !in_second {
            let set = self.second.set_of(line);
            fallen.second = self.second.insert(set, tag);
            if let Some(out) = fallen.second {
                // Both levels take the low bits of the address: the line lies in the set that belongs to this one.
                let set = self.first.set_of(set as u64);
                self.first.remove(set, out);
            }
        }
        let set = self.first.set_of(line);
        fallen.first = self.first.insert(set, tag);
        fallen
    }

    /// Another processor took the line away.
    pub fn lose(&mut self, line: u64, tag: u32) {
        let set = self.first.set_of(line);
        self.first.remove(set, tag);
        let set = self.second.set_of(line);
        self.second.remove(set, tag);
    }

    /// Does this miss beyond the second level follow one of the last, up or down, within the page? It is remembered
    /// as the last of its stream.
    pub fn streams(&mut self, tag: u32) -> bool {
        let follows = |s: u32| s != u32::MAX && s >> 6 == tag >> 6 && s.abs_diff(tag) == 1;
        if let Some(s) = self.streams.iter_mut().find(|s| follows(**s)) {
            *s = tag;
            return true;
        }
        self.streams[self.next_stream] = tag;
        self.next_stream = (self.next_stream + 1) % STREAMS;
        false
    }
}
