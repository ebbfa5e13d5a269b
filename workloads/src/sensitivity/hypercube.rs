//! A Latin hypercube: few points that lie all over many brackets at once (McKay, Beckman, Conover, "A Comparison of Three
//! Methods for Selecting Values of Input Variables", Technometrics 21, 1979).
//!
//! Every side of the cube is cut into as many equal strata as there are points, and every stratum of every side holds
//! one point, anywhere within it. So forty points try forty values of each of thirty numbers, where a grid would try two
//! of five numbers. Left out: points that also keep away from each other in pairs of sides.

use crate::random::Random;

/// `points` points of a unit cube with so many sides: in each side every stratum `[i / points, (i + 1) / points)` holds
/// exactly one.
pub fn latin(points: usize, sides: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = Random::new(seed);
    let mut cube = vec![Vec::with_capacity(sides); points];
    let mut strata: Vec<usize> = (0..points).collect();
    for _ in 0..sides {
        random.shuffle(&mut strata);
        for (point, &stratum) in cube.iter_mut().zip(&strata) {
            point.push((stratum as f64 + random.unit()) / points as f64);
        }
    }
    cube
}

/// The value at a part, 0 to below 1, of a bracket. Between whole ends it is whole, and each is as likely as another: a cost of
/// 1 to 2 cycles is 1 in half of the strata. Otherwise it is rounded to thousandths.
pub fn within((low, high): (f64, f64), part: f64) -> f64 {
    if low.fract() == 0.0 && high.fract() == 0.0 {
        (low + (part * (high - low + 1.0)).floor()).min(high)
    } else {
        ((low + part * (high - low)) * 1000.0).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stratum_of_every_side_holds_one_point() {
        for (points, sides) in [(1, 3), (2, 1), (7, 5), (40, 34), (1000, 36)] {
            let cube = latin(points, sides, 42);
            assert!(cube.len() == points && cube.iter().all(|p| p.len() == sides));
            for side in 0..sides {
                let mut strata: Vec<_> =
                    cube.iter().map(|p| (p[side] * points as f64).floor() as usize).collect();
                strata.sort_unstable();
                assert_eq!(strata, (0..points).collect::<Vec<_>>(), "{points} points, side {side}");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_cube_and_another_seed_another() {
        assert_eq!(latin(20, 5, 1), latin(20, 5, 1));
        assert_ne!(latin(20, 5, 1), latin(20, 5, 2));
        let cube = latin(20, 2, 1);
        assert!(cube.iter().any(|p| (p[0] - p[1]).abs() > 0.2), "the sides are not of one order");
    }

    #[test]
    fn whole_numbers_of_a_bracket_are_equally_likely() {
        let values: Vec<_> = latin(40, 1, 3).into_iter().map(|p| within((1.0, 4.0), p[0])).collect();
        for whole in [1.0, 2.0, 3.0, 4.0] {
            assert_eq!(values.iter().filter(|v| **v == whole).count(), 10, "{values:?}");
        }
        assert_eq!((within((60.0, 120.0), 0.0), within((60.0, 120.0), 0.9999)), (60.0, 120.0));
        assert_eq!(within((0.5, 1.5), 0.25), 0.75);
    }
}
