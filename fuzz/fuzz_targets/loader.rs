//! See `targets/src/loader.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shootdown_fuzz_targets::loader::run(data));
