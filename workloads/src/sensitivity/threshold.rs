//! Of many numbers the one on which an outcome hangs, if it hangs on one: a single cut through the values of a single key
//! that parts the draws that flip from those that hold.
//!
//! With thirty keys some cut parts a few draws well by luck: one draw of forty that flips is the greatest or the least of
//! some key more often than not. So a cut is told only where
//!
//! - it is wrong about at most half as many draws as the guess that all are like the majority, and
//! - at most one in a hundred shufflings of the outcomes over the same draws can be cut as well, over all keys (a
//!   permutation test of the best of many; Westfall and Young, "Resampling-Based Multiple Testing", 1993).
//!
//! Left out: two numbers of which neither decides alone, as in "where their sum is above".

use crate::random::Random;
use serde::{Deserialize, Serialize};

/// Shufflings of the outcomes.
const SHUFFLES: usize = 999;
/// As many of them as may be cut as well as the draws themselves, these counted, in a thousand.
const AS_GOOD: usize = 10;

/// On which side of a value a conclusion flips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Where the number is greater.
    Above,
    /// Where it is less.
    Below,
}

impl Side {
    /// As a sign.
    pub const fn sign(self) -> char {
        match self {
            Side::Above => '>',
            Side::Below => '<',
        }
    }
}

/// A cut through the values of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The key's place.
    pub key: usize,
    /// Where it flips.
    pub side: Side,
    /// The last value on the other side.
    pub value: f64,
    /// About so many draws it is wrong.
    pub wrong: usize,
}

/// The cut that parts best which of the draws flip. `draws` are their values, all of the same keys. None: no single key
/// does it clearly better than chance.
pub fn decisive(draws: &[&[f64]], flips: &[bool]) -> Option<Cut> {
    let flipped = flips.iter().filter(|flips| **flips).count();
    let minority = flipped.min(flips.len() - flipped);
    let keys: Vec<Sorted> =
        (0..draws.first().map_or(0, |d| d.len())).map(|k| Sorted::new(draws, k)).collect();
    let cut = best(&keys, flips).filter(|cut| 2 * cut.wrong <= minority && minority > 0)?;
    let mut random = Random::new(flips.len() as u64);
    let mut shuffled = flips.to_vec();
    let as_good = (0..SHUFFLES).filter(|_| {
        random.shuffle(&mut shuffled);
        best(&keys, &shuffled).is_some_and(|other| other.wrong <= cut.wrong)
    });
    (as_good.count() < AS_GOOD).then_some(cut)
}

/// Draws in the order of a key.
struct Sorted {
    /// Place of each in the draws.
    order: Vec<usize>,
    values: Vec<f64>,
}

impl Sorted {
    fn new(draws: &[&[f64]], key: usize) -> Sorted {
        let mut order: Vec<usize> = (0..draws.len()).collect();
        order.sort_by(|&a, &b| draws[a][key].total_cmp(&draws[b][key]));
        let values = order.iter().map(|&draw| draws[draw][key]).collect();
        Sorted { order, values }
    }
}

/// The cut with the fewest errors; of equals that of the first key. None where no key has two values.
fn best(keys: &[Sorted], flips: &[bool]) -> Option<Cut> {
    let all = flips.len();
    let flipped = flips.iter().filter(|flips| **flips).count();
    let mut best: Option<Cut> = None;
    for (key, Sorted { order, values }) in keys.iter().enumerate() {
        // Draws below the cut, of which so many flip.
        let mut flipped_below = 0;
        for below in 1..all {
            flipped_below += usize::from(flips[order[below - 1]]);
            if values[below - 1] == values[below] {
                continue;
            }
            let held_above = (all - below) - (flipped - flipped_below);
            // "It flips above" is wrong about both; "it flips below" about all others.
            let wrong = flipped_below + held_above;
            for (side, value, wrong) in
                [(Side::Above, values[below - 1], wrong), (Side::Below, values[below], all - wrong)]
            {
                if best.is_none_or(|b| wrong < b.wrong) {
                    best = Some(Cut { key, side, value, wrong });
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensitivity::hypercube::latin;

    /// Forty draws of thirty keys.
    fn cube() -> Vec<Vec<f64>> {
        latin(40, 30, 1)
    }

    fn cut(flips: impl Fn(&[f64]) -> bool) -> Option<Cut> {
        let cube = cube();
        let draws: Vec<&[f64]> = cube.iter().map(Vec::as_slice).collect();
        let flips: Vec<bool> = draws.iter().map(|d| flips(d)).collect();
        decisive(&draws, &flips)
    }

    #[test]
    fn what_hangs_on_one_key_is_cut_there() {
        let above = cut(|d| d[7] > 0.7).expect("one key decides");
        assert_eq!((above.key, above.side, above.wrong), (7, Side::Above, 0));
        // The last value that holds is in the stratum below 0.7.
        assert!((0.675..0.7).contains(&above.value), "{above:?}");
        let below = cut(|d| d[29] < 0.25).expect("one key decides");
        assert_eq!((below.key, below.side, below.wrong), (29, Side::Below, 0));
        assert!((0.25..0.275).contains(&below.value), "{below:?}");
        // A little of another key leaves some draws on the wrong side.
        let blurred = cut(|d| d[7] + 0.1 * d[8] > 0.75).expect("one key decides nearly all");
        assert!(blurred.key == 7 && blurred.wrong <= 4, "{blurred:?}");
    }

    #[test]
    fn what_hangs_on_many_keys_or_on_chance_is_not_cut() {
        assert_eq!(cut(|_| false), None, "nothing flips");
        assert_eq!(cut(|_| true), None, "everything flips");
        assert_eq!(cut(|d| d.iter().sum::<f64>() > 15.0), None, "all keys in equal parts");
        // Some key has its greatest or least value in any one draw of forty.
        let first = cube()[0].clone();
        assert_eq!(cut(|d| d == first), None, "one draw");
        assert_eq!(decisive(&[], &[]), None);
    }

    #[test]
    fn equal_values_are_never_parted() {
        let draws: Vec<Vec<f64>> = (0..40).map(|i| vec![if i < 20 { 1.0 } else { 2.0 }]).collect();
        let draws: Vec<&[f64]> = draws.iter().map(Vec::as_slice).collect();
        let flips: Vec<bool> = (0..40).map(|i| i >= 17).collect();
        let cut = decisive(&draws, &flips).expect("twenty against twenty, three wrong");
        assert_eq!((cut.value, cut.side, cut.wrong), (1.0, Side::Above, 3));
        let same: Vec<&[f64]> = draws.iter().map(|_| &[5.0][..]).collect();
        assert_eq!(decisive(&same, &flips), None);
    }
}
