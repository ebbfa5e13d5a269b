//! One file per command. Each takes its options and gives the exit status;
//! an error is bad input and becomes one line.

pub mod boot;
pub mod calibrate;
pub mod compare;
pub mod completions;
pub mod experiment;
pub mod explore;
pub mod export;
pub mod list;
pub mod man;
pub mod run;
pub mod sweep;
pub mod tui;
