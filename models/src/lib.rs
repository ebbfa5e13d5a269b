//! Small models of the protocols that shared windows hang on, explored
//! exhaustively.
//!
//! A run of the kernel, whatever its seed, is one interleaving. A model is small
//! enough to run them all: for two processors, a few tasks, slots and pages, every
//! order of steps, with speculative fills at any moment, preemption and migration.
//! Where a scheme is sound nothing is wrong in any state; for each planted fault, and
//! for each pool that can deadlock, there is a shortest sequence of steps that shows
//! it, told in words.
//!
//! What the faults of the kernel (`fault=NAME`, `kernel-image/src/kmap/planted.rs`) are
//! here, and who shows them: the counterexample in `models/tests/`, the run of the
//! kernel in `workloads/tests/causes.rs`.
//!
//! | scheme | `fault=` | here | counterexample | kernel |
//! |--------|----------|------|----------------|--------|
//! | `batched` | `cr3-flush` | `global`, `Flush::Cr3` | `a_load_of_cr3_is_enough_without_g_bits_only` | `faults_of_batched_are_caught` |
//! | | `skip-idle` | `SkipIdle` | `faults_have_counterexamples` | the same |
//! | | `drop-lock` | `DropLock` | the same | the same |
//! | | `early-ack` | `EarlyAck` | the same | the same |
//! | | `flush-first` | `FlushFirst` | the same | the same |
//! | | `no-recheck` | `NoRecheck` | `a_page_that_nobody_looks_for_again_gets_two_slots` | the same |
//! | | | `Preempted` | `faults_have_counterexamples` | not planted: a lock's holder keeps its processor |
//! | | | `IrqsOff` | `spinning_with_interrupts_off_deadlocks_against_the_flush` | not planted |
//! | `deferred-*` | `a` to `d` | `A` to `D` | `faults_in_epochs_and_invalidations_have_counterexamples` | `faults_of_deferred_seq_in_epochs_and_invalidations_are_caught`, `faults_of_deferred_local_are_caught` |
//! | | `f` to `i` | `F` to `I` | `faults_in_switches_have_counterexamples`; `I` with `A` | `faults_of_deferred_seq_in_switches_and_global_slots_are_caught`, `faults_of_deferred_local_are_caught` |
//! | | `e`, `j`, `k`, `l` | `E`, `J`, `K`, `L` | with `A` | `rare_faults_of_deferred_seq_are_caught`, `rare_faults_of_deferred_local_are_caught` |
//! | | `m` | `M` | `faults_in_switches_have_counterexamples` | `rare_faults_of_deferred_local_are_caught` |
//! | | | `IrqsOff` | `a_flush_of_all_with_interrupts_off_deadlocks_against_its_like` | asserted against in `mm/flush.rs` |
//!
//! Which pools of kmaps for page tables deadlock (`pools`, `models/tests/pools.rs`; the
//! paths are in `pools/paths.rs`):
//!
//! | pool | holds | deadlocks |
//! |------|-------|-----------|
//! | one for all | where a task holds one at a time | by every path that holds two |
//! | `series` | | mremap: two of one pool; fork: pages mix |
//! | `series-strict` | while all paths keep its order: fork, mremap and faults in holes; or fork, mremap and reads that fault | reads that fault together with faults in holes, which take pages and tables in opposite orders; a read that faults in a hole, by itself |
//! | `reserve` of 2 | for all paths but the last | a read that faults in a hole holds three |
//! | `reserve` of 3 | for all paths | |
//! | the gate of `kmap/pair.rs` | for copies and single kmaps | |
//!
//! The kernel shows the first by faults and `series` by `mremap` (`workloads/tests/pte_axis.rs`), and how often
//! (`shootdown experiment kmap-deadlock`).
//!
//! All of them deadlock when memory is freed by way of a kmap that may sleep while tasks
//! hold theirs and wait for memory: swap-out has to use an atomic kmap.
//!
//! What only a speculative fill can show: faults `b`, `c` and `d` of `deferred-*`, and
//! `flush-first` of `batched`. Fault `j` needs none: a task that arrives with a slot in
//! its hands uses it there without a check. And the finder of a conflict need not wait for
//! the others, nor tell them: `deferred-local` leaves out what `deferred-seq` does not need.
//!
//! `search` is the search, `tlb` what a processor may hold, and every other file a
//! protocol, which opens with what stands for which lines of the kernel and what is
//! left out.

pub mod batched;
pub mod deferred;
pub mod pools;
pub mod search;
pub mod tlb;

pub use search::{Report, Verdict, explore};
