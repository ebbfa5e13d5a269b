//! `rmap-audit=1`: does the chosen scheme find what there is? Each search is made by
//! `scan` as well, which looks at all there is, and what only `scan` has found is asked for again.
//!
//! PTEs come and go while both search, so that one of them may have missed what the other one
//! has seen without being wrong. But a PTE that is still there after a search, and was before it, has to be among what
//! it found.

use super::scan::Scan;
use super::{Found, MOST, Rmap, search};
use crate::cmdline::options;
use crate::mm::{Frame, Visit};
use core::ptr;

/// How often a PTE is asked for: an owner more between two looks at their number makes a search end too early.
const TRIES: u32 = 4;

/// Ends the machine if the scheme misses a PTE that is there.
pub fn check(frame: Frame, found: &Found) {
    let mut all = Found::new(frame);
    Scan::find(frame, &mut all);
    for (space, address) in all.places() {
        let excused = has(found, space, address)
            || (0..TRIES).any(|_| {
                let again = search(frame);
                has(&again, space, address) || again.count == MOST || !space.maps(frame, address)
            });
        assert!(
            excused,
            "rmap={} does not find the PTE of {address:#x} that maps frame {:#x}",
            options().rmap.name(),
            frame.0
        );
    }
}

fn has(found: &Found, space: &Visit, address: u32) -> bool {
    found.places().any(|(other, at)| ptr::eq(&**other, &**space) && at == address)
}
