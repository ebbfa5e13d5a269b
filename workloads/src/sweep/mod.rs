//! Sweeps: thousands of cells, run in any order by any number of processes, merged into the same bytes.
//!
//! ```text
//!  FILE.toml -> Study -> Plan (plan.jsonl) -> cells/ID.json, one by one -> merged .jsonl, .csv or .parquet
//!   file.rs,             plan.rs             run.rs, store.rs            merge.rs, table.rs
//!   values.rs
//! ```
//!
//! Nothing but the plan and the files of finished cells says what was done: no queue, no status of a cluster's.

pub mod file;
pub mod merge;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod plan;
pub mod run;
pub mod store;
pub mod submit;
pub mod table;
mod values;
pub mod whole;
