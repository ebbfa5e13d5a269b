//! Replacement, and what ghosts say against an array that was never flushed.

use super::*;
use proptest::prelude::*;

fn entry(tag: u32) -> Entry {
    Entry { tag, frame: tag + 100, bits: Entry::VALID, ..Entry::default() }
}

#[test]
fn lru_evicts_the_way_touched_longest_ago() {
    let mut s = [0; MAX_ENTRIES];
    let mut t = Tlb::new(8, 4, Replacement::Lru, 1, 100);
    for (now, tag) in [0, 2, 4, 6].into_iter().enumerate() {
        assert_eq!(t.fill(entry(tag), now as u64, &mut s).1, None);
    }
    let first = t.find(0).unwrap();
    t.touch(first, 10, &mut s);
    let (_, old) = t.fill(entry(8), 11, &mut s);
    assert_eq!(old.unwrap().tag, 2);
    assert!(t.find(0).is_some() && t.find(2).is_none());
}

#[test]
fn tree_plru_never_evicts_the_last_way_touched() {
    let mut s = [0; MAX_ENTRIES];
    for ways in [2usize, 3, 4, 6, 8] {
        let mut t = Tlb::new(ways, ways, Replacement::TreePlru, 1, 0);
        for tag in 0..100 {
            let before = t.fill(entry(tag), 0, &mut s).0;
            let (_, old) = t.fill(entry(tag + 1000), 0, &mut s);
            assert_ne!(old.map(|o| o.tag), Some(tag));
            assert!(t.entry(before).tag == tag || ways == 1);
        }
    }
}

#[test]
fn fifo_ignores_touches() {
    let mut s = [0; MAX_ENTRIES];
    let mut t = Tlb::new(2, 2, Replacement::Fifo, 1, 0);
    t.fill(entry(0), 0, &mut s);
    t.fill(entry(1), 1, &mut s);
    let i = t.find(0).unwrap();
    t.touch(i, 5, &mut s);
    assert_eq!(t.fill(entry(2), 6, &mut s).1.unwrap().tag, 0);
}

#[test]
fn a_fill_takes_its_own_ghost_then_a_free_way_then_the_oldest_ghost() {
    let mut s = [0; MAX_ENTRIES];
    let mut t = Tlb::new(4, 4, Replacement::Lru, 1, 0);
    let places: Vec<_> = (0..3).map(|tag| t.fill(entry(tag), u64::from(tag) + 1, &mut s).0).collect();
    assert_eq!(t.take(1, Some(Flush::Page)), Some(entry(1)));
    t.flush(Flush::NonGlobal, |e| e.tag == 0, |_| ());
    assert_eq!([t.find(0), t.find(1)], [None, None], "a ghost answers no lookup");
    assert_eq!(t.take(1, Some(Flush::Global)), None, "nor does it end again");
    let (ghost, first) = (t.ghost(1).unwrap(), t.ghost(0).unwrap());
    assert!(!ghost.valid() && ghost.frame == 101);
    assert_eq!([ghost.flushed, first.flushed], [Some(Flush::Page), Some(Flush::NonGlobal)]);
    assert_eq!(t.fill(entry(1), 4, &mut s), (places[1], None), "its own ghost");
    assert_eq!(t.ghost(1), None);
    let free = t.fill(entry(7), 5, &mut s);
    assert!(!places.contains(&free.0) && free.1.is_none(), "the way never used");
    assert_eq!(t.fill(entry(8), 6, &mut s), (places[0], None), "the ghost, not the entry used longest ago");
    assert_eq!(t.fill(entry(9), 7, &mut s).1, Some(entry(2)), "no ghost is left");
}

#[test]
fn what_the_processor_drops_leaves_no_ghost() {
    let mut s = [0; MAX_ENTRIES];
    let mut t = Tlb::new(4, 4, Replacement::Lru, 1, 0);
    t.fill(entry(5), 1, &mut s);
    assert_eq!(t.take(5, None), Some(entry(5)));
    assert_eq!(t.ghost(5), None);
}

