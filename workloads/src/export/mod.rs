//! Exports: what a paper needs of the results.
//!
//! | for | file |
//! |---|---|
//! | reading merged sweeps and single results, groups of equal cells | `results.rs` |
//! | percentile distributions and logs of histograms | `hgrm.rs`, `hlog.rs` |
//! | medians and intervals as LaTeX and CSV | `table.rs` |
//! | what a figure is: SVG, pgfplots, data for gnuplot | `figure.rs` |
//! | lines: a metric over a key, a distribution of latencies | `lines.rs`; `curve.rs`, `cdf.rs` |
//! | bars: normalised, and the ledger's parts | `bars.rs`, `ledger.rs` |

pub mod bars;
pub mod cdf;
pub mod curve;
pub mod figure;
pub mod hgrm;
pub mod hlog;
pub mod ledger;
pub mod lines;
pub mod results;
pub mod table;
