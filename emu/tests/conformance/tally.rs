//! What became of the cases of a set.

use std::collections::BTreeMap;

/// Counts by form and by reason.
#[derive(Default)]
pub struct Tally {
    passed: usize,
    /// By form: how many, and the first.
    failed: BTreeMap<String, (usize, String)>,
    /// By reason.
    excluded: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub fn count(&mut self, form: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(what) => self.failed.entry(form.to_owned()).or_insert_with(|| (0, what)).0 += 1,
        }
    }

    pub fn exclude(&mut self, reason: &'static str) {
        *self.excluded.entry(reason).or_default() += 1;
    }

    /// Prints what failed and what was left out, and closes the set. True if cases were run and none failed.
    pub fn close(&self, set: &str) -> bool {
        for (form, (n, first)) in &self.failed {
            println!("{set}: {form}: {n} wrong, first {first}");
        }
        for (reason, n) in &self.excluded {
            println!("{set}: {n} excluded: {reason}");
        }
        let failed: usize = self.failed.values().map(|(n, _)| n).sum();
        println!("{set}: {} passed, {failed} failed", self.passed);
        failed == 0 && self.passed > 0
    }
}
