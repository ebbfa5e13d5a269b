//! Experiments: the questions that the designers of 1998-2002 left open, each with a verdict that is computed.
//!
//! A [`Question`] is data, a file each: who asked what, the answer expected in the thread, which cells are run, and how a
//! verdict is read off their figures. All else is the same for every question and stands here once:
//!
//! ```text
//!  Question.plan -> Plan: settings x arms x seeds -> run -> Measured -> Question.conclude -> Answer
//!                   plan.rs                       measured.rs           claim.rs             answer.rs -> JSON | text.rs
//! ```
//!
//! - *Arms* are schemes with their options, *settings* are one factor at a time moved away from the base. Every table has
//!   the controls: `lowmem`, `ideal`, an arm without invalidation (marked unsafe, and it has to be caught), one processor.
//! - Arms meet the same seeds, and are held against each other seed by seed: median and 95 % bootstrap interval of the
//!   differences. A seed moves the order of pages, the latency of messages (jitter) and where frames below the direct map's
//!   end lie against those above, and so their colour in a cache that is indexed by physical addresses.
//! - Warm-up is run and subtracted. A base setting of double length shows whether it was enough.
//! - *Holds in*: the same comparison in every other setting; it was tried there, not argued.
//! - With [`Effort::Full`], the arms that are compared run at both ends of the bracket of each estimate as well,
//!   and in draws from all brackets together.
//!
//! | question | file |
//! |---|---|
//! | Q1 | `invlpg_vs_batch.rs` |
//! | Q2 | `deferred.rs` |
//! | Q3 | `highmem_tax.rs` |
//! | Q4 | `pte_map.rs` |
//! | Q5 | `window_size.rs` |
//! | Q6 | `kmap_deadlock.rs` |
//! | Q7 | `highpte.rs` |
//! | Q8 | `config_matrix.rs` |
//! | Q9 | `wrap_flush.rs` |
//! | Q10 | `percpu_pool.rs` |
//! | Q11 | `atomic_stack.rs` |
//! | Q12 | `rmap.rs` |
//! | Q13 | `copy_clear.rs` |

mod answer;
mod claim;
mod figure;
mod measured;
mod plan;
mod pooled;
mod text;

mod atomic_stack;
mod config_matrix;
mod copy_clear;
mod deferred;
mod highmem_tax;
mod highpte;
mod invlpg_vs_batch;
mod kmap_deadlock;
mod percpu_pool;
mod pte_map;
mod rmap;
mod window_size;
mod wrap_flush;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Deadlock, Holds, Row, SCHEMA, Shaken};
pub use claim::Conclusion;
pub use figure::Chart;
pub use measured::{Measured, Sample};
pub use plan::{Arm, Plan, Role, Setting};
pub use text::{document, render};

use crate::cell::KeyError;
use crate::run::RunError;
use crate::validation::Effort;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use thiserror::Error;

/// A question that an experiment answers.
pub struct Question {
    /// What the experiment is called.
    pub name: &'static str,
    /// `Q1` to `Q13`.
    pub number: &'static str,
    /// What was asked.
    pub question: &'static str,
    /// By whom, where, when.
    pub asked_by: &'static str,
    /// The answer that was expected, as far as it is known.
    pub expectation: &'static str,
    /// The cells.
    pub plan: fn(Effort) -> Plan,
    /// What their figures say.
    pub conclude: fn(&Measured) -> Conclusion,
    /// What may be wrong with this answer, besides what may be wrong with all.
    pub threats: &'static [&'static str],
}

/// Every question, by its number.
pub const QUESTIONS: &[&Question] = &[
    &invlpg_vs_batch::QUESTION,
    &deferred::QUESTION,
    &highmem_tax::QUESTION,
    &pte_map::QUESTION,
    &window_size::QUESTION,
    &kmap_deadlock::QUESTION,
    &highpte::QUESTION,
    &config_matrix::QUESTION,
    &wrap_flush::QUESTION,
    &percpu_pool::QUESTION,
    &atomic_stack::QUESTION,
    &rmap::QUESTION,
    &copy_clear::QUESTION,
];

/// What may be wrong with every answer.
pub const THREATS: &[&str] = &[
    "the model is an in-order processor whose costs add up: no misses or walks overlap, and memory is sequentially consistent",
    "the guest kernel's paths are shorter than Linux's, so schemes lie farther apart here than in a whole system",
    "frames of files are handed out in the same order under every seed: a seed moves their colour only against that of low \
     memory",
    "the loads are closed, but for the setting `open loop` of invlpg-vs-batch: an operation begins when the one before has \
     ended, so latency under a given rate of arrivals is not told elsewhere",
    "percentiles are of the events of all seeds together; a task that loses its processor in the middle of a kmap finds the time \
     until it has it again in it, which at the tail is most of it; a greatest value grows with the length and number of runs",
];

/// Why there is no answer. Every message is one line.
#[derive(Debug, Error)]
pub enum ExperimentError {
    /// A cell that cannot be made or run.
    #[error("{experiment}, {cell}: {source}")]
    Cell {
        /// The experiment.
        experiment: &'static str,
        /// The cell.
        cell: String,
        /// The reason.
        source: Box<RunError>,
    },
    /// The preset's numbers.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Interrupted.
    #[error("{0}: interrupted; there is no answer")]
    Interrupted(&'static str),
}

impl Question {
    /// The question of this name.
    pub fn from_name(name: &str) -> Option<&'static Question> {
        QUESTIONS.iter().find(|q| q.name == name).copied()
    }

    /// Runs the cells and concludes. The answer does not hang on the number of host threads.
    pub fn answer(
        &'static self,
        effort: Effort,
        interrupt: &Arc<AtomicBool>,
    ) -> Result<Answer, ExperimentError> {
        let plan = (self.plan)(effort);
        let measured = Measured::run(self.name, plan, interrupt)?;
        let conclusion = (self.conclude)(&measured);
        let shaken = match effort {
            Effort::Quick => Default::default(),
            Effort::Full => answer::shake(self.name, &measured, &conclusion, interrupt)?,
        };
        Ok(Answer::new(self, effort, &measured, conclusion, shaken))
    }
}
