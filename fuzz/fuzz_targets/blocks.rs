//! See `targets/src/blocks.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shootdown_fuzz_targets::blocks::run(data));
