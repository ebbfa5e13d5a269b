//! `shootdown-workloads`: loads, strategies and cells; runs them on the emulator and makes results of it.
//!
//! ```text
//!  Cell (load, strategy, kernel, machine) -> run -> Outcome -> Report -> JSON | table | CSV
//!                                             \__ Collector: marks -> histograms
//! ```
//!
//! A *cell* is one load under one configuration. Equal cells give equal bytes:
//! nothing of the host (time, names, paths, number of threads) is in a result.
//!
//! Where to look:
//!
//! | for | file |
//! |---|---|
//! | which loads and keys there are | `workload.rs` |
//! | which strategies and planted faults there are | `strategy.rs` |
//! | `--set key=value` | `cell.rs`, `kernel.rs` |
//! | configuration files | `config_file.rs` |
//! | latencies | `collect.rs`; what was waited for `waits.rs` |
//! | one run | `run.rs`; its single shootdowns `timeline/`; paused and looked at `live.rs` |
//! | several runs side by side | `compare.rs` |
//! | several seeds: medians, intervals, pairs | `seeds/`, `statistics.rs` |
//! | many seeds, and the smallest cell that goes wrong | `explore/` |
//! | both ends of every estimate's bracket, and all brackets together | `sensitivity/` |
//! | questions of the mailing lists, answered by experiment | `experiment/`, a file each |
//! | thousands of cells, their plan, shards and merge | `sweep/` |
//! | the JSON document | `report.rs`; the table `table.rs`; CSV `csv.rs`; metrics `figures.rs` |
//! | the state of a machine that got stuck | `state.rs` |

pub mod boot;
pub mod calibrate;
pub mod cell;
pub mod collect;
pub mod compare;
pub mod config_file;
pub mod csv;
pub mod experiment;
pub mod explore;
pub mod export;
pub mod figures;
pub mod image;
pub mod kernel;
pub mod live;
pub mod micro;
pub mod plot;
pub mod pte;
pub mod random;
pub mod report;
pub mod run;
#[cfg(test)]
mod schema;
pub mod seeds;
pub mod sensitivity;
pub mod shootdown;
pub mod state;
pub mod statistics;
pub mod strategy;
pub mod summary;
pub mod sweep;
pub mod table;
pub mod text_table;
pub mod timeline;
pub mod validation;
pub mod waits;
pub mod window;
pub mod workload;

pub use cell::{Cell, KeyError};
pub use live::Live;
pub use report::{Report, Row};
pub use run::{Outcome, RunError, run};
pub use strategy::Strategy;
pub use workload::Workload;