#[test]
fn no_policy_evicts_an_entry_while_its_set_has_a_ghost() {
    for policy in [Replacement::Lru, Replacement::TreePlru, Replacement::Fifo, Replacement::Random] {
        for ways in [1usize, 2, 3, 4, 6, 8] {
            let mut s = [0; MAX_ENTRIES];
            let mut t = Tlb::new(ways, ways, policy, 1, 0);
            let mut now = 0;
            for round in 0..20u32 {
                t.flush(Flush::Global, |_| true, |_| ());
                for n in 0..ways as u32 {
                    now += 1;
                    let (_, old) = t.fill(entry(round * 100 + n), now, &mut s);
                    assert_eq!(old, None, "{policy:?}, {ways} ways");
                }
                now += 1;
                assert!(t.fill(entry(round * 100 + 99), now, &mut s).1.is_some(), "{policy:?}, {ways} ways");
            }
        }
    }
}

/// How an access came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Hit,
    Refill,
    Remapped,
    New,
}

/// An array that is flushed and one that is not, on the same accesses.
struct Twins {
    flushed: Tlb,
    untouched: Tlb,
    /// Replacement state of both.
    stamps: [Box<Stamps>; 2],
    frames: [u32; 32],
    now: u64,
}

impl Twins {
    fn new(entries: usize, ways: usize) -> Twins {
        let array = || Tlb::new(entries, ways, Replacement::Lru, 1, 0);
        Twins {
            flushed: array(),
            untouched: array(),
            stamps: [Box::new([0; MAX_ENTRIES]), Box::new([0; MAX_ENTRIES])],
            frames: std::array::from_fn(|page| page as u32),
            now: 0,
        }
    }

    /// A full flush; `remap` gives a page another frame before it.
    fn flush(&mut self, remap: Option<u32>) {
        if let Some(page) = remap {
            self.frames[page as usize] += 100;
        }
        self.flushed.flush(Flush::Global, |_| true, |_| ());
    }

    /// What the flushed array and its ghosts say of an access, and what the other array says.
    fn access(&mut self, page: u32) -> (Outcome, Outcome) {
        self.now += 1;
        let e = Entry { frame: self.frames[page as usize], ..entry(page) };
        let said = match (self.flushed.find(page), self.flushed.ghost(page)) {
            (Some(_), _) => Outcome::Hit,
            (None, Some(g)) if g.frame == e.frame => Outcome::Refill,
            (None, Some(_)) => Outcome::Remapped,
            (None, None) => Outcome::New,
        };
        let hit = said == Outcome::Hit;
        let is = match self.untouched.find(page) {
            Some(i) if self.untouched.entry(i).frame != e.frame => Outcome::Remapped,
            Some(_) if hit => Outcome::Hit,
            Some(_) => Outcome::Refill,
            None => Outcome::New,
        };
        for (t, s) in [&mut self.flushed, &mut self.untouched].into_iter().zip(&mut self.stamps) {
            match t.find(page) {
                Some(i) => {
                    *t.entry_mut(i) = e;
                    t.touch(i, self.now, s);
                }
                None => {
                    t.fill(e, self.now, s);
                }
            }
        }
        (said, is)
    }
}

proptest! {
    #[test]
    fn with_lru_and_full_flushes_ghosts_tell_refills_from_all_other_misses(
        shape in prop::sample::select(vec![(8usize, 4usize), (16, 16), (8, 1), (12, 3), (4, 2)]),
        steps in prop::collection::vec((0u32..20, 0u32..32), 1..400),
    ) {
        let mut twins = Twins::new(shape.0, shape.1);
        for (what, page) in steps {
            match what {
                0 => twins.flush(None),
                1 => twins.flush(Some(page)),
                // Mostly a few pages: sets that hold what they are asked for, and sets that do not.
                2..8 => {
                    let (said, is) = twins.access(page);
                    prop_assert_eq!(said, is);
                }
                _ => {
                    let (said, is) = twins.access(page % 8);
                    prop_assert_eq!(said, is);
                }
            }
        }
    }
}

#[test]
fn the_twins_see_every_outcome() {
    let mut twins = Twins::new(8, 4);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..200u32 {
        if n % 20 == 19 {
            twins.flush((n % 40 == 39).then_some(n % 8));
        }
        let (said, is) = twins.access(if n % 7 == 0 { n % 32 } else { n % 8 });
        assert_eq!(said, is);
        seen.insert(said);
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [Outcome::Hit, Outcome::Refill, Outcome::Remapped, Outcome::New]
    );
}
