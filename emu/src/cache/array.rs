//! One level of a cache as sets of tags: which lines it holds, nothing else.
//!
//! A tag is the line's number in the RAM arena, the set comes from the physical
//! address, as in hardware. Two replacement policies: the first level leaves in
//! order of filling (FIFO), because its hits are not seen; the levels behind it
//! see every use of theirs and are true LRU. Vendors document neither.

/// Tag of an empty way.
const EMPTY: u32 = u32::MAX;

/// The tags of one level.
#[derive(Clone, Debug)]
pub struct Array {
    /// Per set, most recent first.
    tags: Box<[u32]>,
    ways: usize,
    sets: usize,
}

impl Array {
    /// An empty array of `sets` sets, at least one, of `ways` ways, at least one.
    pub fn new(sets: usize, ways: usize) -> Array {
        let (sets, ways) = (sets.max(1), ways.max(1));
        Array { tags: vec![EMPTY; sets * ways].into_boxed_slice(), ways, sets }
    }

    /// The set of a physical line number where their count is a power of two: its low bits.
    #[inline]
    pub fn set_of(&self, line: u64) -> usize {
        line as usize & (self.sets - 1)
    }

    /// The set of a physical line number for any count of sets: a hash, as large shared levels use.
    #[inline]
    pub fn hashed_set_of(&self, line: u64) -> usize {
        let hash = (line as u32).wrapping_mul(0x9e37_79b1) ^ (line >> 32) as u32;
        ((u64::from(hash) * self.sets as u64) >> 32) as usize
    }

    #[inline]
    fn set_mut(&mut self, set: usize) -> &mut [u32] {
        let from = set * self.ways;
        &mut self.tags[from..from + self.ways]
    }

    /// Looks a line up and makes it the most recent of its set.
    #[inline]
    pub fn touch(&mut self, set: usize, tag: u32) -> bool {
        let ways = self.set_mut(set);
        match ways.iter().position(|&t| t == tag) {
            Some(i) => {
                ways.copy_within(0..i, 1);
                ways[0] = tag;
                true
            }
            None => false,
        }
    }

    /// Puts a line in as the most recent of its set; gives the line that had to leave.
    #[inline]
    pub fn insert(&mut self, set: usize, tag: u32) -> Option<u32> {
        let ways = self.set_mut(set);
        let last = ways.len() - 1;
        // A hole left by an invalidation is taken first.
        let end = ways.iter().position(|&t| t == EMPTY).unwrap_or(last);
        let out = ways[end];
        ways.copy_within(0..end, 1);
        ways[0] = tag;
        (out != EMPTY).then_some(out)
    }

    /// Takes a line out, if it is there.
    #[inline]
    pub fn remove(&mut self, set: usize, tag: u32) {
        let ways = self.set_mut(set);
        if let Some(i) = ways.iter().position(|&t| t == tag) {
            ways.copy_within(i + 1.., i);
            ways[ways.len() - 1] = EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_touched_line_leaves() {
        let mut a = Array::new(2, 2);
        assert_eq!(a.insert(0, 10), None);
        assert_eq!(a.insert(0, 11), None);
        assert!(a.touch(0, 10));
        assert_eq!(a.insert(0, 12), Some(11));
        assert!(a.touch(0, 10) && a.touch(0, 12) && !a.touch(0, 11));
        assert!(!a.touch(1, 10), "sets are apart");
    }

    #[test]
    fn untouched_lines_leave_in_order_of_filling() {
        let mut a = Array::new(1, 3);
        for tag in 0..3 {
            a.insert(0, tag);
        }
        assert_eq!(a.insert(0, 3), Some(0));
        assert_eq!(a.insert(0, 4), Some(1));
    }

    #[test]
    fn a_hole_is_filled_before_anything_leaves() {
        let mut a = Array::new(1, 3);
        for tag in 0..3 {
            a.insert(0, tag);
        }
        a.remove(0, 1);
        a.remove(0, 7);
        assert_eq!(a.insert(0, 3), None);
        assert_eq!(a.insert(0, 4), Some(0));
    }

    #[test]
    fn hashed_sets_are_within_the_array_for_any_count() {
        let a = Array::new(20480, 20);
        let mut seen = vec![0u32; 20480];
        for line in 0..204_800u64 {
            seen[a.hashed_set_of(line)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 0 && n < 40), "evenly spread");
    }
}
