//! Exports: what a paper needs of the results.
//!
//! | for | file |
//! |---|---|
//! | reading merged sweeps and single results, groups of equal cells | `results.rs` |
//! | percentile distributions and logs of histograms | `hgrm.rs`, `hlog.rs` |
//! | a metric over a key, as SVG, pgfplots and data | `curve.rs` |
//! | medians and intervals as LaTeX and CSV | `table.rs` |

pub mod curve;
pub mod hgrm;
pub mod hlog;
pub mod results;
pub mod table;
