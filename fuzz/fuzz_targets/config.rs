//! See `targets/src/config.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shootdown_fuzz_targets::config::run(data));
